//! Who is never banned, by any path: the one place that is asked.

mod allowed;

use std::fmt;
use std::net::IpAddr;

use logline::Timestamp;
use serde::{Deserialize, Serialize};

use crate::subject::Network;

use allowed::Allowed;
pub use allowed::{ALLOWED_MAX, Allowance};

/// Networks that are never banned, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exemptions {
    /// Ranges that do not overlap, in order. A family is not mixed with the other: IPv4 stands first.
    ranges: Vec<(Range, Exemption)>,
    /// Those that the administrator said by hand, each with its end.
    allowed: Allowed,
}

/// Why somebody is exempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exemption {
    /// It is this machine, by loopback.
    Loopback,
    /// It is this machine, by one of its addresses.
    Own,
    /// The administrator is logged in from there.
    Session,
    /// The administrator said so by hand.
    Allowed,
    /// The configuration says so.
    Configured,
    /// A file that the configuration names says so.
    File,
    /// A host that the configuration names has this address.
    Host,
    /// It is a private network (RFC 1918, RFC 6598, RFC 4193).
    Private,
}

impl fmt::Display for Exemption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Exemption::Configured => "exempt by the configuration",
            Exemption::File => "exempt by a file of the configuration",
            Exemption::Host => "an address of a host that is exempt by the configuration",
            Exemption::Allowed => "allowed by hand",
            Exemption::Session => "somebody is logged in to this machine from there",
            Exemption::Loopback => "loopback",
            Exemption::Own => "an address of this machine",
            Exemption::Private => "a private network",
        })
    }
}

/// The first and the last address, as numbers; the flag tells the families apart.
type Range = (bool, u128, u128);

const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1"];
const PRIVATE: [&str; 5] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"];

impl Exemptions {
    /// Loopback always; this machine's `own` addresses; what is `configured`; and private networks where `private`.
    pub fn new(configured: &[Network], own: &[Network], private: bool) -> Self {
        let configured = configured.iter().map(|network| (*network, Exemption::Configured));
        let own = own.iter().map(|network| (*network, Exemption::Own));
        Exemptions::of(configured.chain(own), private)
    }

    /// Loopback always; these; and private networks where `private`.
    pub fn of(networks: impl IntoIterator<Item = (Network, Exemption)>, private: bool) -> Self {
        let all = |texts: &'static [&'static str], why| {
            texts.iter().filter_map(move |text| Some((text.parse().ok()?, why)))
        };
        let fixed = all(&LOOPBACK, Exemption::Loopback);
        let private = all(if private { &PRIVATE } else { &[] }, Exemption::Private);
        let mut ranges: Vec<(Range, Exemption)> =
            fixed.chain(networks).chain(private).map(|(network, why)| (range(network), why)).collect();
        // A wider network before those inside it; of equals the reason that stands first in the list.
        ranges.sort_by_key(|((six, first, last), why)| (*six, *first, !*last, *why));
        let mut apart: Vec<(Range, Exemption)> = Vec::with_capacity(ranges.len());
        for (range, why) in ranges {
            let inside = apart.last().is_some_and(|((six, _, last), _)| *six == range.0 && *last >= range.2);
            // Networks lie inside one another or apart. One inside says nothing new.
            if !inside {
                apart.push((range, why));
            }
        }
        Exemptions { ranges: apart, allowed: Allowed::default() }
    }

    /// Why a ban of `network` would touch somebody exempt; a network that only holds an exempt address counts too.
    pub fn cover(&self, network: Network, now: Timestamp) -> Option<Exemption> {
        let (six, first, last) = range(network);
        let from = self.ranges.partition_point(|((other, _, end), _)| (*other, *end) < (six, first));
        let found = self.ranges.get(from).filter(|((other, start, _), _)| *other == six && *start <= last);
        let by_hand = || self.allowed.meets(network, now).then_some(Exemption::Allowed);
        found.map(|(_, why)| *why).or_else(by_hand)
    }

    /// The entries by hand.
    pub fn allowed(&self) -> impl Iterator<Item = (&Network, &Allowance)> {
        self.allowed.iter()
    }

    /// The entry by hand of exactly this network.
    pub fn allowance(&self, network: Network) -> Option<&Allowance> {
        self.allowed.get(network)
    }

    /// Adds an entry by hand; false where there are too many.
    pub(super) fn allow(&mut self, network: Network, allowance: Allowance) -> bool {
        self.allowed.insert(network, allowance)
    }

    /// Removes an entry by hand; false where there was none.
    pub(super) fn disallow(&mut self, network: Network) -> bool {
        self.allowed.remove(network)
    }

    /// The entries by hand whose time is over go; which.
    pub(super) fn expire(&mut self, now: Timestamp) -> Vec<Network> {
        self.allowed.expire(now)
    }

    /// These, with the entries by hand of `other`, which has none any more.
    pub(super) fn with_allowed_of(mut self, other: &mut Exemptions) -> Self {
        self.allowed = std::mem::take(&mut other.allowed);
        self
    }
}

