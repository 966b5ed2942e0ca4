//! Who is asked about whom, and when: what is remembered, what a zone's budget still has, and whether it works.
//! Pure: it is told the time, and what was answered.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

use logline::Timestamp;

use super::budget::{Advance, Budget, Worth};
use super::health::{Health, Sign};
use super::neighbours::{Counts, Neighbours};
use super::verdicts::{Client, Said, Verdict, Verdicts};
use super::{Blocklist, Finding, Terms, ZoneAnswer};

/// Verdicts that are remembered, of all zones together: some 30 MB.
pub const VERDICTS_MAX: usize = 200_000;

/// Who comes again sooner than this after it was put off does not wait as mail servers do (RFC 5321 §4.5.4.1 has 30
/// minutes; Postfix waits 5, qmail 6:40).
const PUT_OFF: Duration = Duration::from_secs(180);

/// Who comes again later than this is a newcomer anew.
const AWAITED: Duration = Duration::from_secs(86_400);

/// Clients of whom something new is kept until it is written down. Where that fails for long, what is newer costs a query
/// after a restart.
const CHANGED_MAX: usize = 50_000;

/// So many clients in a row that a zone lists, and it is tested whether it lists everybody: its owner may have sold the name
/// since the last test. A botnet looks the same, and costs a test.
const DOUBTFUL: u32 = 20;

/// How long it is not tested again for that reason.
const DOUBT_PAUSE: Duration = Duration::from_secs(600);

/// What the books say of a client, before anybody is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// It need not be asked.
    Answer(LookUp),
    /// The zone is to be asked.
    Ask,
}

/// How a look-up ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookUp {
    /// There is a verdict.
    Found {
        /// What it is.
        finding: Finding,
        /// Where it comes from.
        origin: Origin,
    },
    /// The zone's budget has no query for this client; nobody is listed.
    NoBudget,
    /// The zone is left alone for now; nobody is listed.
    Resting,
    /// The client is a newcomer among listed neighbours; it is asked about when it comes again.
    PutOff,
}

/// Where a verdict comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The zone was asked.
    Query,
    /// It was asked before.
    Cache,
    /// Mail of this client was accepted lately.
    Known,
}

/// The books of all zones.
#[derive(Debug)]
pub struct Desk {
    zones: Vec<Zone>,
    verdicts: Verdicts,
    neighbours: Neighbours,
    /// Of whom something was learned that is written nowhere.
    changed: HashSet<Client>,
}

#[derive(Debug)]
struct Zone {
    list: Blocklist,
    budget: Budget,
    health: Health,
    /// How it stood when the books on disk were open last.
    booked_health: Health,
    /// Clients in a row that it was asked about and lists.
    row: u32,
    /// When it was doubted last.
    doubted: Option<Timestamp>,
}

/// What stands in the books on disk about one zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    /// When its period began.
    pub(super) began: Timestamp,
    /// What was used in it.
    pub(super) used: u64,
    /// How it stands.
    pub(super) health: Health,
}

/// What stands there about one client.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) client: Client,
    /// By the shown name of the zone.
    pub(super) verdicts: Vec<(String, Verdict)>,
    pub(super) neighbours: Option<Counts>,
}

impl Desk {
    /// Books in which nothing stands.
    pub fn new(lists: &[Blocklist]) -> Self {
        let zone = |list: &Blocklist| Zone {
            list: list.clone(),
            budget: Budget::new(list.terms.limit),
            health: Health::default(),
            booked_health: Health::default(),
            row: 0,
            doubted: None,
        };
        Desk {
            zones: lists.iter().map(zone).collect(),
            verdicts: Verdicts::new(VERDICTS_MAX),
            neighbours: Neighbours::default(),
            changed: HashSet::new(),
        }
    }

    /// What is to be done about a client. A query that is said to be asked is counted as asked.
    pub fn plan(&mut self, now: Timestamp, zone: usize, address: IpAddr) -> Plan {
        let Some((key, entry)) = u16::try_from(zone).ok().zip(self.zones.get_mut(zone)) else {
            return Plan::Answer(LookUp::Resting);
        };
        let client = Client::of(address);
        let remembered = self.verdicts.get(key, client);
        let came_again = match remembered {
            Some(Verdict { said: Said::PutOff, since, until }) if *until > now => {
                if now.since(*since) < PUT_OFF {
                    return Plan::Answer(LookUp::PutOff);
                }
                true
            }
            Some(verdict) if verdict.until > now => return Plan::Answer(verdict.look_up()),
            Some(_) | None => false,
        };
        let old = remembered.filter(|verdict| verdict.said != Said::PutOff);
        if !entry.health.is_well(now) {
            return Plan::Answer(old.map_or(LookUp::Resting, Verdict::look_up));
        }
        let is_newcomer = old.is_none() && !came_again;
        if is_newcomer && self.neighbours.are_listed(now, client, entry.list.terms.neighbours) {
            let put_off = Verdict { said: Said::PutOff, since: now, until: now + AWAITED };
            self.remember(key, client, put_off);
            return Plan::Answer(LookUp::PutOff);
        }
        let worth = if old.is_some() { Worth::Stale } else { Worth::Unheard };
        let queries = entry.list.queries();
        if !entry.budget.allows(now, worth, queries) {
            // An old verdict is better than none.
            return Plan::Answer(old.map_or(LookUp::NoBudget, Verdict::look_up));
        }
        entry.budget.spend(now, queries);
        Plan::Ask
    }

