//! How fast a file that is there already is carried to the engine's door: split into lines, taken out of their envelopes,
//! their stamps read. Beside it a bare search for line feeds over the same bytes.

use std::fs::File;
use std::io::{BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::tz::TimeZone;
use logline::Timestamp;
use watcher::envelope::{Around, Calendar};
use watcher::tail::{SourceId, Start, Tailer, Target};

use crate::daemon::used;
use crate::journal;

/// Sessions in the log: some 1.3 million lines.
const SESSIONS: u32 = 120_000;

/// The best of so many runs counts: what disturbs a run makes it slower, never faster.
const RUNS: usize = 5;

/// As the tailer reads.
const BLOCK_BYTES: usize = 256 << 10;

/// How a line begins.
type Stamp = fn(Timestamp) -> String;

/// The envelopes that logs of mail servers come in.
const STAMPS: [(&str, Stamp); 4] = [
    ("multilog", |at| at.tai64n().to_string()),
    ("syslog, traditional", |at| format!("{} mx qmail[7]:", local(at).strftime("%b %e %H:%M:%S"))),
    ("syslog, RFC 3339", |at| format!("{} mx qmail[7]:", local(at).strftime("%Y-%m-%dT%H:%M:%S%.6f%:z"))),
    ("local time", |at| local(at).strftime("%Y-%m-%d %H:%M:%S%.9f").to_string()),
];

/// Where the stamps are local.
const ZONE: &str = "Europe/Rome";

fn local(at: Timestamp) -> jiff::Zoned {
    let zone = TimeZone::get(ZONE).unwrap_or(TimeZone::UTC);
    jiff::Timestamp::from_nanosecond(at.nanos().into()).unwrap_or_default().to_zoned(zone)
}

/// Makes a log for each envelope, reads it, and says how fast.
///
/// # Errors
/// A log cannot be written or read.
pub fn measure() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let evening = journal::busy_evening(SESSIONS);
    let mut out = std::io::stdout();
    writeln!(out, "a file that is there, in million lines a second on one core (and GB/s)")?;
    writeln!(out, "  {:<24}{:>16}{:>16}{:>16}{:>9}", "", "line feeds", "lines", "and stamps", "ratio")?;
    for (name, stamp) in STAMPS {
        let log = Log::make(directory.path().join("log"), &evening, stamp)?;
        // By turns, so that all three see the same moods of the machine.
        let mut best = [Duration::MAX; 3];
        for _ in 0..RUNS {
            for (best, read) in best.iter_mut().zip([Log::feeds, Log::lines, Log::stamps]) {
                *best = log.took(read)?.min(*best);
            }
        }
        let [feeds, lines, stamps] = best;
        let shown = [feeds, lines, stamps].map(|took| log.speed(took));
        let ratio = stamps.as_secs_f64() / feeds.as_secs_f64();
        writeln!(out, "  {name:<24}{:>16}{:>16}{:>16}{ratio:>9.1}", shown[0], shown[1], shown[2])?;
    }
    Ok(())
}

struct Log {
    path: PathBuf,
    lines: usize,
    bytes: usize,
    zone: TimeZone,
}

impl Log {
    fn make(path: PathBuf, evening: &str, stamp: Stamp) -> Result<Log> {
        let mut file = BufWriter::new(File::create(&path)?);
        let (mut lines, mut bytes) = (0, 0);
        for line in evening.lines() {
            let (tai64n, message) = line.split_at(Timestamp::TAI64N_BYTES);
            let line = format!("{}{message}\n", stamp(Timestamp::parse_tai64n(tai64n.as_bytes())?));
            file.write_all(line.as_bytes())?;
            lines += 1;
            bytes += line.len();
        }
        file.into_inner()?.sync_all()?;
        Ok(Log { path, lines, bytes, zone: TimeZone::get(ZONE)? })
    }

    fn speed(&self, took: Duration) -> String {
        let per_second = |count: usize| count as f64 / took.as_secs_f64();
        format!("{:.1} ({:.2})", per_second(self.lines) / 1e6, per_second(self.bytes) / 1e9)
    }

    /// How long a processor is busy until all lines are found.
    fn took(&self, read: fn(&Log) -> Result<usize>) -> Result<Duration> {
        let start = used()?;
        let found = read(self)?;
        let took = used()? - start;
        ensure!(found == self.lines, "{found} lines instead of {}", self.lines);
        Ok(took)
    }

    fn feeds(&self) -> Result<usize> {
        let mut file = File::open(&self.path)?;
        let mut block = vec![0; BLOCK_BYTES];
        let mut lines = 0;
        loop {
            let length = file.read(&mut block)?;
            if length == 0 {
                return Ok(lines);
            }
            let block = block.get(..length).unwrap_or_default();
            memchr::memchr_iter(b'\n', block).for_each(|at| lines += usize::from(at < length));
        }
    }

    fn lines(&self) -> Result<usize> {
        let mut lines = 0;
        follow(&self.path, &mut |line| lines += usize::from(!line.is_empty()))?;
        Ok(lines)
    }

    fn stamps(&self) -> Result<usize> {
        let (mut lines, mut previous, mut calendar) = (0, None, Calendar::new(self.zone.clone()));
        follow(&self.path, &mut |line| {
            let around = Around { arrival: journal::START, previous };
            let envelope = calendar.open(line, around);
            lines += usize::from(envelope.time.is_some() && !envelope.message.is_empty());
            previous = envelope.time;
        })?;
        Ok(lines)
    }
}

fn follow(path: &Path, each: &mut dyn FnMut(&[u8])) -> Result<()> {
    let mut tailer = Tailer::new()?;
    tailer.follow(SourceId(0), Target::File(path.to_owned()), Start::Beginning, &[])?;
    tailer.read(usize::MAX, &mut |line| each(line.bytes))?;
    Ok(())
}
