//! How mail flows, hour by hour, and why something is refused.

use std::collections::{BTreeMap, HashMap};

use jiff::tz::TimeZone;

use super::finding::{Cause, Detail, Flow, Hour};
use crate::control::api::rfc3339;
use crate::event::{Event, Kind};
use crate::fact::Fact;
use crate::filter::{Matcher, Rule};

const HOUR_SECONDS: i64 = 3600;

/// Eleven years of hours. Of more, the later ones count in the sum alone.
const HOURS_MAX: usize = 100_000;

/// So many words of programs are told apart; there are some 150.
const WORDS_MAX: usize = 1000;

/// So many words are named for a reason.
const WORDS_SHOWN: usize = 10;

/// The events that refuse somebody something.
pub(super) const REFUSALS: &[Kind] = &[
    Kind::HeloBad,
    Kind::RelayDenied,
    Kind::SenderRejected,
    Kind::RcptUnknown,
    Kind::RcptRejected,
    Kind::DnsblListed,
    Kind::SpfFail,
    Kind::DkimFail,
    Kind::DmarcFail,
    Kind::UriListed,
    Kind::Spam,
    Kind::Virus,
    Kind::ProtocolError,
    Kind::LimitExceeded,
    Kind::Pregreet,
    Kind::MessageRejected,
];

/// Whether the client was told to come again.
fn is_put_off(event: &Event<'_>) -> bool {
    let says = |name| event.field(name);
    says("code").is_some_and(|code| code.first() == Some(&b'4'))
        || says("result") == Some(b"delay")
        || says("verdict") == Some(b"delay")
}

/// The hours.
#[derive(Debug, Default)]
pub(super) struct Hours {
    total: Flow,
    hours: BTreeMap<i64, Flow>,
}

impl Hours {
    pub(super) fn event(&mut self, event: &Event<'_>) {
        let hour = event.at.seconds().div_euclid(HOUR_SECONDS);
        let has_room = self.hours.len() < HOURS_MAX || self.hours.contains_key(&hour);
        let mut count = |of: fn(&mut Flow) -> &mut u64| {
            *of(&mut self.total) += u64::from(event.weight);
            if has_room {
                *of(self.hours.entry(hour).or_default()) += u64::from(event.weight);
            }
        };
        match event.kind {
            Kind::Connect => count(|flow| &mut flow.connections),
            Kind::MessageAccepted => count(|flow| &mut flow.accepted),
            Kind::AuthFailed => count(|flow| &mut flow.logins_failed),
            Kind::Delivered => count(|flow| &mut flow.delivered),
            Kind::Deferred => count(|flow| &mut flow.deferred),
            Kind::Bounced => count(|flow| &mut flow.bounced),
            kind if REFUSALS.contains(&kind) && is_put_off(event) => count(|flow| &mut flow.put_off),
            kind if REFUSALS.contains(&kind) => count(|flow| &mut flow.rejected),
            _ => {}
        }
    }

    pub(super) fn total(&self) -> Flow {
        self.total
    }

    pub(super) fn findings(self, zone: &TimeZone) -> Vec<Hour> {
        let hour = |(hour, flow): (i64, Flow)| {
            let at = logline::Timestamp::from_seconds(hour * HOUR_SECONDS);
            let local = jiff::Timestamp::from_second(hour * HOUR_SECONDS).unwrap_or_default();
            let shown = local.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string();
            Hour { at: rfc3339(at), shown, flow }
        };
        self.hours.into_iter().map(hour).collect()
    }
}

/// Why something was refused.
#[derive(Debug, Default)]
pub(super) struct Causes {
    causes: BTreeMap<Kind, (u64, u64)>,
    words: HashMap<(Kind, String), u64>,
}

/// The field in which a program says why, where its words are from a list that a client cannot add to.
fn word_field(rule: &Rule) -> Option<&'static str> {
    let Matcher::Fact(fact, _) = &rule.matcher else { return None };
    match fact {
        Fact::Qlog => Some("reason"),
        Fact::Chkuser => Some("description"),
        Fact::Smtpd => Some("event"),
        Fact::Forbidden => Some("list"),
        Fact::Limit => Some("limit"),
        Fact::Simscan => Some("state"),
        Fact::Rbl => Some("result"),
        Fact::Rblsmtpd | Fact::Listed => Some("verdict"),
        _ => None,
    }
}

impl Causes {
    pub(super) fn event(&mut self, event: &Event<'_>, rule: &Rule) {
        if !REFUSALS.contains(&event.kind) {
            return;
        }
        let weight = u64::from(event.weight);
        let (count, put_off) = self.causes.entry(event.kind).or_default();
        *count += weight;
        *put_off += if is_put_off(event) { weight } else { 0 };
        let word = word_field(rule).and_then(|name| event.field(name)).unwrap_or(rule.name.as_bytes());
        let word = logline::Text::from(word).readable().to_string();
        let key = (event.kind, word);
        if self.words.len() < WORDS_MAX || self.words.contains_key(&key) {
            *self.words.entry(key).or_default() += weight;
        }
    }

    pub(super) fn findings(self) -> Vec<Cause> {
        let words = self.words;
        let cause = |(kind, (count, put_off)): (Kind, (u64, u64))| {
            let of_kind = words.iter().filter(|((of, _), _)| *of == kind);
            let details = of_kind.map(|((_, word), count)| Detail { word: word.clone(), count: *count });
            let mut details: Vec<Detail> = details.collect();
            details.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.word.cmp(&b.word)));
            details.truncate(WORDS_SHOWN);
            Cause { reason: kind.name(), count, put_off, details }
        };
        let mut causes: Vec<Cause> = self.causes.into_iter().map(cause).collect();
        causes.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.reason.cmp(b.reason)));
        causes
    }
}
