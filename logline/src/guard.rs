//! What qmail-smtpd says under its title of a client that its own lists or its patience have found out
//! (qmail-smtpd.c:smtp_rcpt, main, of today's combined patch).

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::foreign::BadList;
use crate::scan::{self, Scan};
use crate::{SessionId, Text};

/// `qmail-smtpd[N]: badhelo: <X> at IP`, and its like. Other writers put the value there as it came; a value that holds
/// what could end it is therefore none of these lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard<'a> {
    /// The session.
    pub pid: SessionId,
    /// The client's address.
    pub address: IpAddr,
    /// What was found.
    #[serde(borrow)]
    pub found: Found<'a>,
}

/// What a guard found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found<'a> {
    /// `badhelo: <X> at IP`, `badmailfrom: …`, `badrcptto: …`: a list forbids what the client gave.
    Forbidden {
        /// Which list.
        list: BadList,
        /// What it gave.
        #[serde(borrow)]
        value: Text<'a>,
    },
    /// `badrcptto: excessive rcptto violations hanging up on IP`: more bad recipients than a session may try.
    BadRecipients,
    /// `GREETDELAY from IP: client sent data before greeting`
    SpokeEarly,
    /// `GREETDELAY from IP: client sent data before greeting. ignoring`
    SpokeEarlyIgnored,
    /// `watcher: auth-only at IP`, `watcher: slow at IP`: the watcher asked for it.
    Word(Word),
    /// `GREETDELAY from IP: client disconnected`
    GoneEarly,
}

/// What a watcher may ask a server to do about a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// To take its mail after a login only.
    AuthOnly,
    /// To answer it slowly.
    Slow,
}

impl Word {
    /// All of them.
    pub const ALL: &'static [Word] = &[Word::AuthOnly, Word::Slow];

    /// The name as a log line has it.
    pub const fn name(self) -> &'static str {
        match self {
            Word::AuthOnly => "auth-only",
            Word::Slow => "slow",
        }
    }
}

const WATCHER: &[u8] = b"watcher: ";
const TITLE: &[u8] = b"qmail-smtpd[";
const EXCESSIVE: &[u8] = b"badrcptto: excessive rcptto violations hanging up on ";
const GREETDELAY: &[u8] = b"GREETDELAY from ";
const DELIMITERS: &[u8] = b"<>";

impl<'a> Guard<'a> {
    /// Reads one line, without its envelope.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        let mut line = Scan(line);
        line.literal(TITLE)?;
        let pid = SessionId(line.number(b']')?);
        line.literal(b": ")?;
        Guard::rest(pid, line.0)
    }

    /// Reads what stands after the title.
    pub(crate) fn rest(pid: SessionId, rest: &'a [u8]) -> Option<Self> {
        if let Some(address) = rest.strip_prefix(EXCESSIVE) {
            return Some(Guard { pid, address: scan::address(address)?, found: Found::BadRecipients });
        }
        let mut line = Scan(rest);
        if rest.starts_with(GREETDELAY) {
            line.literal(GREETDELAY)?;
            let address = scan::address(line.until_literal(b": ")?)?;
            let found = match line.0 {
                b"client sent data before greeting" => Found::SpokeEarly,
                b"client sent data before greeting. ignoring" => Found::SpokeEarlyIgnored,
                b"client disconnected" => Found::GoneEarly,
                _ => return None,
            };
            return Some(Guard { pid, address, found });
        }
        if let Some(rest) = rest.strip_prefix(WATCHER) {
            let mut line = Scan(rest);
            let name = line.until_literal(b" at ")?;
            let word = Word::ALL.iter().find(|word| word.name().as_bytes() == name)?;
            return Some(Guard { pid, address: scan::address(line.0)?, found: Found::Word(*word) });
        }
        let list = match line.until_literal(b": <")? {
            b"badhelo" => BadList::Helo,
            b"badmailfrom" => BadList::MailFrom,
            b"badrcptto" => BadList::RcptTo,
            _ => return None,
        };
        let value = line.until_literal(b"> at ")?;
        let is_escaped = value.iter().all(|byte| matches!(byte, 0x21..=0x7e) && !DELIMITERS.contains(byte));
        let address = scan::address(line.0)?;
        is_escaped.then(|| Guard {
            pid,
            address,
            found: Found::Forbidden { list, value: Text::unescape(value) },
        })
    }
}

impl fmt::Display for Guard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Guard { pid, address, found } = self;
        write!(f, "qmail-smtpd[{pid}]: ")?;
        match found {
            Found::Forbidden { list, value } => {
                write!(f, "{}: <{}> at {address}", list.name(), value.escaped(DELIMITERS))
            }
            Found::BadRecipients => {
                write!(f, "badrcptto: excessive rcptto violations hanging up on {address}")
            }
            Found::Word(word) => write!(f, "watcher: {} at {address}", word.name()),
            Found::SpokeEarly => write!(f, "GREETDELAY from {address}: client sent data before greeting"),
            Found::SpokeEarlyIgnored => {
                write!(f, "GREETDELAY from {address}: client sent data before greeting. ignoring")
            }
            Found::GoneEarly => write!(f, "GREETDELAY from {address}: client disconnected"),
        }
    }
}
