//! DATA: the message on its way to the queue.

use std::net::IpAddr;

use logline::{Encryption, Reason, SessionId, SmtpdEvent, Timestamp};
use serde::{Deserialize, Serialize};

use crate::dsn::Wishes;
use crate::header::Header;
use crate::mailbox::Mailbox;
use crate::session::body::Progress;
use crate::session::{
    About, Answer, Ask, Body, End, Enhanced, Limits, OpenAnswer, Output, Rejection, Session, State,
    StoreAnswer, Waiting,
};

/// Everything about a message that does not stand in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Who sent it; `None` for a bounce.
    pub sender: Option<Mailbox>,
    /// Who is to have it.
    pub recipients: Vec<Mailbox>,
    /// When it came.
    pub received: Timestamp,
    /// From where; `None` for what this server wrote itself.
    pub client: Option<IpAddr>,
    /// In which session.
    pub session: Option<SessionId>,
    /// Who was logged in.
    pub user: Option<String>,
    /// What the sender wants to hear of it.
    #[serde(default, skip_serializing_if = "Wishes::is_none")]
    pub wishes: Wishes,
    /// Whether only a server with SMTPUTF8 may have it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub smtputf8: bool,
}

/// What a message was opened for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Opening {
    /// DATA.
    Data,
    /// A first BDAT.
    Chunk { size_bytes: u64, last: bool },
}

/// A message that is coming in.
#[derive(Debug)]
pub(super) struct Reception {
    qp: u32,
    body: Body,
    header: Header,
    began: Timestamp,
    last: Timestamp,
    fate: Fate,
    /// The identifier that the server gave to a message without one.
    given_id: Option<String>,
}

/// Whether the message is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Kept,
    /// It is read to its end all the same, because the client listens only then.
    Dropped,
}

impl Reception {
    /// When the message is given up, and why.
    pub(super) fn deadline(&self, limits: &Limits) -> (Timestamp, Rejection) {
        limits.data_deadline(self.began, self.last, self.body.size_bytes())
    }

    pub(super) fn body_mut(&mut self) -> &mut Body {
        &mut self.body
    }

    /// Why the message is not wanted, as far as it was read.
    pub(super) fn objection(&self, limits: &Limits) -> Option<Rejection> {
        if self.header.hops() >= limits.hops_max {
            Some(Rejection::Loop)
        } else if self.body.size_bytes() > limits.message_bytes_max {
            Some(Rejection::TooBig)
        } else if limits.line_bytes_max > 0 && self.body.longest_line_bytes() > limits.line_bytes_max {
            Some(Rejection::LongLine)
        } else {
            None
        }
    }

    fn about(&self) -> About<'_> {
        let message_id = self.header.message_id().or(self.given_id.as_ref().map(String::as_bytes));
        About::Message { qp: self.qp, size_bytes: self.body.size_bytes(), message_id }
    }
}

impl Session {
    pub(super) fn data(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let Some(transaction) = &self.transaction else {
            return self.refuse(Rejection::MailFirst, About::Session, out);
        };
        if transaction.recipients.is_empty() {
            return self.refuse(Rejection::RcptFirst, About::Session, out);
        }
        if self.chunks.is_some() {
            return self.refuse(Rejection::ChunksOpen, About::Session, out);
        }
        if self.is_spoilt() {
            self.refuse(Rejection::Spoilt, About::Session, out);
            self.transaction = None;
            return;
        }
        if self.refuses_blamed(out) {
            return;
        }
        self.open_message(now, Opening::Data, out);
    }

    pub(super) fn open_message(&mut self, now: Timestamp, opening: Opening, out: &mut Vec<Output>) {
        let Some(transaction) = &self.transaction else {
            return;
        };
        out.push(Output::Ask(Ask::Open(Envelope {
            sender: transaction.sender.clone(),
            recipients: transaction.recipients.clone(),
            received: now,
            client: Some(self.peer.remote.ip()),
            session: Some(self.peer.session),
            user: self.login.as_ref().map(|login| readable(&login.user)),
            wishes: transaction.wishes.clone(),
            smtputf8: transaction.smtputf8,
        })));
        self.state = State::Waiting(Waiting::Open(opening));
    }

