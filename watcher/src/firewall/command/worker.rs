//! The thread that runs the programs: some at a time, none for longer than it may, and never so many that a storm of bans
//! is a storm of processes.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use super::ledger::{Job, Ledger, Pair};
use crate::control::Wake;
use crate::firewall::template::Filled;

/// Programs that run at a time.
const RUNNING_MAX: usize = 4;
/// Programs that are started in a second.
const STARTS_PER_SECOND: usize = 20;
/// A program that takes longer is killed, with all that it started, and has failed.
const RUN_TIME_MAX: Duration = Duration::from_secs(10);
/// What waits at the end is still carried out, for so long.
const LEAVE: Duration = Duration::from_secs(10);
/// So much of what a failing program says is told.
const CRY_BYTES: usize = 200;

/// What the thread and those who ask it share.
#[derive(Debug)]
pub(super) struct Shared {
    ledger: Mutex<Ledger>,
    /// Something was done.
    done: Condvar,
    /// Wakes the thread.
    pub(super) ask: Wake,
    /// Readable when there is something to tell.
    pub(super) tell: Wake,
    leaving: Mutex<Option<Instant>>,
}

/// A program that runs.
struct Run {
    job: Job,
    child: Child,
    pidfd: OwnedFd,
    cry: File,
    until: Instant,
}

impl Shared {
    pub(super) fn new() -> io::Result<Arc<Shared>> {
        Ok(Arc::new(Shared {
            ledger: Mutex::default(),
            done: Condvar::new(),
            ask: Wake::new()?,
            tell: Wake::new()?,
            leaving: Mutex::default(),
        }))
    }

    /// A change of it is never half made.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nothing runs or waits to be run; false where that takes longer.
    pub(super) fn wait(&self, patience: Duration) -> bool {
        let waited = self.done.wait_timeout_while(self.ledger(), patience, |ledger| !ledger.is_idle());
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Tells the thread to end when nothing waits any more.
    pub(super) fn leave(&self) {
        *self.leaving.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + LEAVE);
        self.ask.wake();
    }

    fn leaving(&self) -> Option<Instant> {
        *self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs whatever is to be run, until it is told to leave.
pub(super) fn work(shared: &Shared, programs: &Pair) {
    let (mut runs, mut started): (Vec<Run>, VecDeque<Instant>) = (Vec::new(), VecDeque::new());
    loop {
        let now = Instant::now();
        while started.front().is_some_and(|at| now.duration_since(*at) >= Duration::from_secs(1)) {
            started.pop_front();
        }
        let is_over = start(shared, programs, &mut runs, &mut started, now);
        if is_over || shared.leaving().is_some_and(|until| until <= now) {
            runs.iter_mut().for_each(kill);
            return;
        }
        let room = (started.len() >= STARTS_PER_SECOND)
            .then(|| started.front().map(|at| *at + Duration::from_secs(1)))
            .flatten();
        let due = shared.ledger().due();
        let until = runs.iter().map(|run| run.until).chain(room).chain(due).chain(shared.leaving()).min();
        sleep(shared, &runs, until);
        shared.ask.drain();
        gather(shared, &mut runs);
    }
}

/// Starts what there is room for; true where nothing is left to do and it is time to leave.
fn start(
    shared: &Shared,
    programs: &Pair,
    runs: &mut Vec<Run>,
    started: &mut VecDeque<Instant>,
    now: Instant,
) -> bool {
    shared.ledger().pass(now);
    while runs.len() < RUNNING_MAX && started.len() < STARTS_PER_SECOND {
        let Some(job) = shared.ledger().next(programs, now) else { break };
        started.push_back(now);
        match spawn(&job.filled) {
            Ok((child, pidfd, cry)) => {
                runs.push(Run { job, child, pidfd, cry, until: now + RUN_TIME_MAX });
            }
            Err(error) => end(shared, job, &Err(format!("it cannot be run: {error}"))),
        }
    }
    // Whoever was refused without a run is news as well.
    announce(shared);
    runs.is_empty() && shared.leaving().is_some() && shared.ledger().is_idle()
}

/// Waits until somebody asks, a program ends, or then.
fn sleep(shared: &Shared, runs: &[Run], until: Option<Instant>) {
    let mut fds = vec![PollFd::new(&shared.ask, PollFlags::IN)];
    fds.extend(runs.iter().map(|run| PollFd::new(&run.pidfd, PollFlags::IN)));
    let timeout = until.map(|until| until.saturating_duration_since(Instant::now()));
    // A millisecond more: a deadline that is nearly reached would be looked at again and again.
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout + Duration::from_millis(1)).ok());
    // A signal is as good a reason to look as any.
    let _ = poll(&mut fds, timeout.as_ref());
}

/// Takes in what has ended, and ends what takes too long.
fn gather(shared: &Shared, runs: &mut Vec<Run>) {
    let now = Instant::now();
    for mut run in std::mem::take(runs) {
        let outcome = match run.child.try_wait() {
            Ok(None) if run.until > now => {
                runs.push(run);
                continue;
            }
            Ok(None) => {
                kill(&mut run);
                Err(format!("it was killed after {} seconds", RUN_TIME_MAX.as_secs()))
            }
            Ok(Some(status)) => judged(status, &run.cry),
            Err(error) => Err(error.to_string()),
        };
        end(shared, run.job, &outcome);
    }
}

fn end(shared: &Shared, job: Job, outcome: &Result<(), String>) {
    shared.ledger().ended(job, outcome, Instant::now());
    announce(shared);
    shared.done.notify_all();
}

fn announce(shared: &Shared) {
    if shared.ledger().has_news() {
        shared.tell.wake();
    }
}

fn judged(status: ExitStatus, cry: &File) -> Result<(), String> {
    if status.success() {
        return Ok(());
    }
    let mut said = [0; CRY_BYTES];
    let length = cry.read_at(&mut said, 0).unwrap_or(0);
    let said = String::from_utf8_lossy(said.get(..length).unwrap_or_default()).trim().to_owned();
    let said = logline::Text::from(said.as_str()).readable().to_string();
    Err(if said.is_empty() {
        format!("it ended with {status}")
    } else {
        format!("it ended with {status}: {said}")
    })
}

/// Starts a program, with nothing but a plain search path from our environment. What it reads and what it complains of are
/// files in memory: neither can keep it, or us, waiting.
fn spawn(filled: &Filled) -> io::Result<(Child, OwnedFd, File)> {
    let Filled { argv, input } = filled;
    let Some((program, arguments)) = argv.split_first() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut read = File::from(memfd_create("lines", MemfdFlags::CLOEXEC)?);
    read.write_all(input.as_bytes())?;
    read.rewind()?;
    let cry = File::from(memfd_create("complaints", MemfdFlags::CLOEXEC)?);
    let child = std::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::from(read))
        .stdout(Stdio::null())
        .stderr(Stdio::from(cry.try_clone()?))
        .spawn()?;
    let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
    Ok((child, pidfd, cry))
}

/// Kills a program and all that it started.
fn kill(run: &mut Run) {
    // It may have ended in this moment.
    let _ = kill_process_group(Pid::from_child(&run.child), Signal::KILL);
    let _ = run.child.wait();
}
