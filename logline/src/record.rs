//! A line understood.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    Auth, Chkuser, Foreign, Guard, Phase, PolicyCheck, Qlog, Queue, Rbl, Rblsmtpd, SessionId, Smtpd,
    Tcpserver,
};

/// How the lines of each kind begin, but for those that begin with a number.
static BEGINNINGS: Beginnings = Beginnings::of(&[
    b"ALLO", b"CHKU", b"DENI", b"ERRO", b"FAIL", b"FILT", b"GREE", b"TIME", b"TLS_", b"UNKN", b"aler",
    b"auth", b"boun", b"clie", b"deli", b"doma", b"doub", b"end ", b"fixs", b"grey", b"helo", b"info",
    b"mail", b"new ", b"poli", b"qlog", b"qmai", b"rbls", b"rela", b"serv", b"sims", b"spam", b"ssls",
    b"star", b"stat", b"surb", b"tcps", b"trip", b"user", b"vchk", b"warn",
]);

/// The programs of which [`Record::parse_of`] reads lines.
const PROGRAMS: &[&[u8]] = &[
    b"tcpserver",
    b"rblsmtpd",
    b"qmail-smtpd",
    b"qlogenvelope",
    b"qlogreceived",
    b"sslserver",
    b"qmail-popup",
    b"qmail-overlimit",
    b"spamdyke",
    b"greylist",
    b"helo-dns-check",
    b"simscan",
];

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
    /// A recipient was asked about by the rules of who may write to whom.
    Policy(#[serde(borrow)] PolicyCheck<'a>),
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
        line.first_chunk()
            .is_some_and(|first| BEGINNINGS.has(*first) || first.first().is_some_and(u8::is_ascii_digit))
    }

    /// Whether a program of this name writes records of which an envelope takes the first word for its name.
    pub fn is_written_by(program: &[u8]) -> bool {
        PROGRAMS.contains(&program)
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
            b'p' => PolicyCheck::parse(line).map(Record::Policy),
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
            Record::Policy(record) => record.fmt(f),
            Record::Smtpd(record) => record.fmt(f),
            Record::Queue(record) => record.fmt(f),
            Record::Foreign(record) => record.fmt(f),
        }
    }
}

/// Some beginnings of four bytes, each at a place of its own: one look tells whether a line has one of them.
struct Beginnings {
    multiplier: u32,
    places: [[u8; 4]; Beginnings::PLACES],
}

impl Beginnings {
    const PLACES: usize = 512;

    /// Tries one multiplier after the other, until no two beginnings share a place.
    #[expect(
        clippy::indexing_slicing,
        reason = "at compile time: a place that is not there would not compile"
    )]
    const fn of(beginnings: &[&[u8; 4]]) -> Self {
        let mut multiplier = 0x9e37_79b1u32;
        'tried: loop {
            let mut places = [[0; 4]; Beginnings::PLACES];
            let mut at = 0;
            while at < beginnings.len() {
                let place = Beginnings::place(multiplier, *beginnings[at]);
                if places[place][0] != 0 {
                    multiplier = multiplier.wrapping_add(2);
                    continue 'tried;
                }
                places[place] = *beginnings[at];
                at += 1;
            }
            return Beginnings { multiplier, places };
        }
    }

    const fn place(multiplier: u32, first: [u8; 4]) -> usize {
        (u32::from_le_bytes(first).wrapping_mul(multiplier) >> 23) as usize
    }

    #[inline]
    fn has(&self, first: [u8; 4]) -> bool {
        self.places.get(Beginnings::place(self.multiplier, first)) == Some(&first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_line_begins_as_it_is_known_to() {
        for line in [
            "tcpserver: status: 0/40",
            "CHKUSER x",
            "end msg 7",
            "8155 < EHLO x",
            "vchkpw-smtp: x",
            "warning: x",
        ] {
            assert!(Record::may_begin(line.as_bytes()), "{line}");
        }
        for line in ["", "end", "connect from x", "spaw", "Accepted x", "/var"] {
            assert!(!Record::may_begin(line.as_bytes()), "{line}");
        }
    }
}
