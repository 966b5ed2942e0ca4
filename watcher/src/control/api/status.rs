//! How the watcher stands, and what it noticed of its own affairs.

use std::collections::BTreeMap;

use logline::Timestamp;
use serde::{Deserialize, Serialize};

use super::rfc3339;
use crate::notice::Notice;

/// `GET /v1/status`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Status {
    /// The version that runs.
    pub version: String,
    /// True once all bans are in force again.
    pub ready: bool,
    /// What keeps the banned out: `nftables`, `dry-run`.
    pub firewall: String,
    /// What is wrong with it, if anything is.
    pub firewall_trouble: Option<String>,
    /// Bans in force.
    pub active: usize,
    /// Offenders that are being counted.
    pub counted: usize,
    /// Since when it runs, RFC 3339.
    pub since: String,
    /// What is read.
    pub sources: Vec<SourceStatus>,
    /// The latest notices about them, the oldest first.
    #[serde(default)]
    pub notices: Vec<NoticeView>,
}

/// Something that happened to a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NoticeView {
    /// When it was noticed, RFC 3339.
    pub at: String,
    /// What kind of thing: `source-silent`, `lines-lost` ….
    pub kind: String,
    /// The source's name.
    pub source: String,
    /// In words.
    pub text: String,
}

/// One source, as it stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SourceStatus {
    /// What it reads.
    pub name: String,
    /// `file`, `journal`, `syslog` or `stdin`.
    pub kind: String,
    /// Why it is not read now.
    pub trouble: Option<String>,
    /// That nothing more will come, and why.
    #[serde(default)]
    pub ended: Option<String>,
    /// The envelope that its last line came in.
    #[serde(default)]
    pub envelope: Option<String>,
    /// Lines so far.
    pub lines: u64,
    /// Lines a second, in the last minute.
    #[serde(default)]
    pub lines_per_second: f64,
    /// The share of the last minute's lines that no filter knows; none where there were none.
    #[serde(default)]
    pub unknown_share: Option<f64>,
    /// Its lines are no longer understood, as if their format had changed.
    #[serde(default)]
    pub not_understood: bool,
    /// For how long it has said nothing, where that is longer than it ever does.
    #[serde(default)]
    pub silent_seconds: Option<u64>,
    /// Lines that no filter knows.
    pub unknown: u64,
    /// Lines about a client that nobody can tell for certain.
    pub ambiguous: u64,
    /// Lines of which only the beginning was read.
    pub cut: u64,
    /// Messages of more than one line, which were made one.
    pub escaped: u64,
    /// Times that lines are known to be lost.
    pub lost: u64,
    /// The same by reason.
    #[serde(default)]
    pub lost_by_reason: BTreeMap<String, u64>,
    /// Lines whose stamp was so far ahead of their arrival that the arrival stands for it.
    #[serde(default)]
    pub replaced: u64,
    /// Bytes that are written and not yet read.
    pub behind_bytes: u64,
    /// How old the last line was when it was read.
    #[serde(default)]
    pub lag_seconds: f64,
    /// When the last line was written, RFC 3339.
    pub last: Option<String>,
    /// How long ago that is.
    #[serde(default)]
    pub last_age_seconds: Option<f64>,
}

impl NoticeView {
    /// A notice as it is told.
    pub fn of((at, notice): &(Timestamp, Notice)) -> Self {
        NoticeView {
            at: rfc3339(*at),
            kind: notice.kind().to_owned(),
            source: notice.source().to_owned(),
            text: notice.to_string(),
        }
    }
}
