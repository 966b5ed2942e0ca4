//! Exemptions by hand, and bans that wait for a word.

use serde::{Deserialize, Serialize};

use super::{EvidenceView, Refusal, rfc3339};
use crate::engine::{Allowance, Asked};
use crate::subject::{Network, Subject};

/// `GET /v1/allow`, and what a change of it changed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Allows {
    /// The exemptions by hand.
    pub allowed: Vec<AllowView>,
    /// What could not be done, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refusal>,
}

/// An exemption by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AllowView {
    /// Whom.
    pub subject: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// Until when, RFC 3339; none: until it is removed.
    pub until: Option<String>,
    /// The administrator's words.
    pub note: Option<String>,
}

/// `POST /v1/allow`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AllowRequest {
    /// Whom: addresses or networks.
    pub subjects: Vec<String>,
    /// For how long; without end unless told otherwise.
    #[serde(default)]
    pub for_seconds: Option<u64>,
    /// Why.
    #[serde(default)]
    pub note: Option<String>,
}

/// `POST /v1/disallow`, and `POST /v1/confirm`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SubjectsRequest {
    /// Whom.
    pub subjects: Vec<String>,
    /// For `confirm`: false, where they are not to be banned.
    #[serde(default = "yes")]
    pub ban: bool,
}

fn yes() -> bool {
    true
}

/// `GET /v1/asked`: bans that wait for the administrator's word.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AskedList {
    /// Each of them.
    pub asked: Vec<AskedView>,
}

/// A ban that waits for the administrator's word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AskedView {
    /// Whom.
    pub subject: Subject,
    /// Which jail wants it.
    pub jail: String,
    /// Since when, RFC 3339.
    pub since: String,
    /// How long the ban would be.
    pub for_seconds: u64,
    /// So many accounts log in from there.
    pub accounts: u32,
    /// The lines that led to it.
    pub evidence: Vec<EvidenceView>,
}

impl AllowView {
    /// As the engine tells it.
    pub fn of(network: Network, entry: &Allowance) -> Self {
        AllowView {
            subject: network.to_string(),
            since: rfc3339(entry.since),
            until: entry.until.map(rfc3339),
            note: entry.note.clone(),
        }
    }
}

impl AskedView {
    /// As the engine tells it.
    pub fn of(asked: &Asked) -> Self {
        AskedView {
            subject: asked.subject.clone(),
            jail: asked.lease.jail.to_string(),
            since: rfc3339(asked.lease.from),
            for_seconds: asked.lease.until.since(asked.lease.from).as_secs(),
            accounts: asked.accounts,
            evidence: asked.evidence.iter().map(EvidenceView::of).collect(),
        }
    }
}
