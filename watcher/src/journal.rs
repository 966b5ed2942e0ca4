//! Follows the systemd journal through `journalctl -o export`, a child process that is read without waiting.
//!
//! First all that came since the cursor is read to its end, then the journal is followed from there: on systemd 250 to
//! 257 `--follow` alone leaves out what was written before the machine started anew. It also leaves out everything where
//! the child takes another start of the machine for the last one: `/proc` says which it was, and in a container a unit with
//! a `/proc` of its own sees the host's. `--merge` leaves out nothing, and the entries of other machines are left out here.
//! A child that ends is started again, later each time.

mod child;
mod export;

use std::ffi::OsString;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use logline::Timestamp;
use serde::{Deserialize, Serialize};

use crate::envelope::{Envelope, EnvelopeKind};
use crate::feed::{Sent, one_line};
use crate::tail::{Loss, Progress, Stats};

use child::Child;
pub use export::{Entry, ExportReader};

/// What is older when a journal is read for the first time is left alone: no jail counts so far back, and a journal
/// may go back for years.
const FIRST_SINCE: &str = "--since=-1d";

/// The message that the journal writes when it refuses messages of a service that sends too many
/// (`SD_MESSAGE_JOURNAL_DROPPED`).
const SUPPRESSED: &str = "MESSAGE_ID=a596d6fe7bfa4994828e72309e95d61e";

/// A child that ended is started again after this, twice as long each time.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What the journal calls this machine (machine-id(5)).
const OWN_MACHINE: &str = "/etc/machine-id";

/// Which part of which journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// `FIELD=value`, as journalctl takes them; all entries where there are none.
    pub matches: Vec<String>,
    /// The directory of the journal's files; this machine's own journal where there is none.
    pub directory: Option<PathBuf>,
}

/// How far a journal was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The last entry that was read.
    pub cursor: String,
    /// When the journal took it, in microseconds since 1970: the way back where the cursor is no good any more.
    pub taken_us: i64,
}

/// One journal that is followed.
#[derive(Debug)]
pub struct Journal {
    selection: Selection,
    /// Whose entries count: this machine's, where it is this machine's journal and its name is known.
    machine: Option<u128>,
    /// Where the program that reads it may be.
    programs: Vec<PathBuf>,
    position: Option<Position>,
    /// The journal does not know the cursor, so that entries are asked for by time.
    by_time: bool,
    stage: Stage,
    pause: Duration,
    restarts: u64,
    trouble: Option<String>,
    stats: Stats,
    escaped: u64,
}

#[derive(Debug)]
enum Stage {
    /// No child runs; one is to be started then.
    Resting(Instant),
    /// A child runs.
    Running(Pass, Box<Child>),
}

/// What a child is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    /// It gives what came since the position, and ends.
    CatchUp,
    /// It gives what comes.
    Follow,
}

impl Journal {
    /// Reads on from a position.
    pub fn new(selection: Selection, position: Option<Position>, now: Instant) -> Journal {
        let own = || export::machine(std::fs::read(OWN_MACHINE).ok()?.trim_ascii());
        Journal {
            machine: if selection.directory.is_none() { own() } else { None },
            selection,
            programs: child::PROGRAMS.iter().map(PathBuf::from).collect(),
            position,
            by_time: false,
            stage: Stage::Resting(now),
            pause: PAUSE_MIN,
            restarts: 0,
            trouble: None,
            stats: Stats::default(),
            escaped: 0,
        }
    }

