//! Bans: leases on subjects, in force or remembered.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use logline::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::{End, Evidence, Output};
use crate::jail::{Jail, JailName, MANUAL, Mode, Ports};
use crate::subject::{Network, Subject};

/// A former ban makes the next one longer for so long after its end.
pub const MEMORY: Duration = Duration::from_secs(30 * 86_400);

/// The most bans, in force or remembered, that are kept. Those that ended go first, the longest ended before others;
/// one in force never goes.
pub const REMEMBERED_MAX: usize = 2_000_000;

/// A ban of one jail: from when until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// By which jail.
    pub jail: JailName,
    /// Whether it is enforced.
    pub mode: Mode,
    /// When it began: when the line that led to it was written.
    pub from: Timestamp,
    /// When it ends.
    pub until: Timestamp,
    /// How often the subject was banned by this jail before.
    pub before: u32,
    /// Which ports are closed.
    pub ports: Ports,
    /// The administrator's words.
    pub reason: Option<String>,
}

/// A ban as it is told: whom, how, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Ban {
    /// Whom.
    pub subject: Subject,
    /// How.
    pub lease: Lease,
    /// The lines that led to it, oldest first; none for a ban by hand.
    pub evidence: Vec<Evidence>,
}

#[derive(Debug, Default)]
pub(super) struct Bans {
    table: HashMap<Subject, Vec<Lease>, foldhash::fast::RandomState>,
    /// Ends of bans in force, the next first. An entry whose ban was lifted or replaced is passed over.
    ends: BinaryHeap<Reverse<(Timestamp, Subject, JailName)>>,
    /// Ends of memories, likewise.
    memories: BinaryHeap<Reverse<(Timestamp, Subject, JailName)>>,
    len: usize,
    /// Prefixes, below 128 bits, that some IPv4 and some IPv6 ban has had.
    prefixes: [u128; 2],
    /// Whether some ban was of a single IPv6 address.
    full: bool,
}

impl Bans {
    pub(super) fn is_banned(&self, subject: &Subject, jail: &JailName, at: Timestamp) -> bool {
        !self.table.is_empty() && self.find(subject, jail).is_some_and(|lease| lease.until > at)
    }

    /// How often the subject was banned before, as far as the jail remembers.
    pub(super) fn before(&self, subject: &Subject, jail: &Jail, at: Timestamp) -> u32 {
        let terms = &jail.ban;
        let former = |lease: &Lease| {
            let passed = at.since(lease.until);
            if lease.until + terms.memory <= at {
                return 0;
            }
            let decayed = terms.decay.map_or(0, |decay| passed.as_nanos() / decay.as_nanos().max(1));
            lease.before.saturating_add(1).saturating_sub(u32::try_from(decayed).unwrap_or(u32::MAX))
        };
        let leases = self.table.get(subject).map(Vec::as_slice).unwrap_or_default();
        let counts = |lease: &&Lease| {
            lease.jail == jail.name
                || (terms.overall && *lease.jail != *MANUAL && lease.mode == Mode::Enforce)
        };
        leases.iter().filter(counts).map(former).fold(0, u32::saturating_add)
    }

    /// How often the subject was banned by this jail before, by a hand that keeps no terms.
    pub(super) fn before_by_hand(&self, subject: &Subject, jail: &JailName, at: Timestamp) -> u32 {
        match self.find(subject, jail) {
            Some(lease) if lease.until + MEMORY > at => lease.before.saturating_add(1),
            _ => 0,
        }
    }

    /// Whether a client is kept out of some port by an enforced ban, of his or of a network around him.
    pub(super) fn keeps_out(&self, address: IpAddr, at: Timestamp) -> bool {
        let kept_out = |subject: &Subject| {
            let leases = self.table.get(subject).map(Vec::as_slice).unwrap_or_default();
            leases
                .iter()
                .any(|lease| lease.mode == Mode::Enforce && lease.until > at && lease.ports.include_smtp())
        };
        let family = usize::from(address.is_ipv6());
        let prefixes = self.prefixes.get(family).copied().unwrap_or_default();
        (0..128u8)
            .filter(|bits| prefixes & (1 << bits) != 0)
            .any(|bits| kept_out(&Subject::Network(Network::around(address, bits, bits))))
            || (family == 1 && self.full && kept_out(&Subject::Network(Network::host(address))))
    }

