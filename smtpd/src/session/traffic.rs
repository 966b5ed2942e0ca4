//! What passes between a session and the loop around it: inputs, outputs, questions and their answers.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use logline::{Fingerprint, Record};

use crate::blocklist::LookUp;
use crate::mailbox::Mailbox;
use crate::rules::PluginOpinion;
use crate::session::{Consultation, CredentialAnswer, Envelope, Finding, Handshake, Inquiry, Secret};

/// What a session reacts to.
#[derive(Debug)]
pub enum Input<'a> {
    /// The connection is open.
    Connected,
    /// The client sent something.
    Bytes(&'a [u8]),
    /// What came before has been carried out: answer to [`Output::More`].
    Resume,
    /// The client is gone.
    Gone(Gone),
    /// [`Session::deadline`](crate::session::Session::deadline) passed.
    Timeout,
    /// The server is being stopped.
    Shutdown,
    /// The handshake is done.
    TlsDone(Box<Handshake>),
    /// The handshake failed.
    TlsFailed,
    /// Answer to [`Ask::Password`] and [`Ask::Response`].
    Password(PasswordAnswer),
    /// Answer to [`Ask::Credential`].
    Credential(CredentialAnswer),
    /// Answer to [`Ask::Recipient`] and [`Ask::Relayed`].
    Recipient(RecipientAnswer),
    /// Answer to [`Ask::Blocklist`].
    Blocklist(LookUp),
    /// Answer to [`Ask::Inquire`].
    Inquired(Finding),
    /// Answer to [`Ask::Plugins`].
    Plugins(PluginOpinion),
    /// Answer to [`Ask::Open`].
    Opened(OpenAnswer),
    /// Answer to [`Ask::Store`].
    Stored(StoreAnswer),
}

/// What a session wants done, in this order.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// To be sent. May wait for the end of the batch, but for no answer and no pause.
    Reply(Vec<u8>),
    /// To be noted, before any reply that follows.
    Fact(Record<'static>),
    /// To be answered. Always the last of its batch.
    Ask(Ask),
    /// To be appended to the message that was opened.
    Body(Vec<u8>),
    /// The opened message is not wanted any more.
    Discard,
    /// Nothing is to be done for so long.
    Pause(Duration),
    /// The handshake is to be made. Always the last of its batch.
    StartTls,
    /// There is more to be said of what came, once this is done. Always the last of its batch.
    More,
    /// The connection is to be closed. Always the last of all.
    Close(End),
}

/// What a session needs to know from outside.
#[derive(Debug, PartialEq, Eq)]
pub enum Ask {
    /// Is this the user's password?
    Password {
        /// The user, as the client gave it.
        user: Vec<u8>,
        /// The password, which never reaches a log.
        password: Secret,
    },
    /// Is this the response of the user's password to that challenge (RFC 2195)?
    Response {
        /// The user, as the client gave it.
        user: Vec<u8>,
        /// What the client was sent.
        challenge: String,
        /// 32 hexadecimal digits in lower case.
        response: Secret,
    },
    /// What proves this user's password, for SCRAM?
    Credential {
        /// The user, as the client gave it.
        user: Vec<u8>,
    },
    /// Does this mailbox of ours exist?
    Recipient(Mailbox),
    /// May this client send to a recipient elsewhere, by the programs that want to know?
    Relayed(Mailbox),
    /// What does a blocklist say of this client?
    Blocklist {
        /// Which list, by its place in [`Policy::blocklists`](crate::session::Policy::blocklists).
        zone: usize,
        /// The client.
        address: IpAddr,
    },
    /// What do name servers say of a client or a sender?
    Inquire(Inquiry),
    /// What do the administrator's programs say?
    Plugins(Consultation),
    /// Will the queue take a message? It stands under the number that the answer gives.
    Open(Envelope),
    /// The message is whole: is it safe on disk?
    Store,
}

/// Answer to [`Ask::Password`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordAnswer {
    /// It is.
    Right,
    /// It is not, or there is no such user.
    Wrong(Fingerprint),
    /// It is not, and nobody has seen it.
    WrongProof,
    /// It could not be checked.
    Unavailable,
}

/// Answer to [`Ask::Recipient`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RecipientAnswer {
    /// It exists.
    #[default]
    Known,
    /// It does, and nothing more fits into its mailbox.
    Full,
    /// It does not.
    Unknown,
    /// Nobody can say now.
    Unavailable,
    /// Nobody is asked: mail for its domain is delivered elsewhere, or all of it is taken.
    AnyOfDomain,
    /// It stands in the list of those that are valid.
    Valid,
    /// It does not, or stands there as one that is not.
    NotValid,
    /// The program that checks recipients takes it.
    Checked,
    /// That program does not.
    Refused,
    /// That program says that the sender sends too much.
    Overlimit,
    /// That program could not find out.
    CannotVerify,
    /// That program could not be run.
    CannotExecute,
    /// That program refuses it in its own words.
    Said(OwnWords),
}

/// A refusal in the words of the program that decided it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnWords {
    /// The reply's code, from 400 to 599.
    pub code: u16,
    /// The reply, printable.
    pub text: String,
}

impl OwnWords {
    /// Reads a line such as `550 no such user`; `None` where it is no refusal.
    pub fn parse(line: &str) -> Option<Self> {
        let (code, text) = line.split_once(' ')?;
        let code = code.parse().ok().filter(|code| (400..600).contains(code))?;
        let is_text = !text.is_empty() && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        is_text.then(|| OwnWords { code, text: text.to_owned() })
    }
}

/// Answer to [`Ask::Open`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenAnswer {
    /// Yes, as this number.
    Open {
        /// The queue's number for the message.
        qp: u32,
    },
    /// Not now.
    Closed,
}

/// Answer to [`Ask::Store`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreAnswer {
    /// The message is on disk, synced.
    Stored,
    /// It is not.
    Failed,
    /// The queue's program takes it later, perhaps, and says so in these words.
    PutOff(Cow<'static, str>),
    /// The queue's program never takes it.
    Refused(Cow<'static, str>),
}

/// How a client went away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It closed the connection, or the network did.
    Closed,
    /// TLS broke.
    TlsBroken,
    /// It took no reply for too long.
    Deaf,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As agreed.
    Clean,
    /// One side gave up.
    GaveUp,
}

impl End {
    /// The wait status that tcpserver would have logged for qmail-smtpd.
    pub const fn status(self) -> u32 {
        match self {
            End::Clean => 0,
            End::GaveUp => 256,
        }
    }
}
