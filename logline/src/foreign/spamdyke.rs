//! spamdyke's verdict on each recipient (spamdyke.c, log.c:spamdyke_log), to its own standard error or to syslog.

use std::net::IpAddr;

use memchr::memmem;

use crate::foreign::Foreign;
use crate::scan::{self, Scan};
use crate::{SessionId, Text};

/// A line of spamdyke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spamdyke<'a> {
    /// `CODE from: S to: R origin_ip: IP origin_rdns: H auth: U encryption: E reason: T`
    Verdict {
        /// The session: spamdyke is what tcpserver started.
        pid: Option<SessionId>,
        /// What was decided.
        code: SpamdykeCode,
        /// The envelope sender; raw, and before the address.
        sender: Text<'a>,
        /// The recipient; raw, and before the address.
        recipient: Text<'a>,
        /// The client's address.
        address: IpAddr,
        /// The client's name by reverse look-up.
        remote_host: Text<'a>,
        /// Who authenticated; raw.
        user: Text<'a>,
        /// What was answered.
        reason: Option<Text<'a>>,
    },
    /// `ERROR: authentication failure (…): USER`
    AuthFailure {
        /// The session; the line names no address.
        pid: Option<SessionId>,
        /// Who the client said it was; raw.
        user: Text<'a>,
    },
    /// What spamdyke tells of its work when it is asked to tell much.
    Verbose(Text<'a>),
}

/// One of the closed list of spamdyke's words for what it decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpamdykeCode(&'static str);

impl SpamdykeCode {
    /// All of them.
    pub const ALL: &'static [SpamdykeCode] = &[
        SpamdykeCode("ALLOWED"),
        SpamdykeCode("ALLOWED_AUTHENTICATED"),
        SpamdykeCode("ALLOWED_TLS"),
        SpamdykeCode("TLS_ENCRYPTED"),
        SpamdykeCode("FAILED_AUTH"),
        SpamdykeCode("UNKNOWN_AUTH"),
        SpamdykeCode("FAILED_TLS"),
        SpamdykeCode("TIMEOUT"),
        SpamdykeCode("DENIED_TOO_MANY_RECIPIENTS"),
        SpamdykeCode("DENIED_UNQUALIFIED_RECIPIENT"),
        SpamdykeCode("DENIED_GRAYLISTED"),
        SpamdykeCode("DENIED_RDNS_MISSING"),
        SpamdykeCode("DENIED_RDNS_RESOLVE"),
        SpamdykeCode("DENIED_IP_IN_CC_RDNS"),
        SpamdykeCode("DENIED_IP_IN_RDNS"),
        SpamdykeCode("DENIED_EARLYTALKER"),
        SpamdykeCode("DENIED_BLACKLIST_NAME"),
        SpamdykeCode("DENIED_BLACKLIST_IP"),
        SpamdykeCode("DENIED_SENDER_BLACKLISTED"),
        SpamdykeCode("DENIED_RECIPIENT_BLACKLISTED"),
        SpamdykeCode("DENIED_SENDER_NO_MX"),
        SpamdykeCode("DENIED_RBL_MATCH"),
        SpamdykeCode("DENIED_RHSBL_MATCH"),
        SpamdykeCode("DENIED_ACCESS_DENIED"),
        SpamdykeCode("DENIED_RELAYING"),
        SpamdykeCode("DENIED_OTHER"),
        SpamdykeCode("DENIED_ZERO_RECIPIENTS"),
        SpamdykeCode("DENIED_AUTH_REQUIRED"),
        SpamdykeCode("DENIED_REJECT_ALL"),
        SpamdykeCode("DENIED_IDENTICAL_SENDER_RECIPIENT"),
    ];

    /// The word as a log line has it.
    pub const fn name(self) -> &'static str {
        self.0
    }
}

const ORIGIN: &[u8] = b" origin_ip: ";

impl<'a> Spamdyke<'a> {
    /// `spamdyke[N]: …`
    pub(crate) fn parse(line: &'a [u8]) -> Option<Foreign<'a>> {
        let mut line = Scan(line);
        line.literal(b"spamdyke[")?;
        let pid = SessionId(line.number(b']')?);
        line.literal(b": ")?;
        Spamdyke::rest(Some(pid), line.0)
    }

    /// What stands after the title.
    pub(crate) fn rest(pid: Option<SessionId>, rest: &'a [u8]) -> Option<Foreign<'a>> {
        let mut line = Scan(rest);
        let word = line.until(b' ')?;
        if word == b"ERROR:" {
            let (_, user) = scan::split_once(line.0.strip_prefix(b"authentication failure (")?, b"): ")?;
            return Some(Foreign::Spamdyke(Spamdyke::AuthFailure { pid, user: Text::from(user) }));
        }
        if word.starts_with(b"FILTER_") {
            return Some(Foreign::Spamdyke(Spamdyke::Verbose(Text::from(rest))));
        }
        let code = *SpamdykeCode::ALL.iter().find(|code| code.0.as_bytes() == word)?;
        line.literal(b"from: ")?;
        let verdict = verdict(pid, code, line.0);
        let is_doubtful = || memmem::find_iter(line.0, ORIGIN).nth(1).is_some();
        verdict.map(Foreign::Spamdyke).or_else(|| is_doubtful().then_some(Foreign::Doubtful))
    }
}

/// `S to: R origin_ip: IP …`. spamdyke writes the words before the address once: where they stand twice, a client wrote
/// one of them.
fn verdict(pid: Option<SessionId>, code: SpamdykeCode, rest: &[u8]) -> Option<Spamdyke<'_>> {
    let (envelope, rest) = scan::split_only(rest, ORIGIN)?;
    let (sender, recipient) = scan::split_once(envelope, b" to: ")?;
    let (address, rest) = scan::split_once(rest, b" origin_rdns: ")?;
    let (remote_host, rest) = scan::split_once(rest, b" auth: ")?;
    let (user, rest) = scan::rsplit_once(rest, b" encryption: ")?;
    let reason = scan::split_once(rest, b" reason: ").map(|(_, reason)| Text::from(reason));
    let [sender, recipient, remote_host, user] = [sender, recipient, remote_host, user].map(known);
    let address = scan::address(address)?;
    Some(Spamdyke::Verdict { pid, code, sender, recipient, address, remote_host, user, reason })
}

fn known(field: &[u8]) -> Text<'_> {
    if field == b"(unknown)" { Text::default() } else { Text::from(field) }
}
