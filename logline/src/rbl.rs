//! What DNS blocklists said: qmail-smtpd's own look-ups (qmail-smtpd.c:rblcheck) and rblsmtpd's treatment of a listed
//! client (ucspi-tcp rblsmtpd.c:rblsmtpd, with the transcript of its commands).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::scan::{self, Scan};
use crate::{SessionId, Text};

/// `qmail-smtpd[N]: rbl: ip=IP query=Q result=R message='TEXT'`: one zone was asked, or, with ` source=S` behind it,
/// need not be; ` answer=CODE,CODE` at the end are the codes by which it lists the client. Original qmail asks each time,
/// and tells neither.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rbl<'a> {
    /// The session.
    pub pid: SessionId,
    /// The client's address; first in the line, before any text from outside.
    pub address: IpAddr,
    /// The name that was asked: the reversed address and the zone.
    pub query: Text<'a>,
    /// What followed.
    pub result: RblResult,
    /// The zone's text.
    pub message: Text<'a>,
    /// Where the answer comes from.
    #[serde(default, skip_serializing_if = "RblSource::is_query")]
    pub source: RblSource,
    /// The codes of a listing; none where there is no listing, or nobody knows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answer: Vec<Ipv4Addr>,
}

/// Where the answer of [`Rbl`] comes from: only a query counts towards the zone's limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RblSource {
    /// The zone was asked.
    #[default]
    Query,
    /// It was asked about this client before, and the answer holds still.
    Cache,
    /// It was not asked, because mail of this client was accepted lately.
    Known,
}

impl RblSource {
    /// All of them.
    pub const ALL: &'static [RblSource] = &[RblSource::Query, RblSource::Cache, RblSource::Known];

    /// The name as a log line has it.
    pub const fn name(self) -> &'static str {
        match self {
            RblSource::Query => "query",
            RblSource::Cache => "cache",
            RblSource::Known => "known",
        }
    }

    fn is_query(&self) -> bool {
        *self == RblSource::Query
    }
}

/// What followed from asking a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RblResult {
    /// Listed in a list of the good.
    Accept,
    /// Listed; the client is put off (451).
    Delay,
    /// The zone did not answer, or answered with an error code. Never a listing.
    #[serde(rename = "dnserr")]
    DnsError,
    /// Listed, and the administrator said to take no notice.
    Ignore,
    /// Not listed.
    Pass,
    /// Not asked: the zone's budget is spent. Original qmail has no such thing.
    Quota,
    /// Listed; the client is refused (553).
    Reject,
}

impl RblResult {
    /// All of them.
    pub const ALL: &'static [RblResult] = &[
        RblResult::Accept,
        RblResult::Delay,
        RblResult::DnsError,
        RblResult::Ignore,
        RblResult::Pass,
        RblResult::Quota,
        RblResult::Reject,
    ];

    /// The name as a log line has it.
    pub const fn name(self) -> &'static str {
        match self {
            RblResult::Accept => "accept",
            RblResult::Delay => "delay",
            RblResult::DnsError => "dnserr",
            RblResult::Ignore => "ignore",
            RblResult::Pass => "pass",
            RblResult::Quota => "quota",
            RblResult::Reject => "reject",
        }
    }
}

impl<'a> Rbl<'a> {
    /// Reads one line, without its envelope.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        let mut line = Scan(line);
        line.literal(b"qmail-smtpd[")?;
        let pid = SessionId(line.number(b']')?);
        line.literal(b": ")?;
        Rbl::rest(pid, line.0)
    }

    /// Reads what stands after the title.
    pub(crate) fn rest(pid: SessionId, rest: &'a [u8]) -> Option<Self> {
        let mut line = Scan(rest);
        line.literal(b"rbl: ip=")?;
        let address = scan::address(line.until(b' ')?)?;
        line.literal(b"query=")?;
        let query = Text::unescape(line.until(b' ')?);
        line.literal(b"result=")?;
        let name = line.until(b' ')?;
        let result = *RblResult::ALL.iter().find(|r| r.name().as_bytes() == name)?;
        line.literal(b"message='")?;
        // The text may hold such words too; what stands behind its last quote is the line's own.
        let (rest, answer) = match last_key(line.0, b"answer=") {
            Some((rest, codes)) => (rest, scan_codes(codes)?),
            None => (line.0, Vec::new()),
        };
        let (rest, source) = match last_key(rest, b"source=") {
            Some((rest, name)) => {
                (rest, *RblSource::ALL.iter().find(|source| source.name().as_bytes() == name)?)
            }
            None => (rest, RblSource::Query),
        };
        let message = Text::unescape(rest.strip_suffix(b"'")?);
        Some(Rbl { pid, address, query, result, message, source, answer })
    }
}

