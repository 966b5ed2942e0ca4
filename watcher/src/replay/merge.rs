//! Several logs as one, in the order in which their lines were written.
//!
//! Each log is taken to be in order. One is opened when the others have come to its first line, so that a year of rotated
//! logs is one open file at a time, and in whichever order they are named.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

use jiff::tz::TimeZone;
use logline::Timestamp;

use super::logs::{self, Lines, Log, LogError};
use crate::envelope::{Around, Clock, Envelope, json};

/// How far the reading has come is told so often.
const PROGRESS_LINES: u64 = 4096;

/// How far the reading has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the files that were read, compressed as they are.
    pub done_bytes: u64,
    /// Bytes of all the files.
    pub total_bytes: u64,
    /// Lines that were read.
    pub lines: u64,
}

/// What takes the lines in.
pub(crate) trait Sink {
    /// Before the first line: its log was last written then.
    fn starts(&mut self, written: Timestamp);
    /// The next line of that source.
    fn line(&mut self, source: usize, line: &[u8]);
}

/// Gives every line of every log.
pub(super) fn read(
    logs: &[Log],
    zone: &TimeZone,
    sink: &mut dyn Sink,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), LogError> {
    let done_bytes = Rc::new(Cell::new(0));
    let mut told = Progress::default();
    for log in logs {
        told.total_bytes += logs::size_bytes(&log.path)?;
    }
    let mut each = |source: usize, line: &[u8], sink: &mut dyn Sink| {
        sink.line(source, line);
        told.lines += 1;
        if told.lines.is_multiple_of(PROGRESS_LINES) {
            progress(Progress { done_bytes: done_bytes.get(), ..told });
        }
    };
    // One alone is in order, and need not be asked for its stamps.
    if let [log] = logs {
        sink.starts(logs::written(&log.path)?);
        return logs::read(&log.path, &done_bytes, &mut |line| each(log.source, line, sink));
    }
    let clock = Clock { zone: zone.clone() };
    let mut waiting = Vec::new();
    for log in logs {
        waiting.push((first_stamp(&log.path, &clock)?, log));
    }
    waiting.sort_by_key(|(first, _)| *first);
    if let Some((_, log)) = waiting.first() {
        sink.starts(logs::written(&log.path)?);
    }
    waiting.reverse();
    let mut open: Vec<Open> = Vec::new();
    loop {
        let next = open.iter().map(|log| log.key).min();
        if let Some((first, log)) = waiting.pop_if(|(first, _)| next.is_none_or(|next| *first <= next)) {
            open.extend(Open::new(log, first, Rc::clone(&done_bytes))?);
            continue;
        }
        let Some(at) = open.iter().position(|log| Some(log.key) == next) else {
            if waiting.is_empty() {
                return Ok(());
            }
            continue;
        };
        let log = open.remove(at);
        // It goes on until another one's turn comes.
        let others = open.iter().map(|log| log.key).chain(waiting.last().map(|(first, _)| *first)).min();
        let mut log = Some(log);
        while let Some(current) = log.take_if(|log| others.is_none_or(|others| log.key <= others)) {
            each(current.source, current.lines.current(), sink);
            log = current.next(&clock)?;
        }
        open.extend(log);
    }
}

/// When the first line that says so was written; where none does, when the log was.
fn first_stamp(log: &Path, clock: &Clock) -> Result<Timestamp, LogError> {
    let written = logs::written(log)?;
    let mut lines = Lines::of(log, Rc::default())?;
    while let Some(line) = lines.peek()? {
        if let Some(time) = stamp(line, clock, Around { arrival: written, previous: None }) {
            return Ok(time);
        }
        lines.pass();
    }
    Ok(written)
}

fn stamp(line: &[u8], clock: &Clock, around: Around) -> Option<Timestamp> {
    let stamp = Envelope::open(line, clock, around).time;
    stamp.or_else(|| json::read(line).map(|(time, _)| time))
}

/// A log at one of its lines.
struct Open {
    source: usize,
    lines: Lines,
    /// When the line was written; that of the line before, where it does not say or says an earlier time: the lines of a
    /// log stay in their order.
    key: Timestamp,
}

impl Open {
    /// At the first line; none where the log is empty.
    fn new(log: &Log, key: Timestamp, done_bytes: Rc<Cell<u64>>) -> Result<Option<Self>, LogError> {
        let mut lines = Lines::of(&log.path, done_bytes)?;
        Ok(lines.peek()?.is_some().then_some(Open { source: log.source, lines, key }))
    }

    /// At the line after this one; none at the end.
    fn next(mut self, clock: &Clock) -> Result<Option<Self>, LogError> {
        self.lines.pass();
        let around = Around { arrival: self.key, previous: Some(self.key) };
        let Some(line) = self.lines.peek()? else { return Ok(None) };
        let key = stamp(line, clock, around).map_or(self.key, |time| time.max(self.key));
        Ok(Some(Open { key, ..self }))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    #[derive(Default)]
    struct Collected(Vec<String>);

    impl Sink for Collected {
        fn starts(&mut self, _: Timestamp) {}

        fn line(&mut self, _: usize, line: &[u8]) {
            let line = String::from_utf8_lossy(line);
            self.0.push(line.rsplit(' ').next().unwrap_or_default().to_owned());
        }
    }

    /// Reads the logs in every order in which they can be named.
    #[track_caller]
    fn check(texts: &[&str], expected: &[&str]) {
        let directory = tempfile::tempdir().unwrap();
        let mut logs: Vec<Log> = Vec::new();
        for (number, text) in texts.iter().enumerate() {
            let path = directory.path().join(number.to_string());
            std::fs::write(&path, text).unwrap();
            // 2026-01-02, for stamps without a year.
            let written = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_312_000);
            std::fs::File::options().append(true).open(&path).unwrap().set_modified(written).unwrap();
            logs.push(Log { path, source: number });
        }
        for _ in 0..logs.len() {
            logs.rotate_left(1);
            let mut collected = Collected::default();
            read(&logs, &TimeZone::UTC, &mut collected, &mut |_| {}).unwrap();
            assert_eq!(collected.0, expected);
        }
    }

    #[test]
    fn rotated_logs_are_read_in_the_order_of_their_stamps() {
        let logs = [
            "Dec 31 23:00:00 h p: a\nDec 31 23:59:59 h p: b\n",
            "Jan  1 00:00:01 h p: c\nJan  1 00:00:02 h p: d",
            "2026-01-01 12:00:00.000 e\n",
        ];
        check(&logs, &["a", "b", "c", "d", "e"]);
    }

    #[test]
    fn logs_of_the_same_time_are_merged() {
        let logs = [
            "2026-01-01 12:00:00.000 a\n2026-01-01 12:00:02.000 c\n2026-01-01 12:00:09.000 f\n",
            "2026-01-01 12:00:01.000 b\n2026-01-01 12:00:03.000 d\n",
            "2026-01-01 12:00:04.000 e\n",
        ];
        check(&logs, &["a", "b", "c", "d", "e", "f"]);
    }

    #[test]
    fn the_lines_of_a_log_stay_in_their_order() {
        let logs = [
            "no stamp a\n2026-01-01 12:00:03.000 b\n2026-01-01 12:00:01.000 c\n  d\n2026-01-01 12:00:09.000 f\n",
            "2026-01-01 12:00:05.000 e\n",
            "",
        ];
        check(&logs, &["a", "b", "c", "d", "e", "f"]);
    }
}
