//! What programs are to be told, what they were told, and who comes next. Pure: time is an argument.
//!
//! What is wanted and what was told are two books, and whoever differs in them waits in a queue. So it does not matter in
//! what order or how often somebody is banned and let in while programs run: in the end they were told what is wanted.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::firewall::Ports;
use crate::firewall::book::Book;
use crate::firewall::template::{Entry, Filled, Template};

/// Bans at a time: past this, new ones are refused. It would take programs too long to put them back.
pub(super) const BANS_MAX: usize = 100_000;
/// So many go to one program at once.
const TOGETHER_MAX: usize = 500;
/// What failed is tried again after this.
const AGAIN_AFTER: Duration = Duration::from_secs(60);
/// Two ends that are so near are the same.
const SAME_END: Duration = Duration::from_secs(1);

/// A ban: of whom, on which ports.
type Place = (IpNet, Ports);

/// The programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) ban: Template,
    pub(super) unban: Template,
}

/// What a program is run for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ban,
    Unban,
}

/// One run of a program.
#[derive(Debug)]
pub(super) struct Job {
    kind: Kind,
    /// Whom it is about, and when their bans end.
    places: Vec<(Place, Option<Instant>)>,
    pub(super) filled: Filled,
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    wanted: Book,
    /// What programs were told, and the end that they were told of.
    told: BTreeMap<Place, Instant>,
    queue: VecDeque<Place>,
    queued: HashSet<Place>,
    running: HashSet<Place>,
    /// What failed in company is tried by itself, to know whose fault it was.
    alone: HashSet<Place>,
    /// What failed by itself, and when it is tried again.
    again: BTreeSet<(Instant, Place)>,
    failing: BTreeMap<Place, String>,
    /// What is to be in force again and is not yet.
    restoring: HashSet<Place>,
    is_news: bool,
}

impl Ledger {
    pub(super) fn ban(&mut self, place: (IpNet, &Ports), remaining: Duration, now: Instant) {
        if self.wanted.len() >= BANS_MAX && !self.wanted.holds(place, now) {
            let why = format!("{BANS_MAX} bans are in force, and that is the limit");
            return self.fail((place.0, place.1.clone()), why);
        }
        self.wanted.ban(place, remaining, now);
        self.enqueue((place.0, place.1.clone()));
    }

    /// The same, unless it is so already.
    pub(super) fn restore(&mut self, place: (IpNet, &Ports), remaining: Duration, now: Instant) {
        let owned = (place.0, place.1.clone());
        let is_same = |end: &Instant| {
            end.max(&(now + remaining)).duration_since(*end.min(&(now + remaining))) < SAME_END
        };
        if self.told.get(&owned).is_some_and(is_same) && self.wanted.holds(place, now) {
            return;
        }
        self.ban(place, remaining, now);
        if self.queued.contains(&owned) {
            self.restoring.insert(owned);
        }
    }

    pub(super) fn unban(&mut self, place: (IpNet, &Ports)) {
        let owned = (place.0, place.1.clone());
        self.restoring.remove(&owned);
        if !self.told.contains_key(&owned) && self.failing.remove(&owned).is_some() {
            self.is_news = true;
        }
        if self.wanted.strike(place) {
            self.enqueue(owned);
        }
    }

    /// Lets everybody in.
    pub(super) fn clear(&mut self) {
        while let Some(place) = self.wanted.strike_first() {
            self.enqueue(place);
        }
        self.restoring.clear();
    }

    /// What has come to its end is to be ended, and what failed is to be tried again.
    pub(super) fn pass(&mut self, now: Instant) {
        while self.wanted.first_end().is_some_and(|end| end <= now)
            && let Some(place) = self.wanted.strike_first()
        {
            self.restoring.remove(&place);
            self.enqueue(place);
        }
        while self.again.first().is_some_and(|(at, _)| *at <= now)
            && let Some((_, place)) = self.again.pop_first()
        {
            self.enqueue(place);
        }
    }

