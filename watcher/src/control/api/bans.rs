//! Bans, and what makes and lifts them.

use std::time::Duration;

use logline::Timestamp;
use serde::{Deserialize, Serialize};

use super::rfc3339;
use crate::engine::{Evidence, Lease};
use crate::jail::{Mode, Ports};
use crate::subject::Subject;

/// A list of bans: `GET /v1/bans`, and what a change changed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Bans {
    /// The bans.
    pub bans: Vec<BanView>,
    /// What could not be done, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refusal>,
    /// For a list: how many there are that were asked for, on this page or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<usize>,
    /// For a list that goes on: what to ask for as `after` to have the next page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One ban.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BanView {
    /// Whom.
    pub subject: Subject,
    /// By which jail.
    pub jail: String,
    /// Whether it is enforced.
    pub mode: Mode,
    /// When it began, RFC 3339.
    pub from: String,
    /// When it ends, RFC 3339.
    pub until: String,
    /// How long that is from now.
    pub remaining_seconds: u64,
    /// How often the subject was banned by this jail before.
    pub before: u32,
    /// Which ports are closed; all where none is named.
    #[serde(default)]
    pub ports: Vec<u16>,
    /// The administrator's words.
    pub reason: Option<String>,
    /// The lines that led to it; only where asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<EvidenceView>,
}

/// One line that led to a ban.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EvidenceView {
    /// When it was written, RFC 3339.
    pub at: String,
    /// The line, escaped for a terminal.
    pub line: String,
}

/// Something that was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Refusal {
    /// About whom.
    pub subject: String,
    /// Why not.
    pub why: String,
}

/// `POST /v1/bans`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BanRequest {
    /// Whom: addresses or networks.
    pub subjects: Vec<String>,
    /// For how long.
    pub for_seconds: u64,
    /// In which jail; `manual` unless told otherwise.
    #[serde(default)]
    pub jail: Option<String>,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

/// `POST /v1/unban`: exactly one of the three.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UnbanRequest {
    /// These subjects.
    #[serde(default)]
    pub subjects: Vec<String>,
    /// Everybody in this jail.
    #[serde(default)]
    pub jail: Option<String>,
    /// Everybody.
    #[serde(default)]
    pub all: bool,
}

impl BanView {
    /// A ban as it is told at this moment.
    pub fn of(subject: &Subject, lease: &Lease, evidence: &[Evidence], now: Timestamp) -> Self {
        let evidence =
            evidence.iter().map(|e| EvidenceView { at: rfc3339(e.at), line: e.line.clone() }).collect();
        BanView {
            subject: subject.clone(),
            jail: lease.jail.to_string(),
            mode: lease.mode,
            from: rfc3339(lease.from),
            until: rfc3339(lease.until),
            remaining_seconds: round_up(lease.until.since(now)),
            before: lease.before,
            ports: match &lease.ports {
                Ports::All => Vec::new(),
                Ports::Tcp(ports) => ports.iter().copied().collect(),
            },
            reason: lease.reason.clone(),
            evidence,
        }
    }
}

impl EvidenceView {
    /// A line as it is told.
    pub fn of(evidence: &Evidence) -> Self {
        EvidenceView { at: rfc3339(evidence.at), line: evidence.line.clone() }
    }
}

fn round_up(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
