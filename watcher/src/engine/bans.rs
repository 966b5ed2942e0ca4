//! Bans: leases on subjects, in force or remembered.

mod roll;
mod tally;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use logline::Timestamp;

use crate::engine::{Ban, End, Evidence, Lease, Output, Terms};
use crate::jail::{Jail, JailName, MANUAL, Mode, Ports};
use crate::subject::{Network, Subject};
use roll::{Entry, Roll, Slot};
use tally::Tally;

pub use tally::InForce;

/// A former ban makes the next one longer for so long after its end.
pub const MEMORY: Duration = Duration::from_secs(30 * 86_400);

/// The most bans, in force or remembered, that are kept. Those that ended go first, the longest ended before others;
/// one in force never goes.
pub const REMEMBERED_MAX: usize = 2_000_000;

/// So many places are one part of the table: a fraction of a millisecond's work.
const PART: usize = 2048;

/// The network around an address in which others are its neighbours.
const NEAR: (u8, u8) = (24, 48);

/// So many ends of bans that were lifted or replaced may wait beside those of all others.
const STALE_MAX: usize = 4096;

/// Every ban that is known.
#[derive(Debug, Default)]
pub struct Bans {
    roll: Roll,
    tally: Tally,
    /// Ends of bans in force, the next first. An entry whose ban was lifted or replaced is passed over.
    ends: Ends,
    /// Ends of memories, likewise.
    memories: Ends,
    /// Prefixes, below 128 bits, that some IPv4 and some IPv6 ban has had.
    prefixes: [u128; 2],
    /// Whether some ban was of a single IPv6 address.
    full: bool,
    /// The terms of the ban that was made last: the next one may have the same.
    latest: Option<Arc<Terms>>,
}

type Ends = BinaryHeap<Reverse<(Timestamp, Slot)>>;

impl Bans {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.roll.len()
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every ban, in force or remembered.
    pub fn leases(&self) -> impl Iterator<Item = (&Subject, &Lease)> {
        self.roll.iter().map(|(_, entry)| (&entry.subject, &entry.lease))
    }

    /// Makes room for so many more at once, instead of by and by.
    pub fn expect(&mut self, count: usize) {
        self.roll.reserve(count);
        self.ends.reserve_exact(count);
    }

    /// A saved ban comes back, and takes the place of the one of its jail. One that has ended since is remembered as
    /// such; nobody is told again.
    pub fn restore(&mut self, now: Timestamp, subject: Subject, lease: Lease) {
        self.insert(now, subject, lease);
    }

    /// Strikes out a ban as if it had never been.
    pub fn strike(&mut self, subject: &Subject, jail: &JailName) {
        if let Some(slot) = self.roll.find(subject, jail) {
            self.remove(slot);
        }
    }

    /// How many are in force, by jail and mode; those whose end is due count until it is told.
    pub fn in_force(&self) -> &[InForce] {
        self.tally.rows()
    }

    /// Strikes out the bans of these subjects.
    pub(super) fn strike_all(&mut self, chosen: impl Fn(&Subject) -> bool) {
        let gone: Vec<Slot> =
            self.roll.iter().filter(|(_, entry)| chosen(&entry.subject)).map(|(slot, _)| slot).collect();
        gone.into_iter().for_each(|slot| self.remove(slot));
    }

