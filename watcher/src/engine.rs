//! The engine: events in, bans out. Pure: it reads no clock, does no I/O, and the same inputs give the same outputs.
//!
//! Time is the time of the events. A ban begins when the line that led to it was written and ends so much later; that
//! is why replaying a log gives the bans that living through it gave.

mod asked;
mod bans;
mod campaign;
mod counters;
mod decide;
mod evidence;
mod exempt;
mod explain;
mod input;
mod key;
mod known;
mod lease;
mod rollup;
mod row;
mod state;
mod table;
mod window;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use logline::Timestamp;

pub use asked::{ASKED_FOR, ASKED_MAX, Asked};
pub use bans::{Bans, InForce, MEMORY, REMEMBERED_MAX};
pub use counters::{COUNTERS_MAX, CounterKey, What};
pub use evidence::{EVIDENCE_BYTES_MAX, Evidence, LINE_BYTES_MAX};
pub use exempt::{ALLOWED_MAX, Allowance, Exemption, Exemptions};
pub use explain::{Explanation, Part, Reason, Standing};
pub use input::{End, Input, Order, Output, Release};
pub use known::{Credit, HISTORY, KNOWN, KNOWN_MAX};
pub use lease::{Ban, Lease, Terms};
pub use row::CounterRow;

use crate::event::Kind;
use crate::jail::{Jail, JailName, Jails, MANUAL, Mode, Per, Ports};
use crate::quota::{Book, Quota};
use crate::subject::{Network, Subject};
use asked::Questions;
use counters::Counters;
use evidence::EvidenceLog;
use key::{key_of, user_at_low, user_key};
use known::Known;

/// A stamp may be so far ahead of the clock: two clocks of one machine, read in another order than they were written.
pub const SKEW_MAX: Duration = Duration::from_secs(5);

/// Counters, offenders, bans, and who is known.
#[derive(Debug)]
pub struct Engine {
    jails: Jails,
    /// For each kind of event, in the order of [`Kind::ALL`], the places of the jails that it concerns.
    concerned: Arc<[Vec<usize>]>,
    /// The terms of each jail's bans, in the order of the jails.
    terms: Vec<Arc<Terms>>,
    exemptions: Exemptions,
    counters: Counters,
    /// How many events each jail has counted, in the order of the jails.
    offences: Vec<u64>,
    evidence: EvidenceLog,
    bans: Bans,
    known: Known,
    questions: Questions,
    book: Book,
    /// What hashes begin with: whoever does not know it cannot make two names meet.
    seed: u64,
    /// Whether changes are noted, for whoever saves them.
    saving: bool,
    /// Entries by hand that changed.
    allowed_changes: Vec<Network>,
    /// Networks that were banned while an event was handled, for the jails that count bans.
    banned: Vec<(JailName, Subject)>,
}

impl Engine {
    /// An engine that has seen nothing.
    pub fn new(jails: Jails, exemptions: Exemptions) -> Self {
        Engine {
            concerned: concerned(&jails),
            terms: terms(&jails),
            counters: Counters::new(&jails),
            offences: vec![0; jails.iter().count()],
            jails,
            exemptions,
            evidence: EvidenceLog::default(),
            bans: Bans::default(),
            known: Known::new(0),
            questions: Questions::default(),
            book: Book::default(),
            seed: 0,
            saving: true,
            allowed_changes: Vec::new(),
            banned: Vec::new(),
        }
    }

    /// With budgets of DNS blocklists.
    #[must_use]
    pub fn with_quotas(mut self, quotas: &[Quota]) -> Self {
        self.book.configure(quotas);
        self
    }

