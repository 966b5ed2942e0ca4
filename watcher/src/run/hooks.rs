//! The watcher's end of the hooks' process: a pipe there, a pipe back, and nobody who waits for either.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::hooks::{Action, FromHooks, Hook, Outcome, ToHooks};
use crate::news::Item;

/// So much may wait in the pipe's queue; of more, what is newest is lost, and counted.
const WAITING_MAX: usize = 4096;
/// So long the process has at the end to deliver what waits.
const LEAVE: Duration = Duration::from_secs(4);
const LOOK: Duration = Duration::from_millis(10);

/// The hooks that are configured, and the process that carries them out.
#[derive(Debug)]
pub(super) struct Hooks {
    hooks: Vec<Hook>,
    process: Option<Process>,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    pipe: SyncSender<Vec<u8>>,
    /// What nobody reads yet.
    lines: Option<Receiver<Vec<u8>>>,
}

/// What came of the hooks so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// By the hook's kind and the outcome, in the order of [`Action::KINDS`] and [`Outcome::ALL`].
    pub(super) ended: [[u64; Outcome::ALL.len()]; Action::KINDS.len()],
    /// For which there was no room, or no process.
    pub(super) lost: u64,
}

impl Hooks {
    /// Starts the process, be there a hook for it or not: a first one may come with a reload, and a process that was
    /// started then would be held to what the watcher may do itself. What it is told waits until [`Hooks::attend`].
    pub(super) fn start(hooks: &[Hook]) -> Hooks {
        let mut this = Hooks { hooks: hooks.to_vec(), process: None, counts: Arc::default() };
        this.launch();
        this
    }

    /// Starts the threads that write to the process and read from it.
    pub(super) fn attend(&mut self) {
        let Some(process) = &mut self.process else { return };
        if let Err(error) = process.attend(&self.counts) {
            tracing::error!("the hooks are not carried out: {error}");
        }
    }

    /// Whether it is worth putting something into words.
    pub(super) fn any(&self) -> bool {
        !self.hooks.is_empty()
    }

    /// Other hooks from now on; false where there is no process for them, which could not be started.
    pub(super) fn configure(&mut self, hooks: &[Hook]) -> bool {
        if hooks == self.hooks {
            return true;
        }
        if self.process.is_none() {
            return false;
        }
        self.hooks = hooks.to_vec();
        self.send(&ToHooks::Configure(self.hooks.clone()));
        true
    }

    /// Tells of what happened; it is not waited for.
    pub(super) fn tell(&mut self, item: &Item) {
        if self.hooks.iter().any(|hook| hook.hears(item.topic, &item.news)) {
            self.send(&ToHooks::Tell(item.topic, Box::new(item.news.clone())));
        }
    }

    /// Starts the process again where it has ended by itself.
    pub(super) fn look_after(&mut self) {
        let Some(process) = &mut self.process else { return };
        if let Ok(Some(status)) = process.child.try_wait() {
            tracing::error!("the process of the hooks ended with {status}, and is started again");
            self.launch();
            self.attend();
        }
    }

    /// What came of them so far.
    pub(super) fn counts(&self) -> Counts {
        counts(&self.counts).clone()
    }

    /// Lets the process deliver what waits, for a moment.
    pub(super) fn stop(&mut self) {
        let Some(Process { mut child, pipe, .. }) = self.process.take() else { return };
        drop(pipe);
        let until = Instant::now() + LEAVE;
        while matches!(child.try_wait(), Ok(None)) {
            if Instant::now() >= until {
                // It may have ended in this moment.
                let _ = child.kill();
                let _ = child.wait();
                return;
            }
            thread::sleep(LOOK);
        }
    }

    fn launch(&mut self) {
        match launch() {
            Ok(process) => {
                self.process = Some(process);
                self.send(&ToHooks::Configure(self.hooks.clone()));
            }
            Err(error) => tracing::error!("the hooks are not carried out: {error}"),
        }
    }

    fn send(&self, what: &ToHooks) {
        let Ok(mut line) = serde_json::to_vec(what) else { return };
        line.push(b'\n');
        let sent = self.process.as_ref().is_some_and(|process| process.pipe.try_send(line).is_ok());
        if !sent {
            counts(&self.counts).lost += 1;
        }
    }
}

fn launch() -> std::io::Result<Process> {
    let child = Command::new(std::env::current_exe()?)
        .arg("hooks")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let (pipe, lines) = sync_channel(WAITING_MAX);
    Ok(Process { child, pipe, lines: Some(lines) })
}

impl Process {
    fn attend(&mut self, counts: &Arc<Mutex<Counts>>) -> std::io::Result<()> {
        let Process { child, lines, .. } = self;
        if let (Some(stdin), Some(stdout), Some(lines)) =
            (child.stdin.take(), child.stdout.take(), lines.take())
        {
            let counts = Arc::clone(counts);
            thread::Builder::new().name("hooks-told".into()).spawn(move || write(stdin, &lines))?;
            thread::Builder::new().name("hooks-said".into()).spawn(move || read(stdout, &counts))?;
        }
        Ok(())
    }
}

/// Writes until the process is gone or nobody has anything to say to it any more.
fn write(mut stdin: ChildStdin, lines: &Receiver<Vec<u8>>) {
    for line in lines {
        if stdin.write_all(&line).is_err() {
            return;
        }
    }
}

fn read(stdout: ChildStdout, counted: &Mutex<Counts>) {
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        match serde_json::from_str(&line) {
            Ok(FromHooks::Ended { kind, outcome }) => {
                let kind = Action::KINDS.iter().position(|known| *known == kind);
                let outcome = Outcome::ALL.iter().position(|known| *known == outcome);
                if let (Some(kind), Some(outcome)) = (kind, outcome)
                    && let Some(count) =
                        counts(counted).ended.get_mut(kind).and_then(|row| row.get_mut(outcome))
                {
                    *count += 1;
                }
            }
            Ok(FromHooks::Lost(lost)) => counts(counted).lost += lost,
            Err(error) => tracing::error!("what the hooks say cannot be read: {error}"),
        }
    }
}

/// A number is never half written.
fn counts(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}
