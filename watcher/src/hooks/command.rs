//! A program is run, with what it is to know on its standard input.

use std::io;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

/// Why it did not do what it was run for.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    #[error("it cannot be run")]
    Spawn(#[from] io::Error),
    #[error("it ended with {0}")]
    Status(std::process::ExitStatus),
}

/// Runs a program to its end, without a shell, with nothing of our environment but a plain search path. Where the wait for
/// it is given up, it and all that it started is killed.
pub(super) async fn run(argv: &[String], hook: &str, input: &[u8]) -> Result<(), CommandError> {
    let Some((program, arguments)) = argv.split_first() else { return Ok(()) };
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("POSTERN_HOOK", hook)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut group = Group(child);
    if let Some(mut stdin) = group.0.stdin.take() {
        // Who does not read his input may know enough without.
        let _ = stdin.write_all(input).await;
    }
    let status = group.0.wait().await?;
    if status.success() { Ok(()) } else { Err(CommandError::Status(status)) }
}

/// A program and its children; killed with this value unless it has ended.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        let pid = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may have ended in this moment.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}