    /// With a seed for its hashes. What was saved under another one is not found again.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self.known.reseed(seed);
        self
    }

    /// With another bound on its counters than [`COUNTERS_MAX`].
    #[must_use]
    pub fn with_counters_max(mut self, most: usize) -> Self {
        self.counters.most = most.max(1);
        self
    }

    /// For one who never asks what changed: nothing is noted for him.
    #[must_use]
    pub fn unsaved(mut self) -> Self {
        self.saving = false;
        self.counters.saving = false;
        self
    }

    /// The one way in: what is to be done is appended to `out`, in order.
    pub fn handle(&mut self, now: Timestamp, input: Input<'_>, out: &mut Vec<Output>) {
        match input {
            Input::Event(event) => self.event(now, event, out),
            Input::Ban(order) => self.order(now, order, out),
            Input::Unban(release) => self.release(now, &release, out),
            Input::Allow { networks, until, note } => self.allow(now, &networks, until, note.as_deref(), out),
            Input::Disallow(network) => self.disallow(network, out),
            Input::Confirm { subject, ban } => self.confirm(now, &subject, ban, out),
            Input::Dropped { packets } => self.book.dropped(packets),
            Input::Tick => self.tick(now, out),
        }
    }

    /// Other jails and exemptions from now on. Counters of a jail that stays as it was stay; bans stay until they end,
    /// but for those of subjects that are exempt now. Entries by hand stay.
    pub fn reconfigure(
        &mut self,
        now: Timestamp,
        jails: Jails,
        exemptions: Exemptions,
        out: &mut Vec<Output>,
    ) {
        let place = |new: &Arc<Jail>| self.jails.find(&new.name).filter(|(_, old)| *old == new);
        let kept: Vec<Option<usize>> = jails.iter().map(|new| place(new).map(|(index, _)| index)).collect();
        self.counters.rekey(&jails, &kept);
        self.concerned = concerned(&jails);
        self.terms = terms(&jails);
        let counted: HashMap<JailName, u64> =
            self.offences().map(|(name, count)| (name.clone(), count)).collect();
        self.offences = jails.iter().map(|jail| counted.get(&jail.name).copied().unwrap_or(0)).collect();
        self.jails = jails;
        self.exemptions = exemptions.with_allowed_of(&mut self.exemptions);
        self.free_exempt(now, out);
    }

    /// Other budgets from now on; those that stay go on.
    pub fn set_quotas(&mut self, quotas: &[Quota]) {
        self.book.configure(quotas);
    }

    /// The budgets of the DNS blocklists.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// How many events each jail has counted.
    pub fn offences(&self) -> impl Iterator<Item = (&JailName, u64)> {
        self.jails.iter().zip(&self.offences).map(|(jail, count)| (&jail.name, *count))
    }

    /// The jails in use.
    pub fn jails(&self) -> &Jails {
        &self.jails
    }

    /// Who is exempt.
    pub fn exemptions(&self) -> &Exemptions {
        &self.exemptions
    }

    /// Why this network is never banned, if so.
    pub fn exemption(&self, network: Network, now: Timestamp) -> Option<Exemption> {
        self.exemptions.cover(network, now)
    }

    /// What a network has to its credit.
    pub fn credit(&self, network: Network, now: Timestamp) -> Credit {
        self.known.credit(network, now)
    }

    /// The bans that wait for the administrator's word.
    pub fn asked(&self) -> impl Iterator<Item = &Asked> {
        self.questions.iter()
    }

    /// Every ban that is in force, in no order.
    pub fn bans(&self, now: Timestamp) -> impl Iterator<Item = (&Subject, &Lease)> {
        self.bans.active(now)
    }

    /// The bans in force on any of these subjects.
    pub fn bans_on<'s>(&'s self, subjects: &'s [Subject], now: Timestamp) -> Vec<(&'s Subject, &'s Lease)> {
        self.bans.active_on(subjects, now)
    }

    /// Whether a client is kept out of port 25 by a ban of his own or of a network around him.
    pub fn keeps_out(&self, address: IpAddr, at: Timestamp) -> bool {
        self.bans.keeps_out(address.to_canonical(), at)
    }

    /// What the kernel must hold: each network, on which ports, until when.
    pub fn enforced(&self, now: Timestamp) -> impl Iterator<Item = (Network, &Ports, Timestamp)> {
        self.bans.enforced(now)
    }

    /// When the next ban ends; perhaps earlier, where one was lifted or replaced.
    pub fn next_end(&self) -> Option<Timestamp> {
        self.bans.next_end()
    }

    /// The bans in force that stand in one part of the table, from the part 0 to the first that there is not. All
    /// together they hold each ban once that stands all the while, whatever comes and goes between one and the next.
    pub fn bans_in(&self, part: usize, now: Timestamp) -> Option<impl Iterator<Item = (&Subject, &Lease)>> {
        self.bans.part(part, now)
    }

    /// The bans of others in the IPv4 /24 or IPv6 /48 of a network.
    pub fn bans_near(&self, network: Network, now: Timestamp) -> Vec<(&Subject, &Lease)> {
        self.bans.near(network, now)
    }

    /// The bans that go when a subject is released.
    pub fn released_by(&self, subject: &Subject, now: Timestamp) -> Vec<(Subject, Lease)> {
        let touched = touched(subject);
        let bans = self.bans.active_on(&touched, now).into_iter();
        let released = bans.filter(|(banned, lease)| releases(subject, banned, lease));
        released.map(|(banned, lease)| (banned.clone(), lease.clone())).collect()
    }

    /// What the kernel is to hold of a network on these ports: [`Output::Enforce`] or [`Output::Admit`].
    pub fn word_on(&self, network: Network, ports: &Ports, now: Timestamp) -> Output {
        self.bans.word(network, ports, now)
    }

    /// How many bans are in force.
    pub fn bans_len(&self, now: Timestamp) -> usize {
        self.bans.active_len(now)
    }

    /// The same, by jail and mode.
    pub fn bans_in_force(&self) -> &[InForce] {
        self.bans.in_force()
    }

    /// How many offenders are being counted.
    pub fn counters_len(&self) -> usize {
        self.counters.len()
    }

    /// How much memory counting them takes.
    pub fn counters_size_bytes(&self) -> usize {
        self.counters.size_bytes()
    }

    /// How many clients are known.
    pub fn known_len(&self) -> usize {
        self.known.len()
    }

    fn tick(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        self.bans.expire(now, out);
        self.counters.sweep(now, &self.jails);
        self.known.sweep(now, self.saving);
        self.questions.expire(now, self.saving);
        for network in self.exemptions.expire(now) {
            self.allowed_changes.push(network);
            out.push(Output::Disallowed { network });
        }
    }

    fn allow(
        &mut self,
        now: Timestamp,
        networks: &[Network],
        until: Option<Timestamp>,
        note: Option<&str>,
        out: &mut Vec<Output>,
    ) {
        let mut allowed = Vec::new();
        for network in networks {
            let allowance = Allowance { until, since: now, note: note.map(str::to_owned) };
            if self.exemptions.allow(*network, allowance) {
                allowed.push(*network);
                out.push(Output::Allowed { network: *network });
            }
        }
        self.bans.lift_meeting(&allowed, now, out);
        self.drop_questions(now);
        self.allowed_changes.extend(allowed);
    }

    fn disallow(&mut self, network: Network, out: &mut Vec<Output>) {
        if self.exemptions.disallow(network) {
            self.allowed_changes.push(network);
            out.push(Output::Disallowed { network });
        }
    }

    /// Lifts the bans of those who are exempt now.
    fn free_exempt(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let exempt = |subject: &Subject| {
            subject.network().is_some_and(|network| self.exemptions.cover(network, now).is_some())
        };
        self.bans.lift(now, End::Exempted, |subject, _| exempt(subject), out);
        self.drop_questions(now);
    }

    /// Nobody is asked about those who are exempt now.
    fn drop_questions(&mut self, now: Timestamp) {
        let exempt = |subject: &Subject| {
            subject.network().is_some_and(|network| self.exemptions.cover(network, now).is_some())
        };
        self.questions.retain(|asked| !exempt(&asked.subject), self.saving);
    }

    fn order(&mut self, now: Timestamp, order: Order, out: &mut Vec<Output>) {
        let Order { network, jail, until, reason, ports } = order;
        let subject = Subject::Network(network);
        if let Some(exemption) = self.exemptions.cover(network, now) {
            out.push(Output::Spared { subject, jail, exemption });
            return;
        }
        let before = self.bans.before_by_hand(&subject, &jail, now);
        let terms = Terms { jail, mode: Mode::Enforce, ports, reason }.into();
        let lease = Lease { from: now, until, terms, before };
        self.bans.add(subject, lease, Vec::new(), out);
    }

    fn confirm(&mut self, now: Timestamp, subject: &Subject, ban: bool, out: &mut Vec<Output>) {
        for asked in self.questions.take(subject, self.saving) {
            let Asked { subject, mut lease, evidence, .. } = asked;
            if !ban {
                continue;
            }
            let length = lease.until.since(lease.from);
            (lease.from, lease.until) = (now, now + length);
            match subject.network().and_then(|network| self.exemptions.cover(network, now)) {
                Some(exemption) => {
                    out.push(Output::Spared { subject, jail: lease.jail.clone(), exemption });
                }
                None => self.bans.add(subject, lease, evidence, out),
            }
        }
    }

    fn release(&mut self, now: Timestamp, release: &Release, out: &mut Vec<Output>) {
        let mut freed = HashSet::new();
        let before = out.len();
        match release {
            Release::Subjects(wanted) => {
                for wanted in wanted {
                    let is_meant = |subject: &Subject, lease: &Lease| releases(wanted, subject, lease);
                    self.bans.lift_on(&touched(wanted), now, is_meant, out);
                }
                // Who is let in begins anew: one more failure must not bring the ban back.
                freed.extend(wanted.iter().cloned());
            }
            Release::Bans(wanted) => {
                for (subject, jail) in wanted {
                    let is_meant = |_: &Subject, lease: &Lease| lease.jail == *jail;
                    self.bans.lift_on(std::slice::from_ref(subject), now, is_meant, out);
                }
            }
        }
        freed.extend(out.get(before..).unwrap_or_default().iter().filter_map(|output| match output {
            Output::Ended { subject, .. } => Some(subject.clone()),
            _ => None,
        }));
        self.forget(&freed);
    }

    /// Takes away everything that was counted about these.
    fn forget(&mut self, subjects: &HashSet<Subject>) {
        let jails = self.jails.clone();
        for (index, jail) in jails.iter().enumerate().filter(|(_, jail)| jail.campaign.is_empty()) {
            let at = (index, What::Offence);
            if self.counters.len_of(at) == 0 {
                continue;
            }
            let mut accounts_of: HashSet<u128> = HashSet::new();
            for subject in subjects {
                match (subject, jail.per) {
                    (Subject::Network(network), Per::Network { ipv4, ipv6 }) => {
                        let own = Network::around(network.net().addr(), ipv4, ipv6);
                        if own == *network {
                            self.counters.forget_key(at, key_of(own));
                        }
                    }
                    (Subject::Network(network), Per::UserAndAddress { .. }) => {
                        accounts_of.insert(user_at_low(self.seed, *network).into());
                    }
                    (Subject::User(user), Per::User) => {
                        let name = logline::Text::unescape(user.as_bytes());
                        self.counters.forget_key(at, user_key(self.seed, name.bytes()));
                    }
                    (Subject::Network(_), Per::User) | (Subject::User(_), _) => {}
                }
            }
            // Which accounts somebody tried is known of each counter alone: all are looked at, once for all subjects.
            if !accounts_of.is_empty() {
                self.counters.forget(at, |key| accounts_of.contains(&(key & u128::from(u64::MAX))));
            }
        }
    }
}

