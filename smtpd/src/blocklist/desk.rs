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
        if !matches!(answer, ZoneAnswer::Addresses { .. }) {
            // Nobody asked for the text.
            entry.budget.give_back(now, entry.list.queries() - 1);
        }
        let finding = entry.list.judge(address, answer);
        let sign = match (&finding, answer) {
            (Finding::Clear | Finding::Listed(_), _) => Sign::Good,
            (Finding::Error(_), ZoneAnswer::Failed) => Sign::Silent,
            (Finding::Error(_), _) => Sign::Refuses,
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
mod tests {
    use super::*;
    use crate::blocklist::{Action, Limit, Listing};

    const HOUR: Duration = Duration::from_secs(3600);
    /// 2026-11-21 00:00 UTC.
    const START: Timestamp = Timestamp::from_seconds(1_795_219_200);

    fn desk(limit: Option<u64>) -> Desk {
        let limit = limit.map(|queries| Limit { queries, period: 24 * HOUR, reset: Duration::ZERO });
        let terms = Terms { limit, ..Terms::default() };
        Desk::new(&[Blocklist::new("list.example", Action::Delay, None).with_terms(terms)])
    }

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn listed() -> ZoneAnswer {
        ZoneAnswer::Addresses { codes: vec![[127, 0, 0, 2].into()], text: Some(b"spam".to_vec()) }
    }

    fn listing() -> Finding {
        Finding::Listed(Listing { text: b"spam".to_vec(), codes: vec![[127, 0, 0, 2].into()] })
    }

    fn found(finding: Finding, origin: Origin) -> Plan {
        Plan::Answer(LookUp::Found { finding, origin })
    }

    #[test]
    fn a_verdict_is_asked_for_once_while_it_holds() {
        let mut desk = desk(None);
        assert_eq!(desk.plan(START, 0, address(1)), Plan::Ask);
        desk.answered(START, 0, address(1), &listed());
        let cached = found(listing(), Origin::Cache);
        assert_eq!(desk.plan(START + 23 * HOUR, 0, address(1)), cached);
        assert_eq!(desk.plan(START + 24 * HOUR, 0, address(1)), Plan::Ask);
        desk.plan(START, 0, address(2));
        desk.answered(START, 0, address(2), &ZoneAnswer::NotListed);
        assert_eq!(desk.plan(START + HOUR / 2, 0, address(2)), found(Finding::Clear, Origin::Cache));
        assert_eq!(desk.plan(START + HOUR, 0, address(2)), Plan::Ask);
    }

    #[test]
    fn a_client_whose_mail_was_accepted_is_not_asked_about_for_a_day() {
        let mut desk = desk(None);
        desk.plan(START, 0, address(1));
        desk.answered(START, 0, address(1), &ZoneAnswer::NotListed);
        desk.accepted(START + HOUR / 2, address(1));
        assert_eq!(desk.plan(START + 24 * HOUR, 0, address(1)), found(Finding::Clear, Origin::Known));
        assert_eq!(desk.plan(START + 25 * HOUR, 0, address(1)), Plan::Ask);
        // Nobody becomes known by being listed, or by never having been asked about.
        desk.answered(START, 0, address(2), &listed());
        desk.accepted(START, address(2));
        desk.accepted(START, address(3));
        assert!(matches!(
            desk.plan(START, 0, address(2)),
            Plan::Answer(LookUp::Found { finding: Finding::Listed(_), .. })
        ));
        assert_eq!(desk.plan(START, 0, address(3)), Plan::Ask);
    }

    #[test]
    fn who_stays_clean_is_asked_about_less_and_less() {
        let (mut desk, mut now, mut hours) = (desk(None), START, Vec::new());
        for _ in 0..6 {
            assert_eq!(desk.plan(now, 0, address(1)), Plan::Ask);
            desk.answered(now, 0, address(1), &ZoneAnswer::NotListed);
            let held = (1..).find(|n| desk.plan(now + *n * HOUR, 0, address(1)) == Plan::Ask).unwrap();
            hours.push(held);
            now = now + held * HOUR;
        }
        assert_eq!(hours, [1, 2, 4, 8, 16, 24]);
    }

    #[test]
    fn a_newcomer_among_listed_neighbours_is_asked_about_when_it_comes_again() {
        let terms = Terms { neighbours: 2, ..Terms::default() };
        let mut desk = Desk::new(&[Blocklist::new("list.example", Action::Delay, None).with_terms(terms)]);
        for last in 1..=2 {
            desk.plan(START, 0, address(last));
            desk.answered(START, 0, address(last), &listed());
        }
        let minute = Duration::from_secs(60);
        assert_eq!(desk.plan(START, 0, address(3)), Plan::Answer(LookUp::PutOff));
        assert_eq!(desk.plan(START + minute, 0, address(3)), Plan::Answer(LookUp::PutOff), "too soon");
        assert_eq!(desk.plan(START + 5 * minute, 0, address(3)), Plan::Ask);
        desk.answered(START + 5 * minute, 0, address(3), &ZoneAnswer::NotListed);
        assert_eq!(desk.plan(START + 6 * minute, 0, address(3)), found(Finding::Clear, Origin::Cache));
        // A client that was known before the neighbours were is no newcomer.
        assert_eq!(desk.plan(START + 24 * HOUR, 0, address(3)), Plan::Ask);
    }

    #[test]
    fn an_error_is_no_verdict_and_the_zone_rests() {
        let mut desk = desk(None);
        let refused = ZoneAnswer::Addresses { codes: vec![[127, 255, 255, 255].into()], text: None };
        desk.plan(START, 0, address(1));
        let look_up = desk.answered(START, 0, address(1), &refused);
        assert!(matches!(look_up, LookUp::Found { finding: Finding::Error(_), origin: Origin::Query }));
        assert_eq!(desk.plan(START, 0, address(1)), Plan::Answer(LookUp::Resting));
        assert_eq!(desk.plan(START + Duration::from_secs(60), 0, address(1)), Plan::Ask);
    }

    #[test]
    fn where_the_budget_is_spent_nobody_new_is_listed_and_old_verdicts_hold_on() {
        let mut desk = desk(Some(40));
        desk.plan(START, 0, address(1));
        desk.answered(START, 0, address(1), &listed());
        // Four at once; the listing took one for its text, and the others gave theirs back.
        for last in 2..=3 {
            assert_eq!(desk.plan(START, 0, address(last)), Plan::Ask);
            desk.answered(START, 0, address(last), &ZoneAnswer::NotListed);
        }
        assert_eq!(desk.plan(START, 0, address(4)), Plan::Answer(LookUp::NoBudget));
        assert!(desk.spend_for_test(START + 25 * HOUR, 0, 40));
        assert!(!desk.spend_for_test(START + 25 * HOUR, 0, 1), "a test is no reason to ask too much");
        let old = desk.plan(START + 25 * HOUR, 0, address(1));
        assert_eq!(old, found(listing(), Origin::Cache));
    }
}
