//! How many connections a client, or a network, opens in a minute.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use logline::Timestamp;

/// Clients and networks that are counted. Beyond it nobody new is, until the minute is over.
const COUNTED_MAX: usize = 100_000;

const MINUTE_SECONDS: i64 = 60;

/// How many connections a minute there may be; 0 for any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Of an IPv4 address or an IPv6 /64.
    pub per_address: u32,
    /// Of an IPv4 /24 or an IPv6 /48.
    pub per_network: u32,
}

/// Counts connections by the minute.
#[derive(Debug)]
pub struct Pace {
    rates: Rates,
    minute: Mutex<Minute>,
}

/// Whose connections are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Counted {
    Address(IpAddr),
    Network(IpAddr),
}

#[derive(Debug, Default)]
struct Minute {
    number: i64,
    /// This minute's, and those of the one before.
    now: HashMap<Counted, u32>,
    before: HashMap<Counted, u32>,
}

impl Pace {
    /// A pace that nobody has broken yet.
    pub fn new(rates: Rates) -> Self {
        Pace { rates, minute: Mutex::default() }
    }

    /// Counts a connection; true where it is one too many. The minute slides: of the one before counts as much as still
    /// lies within sixty seconds.
    pub fn is_too_fast(&self, now: Timestamp, client: IpAddr) -> bool {
        let Rates { per_address, per_network } = self.rates;
        if per_address == 0 && per_network == 0 {
            return false;
        }
        // A panic elsewhere leaves at worst a count that is one too low.
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        minute.turn(now.seconds() / MINUTE_SECONDS);
        let into = now.seconds().rem_euclid(MINUTE_SECONDS);
        let of_address =
            per_address != 0 && minute.count(Counted::Address(masked(client, 32, 64)), into) > per_address;
        let of_network =
            per_network != 0 && minute.count(Counted::Network(network(client)), into) > per_network;
        of_address || of_network
    }
}

impl Minute {
    fn turn(&mut self, number: i64) {
        if number == self.number {
            return;
        }
        let follows = number == self.number + 1;
        self.before = std::mem::take(&mut self.now);
        if !follows {
            self.before.clear();
        }
        self.number = number;
    }

    fn count(&mut self, key: Counted, into_seconds: i64) -> u32 {
        let is_full = self.now.len() >= COUNTED_MAX;
        if is_full && !self.now.contains_key(&key) {
            return 0;
        }
        let count = self.now.entry(key).or_default();
        *count = count.saturating_add(1);
        let left = u64::try_from(MINUTE_SECONDS - into_seconds).unwrap_or(0);
        let before =
            u64::from(self.before.get(&key).copied().unwrap_or(0)) * left / MINUTE_SECONDS.unsigned_abs();
        count.saturating_add(u32::try_from(before).unwrap_or(u32::MAX))
    }
}

/// The network that a client is of: an IPv4 /24, or the IPv6 /48 that one site has mostly.
pub(crate) fn network(client: IpAddr) -> IpAddr {
    masked(client, 24, 48)
}

/// The first bits of an address: so many of IPv4, so many of IPv6.
fn masked(client: IpAddr, v4: u32, v6: u32) -> IpAddr {
    match client {
        IpAddr::V4(client) => {
            let mask = u32::MAX.checked_shl(32 - v4).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(client.to_bits() & mask))
        }
        IpAddr::V6(client) => {
            let mask = u128::MAX.checked_shl(128 - v6).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(client.to_bits() & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pace: &Pace, seconds: i64, clients: &[&str], too_fast: bool) {
        for client in clients {
            let found = pace.is_too_fast(Timestamp::from_seconds(seconds), client.parse().unwrap());
            assert_eq!(found, too_fast, "{client} at {seconds}");
        }
    }

    #[test]
    fn an_address_has_so_many_in_any_minute() {
        let pace = Pace::new(Rates { per_address: 2, per_network: 0 });
        check(&pace, 0, &["192.0.2.7", "192.0.2.7", "192.0.2.8"], false);
        check(&pace, 59, &["192.0.2.7"], true);
        // Of the three of the last minute, most still lie within sixty seconds.
        check(&pace, 61, &["192.0.2.7"], true);
        check(&pace, 200, &["192.0.2.7", "2001:db8::1", "2001:db8::2"], false);
        check(&pace, 200, &["2001:db8::3"], true);
    }

    #[test]
    fn a_network_has_so_many_and_no_limit_counts_nothing() {
        let pace = Pace::new(Rates { per_address: 0, per_network: 2 });
        check(&pace, 0, &["192.0.2.0", "192.0.2.8", "192.0.3.9"], false);
        check(&pace, 1, &["192.0.2.9"], true);
        let unlimited = Pace::new(Rates::default());
        check(&unlimited, 0, &["192.0.2.7"; 100], false);
    }
}
