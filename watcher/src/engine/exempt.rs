//! Who is never banned, by any path.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::subject::Network;

/// Networks that are never banned, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exemptions(Vec<(Network, Exemption)>);

/// Why somebody is exempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exemption {
    /// The configuration says so.
    Configured,
    /// It is this machine, by loopback.
    Loopback,
    /// It is this machine, by one of its addresses.
    Own,
    /// It is a private network (RFC 1918, RFC 6598, RFC 4193).
    Private,
}

impl fmt::Display for Exemption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Exemption::Configured => "exempt by the configuration",
            Exemption::Loopback => "loopback",
            Exemption::Own => "an address of this machine",
            Exemption::Private => "a private network",
        })
    }
}

const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1"];
const PRIVATE: [&str; 5] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"];

impl Exemptions {
    /// Loopback always; this machine's `own` addresses; what is `configured`; and private networks where `private`.
    pub fn new(configured: &[Network], own: &[Network], private: bool) -> Self {
        let all = |texts: &[&str], why| -> Vec<(Network, Exemption)> {
            texts.iter().filter_map(|text| Some((text.parse().ok()?, why))).collect()
        };
        let mut exempt = all(&LOOPBACK, Exemption::Loopback);
        exempt.extend(own.iter().map(|network| (*network, Exemption::Own)));
        exempt.extend(configured.iter().map(|network| (*network, Exemption::Configured)));
        if private {
            exempt.extend(all(&PRIVATE, Exemption::Private));
        }
        Exemptions(exempt)
    }

    /// Why a ban of `network` would touch somebody exempt; a network that only holds an exempt address counts too.
    pub fn cover(&self, network: Network) -> Option<Exemption> {
        self.0.iter().find(|(exempt, _)| exempt.overlaps(network)).map(|(_, why)| *why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(network: &str, why: Option<Exemption>) {
        let configured = ["203.0.113.0/28".parse().unwrap()];
        let own = ["198.51.100.25".parse().unwrap()];
        assert_eq!(Exemptions::new(&configured, &own, true).cover(network.parse().unwrap()), why);
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
        check("0.0.0.0/0", Some(Exemption::Loopback));
    }

    #[test]
    fn private_networks_can_be_banned_where_told_so_and_loopback_never() {
        let exemptions = Exemptions::new(&[], &[], false);
        assert_eq!(exemptions.cover("10.1.2.3".parse().unwrap()), None);
        assert_eq!(exemptions.cover("127.0.0.1".parse().unwrap()), Some(Exemption::Loopback));
    }
}
