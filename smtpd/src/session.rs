//! One SMTP session: what comes in, what follows from it. No socket, no clock, no file.
//!
//! [`Session::handle`] takes one [`Input`] and the time and says in order what it wants done. Where it cannot go on
//! without an answer it asks ([`Output::Ask`]) and reads no further until that answer is fed back, so the result does
//! not depend on how TCP split the client's bytes.
//!
//! Replies are qmail-smtpd's; the order of the checks is that of sagredo's patch.

mod blame;
mod blocked;
mod body;
mod checks;
mod chunk;
mod command;
mod conduct;
mod envelope;
mod fact;
mod grant;
mod greeting;
mod handshake;
mod inquest;
mod line;
mod login;
mod message;
mod policy;
mod rejection;
mod relay;
mod reply;
mod traffic;

use std::net::IpAddr;
use std::sync::Arc;

use logline::{Encryption, Record, SmtpdEvent, Timestamp};

use crate::dsn::{Wish, Wishes};
use crate::mailbox::Mailbox;
use crate::recipients::Context;

use blame::Blame;
use blocked::Standing;
use body::Body;
use chunk::Chunk;
use command::{Command, Refused, Subject};
use conduct::Conduct;
use fact::About;
use inquest::{Inquest, Step};
use line::{Expected, Line, Pending};
use login::{Dialogue, Fetching, Login};
use message::{Opening, Reception};

pub use body::BareNewline;
pub use grant::{Grant, Verdict};
pub use handshake::{Client, Handshake};
pub use inquest::{Finding, Inquiry, MailDomain};
pub use line::AUTH_BYTES_MAX;
pub use login::{AuthRules, CredentialAnswer, NonceKey, Secret};
pub use message::Envelope;
pub(crate) use message::date;
pub use policy::{Limits, Peer, Policy, Service};
pub use rejection::{Answer, Rejection};
pub use traffic::{
    Ask, End, Gone, Input, OpenAnswer, Output, OwnWords, PasswordAnswer, RecipientAnswer, StoreAnswer,
};

/// Outputs of one batch, but for those of its last command.
const BATCH_OUTPUTS_MAX: usize = 24;

/// Bytes of commands that one batch is about, but for its last: what they say stands in what is noted of them.
const BATCH_BYTES_MAX: usize = 4096;

/// One session of one client.
#[derive(Debug)]
pub struct Session {
    policy: Arc<Policy>,
    peer: Peer,
    state: State,
    pending: Pending,
    /// What HELO or EHLO said.
    helo: Option<Vec<u8>>,
    /// Enhanced codes are offered by EHLO alone (RFC 2034 §3).
    enhanced: Enhanced,
    encryption: Option<Encryption>,
    /// What the handshake told; nothing before it.
    handshake: Handshake,
    login: Option<Login>,
    transaction: Option<Transaction>,
    /// A message of which chunks have come, and the last has not.
    chunks: Option<Box<Reception>>,
    /// The last address that was parsed, for the sentences that name it.
    last_address: Option<Vec<u8>>,
    standing: Standing,
    /// AUTH came, and no known command since.
    secrets_may_follow: bool,
    conduct: Conduct,
    errors: u32,
    /// Commands that served no message, since the last one.
    idle_commands: u32,
    /// Recipients that were put off since then.
    deferred_recipients: u32,
    leaving: bool,
    /// When the client was last given the word.
    since: Timestamp,
}

