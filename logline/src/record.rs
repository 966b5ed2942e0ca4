//! A line understood.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Auth, Chkuser, Foreign, Guard, Phase, Qlog, Queue, Rbl, Rblsmtpd, SessionId, Smtpd, Tcpserver};

/// What one log line states, without its envelope.
///
/// `Display` writes the line, [`Record::parse`] reads it; as JSON it is the same fact under the name of its kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Record<'a> {
    /// A connection came, was let in or refused, ended.
    Tcpserver(#[serde(borrow)] Tcpserver<'a>),
    /// A sender or recipient was checked.
    Chkuser(#[serde(borrow)] Chkuser<'a>),
    /// Somebody tried to log in.
    Auth(#[serde(borrow)] Auth<'a>),
    /// An answer refused or accepted something.
    Qlog(#[serde(borrow)] Qlog<'a>),
    /// A DNS blocklist was asked.
    Rbl(#[serde(borrow)] Rbl<'a>),
    /// A listed client was put off, or sent a command.
    Rblsmtpd(#[serde(borrow)] Rblsmtpd<'a>),
    /// A client's own doing was found out: a forbidden name or address, words before the greeting.
    Guard(#[serde(borrow)] Guard<'a>),
    /// Something worth a sentence happened in a session.
    Smtpd(#[serde(borrow)] Smtpd<'a>),
    /// A message moved through the queue.
    Queue(#[serde(borrow)] Queue<'a>),
    /// A line that only other writers write; it is read, and never written.
    #[serde(skip)]
    Foreign(Foreign<'a>),
}

impl<'a> Record<'a> {
    /// Reads one line, without its envelope and its line feed.
    ///
    /// Every kind has one grammar, anchored at both ends; a line that is none of them gives `None`. That is an answer,
    /// no error: other programs write to the same log.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        if !Record::may_begin(line) {
            return None;
        }
        Record::written(line).or_else(|| Foreign::parse(line).map(Record::Foreign))
    }

    /// Whether a record may begin so. Most of what other programs write does not, and is told by its first four bytes.
    #[inline]
    pub fn may_begin(line: &[u8]) -> bool {
        let Some(first) = line.first_chunk() else { return false };
        matches!(
            first,
            b"tcps"
                | b"CHKU"
                | b"qmai"
                | b"qlog"
                | b"rbls"
                | b"new "
                | b"info"
                | b"star"
                | b"stat"
                | b"deli"
                | b"boun"
                | b"end "
        ) || Foreign::may_begin(first)
    }

    /// Reads what an envelope has left of a line whose first word it took for the program's name: `pid 8155 from …` of
    /// `tcpserver`, `auth: …` of `qmail-smtpd[8155]`.
    pub fn parse_of(program: &[u8], pid: Option<SessionId>, message: &'a [u8]) -> Option<Self> {
        let written = match (program, pid) {
            (b"tcpserver", _) => Tcpserver::rest(message).map(Record::Tcpserver),
            (b"rblsmtpd", _) => Rblsmtpd::rest(message).map(Record::Rblsmtpd),
            (b"qmail-smtpd", Some(pid)) => Auth::rest(pid, message)
                .map(Record::Auth)
                .or_else(|| Rbl::rest(pid, message).map(Record::Rbl))
                .or_else(|| Guard::rest(pid, message).map(Record::Guard)),
            (b"qmail-smtpd", None) => Smtpd::rest(message).map(Record::Smtpd),
            (b"qlogenvelope", _) => Qlog::rest(Phase::Envelope, message).map(Record::Qlog),
            (b"qlogreceived", _) => Qlog::rest(Phase::Received, message).map(Record::Qlog),
            _ => None,
        };
        written.or_else(|| Foreign::parse_of(program, pid, message).map(Record::Foreign))
    }

    /// One of the lines that are written here.
    fn written(line: &'a [u8]) -> Option<Self> {
        match line.first()? {
            b't' => Tcpserver::parse(line).map(Record::Tcpserver),
            b'C' => Chkuser::parse(line).map(Record::Chkuser),
            b'q' => match line.get(..12)? {
                b"qmail-smtpd[" => {
                    let auth = || Auth::parse(line).map(Record::Auth);
                    let rbl = || Rbl::parse(line).map(Record::Rbl);
                    auth().or_else(rbl).or_else(|| Guard::parse(line).map(Record::Guard))
                }
                b"qmail-smtpd:" => Smtpd::parse(line).map(Record::Smtpd),
                _ => Qlog::parse(line).map(Record::Qlog),
            },
            b'r' => Rblsmtpd::parse(line).map(Record::Rblsmtpd),
            b'n' | b'i' | b's' | b'd' | b'b' | b'e' => Queue::parse(line).map(Record::Queue),
            _ => None,
        }
    }
}

impl fmt::Display for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Record::Tcpserver(record) => record.fmt(f),
            Record::Chkuser(record) => record.fmt(f),
            Record::Auth(record) => record.fmt(f),
            Record::Qlog(record) => record.fmt(f),
            Record::Rbl(record) => record.fmt(f),
            Record::Rblsmtpd(record) => record.fmt(f),
            Record::Guard(record) => record.fmt(f),
            Record::Smtpd(record) => record.fmt(f),
            Record::Queue(record) => record.fmt(f),
            Record::Foreign(record) => record.fmt(f),
        }
    }
}
