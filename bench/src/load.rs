//! What it costs to follow a log: one with 200,000 lines a second, each written by itself, and 200 of which none gets any.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result};
use e2e::wait;
use logline::Timestamp;
use rustix::event::{PollFd, PollFlags, poll};
use watcher::pace::Pace;
use watcher::tail::{SourceId, Start, Tailer, Target};

use crate::daemon::{Daemon, used};
use crate::journal::Traffic;
use crate::limit::verdict;
use crate::wake;
use crate::written::Beat;

/// Lines a second.
const RATE: u32 = 200_000;
/// For so long.
const SECONDS: u32 = 5;
const LINES: u32 = RATE * SECONDS;
/// A machine that is so busy that it writes fewer a second tells nothing about the limit.
const RATE_MIN: f64 = 180_000.0;

/// Of a core, in hundredths: what reading may cost at that rate.
const READING_MAX: f64 = 5.0;

/// Logs that are followed and get no lines.
const QUIET_LOGS: usize = 200;
/// They are looked at for so long,
const QUIET_FOR: Duration = Duration::from_secs(10);
/// and may cost so much, in hundredths of a core.
const IDLE_MAX: f64 = 0.1;

/// Measures reading alone, and the watcher with all it does, and prints both.
///
/// # Errors
/// The log cannot be written or followed, or the watcher is not built.
pub fn measure() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = |name: &str| directory.path().join(name);
    let mut out = std::io::stdout();
    writeln!(out, "{RATE} lines a second, each with a write of its own, for {SECONDS} s")?;
    writeln!(out, "  {:<44}{:>12}{:>12}{:>12}", "", "lines/s", "% of a core", "wake-ups/s")?;
    let each = reading(&path("each"), None)?;
    each.show(&mut out, "reading alone, woken for whatever comes", "")?;
    let paced = reading(&path("paced"), Some(Pace::default()))?;
    let verdict = if paced.rate < RATE_MIN { too_busy() } else { judged(paced.cpu, READING_MAX) };
    paced.show(&mut out, "reading alone, at the watcher's pace", &verdict)?;
    let log = path("log");
    let file = File::create(&log)?;
    let daemon = Daemon::start(&log)?;
    let before = daemon.usage()?;
    let rate = write(file)?;
    wait::until_true("the watcher to read all", || daemon.lines().is_ok_and(|lines| lines >= LINES.into()))?;
    let share = daemon.usage()?.since(&before);
    let row = |(cpu, wakes)| Row { rate, cpu, wakes };
    row(share.total()).show(&mut out, "postern-watcher run, all it does", "")?;
    for (thread, share) in share.threads {
        row(share).show(&mut out, &format!("  its thread {thread}"), "")?;
    }
    Ok(())
}

/// Measures a watcher of quiet logs, and prints it.
///
/// # Errors
/// The watcher is not built.
pub fn measure_idle() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut traffic = Traffic::new();
    for n in 0..QUIET_LOGS {
        std::fs::write(
            directory.path().join(format!("{n}.log")),
            traffic.line(Timestamp::from(SystemTime::now())),
        )?;
    }
    let daemon = Daemon::start(&directory.path().join("*.log"))?;
    let lines = u64::try_from(QUIET_LOGS)?;
    wait::until_true("the watcher to read all", || daemon.lines().is_ok_and(|read| read == lines))?;
    // What it read is written to its database, and its asker's connection ends.
    std::thread::sleep(Duration::from_secs(1));
    let before = daemon.usage()?;
    std::thread::sleep(QUIET_FOR);
    let (cpu, switches) = daemon.usage()?.since(&before).total();
    let mut out = std::io::stdout();
    writeln!(out, "{QUIET_LOGS} quiet logs, followed for {} s", QUIET_FOR.as_secs())?;
    writeln!(
        out,
        "  postern-watcher run{cpu:>12.4} % of a core{switches:>8.1} context switches a second{}",
        judged(cpu, IDLE_MAX)
    )?;
    Ok(())
}

/// What following a log came to.
struct Row {
    /// Lines a second.
    rate: f64,
    /// Hundredths of a core.
    cpu: f64,
    /// How often a second it woke.
    wakes: f64,
}

impl Row {
    fn show(&self, out: &mut impl Write, name: &str, verdict: &str) -> Result<()> {
        let Row { rate, cpu, wakes } = self;
        Ok(writeln!(out, "  {name:<44}{rate:>12.0}{cpu:>12.2}{wakes:>12.0}{verdict}")?)
    }
}

fn too_busy() -> String {
    "   the machine is too busy to tell".to_owned()
}

fn judged(cpu: f64, max: f64) -> String {
    format!("   limit {max} %: {}", verdict(cpu <= max))
}

/// What following a log costs a thread that does nothing with the lines.
fn reading(path: &Path, pace: Option<Pace>) -> Result<Row> {
    let file = File::create(path)?;
    let mut tailer = Tailer::new()?;
    tailer.follow(SourceId(0), Target::File(path.to_owned()), Start::Beginning, &[])?;
    tailer.read(usize::MAX, &mut |_| {})?;
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| write(file));
        let (start, before, mut pace) = (Instant::now(), used()?, pace);
        let (mut lines, mut wakes) = (0, 0);
        while lines < LINES {
            match &mut pace {
                Some(pace) => wake::wait(&tailer, pace)?,
                None => drop(poll(&mut [PollFd::from_borrowed_fd(tailer.fd(), PollFlags::IN)], None)?),
            }
            wakes += 1;
            tailer.read(usize::MAX, &mut |_| lines += 1)?;
        }
        let (used, took) = (used()? - before, start.elapsed().as_secs_f64());
        let rate = writing.join().ok().context("the writer")??;
        Ok(Row { rate, cpu: used.as_secs_f64() / took * 100.0, wakes: f64::from(wakes) / took })
    })
}

/// Writes all lines at their times, and tells how many a second that came to.
fn write(mut file: File) -> Result<f64> {
    let mut traffic = Traffic::new();
    let start = Instant::now();
    for n in 0..LINES {
        Beat::Rate(RATE).wait(start, n);
        file.write_all(traffic.line(Timestamp::from(SystemTime::now())).as_bytes())?;
    }
    Ok(f64::from(LINES) / start.elapsed().as_secs_f64())
}