    pub(super) fn is_banned(&self, subject: &Subject, jail: &JailName, at: Timestamp) -> bool {
        !self.is_empty() && self.find(subject, jail).is_some_and(|lease| lease.until > at)
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
        let counts = |lease: &&Lease| {
            lease.jail == jail.name
                || (terms.overall && *lease.jail != *MANUAL && lease.mode == Mode::Enforce)
        };
        self.of(subject).filter(counts).map(former).fold(0, u32::saturating_add)
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
            self.of(subject)
                .any(|lease| lease.mode == Mode::Enforce && lease.until > at && lease.ports.include_smtp())
        };
        self.around(Network::host(address)).any(|network| kept_out(&Subject::Network(network)))
    }

    /// A network and those around it, as far as there may be bans of them.
    fn around(&self, network: Network) -> impl Iterator<Item = Network> + use<> {
        let net = network.net();
        let (address, is_full) = (net.addr(), self.full && net.prefix_len() == 128);
        let prefixes = self.prefixes_of(address);
        (0..=net.prefix_len().min(127))
            .filter(move |bits| prefixes & (1 << bits) != 0)
            .map(move |bits| Network::around(address, bits, bits))
            .chain(is_full.then_some(network))
    }

    fn prefixes_of(&self, address: IpAddr) -> u128 {
        self.prefixes.get(usize::from(address.is_ipv6())).copied().unwrap_or_default()
    }

    /// The bans in force that stand in one part of the table; none behind its last.
    pub(super) fn part(
        &self,
        number: usize,
        now: Timestamp,
    ) -> Option<impl Iterator<Item = (&Subject, &Lease)>> {
        let part = self.roll.part(number, PART)?;
        let bans = part.map(|(_, entry)| (&entry.subject, &entry.lease));
        Some(bans.filter(move |(_, lease)| lease.until > now))
    }

    /// The bans of others in the IPv4 /24 or IPv6 /48 of a network.
    pub(super) fn near(&self, network: Network, now: Timestamp) -> Vec<(&Subject, &Lease)> {
        let near = Network::around(network.net().addr(), NEAR.0, NEAR.1);
        let is_near = |other: Network| !other.overlaps(network) && other.overlaps(near);
        let is_meant = |(subject, lease): &(&Subject, &Lease)| {
            lease.until > now && subject.network().is_some_and(is_near)
        };
        match self.inside(near) {
            Some(inside) => {
                let found = inside.filter_map(|network| self.roll.first(&Subject::Network(network)));
                let subjects = found.map(|entry| &entry.subject);
                let bans = subjects.flat_map(|subject| self.of(subject).map(move |lease| (subject, lease)));
                bans.filter(is_meant).collect()
            }
            None => self.leases().filter(is_meant).collect(),
        }
    }

    /// The networks inside another one of which there may be bans; none where looking each of them up is dearer than
    /// looking at all bans.
    fn inside(&self, around: Network) -> Option<impl Iterator<Item = Network> + use<>> {
        let (address, length) = (around.net().addr(), around.net().prefix_len());
        let most = around.net().max_prefix_len();
        let prefixes = self.prefixes_of(address);
        let is_used = move |bits: u8| if bits < 128 { prefixes & (1 << bits) != 0 } else { true };
        if most == 128 && self.full && length < 128 {
            return None;
        }
        let lengths = (length + 1..=most.min(127)).filter(move |bits| is_used(*bits));
        let looks = lengths.clone().map(|bits| 1u64.checked_shl((bits - length).into()).unwrap_or(u64::MAX));
        if looks.fold(0, u64::saturating_add) > self.len() as u64 {
            return None;
        }
        Some(lengths.flat_map(move |bits| {
            let nth = move |n: u64| match address {
                IpAddr::V4(v4) => {
                    IpAddr::V4((v4.to_bits() + (u32::try_from(n).unwrap_or(0) << (32 - bits))).into())
                }
                IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() + (u128::from(n) << (128 - bits))).into()),
            };
            (0..1u64 << (bits - length)).map(move |n| Network::around(nth(n), bits, bits))
        }))
    }

    /// How many are in force. It costs something only where some have ended and nobody was told yet.
    pub(super) fn active_len(&self, now: Timestamp) -> usize {
        match self.next_end() {
            Some(end) if end <= now => self.active(now).count(),
            _ => self.tally.total(),
        }
    }

    pub(super) fn active(&self, now: Timestamp) -> impl Iterator<Item = (&Subject, &Lease)> {
        self.leases().filter(move |(_, lease)| lease.until > now)
    }

    /// The bans in force on these subjects, in the order of the subjects; of one subject by their jails.
    pub(super) fn active_on<'s>(
        &'s self,
        subjects: &'s [Subject],
        now: Timestamp,
    ) -> Vec<(&'s Subject, &'s Lease)> {
        let mut found = Vec::new();
        for subject in subjects {
            let first = found.len();
            found.extend(self.of(subject).filter(|lease| lease.until > now).map(|lease| (subject, lease)));
            let own: &mut [(&Subject, &Lease)] = found.get_mut(first..).unwrap_or_default();
            own.sort_unstable_by(|(_, a), (_, b)| a.jail.cmp(&b.jail));
        }
        found
    }

    /// What the kernel must hold of each network: on which ports, and until when; where several bans close the same ports,
    /// the longest of them.
    pub(super) fn enforced(&self, now: Timestamp) -> impl Iterator<Item = (Network, &Ports, Timestamp)> {
        let is_enforced = move |lease: &Lease| lease.mode == Mode::Enforce && lease.until > now;
        let is_crowded = self.roll.is_crowded();
        let is_longest = move |slot: Slot, entry: &Entry| {
            let (end, ports) = ((entry.lease.until, slot), &entry.lease.ports);
            let mut others = self.roll.of(&entry.subject).filter(|(_, other)| is_enforced(&other.lease));
            others.all(|(slot, other)| other.lease.ports != *ports || (other.lease.until, slot) <= end)
        };
        self.roll.iter().filter_map(move |(slot, entry)| {
            let network = entry.subject.network()?;
            let counts = is_enforced(&entry.lease) && (!is_crowded || is_longest(slot, entry));
            counts.then_some((network, &entry.lease.ports, entry.lease.until))
        })
    }

    pub(super) fn next_end(&self) -> Option<Timestamp> {
        self.ends.peek().map(|Reverse((until, _))| *until)
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
                let (address, own) = (network.net().addr(), network.net().prefix_len());
                let wider = lengths.iter().filter(|(six, bits)| *six == address.is_ipv6() && *bits < own);
                wider.map(|(_, bits)| Network::around(address, *bits, *bits)).any(|net| wide.contains(&net))
            };
            let subjects = self.roll.iter().map(|(_, entry)| &entry.subject);
            meeting.extend(subjects.filter(|subject| subject.network().is_some_and(is_inside)).cloned());
        }
        let meeting: Vec<Subject> = meeting.into_iter().collect();
        let gone = self.active_on(&meeting, now).into_iter();
        let gone = gone.map(|(subject, lease)| (subject.clone(), lease.clone())).collect();
        self.end(gone, now, End::Exempted, out);
    }

    fn end(&mut self, mut gone: Vec<(Subject, Lease)>, now: Timestamp, why: End, out: &mut Vec<Output>) {
        gone.sort_by(|(a, x), (b, y)| (a, &x.jail).cmp(&(b, &y.jail)));
        for (subject, lease) in gone {
            self.strike(&subject, &lease.jail);
            out.push(Output::Ended { subject: subject.clone(), jail: lease.jail.clone(), why, at: now });
            if let (Subject::Network(network), Mode::Enforce) = (&subject, lease.mode) {
                self.tell(*network, &lease.ports, now, out);
            }
        }
    }

    /// Tells of the bans whose time is over. The kernel let them in by itself.
    pub(super) fn expire(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        while let Some((until, slot)) = due(&mut self.ends, now) {
            if let Some(entry) = self.roll.get_mut(slot).filter(|entry| is_awaited(entry, until)) {
                self.tally.take(entry);
                entry.is_over = true;
                let (subject, jail) = (entry.subject.clone(), entry.lease.jail.clone());
                self.memories.push(Reverse((until + MEMORY, slot)));
                out.push(Output::Ended { subject, jail, why: End::Expired, at: until });
            }
        }
        while let Some((end, slot)) = due(&mut self.memories, now) {
            self.forget(end, slot);
        }
        while self.len() > REMEMBERED_MAX
            && let Some(Reverse((end, slot))) = self.memories.pop()
        {
            self.forget(end, slot);
        }
    }

    fn forget(&mut self, end: Timestamp, slot: Slot) {
        if self.roll.get(slot).is_some_and(|entry| is_remembered(entry, end)) {
            self.remove(slot);
        }
    }

    fn remove(&mut self, slot: Slot) {
        if let Some(gone) = self.roll.remove(slot) {
            self.tally.take(&gone);
        }
    }

    fn tell(&self, network: Network, ports: &Ports, now: Timestamp, out: &mut Vec<Output>) {
        out.push(self.word(network, ports, now));
    }

    /// What holds now for a network on some ports: the longest of the bans that are in force there.
    pub(super) fn word(&self, network: Network, ports: &Ports, now: Timestamp) -> Output {
        let subject = Subject::Network(network);
        let in_force =
            |lease: &&Lease| lease.mode == Mode::Enforce && lease.ports == *ports && lease.until > now;
        let until = self.of(&subject).filter(in_force).map(|lease| lease.until).max();
        let ports = ports.clone();
        match until {
            Some(until) => Output::Enforce { network, ports, until },
            None => Output::Admit { network, ports },
        }
    }

    fn of<'s>(&'s self, subject: &'s Subject) -> impl Iterator<Item = &'s Lease> {
        self.roll.of(subject).map(|(_, entry)| &entry.lease)
    }

    fn find(&self, subject: &Subject, jail: &JailName) -> Option<&Lease> {
        self.roll.get(self.roll.find(subject, jail)?).map(|entry| &entry.lease)
    }

    fn insert(&mut self, now: Timestamp, subject: Subject, mut lease: Lease) {
        self.note_prefix(&subject);
        match &self.latest {
            Some(latest) if Arc::ptr_eq(latest, &lease.terms) => {}
            Some(latest) if *latest == lease.terms => lease.terms = Arc::clone(latest),
            Some(_) | None => self.latest = Some(Arc::clone(&lease.terms)),
        }
        let (until, is_over) = (lease.until, lease.until <= now);
        let entry = Entry { subject, lease, is_over };
        self.tally.add(&entry);
        let (slot, replaced) = self.roll.insert(entry);
        if let Some(replaced) = replaced {
            self.tally.take(&replaced);
        }
        if is_over {
            self.memories.push(Reverse((until + MEMORY, slot)));
        } else {
            self.ends.push(Reverse((until, slot)));
        }
        self.tidy();
    }

    /// Bans that are lifted and made again and again leave their ends behind: they go before they are too many.
    fn tidy(&mut self) {
        let most = 2 * self.roll.len() + STALE_MAX;
        let Bans { roll, ends, memories, .. } = self;
        if ends.len() > most {
            ends.retain(|Reverse((end, slot))| roll.get(*slot).is_some_and(|entry| is_awaited(entry, *end)));
        }
        if memories.len() > most {
            memories.retain(|Reverse((end, slot))| {
                roll.get(*slot).is_some_and(|entry| is_remembered(entry, *end))
            });
        }
    }

    fn note_prefix(&mut self, subject: &Subject) {
        let Some(net) = subject.network().map(Network::net) else { return };
        match self.prefixes.get_mut(usize::from(net.addr().is_ipv6())) {
            Some(prefixes) if net.prefix_len() < 128 => *prefixes |= 1 << net.prefix_len(),
            Some(_) | None => self.full = true,
        }
    }
}

/// Whether this is the end that a ban in force will have.
fn is_awaited(entry: &Entry, end: Timestamp) -> bool {
    !entry.is_over && entry.lease.until == end
}

/// Whether the memory of a ban ends then.
fn is_remembered(entry: &Entry, end: Timestamp) -> bool {
    entry.is_over && entry.lease.until + MEMORY == end
}

fn due(ends: &mut Ends, now: Timestamp) -> Option<(Timestamp, Slot)> {
    let Reverse((when, _)) = ends.peek()?;
    if *when > now {
        return None;
    }
    ends.pop().map(|Reverse(due)| due)
}