    /// When [`Ledger::pass`] has something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        let again = self.again.first().map(|(at, _)| *at);
        self.wanted.first_end().into_iter().chain(again).min()
    }

    /// What is to be run next.
    pub(super) fn next(&mut self, programs: &Pair, now: Instant) -> Option<Job> {
        let (mut places, mut others) = (Vec::new(), VecDeque::new());
        let mut first: Option<Kind> = None;
        let mut looks = self.queue.len().min(4 * TOGETHER_MAX);
        while places.len() < TOGETHER_MAX
            && looks > 0
            && let Some(place) = self.queue.pop_front()
        {
            looks -= 1;
            if self.running.contains(&place) {
                others.push_back(place);
                continue;
            }
            let Some((kind, end)) = self.lacking(&place) else {
                self.queued.remove(&place);
                // What failed is wanted no more.
                self.is_news |= self.failing.remove(&place).is_some();
                continue;
            };
            let template = programs.of(kind);
            if !template.takes(place.0) {
                self.queued.remove(&place);
                self.fail(place, "the program takes an address, not a network".to_owned());
                continue;
            }
            let is_alone = self.alone.contains(&place);
            match first {
                None => {
                    first = Some(kind);
                    places.push((place, end));
                    if is_alone || !template.takes_many() {
                        break;
                    }
                }
                Some(of) => {
                    let joins = of == kind
                        && !is_alone
                        && places.first().is_some_and(|(first, first_end)| {
                            template.joins(entry(first, *first_end, now), entry(&place, end, now))
                        });
                    if joins { places.push((place, end)) } else { others.push_back(place) }
                }
            }
        }
        others.into_iter().rev().for_each(|place| self.queue.push_front(place));
        let kind = first?;
        let entries: Vec<Entry<'_>> = places.iter().map(|(place, end)| entry(place, *end, now)).collect();
        let (filled, count) = programs.of(kind).fill(&entries);
        for (place, _) in places.drain(count..).rev() {
            self.queue.push_front(place);
        }
        for (place, _) in &places {
            self.queued.remove(place);
            self.running.insert(place.clone());
        }
        Some(Job { kind, places, filled })
    }

    /// What became of a run.
    pub(super) fn ended(&mut self, job: Job, outcome: &Result<(), String>, now: Instant) {
        let Job { kind, places, .. } = job;
        let were_many = places.len() > 1;
        for (place, end) in places {
            self.running.remove(&place);
            match (outcome, kind) {
                (Ok(()), Kind::Ban) => drop(self.told.insert(place.clone(), end.unwrap_or(now))),
                (Ok(()), Kind::Unban) => drop(self.told.remove(&place)),
                (Err(_), _) if were_many => {
                    self.alone.insert(place.clone());
                    self.enqueue(place);
                    continue;
                }
                (Err(why), _) => {
                    self.alone.remove(&place);
                    self.again.insert((now + AGAIN_AFTER, place.clone()));
                    self.fail(place, why.clone());
                    continue;
                }
            }
            self.alone.remove(&place);
            self.restoring.remove(&place);
            self.is_news |= self.failing.remove(&place).is_some();
        }
    }

    /// True while nothing runs or waits to be run.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.running.is_empty()
    }

    /// True while all that is wanted is in force, but for what has just been asked for.
    pub(super) fn is_settled(&self) -> bool {
        self.failing.is_empty() && self.restoring.is_empty()
    }

    /// What fails, once after it has changed: how many, and the first of them and why.
    pub(super) fn news(&mut self) -> Option<Option<(usize, IpNet, String)>> {
        std::mem::take(&mut self.is_news).then(|| {
            let first = self.failing.first_key_value();
            first.map(|((network, _), why)| (self.failing.len(), *network, why.clone()))
        })
    }

    /// True while there is something to tell.
    pub(super) fn has_news(&self) -> bool {
        self.is_news
    }

    pub(super) fn holds(&self, place: (IpNet, &Ports), now: Instant) -> bool {
        self.told.contains_key(&(place.0, place.1.clone())) && self.wanted.holds(place, now)
    }

    pub(super) fn meeting(&self, address: IpAddr, now: Instant) -> Vec<Place> {
        let mut meeting = self.wanted.meeting(address, now);
        meeting.retain(|place| self.told.contains_key(place));
        meeting
    }

    /// What a program lacks about somebody, and when his ban ends.
    fn lacking(&self, place: &Place) -> Option<(Kind, Option<Instant>)> {
        match (self.wanted.end((place.0, &place.1)), self.told.contains_key(place)) {
            (Some(end), _) => Some((Kind::Ban, Some(end))),
            (None, true) => Some((Kind::Unban, None)),
            (None, false) => None,
        }
    }

    fn enqueue(&mut self, place: Place) {
        if self.queued.insert(place.clone()) {
            self.queue.push_back(place);
        }
    }

    fn fail(&mut self, place: Place, why: String) {
        self.restoring.remove(&place);
        if self.failing.len() < BANS_MAX {
            self.is_news |= self.failing.insert(place, why).is_none();
        }
    }
}

impl Pair {
    fn of(&self, kind: Kind) -> &Template {
        match kind {
            Kind::Ban => &self.ban,
            Kind::Unban => &self.unban,
        }
    }
}

