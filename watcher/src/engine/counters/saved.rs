//! What of the counters is saved, and how it comes back.

use crate::engine::counters::tally::Counted;
use crate::engine::counters::{CounterKey, Counters, What};
use crate::engine::evidence::EvidenceLog;
use crate::engine::row::CounterRow;
use crate::jail::{Jail, Jails, Method};

/// A bucket that runs empty in less time is not saved: before anybody could read it again it would hold nothing, and of
/// those who connect once in a while there are many.
const SAVED_FROM_MICROS: u64 = 1_000_000;

impl Counters {
    /// Counters that changed since this was asked last; none for one that is gone.
    pub(in crate::engine) fn take_changes(
        &mut self,
        jails: &Jails,
        evidence: &EvidenceLog,
    ) -> Vec<(CounterKey, Option<CounterRow>)> {
        let mut rows = Vec::new();
        let scratch = &mut self.scratch;
        for (tally, jail) in self.tallies.iter_mut().zip(jails.iter()) {
            for what in [What::Offence, What::Member] {
                let Counted { table, changed, gone } = tally.of_mut(what);
                let name =
                    |key: u128| CounterKey { jail: jail.name.clone(), what, who: format!("{key:032x}") };
                // A key that went may have come again since.
                rows.extend(gone.drain(..).map(|key| (name(key), None)));
                changed.sort_unstable();
                changed.dedup();
                let is_bucket = what == What::Offence && jail.method == Method::Bucket;
                for key in changed.drain(..) {
                    let Some(handle) = table.find(key) else { continue };
                    let (was_stored, level) = (table.is_stored(handle), table.level(handle));
                    let matters = !is_bucket || level >= SAVED_FROM_MICROS;
                    table.noted(handle, matters);
                    if matters {
                        table.load(handle, scratch);
                        rows.push((name(key), Some(CounterRow::of(scratch, level, evidence))));
                    } else if was_stored {
                        rows.push((name(key), None));
                    }
                }
            }
        }
        rows
    }

    /// All counters are changes again.
    pub(in crate::engine) fn everything_changed(&mut self) {
        if !self.saving {
            return;
        }
        for tally in &mut self.tallies {
            for what in [What::Offence, What::Member] {
                let Counted { table, changed, gone } = tally.of_mut(what);
                gone.clear();
                *changed = table.keys().collect();
                for key in changed {
                    if let Some(handle) = table.find(*key) {
                        table.noted(handle, false);
                    }
                }
            }
        }
    }

    /// A counter that was saved comes back.
    pub(in crate::engine) fn restore(
        &mut self,
        jail: (usize, &Jail),
        key: &CounterKey,
        row: CounterRow,
        evidence: &mut EvidenceLog,
    ) {
        let Ok(who) = u128::from_str_radix(&key.who, 16) else { return };
        let level = row.level;
        let mut hits = row.into_hits(evidence);
        hits.sort_by_key(|hit| hit.at);
        let at = (jail.0, key.what);
        self.trim(at, jail.1, &mut hits);
        self.forget_key(at, who);
        self.store(at, who, None, &hits, level, jail.1);
        // It is what the database has.
        if let Some(counted) = self.counted(at)
            && let Some(handle) = counted.table.find(who)
        {
            counted.table.noted(handle, true);
            counted.changed.clear();
        }
    }
}
