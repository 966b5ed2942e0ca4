//! The book of all zones, kept from events.

use logline::Timestamp;

use crate::event::{Event, Kind};
use crate::quota::overlap::{Change, Overlap, ZONES_MAX};
use crate::quota::zone::{Tally, Zone};
use crate::quota::{Counted, Notice, Quota, ZoneView, answer};
use crate::subject::Network;

/// Zones that the log names and the configuration does not are counted too, up to so many: a log that can be written to
/// cannot make the book grow.
pub const UNCONFIGURED_MAX: usize = 16;

/// A client that is dropped knocks about so often before it gives up: its system sends the first packet again after
/// 1, 3 and 7 seconds, and few wait longer.
const PACKETS_A_TRY: u64 = 4;

/// What is known of every blocklist.
#[derive(Clone, Debug, Default)]
pub struct Book {
    zones: Vec<Zone>,
    overlap: Overlap,
}

impl Book {
    /// These budgets from now on; zones that stay go on.
    pub fn configure(&mut self, quotas: &[Quota]) {
        let mut old = std::mem::take(&mut self.zones);
        let names: Vec<String> = old.iter().map(|zone| zone.quota.zone.clone()).collect();
        for quota in quotas.iter().take(ZONES_MAX) {
            let known = old.iter().position(|zone| zone.quota.zone == quota.zone);
            let mut zone = match known {
                Some(at) => old.swap_remove(at),
                None => Zone::new(quota.clone(), true),
            };
            (zone.quota, zone.configured) = (quota.clone(), true);
            self.zones.push(zone);
        }
        old.retain(|zone| !zone.configured);
        old.truncate(UNCONFIGURED_MAX);
        self.zones.extend(old);
        let place = |name: &String| self.zones.iter().position(|zone| zone.quota.zone == *name);
        self.overlap.rearrange(&names.iter().map(place).collect::<Vec<_>>());
    }

    /// Whether this kind of event is written down here.
    pub fn concerns(&self, kind: Kind) -> bool {
        match kind {
            Kind::DnsblQuery | Kind::DnsblListed | Kind::DnsblError => true,
            Kind::Connect => !self.zones.is_empty(),
            _ => false,
        }
    }

    /// Writes an event down. `kept_out` says that a ban would have kept the client out.
    pub fn note(&mut self, at: Timestamp, event: &Event<'_>, kept_out: bool) -> Option<Notice> {
        match event.kind {
            Kind::Connect => self.connection(at, kept_out),
            Kind::DnsblQuery => self.query(at, event, kept_out),
            Kind::DnsblListed => self.listing(at, event, kept_out),
            Kind::DnsblError => {
                let zone = self.zone_of(event)?;
                let asked = zone.ask(at, event, kept_out);
                zone.failed(None).or(asked)
            }
            _ => None,
        }
    }

    /// Whether a listing is none, because the zone refuses to answer, or answers with errors.
    pub fn doubts(&self, event: &Event<'_>) -> bool {
        answer::refusal(event).is_some()
            || self.place(event).and_then(|place| self.zones.get(place)).is_some_and(Zone::is_off)
    }

    /// From 0, where the budget of the zone lasts, to 1; without a name, that of the zone where it is highest.
    pub fn pressure(&self, zone: Option<&str>, at: Timestamp) -> f64 {
        let named = self.zones.iter().filter(|z| zone.is_none_or(|zone| z.quota.zone == zone));
        named.map(|zone| zone.pressure(at)).fold(0.0, f64::max)
    }

    /// Every zone as it stands.
    pub fn view(&self, now: Timestamp) -> Vec<ZoneView> {
        self.zones.iter().map(|zone| zone.view(now)).collect()
    }

    /// The zones that list a client, as far as they were asked since the start.
    pub fn listing_zones(&self, client: Network) -> impl Iterator<Item = &str> {
        let listed = self.overlap.zones(client_key(client));
        let is_listed =
            move |place: &usize| u32::try_from(*place).is_ok_and(|place| listed >> place.min(31) & 1 == 1);
        self.zones
            .iter()
            .enumerate()
            .take(ZONES_MAX)
            .filter(move |(place, _)| is_listed(place))
            .map(|(_, zone)| zone.quota.zone.as_str())
    }