/// Takes a key off the end of a line, where its last word is that key.
fn last_key<'a>(line: &'a [u8], key: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    if line.ends_with(b"'") {
        return None;
    }
    let at = line.iter().rposition(|byte| *byte == b' ')?;
    let value = line.get(at + 1..)?.strip_prefix(key)?;
    Some((line.get(..at)?, value))
}

fn scan_codes(codes: &[u8]) -> Option<Vec<Ipv4Addr>> {
    let codes = codes.split(|byte| *byte == b',');
    codes.map(|code| std::str::from_utf8(code).ok()?.parse().ok()).collect()
}

impl fmt::Display for Rbl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rbl { pid, address, result, .. } = self;
        let (query, message) = (self.query.escaped(b""), self.message.readable());
        write!(
            f,
            "qmail-smtpd[{pid}]: rbl: ip={address} query={query} result={} message='{message}'",
            result.name()
        )?;
        match self.source {
            RblSource::Query => {}
            source => write!(f, " source={}", source.name())?,
        }
        for (n, code) in self.answer.iter().enumerate() {
            write!(f, "{}{code}", if n == 0 { " answer=" } else { "," })?;
        }
        Ok(())
    }
}

/// `rblsmtpd: IP pid N: …`: a listed client is kept busy, and every command it sends is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rblsmtpd<'a> {
    /// The client's address; before any text from outside.
    pub address: IpAddr,
    /// The session.
    pub pid: SessionId,
    /// The verdict, or a command of the client.
    pub said: Said<'a>,
}

/// What one line of [`Rblsmtpd`] says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Said<'a> {
    /// The client is put off (451).
    Delay(Text<'a>),
    /// The client is refused (553).
    Reject(Text<'a>),
    /// A command, as it came. One that would read as a verdict is written with its first byte escaped.
    Command(Text<'a>),
}

const DELAY: &[u8] = b"451 ";
const REJECT: &[u8] = b"553 ";

impl<'a> Rblsmtpd<'a> {
    /// Reads one line, without its envelope.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        Rblsmtpd::rest(line.strip_prefix(b"rblsmtpd: ")?)
    }

    /// Reads what stands after the program's name.
    pub(crate) fn rest(rest: &'a [u8]) -> Option<Self> {
        let mut line = Scan(rest);
        let address = scan::address(line.until(b' ')?)?;
        line.literal(b"pid ")?;
        let pid = SessionId(line.number(b':')?);
        line.literal(b" ")?;
        let said = if let Some(text) = line.0.strip_prefix(DELAY) {
            Said::Delay(Text::unescape(text))
        } else if let Some(text) = line.0.strip_prefix(REJECT) {
            Said::Reject(Text::unescape(text))
        } else {
            Said::Command(Text::unescape(line.0))
        };
        Some(Rblsmtpd { address, pid, said })
    }
}

impl fmt::Display for Rblsmtpd<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rblsmtpd: {} pid {}: ", self.address, self.pid)?;
        match &self.said {
            Said::Delay(text) => write!(f, "451 {}", text.readable()),
            Said::Reject(text) => write!(f, "553 {}", text.readable()),
            Said::Command(text) => match text.bytes().split_first() {
                Some((first, rest))
                    if text.bytes().starts_with(DELAY) || text.bytes().starts_with(REJECT) =>
                {
                    write!(f, "\\x{first:02x}{}", Text::from(rest).readable())
                }
                _ => write!(f, "{}", text.readable()),
            },
        }
    }
}
