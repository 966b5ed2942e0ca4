//! Where bans stand: many small maps instead of a large one.
//!
//! A million bans in one map can be looked through in one go alone, and lines would wait for it. Whoever wants to see all
//! of these looks at one part after the other; and a neighbourhood, an IPv4 /24 or an IPv6 /48, is in one part as a whole.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::net::IpAddr;

use crate::engine::Lease;
use crate::subject::{Network, Subject};

/// The network around an address in which others are its neighbours.
pub(super) const NEIGHBOURHOOD: (u8, u8) = (24, 48);

/// Of a million bans, a part holds two thousand.
pub(in crate::engine) const PARTS: usize = 512;

type State = foldhash::fast::RandomState;
pub(super) type Part = HashMap<Subject, Vec<Lease>, State>;

/// All bans by subject.
#[derive(Debug)]
pub(super) struct Parts {
    parts: Vec<Part>,
    /// Which part is whose: nobody outside can choose who meets whom.
    places: State,
}

impl Default for Parts {
    fn default() -> Self {
        Parts { parts: (0..PARTS).map(|_| Part::default()).collect(), places: State::default() }
    }
}

impl Parts {
    /// What a subject has, or had.
    pub(super) fn get(&self, subject: &Subject) -> &[Lease] {
        let part = self.parts.get(self.place(subject));
        part.and_then(|part| part.get(subject)).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn push(&mut self, subject: Subject, lease: Lease) {
        let place = self.place(&subject);
        if let Some(part) = self.parts.get_mut(place) {
            // Most have one: a vector that grows by itself would make room for four.
            part.entry(subject).or_insert_with(|| Vec::with_capacity(1)).push(lease);
        }
    }

    /// Takes out a subject's leases that are `gone`.
    pub(super) fn remove(&mut self, subject: &Subject, gone: impl Fn(&Lease) -> bool) -> Vec<Lease> {
        let place = self.place(subject);
        let Some(part) = self.parts.get_mut(place) else { return Vec::new() };
        let Some(leases) = part.get_mut(subject) else { return Vec::new() };
        let removed = leases.extract_if(.., |lease| gone(lease)).collect();
        if leases.is_empty() {
            part.remove(subject);
        }
        removed
    }

    /// One of the [`PARTS`].
    pub(super) fn part(&self, number: usize) -> Option<&Part> {
        self.parts.get(number)
    }

    /// The part in which all neighbours of a network are.
    pub(super) fn around(&self, network: Network) -> Option<&Part> {
        self.parts.get(self.place(&Subject::Network(network)))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Subject, &Vec<Lease>)> {
        self.parts.iter().flatten()
    }

    /// Makes room for so many more.
    pub(super) fn reserve(&mut self, count: usize) {
        self.parts.iter_mut().for_each(|part| part.reserve(count / PARTS));
    }

    fn place(&self, subject: &Subject) -> usize {
        let hash = match subject {
            Subject::Network(network) => {
                // What lies in one neighbourhood begins alike.
                let (ipv4, ipv6) = NEIGHBOURHOOD;
                self.places.hash_one(match network.net().addr() {
                    IpAddr::V4(v4) => (4, u128::from(v4.to_bits() >> (32 - ipv4))),
                    IpAddr::V6(v6) => (6, v6.to_bits() >> (128 - u32::from(ipv6))),
                })
            }
            Subject::User(user) => self.places.hash_one(user),
        };
        // The lower bits: those above them choose the place within a part.
        usize::try_from(hash % PARTS as u64).unwrap_or(0)
    }
}
