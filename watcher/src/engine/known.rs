//! Who is known here: clients that logged in, or whose mail was accepted, within 30 days, and at which accounts.
//!
//! A history is good when it is older than an hour: who gets in while he attacks has earned nothing by it. What a client
//! did to one account is his own business at once: he owns it.

use std::time::Duration;

use indexmap::IndexMap;
use logline::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::key::{hash, key_of};
use crate::event::{Event, Kind};
use crate::subject::Network;

/// A client is known for so long after he was seen last.
pub const KNOWN: Duration = Duration::from_secs(30 * 86_400);

/// A history that is younger is none.
pub const HISTORY: Duration = Duration::from_secs(3600);

/// The most clients that are known. When there are more, of a few neighbours the one goes that was seen least lately,
/// those without a login first.
pub const KNOWN_MAX: usize = 200_000;

/// So many accounts of one client are remembered; of more, those that were used last.
const ACCOUNTS_MAX: usize = 16;

/// So many neighbours are looked at to find the one that goes.
const CANDIDATES: usize = 8;

/// Being seen again within this time is not worth another row in the database.
const AGAIN: Duration = Duration::from_secs(60);

/// What is known of one client: an IPv4 address, or an IPv6 /64.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Client {
    /// Since when he logs in.
    since: Option<Timestamp>,
    /// When he logged in last.
    login: Option<Timestamp>,
    /// Since when his mail is accepted, and when it was last.
    mail: Option<(Timestamp, Timestamp)>,
    /// The accounts, by their hash, and when each was used last.
    accounts: Vec<(u64, Timestamp)>,
}

#[derive(Debug)]
pub(super) struct Known {
    clients: IndexMap<u128, Client, foldhash::fast::RandomState>,
    /// Networks from which an account was used, and when.
    homes: IndexMap<u64, Timestamp, foldhash::fast::RandomState>,
    /// Wrong passwords that the owner of an account has typed, and when.
    slips: IndexMap<u64, Timestamp, foldhash::fast::RandomState>,
    seed: u64,
    hand: usize,
    changed: Vec<u128>,
}

/// What somebody has to his credit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credit {
    /// How many accounts logged in from there, with a good history.
    pub accounts: u32,
    /// Whether there is a good history of any kind.
    pub good: bool,
}

impl Known {
    pub(super) fn new(seed: u64) -> Self {
        let (clients, homes, slips) = (IndexMap::default(), IndexMap::default(), IndexMap::default());
        Known { clients, homes, slips, seed, hand: 0, changed: Vec::new() }
    }

    pub(super) fn reseed(&mut self, seed: u64) {
        self.seed = seed;
    }

    /// Takes note of what speaks for a client.
    pub(super) fn note(&mut self, at: Timestamp, event: &Event<'_>, saving: bool) {
        let Some(address) = event.address else { return };
        let login = match event.kind {
            Kind::AuthOk => true,
            Kind::MessageAccepted => false,
            _ => return,
        };
        let key = key_of(Network::around(address, 32, 64));
        if !self.clients.contains_key(&key) {
            make_room(&mut self.clients, &mut self.hand, |client| (client.login, client.last()));
        }
        let user = event.field("user").filter(|_| login).map(|user| hash(self.seed, &[user]));
        let client = self.clients.entry(key).or_default();
        let before = client.last();
        client.forget(at);
        let new = if login { client.log_in(at, user) } else { client.deliver(at) };
        if let Some(user) = user {
            self.settle(key, user, at);
        }
        if saving && (new || before.is_none_or(|before| at.since(before) > AGAIN)) {
            self.changed.push(key);
        }
    }

    /// Whether this client logged in to this account.
    pub(super) fn owns(&self, network: Network, user: &[u8], at: Timestamp) -> bool {
        if self.clients.is_empty() {
            return false;
        }
        let Some(client) = self.clients.get(&key_of(network)) else { return false };
        let user = hash(self.seed, &[user]);
        client.accounts.iter().any(|(account, last)| *account == user && is_recent(*last, at))
    }

    /// Whether the account was used from the provider's network around this client: a /24, or an IPv6 /48.
    pub(super) fn is_at_home(&self, network: Network, user: &[u8], at: Timestamp) -> bool {
        let home = self.home(key_of(network), hash(self.seed, &[user]));
        self.homes.get(&home).is_some_and(|last| is_recent(*last, at))
    }

    /// The owner of an account typed a wrong password. It is not saved: after a restart he will type it again.
    pub(super) fn note_slip(&mut self, user: &[u8], password: &[u8], at: Timestamp) {
        let slip = hash(self.seed, &[user, password]);
        if !self.slips.contains_key(&slip) {
            let mut hand = self.hand;
            make_room(&mut self.slips, &mut hand, |last| *last);
        }
        self.slips.insert(slip, at);
    }

    /// Whether the owner of an account has typed this wrong password.
    pub(super) fn is_slip(&self, user: &[u8], password: &[u8], at: Timestamp) -> bool {
        !self.slips.is_empty()
            && self.slips.get(&hash(self.seed, &[user, password])).is_some_and(|last| is_recent(*last, at))
    }

