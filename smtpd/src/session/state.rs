//! Where a session stands: what is awaited, and of whom.

use crate::dsn::{Wish, Wishes};
use crate::mailbox::Mailbox;
use crate::session::blame::Blame;
use crate::session::chunk::Chunk;
use crate::session::inquest::{Inquest, Step};
use crate::session::login::{Dialogue, Fetching, Login};
use crate::session::message::{Opening, Reception};
use crate::session::plugins::Consulted;

/// What is awaited.
#[derive(Debug)]
pub(super) enum State {
    /// The client waits to be greeted.
    Greeting,
    /// A command is awaited.
    Command,
    /// The answer to a challenge is awaited.
    Auth(Dialogue),
    /// The message is awaited.
    Data(Box<Reception>),
    /// A chunk of the message is awaited.
    Chunk(Box<Chunk>),
    /// The loop was asked something, and has the word.
    Waiting(Waiting),
    /// The loop makes the handshake.
    Handshake,
    /// Nothing happens any more.
    Closed,
}

/// What the loop was asked for.
#[derive(Debug)]
pub(super) enum Waiting {
    /// Whether a password is right.
    Password(Login),
    /// What SCRAM needs.
    Credential(Box<Fetching>),
    /// Whether there is such a mailbox.
    Recipient(Mailbox),
    /// Whether mail may go to this recipient elsewhere.
    Relayed(Mailbox),
    /// What a blocklist says of the client, for this recipient.
    Blocklist { mailbox: Mailbox, zone: usize },
    /// What is known of the client or the sender, for this recipient.
    Inquiry { mailbox: Mailbox, step: Step },
    /// What the administrator's programs say.
    Plugins(Consulted),
    /// To open a message.
    Open(Opening),
    /// To store the message.
    Store(Box<Reception>),
}

/// Whether the client was offered enhanced codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Enhanced {
    Offered,
    NotOffered,
}

/// What MAIL began.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) sender: Option<Mailbox>,
    pub(super) recipients: Vec<Mailbox>,
    /// What was found out about the sender.
    pub(super) inquest: Inquest,
    /// One of the recipients was bad.
    pub(super) is_spoilt: bool,
    /// What the message will be refused for.
    pub(super) blames: Vec<Blame>,
    pub(super) wishes: Wishes,
    /// What came with the recipient that is being looked at.
    pub(super) wish: Wish,
    pub(super) smtputf8: bool,
    /// Length of all addresses together.
    pub(super) envelope_bytes: usize,
}
