//! Why somebody is banned, and how far from it he is.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{BanView, rfc3339};
use crate::engine::{self, Explanation};
use crate::messages;
use crate::subject::Subject;

/// `GET /v1/bans/SUBJECT`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Why {
    /// Who was asked about.
    pub subject: Subject,
    /// The bans that keep him out, with their evidence.
    pub bans: Vec<BanView>,
    /// How far he is from further ones.
    pub standing: Vec<Standing>,
    /// Why he is never banned, if so.
    pub exempt: Option<String>,
    /// So many accounts logged in from there within 30 days, for an hour at least.
    #[serde(default)]
    pub accounts: u32,
    /// Whether there is a good history: logins, or mail that was accepted.
    #[serde(default)]
    pub known: bool,
    /// Whether a ban waits for the administrator's word.
    #[serde(default)]
    pub asked: bool,
    /// The mail that was taken from him lately, the latest first.
    #[serde(default)]
    pub messages: Vec<MessageView>,
    /// The DNS blocklists that list him, as far as they were asked since the watcher started.
    #[serde(default)]
    pub listed_by: Vec<String>,
    /// So many bans of him are on record, those in force among them.
    #[serde(default)]
    pub on_record: u64,
    /// Others near him who are banned: of the same IPv4 /24 or IPv6 /48, some of them.
    #[serde(default)]
    pub neighbours: Vec<BanView>,
    /// How many they are.
    #[serde(default)]
    pub neighbours_total: usize,
}

/// One message that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MessageView {
    /// When, RFC 3339.
    pub at: String,
    /// From which address.
    pub address: IpAddr,
    /// Its Message-ID without the brackets, escaped for a terminal, where the log names it.
    pub id: Option<String>,
    /// Its envelope sender, escaped for a terminal.
    pub sender: String,
    /// The queue's number for it.
    pub qp: u32,
    /// How its last delivery went: `success`, `failure`, `deferral`.
    pub outcome: Option<String>,
}

/// How far somebody is from a ban.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Standing {
    /// In which jail.
    pub jail: String,
    /// So many were counted.
    pub count: u32,
    /// So many are too many.
    pub threshold: u32,
    /// In so much time.
    #[serde(default)]
    pub within_seconds: u64,
    /// The jail's other windows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<StandingWindow>,
    /// When the last of it was, RFC 3339.
    #[serde(default)]
    pub last: Option<String>,
}

/// How far somebody is from a ban in a further window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StandingWindow {
    /// So many were counted.
    pub count: u32,
    /// So many are too many.
    pub threshold: u32,
    /// In so much time.
    pub within_seconds: u64,
}

/// `POST /v1/explain`: what an event would be to every jail.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// Its kind.
    pub kind: String,
    /// Whose it is.
    pub address: String,
    /// Its fields.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
}

/// What an event would be to every jail.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Explained {
    /// One a jail.
    pub jails: Vec<ExplainedJail>,
}

/// What an event would be to one jail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ExplainedJail {
    /// Which.
    pub jail: String,
    /// How it would stand, where it counts.
    pub standing: Option<Standing>,
    /// Why it does not count.
    pub reason: Option<String>,
}

impl Why {
    /// What is to be said where nothing is known.
    pub fn nothing_about(subject: Subject) -> Self {
        Why {
            subject,
            bans: Vec::new(),
            standing: Vec::new(),
            exempt: None,
            accounts: 0,
            known: false,
            asked: false,
            messages: Vec::new(),
            listed_by: Vec::new(),
            on_record: 0,
            neighbours: Vec::new(),
            neighbours_total: 0,
        }
    }
}

impl MessageView {
    /// A message as it is told.
    pub fn of(message: &messages::Message) -> Self {
        MessageView {
            at: rfc3339(message.at),
            address: message.address,
            id: message.id.clone(),
            sender: message.sender.clone(),
            qp: message.qp,
            outcome: message.outcome.map(|outcome| outcome.name().to_owned()),
        }
    }
}

impl Standing {
    /// As the engine tells it.
    pub fn of(standing: &engine::Standing) -> Self {
        let window = |(count, threshold, within): &(u32, u32, Duration)| StandingWindow {
            count: *count,
            threshold: *threshold,
            within_seconds: within.as_secs(),
        };
        Standing {
            jail: standing.jail.to_string(),
            count: standing.count,
            threshold: standing.threshold,
            within_seconds: standing.within.as_secs(),
            also: standing.also.iter().map(window).collect(),
            last: standing.last.map(rfc3339),
        }
    }
}

impl ExplainedJail {
    /// As the engine tells it.
    pub fn of(explanation: &Explanation) -> Self {
        let standing = explanation.outcome.as_ref().ok().map(Standing::of);
        let reason = explanation.outcome.as_ref().err().map(ToString::to_string);
        ExplainedJail { jail: explanation.jail.to_string(), standing, reason }
    }
}
