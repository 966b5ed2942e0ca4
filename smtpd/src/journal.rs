//! The journal: facts on their way into a file or a pipe, each a line, each one write; and, where there is one, to the
//! socket of a watcher.

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
    line: Vec<u8>,
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
            sink: Mutex::new(Sink { target, line: Vec::new(), torn: false, reported: false }),
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

    /// Writes one fact. Trouble is counted, and told once until it is over: a server does not stop because its disk is
    /// full.
    pub fn write(&self, record: &Record<'_>) {
        let mut sink = self.lock();
        sink.line.clear();
        if sink.torn {
            sink.line.push(b'\n');
        }
        // Stamped under the lock, so that the stamps of a file never go back.
        let now = now();
        self.compose(now, self.stamp, record, &mut sink.line);
        if let Some(socket) = &self.socket {
            // It always has its stamp: it may be on its way for a while.
            let mut line = Vec::with_capacity(sink.line.len() + Timestamp::TAI64N_BYTES + 1);
            self.compose(now, Stamp::Tai64n, record, &mut line);
            line.pop();
            socket.push(line);
        }
        match sink.write() {
            Ok(()) => sink.reported = false,
            Err(error) => {
                self.errors.inc();
                if !std::mem::replace(&mut sink.reported, true) {
                    tracing::error!(%error, "cannot write the journal; facts are being lost");
                }
            }
        }
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
    fn write(&mut self) -> io::Result<()> {
        let written = match &mut self.target {
            Target::Stdout => rustix::io::retry_on_intr(|| rustix::io::write(io::stdout(), &self.line))?,
            Target::Stderr => rustix::io::retry_on_intr(|| rustix::io::write(io::stderr(), &self.line))?,
            Target::File(file) => rustix::io::retry_on_intr(|| rustix::io::write(&*file, &self.line))?,
        };
        self.torn = written < self.line.len();
        if self.torn { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
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
    use logline::{SessionId, Tcpserver};

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
        journal(Format::Qmail, Stamp::None, &path).write(&record());
        journal(Format::Qmail, Stamp::Tai64n, &path).write(&record());
        journal(Format::Json, Stamp::Tai64n, &path).write(&record());
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
        Journal::open(&log, &Metrics::new()).unwrap().write(&record());
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
        journal.write(&record());
        std::fs::rename(&path, directory.path().join("log.1")).unwrap();
        journal.write(&record());
        journal.reopen().unwrap();
        journal.write(&record());
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
        assert_eq!(std::fs::read_to_string(directory.path().join("log.1")).unwrap().lines().count(), 2);
    }

    #[test]
    fn a_full_disk_is_counted_and_survived() {
        let journal = journal(Format::Qmail, Stamp::None, Path::new("/dev/full"));
        journal.write(&record());
        journal.write(&record());
        assert_eq!(journal.errors.get(), 2);
    }
}
