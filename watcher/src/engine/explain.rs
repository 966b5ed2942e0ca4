//! Why an event counts or does not, and how far somebody is from a ban. Nothing changes by asking.

use std::fmt;
use std::time::Duration;

use logline::Timestamp;

use crate::engine::decide::Weighed;
use crate::engine::key::{key_of, user_at_low, user_key};
use crate::engine::table::Hit;
use crate::engine::window::{needed, sum};
use crate::engine::{Engine, What, millis};
use crate::event::Event;
use crate::jail::{Jail, JailName, Method, Per};
use crate::subject::{Network, Subject};

/// Why an event does not count in a jail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The jail counts other kinds of event.
    OtherKind,
    /// The line does not say whom the jail would count.
    Nobody,
    /// The client was told to come again: a temporary failure or a greylist.
    Temporary,
    /// The blocklist answers with errors.
    DoubtfulListing,
    /// The jail gives this kind the weight 0.
    NoWeight,
    /// The client logged in to this account lately.
    OwnAccount,
    /// It is a wrong password that the account's owner has typed himself.
    OwnersPassword,
    /// The client has a good history.
    Known,
    /// He is banned already, or the administrator was asked.
    Banned,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::OtherKind => "the jail counts other kinds of event",
            Reason::Nobody => "the line does not say whom the jail would count",
            Reason::Temporary => "the client was told to come again; that is no offence",
            Reason::DoubtfulListing => "the blocklist answers with errors; no listing of its counts",
            Reason::NoWeight => "the jail gives this kind of event the weight 0",
            Reason::OwnAccount => "the client logged in to this account lately",
            Reason::OwnersPassword => "the owner of the account has typed this wrong password himself",
            Reason::Known => "the client has a good history",
            Reason::Banned => "banned already, or waiting for the administrator's word",
        })
    }
}

/// What one event is to one jail.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The jail.
    pub jail: JailName,
    /// How it stands with the event counted; or why it does not count.
    pub outcome: Result<Standing, Reason>,
}

/// How far somebody is from a ban.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// In which jail.
    pub jail: JailName,
    /// So much was counted in the first window.
    pub count: u32,
    /// So much is too much there.
    pub threshold: u32,
    /// How long the first window is.
    pub within: Duration,
    /// The other windows: counted, too much, how long.
    pub also: Vec<(u32, u32, Duration)>,
    /// Which account it is about, where the jail counts accounts.
    pub part: Part,
    /// When the last of it was.
    pub last: Option<Timestamp>,
}

/// What of a subject a jail counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All that it does.
    Whole,
    /// What it does to one account.
    Account,
}

impl Engine {
    /// What this event would be to every jail if it came now.
    pub fn explain(&self, now: Timestamp, event: &Event<'_>) -> Vec<Explanation> {
        let jails = self.jails.iter().enumerate();
        let explained = jails.map(|(index, jail)| {
            let weighed = match jail.campaign.first() {
                None => self.weigh(jail, event.at.min(now), event),
                Some(group) => self.weigh_follower(index, jail, *group, event.at.min(now), event),
            };
            let outcome = weighed.map(|weighed| self.with(index, jail, &weighed));
            Explanation { jail: jail.name.clone(), outcome }
        });
        explained.collect()
    }

    /// How far a subject is from a ban, in each jail that has counted something of it.
    pub fn standing(&self, subject: &Subject, now: Timestamp) -> Vec<Standing> {
        let mut found = Vec::new();
        for (index, jail) in self.jails.iter().enumerate().filter(|(_, jail)| jail.campaign.is_empty()) {
            for key in self.keys_of(index, jail, subject) {
                let hits = self.counters.hits((index, What::Offence), key);
                let mut standing = self.measure(jail, &hits, now, 1.0);
                if jail.method == Method::Bucket {
                    standing.count = self.counters.drops((index, What::Offence), key, jail, millis(now));
                }
                if standing.count > 0 || standing.also.iter().any(|(count, ..)| *count > 0) {
                    found.push(standing);
                }
            }
        }
        found
    }

    /// The keys under which a jail counts a subject.
    fn keys_of(&self, index: usize, jail: &Jail, subject: &Subject) -> Vec<u128> {
        match (subject, jail.per) {
            (Subject::Network(network), Per::Network { ipv4, ipv6 }) => {
                vec![key_of(Network::around(network.net().addr(), ipv4, ipv6))]
            }
            (Subject::Network(network), Per::UserAndAddress { ipv4, ipv6 }) => {
                let network = Network::around(network.net().addr(), ipv4, ipv6);
                let low = u128::from(user_at_low(self.seed, network));
                let keys = self.counters.keys((index, What::Offence));
                keys.filter(|key| key & u128::from(u64::MAX) == low).collect()
            }
            (Subject::User(user), Per::User) => {
                let name = logline::Text::unescape(user.as_bytes());
                vec![user_key(self.seed, name.bytes())]
            }
            (Subject::Network(_), Per::User) | (Subject::User(_), _) => Vec::new(),
        }
    }

    /// How it stands once the event is counted.
    fn with(&self, index: usize, jail: &Jail, weighed: &Weighed) -> Standing {
        let mut hits = self.counters.hits((index, What::Offence), weighed.key);
        hits.retain(|hit| hit.value == 0 || hit.value != weighed.hit.value);
        hits.push(weighed.hit);
        let now = i64::try_from(weighed.hit.at).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        let mut standing = self.measure(jail, &hits, Timestamp::from_nanos(now), weighed.limits.times);
        if jail.method == Method::Bucket {
            let at = (index, What::Offence);
            let before = self.counters.drops(at, weighed.key, jail, weighed.hit.at);
            standing.count = before.saturating_add(u32::from(weighed.hit.weight));
        }
        standing.threshold =
            u32::try_from(needed(weighed.limits.first, weighed.limits.times)).unwrap_or(u32::MAX);
        standing
    }

    fn measure(&self, jail: &Jail, hits: &[Hit], now: Timestamp, times: f64) -> Standing {
        let at = millis(now);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a threshold is at most 10,000, and the factor at most 1,000 and never negative"
        )]
        let patient = |threshold: u32| (f64::from(threshold) * times).ceil() as u32;
        let also = jail.also.iter();
        let also =
            also.map(|window| (sum(hits, at, window.within), patient(window.threshold), window.within));
        let last = hits.iter().map(|hit| hit.at).max().and_then(|at| i64::try_from(at).ok());
        Standing {
            jail: jail.name.clone(),
            count: sum(hits, at, jail.within),
            threshold: patient(self.threshold(jail, now)),
            within: jail.within,
            also: also.collect(),
            part: match jail.per {
                Per::Network { .. } | Per::User => Part::Whole,
                Per::UserAndAddress { .. } => Part::Account,
            },
            last: last.map(|at| Timestamp::from_nanos(at.saturating_mul(1_000_000))),
        }
    }
}
