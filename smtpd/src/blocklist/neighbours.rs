//! Networks in which clients were listed lately. Bots come from networks that have many of them and mostly come once: a
//! newcomer from there is put off and asked about only if it comes again, as every mail server does.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use logline::Timestamp;

use super::verdicts::Client;

/// So long a network is remembered after the last listing in it.
const MEMORY: Duration = Duration::from_secs(86_400);

/// Networks that are remembered; the one heard of first is forgotten first.
const NETWORKS_MAX: usize = 50_000;

/// The /24 of an IPv4 client, the /48 of an IPv6 one.
type Network = IpAddr;

/// What was found in one network.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) listed: u32,
    pub(super) clear: u32,
    pub(super) until: Timestamp,
}

/// What was found in each network.
#[derive(Debug, Default)]
pub struct Neighbours {
    networks: HashMap<Network, Counts>,
    order: VecDeque<Network>,
}

impl Neighbours {
    /// A client was found on a list that it was not known to be on.
    pub fn listed(&mut self, now: Timestamp, client: Client) {
        let counts = self.entry(client);
        if counts.until <= now {
            *counts = Counts::default();
        }
        counts.listed = counts.listed.saturating_add(1);
        counts.until = now + MEMORY;
    }

    fn entry(&mut self, client: Client) -> &mut Counts {
        let network = network(client);
        if !self.networks.contains_key(&network) {
            if self.order.len() >= NETWORKS_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.networks.remove(&oldest);
            }
            self.order.push_back(network);
        }
        self.networks.entry(network).or_default()
    }

    /// What was found in a client's network.
    pub(super) fn counts(&self, client: Client) -> Option<Counts> {
        self.networks.get(&network(client)).copied()
    }

    /// Takes in what others found in a client's network, where they have seen more of it.
    pub(super) fn restore(&mut self, client: Client, counts: Counts) {
        let ours = self.entry(client);
        let seen = |counts: &Counts| u64::from(counts.listed) + u64::from(counts.clear);
        if ours.until < counts.until || (ours.until == counts.until && seen(ours) < seen(&counts)) {
            *ours = counts;
        }
    }

    /// A client was found on no list.
    pub fn clear(&mut self, client: Client) {
        if let Some(counts) = self.networks.get_mut(&network(client)) {
            counts.clear = counts.clear.saturating_add(1);
        }
    }

    /// Whether at least so many of a client's neighbours were listed lately, and more than were not.
    pub fn are_listed(&self, now: Timestamp, client: Client, at_least: u32) -> bool {
        let counts = self.networks.get(&network(client)).filter(|counts| counts.until > now);
        at_least > 0 && counts.is_some_and(|counts| counts.listed >= at_least && counts.listed > counts.clear)
    }
}

/// The network that a client counts for.
pub(super) fn network(client: Client) -> Network {
    match client.address() {
        IpAddr::V4(four) => Ipv4Addr::from_bits(four.to_bits() & !0xff).into(),
        IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() & (u128::MAX << 80)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_219_200);

    fn client(text: &str) -> Client {
        Client::of(text.parse().unwrap())
    }

    #[test]
    fn a_network_is_bad_while_most_of_it_is_listed() {
        let mut neighbours = Neighbours::default();
        let newcomer = client("192.0.2.99");
        neighbours.listed(NOW, client("192.0.2.1"));
        assert!(!neighbours.are_listed(NOW, newcomer, 2));
        neighbours.listed(NOW, client("192.0.2.2"));
        assert!(neighbours.are_listed(NOW, newcomer, 2));
        assert!(!neighbours.are_listed(NOW, newcomer, 0), "switched off");
        assert!(!neighbours.are_listed(NOW, client("192.0.3.99"), 2));
        neighbours.clear(client("192.0.2.3"));
        assert!(neighbours.are_listed(NOW, newcomer, 2));
        neighbours.clear(client("192.0.2.4"));
        assert!(!neighbours.are_listed(NOW, newcomer, 2), "as many good as bad");
        neighbours.listed(NOW, client("192.0.2.5"));
        assert!(!neighbours.are_listed(NOW + MEMORY, newcomer, 2), "long ago");
    }

    #[test]
    fn an_ipv6_network_is_a_site() {
        let mut neighbours = Neighbours::default();
        neighbours.listed(NOW, client("2001:db8:1:1::1"));
        neighbours.listed(NOW, client("2001:db8:1:2::1"));
        assert!(neighbours.are_listed(NOW, client("2001:db8:1:3::1"), 2));
        assert!(!neighbours.are_listed(NOW, client("2001:db8:2:3::1"), 2));
    }

    #[test]
    fn it_does_not_grow_without_limit() {
        let mut neighbours = Neighbours::default();
        for n in 0..u32::try_from(NETWORKS_MAX).unwrap() + 10 {
            neighbours.listed(NOW, Client::of(Ipv4Addr::from_bits(n << 8).into()));
        }
        assert_eq!((neighbours.networks.len(), neighbours.order.len()), (NETWORKS_MAX, NETWORKS_MAX));
    }
}
