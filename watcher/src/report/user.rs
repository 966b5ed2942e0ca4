//! Accounts whose password is guessed at.

use std::collections::{HashMap, HashSet};

use logline::{Text, Timestamp};

use super::finding::User;
use crate::control::api::rfc3339;
use crate::event::{Event, Kind};
use crate::subject::Network;

/// So many names are counted: guessers invent them. Of more, the first ones, and those who log in.
const USERS_MAX: usize = 50_000;

/// So many networks are told apart for one of them.
const NETWORKS_MAX: usize = 1000;

/// And so many for all of them together.
const PAIRS_MAX: usize = 1_000_000;

/// So many accounts are named.
const SHOWN: usize = 50;

/// What is kept of a name.
const NAME_BYTES_MAX: usize = 128;

#[derive(Debug, Default)]
pub(super) struct Users {
    users: HashMap<Vec<u8>, Account, foldhash::fast::RandomState>,
    /// How many networks are told apart, over all accounts.
    pairs: usize,
    is_full: bool,
}

#[derive(Debug, Default)]
struct Account {
    failures: u64,
    successes: u64,
    networks: HashSet<Network, foldhash::fast::RandomState>,
    last: Option<Timestamp>,
}

impl Users {
    pub(super) fn event(&mut self, event: &Event<'_>) {
        let (Kind::AuthFailed | Kind::AuthOk, Some(user)) = (event.kind, event.field("user")) else { return };
        let user = user.get(..NAME_BYTES_MAX).unwrap_or(user).to_ascii_lowercase();
        if self.users.len() >= USERS_MAX && event.kind == Kind::AuthFailed && !self.users.contains_key(&user)
        {
            self.is_full = true;
            return;
        }
        // Twice as many for those who log in, who are no invention.
        if self.users.len() >= 2 * USERS_MAX && !self.users.contains_key(&user) {
            return;
        }
        let account = self.users.entry(user).or_default();
        if event.kind == Kind::AuthOk {
            account.successes += 1;
            return;
        }
        account.failures += u64::from(event.weight);
        account.last = account.last.max(Some(event.at));
        let Some(address) = event.address.filter(|_| account.networks.len() < NETWORKS_MAX) else { return };
        let network = Network::around(address, 24, 64);
        if self.pairs < PAIRS_MAX {
            self.pairs += usize::from(account.networks.insert(network));
        } else {
            self.is_full |= !account.networks.contains(&network);
        }
    }

    #[cfg(test)]
    pub(super) fn failures_of(&self, user: &[u8]) -> u64 {
        self.users.get(user).map_or(0, |account| account.failures)
    }

    /// How many are counted.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.users.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    pub(super) fn findings(self) -> Vec<User> {
        let attacked = self.users.into_iter().filter(|(_, account)| account.failures > 0);
        let mut attacked: Vec<(Vec<u8>, Account)> = attacked.collect();
        attacked.sort_by(|(a, x), (b, y)| y.failures.cmp(&x.failures).then_with(|| a.cmp(b)));
        attacked.truncate(SHOWN);
        let user = |(name, account): (Vec<u8>, Account)| User {
            user: Text::from(name).readable().to_string(),
            failures: account.failures,
            successes: account.successes,
            networks: account.networks.len(),
            last: account.last.map(rfc3339).unwrap_or_default(),
        };
        attacked.into_iter().map(user).collect()
    }
}
