//! A program that is asked about each recipient, as sagredo's patch asks `RCPTCHECK`: `SENDER`, `RECIPIENT` and `HELO` stand in
//! its environment, and its exit code is the answer.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::mailbox::Mailbox;
use crate::recipients::Context;
use crate::session::RecipientAnswer;

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
        // An environment cannot hold a NUL, and a client can send one.
        let helo: Vec<u8> = context.helo.iter().copied().filter(|byte| *byte != 0).collect();
        let status = Command::new(&self.path)
            .args(&self.arguments)
            .env("SENDER", &context.sender)
            .env("RECIPIENT", format!("{}@{}", mailbox.local(), mailbox.domain()))
            .env("HELO", OsString::from_vec(helo))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .status();
        match timeout(PATIENCE, status).await {
            Ok(Ok(status)) => match status.code() {
                Some(100) => RecipientAnswer::Refused,
                Some(111) => RecipientAnswer::CannotVerify,
                // "Ignore": it has no opinion.
                Some(112) => RecipientAnswer::AnyOfDomain,
                Some(113) => RecipientAnswer::Overlimit,
                Some(120) => RecipientAnswer::CannotExecute,
                Some(_) => RecipientAnswer::Checked,
                None => RecipientAnswer::CannotExecute,
            },
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
}