    pub(super) fn opened(
        &mut self,
        now: Timestamp,
        opening: Opening,
        answer: OpenAnswer,
        out: &mut Vec<Output>,
    ) {
        self.since = now;
        let reception = match answer {
            OpenAnswer::Open { qp } => {
                out.push(Output::Body(self.received_field(now, qp).into_bytes()));
                if let Some(field) = self.received_spf() {
                    out.push(Output::Body(field.into_bytes()));
                }
                Ok(Box::new(Reception {
                    qp,
                    body: Body::new(self.policy.limits.bare_newline),
                    header: Header::default(),
                    began: now,
                    last: now,
                    fate: Fate::Kept,
                    given_id: None,
                }))
            }
            OpenAnswer::Closed => Err(Rejection::QueueClosed),
        };
        match (opening, reception) {
            (Opening::Chunk { .. }, reception) => self.chunk_opened(now, opening, reception),
            (Opening::Data, Ok(reception)) => {
                self.say(354, "", "go ahead", out);
                self.state = State::Data(reception);
            }
            (Opening::Data, Err(rejection)) => {
                self.refuse(rejection, About::Session, out);
                self.transaction = None;
            }
        }
    }

    /// Reads what there is of the message; false when that is all for now.
    pub(super) fn read_message(&mut self, now: Timestamp, out: &mut Vec<Output>) -> bool {
        let State::Data(mut reception) = std::mem::replace(&mut self.state, State::Command) else {
            return false;
        };
        if self.pending.is_empty() {
            self.state = State::Data(reception);
            return false;
        }
        reception.last = now;
        let mut bytes = Vec::new();
        let unread = self.pending.unread();
        let (progress, consumed) = match reception.body.read(unread, &mut bytes) {
            Progress::End { consumed } => (Progress::End { consumed }, consumed),
            progress => (progress, unread.len()),
        };
        self.pending.consume(consumed);
        self.keep(&mut reception, bytes, out);
        match progress {
            Progress::More => {
                self.state = State::Data(reception);
                false
            }
            Progress::End { .. } => {
                self.message_is_whole(reception, out);
                true
            }
            Progress::BareNewline => {
                self.drop_message(&reception, Rejection::BareNewline, out);
                self.close(End::GaveUp, out);
                false
            }
        }
    }

    /// Passes on a piece of the message, unless it turns out not to be wanted.
    pub(super) fn keep(&self, reception: &mut Reception, mut bytes: Vec<u8>, out: &mut Vec<Output>) {
        if reception.header.is_open()
            && let Some(at) = reception.header.read(&bytes)
            && let Some(field) = self.missing_message_id(reception)
        {
            bytes.splice(at..at, field);
        }
        if reception.fate == Fate::Dropped {
            return;
        }
        if reception.objection(&self.policy.limits).is_some() {
            reception.fate = Fate::Dropped;
            out.push(Output::Discard);
        } else if !bytes.is_empty() {
            out.push(Output::Body(bytes));
        }
    }

    pub(super) fn message_is_whole(&mut self, mut reception: Box<Reception>, out: &mut Vec<Output>) {
        if reception.header.is_open() {
            reception.header.finish();
            if let Some(field) = self.missing_message_id(&mut reception) {
                out.push(Output::Body(field));
            }
        }
        match reception.objection(&self.policy.limits) {
            Some(rejection) => self.drop_message(&reception, rejection, out),
            None => {
                out.push(Output::Ask(Ask::Store));
                self.state = State::Waiting(Waiting::Store(reception));
            }
        }
    }

    pub(super) fn stored(
        &mut self,
        now: Timestamp,
        reception: &Reception,
        answer: StoreAnswer,
        out: &mut Vec<Output>,
    ) {
        self.since = now;
        match answer {
            StoreAnswer::Stored => {
                self.count_message();
                self.note_accepted(250, Reason::QueueAccept, "", reception.about(), out);
                self.say(250, "2.0.0", &format!("ok {} qp {}", now.seconds(), reception.qp), out);
                self.transaction = None;
                self.idle_commands = 0;
                self.deferred_recipients = 0;
            }
            StoreAnswer::Failed => self.drop_message(reception, Rejection::QueueFailed, out),
            StoreAnswer::PutOff(text) => self.queue_said(reception, Rejection::QueueFailed, &text, out),
            StoreAnswer::Refused(text) => self.queue_said(reception, Rejection::QueueRefused, &text, out),
        }
    }