    /// Takes in what the zone answered.
    pub fn answered(&mut self, now: Timestamp, zone: usize, address: IpAddr, answer: &ZoneAnswer) -> LookUp {
        let Some((key, entry)) = u16::try_from(zone).ok().zip(self.zones.get_mut(zone)) else {
            return LookUp::Resting;
        };
        if !matches!(answer, ZoneAnswer::Addresses { codes, .. } if entry.list.wants_text(codes)) {
            // Nobody asked for the text.
            entry.budget.give_back(now, entry.list.queries() - 1);
        }
        let finding = entry.list.judge(address, answer);
        if !entry.health.is_well(now) {
            // It was under way when the zone was found not to be relied on; an error is no listing anyway.
            return LookUp::Resting;
        }
        let sign = match (&finding, answer) {
            (Finding::Clear | Finding::Listed(_), _) => Sign::Good,
            (Finding::Error(_), ZoneAnswer::Failed) => Sign::Silent,
            (Finding::Error(_), _) => Sign::Refuses,
        };
        entry.row = match &finding {
            Finding::Listed(_) => entry.row.saturating_add(1),
            Finding::Clear => 0,
            Finding::Error(_) => entry.row,
        };
        if let Some(rest) = entry.health.saw(now, sign) {
            let zone = entry.list.shown_zone();
            tracing::error!(zone, ?finding, "this blocklist is not asked for {} s", rest.as_secs());
        }
        let (terms, client) = (&entry.list.terms, Client::of(address));
        let before = self.verdicts.get(key, client);
        let (said, holds) = match &finding {
            Finding::Clear => {
                self.neighbours.clear(client);
                (Said::Clear, terms.passes(before))
            }
            Finding::Listed(listing) => {
                if !before.is_some_and(|verdict| matches!(verdict.said, Said::Listed(_))) {
                    self.neighbours.listed(now, client);
                }
                (Said::Listed(listing.clone()), terms.listed_for)
            }
            // An error is no verdict about anybody.
            Finding::Error(_) => return LookUp::Found { finding, origin: Origin::Query },
        };
        if holds > Duration::ZERO {
            self.remember(key, client, Verdict { said, since: now, until: now + holds });
        }
        LookUp::Found { finding, origin: Origin::Query }
    }

    /// Mail of a client was accepted: zones that do not list it are not asked for a while.
    pub fn accepted(&mut self, now: Timestamp, address: IpAddr) {
        let client = Client::of(address);
        let known_for: Vec<Duration> = self.zones.iter().map(|zone| zone.list.terms.known_for).collect();
        for (key, known_for) in (0_u16..).zip(known_for) {
            let until = now + known_for;
            match self.verdicts.get(key, client) {
                Some(Verdict { said: Said::Clear | Said::Known, until: before, .. }) if *before < until => {}
                Some(_) | None => continue,
            }
            self.remember(key, client, Verdict { said: Said::Known, since: now, until });
        }
    }

    fn remember(&mut self, key: u16, client: Client, verdict: Verdict) {
        self.verdicts.insert(key, client, verdict);
        if self.changed.len() < CHANGED_MAX {
            self.changed.insert(client);
        }
    }

    /// Takes the queries that a zone's own test needs; false where the limit has none for it.
    pub fn spend_for_test(&mut self, now: Timestamp, zone: usize, queries: u64) -> bool {
        let Some(zone) = self.zones.get_mut(zone) else { return false };
        let has_left = zone.budget.has_left(now, queries);
        if has_left {
            zone.budget.spend(now, queries);
        }
        has_left
    }

    /// Takes back what was spent for a query that was not made.
    pub fn give_back(&mut self, now: Timestamp, zone: usize, queries: u64) {
        if let Some(zone) = self.zones.get_mut(zone) {
            zone.budget.give_back(now, queries);
        }
    }

    /// What a zone's own test showed; tells for how long it is left alone.
    pub fn tested(&mut self, now: Timestamp, zone: usize, sign: Sign) -> Option<Duration> {
        self.zones.get_mut(zone)?.health.saw(now, sign)
    }

    /// Whether some zone may have begun to list everybody.
    pub fn is_in_doubt(&self, now: Timestamp) -> bool {
        self.zones.iter().any(|zone| zone.is_doubtful(now))
    }

    /// The zones that may have, which are to be tested now.
    pub fn take_doubts(&mut self, now: Timestamp) -> Vec<usize> {
        let mut doubts = Vec::new();
        for (index, zone) in self.zones.iter_mut().enumerate().filter(|(_, zone)| zone.is_doubtful(now)) {
            (zone.row, zone.doubted) = (0, Some(now));
            doubts.push(index);
        }
        doubts
    }