    /// Whether the configuration names a zone.
    pub fn is_configured(&self, zone: &str) -> bool {
        self.zones.iter().any(|z| z.configured && z.quota.zone == zone)
    }

    /// For each two zones of the configuration, and for each with itself: how many clients both list, of those that were listed
    /// lately.
    pub fn overlaps(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        let configured = |place: usize| {
            self.zones.get(place).filter(|zone| zone.configured).map(|zone| zone.quota.zone.as_str())
        };
        let rows = self.overlap.matrix(self.zones.len()).into_iter().enumerate();
        let cells =
            rows.flat_map(|(one, row)| row.into_iter().enumerate().map(move |(two, both)| (one, two, both)));
        cells.filter_map(move |(one, two, both)| Some((configured(one)?, configured(two)?, both)))
    }

    /// By zone: all queries since the beginning, and those about clients that a ban would have kept out.
    pub fn with_and_without(&self) -> Vec<(String, u64, u64)> {
        let told = |zone: &Zone| (zone.quota.zone.clone(), zone.tally.queries, zone.tally.kept_out);
        self.zones.iter().map(told).collect()
    }

    /// The kernel dropped packets of the banned: so many queries were not made, as far as it can be estimated.
    pub(crate) fn dropped(&mut self, packets: u64) {
        for zone in &mut self.zones {
            let Tally { queries, connections, .. } = zone.tally;
            let tries = packets / PACKETS_A_TRY;
            // As many of them would have led to a query as of those that were let in.
            let more = tries.saturating_mul(queries.min(connections)).checked_div(connections).unwrap_or(0);
            if more > 0 {
                zone.tally.avoided.bans += more;
                zone.changed = true;
            }
        }
    }

    pub(crate) fn everything_changed(&mut self) {
        self.zones.iter_mut().for_each(|zone| zone.changed = true);
        self.overlap.everything_changed();
    }

    pub(crate) fn take_changes(&mut self) -> Vec<(String, Option<String>)> {
        let mut rows = Vec::new();
        for zone in &mut self.zones {
            if std::mem::take(&mut zone.changed) {
                rows.push((zone.quota.zone.clone(), serde_json::to_string(&zone.tally).ok()));
            }
        }
        rows
    }

    /// Clients and the zones that list each, by name; none for one that had to go.
    pub(crate) fn take_overlap_changes(&mut self) -> Vec<(String, Option<String>)> {
        let changes = self.overlap.take_changes();
        let names = |zones: u32| -> String {
            let listing = (0..).zip(&self.zones).filter(|(place, _)| zones & (1u32 << place) != 0);
            listing.map(|(_, zone)| zone.quota.zone.as_str()).collect::<Vec<_>>().join(" ")
        };
        changes.into_iter().map(|(client, zones)| (format!("{client:032x}"), zones.map(names))).collect()
    }

    /// A client and the zones that list it, as they were saved.
    pub(crate) fn restore_overlap(&mut self, client: &str, zones: &str) {
        let Ok(client) = u128::from_str_radix(client, 16) else { return };
        let mut bits = 0;
        for name in zones.split_ascii_whitespace() {
            if self.place_of(name).is_none() {
                self.add(name);
            }
            let place = self.place_of(name).and_then(|place| u32::try_from(place).ok());
            bits |= place.and_then(|place| 1u32.checked_shl(place)).unwrap_or(0);
        }
        self.overlap.restore(client, bits);
    }

    pub(crate) fn restore(&mut self, name: &str, row: &str) {
        let Ok(tally) = serde_json::from_str::<Tally>(row) else { return };
        if let Some(zone) = self.place_of(name).and_then(|place| self.zones.get_mut(place)) {
            zone.tally = tally;
        } else if let Some(zone) = self.add(name) {
            zone.tally = tally;
        }
    }

    /// Where the log tells listings alone, each connection is asked about.
    fn connection(&mut self, at: Timestamp, kept_out: bool) -> Option<Notice> {
        let mut notice = None;
        for zone in &mut self.zones {
            zone.tally.connections += 1;
            if zone.quota.counted == Counted::Connections {
                zone.tally.kept_out += u64::from(kept_out);
                notice = zone.asked(at).or(notice);
            }
        }
        notice
    }

