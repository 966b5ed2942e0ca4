//! What each zone caught that no other did: clients by the zones that list them, as far as they were asked.

use indexmap::IndexMap;

/// So many clients are remembered; of more, the oldest go. What they told stays counted.
const CLIENTS_MAX: usize = 50_000;

/// The zones that can be told apart.
pub(super) const ZONES_MAX: usize = 32;

/// Clients, and the zones that list each: a bit a zone.
#[derive(Clone, Debug, Default)]
pub(super) struct Overlap {
    clients: IndexMap<u128, u32, foldhash::fast::RandomState>,
    hand: usize,
    changed: Vec<u128>,
}

/// How a new listing changes what zones caught alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It was known.
    None,
    /// This zone alone lists the client.
    Alone,
    /// The zone at this place did, and does no longer.
    NoLonger(usize),
}

impl Overlap {
    /// The zones that list a client: a bit each.
    pub(super) fn zones(&self, client: u128) -> u32 {
        self.clients.get(&client).copied().unwrap_or_default()
    }

    /// How many clients are listed by each two of so many zones, the one by the other; by one and itself, how many it lists.
    pub(super) fn matrix(&self, zones: usize) -> Vec<Vec<u64>> {
        let zones = zones.min(ZONES_MAX);
        let mut matrix = vec![vec![0; zones]; zones];
        for listed in self.clients.values() {
            let is_listed = |place: usize| u32::try_from(place).is_ok_and(|place| listed >> place & 1 == 1);
            for (_, row) in matrix.iter_mut().enumerate().filter(|(one, _)| is_listed(*one)) {
                row.iter_mut()
                    .enumerate()
                    .filter(|(two, _)| is_listed(*two))
                    .for_each(|(_, both)| *both += 1);
            }
        }
        matrix
    }

    pub(super) fn note(&mut self, client: u128, zone: usize) -> Change {
        let Some(bit) = u32::try_from(zone).ok().and_then(|zone| 1u32.checked_shl(zone)) else {
            return Change::None;
        };
        if let Some(zones) = self.clients.get_mut(&client) {
            let before = *zones;
            *zones |= bit;
            if before & bit != 0 {
                return Change::None;
            }
            self.changed.push(client);
            return match before {
                before if before.is_power_of_two() => Change::NoLonger(before.trailing_zeros() as usize),
                _ => Change::None,
            };
        }
        self.insert(client, bit);
        self.changed.push(client);
        Change::Alone
    }

    /// The zones have other places: `moved` says for each old one the new one, where it stays.
    pub(super) fn rearrange(&mut self, moved: &[Option<usize>]) {
        self.clients.retain(|_, zones| {
            let kept = (0..).zip(moved).filter(|(old, _)| *zones & (1u32 << old) != 0);
            *zones = kept
                .filter_map(|(_, new)| 1u32.checked_shl(u32::try_from((*new)?).ok()?))
                .fold(0, |a, b| a | b);
            *zones != 0
        });
    }

    pub(super) fn everything_changed(&mut self) {
        self.changed = self.clients.keys().copied().collect();
    }

    /// Clients that changed since this was asked last, with their zones; none for one that had to go.
    pub(super) fn take_changes(&mut self) -> Vec<(u128, Option<u32>)> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        changed.into_iter().map(|client| (client, self.clients.get(&client).copied())).collect()
    }

    /// A client that was saved comes back.
    pub(super) fn restore(&mut self, client: u128, zones: u32) {
        if zones != 0 && !self.clients.contains_key(&client) {
            self.insert(client, zones);
        }
    }

    fn insert(&mut self, client: u128, zones: u32) {
        if self.clients.len() >= CLIENTS_MAX {
            self.hand = if self.hand >= self.clients.len() { 0 } else { self.hand };
            // The newest takes the place of the oldest, and the hand goes on.
            if let Some((gone, _)) = self.clients.swap_remove_index(self.hand) {
                self.changed.push(gone);
            }
            self.hand += 1;
        }
        self.clients.insert(client, zones);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_two_zones_list_was_caught_by_neither_alone() {
        let mut overlap = Overlap::default();
        assert_eq!(overlap.note(7, 0), Change::Alone);
        assert_eq!(overlap.note(7, 0), Change::None);
        assert_eq!(overlap.note(7, 3), Change::NoLonger(0));
        assert_eq!(overlap.note(7, 4), Change::None);
        assert_eq!(overlap.note(8, 3), Change::Alone);
        assert_eq!(overlap.note(9, 32), Change::None);
    }

    #[test]
    fn a_matrix_has_what_each_lists_and_what_both_do() {
        let mut overlap = Overlap::default();
        for (client, zone) in [(7, 0), (7, 2), (8, 0), (9, 2), (10, 2)] {
            overlap.note(client, zone);
        }
        assert_eq!(overlap.matrix(3), [[2, 0, 1], [0, 0, 0], [1, 0, 3]]);
        assert_eq!(overlap.matrix(1), [[2]]);
    }

    #[test]
    fn what_was_saved_comes_back_and_who_lists_a_client_is_known_by_name_not_by_place() {
        let mut before = Overlap::default();
        before.note(7, 0);
        before.note(7, 3);
        before.note(8, 1);
        let rows = before.take_changes();
        assert_eq!(rows, [(7, Some(0b1001)), (8, Some(0b10))]);
        assert_eq!(before.take_changes(), []);
        let mut after = Overlap::default();
        rows.iter().for_each(|(client, zones)| after.restore(*client, zones.unwrap()));
        assert_eq!(after.note(8, 1), Change::None);
        // The second zone is gone, and the fourth is the first now.
        after.rearrange(&[Some(2), None, Some(1), Some(0)]);
        assert_eq!(after.note(7, 0), Change::None);
        assert_eq!(after.note(7, 2), Change::None);
        assert_eq!(after.note(8, 1), Change::Alone);
    }

    #[test]
    fn the_table_is_bounded() {
        let mut overlap = Overlap::default();
        for client in 0..3 * CLIENTS_MAX as u128 {
            overlap.note(client, 0);
        }
        assert_eq!(overlap.clients.len(), CLIENTS_MAX);
    }
}
