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

    pub(super) fn note(&mut self, client: u128, zone: usize) -> Change {
        let Some(bit) = u32::try_from(zone).ok().and_then(|zone| 1u32.checked_shl(zone)) else {
            return Change::None;
        };
        if let Some(zones) = self.clients.get_mut(&client) {
            let before = *zones;
            *zones |= bit;
            return match before {
                before if before & bit != 0 => Change::None,
                before if before.is_power_of_two() => Change::NoLonger(before.trailing_zeros() as usize),
                _ => Change::None,
            };
        }
        if self.clients.len() >= CLIENTS_MAX {
            self.hand = if self.hand >= self.clients.len() { 0 } else { self.hand };
            // The newest takes the place of the oldest, and the hand goes on.
            self.clients.swap_remove_index(self.hand);
            self.hand += 1;
        }
        self.clients.insert(client, bit);
        Change::Alone
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
    fn the_table_is_bounded() {
        let mut overlap = Overlap::default();
        for client in 0..3 * CLIENTS_MAX as u128 {
            overlap.note(client, 0);
        }
        assert_eq!(overlap.clients.len(), CLIENTS_MAX);
    }
}
