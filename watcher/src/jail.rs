//! Jails: what follows from events. Data, independent of the program that logged.

mod file;
mod ports;
mod rules;
mod set;

use std::time::Duration;

pub use ports::{Port, PortSet, Ports};
pub use rules::{
    BanTerms, Certain, Connections, Group, Method, Pressure, Rollup, Shared, SharedAction, Window,
};
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
    /// Further windows; reaching any of them is too much.
    pub also: Vec<Window>,
    /// How what was counted goes away.
    pub method: Method,
    /// How much an event of a kind counts, where it is not once; 0 counts nothing.
    pub weights: Vec<(Kind, u32)>,
    /// The field whose different values are counted, instead of events.
    pub distinct: Option<String>,
    /// An event of this kind about the same client and user takes that user's events away.
    pub forgive: Option<Kind>,
    /// A client with a good history is banned at so many times the threshold; at least 1.
    pub patience: f64,
    /// Whether a client is never counted for an account that it logged in to.
    pub spare_owner: bool,
    /// Where it is not empty, the jail counts different strangers in a group, and bans each further one of it.
    pub campaign: Vec<Group>,
    /// When a network is banned for its members.
    pub rollup: Rollup,
    /// What is done where accounts log in from the subject.
    pub shared: Shared,
    /// What changes as the budgets of the DNS blocklists run out.
    pub pressure: Option<Pressure>,
    /// Which listings by a DNS blocklist are enough by themselves.
    pub certain: Option<Certain>,
    /// Whether it bans.
    pub mode: Mode,
    /// What a mail server is asked to do about whom it bans, or would ban.
    pub word: Option<Word>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It does.
    Enforce,
    /// It counts and reports, and bans nobody.
    Watch,
}

/// Something short of a ban that a mail server is asked to do about a client; the more, the later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    /// It gets no answer at once.
    Slow,
    /// Its mail is taken after a login only.
    AuthOnly,
}

impl Word {
    /// The word itself.
    pub const fn name(self) -> &'static str {
        match self {
            Word::Slow => "slow",
            Word::AuthOnly => "auth-only",
        }
    }
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

/// Where a jail's file does not say.
pub mod default {
    use std::time::Duration;

    /// `[ban] growth`: no growth.
    pub const GROWTH: f64 = 1.0;
    /// `[ban] memory`: so long a former ban makes the next one longer.
    pub const MEMORY: Duration = crate::engine::MEMORY;
    /// `[rollup] within`.
    pub const ROLLUP_WITHIN: Duration = Duration::from_secs(86_400);
    /// `[certain] for`: a ban for one listing.
    pub const CERTAIN_FOR: Duration = Duration::from_secs(86_400);
    /// `[shared] for`: a narrowed ban.
    pub const SHARED_FOR: Duration = Duration::from_secs(600);
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

impl Jail {
    /// Whether it counts an event of this kind that this filter of fail2ban found; none where it is of no such filter.
    pub fn counts(&self, kind: Kind, filter: Option<&[u8]>) -> bool {
        self.on.contains(&kind) && self.filter.as_ref().is_none_or(|wanted| filter == Some(wanted.as_bytes()))
    }

    /// How much an event counts here.
    pub fn weight(&self, kind: Kind, weight: u32) -> u32 {
        let times = self.weights.iter().find(|(k, _)| *k == kind).map_or(1, |(_, times)| *times);
        times.saturating_mul(weight)
    }

    /// Every window, the first one first.
    pub fn windows(&self) -> impl Iterator<Item = Window> + '_ {
        let first = Window { threshold: self.threshold, within: self.within };
        std::iter::once(first).chain(self.also.iter().copied())
    }

    /// The longest of its windows: what is older counts in none.
    pub fn longest(&self) -> Duration {
        self.windows().map(|window| window.within).max().unwrap_or(self.within)
    }

    /// Whether it counts different values instead of events.
    pub fn counts_differences(&self) -> bool {
        self.distinct.is_some() || !self.campaign.is_empty()
    }

    /// Whether what it counts is marked with the account, or the password, that it was about.
    pub fn marks(&self) -> bool {
        self.forgive.is_some() || !self.campaign.is_empty()
    }
}
