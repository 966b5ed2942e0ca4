//! What qmail-smtpd says under its title, `qmail-smtpd[N]: …` (qmail-smtpd.c of today's combined patch, and the jms1
//! patch): raw, and all of it behind the number of the session.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::scan::{self, Scan};
use crate::{AuthOutcome, SessionId, Text};

/// One such line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Titled<'a> {
    /// The session; lines of 2013 have no title.
    pub pid: Option<SessionId>,
    /// The address that the line names, where it can be told from the client's text.
    pub address: Option<IpAddr>,
    /// What is said.
    pub remark: Remark<'a>,
}

/// What such a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remark<'a> {
    /// `badhelo: <X> at IP`, and its like: what the client gave is forbidden.
    Forbidden {
        /// By which list.
        list: BadList,
        /// What it gave.
        value: Text<'a>,
    },
    /// `validrcptto: drop address <R> at IP`, `rcptcheck: …`: a recipient was looked up.
    Recipient {
        /// What followed.
        verdict: RcptVerdict,
        /// The recipient.
        recipient: Text<'a>,
    },
    /// `RCPTCHECK error: TEXT`: our trouble.
    RcptcheckError(Text<'a>),
    /// `GREETDELAY from IP: …`, `before greeting: [IP] …`: what happened before the greeting.
    Greeting(Greeting),
    /// `AUTH failed (REASON) [IP] USER`, `AUTH successful [IP] USER` (jms1).
    Login {
        /// Whether the password was right.
        outcome: AuthOutcome,
        /// Why not, where it is told.
        why: Option<LoginFailure>,
        /// Who the client said it was.
        user: Text<'a>,
    },
    /// `MFCHECK fail [IP] DOMAIN` (jms1): the sender's domain takes no mail.
    SenderDomain {
        /// Whether it is good.
        is_good: bool,
        /// The domain.
        domain: Text<'a>,
    },
    /// The client asked for more than it may.
    Limit(Limit),
    /// `MAIL FROM:<…>`, `RCPT TO:<…>`, `Received-SPF: …` (jms1, where it is told to tell much).
    Verbose(Text<'a>),
}

/// A list of what is forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BadList {
    /// Names that clients give.
    Helo,
    /// Senders.
    MailFrom,
    /// Recipients.
    RcptTo,
}

impl BadList {
    /// All of them.
    pub const ALL: &'static [BadList] = &[BadList::Helo, BadList::MailFrom, BadList::RcptTo];

    /// The name as a log line has it.
    pub const fn name(self) -> &'static str {
        match self {
            BadList::Helo => "badhelo",
            BadList::MailFrom => "badmailfrom",
            BadList::RcptTo => "badrcptto",
        }
    }
}

/// What followed from looking up a recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RcptVerdict {
    /// It is being looked up.
    Checking,
    /// It exists.
    Accepted,
    /// It does not.
    Dropped,
    /// It was not looked at.
    Ignored,
    /// The sender sends more than it may.
    Overlimit,
}

impl RcptVerdict {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            RcptVerdict::Checking => "checking",
            RcptVerdict::Accepted => "accepted",
            RcptVerdict::Dropped => "drop",
            RcptVerdict::Ignored => "ignore",
            RcptVerdict::Overlimit => "overlimit",
        }
    }
}

/// What happened before the greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// Nothing yet: so long is waited.
    Delay {
        /// How long.
        seconds: u32,
    },
    /// The client spoke.
    Spoke,
    /// The client spoke, and the administrator said to take no notice.
    SpokeIgnored,
    /// The client went away.
    Gone,
    /// The waiting failed: our trouble.
    Failed,
}

/// Why a login failed (jms1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginFailure {
    /// There is no such user.
    UnknownUser,
    /// The password was wrong.
    BadPassword,
    /// The password is too old.
    PasswordExpired,
}

impl LoginFailure {
    /// The words as a log line has them.
    pub const fn words(self) -> &'static str {
        match self {
            LoginFailure::UnknownUser => "unknown user",
            LoginFailure::BadPassword => "bad password",
            LoginFailure::PasswordExpired => "password expired",
        }
    }
}

