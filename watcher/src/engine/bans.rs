//! Bans: leases on subjects, in force or remembered.

mod parts;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use logline::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::{End, Evidence, Output};
use crate::jail::{Jail, JailName, MANUAL, Mode, Ports};
use crate::subject::{Network, Subject};
use parts::{NEIGHBOURHOOD, Parts};

pub(super) use parts::PARTS;

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

/// What kind of subject a ban is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// An address or a network of IPv4.
    Ipv4,
    /// An address or a network of IPv6.
    Ipv6,
    /// An account.
    Other,
}

impl Family {
    /// All of them.
    pub const ALL: &'static [Family] = &[Family::Ipv4, Family::Ipv6, Family::Other];

    /// Of whom.
    pub fn of(subject: &Subject) -> Self {
        match subject.network().map(|network| network.net().addr().is_ipv4()) {
            Some(true) => Family::Ipv4,
            Some(false) => Family::Ipv6,
            None => Family::Other,
        }
    }

    /// The name as a label has it.
    pub const fn name(self) -> &'static str {
        match self {
            Family::Ipv4 => "ipv4",
            Family::Ipv6 => "ipv6",
            Family::Other => "other",
        }
    }
}

#[derive(Debug)]
pub(super) struct Bans {
    table: Parts,
    /// Ends of bans in force, the next first. An entry whose ban was lifted or replaced is passed over.
    ends: BinaryHeap<Reverse<(Timestamp, Subject, JailName)>>,
    /// Ends of memories, likewise.
    memories: BinaryHeap<Reverse<(Timestamp, Subject, JailName)>>,
    len: usize,
    /// How many are in force, by jail, mode and family: those that end after `told`.
    in_force: BTreeMap<(JailName, Mode, Family), usize>,
    /// Up to here ends were told.
    told: Timestamp,
    /// Prefixes, below 128 bits, that some IPv4 and some IPv6 ban has had.
    prefixes: [u128; 2],
    /// Whether some ban was of a single IPv6 address.
    full: bool,
}

impl Default for Bans {
    fn default() -> Self {
        Bans {
            table: Parts::default(),
            ends: BinaryHeap::new(),
            memories: BinaryHeap::new(),
            len: 0,
            in_force: BTreeMap::new(),
            told: Timestamp::from_nanos(i64::MIN),
            prefixes: [0; 2],
            full: false,
        }
    }
}

impl Bans {
    pub(super) fn is_banned(&self, subject: &Subject, jail: &JailName, at: Timestamp) -> bool {
        self.len > 0 && self.find(subject, jail).is_some_and(|lease| lease.until > at)
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
        let leases = self.table.get(subject);
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
        let closes =
            |lease: &Lease| lease.mode == Mode::Enforce && lease.until > at && lease.ports.include_smtp();
        let kept_out = |subject: &Subject| self.table.get(subject).iter().any(closes);
        self.around(Network::host(address)).any(|network| kept_out(&Subject::Network(network)))
    }

