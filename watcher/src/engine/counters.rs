//! Counters: how often a jail has seen whom, in an exact sliding window.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hasher as _};
use std::time::Duration;

use indexmap::IndexMap;
use logline::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::evidence::{Evidence, EvidenceLog};
use crate::event::Event;
use crate::jail::{Jail, Per};
use crate::subject::{Network, Subject};

/// The most counters that are kept, over all jails. When there are more, the one of a few that offended least lately
/// goes: an attacker who floods the table with new addresses pushes out his own before anybody who keeps offending.
pub const COUNTERS_MAX: usize = 1_000_000;

/// So many neighbours are looked at to find the one that goes.
const CANDIDATES: usize = 8;

/// So many counters are looked at in one sweep: less than a millisecond of work.
const SWEEP: usize = 65_536;

/// Whom a counter is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Who {
    /// A client, or a network.
    Network(Network),
    /// An account.
    User(Box<[u8]>),
    /// An account, from one client.
    UserAt(Box<[u8]>, Network),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// The jail's place in the order of the jails.
    pub(super) jail: u16,
    pub(super) who: Who,
}

/// One thing that was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) at: Timestamp,
    /// What makes it different from others, where the jail counts differences; `None` differs from all.
    pub(super) value: Option<u64>,
    /// The user it was about, for `forgive`.
    pub(super) user: Option<u64>,
    /// Number of its line.
    pub(super) evidence: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    table: IndexMap<Key, VecDeque<Hit>, foldhash::fast::RandomState>,
    /// Where the search for the next to go begins.
    hand: usize,
    changed: HashSet<Key, foldhash::fast::RandomState>,
}

impl Who {
    /// Whom a jail counts for an event; none where the event does not say.
    pub(super) fn of(jail: &Jail, event: &Event<'_>) -> Option<Who> {
        let network = |ipv4, ipv6| Some(Network::around(event.address?, ipv4, ipv6));
        let user = || event.field("user").map(Box::from);
        match jail.per {
            Per::Network { ipv4, ipv6 } => network(ipv4, ipv6).map(Who::Network),
            Per::User => user().map(Who::User),
            Per::UserAndAddress { ipv4, ipv6 } => Some(Who::UserAt(user()?, network(ipv4, ipv6)?)),
        }
    }

    /// The subject that would be banned.
    pub(super) fn subject(&self) -> Option<Subject> {
        match self {
            Who::Network(network) | Who::UserAt(_, network) => Some(Subject::Network(*network)),
            Who::User(user) => Some(Subject::User(logline::Text::from(user).readable().to_string())),
        }
    }
}

impl Counters {
    /// Counts one hit. When there are `threshold` of them within `within`, they are taken out and given.
    pub(super) fn hit(&mut self, key: Key, hit: Hit, threshold: u32, within: Duration) -> Option<Vec<Hit>> {
        self.changed.insert(key.clone());
        if !self.table.contains_key(&key) {
            self.make_room();
        }
        let hits = self.table.entry(key).or_default();
        while hits.front().is_some_and(|first| first.at + within <= hit.at) {
            hits.pop_front();
        }
        if let Some(value) = hit.value {
            hits.retain(|known| known.value != Some(value));
        }
        hits.push_back(hit);
        if hits.len() < usize::try_from(threshold).unwrap_or(usize::MAX) {
            return None;
        }
        // An emptied counter stays until its place is needed or its jail goes: the next offence finds it ready.
        Some(std::mem::take(hits).into())
    }

    /// Takes away what was counted about one user.
    pub(super) fn forgive(&mut self, key: Key, user: u64) {
        if let Some(hits) = self.table.get_mut(&key) {
            hits.retain(|hit| hit.user != Some(user));
            self.changed.insert(key);
        }
    }

    /// Takes away everything that was counted about somebody.
    pub(super) fn forget(&mut self, gone: impl Fn(&Who) -> bool) {
        let changed = &mut self.changed;
        self.table.retain(|key, _| {
            let gone = gone(&key.who);
            if gone {
                changed.insert(key.clone());
            }
            !gone
        });
    }

    /// Drops counters whose window has passed, a part of the table at a time. What is counted does not change by it.
    pub(super) fn sweep(&mut self, now: Timestamp, within: impl Fn(u16) -> Option<Duration>) {
        let mut index = self.hand.min(self.table.len());
        for _ in 0..SWEEP.min(self.table.len()) {
            if index >= self.table.len() {
                index = 0;
            }
            let Some((key, hits)) = self.table.get_index(index) else { break };
            let over = match (hits.back(), within(key.jail)) {
                (Some(last), Some(within)) => last.at + within <= now,
                (None, _) | (_, None) => true,
            };
            if !over {
                index += 1;
            } else if let Some((key, _)) = self.table.swap_remove_index(index) {
                // The last one has taken its place and is looked at next.
                self.changed.insert(key);
            }
        }
        self.hand = index;
    }

