//! The parts of a jail: windows, terms of a ban, roll-up, what is shared, what pressure changes.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::jail::Ports;

/// So many in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// So many are too many; at least 1.
    pub threshold: u32,
    /// In so much time.
    pub within: Duration,
}

/// How what was counted goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Each event counts until it is older than the window: exact.
    Window,
    /// A bucket that holds `threshold` and runs empty evenly in `within`: a burst fills it, a drip never does.
    Bucket,
}

/// What the members of a campaign have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// The account that they try; different addresses are counted.
    User,
    /// The fingerprint of the password that they try; different accounts are counted.
    Password,
}

impl Group {
    /// The field that holds it.
    pub const fn field(self) -> &'static str {
        match self {
            Group::User => "user",
            Group::Password => "password",
        }
    }
}

/// When a network is banned for its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollup {
    /// So many members were banned …
    pub members: u32,
    /// … in so much time.
    pub within: Duration,
    /// Leading bits of the IPv4 network that is banned; none: never.
    pub ipv4: Option<u8>,
    /// Leading bits of the IPv6 networks, the smallest network first: members of the second are networks of the first.
    pub ipv6: Vec<u8>,
}

impl Default for Rollup {
    fn default() -> Self {
        let within = super::default::ROLLUP_WITHIN;
        Rollup { members: 1, within, ipv4: None, ipv6: Vec::new() }
    }
}

/// What is done where accounts log in from the subject: a ban would lock their owners out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// From so many accounts on; at least 1.
    pub accounts: u32,
    /// What is done.
    pub action: SharedAction,
    /// How long a narrowed ban lasts.
    pub length: Duration,
    /// What a narrowed ban closes.
    pub ports: Ports,
}

impl Default for Shared {
    fn default() -> Self {
        let (action, length) = (SharedAction::Ban, super::default::SHARED_FOR);
        Shared { accounts: 1, action, length, ports: Ports::All }
    }
}

/// What is done where accounts log in from the subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedAction {
    /// It is banned like any other.
    Ban,
    /// It is banned for a shorter time, and on some ports.
    Narrow,
    /// The administrator is asked; until he says so, it is not banned.
    Ask,
}

/// What changes as the budgets of the DNS blocklists run out. Pressure is 0 where they last, 1 where they do not.
#[derive(Clone, Debug, PartialEq)]
pub struct Pressure {
    /// Whose budget; that under most pressure, where no zone is named.
    pub zone: Option<String>,
    /// The threshold of the first window at full pressure; between, in proportion.
    pub threshold: Option<u32>,
    /// A ban at full pressure is so many times longer; between, in proportion.
    pub longer: f64,
    /// From this pressure on IPv4 networks of this many leading bits are rolled up.
    pub rollup: Option<(f64, u8)>,
}

/// Which listings leave no doubt: those of lists that say of an address that no mail server is there. One is enough then,
/// for whoever has nothing to his credit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certain {
    /// Zones of which every listing is certain.
    pub zones: Vec<String>,
    /// Of these zones those answers, where the log tells the answer.
    pub codes: Vec<(String, Vec<Ipv4Addr>)>,
    /// Words of which one stands in the list's text, in lower case, where the log tells that.
    pub texts: Vec<String>,
    /// The ban is at least so long.
    pub length: Duration,
}

/// What becomes of the connections that the banned have already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Connections {
    /// Both ends read an error at once.
    #[default]
    End,
    /// Their packets are dropped, and each end waits until it has waited enough.
    Keep,
}

/// How long, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct BanTerms {
    /// The first ban.
    pub first: Duration,
    /// Each further one is so many times longer; at least 1.
    pub growth: f64,
    /// Instead of growth: the first ban so many times, the second one …; the last one holds for all that follow.
    pub multipliers: Vec<f64>,
    /// No ban is longer.
    pub max: Duration,
    /// The ports that are closed.
    pub ports: Ports,
    /// So long after its end a former ban makes the next one longer.
    pub memory: Duration,
    /// After each such time without a ban one former ban is forgotten.
    pub decay: Option<Duration>,
    /// A part of this time, never the same for two bans, is added: who waits for the end cannot know it.
    pub spread: Duration,
    /// Whether the bans of all jails count as former ones.
    pub overall: bool,
    /// What becomes of the connections that the banned have already.
    pub connections: Connections,
}

impl BanTerms {
    /// How long a ban lasts for a subject that was banned so often before.
    pub fn length(&self, before: u32) -> Duration {
        let factor = match self.multipliers.last() {
            None => self.growth.powi(i32::try_from(before).unwrap_or(i32::MAX)),
            Some(last) => {
                let index = usize::try_from(before).unwrap_or(usize::MAX);
                self.multipliers.get(index).copied().unwrap_or(*last)
            }
        };
        self.times(factor).max(self.first.min(self.max))
    }

    /// That ban under pressure, so many times as long, and never longer than the longest.
    pub fn lengthened(&self, length: Duration, times: f64) -> Duration {
        Duration::try_from_secs_f64(length.as_secs_f64() * times)
            .map_or(self.max, |grown| grown.min(self.max))
            .max(length)
    }

    fn times(&self, factor: f64) -> Duration {
        let seconds = self.first.as_secs_f64() * factor;
        Duration::try_from_secs_f64(seconds).map_or(self.max, |grown| grown.min(self.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn terms(growth: f64, multipliers: &[f64]) -> BanTerms {
        BanTerms {
            first: HOUR,
            growth,
            multipliers: multipliers.to_vec(),
            max: 10 * HOUR,
            ports: Ports::All,
            memory: 240 * HOUR,
            decay: None,
            spread: Duration::ZERO,
            overall: false,
            connections: Connections::End,
        }
    }

    #[track_caller]
    fn check(terms: &BanTerms, hours: [u32; 6]) {
        let lengths: Vec<Duration> = [0, 1, 2, 3, 4, u32::MAX].map(|before| terms.length(before)).into();
        assert_eq!(lengths, hours.map(|hours| hours * HOUR));
    }

    #[test]
    fn bans_grow_up_to_the_maximum() {
        check(&terms(2.0, &[]), [1, 2, 4, 8, 10, 10]);
    }

    #[test]
    fn multipliers_take_the_place_of_growth_and_the_last_one_stays() {
        check(&terms(2.0, &[1.0, 5.0, 3.0]), [1, 5, 3, 3, 3, 3]);
    }
}
