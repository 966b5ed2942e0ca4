//! What goes over the control socket: the same types on both sides. Version 1; keys are added, never changed.

mod bans;
mod exempt;
mod history;
mod jails;
mod listing;
mod news;
mod status;
mod tested;
mod why;

use logline::Timestamp;
use serde::{Deserialize, Serialize};

pub use bans::{BanRequest, BanView, Bans, EvidenceView, Refusal, UnbanRequest};
pub use exempt::{AllowRequest, AllowView, Allows, AskedList, AskedView, SubjectsRequest};
pub use history::{Histories, HistoryQuery, HistoryView};
pub use jails::{JailList, JailView, JailWindow, Quotas};
pub(crate) use listing::instant;
pub use listing::{Filter, ListQuery, Mark, Order};
pub use news::News;
pub use status::{NoticeView, SourceStatus, Status};
pub use tested::{Held, Tested};
pub use why::{ExplainRequest, Explained, ExplainedJail, MessageView, Standing, StandingWindow, Why};

/// `POST /v1/reload`, and every answer that is an error.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Message {
    /// What happened, or why not; for a person.
    pub message: String,
}

/// An instant as JSON has it: RFC 3339 in UTC, to the nanosecond where there are any.
pub fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_nanosecond(at.nanos().into()).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string()
}