/// Every subject of which a ban may go when `wanted` is released.
fn touched(wanted: &Subject) -> Vec<Subject> {
    // A jail bans the network around an IPv6 address.
    let around = wanted.network().filter(|network| network.is_host() && network.net().addr().is_ipv6());
    around.map_or_else(|| vec![wanted.clone()], Network::and_around)
}

/// For each kind of event the places of the jails that count it or forgive by it.
fn concerned(jails: &Jails) -> Arc<[Vec<usize>]> {
    let by = |kind: &Kind| {
        let concerns = |jail: &Jail| jail.on.contains(kind) || jail.forgive == Some(*kind);
        jails.iter().enumerate().filter(|(_, jail)| concerns(jail)).map(|(index, _)| index).collect()
    };
    Kind::ALL.iter().map(by).collect()
}

/// The terms on which each jail bans.
fn terms(jails: &Jails) -> Vec<Arc<Terms>> {
    jails.iter().map(|jail| Terms::of(jail).into()).collect()
}

/// Milliseconds since 1970.
fn millis(at: Timestamp) -> u64 {
    u64::try_from(at.nanos()).unwrap_or(0) / 1_000_000
}

/// Whether a ban is among those that go when `wanted` is released.
fn releases(wanted: &Subject, subject: &Subject, lease: &Lease) -> bool {
    if wanted == subject {
        return true;
    }
    let (Subject::Network(wanted), Subject::Network(banned)) = (wanted, subject) else { return false };
    let address: IpAddr = wanted.net().addr();
    wanted.is_host() && address.is_ipv6() && *lease.jail != *MANUAL && banned.contains(address)
}

#[cfg(test)]
mod tests;
