//! qmail-queue: the door through which qmail and all its filters take mail (qmail-queue(8), qmail.c).
//!
//! The message goes to the program's descriptor 0, the envelope (`F`, sender, `T`, recipient, each with a NUL) to its
//! descriptor 1; its exit code says what became of it.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

use crate::session::{Envelope, StoreAnswer};

/// What is kept in memory before the program gets it.
const BUFFER_BYTES: usize = 64 * 1024;

/// Longest wait for the program to take a piece, or to end. qmail-queue gives up after a day; no client waits so long.
const PATIENCE: Duration = Duration::from_secs(600);

/// A program that is taking a message. Dropped, it is ended before it has the envelope, so it keeps nothing.
#[derive(Debug)]
pub struct QmailQueue {
    child: Child,
    message: Option<ChildStdin>,
    addresses: pipe::Sender,
    envelope: Vec<u8>,
    buffer: Vec<u8>,
    pid: u32,
}

/// Where the program is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program(pub PathBuf);

impl Program {
    /// Starts the program for one message.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start(&self, envelope: &Envelope) -> io::Result<QmailQueue> {
        QmailQueue::start(&self.0, envelope)
    }
}

impl QmailQueue {
    fn start(program: &Path, envelope: &Envelope) -> io::Result<Self> {
        let (receiver, sender) = io::pipe()?;
        let mut child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(OwnedFd::from(receiver))
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().ok_or_else(|| io::Error::other("the program ended at once"))?;
        let message = child.stdin.take();
        let addresses = pipe::Sender::from_owned_fd(OwnedFd::from(sender))?;
        Ok(QmailQueue { child, message, addresses, envelope: in_bytes(envelope), buffer: Vec::new(), pid })
    }

    /// The program's process, which is qmail's number for the message.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    pub(super) fn is_full(&self) -> bool {
        self.buffer.len() >= BUFFER_BYTES
    }

    pub(super) async fn flush(&mut self) -> io::Result<()> {
        let Some(message) = &mut self.message else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        within(message.write_all(&self.buffer)).await?;
        self.buffer.clear();
        Ok(())
    }

    /// Gives the rest and the envelope, and waits for the program's word.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn finish(mut self) -> io::Result<StoreAnswer> {
        // A program that ends early says why by its code; the broken pipe says less.
        let given = async {
            self.flush().await?;
            self.message = None;
            within(self.addresses.write_all(&self.envelope)).await
        };
        let given = given.await;
        drop(self.addresses);
        drop(self.message);
        let status = within(self.child.wait()).await?;
        match (status.code(), given) {
            (Some(0), Ok(())) => Ok(StoreAnswer::Stored),
            (Some(0), Err(error)) => Err(error),
            (Some(code), _) => Ok(refusal(code)),
            (None, _) => Ok(StoreAnswer::PutOff("qq crashed (#4.3.0)")),
        }
    }
}

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// qmail's own addresses have no quoting.
fn in_bytes(envelope: &Envelope) -> Vec<u8> {
    let plain = |mailbox: &crate::mailbox::Mailbox| format!("{}@{}", mailbox.local(), mailbox.domain());
    let mut bytes = vec![b'F'];
    bytes.extend(envelope.sender.as_ref().map(plain).unwrap_or_default().bytes());
    bytes.push(0);
    for recipient in &envelope.recipients {
        bytes.push(b'T');
        bytes.extend(plain(recipient).bytes());
        bytes.push(0);
    }
    bytes.push(0);
    bytes
}

/// What an exit code means (qmail.c:qmail_close).
fn refusal(code: i32) -> StoreAnswer {
    match code {
        11 | 115 => StoreAnswer::Refused("envelope address too long for qq (#5.1.3)"),
        31 => StoreAnswer::Refused("mail server permanently rejected message (#5.3.0)"),
        12..=40 => StoreAnswer::Refused("qq permanent problem (#5.3.0)"),
        51 => StoreAnswer::PutOff("qq out of memory (#4.3.0)"),
        52 => StoreAnswer::PutOff("qq timeout (#4.3.0)"),
        53 => StoreAnswer::PutOff("qq write error or disk full (#4.3.0)"),
        54 => StoreAnswer::PutOff("qq read error (#4.3.0)"),
        55 => StoreAnswer::PutOff("qq unable to read configuration (#4.3.0)"),
        56 => StoreAnswer::PutOff("qq trouble making network connection (#4.3.0)"),
        61 => StoreAnswer::PutOff("qq trouble in home directory (#4.3.0)"),
        62..=66 => StoreAnswer::PutOff("qq trouble creating files in queue (#4.3.0)"),
        71 => StoreAnswer::PutOff("mail server temporarily rejected message (#4.3.0)"),
        72 => StoreAnswer::PutOff("connection to mail server timed out (#4.4.1)"),
        73 => StoreAnswer::PutOff("connection to mail server rejected (#4.4.1)"),
        74 => StoreAnswer::PutOff("communication with mail server failed (#4.4.2)"),
        81 | 91 => StoreAnswer::PutOff("qq internal bug (#4.3.0)"),
        120 => StoreAnswer::PutOff("unable to exec qq (#4.3.0)"),
        _ => StoreAnswer::PutOff("qq temporary problem (#4.3.0)"),
    }
}
