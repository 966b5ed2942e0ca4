//! What has just happened, put into words once, for live views and for hooks. Pure.

use std::collections::BTreeMap;

use logline::Timestamp;
use serde::{Deserialize, Serialize};

use crate::control::api::{BanView, News, rfc3339};
use crate::engine::{End, Output};
use crate::jail::Mode;
use crate::notice;
use crate::quota;

/// Of more things than this at once, as when a file of addresses is banned, a number is told and not each of them:
/// whoever listens would be flooded.
pub const AT_ONCE_MAX: usize = 500;

macro_rules! topics {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// The kinds of news. A closed list: a hook that asks for another does not load.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Topic { $($(#[$doc])* $variant,)* }

        impl Topic {
            /// All of them.
            pub const ALL: &'static [Topic] = &[$(Topic::$variant,)*];

            /// The name as JSON and configuration have it.
            pub const fn name(self) -> &'static str {
                match self { $(Topic::$variant => $name,)* }
            }
        }
    };
}

topics! {
    /// Somebody is banned.
    Ban = "ban";
    /// Somebody would be, by a jail that only watches.
    WouldBan = "would-ban";
    /// A ban is over.
    Unban = "unban";
    /// Somebody exempt earned a ban.
    Spared = "spared";
    /// A ban waits for the administrator's word.
    Asked = "asked";
    /// A network is exempt from now on, by hand.
    Allowed = "allowed";
    /// It is no longer.
    Disallowed = "disallowed";
    /// A budget of a blocklist will not last.
    QuotaLow = "quota-low";
    /// It is spent.
    QuotaSpent = "quota-spent";
    /// A blocklist answers with errors.
    ZoneOff = "zone-off";
    /// It answers again.
    ZoneOn = "zone-on";
    /// A source has said nothing for longer than it ever does.
    SourceSilent = "source-silent";
    /// It speaks again.
    SourceBack = "source-back";
    /// A source cannot be read.
    SourceTrouble = "source-trouble";
    /// It is read again.
    SourceWell = "source-well";
    /// Nothing more is expected of a source.
    SourceEnded = "source-ended";
    /// The lines of a source are no longer understood.
    ParsingStopped = "parsing-stopped";
    /// They are again.
    ParsingBack = "parsing-back";
    /// Lines are known to be lost.
    LinesLost = "lines-lost";
    /// The configuration was read again and taken over.
    Reloaded = "reloaded";
    /// It was read again and has mistakes.
    ReloadFailed = "reload-failed";
    /// Somebody else had changed the firewall's table; it is whole again.
    FirewallRepaired = "firewall-repaired";
    /// The firewall refuses what it was told.
    FirewallTrouble = "firewall-trouble";
}

impl std::str::FromStr for Topic {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Topic::ALL.iter().copied().find(|topic| topic.name() == text).ok_or_else(|| {
            let known: Vec<&str> = Topic::ALL.iter().map(|topic| topic.name()).collect();
            format!("there is no `{}`; there are: {}", text.escape_debug(), known.join(", "))
        })
    }
}

/// News with its kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// What kind of thing.
    pub topic: Topic,
    /// All about it.
    pub news: News,
}

impl Item {
    /// Something of this kind, in words.
    pub fn new(topic: Topic, now: Timestamp, text: impl Into<String>) -> Item {
        let news = News {
            at: rfc3339(now),
            kind: topic.name().to_owned(),
            text: text.into(),
            subject: None,
            jail: None,
            end: None,
            ban: None,
            source: None,
            zone: None,
            count: None,
        };
        Item { topic, news }
    }

    /// So many things of this kind, at once or nearly.
    pub fn of_many(topic: Topic, count: u64, now: Timestamp) -> Item {
        let mut item = Item::new(topic, now, format!("{count} times {} at once", topic.name()));
        item.news.count = Some(count);
        item
    }

    /// A notice about a source.
    pub fn of_notice(notice: &notice::Notice, now: Timestamp) -> Item {
        let topic = match notice {
            notice::Notice::SourceSilent { .. } => Topic::SourceSilent,
            notice::Notice::SourceBack { .. } => Topic::SourceBack,
            notice::Notice::SourceTrouble { .. } => Topic::SourceTrouble,
            notice::Notice::SourceWell { .. } => Topic::SourceWell,
            notice::Notice::SourceEnded { .. } => Topic::SourceEnded,
            notice::Notice::ParsingStopped { .. } => Topic::ParsingStopped,
            notice::Notice::ParsingBack { .. } => Topic::ParsingBack,
            notice::Notice::LinesLost { .. } => Topic::LinesLost,
        };
        let mut item = Item::new(topic, now, notice.to_string());
        item.news.source = Some(notice.source().to_owned());
        item
    }

    fn about(mut self, subject: &impl ToString, jail: &str) -> Item {
        self.news.subject = Some(subject.to_string());
        self.news.jail = Some(jail.to_owned());
        self
    }
}

/// What the engine's word is to others; what only the kernel needs to know is no news.
pub fn of_outputs(outputs: &[Output], now: Timestamp) -> Vec<Item> {
    outputs.iter().filter_map(|output| of_output(output, now)).collect()
}

