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
use crate::watch::{Counts, Now, SourceCounts, Watch};

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
    /// What became of the lines of all logs together.
    pub fn lines(&self) -> SourceCounts {
        let mut all = SourceCounts::default();
        for source in &self.counts.sources {
            all.lines += source.lines;
            all.unknown += source.unknown;
            all.ambiguous += source.ambiguous;
            all.repeated += source.repeated;
        }
        all
    }

    /// How much time the log covers, in whole seconds.
    pub fn length(&self) -> Duration {
        self.span.map_or(Duration::ZERO, |(first, last)| Duration::from_secs(last.since(first).as_secs()))
    }
}

/// Reads the logs in the order in which their lines were written; each with its rotated files is a source of its own.
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
    let logs = logs::named(logs)?;
    let sources = logs.iter().map(|log| log.source + 1).max().unwrap_or_default();
    let interpreter = || Interpreter::new(config.filters.iter().cloned(), zone.clone());
    let interpreters = std::iter::repeat_with(interpreter).take(sources).collect();
    // This machine's own addresses say nothing about the machine that wrote an old log.
    let exemptions = Exemptions::new(&config.exempt, &[], config.private);
    let mut replay = Replay::new(Watch::new(interpreters, Engine::new(config.jails.clone(), exemptions)));
    merge::read(&logs, &zone, &mut replay, progress)?;
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

    fn line(&mut self, _: usize, line: &[u8]) {
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

    /// The next line of that source.
    pub fn line(&mut self, source: usize, line: &[u8]) {
        let Some(reading) = self.watch.line(source, line, Now::Lines(self.now), &mut self.out) else {
            return;
        };
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

    fn line(&mut self, source: usize, line: &[u8]) {
        Replay::line(self, source, line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who would be banned by these logs.
    #[track_caller]
    fn check(logs: &[(&str, &str)], banned: &[&str]) {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in logs {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let file = directory.path().join("watcher.toml");
        std::fs::write(&file, "").unwrap();
        let config = Config::load(Some(&file)).unwrap();
        let paths: Vec<PathBuf> = logs.iter().map(|(name, _)| directory.path().join(name)).collect();
        let outcome = replay(&config, &paths, &mut |_| {}).unwrap();
        let subjects: Vec<String> = outcome.bans.iter().map(|ban| ban.subject.to_string()).collect();
        assert_eq!(subjects, banned);
    }

    #[test]
    fn a_session_of_one_log_is_not_ended_by_another_log() {
        let failure = |second: u32| {
            format!(
                "2026-01-01 12:00:{second:02}.000 qmail-smtpd[7]: auth: auth-failed type=plain user=<x{second}>\n"
            )
        };
        let open = "2026-01-01 12:00:00.000 tcpserver: pid 7 from 198.51.100.7\n";
        let nothing_open = "2026-01-01 12:00:03.500 tcpserver: status: 0/40\n";
        let whole: String = std::iter::once(open.to_owned()).chain((1..6).map(failure)).collect();
        check(&[("smtpd", &whole), ("smtpsd", nothing_open)], &["198.51.100.7"]);
        let early: String = std::iter::once(open.to_owned()).chain((1..3).map(failure)).collect();
        let late: String = (3..6).map(failure).collect();
        check(&[("smtpd", &late), ("smtpsd", nothing_open), ("smtpd.1", &early)], &["198.51.100.7"]);
    }
}
