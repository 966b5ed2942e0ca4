//! One SMTP session: what comes in, what follows from it. No socket, no clock, no file.
//!
//! [`Session::handle`] takes one [`Input`] and the time and says in order what it wants done. Where it cannot go on
//! without an answer it asks ([`Output::Ask`]) and reads no further until that answer is fed back, so the result does
//! not depend on how TCP split the client's bytes.
//!
//! Replies are qmail-smtpd's; the order of the checks is that of sagredo's patch.

mod blocked;
mod body;
mod command;
mod envelope;
mod fact;
mod line;
mod login;
mod message;
mod policy;
mod rejection;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use logline::{Encryption, Fingerprint, Record, SmtpdEvent, Timestamp};

use crate::blocklist::LookUp;
use crate::mailbox::Mailbox;

use blocked::Standing;
use body::Body;
use command::{Command, Refused, Subject};
use fact::About;
use line::{Expected, Line, Pending};
use login::{Dialogue, Login};
use message::Reception;

pub use line::{AUTH_BYTES_MAX, COMMAND_BYTES_MAX};
pub use login::Secret;
pub use message::Envelope;
pub(crate) use message::date;
pub use policy::{Limits, Peer, Policy, Service};
pub use rejection::{Answer, Rejection};

/// What a session reacts to.
#[derive(Debug)]
pub enum Input<'a> {
    /// The connection is open.
    Connected,
    /// The client sent something.
    Bytes(&'a [u8]),
    /// The client is gone.
    Gone(Gone),
    /// [`Session::deadline`] passed.
    Timeout,
    /// The server is being stopped.
    Shutdown,
    /// The handshake is done.
    TlsDone,
    /// The handshake failed.
    TlsFailed,
    /// Answer to [`Ask::Password`].
    Password(PasswordAnswer),
    /// Answer to [`Ask::Recipient`].
    Recipient(RecipientAnswer),
    /// Answer to [`Ask::Blocklist`].
    Blocklist(LookUp),
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
    /// Does this mailbox of ours exist?
    Recipient(Mailbox),
    /// What does a blocklist say of this client?
    Blocklist {
        /// Which list, by its place in [`Policy::blocklists`].
        zone: usize,
        /// The client.
        address: IpAddr,
    },
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
    /// It could not be checked.
    Unavailable,
}

/// Answer to [`Ask::Recipient`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecipientAnswer {
    /// It exists.
    Known,
    /// It does not.
    Unknown,
    /// Nobody can say now.
    Unavailable,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreAnswer {
    /// The message is on disk, synced.
    Stored,
    /// It is not.
    Failed,
}

/// How a client went away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It closed the connection, or the network did.
    Closed,
    /// TLS broke.
    TlsBroken,
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
    login: Option<Login>,
    transaction: Option<Transaction>,
    /// The last address that was parsed, for the sentences that name it.
    last_address: Option<Vec<u8>>,
    standing: Standing,
    /// AUTH came, and no known command since.
    secrets_may_follow: bool,
    errors: u32,
    leaving: bool,
    /// When the client was last given the word.
    since: Timestamp,
}

