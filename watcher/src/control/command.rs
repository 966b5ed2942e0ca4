//! What the control socket asks of the engine's thread. Questions go through one bounded queue; each brings the way
//! back for its answer.

use std::net::IpAddr;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use logline::Timestamp;
use tokio::sync::oneshot;

use crate::control::Wake;
use crate::control::api::{
    AllowRequest, Allows, AskedList, BanRequest, Bans, ExplainRequest, Explained, Filter, JailList, Message,
    Quotas, Status, SubjectsRequest, Tested, UnbanRequest, Why,
};
use crate::engine::Lease;
use crate::subject::Subject;

/// So many questions may wait; more are told to come again.
const WAITING_MAX: usize = 64;

/// A question, and the way back for its answer.
#[derive(Debug)]
pub enum Command {
    /// How it goes.
    Status(oneshot::Sender<Status>),
    /// Who is banned, as far as the filter says, in no order; and when that was so.
    List(Filter, oneshot::Sender<(Timestamp, Vec<(Subject, Lease)>)>),
    /// All about a subject but the evidence, which is in the database.
    Why(Subject, oneshot::Sender<Why>),
    /// Whether the firewall keeps an address out.
    Test(IpAddr, oneshot::Sender<Result<Tested, Message>>),
    /// Ban.
    Ban(BanRequest, oneshot::Sender<Bans>),
    /// Unban.
    Unban(UnbanRequest, oneshot::Sender<Bans>),
    /// The exemptions by hand.
    Allowed(oneshot::Sender<Allows>),
    /// Exempt.
    Allow(AllowRequest, oneshot::Sender<Allows>),
    /// Exempt no longer.
    Disallow(SubjectsRequest, oneshot::Sender<Allows>),
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
}
