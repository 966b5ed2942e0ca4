//! What is on record: bans in force and bans that are over.

use serde::{Deserialize, Serialize};

use super::{BanView, EvidenceView, rfc3339};
use crate::engine::End;
use crate::store::StoredBan;
use logline::Timestamp;

/// What of the record is asked for: `GET /v1/history` and `GET /v1/history/SUBJECT`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HistoryQuery {
    /// No more than so many, the newest first.
    #[serde(default)]
    pub limit: Option<u32>,
    /// Of this jail.
    #[serde(default)]
    pub jail: Option<String>,
    /// Begun no earlier, RFC 3339.
    #[serde(default)]
    pub since: Option<String>,
}

/// The record, the newest ban first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Histories {
    /// Each ban.
    pub bans: Vec<HistoryView>,
}

/// One ban on record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HistoryView {
    /// The ban, with its evidence.
    #[serde(flatten)]
    pub ban: BanView,
    /// When it was over, RFC 3339; none while it is in force.
    pub ended: Option<String>,
    /// Why it was over.
    pub end: Option<End>,
}

impl HistoryView {
    /// A ban on record as it is told at this moment.
    pub fn of(stored: &StoredBan, now: Timestamp) -> Self {
        let StoredBan { subject, lease, ended, evidence } = stored;
        let mut ban = BanView::of(subject, lease, &[], now);
        ban.evidence = evidence.iter().map(EvidenceView::of).collect();
        // A ban that ended while no watcher ran was not struck out by one.
        let ended = ended.or((lease.until <= now).then_some((lease.until, End::Expired)));
        if ended.is_some() {
            ban.remaining_seconds = 0;
        }
        HistoryView { ban, ended: ended.map(|(at, _)| rfc3339(at)), end: ended.map(|(_, end)| end) }
    }
}