    /// A message that the queue has no use for any more.
    pub(super) fn discard(&mut self, reception: &Reception, out: &mut Vec<Output>) {
        if reception.fate == Fate::Kept {
            out.push(Output::Discard);
        }
    }

    pub(super) fn drop_message(
        &mut self,
        reception: &Reception,
        rejection: Rejection,
        out: &mut Vec<Output>,
    ) {
        self.discard(reception, out);
        if rejection == Rejection::TooBig {
            self.note_event(SmtpdEvent::MessageTooBig, out);
        }
        self.refuse(rejection, reception.about(), out);
        self.transaction = None;
    }

    /// The queue's own words are the reply, and stand in the journal.
    fn queue_said(&mut self, reception: &Reception, rejection: Rejection, text: &str, out: &mut Vec<Output>) {
        let answer = Answer { text, detail: text, ..rejection.answer() };
        self.refuse_with(rejection, answer, reception.about(), out);
        self.transaction = None;
    }

    /// A user's program may leave the identifier to the server (RFC 6409 §8.3); another server's message stays as it is.
    fn missing_message_id(&self, reception: &mut Reception) -> Option<Vec<u8>> {
        if self.login.is_none() || reception.header.message_id().is_some() {
            return None;
        }
        let id = format!("{}.{}@{}", reception.began.nanos(), reception.qp, self.policy.hostname);
        let field = format!("Message-ID: <{id}>\n").into_bytes();
        reception.given_id = Some(id);
        Some(field)
    }

    /// The trace that every server leaves (RFC 5321 §4.4).
    fn received_field(&self, now: Timestamp, qp: u32) -> String {
        let helo = self.helo.as_deref().map_or_else(|| "unknown".to_owned(), readable);
        let smtputf8 = self.transaction.as_ref().is_some_and(|transaction| transaction.smtputf8);
        let mut protocol = match self.enhanced {
            // RFC 6531 §4.3.
            Enhanced::Offered if smtputf8 => "UTF8SMTP".to_owned(),
            Enhanced::Offered => "ESMTP".to_owned(),
            Enhanced::NotOffered => "SMTP".to_owned(),
        };
        if let Some(Encryption::Ssl | Encryption::Tls) = self.encryption {
            protocol.push('S');
        }
        if self.login.is_some() {
            protocol.push('A');
        }
        let user = self.login.as_ref().map(|login| format!(" (authenticated {})", readable(&login.user)));
        // RFC 8314 §4.3.
        let tls = self.handshake.version.zip(self.handshake.cipher);
        let tls = tls.map(|(version, cipher)| format!("\n tls {cipher} ({version})")).unwrap_or_default();
        let info = self.peer.grant.info.as_deref().map(|info| readable(info) + "@").unwrap_or_default();
        let trace = &self.policy.rules.trace;
        let user = user.unwrap_or_default();
        let from = match trace.hides_clients && self.may_relay() {
            true => user,
            false => {
                let (host, address) = (readable(self.host()), self.peer.remote.ip());
                format!(" from {helo} ({host} [{info}{address}]){user}\n")
            }
        };
        let (hostname, date) = (&self.policy.hostname, trace.date(now));
        format!("Received:{from} by {hostname} with {protocol} id {qp}{tls}; {date}\n")
    }
}

/// A date as a header has it (RFC 5322 §3.3).
pub(crate) fn date(now: Timestamp) -> String {
    let seconds = jiff::Timestamp::from_second(now.seconds()).unwrap_or_default();
    seconds.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

/// A client's bytes for a header: what could end a word or a comment there becomes a question mark.
pub(super) fn readable(bytes: &[u8]) -> String {
    const NAME_BYTES_MAX: usize = 255;
    let keep = |b: &u8| match b {
        b'(' | b')' | b'<' | b'>' | b'\\' | b'"' | b';' | b',' => '?',
        0x21..=0x7e => char::from(*b),
        _ => '?',
    };
    bytes.iter().take(NAME_BYTES_MAX).map(keep).collect()
}