    /// Readable when there is something to read.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.stage {
            Stage::Resting(_) => None,
            Stage::Running(_, child) => Some(child.fd()),
        }
    }

    /// When it is to be read even if nothing came.
    pub fn due(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Resting(until) => Some(*until),
            Stage::Running(..) => None,
        }
    }

    /// Reads what there is, up to a limit.
    pub fn read(&mut self, now: Instant, sink: &mut dyn FnMut(Sent<'_>)) -> Progress {
        match std::mem::replace(&mut self.stage, Stage::Resting(now)) {
            Stage::Resting(until) if now < until => {
                self.stage = Stage::Resting(until);
                Progress::Idle
            }
            Stage::Resting(_) => {
                self.start(Pass::CatchUp, now);
                Progress::Idle
            }
            Stage::Running(pass, mut child) => {
                if let Some(progress) = child.read(&mut |entry| self.take(entry, sink)) {
                    self.stage = Stage::Running(pass, child);
                    return progress;
                }
                match pass {
                    Pass::CatchUp => self.caught_up(child, now),
                    Pass::Follow => self.rest(child.end(), now),
                }
                Progress::Idle
            }
        }
    }

    /// How far it was read.
    pub fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    /// What is wrong, and how often the child had to be started again.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.as_ref().map(|trouble| format!("{trouble} (tried again {} times)", self.restarts))
    }

    /// How it stands.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Messages of more than one line.
    pub fn escaped(&self) -> u64 {
        self.escaped
    }

    fn start(&mut self, pass: Pass, now: Instant) {
        match Child::start(&self.programs, &self.arguments(pass)) {
            Ok(child) => self.stage = Stage::Running(pass, Box::new(child)),
            Err(trouble) => self.rest(trouble, now),
        }
    }

    /// The catch-up is at its end: from here on the journal is followed, unless journalctl failed.
    fn caught_up(&mut self, child: Box<Child>, now: Instant) {
        match child.failure() {
            None => {
                self.trouble = None;
                self.start(Pass::Follow, now);
            }
            Some(trouble) => {
                // A cursor that the journal does not take is the one thing here that a second try would not heal.
                self.by_time |= self.position.is_some() && trouble.contains("cursor");
                self.rest(trouble, now);
            }
        }
    }

    fn rest(&mut self, trouble: String, now: Instant) {
        self.trouble = Some(trouble);
        self.restarts += 1;
        self.stage = Stage::Resting(now + self.pause);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    fn take(&mut self, entry: &Entry, sink: &mut dyn FnMut(Sent<'_>)) {
        if self.machine.is_some() && entry.machine.is_some_and(|machine| self.machine != Some(machine)) {
            return;
        }
        let taken_us = entry.taken_us.unwrap_or_default();
        if self.by_time && self.position.as_ref().is_some_and(|position| taken_us <= position.taken_us) {
            return;
        }
        // It is asked for again with what comes after it, and known by its place.
        if self.position.as_ref().is_some_and(|position| position.cursor == entry.cursor) {
            return;
        }
        self.by_time = false;
        self.pause = PAUSE_MIN;
        self.position = Some(Position { cursor: entry.cursor.clone(), taken_us });
        match (entry.is_own, entry.dropped) {
            (true, Some(dropped)) => *self.stats.lost.entry(Loss::Suppressed).or_default() += dropped,
            (true, None) | (false, _) => {
                let Some(message) = &entry.message else { return };
                self.stats.lines += 1;
                self.stats.cut_lines += u64::from(entry.cut);
                let (line, escaped) = one_line(message);
                self.escaped += u64::from(escaped);
                let time = entry.sent_us.or(entry.taken_us).and_then(|us| us.checked_mul(1000));
                let envelope = Envelope {
                    kind: EnvelopeKind::Journal,
                    time: time.map(Timestamp::from_nanos),
                    offset: Some(jiff::tz::Offset::UTC),
                    program: entry.program.as_deref(),
                    pid: entry.pid,
                    message: &line,
                    continues: false,
                };
                sink(Sent { envelope, line: &line });
            }
        }
    }

    fn arguments(&self, pass: Pass) -> Vec<OsString> {
        let mut arguments: Vec<OsString> =
            ["--quiet", "--no-pager", "--output=export"].map(Into::into).into();
        match pass {
            Pass::CatchUp => {}
            Pass::Follow => arguments.extend(["--follow", "--no-tail"].map(OsString::from)),
        }
        if pass == Pass::Follow && self.machine.is_some() {
            arguments.push("--merge".into());
        }
        if let Some(directory) = &self.selection.directory {
            arguments.extend(["--directory".into(), directory.clone().into_os_string()]);
        }
        arguments.push(match &self.position {
            None => FIRST_SINCE.into(),
            Some(position) if self.by_time => format!("--since=@{}", position.taken_us / 1_000_000).into(),
            // Not `--after-cursor`: where the entry itself has been deleted, that leaves out the first one after it.
            Some(position) => format!("--cursor={}", position.cursor).into(),
        });
        arguments.extend(self.selection.terms().into_iter().map(OsString::from));
        arguments
    }
}

impl Selection {
    /// What journalctl is asked for: what was chosen, and what the journal itself says of having refused some of it.
    /// Nobody else can give a message the journal's own transport.
    fn terms(&self) -> Vec<String> {
        if self.matches.is_empty() {
            return Vec::new();
        }
        let units = self.matches.iter().filter_map(|term| term.strip_prefix("_SYSTEMD_UNIT="));
        let units = units.map(|unit| format!("OBJECT_SYSTEMD_UNIT={unit}"));
        let own = ["+", "_TRANSPORT=driver", SUPPRESSED].map(str::to_owned);
        self.matches.iter().cloned().chain(own).chain(units).collect()
    }
}

#[cfg(test)]
mod tests;