#[derive(Debug)]
enum State {
    /// A command is awaited.
    Command,
    /// The answer to a challenge is awaited.
    Auth(Dialogue),
    /// The message is awaited.
    Data(Box<Reception>),
    /// The loop looks whether a password is right.
    CheckingPassword(Login),
    /// The loop looks for a mailbox.
    CheckingRecipient(Mailbox),
    /// The loop asks a blocklist about the client, for this recipient.
    AskingBlocklist { mailbox: Mailbox, zone: usize },
    /// The loop opens a message.
    Opening,
    /// The loop stores the message.
    Storing(Box<Reception>),
    /// The loop makes the handshake.
    Handshake,
    /// Nothing happens any more.
    Closed,
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
            login: None,
            transaction: None,
            last_address: None,
            standing: Standing::Unasked(Vec::new()),
            secrets_may_follow: false,
            errors: 0,
            leaving: false,
            since: now,
        }
    }

    /// When [`Input::Timeout`] is due; `None` while the session waits for the loop and not for the client.
    pub fn deadline(&self) -> Option<Timestamp> {
        let limits = &self.policy.limits;
        match &self.state {
            State::Command | State::Auth(_) => Some(self.since + limits.command_timeout),
            State::Data(reception) => Some(reception.deadline(limits)),
            State::Handshake => Some(self.since + limits.handshake_timeout),
            State::CheckingPassword(_)
            | State::CheckingRecipient(_)
            | State::AskingBlocklist { .. }
            | State::Opening
            | State::Storing(_)
            | State::Closed => None,
        }
    }

    /// The client's address.
    pub fn client(&self) -> IpAddr {
        self.peer.remote.ip()
    }

    /// Takes one input and appends to `out` what is to be done.
    pub fn handle(&mut self, now: Timestamp, input: Input<'_>, out: &mut Vec<Output>) {
        match (std::mem::replace(&mut self.state, State::Command), input) {
            (State::Closed, _) => self.state = State::Closed,
            (State::CheckingPassword(login), Input::Password(answer)) => {
                self.password_answered(now, login, answer, out);
            }
            (State::CheckingRecipient(mailbox), Input::Recipient(answer)) => {
                self.recipient_answered(now, mailbox, answer, out);
            }
            (State::AskingBlocklist { mailbox, zone }, Input::Blocklist(answer)) => {
                self.zone_answered(now, (mailbox, zone), answer, out);
            }
            (State::Opening, Input::Opened(answer)) => self.opened(now, answer, out),
            (State::Storing(reception), Input::Stored(answer)) => self.stored(now, &reception, answer, out),
            (State::Handshake, Input::TlsDone) => self.encrypted(now, out),
            (_, Input::TlsFailed) => self.give_up(SmtpdEvent::TlsFailed, out),
            (state, Input::Gone(gone)) => self.gone(&state, gone, out),
            (_, Input::Timeout) => self.timed_out(out),
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
            (state, Input::Connected | Input::TlsDone | Input::Password(_) | Input::Recipient(_))
            | (state, Input::Blocklist(_) | Input::Opened(_) | Input::Stored(_)) => self.state = state,
        }
        while self.step(now, out) {}
    }

    /// Reads one line, or a piece of the message; false when there is nothing to be read or the loop has the word.
    fn step(&mut self, now: Timestamp, out: &mut Vec<Output>) -> bool {
        if self.leaving && matches!(self.state, State::Command | State::Auth(_)) {
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
            State::CheckingPassword(_)
            | State::CheckingRecipient(_)
            | State::AskingBlocklist { .. }
            | State::Opening
            | State::Storing(_)
            | State::Handshake
            | State::Closed => return false,
        };
        let line = self.pending.line(expected);
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
        let command = Command::parse(line);
        self.hear(line, command.as_ref(), out);
        match command {
            Ok(Command::Helo(name)) => self.helo(name, out),
            Ok(Command::Ehlo(name)) => self.ehlo(name, out),
            Ok(Command::Mail { path, size_bytes }) => self.mail(&path, size_bytes, out),
            Ok(Command::Rcpt(path)) => self.rcpt(&path, out),
            Ok(Command::Data) => self.data(now, out),
            Ok(Command::Rset) => {
                self.transaction = None;
                self.say(250, "2.0.0", "flushed", out);
            }
            Ok(Command::Noop) => self.say(250, "2.0.0", "ok", out),
            Ok(Command::Vrfy) => self.say(252, "2.0.0", "send some mail, i'll try my best", out),
            Ok(Command::Help) => self.say(214, "2.0.0", "postern speaks SMTP as RFC 5321 has it", out),
            Ok(Command::Quit) => {
                self.say(221, "2.0.0", &self.policy.hostname.clone(), out);
                self.close(End::Clean, out);
            }
            Ok(Command::StartTls) => self.starttls(out),
            Ok(Command::Auth { mechanism, initial }) => self.auth(mechanism, initial, out),
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

    fn connected(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        self.since = now;
        match self.peer.service {
            Service::Smtp | Service::Submission => self.greet(out),
            Service::Smtps => {
                out.push(Output::StartTls);
                self.state = State::Handshake;
            }
        }
    }

    fn greet(&self, out: &mut Vec<Output>) {
        self.say(220, "2.0.0", &format!("{} ESMTP", self.policy.hostname), out);
    }

    fn helo(&mut self, name: &[u8], out: &mut Vec<Output>) {
        self.enhanced = Enhanced::NotOffered;
        self.begin(name);
        self.say(250, "2.0.0", &self.policy.hostname.clone(), out);
    }

    /// The order is sagredo's; SIZE is last because old clients look for it there.
    fn ehlo(&mut self, name: &[u8], out: &mut Vec<Output>) {
        self.begin(name);
        self.enhanced = Enhanced::Offered;
        let mut reply = format!("250-{}\r\n", self.policy.hostname);
        if self.encryption.is_none() && self.peer.tls_available {
            reply.push_str("250-STARTTLS\r\n");
        }
        reply.push_str("250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n");
        if self.encryption.is_some() {
            reply.push_str("250-AUTH LOGIN PLAIN\r\n");
        }
        reply.push_str(&format!("250 SIZE {}\r\n", self.policy.limits.message_bytes_max));
        out.push(Output::Reply(reply.into_bytes()));
    }

    fn begin(&mut self, name: &[u8]) {
        self.helo = Some(name.to_vec());
        self.transaction = None;
    }

    fn starttls(&mut self, out: &mut Vec<Output>) {
        if self.encryption.is_some() {
            return self.refuse(Rejection::StarttlsTwice, About::Session, out);
        }
        if !self.peer.tls_available {
            return self.refuse(Rejection::Unimplemented, About::Session, out);
        }
        // What came before the handshake may be another's words: CVE-2011-0411.
        self.pending.clear();
        self.say(220, "2.0.0", "ready for tls", out);
        out.push(Output::StartTls);
        self.state = State::Handshake;
    }

    /// The client proves itself anew after the handshake (RFC 3207 §4.2).
    fn encrypted(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        match self.peer.service {
            Service::Smtp | Service::Submission => self.encryption = Some(Encryption::Tls),
            Service::Smtps => {
                self.encryption = Some(Encryption::Ssl);
                self.greet(out);
            }
        }
        self.helo = None;
        self.enhanced = Enhanced::NotOffered;
        self.login = None;
        self.transaction = None;
        self.last_address = None;
        self.since = now;
    }

    fn gone(&mut self, state: &State, gone: Gone, out: &mut Vec<Output>) {
        let event = match (gone, state) {
            (Gone::TlsBroken, _) => SmtpdEvent::TlsError,
            (Gone::Closed, State::Auth(_)) => SmtpdEvent::AuthReadFailed,
            (Gone::Closed, _) => SmtpdEvent::ClosedBeforeQuit,
        };
        self.give_up(event, out);
    }

    fn timed_out(&mut self, out: &mut Vec<Output>) {
        self.note_event(SmtpdEvent::Timeout, out);
        self.refuse(Rejection::Timeout, About::Session, out);
        self.close(End::GaveUp, out);
    }

    fn give_up(&mut self, event: SmtpdEvent, out: &mut Vec<Output>) {
        self.note_event(event, out);
        self.close(End::GaveUp, out);
    }

    /// Refuses: the fact, then the wait that many errors earn, then the reply.
    fn refuse(&mut self, rejection: Rejection, about: About<'_>, out: &mut Vec<Output>) {
        self.refuse_with(rejection, rejection.answer(), about, out);
    }

    /// Refuses with an answer that says more than the rejection itself.
    fn refuse_with(
        &mut self,
        rejection: Rejection,
        answer: Answer<'_>,
        about: About<'_>,
        out: &mut Vec<Output>,
    ) {
        self.note_answer(answer, about, out);
        let limits = &self.policy.limits;
        let (undelayed, most) = (limits.errors_undelayed, limits.errors_max);
        if rejection.is_error() {
            self.errors = self.errors.saturating_add(1);
            if self.errors > undelayed {
                out.push(Output::Pause(limits.error_pause));
            }
        }
        let Answer { code, enhanced, text, .. } = answer;
        self.say(code, enhanced, text, out);
        if rejection.is_error() && self.errors >= most {
            self.refuse(Rejection::TooManyErrors, About::Session, out);
            self.close(End::GaveUp, out);
        }
    }

    /// One line of reply. Codes below 200 or of the 300s have no enhanced form, nor have greeting and HELO (RFC 2034 §4).
    fn say(&self, code: u16, enhanced: &str, text: &str, out: &mut Vec<Output>) {
        let reply = match (self.enhanced, code) {
            (Enhanced::Offered, 200..=299 | 400..=599) => format!("{code} {enhanced} {text}\r\n"),
            _ => format!("{code} {text}\r\n"),
        };
        out.push(Output::Reply(reply.into_bytes()));
    }

    fn close(&mut self, end: End, out: &mut Vec<Output>) {
        if !matches!(self.state, State::Closed) {
            self.state = State::Closed;
            self.pending.clear();
            out.push(Output::Close(end));
        }
    }

    /// Whether this client may send to other hosts.
    fn may_relay(&self) -> bool {
        self.login.is_some() || self.policy.relays_for(self.peer.remote.ip())
    }
}
