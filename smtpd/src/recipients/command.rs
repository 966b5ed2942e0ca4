//! A program that is asked about each recipient, as sagredo's patch asks `RCPTCHECK`: `SENDER`, `RECIPIENT`, `HELO`,
//! `TCPREMOTEIP`, and `SMTPAUTHUSER` and `RELAYCLIENT` where they hold stand in its environment, and its exit code is the
//! answer. In which words it is given it may say on descriptor 4.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use command_fds::{CommandFdExt as _, FdMapping};
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::aside::Aside;
use crate::mailbox::Mailbox;
use crate::recipients::Context;
use crate::session::{OwnWords, RecipientAnswer};

/// Programs at once. Another session waits; a flood of recipients must not become a flood of processes.
const RUNNING_MAX: usize = 16;

/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The program.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<String>,
    running: Semaphore,
}

impl Program {
    /// A program by its absolute path, and its arguments.
    pub fn new(path: PathBuf, arguments: Vec<String>) -> Self {
        Program { path, arguments, running: Semaphore::new(RUNNING_MAX) }
    }

    pub(super) async fn look_up(&self, mailbox: &Mailbox, context: &Context) -> RecipientAnswer {
        let Ok(_permit) = self.running.acquire().await else {
            return RecipientAnswer::CannotVerify;
        };
        match timeout(PATIENCE, self.run(mailbox, context)).await {
            Ok(Ok((status, words))) => answer(status.code(), OwnWords::parse(&words)),
            Ok(Err(error)) => {
                tracing::error!(program = %self.path.display(), %error, "cannot run the check of recipients");
                RecipientAnswer::CannotExecute
            }
            Err(_) => {
                tracing::error!(program = %self.path.display(), "the check of recipients did not end in time");
                RecipientAnswer::CannotVerify
            }
        }
    }

    async fn run(&self, mailbox: &Mailbox, context: &Context) -> io::Result<(ExitStatus, String)> {
        // An environment cannot hold a NUL, and a client can send one.
        let helo: Vec<u8> = context.helo.iter().copied().filter(|byte| *byte != 0).collect();
        let (aside, parent_fd) = Aside::open()?;
        let mut command = Command::new(&self.path);
        command
            .args(&self.arguments)
            .env("SENDER", &context.sender)
            .env("RECIPIENT", format!("{}@{}", mailbox.local(), mailbox.domain()))
            .env("HELO", OsString::from_vec(helo))
            .envs(context.client.map(|client| ("TCPREMOTEIP", client.to_string())))
            .envs(context.user.as_ref().map(|user| ("SMTPAUTHUSER", user.replace('\0', ""))))
            .envs(context.relay.as_ref().map(|relay| ("RELAYCLIENT", relay.replace('\0', ""))))
            .env("USE_FD4", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .fd_mappings(vec![FdMapping { parent_fd, child_fd: 4 }])
            .map_err(io::Error::other)?;
        let mut child = command.spawn()?;
        // Its end of the pipe stands in the command until that is gone.
        drop(command);
        aside.until_end(&mut child).await
    }
}

/// What an exit code means, and the program's own words for it, where it has any.
fn answer(code: Option<i32>, words: Option<OwnWords>) -> RecipientAnswer {
    match (code, words) {
        (Some(100 | 111 | 113), Some(words)) => RecipientAnswer::Said(words),
        (Some(100), None) => RecipientAnswer::Refused,
        (Some(111), None) => RecipientAnswer::CannotVerify,
        // "Ignore": it has no opinion.
        (Some(112), _) => RecipientAnswer::AnyOfDomain,
        (Some(113), None) => RecipientAnswer::Overlimit,
        (Some(120) | None, _) => RecipientAnswer::CannotExecute,
        (Some(_), _) => RecipientAnswer::Checked,
    }
}