    pub(super) fn leases(&self) -> impl Iterator<Item = (&Subject, &Lease)> {
        self.table.iter().flat_map(|(subject, leases)| leases.iter().map(move |lease| (subject, lease)))
    }

    pub(super) fn active(&self, now: Timestamp) -> impl Iterator<Item = (&Subject, &Lease)> {
        self.leases().filter(move |(_, lease)| lease.until > now)
    }

    pub(super) fn active_on<'s>(
        &self,
        subjects: &'s [Subject],
        now: Timestamp,
    ) -> Vec<(&'s Subject, &Lease)> {
        let leases =
            |subject| self.table.get(subject).into_iter().flatten().map(move |lease| (subject, lease));
        subjects.iter().flat_map(leases).filter(|(_, lease)| lease.until > now).collect()
    }

    /// What the kernel must hold of each network: on which ports, and until when; where several bans close the same ports,
    /// the longest of them.
    pub(super) fn enforced(&self, now: Timestamp) -> impl Iterator<Item = (Network, Ports, Timestamp)> {
        let of = move |(subject, leases): (&Subject, &Vec<Lease>)| {
            let mut longest: Vec<(Network, Ports, Timestamp)> = Vec::new();
            let network = subject.network()?;
            for lease in leases.iter().filter(|lease| lease.mode == Mode::Enforce && lease.until > now) {
                match longest.iter_mut().find(|(_, ports, _)| *ports == lease.ports) {
                    Some((_, _, until)) => *until = lease.until.max(*until),
                    None => longest.push((network, lease.ports.clone(), lease.until)),
                }
            }
            Some(longest)
        };
        self.table.iter().filter_map(of).flatten()
    }

    pub(super) fn next_end(&self) -> Option<Timestamp> {
        self.ends.peek().map(|Reverse((until, ..))| *until)
    }

    /// Makes room for so many more at once, instead of by and by.
    pub(super) fn expect(&mut self, count: usize) {
        self.table.reserve(count);
        self.ends.reserve(count);
    }

    /// A saved ban comes back. One that has ended since is remembered as such; nobody is told again.
    pub(super) fn restore(&mut self, now: Timestamp, subject: Subject, lease: Lease) {
        if lease.until <= now {
            self.memories.push(Reverse((lease.until + MEMORY, subject.clone(), lease.jail.clone())));
        }
        self.insert(now, subject, lease);
    }

    /// Makes a ban; one of the same jail that is still known is replaced.
    pub(super) fn add(
        &mut self,
        subject: Subject,
        lease: Lease,
        evidence: Vec<Evidence>,
        out: &mut Vec<Output>,
    ) {
        let replaced = self.find(&subject, &lease.jail).map(|old| old.ports.clone());
        let (ports, from, mode) = (lease.ports.clone(), lease.from, lease.mode);
        self.insert(from, subject.clone(), lease.clone());
        let network = subject.network();
        out.push(Output::Banned(Ban { subject, lease, evidence }));
        let Some(network) = network else { return };
        if mode == Mode::Enforce {
            self.tell(network, &ports, from, out);
        }
        if let Some(old) = replaced.filter(|old| *old != ports) {
            self.tell(network, &old, from, out);
        }
    }

    /// Lifts the bans in force that `chosen` says, and forgets them: a ban that was wrong makes no later one longer.
    pub(super) fn lift(
        &mut self,
        now: Timestamp,
        why: End,
        chosen: impl Fn(&Subject, &Lease) -> bool,
        out: &mut Vec<Output>,
    ) {
        let chosen = self.active(now).filter(|(subject, lease)| chosen(subject, lease));
        let gone = chosen.map(|(subject, lease)| (subject.clone(), lease.clone())).collect();
        self.end(gone, now, why, out);
    }

    /// The same among the bans on these subjects alone, whatever the number of others.
    pub(super) fn lift_on(
        &mut self,
        subjects: &[Subject],
        now: Timestamp,
        chosen: impl Fn(&Subject, &Lease) -> bool,
        out: &mut Vec<Output>,
    ) {
        let chosen =
            self.active_on(subjects, now).into_iter().filter(|(subject, lease)| chosen(subject, lease));
        let gone = chosen.map(|(subject, lease)| (subject.clone(), lease.clone())).collect();
        self.end(gone, now, End::Lifted, out);
    }

    fn end(&mut self, mut gone: Vec<(Subject, Lease)>, now: Timestamp, why: End, out: &mut Vec<Output>) {
        gone.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (subject, lease) in gone {
            self.remove(&subject, &lease.jail);
            out.push(Output::Ended { subject: subject.clone(), jail: lease.jail, why, at: now });
            if let (Subject::Network(network), Mode::Enforce) = (&subject, lease.mode) {
                self.tell(*network, &lease.ports, now, out);
            }
        }
    }

    /// Tells of the bans whose time is over. The kernel let them in by itself.
    pub(super) fn expire(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        while let Some((until, subject, jail)) = due(&mut self.ends, now) {
            if self.find(&subject, &jail).is_some_and(|lease| lease.until == until) {
                self.memories.push(Reverse((until + MEMORY, subject.clone(), jail.clone())));
                out.push(Output::Ended { subject, jail, why: End::Expired, at: until });
            }
        }
        while let Some((end, subject, jail)) = due(&mut self.memories, now) {
            self.forget(end, &subject, &jail);
        }
        while self.len > REMEMBERED_MAX
            && let Some(Reverse((end, subject, jail))) = self.memories.pop()
        {
            self.forget(end, &subject, &jail);
        }
    }

    fn forget(&mut self, end: Timestamp, subject: &Subject, jail: &JailName) {
        if self.find(subject, jail).is_some_and(|lease| lease.until + MEMORY == end) {
            self.remove(subject, jail);
        }
    }

    /// Says what holds now for a network on some ports: the longest of the bans that are in force there.
    fn tell(&self, network: Network, ports: &Ports, now: Timestamp, out: &mut Vec<Output>) {
        let leases = self.table.get(&Subject::Network(network)).map(Vec::as_slice).unwrap_or_default();
        let in_force =
            |lease: &&Lease| lease.mode == Mode::Enforce && lease.ports == *ports && lease.until > now;
        let until = leases.iter().filter(in_force).map(|lease| lease.until).max();
        let ports = ports.clone();
        out.push(match until {
            Some(until) => Output::Enforce { network, ports, until },
            None => Output::Admit { network, ports },
        });
    }

    fn find(&self, subject: &Subject, jail: &JailName) -> Option<&Lease> {
        self.table.get(subject)?.iter().find(|lease| lease.jail == *jail)
    }

    fn insert(&mut self, now: Timestamp, subject: Subject, lease: Lease) {
        self.remove(&subject, &lease.jail);
        self.note_prefix(&subject);
        if lease.until > now {
            self.ends.push(Reverse((lease.until, subject.clone(), lease.jail.clone())));
        }
        // Most have one: a vector that grows by itself would make room for four.
        self.table.entry(subject).or_insert_with(|| Vec::with_capacity(1)).push(lease);
        self.len += 1;
    }

    fn note_prefix(&mut self, subject: &Subject) {
        let Some(net) = subject.network().map(Network::net) else { return };
        match self.prefixes.get_mut(usize::from(net.addr().is_ipv6())) {
            Some(prefixes) if net.prefix_len() < 128 => *prefixes |= 1 << net.prefix_len(),
            Some(_) | None => self.full = true,
        }
    }

    fn remove(&mut self, subject: &Subject, jail: &JailName) {
        let Some(leases) = self.table.get_mut(subject) else { return };
        let before = leases.len();
        leases.retain(|lease| lease.jail != *jail);
        self.len -= before - leases.len();
        if leases.is_empty() {
            self.table.remove(subject);
        }
    }
}

type Due = (Timestamp, Subject, JailName);

fn due(heap: &mut BinaryHeap<Reverse<Due>>, now: Timestamp) -> Option<Due> {
    let Reverse((when, ..)) = heap.peek()?;
    if *when > now {
        return None;
    }
    heap.pop().map(|Reverse(due)| due)
}
