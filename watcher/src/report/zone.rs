//! What each DNS blocklist caught, alone and together with others.
//!
//! A list that is asked only where the one before it said no is never asked about whom that one lists: what it would have
//! said nobody knows. So beside the clients that a zone lists stand those that it was asked about, and an overlap is told
//! as "of so many that both were asked about".

use std::collections::HashMap;
use std::net::IpAddr;

use super::finding::{Overlap, Zone};
use crate::event::{Event, Kind};
use crate::quota::answer;
use crate::subject::Network;

/// The zones that can be told apart: a bit each.
const ZONES_MAX: usize = 32;

/// So many clients are remembered; of a log that has more, the first ones.
const CLIENTS_MAX: usize = 1_000_000;

#[derive(Debug, Default)]
pub(super) struct Zones {
    zones: Vec<Tally>,
    clients: HashMap<Network, Masks, foldhash::fast::RandomState>,
    is_full: bool,
}

#[derive(Debug, Default)]
struct Tally {
    name: String,
    queries: u64,
    listings: u64,
    errors: u64,
}

/// The zones that were asked about a client, and those that list him.
#[derive(Clone, Copy, Debug, Default)]
struct Masks {
    asked: u32,
    listed: u32,
}

impl Zones {
    pub(super) fn event(&mut self, event: &Event<'_>) {
        let listed = match event.kind {
            Kind::DnsblListed => true,
            Kind::DnsblQuery | Kind::DnsblError => false,
            _ => return,
        };
        let Some(place) = self.place(event) else { return };
        let bit = 1u32 << place;
        let refusal = answer::refusal(event).is_some();
        // A line that tells of a query as well makes two events; one that does not tells of both by itself.
        let told = event.field("result").is_some();
        if let Some(zone) = self.zones.get_mut(place) {
            // What was remembered is no query.
            let asked = matches!(event.field("source"), None | Some(b"query"));
            zone.queries += u64::from(asked && (!listed || !told));
            zone.listings += u64::from(listed && !refusal);
            zone.errors += u64::from(event.kind == Kind::DnsblError || refusal && (listed || !told));
        }
        let Some(address) = event.address.filter(|_| event.kind != Kind::DnsblError && !refusal) else {
            return;
        };
        let client = Network::around(address, 32, 64);
        if self.clients.len() >= CLIENTS_MAX && !self.clients.contains_key(&client) {
            self.is_full = true;
            return;
        }
        let masks = self.clients.entry(client).or_default();
        masks.asked |= bit;
        masks.listed |= if listed { bit } else { 0 };
    }

    /// Which zones list a client.
    pub(super) fn listing(&self, address: IpAddr) -> Vec<String> {
        let masks = self.clients.get(&Network::around(address, 32, 64)).copied().unwrap_or_default();
        let of =
            |(place, zone): (usize, &Tally)| (masks.listed & (1 << place) != 0).then(|| zone.name.clone());
        self.zones.iter().enumerate().filter_map(of).collect()
    }

    /// How many are counted.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.zones.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    /// The zones, each where it adds most to those before it, and each against each other.
    pub(super) fn findings(&self) -> (Vec<Zone>, Vec<Overlap>) {
        // Clients of which the same is known are counted together: a million of them are a few hundred sorts.
        let mut sorts: HashMap<(u32, u32), u64> = HashMap::new();
        for masks in self.clients.values() {
            *sorts.entry((masks.asked, masks.listed)).or_default() += 1;
        }
        let count = |holds: &dyn Fn(&Masks) -> bool| -> u64 {
            let of =
                sorts.iter().filter(|((asked, listed), _)| holds(&Masks { asked: *asked, listed: *listed }));
            of.map(|(_, count)| count).sum()
        };
        let (mut left, mut taken): (Vec<usize>, u32) = ((0..self.zones.len()).collect(), 0);
        let mut zones: Vec<(usize, Zone)> = Vec::new();
        while !left.is_empty() {
            let adds = |place: &usize| count(&|m| m.listed & (1 << place) != 0 && m.listed & taken == 0);
            // Of equals, the one that was seen first.
            let next = left.iter().map(|place| (adds(place), std::cmp::Reverse(*place))).max();
            let Some((adds, std::cmp::Reverse(place))) = next else { break };
            left.retain(|other| *other != place);
            taken |= 1 << place;
            let (Some(tally), bit) = (self.zones.get(place), 1u32 << place) else { break };
            let zone = Zone {
                zone: tally.name.clone(),
                queries: tally.queries,
                listings: tally.listings,
                errors: tally.errors,
                asked: count(&|m| m.asked & bit != 0),
                clients: count(&|m| m.listed & bit != 0),
                alone: count(&|m| m.listed == bit),
                alone_for_certain: count(&|m| m.listed == bit && m.asked != bit),
                adds,
            };
            zones.push((place, zone));
        }
        let mut overlap = Vec::new();
        for (one, zone) in &zones {
            for (two, other) in zones.iter().filter(|(two, _)| two != one) {
                let both_asked = |m: &Masks| m.listed & (1 << one) != 0 && m.asked & (1 << two) != 0;
                overlap.push(Overlap {
                    zone: zone.zone.clone(),
                    other: other.zone.clone(),
                    asked: count(&both_asked),
                    both: count(&|m| both_asked(m) && m.listed & (1 << two) != 0),
                });
            }
        }
        (zones.into_iter().map(|(_, zone)| zone).collect(), overlap)
    }

    /// The place of the zone that an event is about; a new one while there is room.
    fn place(&mut self, event: &Event<'_>) -> Option<usize> {
        let name = answer::zone(event).or_else(|| site(event)).unwrap_or_else(|| "(not named)".to_owned());
        if let Some(place) = self.zones.iter().position(|zone| zone.name == name) {
            return Some(place);
        }
        if self.zones.len() >= ZONES_MAX {
            self.is_full = true;
            return None;
        }
        self.zones.push(Tally { name, ..Tally::default() });
        Some(self.zones.len() - 1)
    }
}

/// The site of the page that a list's text names, where the log does not name the zone.
fn site(event: &Event<'_>) -> Option<String> {
    let text = ["message", "text", "reason"].into_iter().find_map(|name| event.field(name))?;
    let text = std::str::from_utf8(text).ok()?.to_ascii_lowercase();
    let (_, rest) = text.split_once("://")?;
    let host = rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '.')).next()?;
    let labels: Vec<&str> = host.rsplit('.').take(2).collect();
    let [top, site] = labels.as_slice() else { return None };
    (!top.is_empty() && !site.is_empty() && host.len() <= 253).then(|| format!("{site}.{top} (by its text)"))
}
