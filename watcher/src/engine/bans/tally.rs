//! How many bans are in force, kept as they come and go: who asks is not to hold up bans while a million are counted.

use crate::engine::bans::roll::Entry;
use crate::jail::{JailName, Mode};

/// How many bans of a jail are in force in one mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// By which jail.
    pub jail: JailName,
    /// Whether they are enforced.
    pub mode: Mode,
    /// Of addresses and networks of IPv4.
    pub ipv4: usize,
    /// Of addresses and networks of IPv6.
    pub ipv6: usize,
    /// Of accounts.
    pub accounts: usize,
}

impl InForce {
    /// All together.
    pub fn total(&self) -> usize {
        self.ipv4 + self.ipv6 + self.accounts
    }
}

/// One row for each jail and mode, of which there are few; a jail that is not in use any more keeps its own.
#[derive(Debug, Default)]
pub(super) struct Tally(Vec<InForce>);

impl Tally {
    pub(super) fn rows(&self) -> &[InForce] {
        &self.0
    }

    pub(super) fn total(&self) -> usize {
        self.0.iter().map(InForce::total).sum()
    }

    /// A ban begins, where it is one in force.
    pub(super) fn add(&mut self, entry: &Entry) {
        if let Some(count) = self.count_of(entry) {
            *count += 1;
        }
    }

    /// A ban ends or goes, where it was one in force.
    pub(super) fn take(&mut self, entry: &Entry) {
        if let Some(count) = self.count_of(entry) {
            *count = count.saturating_sub(1);
        }
    }

    fn count_of(&mut self, entry: &Entry) -> Option<&mut usize> {
        if entry.is_over {
            return None;
        }
        let (jail, mode) = (&entry.lease.jail, entry.lease.mode);
        let found = self.0.iter().position(|row| row.jail == *jail && row.mode == mode);
        let at = found.unwrap_or_else(|| {
            self.0.push(InForce { jail: jail.clone(), mode, ipv4: 0, ipv6: 0, accounts: 0 });
            self.0.len() - 1
        });
        let row = self.0.get_mut(at)?;
        Some(match entry.subject.network().map(|network| network.net().addr().is_ipv4()) {
            Some(true) => &mut row.ipv4,
            Some(false) => &mut row.ipv6,
            None => &mut row.accounts,
        })
    }
}
