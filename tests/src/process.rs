//! Processes that end with whoever started them.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// A command whose process the kernel kills when its parent dies, however that comes about.
pub fn bound(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Runs a program with the words of `arguments` and gives what it prints.
///
/// # Errors
/// It cannot be run, or says no.
pub fn run(program: &str, arguments: &str) -> Result<String> {
    done(bound(program).args(arguments.split_whitespace()))
}

/// Runs a command to its end and gives what it prints.
///
/// # Errors
/// It cannot be run, or says no.
pub fn done(command: &mut Command) -> Result<String> {
    let Output { status, stdout, stderr } =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {command:?}"))?;
    let said = String::from_utf8_lossy(&stdout).into_owned();
    ensure!(status.success(), "{command:?}: {status}\n{said}{}", String::from_utf8_lossy(&stderr));
    Ok(said)
}

/// One of our own programs, which stands beside the one that runs.
///
/// # Errors
/// It was not built.
pub fn ours(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("who am I")?;
    let beside = own.ancestors().skip(1).take(2).map(|directory| directory.join(name));
    beside.into_iter().find(|path| path.is_file()).with_context(|| {
        format!("{name} is not built: cargo build -p smtpd -p watcher, in the profile of {}", own.display())
    })
}

/// A process that runs until it is told to end, or this value goes.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// What it says goes here.
    log: PathBuf,
}

impl Running {
    /// Starts a command whose standard output and error are appended to `log`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &mut Command, log: &Path) -> Result<Running> {
        let output = open(log)?;
        Running::start_with(command, output.into(), log)
    }

    /// Starts a command whose standard output goes elsewhere, and whose standard error is appended to `log`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_with(command: &mut Command, output: Stdio, log: &Path) -> Result<Running> {
        command.stdin(Stdio::null()).stdout(output).stderr(open(log)?);
        let child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        Ok(Running { child, log: log.to_owned() })
    }

    /// Starts a command that reads from a pipe, and gives the pipe's other end.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn fed(command: &mut Command, log: &Path) -> Result<(Running, ChildStdin)> {
        command.stdin(Stdio::piped()).stdout(open(log)?).stderr(open(log)?);
        let mut child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        let stdin = child.stdin.take().context("a pipe to it")?;
        Ok((Running { child, log: log.to_owned() }, stdin))
    }

    /// Starts a command whose standard input is this, and whose output and error are appended to `log`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_on(command: &mut Command, input: Stdio, log: &Path) -> Result<Running> {
        command.stdin(input).stdout(open(log)?).stderr(open(log)?);
        let child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
        Ok(Running { child, log: log.to_owned() })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything that it and its predecessors with the same log have said.
    pub fn said(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("a process id")?;
        kill_process(pid, signal).with_context(|| format!("process {} is gone", self.child.id()))
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// It has ended already, or does not end.
    pub fn stop(mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.ended()
    }

    /// Kills it, as a power cut would.
    ///
    /// # Errors
    /// It has ended already.
    pub fn kill(mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        self.ended().map(|_| ())
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// It does not end.
    pub fn ended(&mut self) -> Result<ExitStatus> {
        let Running { child, .. } = self;
        wait::until("a process to end", || child.try_wait().ok().flatten())
    }

    /// Whether it runs still.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

fn open(log: &Path) -> Result<File> {
    File::options()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot open {}", log.display()))
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended already needs no killing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
