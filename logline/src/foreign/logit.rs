//! What qmail-smtpd says in words (qmail-smtpd.c:logit, logit2), raw and without a session, as the patches of 2013 and of
//! today have it.

use std::net::IpAddr;

use crate::Text;
use crate::foreign::Foreign;
use crate::scan;

/// `qmail-smtpd: WORDS (DETAIL): SENDER from IP to RECIPIENT helo HELO`
///
/// Text of the client stands on both sides of the address; it is told apart by the words between the fields, each of
/// which must stand once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logit<'a> {
    /// What happened.
    pub event: LogitEvent,
    /// What stands in brackets behind it.
    pub detail: Option<Text<'a>>,
    /// The envelope sender, if MAIL was given.
    pub sender: Option<Text<'a>>,
    /// The client's address: believe it only where it is connected.
    pub address: IpAddr,
    /// The last address that was parsed; the sender where no RCPT came.
    pub recipient: Option<Text<'a>>,
    /// The name the client gave.
    pub helo: Option<Text<'a>>,
}

macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident = $text:literal;)*) => {
        /// The closed list of what is said in words.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum LogitEvent { $($(#[$doc])* $variant,)* }

        impl LogitEvent {
            /// All of them; a longer text stands before one that it begins with.
            pub const ALL: &'static [LogitEvent] = &[$(LogitEvent::$variant,)*];

            /// The words as a log line has them.
            pub const fn text(self) -> &'static str {
                match self { $(LogitEvent::$variant => $text,)* }
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
    /// TLS could not be agreed on anew.
    Rehandshake = "read failed (rehandshake failed)";
    /// The client went away, or the reason in brackets.
    ReadFailed = "read failed";
    /// The client did nothing for too long.
    Timeout = "timeout";
    /// The announced size is too large.
    SizeExceeded = "exceeded datasize limit";
    /// AUTH where it is not offered.
    AuthNotAvailable = "reject (auth not available)";
    /// AUTH before STARTTLS.
    AuthNeedsTls = "reject (auth not available without TLS)";
    /// STARTTLS with an argument.
    StarttlsSyntax = "reject (Syntax error, no parameters allowed)";
    /// OpenSSL could not speak with the client.
    SslError = "SSL error";
    /// The client asked for the certificate of a name.
    Sni = "SNI provided";
    /// TLS could not be set up: our trouble.
    NoContext = "unable to create ctx";
    /// TLS could not be set up: our trouble.
    NoSessionContext = "failed to set session_id_context";
    /// There is no certificate: our trouble.
    NoCertificate = "missing certificate";
    /// The list of authorities cannot be read: our trouble.
    NoAuthorities = "error loading CA list";
    /// There is no key: our trouble.
    NoKey = "no valid RSA private key";
    /// The control files cannot be read: our trouble.
    NoControls = "unable to read controls";
    /// This host's own addresses are unknown: our trouble.
    NoAddresses = "unable to figure out my IP addresses";
    /// A bare line feed in the message.
    BadNewlines = "bad newlines";
    /// The sender is forbidden by badmailfrom.
    BadMailFrom = "badmailfrom";
    /// More recipients than a message may have.
    MaxRcpt = "max rcpt limit exceeded (qmail-maxrcpt)";
    /// The queue took the message.
    Accepted = "message accepted";
    /// The message has passed here too often.
    Looping = "message looping";
    /// The message is larger than allowed.
    TooBig = "message too big";
    /// The client is on a DNS blocklist, which stands in brackets with its reversed address.
    Dnsbl = "message rejected (qmail-dnsbl)";
    /// The queue refused the message.
    Rejected = "message rejected";
    /// The queue asks to try again.
    Delayed = "message delayed";
}

/// Reads what stands after `qmail-smtpd: `.
pub(super) fn parse(rest: &[u8]) -> Option<Foreign<'_>> {
    let (event, after) = LogitEvent::ALL.iter().find_map(|event| {
        let after = rest.strip_prefix(event.text().as_bytes())?;
        (after.starts_with(b": ") || after.starts_with(b" (")).then_some((*event, after))
    })?;
    // A line that is this program's and has not its one shape was lengthened by somebody.
    Some(fields(event, after).map_or(Foreign::Doubtful, Foreign::Logit))
}

fn fields(event: LogitEvent, after: &[u8]) -> Option<Logit<'_>> {
    let (before, after) = scan::split_only(after, b" from ")?;
    let (address, after) = scan::split_only(after, b" to ")?;
    let (recipient, helo) = scan::split_only(after, b" helo ")?;
    let (detail, sender) = match before.strip_prefix(b" (") {
        Some(detail) => {
            let (detail, sender) = scan::split_only(detail, b"): ")?;
            (Some(Text::from(detail)), sender)
        }
        None => (None, before.strip_prefix(b": ").or_else(|| before.strip_prefix(b":"))?),
    };
    // Some versions write the colon twice.
    let sender = sender.strip_prefix(b": ").unwrap_or(sender);
    let [sender, recipient, helo] = [sender, recipient, helo].map(given);
    Some(Logit { event, detail, sender, address: scan::address(address)?, recipient, helo })
}

fn given(field: &[u8]) -> Option<Text<'_>> {
    (field != b"(null)").then(|| Text::from(field))
}
