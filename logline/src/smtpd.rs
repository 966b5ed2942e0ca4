//! What qmail-smtpd says in words (qmail-smtpd.c:logit, logit2; the better-smtpd-logging patch).

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::chkuser::split_pid;
use crate::scan::{self, Scan};
use crate::{SessionId, Text};

/// `qmail-smtpd: EVENT: SENDER from IP to RECIPIENT helo HELO pid=N`.
///
/// The recipient is the last address that was parsed, so it is the sender where no RCPT came. Attacker text stands on
/// both sides of the address: believe it only where the session says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Smtpd<'a> {
    /// What happened.
    pub event: SmtpdEvent,
    /// The envelope sender, if MAIL was given.
    pub sender: Option<Text<'a>>,
    /// The client's address.
    pub address: IpAddr,
    /// The last address that was parsed.
    pub recipient: Option<Text<'a>>,
    /// The name the client gave.
    pub helo: Option<Text<'a>>,
    /// The session; the original does not say.
    pub pid: Option<SessionId>,
}

macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident = $text:literal;)*) => {
        /// The closed list of what qmail-smtpd says in words.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum SmtpdEvent { $($(#[$doc])* $variant,)* }

        impl SmtpdEvent {
            /// All of them.
            pub const ALL: &'static [SmtpdEvent] = &[$(SmtpdEvent::$variant,)*];

            /// The words as a log line has them.
            pub const fn text(self) -> &'static str {
                match self { $(SmtpdEvent::$variant => $text,)* }
            }
        }
    };
}

events! {
    /// The client went away without QUIT.
    ClosedBeforeQuit = "read failed (connection closed by the client before the quit cmd)";
    /// The client went away in the middle of a login.
    AuthReadFailed = "read failed (error in authgetl function)";
    /// The TLS handshake failed.
    TlsFailed = "read failed (tls connection failed)";
    /// TLS broke after the handshake.
    TlsError = "read failed (tls error)";
    /// The client did nothing for too long.
    Timeout = "timeout";
    /// The announced size is too large.
    SizeExceeded = "exceeded datasize limit";
    /// The message is too large.
    MessageTooBig = "message too big";
    /// AUTH where it is not offered.
    AuthNotAvailable = "reject (auth not available)";
    /// AUTH before STARTTLS.
    AuthNeedsTls = "reject (auth not available without TLS)";
    /// STARTTLS with an argument.
    StarttlsSyntax = "reject (Syntax error, no parameters allowed)";
}

const PREFIX: &[u8] = b"qmail-smtpd: ";
const NOTHING: &[u8] = b"(null)";

impl<'a> Smtpd<'a> {
    /// Reads one line, without its envelope.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        Smtpd::rest(line.strip_prefix(PREFIX)?)
    }

    /// Reads what stands after the program's name.
    pub(crate) fn rest(rest: &'a [u8]) -> Option<Self> {
        let mut line = Scan(rest);
        let event = SmtpdEvent::ALL.iter().find(|event| {
            line.0.strip_prefix(event.text().as_bytes()).is_some_and(|rest| rest.starts_with(b": "))
        })?;
        line.literal(event.text().as_bytes())?;
        line.literal(b": ")?;
        let sender = optional(line.until_literal(b" from ")?)?;
        let address = scan::address(line.until_literal(b" to ")?)?;
        let recipient = optional(line.until_literal(b" helo ")?)?;
        let (helo, pid) = split_pid(line.0)?;
        Some(Smtpd { event: *event, sender, address, recipient, helo: optional(helo)?, pid })
    }
}

/// A field without a space: with one, nobody could tell where it ends.
fn optional(field: &[u8]) -> Option<Option<Text<'_>>> {
    match field {
        NOTHING => Some(None),
        field if field.contains(&b' ') => None,
        field => Some(Some(Text::unescape(field))),
    }
}

impl fmt::Display for Smtpd<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [sender, recipient, helo] =
            [&self.sender, &self.recipient, &self.helo].map(|text| Optional(text.as_ref()));
        write!(f, "qmail-smtpd: {}: {sender} from {} ", self.event.text(), self.address)?;
        write!(f, "to {recipient} helo {helo}")?;
        match self.pid {
            Some(pid) => write!(f, " pid={pid}"),
            None => Ok(()),
        }
    }
}

/// A field that is `(null)` where nothing was given; a client that says `(null)` is written with its bracket escaped.
struct Optional<'t>(Option<&'t Text<'t>>);

impl fmt::Display for Optional<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("(null)"),
            Some(text) if text.bytes() == NOTHING => write!(f, "{}", text.escaped(b"(")),
            Some(text) => write!(f, "{}", text.escaped(b"")),
        }
    }
}