/// The same where they are too many: how often what happened.
pub fn counted(outputs: &[Output]) -> BTreeMap<Topic, u64> {
    let mut counts = BTreeMap::new();
    for topic in outputs.iter().filter_map(topic) {
        *counts.entry(topic).or_insert(0) += 1;
    }
    counts
}

fn topic(output: &Output) -> Option<Topic> {
    Some(match output {
        Output::Banned(ban) => match ban.lease.mode {
            Mode::Enforce => Topic::Ban,
            Mode::Watch => Topic::WouldBan,
        },
        Output::Ended { .. } => Topic::Unban,
        Output::Spared { .. } => Topic::Spared,
        Output::Asked(_) => Topic::Asked,
        Output::Allowed { .. } => Topic::Allowed,
        Output::Disallowed { .. } => Topic::Disallowed,
        Output::Zone(notice) => match notice {
            quota::Notice::Off { .. } => Topic::ZoneOff,
            quota::Notice::On { .. } => Topic::ZoneOn,
            quota::Notice::Low { .. } => Topic::QuotaLow,
            quota::Notice::Spent { .. } => Topic::QuotaSpent,
        },
        Output::Enforce { .. } | Output::Admit { .. } => return None,
    })
}

fn of_output(output: &Output, now: Timestamp) -> Option<Item> {
    let topic = topic(output)?;
    let item = |text: String| Item::new(topic, now, text);
    Some(match output {
        Output::Banned(ban) => {
            let view = BanView::of(&ban.subject, &ban.lease, &ban.evidence, now);
            let verb = if topic == Topic::Ban { "is" } else { "would be" };
            let text = format!("{} {verb} banned by {} until {}", ban.subject, view.jail, view.until);
            let mut item = item(text).about(&ban.subject, &ban.lease.jail);
            item.news.ban = Some(view);
            item
        }
        Output::Ended { subject, jail, why, .. } => {
            let (why, verb) = match why {
                End::Expired => ("expired", "is over"),
                End::Lifted => ("lifted", "was lifted"),
                End::Exempted => ("exempted", "was lifted: exempt now"),
            };
            let mut item = item(format!("the ban of {subject} in {jail} {verb}")).about(subject, jail);
            item.news.end = Some(why.to_owned());
            item
        }
        Output::Spared { subject, jail, exemption } => {
            item(format!("{subject} earned a ban in {jail} and has none: {exemption}")).about(subject, jail)
        }
        Output::Asked(asked) => {
            let (subject, jail) = (&asked.subject, &asked.lease.jail);
            let text = format!(
                "{subject} earned a ban in {jail}, and {} accounts log in from there",
                asked.accounts
            );
            item(text).about(subject, jail)
        }
        Output::Allowed { network } => {
            let mut item = item(format!("{network} is exempt from now on"));
            item.news.subject = Some(network.to_string());
            item
        }
        Output::Disallowed { network } => {
            let mut item = item(format!("{network} is exempt no longer"));
            item.news.subject = Some(network.to_string());
            item
        }
        Output::Zone(notice) => {
            let (zone, text) = of_zone(notice);
            let mut item = item(text);
            item.news.zone = Some(zone.to_owned());
            item
        }
        Output::Enforce { .. } | Output::Admit { .. } => return None,
    })
}

fn of_zone(notice: &quota::Notice) -> (&str, String) {
    match notice {
        quota::Notice::Off { zone, why } => {
            let why = logline::Text::from(why).readable().to_string();
            (zone, format!("{zone} answers with errors: {why}"))
        }
        quota::Notice::On { zone } => (zone, format!("{zone} answers again")),
        quota::Notice::Low { zone, used, limit } => {
            (zone, format!("{zone}: {used} of {limit} queries are used, and they will not last the period"))
        }
        quota::Notice::Spent { zone, limit } => {
            (zone, format!("{zone}: all {limit} queries of this period are used"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn ended(subject: &str) -> Output {
        Output::Ended { subject: subject.parse().unwrap(), jail: "j".into(), why: End::Lifted, at: NOW }
    }

    #[test]
    fn what_happens_is_told_one_by_one_and_a_flood_as_a_number() {
        let few = of_outputs(&[ended("192.0.2.7"), ended("192.0.2.8")], NOW);
        assert_eq!(few.len(), 2);
        assert_eq!(few[0].news.text, "the ban of 192.0.2.7 in j was lifted");
        assert_eq!(few[0].news.end.as_deref(), Some("lifted"));
        let many = counted(&vec![ended("192.0.2.7"); 501]);
        assert_eq!(many, BTreeMap::from([(Topic::Unban, 501)]));
        let told = Item::of_many(Topic::Unban, 501, NOW).news;
        assert_eq!((told.text.as_str(), told.count), ("501 times unban at once", Some(501)));
    }

    #[test]
    fn every_topic_has_a_name_of_its_own_and_every_kind_of_notice_is_one() {
        let names: std::collections::BTreeSet<_> = Topic::ALL.iter().map(|topic| topic.name()).collect();
        assert_eq!(names.len(), Topic::ALL.len());
        assert!(notice::KINDS.iter().all(|kind| names.contains(kind)));
        assert_eq!("ban".parse(), Ok(Topic::Ban));
        assert!("bann".parse::<Topic>().is_err());
        for topic in Topic::ALL {
            assert_eq!(serde_json::to_value(topic).unwrap(), topic.name());
        }
    }
}
