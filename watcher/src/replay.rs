//! The same engine over old logs, in the time of their lines: who would be banned, when and why. It touches no firewall
//! and no database.

mod compare;
mod crew;
mod html;
mod judge;
mod logs;
mod merge;
mod report;
#[cfg(test)]
mod tests;

use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use logline::Timestamp;

use crate::config::Config;
use crate::engine::{Ban, Engine, Exemption, Exemptions, Input, Output};
use crate::fail2ban::{Foreign, Imported};
use crate::interpret::{Interpreter, Reading, Sight};
use crate::watch::{Counts, Now, SourceCounts, Watch};

pub use compare::Difference;
pub(crate) use html::Escaped;
pub use html::html;
pub use judge::{Customer, JailJudgement, Judge, Judgement, ZoneJudgement};
pub use logs::LogError;
pub use merge::Progress;
pub(crate) use merge::Sink;
pub use report::{json, text};

use crew::Crew;

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
    /// Whether the bans were right and worth it.
    pub judgement: Judgement,
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

/// So many bytes of lines does a thread read at a time: a share that is worth the handing over.
const BLOCK_BYTES: usize = 256 * 1024;

/// Reads the logs in the order in which their lines were written, with as many threads as the machine has processors; each
/// log with its rotated files is a source of its own.
///
/// # Errors
/// A log cannot be read.
pub fn replay(
    config: &Config,
    logs: &[PathBuf],
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome, LogError> {
    let threads = std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    replay_with(config, logs, threads, progress)
}

/// As [`replay`], with so many threads; the outcome is the same for any number.
///
/// # Errors
/// A log cannot be read.
pub fn replay_with(
    config: &Config,
    logs: &[PathBuf],
    threads: NonZero<usize>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome, LogError> {
    read(config, logs, threads, BLOCK_BYTES, progress)
}

fn read(
    config: &Config,
    logs: &[PathBuf],
    threads: NonZero<usize>,
    block_bytes: usize,
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome, LogError> {
    let source = config.sources.first();
    let zone = source.map_or_else(TimeZone::system, |source| source.zone.clone());
    let logs = logs::named(logs)?;
    let interpreter = || Interpreter::new(config.filters.iter().cloned(), zone.clone());
    let sources = logs.iter().map(|log| log.source + 1).max().unwrap_or(1);
    let interpreters: Vec<Interpreter> = std::iter::repeat_with(interpreter).take(sources).collect();
    // All have the same filters: what is seen in a line is the same for each.
    let reader = interpreters.first().map_or_else(|| interpreter().reader(), Interpreter::reader);
    // This machine's own addresses say nothing about the machine that wrote an old log.
    let configured = config.exempt.iter().map(|network| (*network, Exemption::Configured));
    let listed = config.exempt_listed.iter().map(|network| (*network, Exemption::File));
    let exemptions = Exemptions::of(configured.chain(listed), config.private);
    let engine = Engine::new(config.jails.clone(), exemptions)
        .with_quotas(&config.quotas)
        .with_counters_max(config.counters_max)
        .unsaved();
    let mut watch = Watch::new(interpreters, engine);
    watch.judge = Some(Box::default());
    let imported = imported(config);
    watch.foreign = (0..sources).map(|_| Foreign::new(&imported)).collect();
    let mut replay = Replay::new(watch);
    match NonZero::new(threads.get() - 1) {
        None => merge::read(&logs, &zone, &mut replay, progress)?,
        Some(helpers) => std::thread::scope(|scope| {
            let crew = Crew::start(scope, helpers.get(), reader, block_bytes);
            let mut threaded = Threaded { crew, replay: &mut replay };
            merge::read(&logs, &zone, &mut threaded, progress)?;
            threaded.finish();
            Ok(())
        })?,
    }
    Ok(replay.finish())
}

/// The filters of fail2ban that any source has, each name once.
fn imported(config: &Config) -> Vec<Imported> {
    let mut all: Vec<Imported> = Vec::new();
    for imported in config.sources.iter().flat_map(|source| &source.fail2ban) {
        if !all.iter().any(|known| known.name == imported.name) {
            all.push(imported.of_files());
        }
    }
    all
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

/// Gives every line of every log to somebody else than an engine, as [`replay`] reads them.
///
/// # Errors
/// A log cannot be read.
pub(crate) fn feed(
    logs: &[PathBuf],
    zone: &TimeZone,
    sink: &mut dyn Sink,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), LogError> {
    merge::read(&logs::named(logs)?, zone, sink, progress)
}

/// Hands each line on.
struct Each<'s>(&'s mut dyn FnMut(&[u8]));

impl Sink for Each<'_> {
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
        let reading = self.watch.line(source, line, Now::Lines(self.now), &mut self.out);
        self.read(reading);
    }

    /// The next line, which was looked at by another thread.
    fn looked(&mut self, source: usize, line: &[u8], sight: Sight<'_>) {
        let reading = self.watch.looked(source, sight, line, self.now, &mut self.out);
        self.read(reading);
    }

    fn read(&mut self, reading: Option<Reading>) {
        let Some(reading) = reading else { return };
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
        let judge = self.watch.judge.as_ref();
        let judgement = judge.map(|judge| judge.judgement(&self.watch.engine, self.now)).unwrap_or_default();
        Outcome { bans: self.bans, spared: self.spared, counts: self.watch.counts, span, judgement }
    }

    fn take(&mut self) {
        for output in self.out.drain(..) {
            match output {
                Output::Banned(ban) => {
                    if let Some(judge) = &mut self.watch.judge {
                        judge.ban(&ban);
                    }
                    self.bans.push(ban);
                }
                Output::Spared { .. } => self.spared += 1,
                Output::Enforce { .. }
                | Output::Admit { .. }
                | Output::Ended { .. }
                | Output::Asked(_)
                | Output::Allowed { .. }
                | Output::Disallowed { .. }
                | Output::Zone(_) => {}
            }
        }
    }
}

impl Sink for Replay {
    /// That tells the year of the first lines, where they do not tell it themselves.
    fn starts(&mut self, written: Timestamp) {
        self.now = written;
    }

    fn line(&mut self, source: usize, line: &[u8]) {
        Replay::line(self, source, line);
    }
}

/// A replay whose lines are looked at by several threads.
struct Threaded<'r> {
    crew: Crew,
    replay: &'r mut Replay,
}

impl Threaded<'_> {
    fn finish(self) {
        let Threaded { mut crew, replay } = self;
        crew.finish(&mut |source, line, sight| replay.looked(source, line, sight));
    }
}

impl Sink for Threaded<'_> {
    fn starts(&mut self, written: Timestamp) {
        self.replay.now = written;
    }

    fn line(&mut self, source: usize, line: &[u8]) {
        let Threaded { crew, replay } = self;
        crew.line(source, line, &mut |source, line, sight| replay.looked(source, line, sight));
    }
}
