//! The journal: facts on their way into a file or a pipe, each a line, those that come together in one write; and, where
//! there is one, to the socket of a watcher.

mod socket;

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use logline::{Record, Timestamp};
use prometheus::IntCounter;
use serde::Serialize;

use crate::clock::now;
use crate::config::{Format, Log, Stamp};
use crate::metrics::Metrics;
use socket::{Counters, LogSocket};

/// Lines that are written at once, in bytes, unless a single one is longer: what other processes write into the same pipe
/// comes before them or after them (pipe(7), `PIPE_BUF`).
const AT_ONCE_MAX: usize = 4096;

/// Where the facts go.
#[derive(Debug)]
pub struct Journal {
    format: Format,
    stamp: Stamp,
    path: Option<PathBuf>,
    sink: Mutex<Sink>,
    socket: Option<LogSocket>,
    errors: IntCounter,
}

#[derive(Debug)]
struct Sink {
    target: Target,
    lines: Vec<u8>,
    /// The last write stopped in the middle of a line, so the next one begins with a line end.
    torn: bool,
    /// The trouble was reported; it is again after it is over.
    reported: bool,
}

#[derive(Debug)]
enum Target {
    Stdout,
    Stderr,
    File(File),
}

/// A fact as an object a line.
#[derive(Serialize)]
struct Object<'r> {
    time: String,
    record: &'r Record<'r>,
}

impl Journal {
    /// Opens the file, or takes standard output; and the way to the socket, where there is one.
    ///
    /// # Errors
    /// Where the file or its directory cannot be made.
    pub fn open(log: &Log, metrics: &Metrics) -> io::Result<Self> {
        let target = match &log.file {
            Some(path) => Target::File(open(path)?),
            None => Target::Stdout,
        };
        Ok(Journal::new(log, target, metrics))
    }

    /// Writes to standard error, as one session under tcpserver does.
    pub fn stderr(log: &Log, metrics: &Metrics) -> Self {
        Journal::new(log, Target::Stderr, metrics)
    }

    fn new(log: &Log, target: Target, metrics: &Metrics) -> Self {
        let counters = Counters {
            lost: metrics.journal_socket_lost.clone(),
            connected: metrics.journal_socket_connected.clone(),
        };
        let socket = log.socket.as_ref().and_then(|path| {
            LogSocket::open(path, counters)
                .inspect_err(
                    |error| tracing::error!(%error, "no thread for the log's socket: nothing is sent"),
                )
                .ok()
        });
        Journal {
            format: log.format,
            stamp: log.stamp,
            path: log.file.clone(),
            sink: Mutex::new(Sink { target, lines: Vec::new(), torn: false, reported: false }),
            socket,
            errors: metrics.journal_errors.clone(),
        }
    }

    /// Sends what is left to a watcher that listens. What is written later goes to the file alone.
    pub fn close(&self) {
        if let Some(socket) = &self.socket {
            socket.close();
        }
    }