    /// A zone was found to list everybody: nobody is listed by what it said.
    pub fn forget_listings(&mut self, zone: usize) {
        if let Ok(key) = u16::try_from(zone) {
            self.verdicts.forget_listings(key);
        }
    }

    /// How many verdicts are remembered.
    pub fn remembered(&self) -> usize {
        self.verdicts.len()
    }

    /// Each zone by its shown name, with what was spent of it, and whether it may be asked.
    pub fn zones(&self, now: Timestamp) -> impl Iterator<Item = (&str, Budget, bool)> {
        self.zones.iter().map(move |zone| (zone.list.shown_zone(), zone.budget, zone.health.is_well(now)))
    }

    /// The zones by their shown names.
    pub(super) fn names(&self) -> Vec<String> {
        self.zones.iter().map(|zone| zone.list.shown_zone().to_owned()).collect()
    }

    /// Whether it is remembered what a zone said of a client, so that nobody need be asked.
    pub(super) fn remembers(&self, now: Timestamp, zone: usize, client: Client) -> bool {
        let key = u16::try_from(zone).ok();
        key.and_then(|key| self.verdicts.get(key, client)).is_some_and(|verdict| verdict.until > now)
    }

    /// Whether one more look-up needs queries that were not taken from the books in advance.
    pub(super) fn is_short(&mut self, now: Timestamp, zone: usize) -> bool {
        let zone = self.zones.get_mut(zone);
        zone.is_some_and(|zone| zone.budget.is_short(now, zone.list.queries()))
    }

    /// Settles one zone's account with the books on disk; gives what is to stand there.
    pub(super) fn settle(
        &mut self,
        now: Timestamp,
        zone: usize,
        booked: Option<Account>,
        advance: Advance,
    ) -> Option<Account> {
        let zone = self.zones.get_mut(zone)?;
        let used = booked.map(|booked| (booked.began, booked.used));
        let (began, used) = zone.budget.settle(now, used, advance);
        if let Some(booked) = booked
            && zone.health == zone.booked_health
        {
            zone.health = booked.health;
        }
        zone.booked_health = zone.health;
        Some(Account { began, used, health: zone.health })
    }

    /// Takes in what stands on disk about a client, as far as it is newer than what is remembered.
    pub(super) fn learn(&mut self, page: Page) {
        let Page { client, verdicts, neighbours } = page;
        for (name, verdict) in verdicts {
            let zones = (0_u16..).zip(&self.zones);
            let keys = zones.filter(|(_, zone)| zone.list.shown_zone() == name).map(|(key, _)| key);
            for key in keys.collect::<Vec<_>>() {
                if self.verdicts.get(key, client).is_none_or(|known| known.since < verdict.since) {
                    self.verdicts.insert(key, client, verdict.clone());
                }
            }
        }
        if let Some(counts) = neighbours {
            self.neighbours.restore(client, counts);
        }
    }

    /// Whether there is anything that does not stand on disk.
    pub(super) fn has_news(&self) -> bool {
        let is_new = |zone: &Zone| zone.budget.has_news() || zone.health != zone.booked_health;
        !self.changed.is_empty() || self.zones.iter().any(is_new)
    }

    /// What is to be written about clients.
    pub(super) fn news(&mut self) -> Vec<Page> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|client| self.page(client)).collect()
    }

    fn page(&self, client: Client) -> Page {
        let verdict = |(key, zone): (u16, &Zone)| {
            let verdict = self.verdicts.get(key, client)?;
            Some((zone.list.shown_zone().to_owned(), verdict.clone()))
        };
        let verdicts = (0_u16..).zip(&self.zones).filter_map(verdict).collect();
        Page { client, verdicts, neighbours: self.neighbours.counts(client) }
    }
}

impl Zone {
    fn is_doubtful(&self, now: Timestamp) -> bool {
        self.row >= DOUBTFUL && self.doubted.is_none_or(|before| now.since(before) >= DOUBT_PAUSE)
    }
}

impl Terms {
    /// How long it is remembered that a client is not listed, which was known so before: who was clean for long mostly
    /// stays so.
    fn passes(&self, before: Option<&Verdict>) -> Duration {
        let held = before.filter(|verdict| matches!(verdict.said, Said::Clear | Said::Known));
        let doubled = held.map_or(Duration::ZERO, |verdict| 2 * verdict.until.since(verdict.since));
        doubled.max(self.passed_for).min(self.passed_for_max.max(self.passed_for))
    }
}

impl Verdict {
    fn look_up(&self) -> LookUp {
        let (finding, origin) = match &self.said {
            Said::PutOff => return LookUp::PutOff,
            Said::Clear => (Finding::Clear, Origin::Cache),
            Said::Known => (Finding::Clear, Origin::Known),
            Said::Listed(listing) => (Finding::Listed(listing.clone()), Origin::Cache),
        };
        LookUp::Found { finding, origin }
    }
}

#[cfg(test)]
mod tests;
