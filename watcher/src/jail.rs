//! Jails: what follows from events. Data, independent of the program that logged.

mod file;
mod ports;
mod set;

use std::time::Duration;

pub use ports::{Port, Ports};
pub use set::{Jails, SHIPPED};

use crate::event::Kind;

/// Name of a jail: that of its file. `manual` is the administrator's hand.
pub type JailName = std::sync::Arc<str>;

/// The jail of bans that a person made.
pub const MANUAL: &str = "manual";

/// One jail as it was read and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Jail {
    /// Its name.
    pub name: JailName,
    /// One sentence for a person.
    pub about: String,
    /// The kinds of event that it counts.
    pub on: Vec<Kind>,
    /// Of failures, it counts those alone that this filter of fail2ban found.
    pub filter: Option<String>,
    /// Whom it counts.
    pub per: Per,
    /// So many are too many; at least 1.
    pub threshold: u32,
    /// In so much time.
    pub within: Duration,
    /// The field whose different values are counted, instead of events.
    pub distinct: Option<String>,
    /// An event of this kind about the same client and user takes that user's events away.
    pub forgive: Option<Kind>,
    /// Whether it bans.
    pub mode: Mode,
    /// How it bans.
    pub ban: BanTerms,
}

/// Whom a jail counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// A client, or a network around it: so many leading bits of an IPv4 and of an IPv6 address.
    Network {
        /// Leading bits of an IPv4 address.
        ipv4: u8,
        /// Leading bits of an IPv6 address.
        ipv6: u8,
    },
    /// An account, from wherever.
    User,
    /// An account from one client, with that many leading bits; the client is banned.
    UserAndAddress {
        /// Leading bits of an IPv4 address.
        ipv4: u8,
        /// Leading bits of an IPv6 address.
        ipv6: u8,
    },
}

/// Whether a jail bans.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It does.
    Enforce,
    /// It counts and reports, and bans nobody.
    Watch,
}

impl Mode {
    /// The name as files and JSON have it.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Enforce => "enforce",
            Mode::Watch => "watch",
        }
    }
}

/// How long, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct BanTerms {
    /// The first ban.
    pub first: Duration,
    /// Each further one is so many times longer; at least 1.
    pub growth: f64,
    /// No ban is longer.
    pub max: Duration,
    /// The ports that are closed.
    pub ports: Ports,
}

/// Where a jail's file does not say.
pub mod default {
    use std::time::Duration;

    /// `[ban] growth`: no growth.
    pub const GROWTH: f64 = 1.0;
    /// `[ban] max`.
    pub const MAX: Duration = Duration::from_secs(30 * 86_400);
    /// `ipv4` of `per = "address"`: the address itself.
    pub const ADDRESS_IPV4: u8 = 32;
    /// `ipv6` of `per = "address"`: a /64 is one customer, who may use any address in it.
    pub const ADDRESS_IPV6: u8 = 64;
    /// `ipv4` of `per = "network"`.
    pub const NETWORK_IPV4: u8 = 24;
    /// `ipv6` of `per = "network"`.
    pub const NETWORK_IPV6: u8 = 48;
}

impl BanTerms {
    /// How long a ban lasts for a subject that was banned so often before.
    pub fn length(&self, before: u32) -> Duration {
        let exponent = i32::try_from(before).unwrap_or(i32::MAX);
        let seconds = self.first.as_secs_f64() * self.growth.powi(exponent);
        Duration::try_from_secs_f64(seconds)
            .map_or(self.max, |grown| grown.min(self.max))
            .max(self.first.min(self.max))
    }
}

impl Jail {
    /// Whether it counts an event of this kind that this filter of fail2ban found; none where it is of no such filter.
    pub fn counts(&self, kind: Kind, filter: Option<&[u8]>) -> bool {
        self.on.contains(&kind) && self.filter.as_ref().is_none_or(|wanted| filter == Some(wanted.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bans_grow_up_to_the_maximum() {
        let hour = Duration::from_secs(3600);
        let terms = BanTerms { first: hour, growth: 2.0, max: 10 * hour, ports: Ports::All };
        let lengths: Vec<Duration> = [0, 1, 2, 3, 4, u32::MAX].map(|before| terms.length(before)).into();
        assert_eq!(lengths, [1, 2, 4, 8, 10, 10].map(|hours| hours * hour));
    }
}
