//! What passes between the queue's mind and the loop around it.

use logline::{Channel, Record};

use crate::dsn::{Return, Wish};
use crate::mailbox::Mailbox;
use crate::queue::report::Report;
use crate::queue::{Message, MessageId, State};

/// What moves the queue.
#[derive(Debug)]
pub(in crate::queue) enum Input {
    /// A message came, or was found at the start.
    Queued(Box<Message>, Origin),
    /// A delivery ended.
    Finished(u64, Outcome),
    /// The bounce that was asked for is in the queue.
    Bounced(MessageId, MessageId),
    /// It is not.
    BounceFailed(MessageId),
    /// Time has passed.
    Tick,
    /// The administrator wants it tried now.
    Retry(MessageId),
    /// The administrator wants it gone.
    Remove(MessageId),
}

/// Where a message comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::queue) enum Origin {
    /// It is new.
    Accepted,
    /// It was in the queue when the server started.
    Restored,
}

/// How a delivery ended, and what is said about it, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::queue) enum Outcome {
    Delivered(String),
    /// Another server has it, and tells the sender of its delivery.
    Passed(String),
    /// Another server has it, and tells the sender of a failure alone.
    Relayed(String),
    Deferred(String),
    Failed(String),
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::queue) enum Output {
    Fact(Record<'static>),
    Start(Job),
    /// The state is to be written down, so that nobody gets the message twice.
    Save(MessageId, State),
    /// The sender is to be told of these recipients; the message ends with that.
    Bounce(MessageId, Vec<Report>),
    /// The sender is to be told of these recipients, which are tried again.
    Tell(MessageId, Vec<Report>),
    /// A bounce cannot be delivered; there is nobody to tell but the administrator.
    DoubleBounce(MessageId),
    /// The message is done with.
    Remove(MessageId),
}

/// One delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::queue) struct Job {
    pub(in crate::queue) delivery: u64,
    pub(in crate::queue) message: MessageId,
    pub(in crate::queue) sender: Option<Mailbox>,
    pub(in crate::queue) recipient: Mailbox,
    pub(in crate::queue) channel: Channel,
    /// RET and ENVID, for a server that takes them.
    pub(in crate::queue) ret: Option<Return>,
    pub(in crate::queue) envid: Option<String>,
    pub(in crate::queue) wish: Wish,
    /// Whether only a server with SMTPUTF8 may have it.
    pub(in crate::queue) smtputf8: bool,
}
