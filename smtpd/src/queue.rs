//! The queue: messages that were accepted and not delivered yet.
//!
//! A message is in one of these states, and in no other:
//!
//! | files | state |
//! |---|---|
//! | `tmp/N` | coming in; nobody was told that it is safe. Removed at the next start |
//! | `msg/N` | accepted: synced under that name before `250` was said. No recipient has it yet |
//! | `msg/N`, `state/N` | accepted; `state/N` says which recipients have it, and when the others are tried again |
//!
//! `msg/N` is one line of JSON, the envelope, and behind it the message. A crash between a delivery and the note of it
//! delivers a second time; nothing delivers not at all.

mod bounce;
mod courier;
mod dispatch;
mod dropbox;
mod maildir;
mod numbers;
mod order;
mod parcel;
mod program;
mod remote;
mod reply;
mod report;
mod route;
mod signature;
mod smtproutes;
mod spool;
mod store;

use logline::Timestamp;
use serde::{Deserialize, Serialize};

use crate::session::Envelope;

pub use courier::{Courier, Delivering, OwnQueue, QueueHandle, Renewal};
pub use dropbox::Dropbox;
pub use order::{Order, OrderError, orders_wait};
pub use parcel::Parcel;
pub use program::{Program, QmailQueue};
pub use route::Router;
pub use smtproutes::{Route, Routes, Way};
pub use spool::Spool;
pub use store::{Store, StoreError, read as read_message, scan, text as read_text};

/// The queue's number for a message, which is also what `250 ok` calls qp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(pub u32);

impl std::fmt::Display for MessageId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A message of the queue, without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its number.
    pub id: MessageId,
    /// Who sent it to whom, when, from where.
    pub envelope: Envelope,
    /// Its length as stored.
    pub size_bytes: u64,
    /// Its own identifier, without the angle brackets.
    pub message_id: Option<Vec<u8>>,
    /// How far it got.
    pub state: State,
}

/// How far a message got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// What became of each recipient, in the envelope's order.
    pub recipients: Vec<Fate>,
    /// How often delivery was tried.
    pub attempts: u32,
    /// When those that wait are tried.
    pub next: Timestamp,
    /// Whether the sender was told that it takes long.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub delay_told: bool,
}

/// What became of one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// Not delivered yet.
    Pending,
    /// Delivered.
    Delivered,
    /// Given to a server that tells the sender of its delivery itself, where that is wanted.
    Passed,
    /// Given to a server that tells of failures alone.
    Relayed,
    /// Never to be delivered; the sender is to be told.
    Failed {
        /// Why, for the sender.
        report: String,
    },
}

impl State {
    /// A message that nobody has tried to deliver.
    pub fn new(envelope: &Envelope) -> Self {
        State {
            recipients: vec![Fate::Pending; envelope.recipients.len()],
            attempts: 0,
            next: envelope.received,
            delay_told: false,
        }
    }
}
