//! Call-forward: the host that gets a domain's mail is asked whether it would take a recipient, by beginning a message that
//! is never sent. What it said is remembered, so that it is not asked for each spam anew.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::config::HostPort;
use crate::mailbox::Mailbox;
use crate::session::RecipientAnswer;

/// How long the whole conversation may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Conversations at once: the host has better things to do.
const TALKS_MAX: usize = 20;

/// How long an answer holds.
const KNOWN_FOR: Duration = Duration::from_secs(3600);
/// A new mailbox is to be found soon.
const UNKNOWN_FOR: Duration = Duration::from_secs(300);

/// Answers that are remembered; the oldest go first.
const REMEMBERED_MAX: usize = 10_000;

/// Bytes of a reply that are read.
const REPLY_BYTES_MAX: u64 = 8192;

/// One host.
#[derive(Debug)]
pub struct CallForward {
    host: HostPort,
    hostname: String,
    talks: Semaphore,
    memory: Mutex<Memory>,
    patience: Duration,
}

#[derive(Debug, Default)]
struct Memory {
    answers: HashMap<String, (Instant, RecipientAnswer)>,
    order: VecDeque<String>,
}

impl CallForward {
    /// A host that is asked by the name of this one.
    pub fn new(host: HostPort, hostname: &str) -> Self {
        CallForward {
            host,
            hostname: hostname.to_owned(),
            talks: Semaphore::new(TALKS_MAX),
            memory: Mutex::default(),
            patience: PATIENCE,
        }
    }

    /// The same, whose conversations may take so long.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        CallForward { patience, ..self }
    }

    pub(super) async fn look_up(&self, mailbox: &Mailbox) -> RecipientAnswer {
        let address = mailbox.to_string();
        let key = address.to_ascii_lowercase();
        if let Some(answer) = self.memory().get(&key, Instant::now()) {
            return answer;
        }
        let Ok(_permit) = self.talks.acquire().await else {
            return RecipientAnswer::Unavailable;
        };
        let answer = match timeout(self.patience, self.ask(&address)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                tracing::warn!(host = self.host.host, %error, "cannot ask a host for a recipient");
                RecipientAnswer::Unavailable
            }
            Err(_) => RecipientAnswer::Unavailable,
        };
        let holds = match answer {
            RecipientAnswer::Known => KNOWN_FOR,
            RecipientAnswer::Unknown => UNKNOWN_FOR,
            _ => return answer,
        };
        self.memory().put(key, Instant::now() + holds, answer.clone());
        answer
    }

    async fn ask(&self, address: &str) -> std::io::Result<RecipientAnswer> {
        let stream = TcpStream::connect((self.host.host.as_str(), self.host.port)).await?;
        let mut talk = BufReader::new(stream);
        let hello = format!("HELO {}", self.hostname);
        for command in ["", hello.as_str(), "MAIL FROM:<>"] {
            if !matches!(say(&mut talk, command).await?, 200..=299) {
                return Ok(RecipientAnswer::Unavailable);
            }
        }
        let answer = match say(&mut talk, &format!("RCPT TO:<{address}>")).await? {
            200..=299 => RecipientAnswer::Known,
            500..=599 => RecipientAnswer::Unknown,
            _ => RecipientAnswer::Unavailable,
        };
        // It has said what it knows; whether it hears the farewell changes nothing.
        let _ = talk.get_mut().write_all(b"QUIT\r\n").await;
        Ok(answer)
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        // A panic elsewhere leaves at worst an answer that is asked for again.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says a command, or nothing, and hears the code of the reply.
async fn say(talk: &mut BufReader<TcpStream>, command: &str) -> std::io::Result<u16> {
    if !command.is_empty() {
        talk.get_mut().write_all(format!("{command}\r\n").as_bytes()).await?;
    }
    let mut reply = talk.take(REPLY_BYTES_MAX);
    loop {
        let mut line = Vec::new();
        reply.read_until(b'\n', &mut line).await?;
        let code = line.get(..3).and_then(|code| std::str::from_utf8(code).ok()?.parse().ok());
        match (code, line.get(3)) {
            (Some(code), Some(b' ' | b'\r' | b'\n')) => return Ok(code),
            (Some(_), Some(b'-')) => {}
            _ => return Err(std::io::ErrorKind::InvalidData.into()),
        }
    }
}

impl Memory {
    fn get(&self, key: &str, now: Instant) -> Option<RecipientAnswer> {
        self.answers.get(key).filter(|(until, _)| *until > now).map(|(_, answer)| answer.clone())
    }

    fn put(&mut self, key: String, until: Instant, answer: RecipientAnswer) {
        if self.answers.insert(key.clone(), (until, answer)).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > REMEMBERED_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.answers.remove(&oldest);
            }
        }
    }
}
