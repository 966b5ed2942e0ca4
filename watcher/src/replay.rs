//! The same engine over old logs, in the time of their lines: who would be banned, when and why. It touches no firewall
//! and no database.

mod logs;
mod merge;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use logline::Timestamp;

use crate::config::Config;
use crate::engine::{Ban, Engine, Exemptions, Input, Output};
use crate::interpret::Interpreter;
use crate::watch::{Counts, Now, Watch};

pub use logs::LogError;
pub use merge::Progress;
pub use report::{json, text};

/// What a replay came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Every ban, in the order in which they fell.
    pub bans: Vec<Ban>,
    /// Bans that somebody exempt earned.
    pub spared: u64,
    /// What became of the lines.
    pub counts: Counts,
    /// The first stamp and the last one.
    pub span: Option<(Timestamp, Timestamp)>,
}

impl Outcome {
    /// How much time the log covers, in whole seconds.
    pub fn length(&self) -> Duration {
        self.span.map_or(Duration::ZERO, |(first, last)| Duration::from_secs(last.since(first).as_secs()))
    }
}

/// Reads the logs as one source, in the order in which their lines were written.
///
/// # Errors
/// A log cannot be read.
pub fn replay(
    config: &Config,
    logs: &[PathBuf],
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome, LogError> {
    let source = config.sources.first();
    let zone = source.map_or_else(TimeZone::system, |source| source.zone.clone());
    let interpreter = Interpreter::new(config.filters.iter().cloned(), zone.clone());
    // This machine's own addresses say nothing about the machine that wrote an old log.
    let exemptions = Exemptions::new(&config.exempt, &[], config.private);
    let mut replay =
        Replay::new(Watch::new(vec![interpreter], Engine::new(config.jails.clone(), exemptions)));
    merge::read(&logs::named(logs)?, &zone, &mut replay, progress)?;
    Ok(replay.finish())
}

/// Gives every line of a log, or of a directory of logs, as [`replay`] reads them; stamps in local time are in the
/// system's zone.
///
/// # Errors
/// It cannot be read.
pub fn lines_of(log: &std::path::Path, sink: &mut dyn FnMut(&[u8])) -> Result<(), LogError> {
    let logs = logs::named(&[log.to_owned()])?;
    merge::read(&logs, &TimeZone::system(), &mut Each(sink), &mut |_| {})
}

/// Hands each line on.
struct Each<'s>(&'s mut dyn FnMut(&[u8]));

impl merge::Sink for Each<'_> {
    fn starts(&mut self, _: Timestamp) {}

    fn line(&mut self, line: &[u8]) {
        (self.0)(line);
    }
}

/// A replay under way.
#[derive(Debug)]
pub struct Replay {
    watch: Watch,
    now: Timestamp,
    first: Option<Timestamp>,
    bans: Vec<Ban>,
    spared: u64,
    out: Vec<Output>,
}

impl Replay {
    /// Before the first line.
    pub fn new(watch: Watch) -> Self {
        let now = Timestamp::from_nanos(0);
        Replay { watch, now, first: None, bans: Vec::new(), spared: 0, out: Vec::new() }
    }

    /// The next line.
    pub fn line(&mut self, line: &[u8]) {
        let Some(reading) = self.watch.line(0, line, Now::Lines(self.now), &mut self.out) else { return };
        if self.first.is_none() {
            self.first = Some(reading.at);
            self.now = reading.at;
        }
        self.now = self.now.max(reading.at);
        self.take();
        if self.watch.engine.next_end().is_some_and(|end| end <= self.now) {
            self.watch.engine.handle(self.now, Input::Tick, &mut self.out);
            self.take();
        }
    }

    /// What it came to.
    pub fn finish(self) -> Outcome {
        let span = self.first.map(|first| (first, self.now));
        Outcome { bans: self.bans, spared: self.spared, counts: self.watch.counts, span }
    }

    fn take(&mut self) {
        for output in self.out.drain(..) {
            match output {
                Output::Banned(ban) => self.bans.push(ban),
                Output::Spared { .. } => self.spared += 1,
                Output::Enforce { .. } | Output::Admit { .. } | Output::Ended { .. } => {}
            }
        }
    }
}

impl merge::Sink for Replay {
    /// That tells the year of the first lines, where they do not tell it themselves.
    fn starts(&mut self, written: Timestamp) {
        self.now = written;
    }

    fn line(&mut self, line: &[u8]) {
        Replay::line(self, line);
    }
}
