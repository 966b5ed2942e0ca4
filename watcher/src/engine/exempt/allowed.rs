//! Exemptions by hand: as many as a file has lines, and asked before every ban.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use logline::Timestamp;
use serde::{Deserialize, Serialize};

use crate::subject::Network;

/// The most entries that `banctl allow` keeps.
pub const ALLOWED_MAX: usize = 200_000;

/// An exemption by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowance {
    /// Until when; none: until it is removed.
    pub until: Option<Timestamp>,
    /// Since when.
    pub since: Timestamp,
    /// Why, in the administrator's words.
    pub note: Option<String>,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Allowed {
    /// In the order of their first addresses.
    entries: BTreeMap<Network, Allowance>,
    /// Those that end, the next first.
    ends: BTreeSet<(Timestamp, Network)>,
    /// How many IPv4 and how many IPv6 entries have so many leading bits.
    lengths: BTreeMap<(bool, u8), usize>,
}

impl Allowed {
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Network, &Allowance)> {
        self.entries.iter()
    }

    pub(super) fn get(&self, network: Network) -> Option<&Allowance> {
        self.entries.get(&network)
    }

    /// Whether some entry that has not ended has an address in common with this network.
    pub(super) fn meets(&self, network: Network, now: Timestamp) -> bool {
        if self.entries.is_empty() {
            return false;
        }
        let holds = |entry: &Allowance| entry.until.is_none_or(|until| until > now);
        let net = network.net();
        let six = net.addr().is_ipv6();
        let mut around = self.lengths.range((six, 0)..=(six, net.prefix_len())).map(|((_, bits), _)| *bits);
        let is_inside = around.any(|bits| {
            let wider = Network::around(net.addr(), bits, bits);
            self.entries.get(&wider).is_some_and(holds)
        });
        let last = Network::host(last_of(net));
        is_inside || self.entries.range(network..=last).any(|(_, entry)| holds(entry))
    }

    /// Adds an entry; false where there are too many.
    pub(super) fn insert(&mut self, network: Network, allowance: Allowance) -> bool {
        if self.entries.len() >= ALLOWED_MAX && !self.entries.contains_key(&network) {
            return false;
        }
        self.remove(network);
        self.ends.extend(allowance.until.map(|until| (until, network)));
        *self.lengths.entry(length(network)).or_default() += 1;
        self.entries.insert(network, allowance);
        true
    }

    /// Removes an entry; false where there was none.
    pub(super) fn remove(&mut self, network: Network) -> bool {
        let Some(gone) = self.entries.remove(&network) else { return false };
        if let Some(until) = gone.until {
            self.ends.remove(&(until, network));
        }
        if let Some(count) = self.lengths.get_mut(&length(network)) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&length(network));
            }
        }
        true
    }

    /// The entries whose time is over go; which.
    pub(super) fn expire(&mut self, now: Timestamp) -> Vec<Network> {
        let mut gone = Vec::new();
        while let Some((until, network)) = self.ends.first().copied()
            && until <= now
        {
            self.remove(network);
            gone.push(network);
        }
        gone
    }
}

fn length(network: Network) -> (bool, u8) {
    (network.net().addr().is_ipv6(), network.net().prefix_len())
}

fn last_of(net: IpNet) -> std::net::IpAddr {
    net.broadcast()
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    fn network(bits: u32, prefix: u8, six: bool) -> Network {
        // Few bits differ, so that networks meet.
        let bits = bits & 0xe0c0_8001;
        let address = match six {
            false => IpAddr::V4(bits.into()),
            true => IpAddr::V6((u128::from(bits) << 96 | u128::from(bits & 1)).into()),
        };
        let prefix = if six && prefix == 32 { 128 } else { prefix };
        Network::around(address, prefix, prefix)
    }

    proptest! {
        /// Looking up says what asking each entry says, whatever came, went and ended before.
        #[test]
        fn who_meets_an_entry_is_who_overlaps_one(
            steps in prop::collection::vec((any::<u32>(), 0u8..=32, any::<bool>(), 0i64..12), 0..60),
            asked in prop::collection::vec((any::<u32>(), 0u8..=32, any::<bool>()), 1..30),
        ) {
            let (mut allowed, mut model) = (Allowed::default(), BTreeMap::new());
            for (bits, prefix, six, until) in steps {
                let network = network(bits, prefix, six);
                if until == 11 {
                    prop_assert_eq!(allowed.remove(network), model.remove(&network).is_some());
                    continue;
                }
                let until = (until > 0).then(|| Timestamp::from_seconds(until));
                let entry = Allowance { until, since: Timestamp::from_seconds(0), note: None };
                allowed.insert(network, entry);
                model.insert(network, until);
            }
            for now in [5, 8] {
                let now = Timestamp::from_seconds(now);
                for (bits, prefix, six) in &asked {
                    let asked = network(*bits, *prefix, *six);
                    let met = |(net, until): (&Network, &Option<Timestamp>)| {
                        net.overlaps(asked) && until.is_none_or(|until| until > now)
                    };
                    prop_assert_eq!(allowed.meets(asked, now), model.iter().any(met));
                }
                let gone: BTreeSet<Network> = allowed.expire(now).into_iter().collect();
                let over = |until: &Option<Timestamp>| until.is_some_and(|until| until <= now);
                let expected: BTreeSet<Network> =
                    model.iter().filter(|(_, until)| over(until)).map(|(net, _)| *net).collect();
                prop_assert_eq!(gone, expected);
                model.retain(|_, until| !over(until));
                prop_assert_eq!(allowed.iter().count(), model.len());
            }
        }
    }
}
