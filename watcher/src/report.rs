//! What old logs tell of a mail server: how mail flows, what is refused and why, where junk comes from, whose password is
//! guessed at, what each DNS blocklist is worth, whom it may have refused wrongly, and how long the queue takes.
//!
//! The lines go the way of a replay up to the event; here nobody is banned, everything is counted. All tables have a
//! bound, and say so where they reached it.

mod chart;
mod finding;
mod flow;
mod html;
mod network;
mod place;
mod queue;
mod reader;
mod suspect;
#[cfg(test)]
mod tests;
mod text;
mod transcript;
mod user;
mod zone;

use std::path::PathBuf;

use jiff::tz::TimeZone;
use logline::Timestamp;

use crate::filter::Filters;
use crate::replay::{LogError, Progress, feed};

pub use finding::{
    Cause, Detail, Findings, Flow, Hour, Lines, Overlap, Owner, Queue, SourceNetwork, Spread, Suspect, User,
    Zone,
};
pub use html::html;
pub use place::{Place, PlaceError, Places};
pub use text::text;

use reader::Reader;

/// What a report is made of, and of which time.
#[derive(Debug)]
pub struct Options {
    /// What lines mean.
    pub filters: Filters,
    /// The zone of stamps that name none, and of the hours that are shown.
    pub zone: TimeZone,
    /// Nothing before this counts.
    pub since: Option<Timestamp>,
    /// Where networks are, and whose.
    pub places: Places,
}

/// Reads the logs in the order in which their lines were written.
///
/// # Errors
/// A log cannot be read.
pub fn read(
    options: &Options,
    logs: &[PathBuf],
    progress: &mut dyn FnMut(Progress),
) -> Result<Findings, LogError> {
    let mut reader = Reader::new(options);
    feed(logs, &options.zone, &mut reader, progress)?;
    Ok(reader.findings())
}