#[derive(Debug)]
enum State {
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
enum Waiting {
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
    /// To open a message.
    Open(Opening),
    /// To store the message.
    Store(Box<Reception>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Enhanced {
    Offered,
    NotOffered,
}

/// What MAIL began.
#[derive(Debug)]
struct Transaction {
    sender: Option<Mailbox>,
    recipients: Vec<Mailbox>,
    /// What was found out about the sender.
    inquest: Inquest,
    /// One of the recipients was bad.
    is_spoilt: bool,
    /// What the message will be refused for.
    blames: Vec<Blame>,
    wishes: Wishes,
    /// What came with the recipient that is being looked at.
    wish: Wish,
    smtputf8: bool,
    /// Length of all addresses together.
    envelope_bytes: usize,
}

/// A connection that never becomes a session: what is said and what is noted.
#[derive(Debug)]
pub struct Refusal {
    /// To be sent.
    pub reply: Vec<u8>,
    /// To be noted.
    pub fact: Record<'static>,
}

/// Refuses a connection before it is a session.
pub fn refusal(policy: &Arc<Policy>, peer: Peer, rejection: Rejection) -> Refusal {
    let session = Session::new(Arc::clone(policy), peer, Timestamp::default());
    let Answer { code, text, .. } = rejection.answer();
    Refusal {
        reply: format!("{code} {text}\r\n").into_bytes(),
        fact: session.answer_record(rejection.answer(), About::Session),
    }
}

impl Session {
    /// A session that has not said anything yet.
    pub fn new(policy: Arc<Policy>, peer: Peer, now: Timestamp) -> Self {
        Session {
            policy,
            peer,
            state: State::Command,
            pending: Pending::default(),
            helo: None,
            enhanced: Enhanced::NotOffered,
            encryption: None,
            handshake: Handshake::default(),
            login: None,
            transaction: None,
            chunks: None,
            last_address: None,
            standing: Standing::Unasked(Vec::new()),
            secrets_may_follow: false,
            conduct: Conduct::default(),
            errors: 0,
            idle_commands: 0,
            deferred_recipients: 0,
            leaving: false,
            since: now,
        }
    }

    /// When [`Input::Timeout`] is due; `None` while the session waits for the loop and not for the client.
    pub fn deadline(&self) -> Option<Timestamp> {
        let limits = &self.policy.limits;
        match &self.state {
            State::Greeting => Some(self.since + self.policy.rules.greet_delay),
            State::Command | State::Auth(_) => Some(self.since + limits.command_timeout),
            State::Data(reception) => Some(reception.deadline(limits).0),
            State::Chunk(chunk) => Some(chunk.deadline(limits).0),
            State::Handshake => Some(self.since + limits.handshake_timeout),
            State::Waiting(_) | State::Closed => None,
        }
    }

    /// How long the client may take for a reply, or for whatever has no deadline of its own.
    pub fn patience(&self) -> std::time::Duration {
        self.policy.limits.command_timeout
    }

    /// Who is connected to what.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The client's address.
    pub fn client(&self) -> IpAddr {
        self.peer.remote.ip()
    }

    /// Whose message the next recipient is for, for whoever looks the recipient up.
    pub fn context(&self) -> Context {
        let sender = self.transaction.as_ref().and_then(|transaction| transaction.sender.as_ref());
        let suffix = || self.peer.grant.relay.clone().unwrap_or_default();
        Context {
            sender: sender
                .map(|sender| format!("{}@{}", sender.local(), sender.domain()))
                .unwrap_or_default(),
            helo: self.helo.clone().unwrap_or_default(),
            client: Some(self.peer.remote.ip()),
            user: self.login.as_ref().map(|login| String::from_utf8_lossy(&login.user).into_owned()),
            relay: self.may_relay().then(suffix),
            quota: self.policy.rules.quota,
        }
    }

    /// Takes one input and appends to `out` what is to be done.
    pub fn handle(&mut self, now: Timestamp, input: Input<'_>, out: &mut Vec<Output>) {
        match (std::mem::replace(&mut self.state, State::Command), input) {
            (State::Closed, _) => self.state = State::Closed,
            (State::Waiting(Waiting::Password(login)), Input::Password(answer)) => {
                self.password_answered(now, login, answer, out);
            }
            (State::Waiting(Waiting::Credential(fetching)), Input::Credential(answer)) => {
                self.credential_answered(now, *fetching, answer, out);
            }
            (State::Waiting(Waiting::Recipient(mailbox)), Input::Recipient(answer)) => {
                self.recipient_answered(now, mailbox, answer, out);
            }
            (State::Waiting(Waiting::Relayed(mailbox)), Input::Recipient(answer)) => {
                self.relayed_answered(now, mailbox, answer, out);
            }
            (State::Waiting(Waiting::Blocklist { mailbox, zone }), Input::Blocklist(answer)) => {
                self.zone_answered(now, (mailbox, zone), answer, out);
            }
            (State::Waiting(Waiting::Inquiry { mailbox, step }), Input::Inquired(finding)) => {
                self.inquired(now, (mailbox, step), &finding, out);
            }
            (State::Waiting(Waiting::Open(opening)), Input::Opened(answer)) => {
                self.opened(now, opening, answer, out);
            }
            (State::Waiting(Waiting::Store(reception)), Input::Stored(answer)) => {
                self.stored(now, &reception, answer, out);
            }
            (State::Handshake, Input::TlsDone(handshake)) => self.encrypted(now, *handshake, out),
            (_, Input::TlsFailed) => self.give_up(SmtpdEvent::TlsFailed, out),
            (state, Input::Gone(gone)) => self.gone(&state, gone, out),
            (State::Greeting, Input::Timeout) => self.waited(now, out),
            (state, Input::Timeout) => self.timed_out(&state, out),
            (State::Command, Input::Connected) => self.connected(now, out),
            (state, Input::Bytes(bytes)) => {
                self.state = state;
                self.pending.push(bytes);
            }
            (state, Input::Shutdown) => {
                self.state = state;
                self.leaving = true;
            }
            // An answer that nobody asked for changes nothing.
            (state, Input::Inquired(_) | Input::Recipient(_) | Input::Resume) => self.state = state,
            (state, Input::Connected | Input::TlsDone(_) | Input::Password(_) | Input::Credential(_))
            | (state, Input::Blocklist(_) | Input::Opened(_) | Input::Stored(_)) => self.state = state,
        }
        let unread = self.pending.unread().len();
        while self.step(now, out) {
            let read = unread.saturating_sub(self.pending.unread().len());
            if out.len() >= BATCH_OUTPUTS_MAX || read >= BATCH_BYTES_MAX {
                return self.stop_for_now(out);
            }
        }
    }

    /// What is left waits until the loop has carried out what there is: a client can send a thousand commands at once.
    fn stop_for_now(&self, out: &mut Vec<Output>) {
        match &self.state {
            State::Greeting | State::Command | State::Auth(_) | State::Data(_) | State::Chunk(_) => {
                out.push(Output::More);
            }
            State::Waiting(_) | State::Handshake | State::Closed => {}
        }
    }

    /// Reads one line, or a piece of the message; false when there is nothing to be read or the loop has the word.
    fn step(&mut self, now: Timestamp, out: &mut Vec<Output>) -> bool {
        if self.leaving && matches!(self.state, State::Greeting | State::Command | State::Auth(_)) {
            self.say(
                421,
                "4.3.2",
                &format!("{} shutting down, try again later (#4.3.2)", self.policy.hostname),
                out,
            );
            self.close(End::Clean, out);
        }
        let expected = match &self.state {
            State::Command => Expected::Command,
            State::Auth(_) => Expected::AuthAnswer,
            State::Data(_) => return self.read_message(now, out),
            State::Greeting => return !self.pending.is_empty() && self.spoke_early(now, out),
            State::Chunk(_) => return self.read_chunk(now, out),
            State::Waiting(_) | State::Handshake | State::Closed => return false,
        };
        let line = self.pending.line(expected, self.policy.limits.command_bytes_max);
        if line != Line::Incomplete {
            self.since = now;
        }
        match (std::mem::replace(&mut self.state, State::Command), line) {
            (state, Line::Incomplete) => {
                self.state = state;
                return false;
            }
            (State::Auth(dialogue), Line::Whole(line)) => self.auth_answer(dialogue, &line, out),
            (State::Auth(_), Line::TooLong) => self.refuse(Rejection::AuthMalformed, About::Session, out),
            (_, Line::Whole(line)) => self.command(now, &line, out),
            (_, Line::TooLong) => self.refuse(Rejection::LineTooLong, About::Session, out),
        }
        true
    }

    fn command(&mut self, now: Timestamp, line: &[u8], out: &mut Vec<Output>) {
        let command = match self.policy.limits.forbid(line) {
            true => Err(Refused::plain(Rejection::NotSmtp)),
            false => Command::parse(line),
        };
        self.hear(line, command.as_ref(), out);
        self.slow_down(out);
        if self.is_idle_too_long(command.as_ref()) {
            self.refuse(Rejection::TooManyCommands, About::Session, out);
            return self.close(End::GaveUp, out);
        }
        match command {
            Ok(Command::Helo(name)) => self.helo(name, out),
            Ok(Command::Ehlo(name)) => self.ehlo(name, out),
            Ok(Command::Mail { path, parameters }) => self.mail(&path, parameters, out),
            Ok(Command::Rcpt { path, wish }) => self.rcpt(&path, wish, out),
            Ok(Command::Data) => self.data(now, out),
            Ok(Command::Bdat { size_bytes, last }) => self.bdat(now, size_bytes, last, out),
            Ok(Command::Rset) => {
                self.forget_message(out);
                self.say(250, "2.0.0", "flushed", out);
            }
            Ok(Command::Noop) => self.say(250, "2.0.0", "ok", out),
            Ok(Command::Vrfy) => self.say(252, "2.0.0", "send some mail, i'll try my best", out),
            Ok(Command::Help) => self.say(214, "2.0.0", "postern speaks SMTP as RFC 5321 has it", out),
            Ok(Command::Quit) => {
                self.say(221, "2.0.0", self.policy.greeting(), out);
                self.close(End::Clean, out);
            }
            Ok(Command::StartTls) => self.starttls(out),
            Ok(Command::Auth { mechanism, initial }) => self.auth(mechanism, initial, out),
            Err(Refused { rejection: Rejection::ChunkSize, .. }) => self.lost_in_chunks(out),
            Err(Refused { rejection: Rejection::NotSmtp, .. }) => {
                self.refuse(Rejection::NotSmtp, About::Session, out);
                self.close(End::GaveUp, out);
            }
            Err(Refused { rejection: Rejection::Unrecognized, .. }) if self.is_babbling() => {
                self.refuse(Rejection::TooManyUnrecognized, About::Session, out);
                self.close(End::GaveUp, out);
            }
            Err(Refused { rejection, subject }) => {
                let about = match subject {
                    Subject::Nothing => About::Session,
                    Subject::Sender(given) => About::Sender(given),
                    Subject::Recipient(given) => About::Recipient { given, ours: None },
                };
                self.refuse(rejection, about, out);
            }
        }
    }

    /// Counts what serves no message: each costs the client nothing, and keeps the session's place.
    fn is_idle_too_long(&mut self, command: Result<&Command<'_>, &Refused<'_>>) -> bool {
        match command {
            Ok(Command::Helo(_) | Command::Ehlo(_) | Command::Rset)
            | Ok(Command::Noop | Command::Vrfy | Command::Help) => {}
            Ok(Command::Mail { .. }) if self.transaction.is_some() => {}
            Ok(Command::Mail { .. } | Command::Rcpt { .. } | Command::Data | Command::Bdat { .. })
            | Ok(Command::Quit | Command::StartTls | Command::Auth { .. })
            | Err(_) => return false,
        }
        self.idle_commands = self.idle_commands.saturating_add(1);
        self.idle_commands > self.policy.limits.idle_commands_max
    }

    /// Ends the transaction, with what there is of its message.
    fn forget_message(&mut self, out: &mut Vec<Output>) {
        self.transaction = None;
        if let Some(reception) = self.chunks.take() {
            self.discard(&reception, out);
        }
    }

    /// Whether the client's certificate has the address of somebody who may relay: qmail's `tlsclients`.
    fn shows_a_relays_certificate(&self) -> bool {
        let shown = self.handshake.client.iter().flat_map(|client| &client.addresses);
        shown.into_iter().any(|address| self.policy.tls_clients.contains(&address.to_lowercase()))
    }

    /// Whether this client may send to other hosts.
    fn may_relay(&self) -> bool {
        self.login.is_some()
            || self.peer.grant.relay.is_some()
            || self.shows_a_relays_certificate()
            || self.policy.relays_for(self.peer.remote.ip())
    }
}
