//! From the write of a line to its reader, beside the floor: a reader that is woken by inotify and reads, and does nothing
//! else.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use logline::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use watcher::pace::Pace;
use watcher::tail::{SourceId, Start, Tailer, Target};

use crate::journal::Traffic;
use crate::written::{Beat, Written, head, show, times};

/// Quiet enough that everybody sleeps in between.
const QUIET: Beat = Beat::Rests(Duration::from_millis(2));
/// So many lines of a quiet log; the 99th percentile is then the 30 worst.
const QUIET_LINES: usize = 3000;
/// A log that nobody would call quiet.
const BUSY: Beat = Beat::Rate(100_000);
/// Three seconds of it.
const BUSY_LINES: usize = 300_000;

/// Nobody waits longer for a line that was written.
const PATIENCE: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };

/// Measures and prints both.
///
/// # Errors
/// The logs cannot be written or followed.
pub fn measure() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = |name: &str| directory.path().join(name);
    let mut traffic = Traffic::new();
    let mut line = |_| traffic.line(Timestamp::from(std::time::SystemTime::now()));
    let mut out = std::io::stdout();
    head(&mut out, "a line written → in its reader's hands")?;
    show(&mut out, "quiet: woken and read (bare)", &bare(&path("a"), QUIET, QUIET_LINES, &mut line)?)?;
    show(&mut out, "quiet: at the engine's door", &delivered(&path("b"), QUIET, QUIET_LINES, &mut line)?)?;
    show(
        &mut out,
        "100,000 a second: woken and read (bare)",
        &bare(&path("c"), BUSY, BUSY_LINES, &mut line)?,
    )?;
    show(
        &mut out,
        "100,000 a second: at the engine's door",
        &delivered(&path("d"), BUSY, BUSY_LINES, &mut line)?,
    )
}

/// The floor: a reader that is woken by inotify and reads.
///
/// # Errors
/// The log cannot be written or read.
pub fn bare(
    path: &Path,
    beat: Beat,
    lines: usize,
    line: impl FnMut(usize) -> String + Send,
) -> Result<Histogram<u64>> {
    let writer = File::create(path)?;
    let mut reader = File::open(path)?;
    let notes = inotify::init(inotify::CreateFlags::empty())?;
    inotify::add_watch(&notes, path, inotify::WatchFlags::MODIFY)?;
    let (written, mut times) = (Written::new(lines), times()?);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| written.write(writer, beat, line));
        let (mut note, mut block) = ([0; 4096], vec![0; 256 << 10]);
        let mut n = 0;
        while n < lines {
            rustix::io::read(&notes, &mut note)?;
            // One note may stand for more than a block.
            let mut length = block.len();
            while length == block.len() {
                length = reader.read(&mut block)?;
                let now_ns = written.now_ns();
                for _ in memchr::memchr_iter(b'\n', block.get(..length).unwrap_or_default()) {
                    written.done(n, now_ns, &mut times)?;
                    n += 1;
                }
            }
        }
        writing.join().ok().context("the writer")?
    })?;
    Ok(times)
}

/// The watcher's way of a line, up to where it would be understood.
fn delivered(
    path: &Path,
    beat: Beat,
    lines: usize,
    line: impl FnMut(usize) -> String + Send,
) -> Result<Histogram<u64>> {
    let writer = File::create(path)?;
    let mut tailer = Tailer::new()?;
    tailer.follow(SourceId(0), Target::File(path.to_owned()), Start::Beginning, &[])?;
    let (written, mut times) = (Written::new(lines), times()?);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| written.write(writer, beat, line));
        let (mut n, mut pace) = (0, Pace::default());
        while n < lines {
            wait(&tailer, &mut pace)?;
            let mut done = Ok(());
            tailer.read(usize::MAX, &mut |_| {
                if done.is_ok() {
                    done = written.done(n, written.now_ns(), &mut times);
                }
                n += 1;
            })?;
            done?;
        }
        writing.join().ok().context("the writer")?
    })?;
    Ok(times)
}

/// Waits for lines as the daemon does.
///
/// # Errors
/// None come.
pub fn wait(tailer: &Tailer, pace: &mut Pace) -> Result<()> {
    if let Some(pause) = pace.pause(Instant::now()) {
        std::thread::sleep(pause);
    }
    let ready = poll(&mut [PollFd::from_borrowed_fd(tailer.fd(), PollFlags::IN)], Some(&PATIENCE))?;
    ensure!(ready > 0, "waited in vain for lines");
    pace.woken(Instant::now());
    Ok(())
}
