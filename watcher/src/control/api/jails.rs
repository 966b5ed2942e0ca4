//! The jails, and the budgets of DNS blocklists.

use serde::{Deserialize, Serialize};

use crate::jail::Mode;
use crate::quota::ZoneView;

/// `GET /v1/jails`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct JailList {
    /// The jails in use.
    pub jails: Vec<JailView>,
}

/// One jail.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct JailView {
    /// Its name.
    pub name: String,
    /// One sentence.
    pub about: String,
    /// Whether it bans.
    pub mode: Mode,
    /// The kinds of event that it counts.
    pub on: Vec<String>,
    /// So many are too many …
    pub threshold: u32,
    /// … in so much time.
    pub within_seconds: u64,
    /// Further windows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<JailWindow>,
    /// The first ban's length.
    pub ban_seconds: u64,
    /// Its bans in force.
    pub active: usize,
}

/// A further window of a jail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct JailWindow {
    /// So many are too many …
    pub threshold: u32,
    /// … in so much time.
    pub within_seconds: u64,
}

/// `GET /v1/quota`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Quotas {
    /// The zones.
    pub zones: Vec<ZoneView>,
}