    /// What a network has to its credit.
    pub(super) fn credit(&self, network: Network, at: Timestamp) -> Credit {
        if self.clients.is_empty() {
            return Credit::default();
        }
        let single = network.net().prefix_len() >= if network.net().addr().is_ipv4() { 32 } else { 64 };
        if single {
            let exact = Network::around(network.net().addr(), 32, 64);
            return self.clients.get(&key_of(exact)).map(|client| client.credit(at)).unwrap_or_default();
        }
        let inside = self.clients.iter().filter(|(key, _)| {
            let address = std::net::Ipv6Addr::from(**key);
            network.contains(address.into())
        });
        inside.map(|(_, client)| client.credit(at)).fold(Credit::default(), |sum, one| Credit {
            accounts: sum.accounts.saturating_add(one.accounts),
            good: sum.good || one.good,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.clients.len()
    }

    pub(super) fn everything_changed(&mut self) {
        self.changed = self.clients.keys().copied().collect();
    }

    pub(super) fn take_changes(&mut self) -> Vec<(String, Option<String>)> {
        self.changed.sort_unstable();
        self.changed.dedup();
        let row = |key: u128| {
            let row = self.clients.get(&key).and_then(|client| serde_json::to_string(client).ok());
            (format!("{key:032x}"), row)
        };
        self.changed.drain(..).map(row).collect()
    }

    pub(super) fn restore(&mut self, key: &str, row: &str) {
        let (Ok(key), Ok(client)) = (u128::from_str_radix(key, 16), serde_json::from_str::<Client>(row))
        else {
            return;
        };
        for (user, last) in &client.accounts {
            self.settle(key, *user, *last);
        }
        make_room(&mut self.clients, &mut self.hand, |client| (client.login, client.last()));
        self.clients.insert(key, client);
    }

    /// Forgets, a few at a time, who was not seen for long.
    pub(super) fn sweep(&mut self, now: Timestamp, saving: bool) {
        const PART: usize = 4096;
        for _ in 0..PART.min(self.clients.len()) {
            self.hand = if self.hand >= self.clients.len() { 0 } else { self.hand };
            match self.clients.get_index(self.hand) {
                Some((_, client)) if client.last().is_some_and(|last| is_recent(last, now)) => self.hand += 1,
                Some(_) => {
                    if let Some((key, _)) = self.clients.swap_remove_index(self.hand)
                        && saving
                    {
                        self.changed.push(key);
                    }
                }
                None => return,
            }
        }
    }

    fn settle(&mut self, client: u128, user: u64, at: Timestamp) {
        let home = self.home(client, user);
        if !self.homes.contains_key(&home) {
            let mut hand = self.hand;
            make_room(&mut self.homes, &mut hand, |last| *last);
        }
        let last = self.homes.entry(home).or_insert(at);
        *last = at.max(*last);
    }

    fn home(&self, client: u128, user: u64) -> u64 {
        let network = Network::around(std::net::Ipv6Addr::from(client).into(), 24, 48);
        hash(self.seed, &[&key_of(network).to_be_bytes(), &user.to_be_bytes()])
    }
}

impl Client {
    /// A login; true where it says something new.
    fn log_in(&mut self, at: Timestamp, user: Option<u64>) -> bool {
        let new = self.since.is_none();
        self.since.get_or_insert(at);
        self.login = self.login.max(Some(at));
        let Some(user) = user else { return new };
        if let Some((_, last)) = self.accounts.iter_mut().find(|(account, _)| *account == user) {
            *last = at.max(*last);
            return new;
        }
        self.accounts.push((user, at));
        if self.accounts.len() > ACCOUNTS_MAX
            && let Some(oldest) = (0..).zip(&self.accounts).min_by_key(|(_, (_, last))| *last).map(|(n, _)| n)
        {
            self.accounts.swap_remove(oldest);
        }
        true
    }

    fn deliver(&mut self, at: Timestamp) -> bool {
        let new = self.mail.is_none();
        let (since, last) = self.mail.unwrap_or((at, at));
        self.mail = Some((since.min(at), last.max(at)));
        new
    }

    /// What is too old is no history.
    fn forget(&mut self, at: Timestamp) {
        self.accounts.retain(|(_, last)| is_recent(*last, at));
        if self.login.is_some_and(|login| !is_recent(login, at)) {
            (self.since, self.login) = (None, None);
        }
        self.mail = self.mail.filter(|(_, last)| is_recent(*last, at));
    }

    fn credit(&self, at: Timestamp) -> Credit {
        let is_good = |since: Timestamp, last: Timestamp| since + HISTORY <= at && is_recent(last, at);
        let login = self.since.zip(self.login).is_some_and(|(since, last)| is_good(since, last));
        let mail = self.mail.is_some_and(|(since, last)| is_good(since, last));
        let accounts = self.accounts.iter().filter(|(_, last)| login && is_recent(*last, at)).count();
        Credit { accounts: u32::try_from(accounts).unwrap_or(u32::MAX), good: login || mail }
    }

    fn last(&self) -> Option<Timestamp> {
        self.login.max(self.mail.map(|(_, last)| last))
    }
}

fn is_recent(last: Timestamp, at: Timestamp) -> bool {
    last + KNOWN > at
}

/// Where the table is full, one of the next few goes that is worth least.
fn make_room<K, V, W: Ord>(
    table: &mut IndexMap<K, V, foldhash::fast::RandomState>,
    hand: &mut usize,
    worth: impl Fn(&V) -> W,
) where
    K: std::hash::Hash + Eq,
{
    let len = table.len();
    if len < KNOWN_MAX {
        return;
    }
    let candidates = (*hand..*hand + CANDIDATES).map(|index| index % len);
    let poorest = candidates.min_by_key(|index| table.get_index(*index).map(|(_, value)| worth(value)));
    if let Some(poorest) = poorest {
        table.swap_remove_index(poorest);
    }
    *hand = (*hand + CANDIDATES) % len;
}
