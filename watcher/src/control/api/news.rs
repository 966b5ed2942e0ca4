//! What has just happened, as live views and hooks are told it.

use serde::{Deserialize, Serialize};

use super::BanView;

/// One thing that happened: an event of `GET /v1/events`, and what a hook is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct News {
    /// When, RFC 3339.
    pub at: String,
    /// What kind of thing: `ban`, `unban`, `quota-low` ….
    pub kind: String,
    /// In words.
    pub text: String,
    /// Whom it is about: an address, a network, `user:NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// In which jail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jail: Option<String>,
    /// Why a ban is over: `expired`, `lifted`, `exempted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
    /// The ban, with its evidence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ban: Option<BanView>,
    /// Which source of lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Which DNS blocklist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Of so many things of a kind that happened at once, where they are not told one by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}
