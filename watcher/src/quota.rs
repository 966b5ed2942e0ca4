//! Budgets of DNS blocklists: what was asked today, what is left, when it is spent, and what spared a query.
//!
//! A list that is asked too often answers everybody with an error, or stops answering: no spam is kept out, or all mail
//! is. The book is kept from the log alone, so that it is right for any program that logs its look-ups.

pub(crate) mod answer;
mod book;
mod forecast;
mod overlap;
mod zone;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use answer::is_certain;
pub use book::{Book, UNCONFIGURED_MAX};
pub use forecast::Forecast;
pub use zone::{Avoided, ZoneView};

/// The budget of a DNS blocklist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The zone.
    pub zone: String,
    /// `limit`: queries in a period.
    pub limit: u64,
    /// `period`: `"24h"` unless told otherwise.
    pub period: Duration,
    /// `reset`: time of day, UTC, at which a period begins; `"00:00Z"` unless told otherwise.
    pub reset: Duration,
    /// `count`: what a query is.
    pub counted: Counted,
}

impl Quota {
    /// So many queries a day, counted from the log, from midnight UTC on.
    pub fn daily(zone: &str, limit: u64) -> Self {
        let (period, reset) = (crate::config::default::PERIOD, Duration::ZERO);
        Quota { zone: zone.to_owned(), limit, period, reset, counted: Counted::Queries }
    }
}

/// How queries are told from the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Counted {
    /// The log tells each of them.
    #[default]
    Queries,
    /// The log tells listings alone, as that of rblsmtpd does: each connection is asked about, in the order of the
    /// configuration, until one lists it.
    Connections,
}

/// Something about a zone that a person should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Notice {
    /// It answers with errors: no listing of it counts until it answers rightly again.
    Off {
        /// Which.
        zone: String,
        /// What it said.
        why: String,
    },
    /// It answers rightly again.
    On {
        /// Which.
        zone: String,
    },
    /// Its budget will be spent before the period ends.
    Low {
        /// Which.
        zone: String,
        /// Used so far.
        used: u64,
        /// Of so many.
        limit: u64,
    },
    /// Its budget is spent.
    Spent {
        /// Which.
        zone: String,
        /// Of so many.
        limit: u64,
    },
}