fn range(network: Network) -> Range {
    let net = network.net();
    let number = |address: IpAddr| match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    };
    (net.addr().is_ipv6(), number(net.network()), number(net.broadcast()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

    #[track_caller]
    fn check(network: &str, why: Option<Exemption>) {
        let configured = ["203.0.113.0/28".parse().unwrap()];
        let own = ["198.51.100.25".parse().unwrap()];
        assert_eq!(Exemptions::new(&configured, &own, true).cover(network.parse().unwrap(), NOW), why);
    }

    #[test]
    fn exempt_are_loopback_own_private_and_what_is_configured() {
        check("127.0.0.1", Some(Exemption::Loopback));
        check("::1", Some(Exemption::Loopback));
        check("::ffff:127.0.0.1", Some(Exemption::Loopback));
        check("198.51.100.25", Some(Exemption::Own));
        check("203.0.113.9", Some(Exemption::Configured));
        check("10.1.2.3", Some(Exemption::Private));
        check("100.64.0.1", Some(Exemption::Private));
        check("fd00::1", Some(Exemption::Private));
        check("203.0.113.16", None);
        check("192.0.2.1", None);
        check("2001:db8::1", None);
    }

    #[test]
    fn a_network_that_holds_an_exempt_address_is_exempt() {
        check("198.51.100.0/24", Some(Exemption::Own));
        check("0.0.0.0/0", Some(Exemption::Private));
        check("::/0", Some(Exemption::Loopback));
    }

    #[test]
    fn private_networks_can_be_banned_where_told_so_and_loopback_never() {
        let exemptions = Exemptions::new(&[], &[], false);
        assert_eq!(exemptions.cover("10.1.2.3".parse().unwrap(), NOW), None);
        assert_eq!(exemptions.cover("127.0.0.1".parse().unwrap(), NOW), Some(Exemption::Loopback));
    }

    #[test]
    fn what_is_allowed_by_hand_ends_when_it_was_told_to() {
        let mut exemptions = Exemptions::new(&[], &[], true);
        let net: Network = "192.0.2.0/24".parse().unwrap();
        let until = Some(Timestamp::from_seconds(1_000_100));
        exemptions.allow(net, Allowance { until, since: NOW, note: None });
        let inside: Network = "192.0.2.9".parse().unwrap();
        assert_eq!(exemptions.cover(inside, NOW), Some(Exemption::Allowed));
        assert_eq!(exemptions.cover(inside, Timestamp::from_seconds(1_000_100)), None);
        assert_eq!(exemptions.expire(Timestamp::from_seconds(1_000_100)), [net]);
    }

    proptest! {
        /// Looking a network up in the ranges says what asking each one says.
        #[test]
        fn the_ranges_say_what_each_network_says(
            nets in prop::collection::vec((any::<u32>(), 4u8..=32, any::<bool>()), 0..40),
            asked in prop::collection::vec((any::<u32>(), 4u8..=32, any::<bool>()), 1..40),
        ) {
            let network = |(bits, prefix, six): (u32, u8, bool)| {
                // Few bits differ, so that networks meet.
                let bits = bits & 0xe0c0_8001;
                let address = match six {
                    false => IpAddr::V4(bits.into()),
                    true => IpAddr::V6((u128::from(bits) << 96).into()),
                };
                Network::around(address, prefix, prefix)
            };
            let nets: Vec<Network> = nets.into_iter().map(network).collect();
            let exemptions = Exemptions::new(&nets, &[], false);
            for asked in asked.into_iter().map(network) {
                let loopback = ["127.0.0.0/8", "::1"].map(|net| net.parse::<Network>().unwrap());
                let expected = nets.iter().chain(&loopback).any(|net| net.overlaps(asked));
                prop_assert_eq!(exemptions.cover(asked, NOW).is_some(), expected);
            }
        }
    }
}
