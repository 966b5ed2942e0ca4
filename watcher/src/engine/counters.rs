//! Counters: how often a jail has seen whom, in exact sliding windows or in a leaking bucket.
//!
//! A window is exact to the millisecond, in whatever order the lines of several sources come in.

mod saved;
mod tally;

use std::time::Duration;

use logline::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::millis;
use crate::engine::table::{Handle, Hit};
use crate::engine::window::{Limits, drop_micros, millis_of, pour, slide};
use crate::jail::{Jail, JailName, Jails, Method, Window};
use tally::{Counted, Tally};

/// The most counters that are kept, over all jails, unless told otherwise. When there are more, the jail that is flooded
/// pays: of a few neighbours the one goes whose window is over, else the one that was seen least often and least lately.
/// An attacker who floods the table with new addresses pushes out his own before anybody who keeps offending.
pub const COUNTERS_MAX: usize = 1_000_000;

/// So many counters are looked at in one sweep: less than a millisecond of work.
const SWEEP: usize = 65_536;

/// A source may be so far behind another one, and its lines still meet theirs.
const BEHIND: Duration = Duration::from_secs(86_400);

/// Which of a jail's two tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// Who offends.
    Offence,
    /// Which networks have members that were banned.
    Member,
}

/// A counter's key under its jail's name, which outlives the order of the jails.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CounterKey {
    /// The jail.
    pub jail: JailName,
    /// Which of its tables.
    pub what: What,
    /// Whom it counts: 32 hexadecimal digits.
    pub who: String,
}

#[derive(Debug)]
pub(super) struct Counters {
    tallies: Vec<Tally>,
    /// The most counters over all jails.
    pub(super) most: usize,
    len: usize,
    /// Whether changes are noted, for whoever saves them.
    pub(super) saving: bool,
    scratch: Vec<Hit>,
}

impl Counters {
    pub(super) fn new(jails: &Jails) -> Self {
        let tallies = jails.iter().map(|jail| Tally::new(jail)).collect();
        Counters { tallies, most: COUNTERS_MAX, len: 0, saving: true, scratch: Vec::new() }
    }

