//! The tailers, each as its documentation shows it.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use notify::event::{EventKind, ModifyKind, RenameMode};
use notify::{RecursiveMode, Watcher as _};
use rustix::event::{PollFd, PollFlags, poll};
use watcher::pace::Pace;
use watcher::tail::{SourceId, Start, Tailer, Target};

use crate::tally::{self, Tally};

/// All of them; `tail` is GNU's.
pub const NAMES: &[&str] = &["postern", "linemux", "notify", "staart", "chase", "tail"];

/// How often a tailer looks that leaves it to its user; its example waits as long.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Follows a file, or `current` in a directory of multilog, until standard input ends.
pub fn follow(name: &str, path: &Path) -> Result<()> {
    let tally = tally::serve()?;
    let file = if path.is_dir() { path.join("current") } else { path.to_owned() };
    match name {
        "postern" => postern(path, &tally),
        "linemux" => linemux(&file, &tally),
        "notify" => by_events(&file, &tally),
        "staart" => staart(&file, &tally),
        "chase" => chase(&file, &tally),
        "tail" => tail(&file, &tally),
        _ => bail!("no tailer is called {name}"),
    }
}

fn count(tally: &Mutex<Tally>, line: &[u8]) {
    tally.lock().unwrap_or_else(PoisonError::into_inner).line(line);
}

fn postern(path: &Path, tally: &Mutex<Tally>) -> Result<()> {
    let mut tailer = Tailer::new()?;
    tailer.follow(SourceId(0), Target::parse(&path.to_string_lossy()), Start::Beginning, &[])?;
    let mut pace = Pace::default();
    loop {
        tailer.read(usize::MAX, &mut |line| count(tally, line.bytes))?;
        if let Some(pause) = pace.pause(Instant::now()) {
            std::thread::sleep(pause);
        }
        poll(&mut [PollFd::from_borrowed_fd(tailer.fd(), PollFlags::IN)], None)?;
        pace.woken(Instant::now());
    }
}

fn linemux(path: &Path, tally: &Mutex<Tally>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut lines = linemux::MuxedLines::new()?;
        lines.add_file_from_start(path).await?;
        loop {
            // An error is a line that is no UTF-8.
            if let Ok(Some(line)) = lines.next_line().await {
                count(tally, line.line().as_bytes());
            }
        }
    })
}

/// The loop that many programs have: an event says that something happened, and what is there is read. What a file held
/// is read to its end before its successor is opened, and a line that is not finished waits for its rest.
fn by_events(path: &Path, tally: &Mutex<Tally>) -> Result<()> {
    let (sender, events) = mpsc::channel();
    let mut watcher = notify::recommended_watcher(sender)?;
    watcher.watch(path.parent().context("a directory")?, RecursiveMode::NonRecursive)?;
    let mut file = File::open(path).ok().map(BufReader::new);
    let mut line = Vec::new();
    loop {
        drain(file.as_mut(), &mut line, tally)?;
        let event = events.recv()??;
        let is_new =
            matches!(event.kind, EventKind::Create(_) | EventKind::Modify(ModifyKind::Name(RenameMode::To)));
        if is_new && event.paths.iter().any(|changed| changed == path) {
            drain(file.as_mut(), &mut line, tally)?;
            line.clear();
            file = File::open(path).ok().map(BufReader::new);
        }
    }
}

fn drain(file: Option<&mut BufReader<File>>, line: &mut Vec<u8>, tally: &Mutex<Tally>) -> Result<()> {
    let Some(file) = file else { return Ok(()) };
    while file.read_until(b'\n', line)? > 0 {
        if let Some(whole) = line.strip_suffix(b"\n") {
            count(tally, whole);
            line.clear();
        }
    }
    Ok(())
}

/// It gives bytes; making lines of them is left to its user.
fn staart(path: &Path, tally: &Mutex<Tally>) -> Result<()> {
    let mut file = staart::TailedFile::new(path).ok().context("cannot open the file")?;
    let mut rest = Vec::new();
    loop {
        // A file that is not there for a moment is an error, and is there again at the next look.
        rest.extend(file.read().unwrap_or_default());
        while let Some(end) = memchr::memchr(b'\n', &rest) {
            count(tally, rest.get(..end).unwrap_or_default());
            rest.drain(..=end);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn chase(path: &Path, tally: &Mutex<Tally>) -> Result<()> {
    let ended = chase::Chaser::new(path).run(|line, _, _| {
        count(tally, line.as_bytes());
        Ok(chase::Control::Continue)
    });
    // It gives up at a line that is no UTF-8; what it delivered is still asked for.
    eprintln!("chase ended: {:?}", ended.err());
    loop {
        std::thread::park();
    }
}

fn tail(path: &Path, tally: &Mutex<Tally>) -> Result<()> {
    let mut command = Command::new("tail");
    let mut tail =
        command.args(["-n", "+1", "-F"]).arg(path).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut lines = BufReader::new(tail.stdout.take().context("a pipe")?);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        count(tally, line.strip_suffix(b"\n").unwrap_or(&line));
        line.clear();
    }
    bail!("tail has ended")
}
