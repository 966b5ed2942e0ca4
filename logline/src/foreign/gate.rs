//! What smaller programs and patches at the gate say, each in a line or two.

use std::net::IpAddr;

use crate::scan::{self, Scan};
use crate::{SessionId, Text};

/// A line of one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate<'a> {
    /// `relaying denied: pid N from <S> to <R>` (Patterson's verbose patch): the number stands before any text from
    /// outside.
    RelayDenied {
        /// The session.
        pid: SessionId,
        /// The envelope sender.
        sender: Text<'a>,
        /// The recipient.
        recipient: Text<'a>,
    },
    /// `mail recv: pid N from <S> qp Q` (pidqplog): a message was queued.
    Received {
        /// The session.
        pid: SessionId,
        /// The envelope sender.
        sender: Text<'a>,
        /// The queue's number for the message.
        qp: u32,
    },
    /// `helo-dns-check: blocked with: MESSAGE [IP]`: the plugin's only line without a client's text.
    HeloBlocked {
        /// Why, in the plugin's words.
        why: Text<'a>,
        /// The client's address.
        address: IpAddr,
    },
    /// Every other line of helo-dns-check: a client's text stands where the address would be looked for.
    HeloNoted(Text<'a>),
    /// `greylist: IP: WHAT` (jgreylist): the address stands before any text from outside.
    Greylist {
        /// The client's address.
        address: IpAddr,
        /// What was decided.
        outcome: Greylisted,
    },
    /// `greylist: >>> …`, `greylist: <<< …`: a conversation of nobody's in particular.
    GreylistTrace(Text<'a>),
    /// `policy_check: …` (eMPF): names no session and no address, and its `AUTHENTICATED` is the client's to write.
    Policy(Text<'a>),
    /// `qmail-overlimit: REJECTED CLIENT`: an account sends more than it may.
    Overlimit {
        /// The account, or an address where nobody logged in. Never anybody to ban.
        client: Text<'a>,
        /// Whether this mail was refused for it.
        is_rejected: bool,
    },
    /// `user invalid U`, `domain invalid D`: vchkpw, speaking into the log of the server that asked it.
    NameInvalid(Text<'a>),
}

/// What jgreylist decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greylisted {
    /// Seen for the first time.
    FirstTime,
    /// Back too soon.
    TooSoon,
    /// Known.
    Known,
    /// In the administrator's list of the good.
    Whitelisted,
    /// In the administrator's list of the bad.
    Blacklisted,
    /// Without a name by reverse look-up.
    NoReverseDns,
    /// Tried too many recipients.
    TooManyRcpts,
}

impl Greylisted {
    /// All of them.
    pub const ALL: &'static [Greylisted] = &[
        Greylisted::FirstTime,
        Greylisted::TooSoon,
        Greylisted::Known,
        Greylisted::Whitelisted,
        Greylisted::Blacklisted,
        Greylisted::NoReverseDns,
        Greylisted::TooManyRcpts,
    ];

    /// The words as a log line has them.
    pub const fn words(self) -> &'static str {
        match self {
            Greylisted::FirstTime => "GREY first time",
            Greylisted::TooSoon => "GREY too soon",
            Greylisted::Known => "OK known",
            Greylisted::Whitelisted => "OK whitelisted",
            Greylisted::Blacklisted => "DENY blacklisted",
            Greylisted::NoReverseDns => "DENY no reverse DNS",
            Greylisted::TooManyRcpts => "HANGUP too many RCPT commands",
        }
    }
}

impl<'a> Gate<'a> {
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        let mut scan = Scan(line);
        let word = scan.until(b' ')?;
        let rest = scan.0;
        match word {
            b"relaying" => relay_denied(rest),
            b"mail" => received(rest),
            b"helo-dns-check:" => Gate::helo_dns(rest),
            b"greylist:" => Gate::greylist(rest),
            b"policy_check:" => Some(Gate::Policy(Text::from(rest))),
            b"user" | b"domain" => Some(Gate::NameInvalid(Text::from(rest.strip_prefix(b"invalid ")?))),
            _ => None,
        }
    }

    /// What stands after `helo-dns-check: `.
    pub(crate) fn helo_dns(rest: &'a [u8]) -> Option<Self> {
        let Some(blocked) = rest.strip_prefix(b"blocked with: ") else {
            return Some(Gate::HeloNoted(Text::from(rest)));
        };
        let (why, address) = scan::split_only(blocked.strip_suffix(b"]")?, b" [")?;
        Some(Gate::HeloBlocked { why: Text::from(why), address: scan::address(address)? })
    }

    /// What stands after `greylist: `.
    pub(crate) fn greylist(rest: &'a [u8]) -> Option<Self> {
        if rest.starts_with(b">>> ") || rest.starts_with(b"<<< ") {
            return Some(Gate::GreylistTrace(Text::from(rest)));
        }
        let (address, words) = scan::split_once(rest, b": ")?;
        let outcome = *Greylisted::ALL.iter().find(|o| o.words().as_bytes() == words)?;
        Some(Gate::Greylist { address: scan::address(address)?, outcome })
    }

    /// What stands after `qmail-overlimit: `.
    pub(crate) fn overlimit(rest: &'a [u8]) -> Option<Self> {
        if let Some(client) = rest.strip_prefix(b"REJECTED ") {
            let client = client.strip_suffix(b" ").unwrap_or(client);
            return Some(Gate::Overlimit { client: Text::from(client), is_rejected: true });
        }
        let (client, _) = scan::split_once(rest.strip_prefix(b"client=")?, b" limit=")?;
        Some(Gate::Overlimit { client: Text::from(client), is_rejected: false })
    }
}

fn relay_denied(rest: &[u8]) -> Option<Gate<'_>> {
    let mut line = Scan(without_line_end(rest));
    line.literal(b"denied: pid ")?;
    let pid = SessionId(line.number(b' ')?);
    line.literal(b"from <")?;
    let (sender, recipient) = scan::rsplit_once(line.0.strip_suffix(b">")?, b"> to <")?;
    Some(Gate::RelayDenied { pid, sender: Text::from(sender), recipient: Text::from(recipient) })
}

fn received(rest: &[u8]) -> Option<Gate<'_>> {
    let mut line = Scan(without_line_end(rest));
    line.literal(b"recv: pid ")?;
    let pid = SessionId(line.number(b' ')?);
    line.literal(b"from <")?;
    let (sender, qp) = scan::rsplit_once(line.0, b"> qp ")?;
    Some(Gate::Received { pid, sender: Text::from(sender), qp: scan::number(qp)? })
}

/// These patches end their lines in CR LF; splogger makes `?` of the CR.
fn without_line_end(rest: &[u8]) -> &[u8] {
    rest.strip_suffix(b"\r").or_else(|| rest.strip_suffix(b"?")).unwrap_or(rest)
}