    fn query(&mut self, at: Timestamp, event: &Event<'_>, kept_out: bool) -> Option<Notice> {
        let zone = self.zone_of(event)?;
        let asked = zone.ask(at, event, kept_out);
        // Only who is not listed proves that a list answers: one that refuses lists everybody.
        let answers = matches!(event.field("result"), Some(b"pass" | b"accept"))
            && matches!(event.field("source"), None | Some(b"query"));
        if answers { zone.answered().or(asked) } else { asked }
    }

    fn listing(&mut self, at: Timestamp, event: &Event<'_>, kept_out: bool) -> Option<Notice> {
        let place = self.place(event).or_else(|| {
            let name = answer::zone(event)?;
            self.add(&name)?;
            self.place_of(&name)
        })?;
        let refusal = answer::refusal(event);
        let zone = self.zones.get_mut(place)?;
        // A line that tells of a query as well was counted as one.
        let told = event.field("result").is_some();
        let mut notice = None;
        match zone.quota.counted {
            Counted::Queries if !told => notice = zone.ask(at, event, kept_out),
            Counted::Queries => {}
            Counted::Connections => {
                for later in self.zones.iter_mut().skip(place + 1) {
                    if later.quota.counted == Counted::Connections {
                        later.not_asked(at);
                    }
                }
            }
        }
        let zone = self.zones.get_mut(place)?;
        if let Some(refusal) = refusal {
            return zone.failed(Some(refusal)).or(notice);
        }
        if zone.is_off() {
            return notice;
        }
        zone.tally.listed += 1;
        zone.changed = true;
        let client = event.address.map(|address| Network::around(address, 32, 64))?;
        match self.overlap.note(client_key(client), place) {
            Change::None => {}
            Change::Alone => zone.tally.alone += 1,
            Change::NoLonger(other) => {
                if let Some(other) = self.zones.get_mut(other) {
                    other.tally.alone = other.tally.alone.saturating_sub(1);
                    other.changed = true;
                }
            }
        }
        notice
    }

    /// The zone that an event is about; one that is new is added while there is room.
    fn zone_of(&mut self, event: &Event<'_>) -> Option<&mut Zone> {
        match self.place(event) {
            Some(place) => self.zones.get_mut(place),
            None => self.add(&answer::zone(event)?),
        }
    }

    fn place(&self, event: &Event<'_>) -> Option<usize> {
        match answer::zone(event) {
            Some(name) => self.place_of(&name),
            None => self.zones.iter().position(|zone| answer::is_about(&zone.quota.zone, event)),
        }
    }

    /// The zone of this name, or the one that it is a part of: a customer's key may stand before it.
    fn place_of(&self, name: &str) -> Option<usize> {
        let is = |zone: &Zone| {
            let own = zone.quota.zone.as_str();
            name == own || name.strip_suffix(own).is_some_and(|before| before.ends_with('.'))
        };
        self.zones.iter().position(is)
    }

    fn add(&mut self, name: &str) -> Option<&mut Zone> {
        let unconfigured = self.zones.iter().filter(|zone| !zone.configured).count();
        if unconfigured >= UNCONFIGURED_MAX || self.zones.len() >= ZONES_MAX {
            return None;
        }
        self.zones.push(Zone::new(Quota::daily(name, 0), false));
        self.zones.last_mut()
    }
}

impl Zone {
    /// Counts what a line says was asked, or was not, and why not.
    fn ask(&mut self, at: Timestamp, event: &Event<'_>, kept_out: bool) -> Option<Notice> {
        match event.field("source") {
            Some(b"cache") => self.tally.avoided.cache += 1,
            Some(b"known") => self.tally.avoided.known += 1,
            Some(_) | None => {
                self.tally.kept_out += u64::from(kept_out);
                return self.asked(at);
            }
        }
        self.changed = true;
        None
    }
}

fn client_key(client: Network) -> u128 {
    match client.net().addr() {
        std::net::IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()),
        std::net::IpAddr::V6(v6) => u128::from(v6),
    }
}
