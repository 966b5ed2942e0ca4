//! qmail-queue: the door through which qmail and all its filters take mail (qmail-queue(8), qmail.c).
//!
//! The message goes to the program's descriptor 0, the envelope (`F`, sender, `T`, recipient, each with a NUL) to its
//! descriptor 1; its exit code says what became of it, and its text, on a descriptor of its own, in which words.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use command_fds::{CommandFdExt as _, FdMapping};
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

use crate::aside::Aside;
use crate::session::{Envelope, StoreAnswer};

/// What is kept in memory before the program gets it.
const BUFFER_BYTES: usize = 64 * 1024;

/// Longest wait for the program to take a piece, or to end. qmail-queue gives up after a day; no client waits so long.
const PATIENCE: Duration = Duration::from_secs(600);

/// Where a program may say in its own words why it does not take a message: 4 in the combined patch of today, 6 in others.
const WORDS: [i32; 2] = [4, 6];

/// What names another descriptor for that.
const WORDS_VARIABLE: &str = "ERROR_FD";

/// A program that is taking a message. Dropped, it is ended before it has the envelope, so it keeps nothing.
#[derive(Debug)]
pub struct QmailQueue {
    child: Child,
    message: Option<ChildStdin>,
    addresses: pipe::Sender,
    aside: Aside,
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
        let (aside, words) = Aside::open()?;
        let mut command = Command::new(program);
        command
            .stdin(Stdio::piped())
            .stdout(OwnedFd::from(receiver))
            .kill_on_drop(true)
            .fd_mappings(mappings(&words)?)
            .map_err(io::Error::other)?;
        let mut child = command.spawn()?;
        // The program's ends of the pipes stand in the command until that is gone.
        drop((command, words));
        let pid = child.id().ok_or_else(|| io::Error::other("the program ended at once"))?;
        let message = child.stdin.take();
        let addresses = pipe::Sender::from_owned_fd(OwnedFd::from(sender))?;
        let envelope = in_bytes(envelope);
        Ok(QmailQueue { child, message, addresses, aside, envelope, buffer: Vec::new(), pid })
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
        let (status, words) = within(self.aside.until_end(&mut self.child)).await?;
        match (status.code(), given) {
            (Some(0), Ok(())) => Ok(StoreAnswer::Stored),
            (Some(0), Err(error)) => Err(error),
            (Some(code @ (82 | 88)), _) => Ok(in_its_words(&words).unwrap_or_else(|| refusal(code))),
            (Some(code), _) => Ok(refusal(code)),
            (None, _) => Ok(StoreAnswer::PutOff("qq crashed (#4.3.0)".into())),
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

/// The program's words come on each of the descriptors that one or another of qmail's patches has for them.
fn mappings(words: &OwnedFd) -> io::Result<Vec<FdMapping>> {
    let named = std::env::var(WORDS_VARIABLE).ok().and_then(|number| number.parse().ok());
    // 0 and 1 are taken, and no program has a descriptor beyond these.
    let named = named.filter(|number| (2..=9).contains(number) && !WORDS.contains(number));
    let all = WORDS.into_iter().chain(named);
    all.map(|child_fd| Ok(FdMapping { parent_fd: words.try_clone()?, child_fd })).collect()
}

/// A text behind `D` refuses, one behind `Z` puts off.
fn in_its_words(words: &str) -> Option<StoreAnswer> {
    let (verdict, text) = words.split_at_checked(1)?;
    if text.trim().is_empty() {
        return None;
    }
    match verdict {
        "D" => Some(StoreAnswer::Refused(text.to_owned().into())),
        "Z" => Some(StoreAnswer::PutOff(text.to_owned().into())),
        _ => None,
    }
}

/// What an exit code means (qmail.c:qmail_close).
fn refusal(code: i32) -> StoreAnswer {
    match code {
        11 | 115 => StoreAnswer::Refused("envelope address too long for qq (#5.1.3)".into()),
        31 => StoreAnswer::Refused("mail server permanently rejected message (#5.3.0)".into()),
        12..=40 => StoreAnswer::Refused("qq permanent problem (#5.3.0)".into()),
        51 => StoreAnswer::PutOff("qq out of memory (#4.3.0)".into()),
        52 => StoreAnswer::PutOff("qq timeout (#4.3.0)".into()),
        53 => StoreAnswer::PutOff("qq write error or disk full (#4.3.0)".into()),
        54 => StoreAnswer::PutOff("qq read error (#4.3.0)".into()),
        55 => StoreAnswer::PutOff("qq unable to read configuration (#4.3.0)".into()),
        56 => StoreAnswer::PutOff("qq trouble making network connection (#4.3.0)".into()),
        61 => StoreAnswer::PutOff("qq trouble in home directory (#4.3.0)".into()),
        62..=66 => StoreAnswer::PutOff("qq trouble creating files in queue (#4.3.0)".into()),
        71 => StoreAnswer::PutOff("mail server temporarily rejected message (#4.3.0)".into()),
        72 => StoreAnswer::PutOff("connection to mail server timed out (#4.4.1)".into()),
        73 => StoreAnswer::PutOff("connection to mail server rejected (#4.4.1)".into()),
        74 => StoreAnswer::PutOff("communication with mail server failed (#4.4.2)".into()),
        81 | 91 => StoreAnswer::PutOff("qq internal bug (#4.3.0)".into()),
        120 => StoreAnswer::PutOff("unable to exec qq (#4.3.0)".into()),
        _ => StoreAnswer::PutOff("qq temporary problem (#4.3.0)".into()),
    }
}