    /// A network and those around it, as far as there may be bans of them.
    fn around(&self, network: Network) -> impl Iterator<Item = Network> + use<> {
        let net = network.net();
        let (address, six) = (net.addr(), net.addr().is_ipv6());
        let prefixes = self.prefixes.get(usize::from(six)).copied().unwrap_or_default();
        let is_full = six && self.full && net.prefix_len() == 128;
        (0..=net.prefix_len().min(127))
            .filter(move |bits| prefixes & (1 << bits) != 0)
            .map(move |bits| Network::around(address, bits, bits))
            .chain(is_full.then_some(network))
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
        let leases = |subject| self.table.get(subject).iter().map(move |lease| (subject, lease));
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

    /// The bans in one of the [`PARTS`].
    pub(super) fn part(&self, number: usize, now: Timestamp) -> impl Iterator<Item = (&Subject, &Lease)> {
        in_force(self.table.part(number), now)
    }

    /// The bans of others in the neighbourhood of a network.
    pub(super) fn near(&self, network: Network, now: Timestamp) -> impl Iterator<Item = (&Subject, &Lease)> {
        let (ipv4, ipv6) = NEIGHBOURHOOD;
        let near = Network::around(network.net().addr(), ipv4, ipv6);
        let is_near = move |other: Network| !other.overlaps(network) && other.overlaps(near);
        in_force(self.table.around(near), now)
            .filter(move |(subject, _)| subject.network().is_some_and(is_near))
    }

    /// How many bans are in force, by jail, mode and family.
    pub(super) fn counts(&self) -> impl Iterator<Item = (&(JailName, Mode, Family), usize)> {
        self.in_force.iter().map(|(whose, count)| (whose, *count))
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
        if now > self.told {
            self.told = now;
            self.count_anew();
        }
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

    /// Lifts whatever bans have an address in common with these networks. One that is around a network, or is of the
    /// network itself, is looked up; those inside are looked for, once for all.
    pub(super) fn lift_meeting(&mut self, networks: &[Network], now: Timestamp, out: &mut Vec<Output>) {
        let mut meeting: HashSet<Subject> =
            networks.iter().flat_map(|network| self.around(*network)).map(Subject::Network).collect();
        let wide: HashSet<Network> = networks.iter().copied().filter(|network| !network.is_host()).collect();
        if !wide.is_empty() {
            let lengths: HashSet<(bool, u8)> =
                wide.iter().map(|wide| (wide.net().addr().is_ipv6(), wide.net().prefix_len())).collect();
            let is_inside = |network: Network| {
                let (address, six) = (network.net().addr(), network.net().addr().is_ipv6());
                let mut around = lengths
                    .iter()
                    .filter(|(of_six, bits)| *of_six == six && *bits < network.net().prefix_len());
                around.any(|(_, bits)| wide.contains(&Network::around(address, *bits, *bits)))
            };
            let subjects = self.table.iter().map(|(subject, _)| subject);
            meeting.extend(subjects.filter(|subject| subject.network().is_some_and(is_inside)).cloned());
        }
        let meeting: Vec<Subject> = meeting.into_iter().collect();
        let gone = self.active_on(&meeting, now).into_iter();
        let gone = gone.map(|(subject, lease)| (subject.clone(), lease.clone())).collect();
        self.end(gone, now, End::Exempted, out);
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
            let ended = self.find(&subject, &jail).filter(|lease| lease.until == until);
            if let Some(mode) = ended.map(|lease| lease.mode) {
                if until > self.told {
                    self.count(&subject, &jail, mode, -1);
                }
                self.memories.push(Reverse((until + MEMORY, subject.clone(), jail.clone())));
                out.push(Output::Ended { subject, jail, why: End::Expired, at: until });
            }
        }
        self.told = self.told.max(now);
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

    fn tell(&self, network: Network, ports: &Ports, now: Timestamp, out: &mut Vec<Output>) {
        out.push(self.word(network, ports, now));
    }

    /// What holds now for a network on some ports: the longest of the bans that are in force there.
    pub(super) fn word(&self, network: Network, ports: &Ports, now: Timestamp) -> Output {
        let leases = self.table.get(&Subject::Network(network));
        let in_force =
            |lease: &&Lease| lease.mode == Mode::Enforce && lease.ports == *ports && lease.until > now;
        let until = leases.iter().filter(in_force).map(|lease| lease.until).max();
        let ports = ports.clone();
        match until {
            Some(until) => Output::Enforce { network, ports, until },
            None => Output::Admit { network, ports },
        }
    }

    fn find(&self, subject: &Subject, jail: &JailName) -> Option<&Lease> {
        self.table.get(subject).iter().find(|lease| lease.jail == *jail)
    }

    fn insert(&mut self, now: Timestamp, subject: Subject, lease: Lease) {
        self.remove(&subject, &lease.jail);
        self.note_prefix(&subject);
        if lease.until > now {
            self.ends.push(Reverse((lease.until, subject.clone(), lease.jail.clone())));
        }
        if self.is_counted(&lease) {
            self.count(&subject, &lease.jail, lease.mode, 1);
        }
        self.table.push(subject, lease);
        self.len += 1;
    }

    fn is_counted(&self, lease: &Lease) -> bool {
        lease.until > self.told && lease.until > lease.from
    }

    fn count(&mut self, subject: &Subject, jail: &JailName, mode: Mode, change: isize) {
        let whose = (jail.clone(), mode, Family::of(subject));
        let count = self.in_force.entry(whose).or_default();
        *count = count.saturating_add_signed(change);
    }

    fn count_anew(&mut self) {
        self.in_force.clear();
        let counted = self.leases().filter(|(_, lease)| self.is_counted(lease));
        let mut counts = BTreeMap::new();
        for (subject, lease) in counted {
            *counts.entry((lease.jail.clone(), lease.mode, Family::of(subject))).or_default() += 1;
        }
        self.in_force = counts;
    }

    fn note_prefix(&mut self, subject: &Subject) {
        let Some(net) = subject.network().map(Network::net) else { return };
        match self.prefixes.get_mut(usize::from(net.addr().is_ipv6())) {
            Some(prefixes) if net.prefix_len() < 128 => *prefixes |= 1 << net.prefix_len(),
            Some(_) | None => self.full = true,
        }
    }

    fn remove(&mut self, subject: &Subject, jail: &JailName) {
        for lease in self.table.remove(subject, |lease| lease.jail == *jail) {
            self.len -= 1;
            if self.is_counted(&lease) {
                self.count(subject, jail, lease.mode, -1);
            }
        }
    }
}

fn in_force(part: Option<&parts::Part>, now: Timestamp) -> impl Iterator<Item = (&Subject, &Lease)> {
    let leases = part.into_iter().flatten();
    leases
        .flat_map(|(subject, leases)| leases.iter().map(move |lease| (subject, lease)))
        .filter(move |(_, lease)| lease.until > now)
}

type Due = (Timestamp, Subject, JailName);

fn due(heap: &mut BinaryHeap<Reverse<Due>>, now: Timestamp) -> Option<Due> {
    let Reverse((when, ..)) = heap.peek()?;
    if *when > now {
        return None;
    }
    heap.pop().map(|Reverse(due)| due)
}