    pub(super) fn restore(&mut self, key: Key, hits: VecDeque<Hit>) {
        self.make_room();
        self.table.insert(key, hits);
    }

    /// How many hits lie in the window that ends now.
    pub(super) fn count(&self, key: &Key, now: Timestamp, within: Duration) -> u32 {
        let counted = |hits: &VecDeque<Hit>| hits.iter().filter(|hit| hit.at + within > now).count();
        self.table.get(key).map_or(0, |hits| u32::try_from(counted(hits)).unwrap_or(u32::MAX))
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Keys that changed since this was asked last, with their hits; none for one that is gone or empty.
    pub(super) fn take_changes(&mut self) -> Vec<(Key, Option<Vec<Hit>>)> {
        let hits = |key: &Key| {
            let hits = self.table.get(key)?;
            (!hits.is_empty()).then(|| hits.iter().copied().collect())
        };
        let changes: Vec<_> = self.changed.iter().map(|key| (key.clone(), hits(key))).collect();
        self.changed.clear();
        changes
    }

    /// Other jails: `kept` says for each old place the new one, or that its counters go.
    pub(super) fn rekey(&mut self, kept: &[Option<u16>]) {
        let place = |jail: u16| kept.get(usize::from(jail)).copied().flatten();
        let table = std::mem::take(&mut self.table);
        self.table = table
            .into_iter()
            .filter_map(|(key, hits)| Some((Key { jail: place(key.jail)?, who: key.who }, hits)))
            .collect();
        let changed = std::mem::take(&mut self.changed);
        self.changed = changed
            .into_iter()
            .filter_map(|key| Some(Key { jail: place(key.jail)?, who: key.who }))
            .collect();
    }

    /// Drops the one of the next few that offended least lately, where the table is full. The hand goes round the table,
    /// so that the choice depends on nothing but what was counted before.
    fn make_room(&mut self) {
        if self.table.len() < COUNTERS_MAX {
            return;
        }
        let last = |index: usize| self.table.get_index(index).map(|(_, hits)| hits.back().map(|hit| hit.at));
        let candidates = (self.hand..self.hand + CANDIDATES).map(|index| index % self.table.len());
        if let Some(oldest) = candidates.min_by_key(|index| last(*index).flatten())
            && let Some((key, _)) = self.table.swap_remove_index(oldest)
        {
            self.changed.insert(key);
        }
        self.hand = (self.hand + CANDIDATES) % self.table.len().max(1);
    }
}

/// What makes an event different from others of the same counter. A password is a different guess for each user that it
/// is tried on; an event without the field differs from all others.
pub(super) fn distinct_value(field: &str, event: &Event<'_>) -> Option<u64> {
    match (field, event.field(field)) {
        ("password", Some(password)) => Some(hash(&[event.field("user").unwrap_or_default(), password])),
        (_, Some(value)) => Some(hash(&[value])),
        (_, None) => None,
    }
}

/// The same for the same bytes in every run, so that a saved counter can be gone on with.
pub(super) fn hash(parts: &[&[u8]]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for part in parts {
        hasher.write_usize(part.len());
        hasher.write(part);
    }
    hasher.finish()
}

/// A counter as it is saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterRow(Vec<SavedHit>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SavedHit {
    at: Timestamp,
    value: Option<u64>,
    user: Option<u64>,
    line: Option<String>,
}

impl CounterRow {
    pub(super) fn of(hits: &[Hit], evidence: &EvidenceLog) -> Self {
        let saved = |hit: &Hit| SavedHit {
            at: hit.at,
            value: hit.value,
            user: hit.user,
            line: evidence.get(hit.evidence).map(|Evidence { line, .. }| line),
        };
        CounterRow(hits.iter().map(saved).collect())
    }

    pub(super) fn into_hits(self, evidence: &mut EvidenceLog) -> VecDeque<Hit> {
        let hit = |saved: SavedHit| {
            let line = saved.line.unwrap_or_default();
            let line = logline::Text::unescape(line.as_bytes());
            Hit {
                at: saved.at,
                value: saved.value,
                user: saved.user,
                evidence: evidence.keep(saved.at, line.bytes()),
            }
        };
        self.0.into_iter().map(hit).collect()
    }
}