    /// Counts one hit. When it is too much, the hits of the window that was reached are given, the oldest first.
    pub(super) fn hit(
        &mut self,
        at: (usize, What),
        key: u128,
        hit: Hit,
        jail: &Jail,
        limits: Limits,
    ) -> Option<Vec<Hit>> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let counted = self.counted(at)?;
        let found = counted.table.find(key);
        let mut level = 0;
        match found {
            Some(handle) => {
                counted.table.load(handle, &mut scratch);
                level = counted.table.level(handle);
            }
            None => scratch.clear(),
        }
        let reached = match (at.1, jail.method) {
            (What::Offence, Method::Bucket) => pour(&mut scratch, &mut level, hit, jail, limits),
            (What::Offence, Method::Window) => slide(&mut scratch, hit, jail.windows(), limits),
            (What::Member, _) => {
                let window = Window { threshold: jail.rollup.members, within: jail.rollup.within };
                slide(&mut scratch, hit, std::iter::once(window), limits)
            }
        };
        let hits = reached.map(|range| scratch.get(range).unwrap_or_default().to_vec());
        if hits.is_some() && !limits.stays {
            scratch.clear();
            level = 0;
        } else {
            self.trim(at, jail, &mut scratch);
        }
        self.store(at, key, found, &scratch, level, jail);
        self.scratch = scratch;
        hits
    }

    /// Takes away what bears this mark.
    pub(super) fn forgive(&mut self, at: (usize, What), key: u128, mark: u32, jail: &Jail) {
        let mut scratch = std::mem::take(&mut self.scratch);
        if let Some(found) = self.counted(at).and_then(|counted| counted.table.find(key)) {
            if let Some(counted) = self.counted(at) {
                counted.table.load(found, &mut scratch);
            }
            scratch.retain(|hit| hit.mark != mark);
            self.store(at, key, Some(found), &scratch, 0, jail);
        }
        self.scratch = scratch;
    }

    /// Takes away everything that was counted under keys that are `chosen`.
    pub(super) fn forget(&mut self, at: (usize, What), chosen: impl Fn(u128) -> bool) {
        let saving = self.saving;
        let Some(counted) = self.counted(at) else { return };
        let keys: Vec<u128> = counted.table.keys().filter(|key| chosen(*key)).collect();
        for key in &keys {
            counted.remove(*key, saving);
        }
        self.len -= keys.len();
    }

    /// Takes away everything that was counted under one key.
    pub(super) fn forget_key(&mut self, at: (usize, What), key: u128) {
        let saving = self.saving;
        if self.counted(at).is_some_and(|counted| counted.remove(key, saving)) {
            self.len -= 1;
        }
    }

    /// Drops counters whose window has passed, a part of each table at a time. What is counted does not change by it.
    pub(super) fn sweep(&mut self, now: Timestamp, jails: &Jails) {
        let (now, saving) = (millis(now), self.saving);
        for (tally, jail) in self.tallies.iter_mut().zip(jails.iter()) {
            let both = [(&mut tally.offences, jail.longest()), (&mut tally.members, jail.rollup.within)];
            for (Counted { table, gone, .. }, within) in both {
                let before = table.len();
                table.sweep(now, millis_of(within), SWEEP, |key, stored| {
                    if saving && stored {
                        gone.push(key);
                    }
                });
                self.len -= before - table.len();
            }
        }
    }

    /// The hits of a key; none where there are none.
    pub(super) fn hits(&self, (jail, what): (usize, What), key: u128) -> Vec<Hit> {
        let mut hits = Vec::new();
        if let Some(counted) = self.tallies.get(jail).map(|tally| tally.of(what))
            && let Some(found) = counted.table.find(key)
        {
            counted.table.load(found, &mut hits);
        }
        hits
    }

    /// How many drops are in a key's bucket now.
    pub(super) fn drops(&self, (jail, what): (usize, What), key: u128, terms: &Jail, now: u64) -> u32 {
        let Some(counted) = self.tallies.get(jail).map(|tally| tally.of(what)) else { return 0 };
        let Some(found) = counted.table.find(key) else { return 0 };
        let last = self.hits((jail, what), key).last().map_or(now, |hit| hit.at);
        let level = counted.table.level(found).saturating_sub(now.saturating_sub(last).saturating_mul(1000));
        u32::try_from(level.div_ceil(drop_micros(terms))).unwrap_or(u32::MAX)
    }

    /// The keys of a jail.
    pub(super) fn keys(&self, (jail, what): (usize, What)) -> impl Iterator<Item = u128> + '_ {
        self.tallies.get(jail).into_iter().flat_map(move |tally| tally.of(what).table.keys())
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many keys a jail counts.
    pub(super) fn len_of(&self, (jail, what): (usize, What)) -> usize {
        self.tallies.get(jail).map_or(0, |tally| tally.of(what).table.len())
    }

    pub(super) fn size_bytes(&self) -> usize {
        let both = |tally: &Tally| tally.offences.table.size_bytes() + tally.members.table.size_bytes();
        self.tallies.iter().map(both).sum()
    }

    /// Other jails: `kept` says for each new place the old one, where that jail stays as it was. What was counted by
    /// the others goes.
    pub(super) fn rekey(&mut self, jails: &Jails, kept: &[Option<usize>]) {
        let mut old: Vec<Option<Tally>> = std::mem::take(&mut self.tallies).into_iter().map(Some).collect();
        for (jail, kept) in jails.iter().zip(kept) {
            let tally = kept.and_then(|index| old.get_mut(index)).and_then(Option::take);
            self.tallies.push(tally.unwrap_or_else(|| Tally::new(jail)));
        }
        let len = |tally: &Tally| tally.offences.table.len() + tally.members.table.len();
        self.len = self.tallies.iter().map(len).sum();
    }

    fn counted(&mut self, (jail, what): (usize, What)) -> Option<&mut Counted> {
        self.tallies.get_mut(jail).map(|tally| tally.of_mut(what))
    }

    /// Drops what counts in no window any more, and then the oldest, where there are too many. Before that they stay,
    /// for the lines of a source that is behind.
    fn trim(&mut self, at: (usize, What), jail: &Jail, hits: &mut Vec<Hit>) {
        let most = self.counted(at).map_or(0, |counted| counted.table.most());
        let within = match at.1 {
            What::Offence => jail.longest(),
            What::Member => jail.rollup.within,
        };
        let newest = hits.last().map_or(0, |hit| hit.at);
        let kept = if hits.len() > most { within } else { within.max(BEHIND) };
        hits.retain(|hit| hit.at + millis_of(kept) > newest);
        let over = hits.len().saturating_sub(most);
        hits.drain(..over);
    }

    fn store(
        &mut self,
        at: (usize, What),
        key: u128,
        found: Option<Handle>,
        hits: &[Hit],
        level: u64,
        jail: &Jail,
    ) {
        let (full, saving) = (self.len >= self.most, self.saving);
        let Some(counted) = self.counted(at) else { return };
        let before = counted.table.len();
        let Some(last) = hits.last() else {
            counted.remove(key, saving);
            let after = counted.table.len();
            self.len = (self.len + after).saturating_sub(before);
            return;
        };
        // The jail that is flooded pays; one that has nothing yet may have a first few.
        if found.is_none()
            && full
            && let Some((gone, true)) = counted.table.evict(last.at, millis_of(jail.longest()))
            && saving
        {
            counted.gone.push(gone);
        }
        if counted.table.store(key, found, hits, level) && saving {
            counted.changed.push(key);
        }
        let after = counted.table.len();
        self.len = (self.len + after).saturating_sub(before);
    }
}
