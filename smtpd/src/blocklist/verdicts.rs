//! What the lists said of whom, shared by all sessions: a client that comes again costs no query.
//!
//! Bounded: where it is full, the verdict that was remembered first is forgotten first. A client cannot choose its
//! address, so it cannot push out its own verdict without as many others as the table holds.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};

use logline::Timestamp;

use super::Listing;

/// Whom a verdict is about: an IPv4 address, or an IPv6 /64, which is one customer and is what lists list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Client(IpAddr);

impl Client {
    /// Whom this address belongs to.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            four @ IpAddr::V4(_) => Client(four),
            IpAddr::V6(six) => Client(Ipv6Addr::from_bits(six.to_bits() & !u128::from(u64::MAX)).into()),
        }
    }

    /// The address that stands for it.
    pub fn address(self) -> IpAddr {
        self.0
    }
}

/// What a zone said of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It was not asked yet: the client was put off.
    PutOff,
    /// It does not list it.
    Clear,
    /// It does not list it, and mail of that client was accepted since.
    Known,
    /// It lists it.
    Listed(Listing),
}

/// A verdict and how long it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What was said.
    pub said: Said,
    /// Since when that is known.
    pub since: Timestamp,
    /// When it has to be asked anew.
    pub until: Timestamp,
}

/// Which zone, by its place in the settings, and which client.
type Key = (u16, Client);

/// The verdicts of all zones.
#[derive(Debug)]
pub struct Verdicts {
    entries: HashMap<Key, (u64, Verdict)>,
    /// In the order in which they were remembered; some of them were remembered anew since.
    order: VecDeque<(u64, Key)>,
    next: u64,
    max: usize,
}

impl Verdicts {
    /// A table for `max` verdicts, some 150 bytes each.
    pub fn new(max: usize) -> Self {
        Verdicts { entries: HashMap::new(), order: VecDeque::new(), next: 0, max: max.max(1) }
    }

    /// What is remembered, however old.
    pub fn get(&self, zone: u16, client: Client) -> Option<&Verdict> {
        self.entries.get(&(zone, client)).map(|(_, verdict)| verdict)
    }

    /// Remembers a verdict in place of the one before.
    pub fn insert(&mut self, zone: u16, client: Client, verdict: Verdict) {
        let key = (zone, client);
        self.next += 1;
        self.entries.insert(key, (self.next, verdict));
        self.order.push_back((self.next, key));
        while self.entries.len() > self.max || self.order.len() > 2 * self.max {
            let Some((age, key)) = self.order.pop_front() else { break };
            if self.entries.get(&key).is_some_and(|(newest, _)| *newest == age) {
                self.entries.remove(&key);
            }
        }
    }

    /// Forgets all listings by one zone.
    pub fn forget_listings(&mut self, zone: u16) {
        let is_other =
            |key: &Key, verdict: &Verdict| key.0 != zone || !matches!(verdict.said, Said::Listed(_));
        self.entries.retain(|key, (_, verdict)| is_other(key, verdict));
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp::from_seconds(0);

    fn client(text: &str) -> Client {
        Client::of(text.parse().unwrap())
    }

    #[test]
    fn an_ipv6_client_is_its_64_bits() {
        assert_eq!(client("2001:db8:0:1::5"), client("2001:db8:0:1:ffff::9"));
        assert_ne!(client("2001:db8:0:1::5"), client("2001:db8:0:2::5"));
        assert_eq!(client("::ffff:192.0.2.1"), client("192.0.2.1"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
    }

    #[test]
    fn a_full_table_forgets_what_it_heard_first() {
        let mut verdicts = Verdicts::new(3);
        let until = Timestamp::from_seconds(100);
        for n in 1..=3 {
            verdicts.insert(
                0,
                client(&format!("192.0.2.{n}")),
                Verdict { said: Said::Clear, since: NOON, until },
            );
        }
        // Remembered anew, it is not the oldest any more.
        verdicts.insert(0, client("192.0.2.1"), Verdict { said: Said::Known, since: NOON, until });
        verdicts.insert(0, client("192.0.2.4"), Verdict { said: Said::Clear, since: NOON, until });
        assert_eq!(verdicts.len(), 3);
        assert!(verdicts.get(0, client("192.0.2.2")).is_none());
        assert!(verdicts.get(0, client("192.0.2.1")).is_some());
    }

    #[test]
    fn the_order_does_not_grow_where_one_client_is_remembered_again_and_again() {
        let mut verdicts = Verdicts::new(2);
        let until = Timestamp::from_seconds(100);
        for _ in 0..1000 {
            verdicts.insert(0, client("192.0.2.1"), Verdict { said: Said::Clear, since: NOON, until });
        }
        assert!(verdicts.order.len() <= 4);
        assert_eq!(verdicts.len(), 1);
    }
}
