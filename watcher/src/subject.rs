//! Subjects: whom a jail counts and bans.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

/// A network in one spelling: host bits are zero, and an IPv4 network that was written as `::ffff:a.b.c.d` is IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Network(IpNet);

impl Network {
    /// The network of one address.
    pub fn host(address: IpAddr) -> Self {
        Network(IpNet::from(address.to_canonical()))
    }

    /// The network of `address` with this many leading bits; `ipv4` and `ipv6` count for their family, and too many
    /// are as many as there are.
    pub fn around(address: IpAddr, ipv4: u8, ipv6: u8) -> Self {
        let address = address.to_canonical();
        let (wanted, most) = match address {
            IpAddr::V4(_) => (ipv4, 32),
            IpAddr::V6(_) => (ipv6, 128),
        };
        IpNet::new(address, wanted.min(most)).map_or_else(|_| Network::host(address), Network::from)
    }

    /// The normalised network.
    pub fn net(self) -> IpNet {
        self.0
    }

    /// This network and every wider one around it, the widest first: a ban of any of them keeps it out.
    pub fn and_around(self) -> Vec<Subject> {
        let wider = |bits| IpNet::new(self.0.addr(), bits).ok();
        (0..=self.0.prefix_len()).filter_map(wider).map(|net| Subject::Network(Network::from(net))).collect()
    }

    /// True for a single address.
    pub fn is_host(self) -> bool {
        self.0.prefix_len() == self.0.max_prefix_len()
    }

    /// True where the two have an address in common.
    pub fn overlaps(self, other: Network) -> bool {
        self.0.contains(&other.0) || other.0.contains(&self.0)
    }

    /// True where `address` lies in it.
    pub fn contains(self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl From<IpNet> for Network {
    fn from(net: IpNet) -> Self {
        match net {
            IpNet::V6(v6) if v6.prefix_len() >= 96 => match v6.addr().to_ipv4_mapped() {
                Some(v4) => Ipv4Net::new(v4, v6.prefix_len() - 96)
                    .map_or(Network(net.trunc()), |v4| Network(IpNet::V4(v4.trunc()))),
                None => Network(net.trunc()),
            },
            _ => Network(net.trunc()),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_host() { f.pad(&self.0.addr().to_string()) } else { f.pad(&self.0.to_string()) }
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Network::host(address));
        }
        let wrong = |_| format!("`{}` is no address and no network", text.escape_debug());
        text.parse::<IpNet>().map(Network::from).map_err(wrong)
    }
}

/// Whom a ban is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// An address or a network: the kernel can keep it out.
    Network(Network),
    /// An account: known to the list alone. Boxed, so that a table of a million addresses is no larger for it.
    User(Box<str>),
}

impl Subject {
    /// The network, where it is one.
    pub fn network(&self) -> Option<Network> {
        match self {
            Subject::Network(network) => Some(*network),
            Subject::User(_) => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Network(network) => network.fmt(f),
            Subject::User(user) => f.pad(&format!("user:{user}")),
        }
    }
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("user:") {
            Some(user) => Ok(Subject::User(user.into())),
            None => text.parse().map(Subject::Network),
        }
    }
}

impl Serialize for Subject {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(written: &str, meant: &str) {
        assert_eq!(written.parse::<Network>().unwrap().to_string(), meant);
    }

    #[test]
    fn a_network_has_one_spelling() {
        check("192.0.2.7", "192.0.2.7");
        check("192.0.2.7/32", "192.0.2.7");
        check("192.0.2.7/24", "192.0.2.0/24");
        check("::ffff:192.0.2.7", "192.0.2.7");
        check("::ffff:192.0.2.7/120", "192.0.2.0/24");
        check("2001:DB8::7", "2001:db8::7");
        check("2001:db8::7/64", "2001:db8::/64");
    }

    proptest! {
        #[test]
        fn a_subject_reads_back_equal(address: IpAddr, v4: u8, v6: u8) {
            let subject = Subject::Network(Network::around(address, v4, v6));
            prop_assert_eq!(subject.to_string().parse(), Ok(subject));
        }
    }
}
