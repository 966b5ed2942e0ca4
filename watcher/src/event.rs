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

/// One line stands for at most so many events: a number in a log is not to ban anybody by itself, nor to keep the watcher
/// busy.
pub const WEIGHT_MAX: u32 = 1000;

/// One thing that happened, about one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// What happened.
    pub kind: Kind,
    /// When, by the line's own stamp.
    pub at: Timestamp,
    /// The client. None where the line names none; such an event is counted and never acted on.
    pub address: Option<IpAddr>,
    /// How many times it happened: 1, but where one line tells of several. Never 0, never more than [`WEIGHT_MAX`].
    pub weight: u32,
    /// What else the line says: `user`, `recipient`, `password` (a fingerprint), `helo`, …
    pub fields: Vec<(&'a str, Text<'a>)>,
    /// The line itself, envelope and all: what a ban shows as its evidence.
    pub line: &'a [u8],
}

/// The captures of a pattern that say how many times a thing happened, as in `(?<attempts>[0-9]+)`.
const WEIGHT_FIELDS: &[&str] = &["attempts", "weight"];

impl Event<'_> {
    /// The weight that captured fields give an event: 1 where they say nothing readable.
    pub fn weight_of<N: AsRef<str>>(fields: &[(N, Text<'_>)]) -> u32 {
        let number =
            |text: &Text<'_>| -> Option<u64> { std::str::from_utf8(text.bytes()).ok()?.parse().ok() };
        let said = fields.iter().find(|(name, _)| WEIGHT_FIELDS.contains(&name.as_ref()));
        said.and_then(|(_, text)| number(text))
            .map_or(1, |number| u32::try_from(number).unwrap_or(WEIGHT_MAX).clamp(1, WEIGHT_MAX))
    }

    /// The value of a field; none where the line does not have it, or has it empty.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields.iter().find(|(n, value)| *n == name && !value.is_empty()).map(|(_, value)| value.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_weighs_what_it_says_and_never_nothing_nor_without_end() {
        for (name, text, weight) in [
            ("attempts", "6", 6),
            ("weight", "3", 3),
            ("user", "9", 1),
            ("attempts", "0", 1),
            ("attempts", "", 1),
            ("attempts", "-5", 1),
            ("attempts", "4000000000000", WEIGHT_MAX),
            ("attempts", "99999999999999999999999999", 1),
        ] {
            assert_eq!(
                Event::weight_of(&[("user", Text::from("x")), (name, Text::from(text))]),
                weight,
                "{text}"
            );
        }
    }
}
