//! A tailer's process, seen from outside.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::tally::Count;

/// So long a tailer has to begin. None of them says when it has.
const BEGINS_IN: Duration = Duration::from_millis(700);

/// A tailer that has delivered nothing for so long has delivered all that it will.
const SETTLED_AFTER: Duration = Duration::from_millis(1500);

/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// One that follows.
pub struct Follower {
    child: Child,
    ask: ChildStdin,
    told: BufReader<ChildStdout>,
    started: Instant,
}

impl Follower {
    /// Starts a tailer; it may not have begun when this returns.
    pub fn start(name: &str, path: &Path) -> Result<Follower> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["follow", name]).arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
        let started = Instant::now();
        let mut child = command.stderr(Stdio::null()).spawn()?;
        let ask = child.stdin.take().context("a pipe")?;
        let told = BufReader::new(child.stdout.take().context("a pipe")?);
        Ok(Follower { child, ask, told, started })
    }

    /// Starts a tailer and gives it time to begin.
    pub fn begun(name: &str, path: &Path) -> Result<Follower> {
        let follower = Follower::start(name, path)?;
        std::thread::sleep(BEGINS_IN);
        Ok(follower)
    }

    /// What it has delivered by now.
    pub fn count(&mut self) -> Result<Count> {
        self.ask.write_all(b"?\n")?;
        let mut told = String::new();
        self.told.read_line(&mut told)?;
        Count::read(&told)
    }

    /// What it has delivered when it has delivered so many lines, or comes no further; and how long it took to come so
    /// far since it was started.
    pub fn settled(&mut self, lines: u64) -> Result<(Count, Duration)> {
        let mut last = (self.count()?, self.started.elapsed());
        let mut changed = Instant::now();
        while last.0.whole < lines && changed.elapsed() < SETTLED_AFTER {
            std::thread::sleep(ASK_EVERY);
            let count = self.count()?;
            if count != last.0 {
                last = (count, self.started.elapsed());
                changed = Instant::now();
            }
        }
        Ok(last)
    }

    /// How long its threads, and those of its children, were on a processor.
    pub fn used(&self) -> Result<Duration> {
        used(self.child.id())
    }
}

fn used(pid: u32) -> Result<Duration> {
    let mut used_all = Duration::ZERO;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?.path();
        let schedstat = std::fs::read_to_string(task.join("schedstat"))?;
        used_all += Duration::from_nanos(schedstat.split(' ').next().context("schedstat")?.parse()?);
        for child in std::fs::read_to_string(task.join("children"))?.split_whitespace() {
            used_all += used(child.parse()?)?;
        }
    }
    Ok(used_all)
}

impl Drop for Follower {
    fn drop(&mut self) {
        // GNU tail ends with the pipe that it writes to; one that has ended already needs no killing.
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        for child in std::fs::read_to_string(children).unwrap_or_default().split_whitespace() {
            if let Some(pid) = child.parse().ok().and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
