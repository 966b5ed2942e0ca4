//! s/qmail, once SpamControl (smtpdlog.c:smtp_log*): the session and the address stand before all text of the client.

use std::net::IpAddr;

use memchr::memmem;

use crate::scan::{self, Scan};
use crate::{SessionId, Text, Verdict};

/// `qmail-smtpd: pid N Reject::TYPE::CONDITION P:PROTOCOL S:IP:HOST H:HELO F:FROM T:RCPT ?~ 'USER'`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spamcontrol<'a> {
    /// The session.
    pub pid: SessionId,
    /// What was answered.
    pub verdict: Verdict,
    /// What it is about: `AUTH`, `SNDR`, `RCPT`, …
    pub about: Text<'a>,
    /// Why: `login`, `Invalid_Relay`, …
    pub condition: Text<'a>,
    /// `ESMTPSA` and the like.
    pub protocol: Text<'a>,
    /// The client's address.
    pub address: IpAddr,
    /// The client's name by reverse look-up.
    pub remote_host: Text<'a>,
    /// The name the client gave.
    pub helo: Option<Text<'a>>,
    /// The envelope sender.
    pub sender: Option<Text<'a>>,
    /// The recipient.
    pub recipient: Option<Text<'a>>,
    /// Who the client said it was, in a line about a login; a mark of the check in others.
    pub info: Option<Text<'a>>,
}

impl<'a> Spamcontrol<'a> {
    /// Reads what stands after `qmail-smtpd: ` or `qmail-popup: `.
    pub(crate) fn rest(rest: &'a [u8]) -> Option<Self> {
        let mut line = Scan(rest);
        line.literal(b"pid ")?;
        let pid = SessionId(line.number(b' ')?);
        let verdict = match line.until_literal(b"::")? {
            b"Accept" => Verdict::Accepted,
            b"Reject" => Verdict::Rejected,
            _ => return None,
        };
        let about = word(line.until_literal(b"::")?)?;
        let condition = word(line.until(b' ')?)?;
        line.literal(b"P:")?;
        let protocol = word(line.until(b' ')?)?;
        line.literal(b"S:")?;
        let end = memchr::memchr(b' ', line.0).unwrap_or(line.0.len());
        let (server, rest) = line.0.split_at_checked(end)?;
        // A name by reverse look-up holds no colon, an address may.
        let (address, remote_host) = scan::rsplit_once(server, b":")?;
        let (rest, info) = info(rest);
        let (rest, recipient) = last(rest, b" T:");
        let (rest, sender) = last(rest, b" F:");
        let helo = rest.strip_prefix(b" H:").map(Text::from);
        let address = scan::address(address)?;
        let remote_host = Text::from(remote_host);
        Some(Spamcontrol {
            pid,
            verdict,
            about,
            condition,
            protocol,
            address,
            remote_host,
            helo,
            sender,
            recipient,
            info,
        })
    }
}

/// A word of the program's own.
fn word(word: &[u8]) -> Option<Text<'_>> {
    let is_word = word.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte));
    is_word.then(|| Text::from(word))
}

/// Takes ` ?~ 'USER'`, ` ?= 'USER'` or ` 'MARK'` off the end.
fn info(rest: &[u8]) -> (&[u8], Option<Text<'_>>) {
    let Some(quoted) = rest.strip_suffix(b"'") else { return (rest, None) };
    for mark in [&b" ?~ '"[..], b" ?= '", b" '"] {
        if let Some((before, user)) = scan::split_once(quoted, mark) {
            return (before, Some(Text::from(user)));
        }
    }
    (rest, None)
}

fn last<'a>(rest: &'a [u8], mark: &[u8]) -> (&'a [u8], Option<Text<'a>>) {
    match memmem::rfind(rest, mark) {
        Some(at) => {
            let (before, after) = rest.split_at(at);
            (before, after.get(mark.len()..).map(Text::from))
        }
        None => (rest, None),
    }
}
