//! Shows a log as it grows.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use anyhow::{Context as _, Result};
use logline::Timestamp;

use super::screen::Screen;

/// How often somebody looks; an eye sees no difference.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A thread that shows new lines.
pub(super) struct Follower {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl Follower {
    /// Shows every line from now on that contains one of `words`.
    pub(super) fn start(path: &Path, words: &[&str], screen: Screen) -> Result<Follower> {
        let mut file = File::open(path).context("the log")?;
        file.seek(SeekFrom::End(0))?;
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let ended = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ended);
        let thread = std::thread::spawn(move || show(file, &words, &screen, &flag));
        Ok(Follower { ended, thread })
    }

    /// Shows what is there still, and ends.
    pub(super) fn stop(self) -> Result<()> {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.join().ok().context("the log could not be followed")?
    }
}

fn show(mut file: File, words: &[String], screen: &Screen, ended: &AtomicBool) -> Result<()> {
    let mut text = String::new();
    loop {
        let last = ended.load(Ordering::Relaxed);
        file.read_to_string(&mut text)?;
        while let Some(end) = text.find('\n') {
            let line: String = text.drain(..=end).collect();
            if words.iter().any(|word| line.contains(word)) {
                screen.quote(&readable(line.trim_end()));
            }
        }
        if last {
            return Ok(());
        }
        sleep(LOOK_EVERY);
    }
}

/// The line with a stamp that people can read.
fn readable(line: &str) -> String {
    let Some((stamp, rest)) = line.split_once(' ') else { return line.to_owned() };
    let at = Timestamp::parse_tai64n(stamp.as_bytes()).ok();
    let at = at.and_then(|at| jiff::Timestamp::from_nanosecond(at.nanos().into()).ok());
    at.map_or_else(|| line.to_owned(), |at| format!("{}  {rest}", at.strftime("%H:%M:%S%.3f")))
}