    /// Opens the file by its name again, after it was moved away. The old one stays where that fails.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn reopen(&self) -> io::Result<()> {
        if let Some(path) = &self.path {
            let file = open(path)?;
            self.lock().target = Target::File(file);
        }
        Ok(())
    }

    /// Writes facts that came together.
    pub fn write<'r, 'a: 'r>(&self, records: impl Iterator<Item = &'r Record<'a>>) {
        let mut sink = self.lock();
        // Stamped under the lock, so that the stamps of a file never go back.
        let now = now();
        for record in records {
            let before = sink.lines.len();
            self.compose(now, self.stamp, record, &mut sink.lines);
            if before > 0 && sink.lines.len() > AT_ONCE_MAX {
                let line = sink.lines.split_off(before);
                self.put(&mut sink);
                sink.lines = line;
            }
            if let Some(socket) = &self.socket {
                // It always has its stamp: it may be on its way for a while.
                let mut line = Vec::with_capacity(sink.lines.len() - before + Timestamp::TAI64N_BYTES + 1);
                self.compose(now, Stamp::Tai64n, record, &mut line);
                line.pop();
                socket.push(line);
            }
        }
        self.put(&mut sink);
    }

    /// Writes the lines that are ready. Trouble is counted, and told once until it is over: a server does not stop because
    /// its disk is full.
    fn put(&self, sink: &mut Sink) {
        match sink.write() {
            Ok(()) => sink.reported = false,
            Err((lost, error)) => {
                self.errors.inc_by(lost);
                if !std::mem::replace(&mut sink.reported, true) {
                    tracing::error!(%error, "cannot write the journal; facts are being lost");
                }
            }
        }
        sink.lines.clear();
    }

    fn compose(&self, now: Timestamp, stamp: Stamp, record: &Record<'_>, line: &mut Vec<u8>) {
        let written = match (self.format, stamp) {
            (Format::Qmail, Stamp::Tai64n) => writeln!(line, "{} {record}", now.tai64n()),
            (Format::Qmail, Stamp::None) => writeln!(line, "{record}"),
            (Format::Json, _) => {
                let time =
                    jiff::Timestamp::from_nanosecond(now.nanos().into()).unwrap_or_default().to_string();
                let object = Object { time, record };
                serde_json::to_writer(&mut *line, &object).map(|()| line.push(b'\n')).map_err(io::Error::from)
            }
        };
        // Memory takes every write, and every record has a JSON form.
        debug_assert!(written.is_ok(), "{written:?}");
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Sink> {
        // A panic elsewhere leaves at worst a line that is not written.
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink {
    /// Writes the lines; where that fails, how many of them are lost, and why.
    fn write(&mut self) -> Result<(), (u64, io::Error)> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let was_torn = self.torn;
        if was_torn {
            self.lines.insert(0, b'\n');
        }
        let written = rustix::io::retry_on_intr(|| match &self.target {
            Target::Stdout => rustix::io::write(io::stdout(), &self.lines),
            Target::Stderr => rustix::io::write(io::stderr(), &self.lines),
            Target::File(file) => rustix::io::write(file, &self.lines),
        });
        let done = *written.as_ref().unwrap_or(&0);
        let (there, left) = self.lines.split_at_checked(done).unwrap_or((&self.lines, b""));
        self.torn = there.last().map_or(was_torn, |last| *last != b'\n');
        if left.is_empty() {
            return Ok(());
        }
        let ends = memchr::memchr_iter(b'\n', left).count() - usize::from(was_torn && done == 0);
        let error = written.err().map_or_else(|| io::ErrorKind::WriteZero.into(), io::Error::from);
        Err((ends as u64, error))
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    File::options().create(true).append(true).mode(0o640).open(path)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use logline::{SessionId, Tcpserver};
    use rustix::pipe::PipeFlags;

    use super::*;

    fn journal(format: Format, stamp: Stamp, path: &Path) -> Journal {
        Journal::open(&Log { file: Some(path.to_owned()), format, stamp, socket: None }, &Metrics::new())
            .unwrap()
    }

    fn record() -> Record<'static> {
        Record::Tcpserver(Tcpserver::Connect { pid: SessionId(7), address: [192, 0, 2, 7].into() })
    }

    #[test]
    fn a_fact_is_a_line_in_either_format() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/er/log");
        journal(Format::Qmail, Stamp::None, &path).write([&record()].into_iter());
        journal(Format::Qmail, Stamp::Tai64n, &path).write([&record()].into_iter());
        journal(Format::Json, Stamp::Tai64n, &path).write([&record()].into_iter());
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "tcpserver: pid 7 from 192.0.2.7");
        assert!(Timestamp::parse_tai64n(lines[1].as_bytes()).is_ok());
        assert_eq!(&lines[1][25..], " tcpserver: pid 7 from 192.0.2.7");
        let object: serde_json::Value = serde_json::from_str(lines[2]).unwrap();
        assert!(object["time"].as_str().unwrap().ends_with('Z'));
        let fact = object["record"].to_string();
        assert_eq!(serde_json::from_str::<Record<'_>>(&fact).unwrap(), record());
    }

    #[test]
    fn the_socket_gets_what_the_file_gets_with_its_stamp() {
        let directory = tempfile::tempdir().unwrap();
        let (file, socket) = (directory.path().join("log"), directory.path().join("log.sock"));
        let reader = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
        let log = Log { file: Some(file), format: Format::Qmail, stamp: Stamp::None, socket: Some(socket) };
        Journal::open(&log, &Metrics::new()).unwrap().write([&record()].into_iter());
        let mut buffer = [0; 1000];
        let length = reader.recv(&mut buffer).unwrap();
        assert!(Timestamp::parse_tai64n(&buffer[..length]).is_ok());
        assert_eq!(&buffer[25..length], b" tcpserver: pid 7 from 192.0.2.7");
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let journal = journal(Format::Qmail, Stamp::None, &path);
        journal.write([&record()].into_iter());
        std::fs::rename(&path, directory.path().join("log.1")).unwrap();
        journal.write([&record()].into_iter());
        journal.reopen().unwrap();
        journal.write([&record()].into_iter());
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
        assert_eq!(std::fs::read_to_string(directory.path().join("log.1")).unwrap().lines().count(), 2);
    }

    #[test]
    fn a_full_disk_is_counted_and_survived() {
        let journal = journal(Format::Qmail, Stamp::None, Path::new("/dev/full"));
        journal.write([&record()].into_iter());
        journal.write([&record(), &record()].into_iter());
        assert_eq!(journal.errors.get(), 3);
    }

    /// A journal whose writes are packets.
    fn packets(flags: PipeFlags) -> (Journal, File) {
        let (reader, writer) = rustix::pipe::pipe_with(flags).unwrap();
        let log = Log { file: None, format: Format::Qmail, stamp: Stamp::None, socket: None };
        let target = Target::File(File::from(writer));
        (Journal::new(&log, target, &Metrics::new()), File::from(reader))
    }

    #[test]
    fn facts_that_come_together_are_one_write_as_long_as_a_pipe_takes_it_whole() {
        let (journal, mut reader) = packets(PipeFlags::DIRECT);
        let record = record();
        let line = format!("{record}\n");
        journal.write([&record; 3].into_iter());
        journal.write([&record; 300].into_iter());
        drop(journal);
        let mut writes = Vec::new();
        let mut buffer = [0; 2 * AT_ONCE_MAX];
        while let Ok(length @ 1..) = reader.read(&mut buffer) {
            assert!(length <= AT_ONCE_MAX && buffer[..length].ends_with(line.as_bytes()));
            writes.push(length / line.len());
        }
        assert_eq!((writes[0], writes[1..].iter().sum::<usize>()), (3, 300));
        assert!(writes.len() < 6, "{writes:?}");
    }

    #[test]
    fn a_line_that_was_cut_is_ended_before_the_next_one() {
        let (journal, mut reader) = packets(PipeFlags::NONBLOCK);
        let record = record();
        let line = format!("{record}\n");
        let records = vec![&record; 2 * 65536 / line.len()];
        journal.write(records.iter().copied());
        let mut text = vec![0; 65536];
        let length = reader.read(&mut text).unwrap();
        journal.write([&record].into_iter());
        let there = text[..length].iter().filter(|byte| **byte == b'\n').count() as u64;
        assert_eq!(journal.errors.get() + there, records.len() as u64);
        let length = reader.read(&mut text).unwrap();
        assert!(text[..length].ends_with(line.as_bytes()));
    }
}