/// What a client may not have more of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Unknown recipients in a session.
    BadRecipients,
    /// Bytes of a message.
    Databytes,
    /// Recipients of a message.
    Recipients,
}

impl Limit {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Limit::BadRecipients => "bad-recipients",
            Limit::Databytes => "databytes",
            Limit::Recipients => "recipients",
        }
    }
}

/// An address and what is said of it.
type Said<'a> = Option<(Option<IpAddr>, Remark<'a>)>;

impl<'a> Titled<'a> {
    /// Reads what stands after the title.
    pub(crate) fn rest(pid: SessionId, rest: &'a [u8]) -> Option<Self> {
        let (address, remark) = said(rest)?;
        Some(Titled { pid: Some(pid), address, remark })
    }

    /// `GREETDELAY …` without a title, as it was until 2016.
    pub(crate) fn untitled(line: &'a [u8]) -> Option<Self> {
        let (address, remark) = greetdelay(line.strip_prefix(b"GREETDELAY")?)?;
        Some(Titled { pid: None, address, remark })
    }

    /// `badrcptto: R at IP`, behind `qmail-smtpd: ` (the patch.be patch). The recipient is raw: ` at ` must stand once.
    pub(crate) fn badrcptto(rest: &'a [u8]) -> Option<Self> {
        let (value, address) = scan::split_only(rest.strip_prefix(b"badrcptto: ")?, b" at ")?;
        let remark = Remark::Forbidden { list: BadList::RcptTo, value: Text::from(value) };
        Some(Titled { pid: None, address: Some(scan::address(address)?), remark })
    }
}

fn said(rest: &[u8]) -> Said<'_> {
    let mut line = Scan(rest);
    let word = line.until(b' ')?;
    let after = line.0;
    match word {
        b"badhelo:" => forbidden(BadList::Helo, after),
        b"badmailfrom:" => forbidden(BadList::MailFrom, after),
        b"badrcptto:" => match after.strip_prefix(b"excessive rcptto violations hanging up on ") {
            Some(address) => Some((Some(scan::address(address)?), Remark::Limit(Limit::BadRecipients))),
            None => forbidden(BadList::RcptTo, after),
        },
        b"validrcptto:" | b"rcptcheck:" => recipient(after),
        b"validrcptto" => {
            let (address, after) = bracketed(after)?;
            let remark = match after.strip_prefix(b" not found: ") {
                Some(recipient) => {
                    Remark::Recipient { verdict: RcptVerdict::Dropped, recipient: Text::from(recipient) }
                }
                None if after == b" excessive violations, hanging up" => Remark::Limit(Limit::BadRecipients),
                None => return None,
            };
            Some((Some(address), remark))
        }
        b"RCPTCHECK" => Some((None, Remark::RcptcheckError(Text::from(after.strip_prefix(b"error: ")?)))),
        b"GREETDELAY" | b"GREETDELAY:" => greetdelay(rest.strip_prefix(b"GREETDELAY")?),
        b"before" => {
            let (address, after) = bracketed(after.strip_prefix(b"greeting: ")?)?;
            let greeting = match after {
                b" client sent data" => Greeting::Spoke,
                b" client disconnected" => Greeting::Gone,
                _ => return None,
            };
            Some((Some(address), Remark::Greeting(greeting)))
        }
        b"AUTH" => login(after),
        b"MFCHECK" => sender_domain(after),
        b"DATABYTES" => limit(after.strip_prefix(b"exceeded ")?, Limit::Databytes),
        b"MAXRCPT" => limit(after.strip_prefix(b"fail ")?, Limit::Recipients),
        b"MAIL" | b"RCPT" | b"Received-SPF:" => Some((None, Remark::Verbose(Text::from(rest)))),
        _ => None,
    }
}

