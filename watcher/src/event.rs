//! Events: what a filter makes of a line. A fact, no opinion.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use logline::{Text, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// What happened: the closed list, the same for every program. A new kind is added here, never improvised.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind { $($(#[$doc])* $variant,)* }

        impl Kind {
            /// All of them.
            pub const ALL: &'static [Kind] = &[$(Kind::$variant,)*];

            /// The name as filters, jails and JSON have it.
            pub const fn name(self) -> &'static str {
                match self { $(Kind::$variant => $name,)* }
            }
        }
    };
}

kinds! {
    /// A connection was opened.
    Connect = "connect";
    /// A connection ended.
    Disconnect = "disconnect";
    /// The client spoke before the greeting.
    Pregreet = "pregreet";
    /// The client gave a name that is refused.
    HeloBad = "helo-bad";
    /// A login succeeded.
    AuthOk = "auth-ok";
    /// A login failed.
    AuthFailed = "auth-failed";
    /// Mail for a foreign domain was refused.
    RelayDenied = "relay-denied";
    /// A sender was refused.
    SenderRejected = "sender-rejected";
    /// A recipient was accepted.
    RcptOk = "rcpt-ok";
    /// A recipient does not exist.
    RcptUnknown = "rcpt-unknown";
    /// A recipient was refused for another reason.
    RcptRejected = "rcpt-rejected";
    /// A DNS blocklist was asked.
    DnsblQuery = "dnsbl-query";
    /// A DNS blocklist lists the client.
    DnsblListed = "dnsbl-listed";
    /// A DNS blocklist answered with an error, or not at all.
    DnsblError = "dnsbl-error";
    /// SPF failed.
    SpfFail = "spf-fail";
    /// A DKIM signature is broken.
    DkimFail = "dkim-fail";
    /// DMARC failed.
    DmarcFail = "dmarc-fail";
    /// The message names a listed URI.
    UriListed = "uri-listed";
    /// The message is spam.
    Spam = "spam";
    /// The message carries a virus.
    Virus = "virus";
    /// A command that is none, or stands in the wrong place.
    ProtocolError = "protocol-error";
    /// More of something than is allowed.
    LimitExceeded = "limit-exceeded";
    /// TLS failed.
    TlsFailed = "tls-failed";
    /// A message was taken.
    MessageAccepted = "message-accepted";
    /// A message was refused.
    MessageRejected = "message-rejected";
    /// A message reached its recipient.
    Delivered = "delivered";
    /// A delivery is tried again.
    Deferred = "deferred";
    /// A delivery failed for good.
    Bounced = "bounced";
    /// A subject was banned.
    Ban = "ban";
    /// A ban ended.
    Unban = "unban";
    /// What an imported filter calls a failure.
    Failure = "failure";
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Kind::ALL.iter().find(|kind| kind.name() == name).copied().ok_or_else(|| {
            let near = Kind::ALL.iter().max_by(|a, b| {
                strsim::jaro_winkler(a.name(), name).total_cmp(&strsim::jaro_winkler(b.name(), name))
            });
            format!("`{name}` is no event kind; did you mean `{}`?", near.map_or("", |kind| kind.name()))
        })
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'_, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One thing that happened, about one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// What happened.
    pub kind: Kind,
    /// When, by the line's own stamp.
    pub at: Timestamp,
    /// The client. None where the line names none; such an event is counted and never acted on.
    pub address: Option<IpAddr>,
    /// What else the line says: `user`, `recipient`, `password` (a fingerprint), `helo`, …
    pub fields: Vec<(&'a str, Text<'a>)>,
    /// The line itself, envelope and all: what a ban shows as its evidence.
    pub line: &'a [u8],
}

impl Event<'_> {
    /// The value of a field; none where the line does not have it, or has it empty.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields.iter().find(|(n, value)| *n == name && !value.is_empty()).map(|(_, value)| value.bytes())
    }
}
