//! What the control socket asks of the engine's thread. Questions go through one bounded queue; each brings the way
//! back for its answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use logline::Timestamp;
use tokio::sync::oneshot;

use crate::control::Wake;
use crate::control::api::{
    AskedList, Bans, ExplainRequest, Explained, Filter, JailList, Message, Quotas, Refusal, Status,
    SubjectsRequest, Tested, Why,
};
use crate::engine::{Allowance, Lease};
use crate::jail::JailName;
use crate::subject::{Network, Subject};

/// So many questions may wait; more are told to come again.
const WAITING_MAX: usize = 64;

/// Who has the rest of a long request to send looks again so often whether there is room.
const ROOM_AGAIN: Duration = Duration::from_millis(2);

/// A question, and the way back for its answer.
#[derive(Debug)]
pub enum Command {
    /// How it goes.
    Status(oneshot::Sender<Status>),
    /// Who is banned, as far as the filter says, in one part of the table; none behind its last part.
    List(usize, Arc<Filter>, oneshot::Sender<Option<Listed>>),
    /// All about a subject but the evidence, which is in the database.
    Why(Subject, oneshot::Sender<Why>),
    /// Whether the firewall keeps an address out.
    Test(IpAddr, oneshot::Sender<Result<Tested, Message>>),
    /// Ban.
    Ban(Portion<Network>, Arc<BanTerms>, oneshot::Sender<Done>),
    /// Lift what bans these have.
    Unban(Portion<Subject>, oneshot::Sender<Done>),
    /// Lift these bans.
    Lift(Portion<(Subject, JailName)>, oneshot::Sender<Done>),
    /// The exemptions by hand.
    Allowed(oneshot::Sender<AllowDone>),
    /// Exempt.
    Allow(Portion<Network>, Arc<AllowTerms>, oneshot::Sender<AllowDone>),
    /// Exempt no longer.
    Disallow(Portion<Network>, oneshot::Sender<AllowDone>),
    /// Bans that wait for a word.
    Asked(oneshot::Sender<AskedList>),
    /// The word.
    Confirm(SubjectsRequest, oneshot::Sender<Bans>),
    /// The budgets.
    Quota(oneshot::Sender<Quotas>),
    /// What an event would be to every jail.
    Explain(ExplainRequest, oneshot::Sender<Result<Explained, Message>>),
    /// The jails.
    Jails(oneshot::Sender<JailList>),
    /// Read the configuration again.
    Reload(oneshot::Sender<Result<Message, Message>>),
    /// Bring the exported values up to date.
    Publish(oneshot::Sender<()>),
    /// Say when all that happened until now is written.
    Flush(SyncSender<()>),
}

/// As many of those whom a request is about as are dealt with in one go. Lines are read between one and the next.
#[derive(Clone, Debug)]
pub struct Portion<T> {
    /// Those.
    pub items: Vec<T>,
    /// How each is told.
    pub news: Telling,
}

/// How what comes of a request is told to whoever listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// Each by itself.
    Each,
    /// They are so many that a number is told.
    Number,
}

/// How somebody is banned by hand.
#[derive(Clone, Debug)]
pub struct BanTerms {
    /// For how long.
    pub length: Duration,
    /// As if this jail had.
    pub jail: JailName,
    /// Why.
    pub reason: Option<String>,
}

/// How somebody is exempt by hand.
#[derive(Clone, Debug)]
pub struct AllowTerms {
    /// For how long; without end where it is none.
    pub length: Option<Duration>,
    /// Why.
    pub note: Option<String>,
}

/// Some of those who are banned.
#[derive(Clone, Debug)]
pub struct Listed {
    /// When that was so.
    pub at: Timestamp,
    /// They.
    pub bans: Vec<(Subject, Lease)>,
}

/// Bans that were made or lifted, and what was not done.
#[derive(Clone, Debug)]
pub struct Done {
    /// When.
    pub at: Timestamp,
    /// These.
    pub bans: Vec<(Subject, Lease)>,
    /// Whom it did not concern, and why.
    pub refused: Vec<Refusal>,
}

/// Exemptions that were made or taken back, and what was not done.
#[derive(Clone, Debug, Default)]
pub struct AllowDone {
    /// These.
    pub allowed: Vec<(Network, Allowance)>,
    /// Whom it did not concern, and why.
    pub refused: Vec<Refusal>,
}

/// The way to the engine's thread.
#[derive(Clone, Debug)]
pub struct Commands {
    sender: SyncSender<Command>,
    wake: Wake,
}

/// The engine cannot be asked now: it ends, or too many ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many questions at once; try again")]
pub struct Busy;

impl Commands {
    /// The two ends of the queue; `wake` wakes the one that answers.
    pub fn channel(wake: Wake) -> (Commands, Receiver<Command>) {
        let (sender, receiver) = sync_channel(WAITING_MAX);
        (Commands { sender, wake }, receiver)
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// The engine cannot be asked now.
    pub async fn ask<A>(&self, question: impl FnOnce(oneshot::Sender<A>) -> Command) -> Result<A, Busy> {
        let (back, answer) = oneshot::channel();
        self.send(question(back))?;
        answer.await.map_err(|_| Busy)
    }

    /// Puts a question into the queue.
    ///
    /// # Errors
    /// The queue is full, or nobody reads it any more.
    pub fn send(&self, command: Command) -> Result<(), Busy> {
        let sent = self.sender.try_send(command);
        self.wake.wake();
        sent.map_err(|error| match error {
            TrySendError::Full(_) | TrySendError::Disconnected(_) => Busy,
        })
    }

    /// Puts a question into the queue as soon as there is room; what was begun is not left half done because others ask.
    ///
    /// # Errors
    /// Nobody reads the queue any more.
    pub async fn put<A>(
        &self,
        question: impl FnOnce(oneshot::Sender<A>) -> Command,
    ) -> Result<oneshot::Receiver<A>, Busy> {
        let (back, answer) = oneshot::channel();
        let mut command = question(back);
        loop {
            let sent = self.sender.try_send(command);
            self.wake.wake();
            command = match sent {
                Ok(()) => return Ok(answer),
                Err(TrySendError::Full(kept)) => kept,
                Err(TrySendError::Disconnected(_)) => return Err(Busy),
            };
            tokio::time::sleep(ROOM_AGAIN).await;
        }
    }
}