/// `<X> at IP`, `<X> matches pattern: RE`, or both. Where the client's text makes two readings, the session alone tells
/// whose line it is.
fn forbidden(list: BadList, after: &[u8]) -> Said<'_> {
    let rest = after.strip_prefix(b"<")?;
    let (given, is_told) = match scan::split_once(rest, b" matches pattern: ") {
        Some((given, _)) => (given, memchr::memmem::find_iter(rest, b" matches pattern: ").nth(1).is_none()),
        None => (rest, true),
    };
    let (value, address) = match scan::rsplit_once(given, b"> at ") {
        Some((value, address)) => (value, scan::address(address)),
        None => (given.strip_suffix(b">").unwrap_or(given), None),
    };
    Some((address.filter(|_| is_told), Remark::Forbidden { list, value: Text::from(value) }))
}

/// `drop address <R> at IP`, anchored at its end.
fn recipient(after: &[u8]) -> Said<'_> {
    let (words, rest) = scan::split_once(after, b"<")?;
    let verdict = match words {
        b"checking " => RcptVerdict::Checking,
        b"accepted address " => RcptVerdict::Accepted,
        b"drop address " => RcptVerdict::Dropped,
        b"ignore address " => RcptVerdict::Ignored,
        b"overlimit sender " => RcptVerdict::Overlimit,
        _ => return None,
    };
    let (recipient, address) = scan::rsplit_once(rest, b"> at ")?;
    Some((Some(scan::address(address)?), Remark::Recipient { verdict, recipient: Text::from(recipient) }))
}

/// What stands after `GREETDELAY`; nothing in it is the client's.
fn greetdelay(after: &[u8]) -> Said<'_> {
    if let Some(seconds) = after.strip_prefix(b": ") {
        let seconds = scan::number(seconds.strip_suffix(b"s")?)?;
        return Some((None, Remark::Greeting(Greeting::Delay { seconds })));
    }
    let (address, what) = scan::split_once(after.strip_prefix(b" from ")?, b": ")?;
    let greeting = match what {
        b"client sent data before greeting" => Greeting::Spoke,
        b"client sent data before greeting. ignoring" => Greeting::SpokeIgnored,
        b"client disconnected" => Greeting::Gone,
        _ => Greeting::Failed,
    };
    Some((Some(scan::address(address)?), Remark::Greeting(greeting)))
}

/// `failed (REASON) [IP] USER`
fn login(after: &[u8]) -> Said<'_> {
    const REASONS: [LoginFailure; 3] =
        [LoginFailure::UnknownUser, LoginFailure::BadPassword, LoginFailure::PasswordExpired];
    let mut line = Scan(after);
    let outcome = match line.until(b' ')? {
        b"failed" => AuthOutcome::Failed,
        b"successful" => AuthOutcome::Success,
        _ => return None,
    };
    let why = match line.0.strip_prefix(b"(") {
        Some(rest) => {
            let (words, rest) = scan::split_once(rest, b") ")?;
            line = Scan(rest);
            Some(*REASONS.iter().find(|reason| reason.words().as_bytes() == words)?)
        }
        None => None,
    };
    let (address, user) = bracketed(line.0)?;
    let user = Text::from(user.strip_prefix(b" ")?);
    Some((Some(address), Remark::Login { outcome, why, user }))
}

fn sender_domain(after: &[u8]) -> Said<'_> {
    let (word, rest) = scan::split_once(after, b" ")?;
    let is_good = match word {
        b"pass" => true,
        b"fail" | b"invalid" => false,
        _ => return None,
    };
    let (address, domain) = bracketed(rest)?;
    let domain = Text::from(domain.strip_prefix(b" ")?);
    Some((Some(address), Remark::SenderDomain { is_good, domain }))
}

fn limit(after: &[u8], limit: Limit) -> Said<'_> {
    let (address, rest) = bracketed(after)?;
    rest.is_empty().then_some((Some(address), Remark::Limit(limit)))
}

/// `[IP]`, and what follows.
fn bracketed(text: &[u8]) -> Option<(IpAddr, &[u8])> {
    let (address, rest) = scan::split_once(text.strip_prefix(b"[")?, b"]")?;
    Some((scan::address(address)?, rest))
}