fn entry<'p>((network, ports): &'p Place, end: Option<Instant>, now: Instant) -> Entry<'p> {
    let remaining = end.map_or(Duration::ZERO, |end| end.saturating_duration_since(now));
    Entry { network: *network, ports, remaining }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn pair(argument: &str) -> Pair {
        let argv = |word: &str| ["/sbin/fw".to_owned(), word.to_owned(), argument.to_owned()];
        Pair {
            ban: Template::parse(&argv("ban"), None).unwrap(),
            unban: Template::parse(&argv("unban"), None).unwrap(),
        }
    }

    fn net(n: u32) -> IpNet {
        format!("192.0.{}.{}/32", n / 256, n % 256).parse().unwrap()
    }

    /// Runs whatever is to be run, and says what that was; those who are `bad` make their program fail.
    fn run(ledger: &mut Ledger, programs: &Pair, now: Instant, bad: &[u32]) -> Vec<String> {
        let mut ran = Vec::new();
        while let Some(job) = ledger.next(programs, now) {
            let words = job.filled.argv.get(1..).unwrap_or_default().join(" ");
            let fails = bad.iter().any(|n| job.filled.argv.contains(&net(*n).addr().to_string()));
            ran.push(words);
            ledger.ended(job, &if fails { Err("no".to_owned()) } else { Ok(()) }, now);
        }
        ran
    }

    #[test]
    fn many_are_banned_by_one_run_and_each_is_let_in_at_its_end() {
        let (mut ledger, programs, now) = (Ledger::default(), pair("{networks}"), Instant::now());
        for (n, length) in [(1, HOUR), (2, HOUR), (3, HOUR / 2)] {
            ledger.ban((net(n), &Ports::All), length, now);
        }
        assert_eq!(run(&mut ledger, &programs, now, &[]), ["ban 192.0.0.1 192.0.0.2 192.0.0.3"]);
        assert_eq!(ledger.due(), Some(now + HOUR / 2));
        ledger.pass(now + HOUR / 2);
        assert_eq!(run(&mut ledger, &programs, now + HOUR / 2, &[]), ["unban 192.0.0.3"]);
        assert!(ledger.holds((net(1), &Ports::All), now) && !ledger.holds((net(3), &Ports::All), now));
        // What stands is not told again.
        ledger.restore((net(1), &Ports::All), HOUR, now);
        assert!(ledger.is_idle() && ledger.is_settled());
        ledger.clear();
        assert_eq!(run(&mut ledger, &programs, now, &[]), ["unban 192.0.0.1 192.0.0.2"]);
    }

    #[test]
    fn what_fails_in_company_is_tried_alone_and_told_of_and_tried_again() {
        let (mut ledger, programs, now) = (Ledger::default(), pair("{networks}"), Instant::now());
        (1..=3).for_each(|n| ledger.restore((net(n), &Ports::All), HOUR, now));
        assert!(!ledger.is_settled());
        let ran = run(&mut ledger, &programs, now, &[2]);
        assert_eq!(
            ran,
            ["ban 192.0.0.1 192.0.0.2 192.0.0.3", "ban 192.0.0.1", "ban 192.0.0.2", "ban 192.0.0.3"]
        );
        assert_eq!(ledger.news(), Some(Some((1, net(2), "no".to_owned()))));
        assert!(ledger.news().is_none() && !ledger.is_settled() && ledger.is_idle());
        ledger.pass(now + AGAIN_AFTER);
        assert_eq!(run(&mut ledger, &programs, now + AGAIN_AFTER, &[]), ["ban 192.0.0.2"]);
        assert_eq!((ledger.news(), ledger.is_settled()), (Some(None), true));
    }

    #[test]
    fn who_is_let_in_while_his_ban_is_carried_out_is_let_in_after_it() {
        let (mut ledger, programs, now) = (Ledger::default(), pair("{network}"), Instant::now());
        ledger.ban((net(1), &Ports::All), HOUR, now);
        let job = ledger.next(&programs, now).unwrap();
        ledger.unban((net(1), &Ports::All));
        assert!(ledger.next(&programs, now).is_none(), "one program at a time for one address");
        ledger.ended(job, &Ok(()), now);
        assert_eq!(run(&mut ledger, &programs, now, &[]), ["unban 192.0.0.1"]);
        // Who was banned and let in before anything ran costs no run.
        ledger.ban((net(1), &Ports::All), HOUR, now);
        ledger.unban((net(1), &Ports::All));
        assert!(run(&mut ledger, &programs, now, &[]).is_empty() && ledger.is_idle());
    }

    #[test]
    fn no_run_is_for_more_than_it_can_take_and_a_network_is_not_given_to_who_takes_addresses() {
        let (mut ledger, programs, now) = (Ledger::default(), pair("{addresses}"), Instant::now());
        (0..1200).for_each(|n| ledger.ban((net(n), &Ports::All), HOUR, now));
        ledger.ban(("198.51.100.0/24".parse().unwrap(), &Ports::All), HOUR, now);
        let ran = run(&mut ledger, &programs, now, &[]);
        assert_eq!(ran.iter().map(|words| words.split(' ').count() - 1).collect::<Vec<_>>(), [500, 500, 200]);
        let (count, network, _) = ledger.news().unwrap().unwrap();
        assert_eq!((count, network.to_string().as_str()), (1, "198.51.100.0/24"));
        ledger.unban(("198.51.100.0/24".parse().unwrap(), &Ports::All));
        assert!(ledger.is_settled());
    }
}
