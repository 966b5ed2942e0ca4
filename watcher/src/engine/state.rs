//! What a restart must not forget, as rows of text under keys: who is known, who is allowed, what was asked, the budgets.
//!
//! Rows are written in one transaction with the cursors, like counters: after a kill they agree with what is read again.

use logline::Timestamp;

use crate::engine::{Allowance, Bans, CounterKey, CounterRow, Engine, Lease};
use crate::subject::{Network, Subject};

const ALLOWED: &str = "allowed ";
const ASKED: &str = "asked ";
const KNOWN: &str = "known ";
const QUOTA: &str = "quota ";
const LISTED: &str = "listed ";

impl Engine {
    /// Counters that changed since this was asked last; none for one that is gone.
    pub fn take_counter_changes(&mut self) -> Vec<(CounterKey, Option<CounterRow>)> {
        self.counters.take_changes(&self.jails, &self.evidence)
    }

    /// A counter that was saved comes back, if its jail is still there.
    pub fn restore_counter(&mut self, key: &CounterKey, row: CounterRow) {
        let jails = self.jails.clone();
        if let Some((index, jail)) = jails.find(&key.jail) {
            self.counters.restore((index, jail), key, row, &mut self.evidence);
        }
    }

    /// The bans that were saved come back: those in force, and the memory of former ones. Whoever is exempt now is not
    /// banned any more.
    pub fn restore_bans(&mut self, now: Timestamp, bans: Bans) {
        self.bans = bans;
        let exemptions = &self.exemptions;
        self.bans.strike_all(|subject| {
            subject.network().is_some_and(|network| exemptions.cover(network, now).is_some())
        });
    }

    /// Whoever saves has lost what he had: all of it is a change again.
    pub fn everything_changed(&mut self) {
        self.counters.everything_changed();
        self.known.everything_changed();
        self.questions.everything_changed();
        self.book.everything_changed();
        self.allowed_changes = self.exemptions.allowed().map(|(network, _)| *network).collect();
    }

    /// Every ban that is known, in force or remembered.
    pub fn leases(&self) -> impl Iterator<Item = (&Subject, &Lease)> {
        self.bans.leases()
    }

    /// Rows that changed since this was asked last; none for one that is gone.
    pub fn take_state_changes(&mut self) -> Vec<(String, Option<String>)> {
        let mut rows = Vec::new();
        let mut add = |kind: &str, changes: Vec<(String, Option<String>)>| {
            rows.extend(changes.into_iter().map(|(key, row)| (format!("{kind}{key}"), row)));
        };
        add(KNOWN, self.known.take_changes());
        add(ASKED, self.questions.take_changes());
        add(QUOTA, self.book.take_changes());
        add(LISTED, self.book.take_overlap_changes());
        for network in std::mem::take(&mut self.allowed_changes) {
            let entry = self.exemptions.allowance(network);
            let row = entry.and_then(|entry| serde_json::to_string(entry).ok());
            rows.push((format!("{ALLOWED}{network}"), row));
        }
        rows
    }

    /// A row that was saved comes back. One that cannot be read, of another version, is as good as none.
    pub fn restore_state(&mut self, key: &str, row: &str) {
        if let Some(key) = key.strip_prefix(KNOWN) {
            self.known.restore(key, row);
        } else if key.starts_with(ASKED) {
            self.questions.restore(row);
        } else if let Some(zone) = key.strip_prefix(QUOTA) {
            self.book.restore(zone, row);
        } else if let Some(client) = key.strip_prefix(LISTED) {
            self.book.restore_overlap(client, row);
        } else if let Some(network) = key.strip_prefix(ALLOWED)
            && let (Ok(network), Ok(allowance)) =
                (network.parse::<Network>(), serde_json::from_str::<Allowance>(row))
        {
            self.exemptions.allow(network, allowance);
        }
    }
}
