//! What qmail-smtpd says about a login (qmail-smtpd.c:smtp_auth, with the better-smtpd-logging title).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::scan::Scan;
use crate::{SessionId, Text};

/// `qmail-smtpd[N]: auth: auth-failed type=login user=<U>`: one attempt to log in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Auth<'a> {
    /// The session; the line names no address, the session is bound to one.
    pub pid: SessionId,
    /// Whether the password was right.
    pub outcome: AuthOutcome,
    /// How it was sent.
    pub mechanism: Mechanism,
    /// Who the client said it was.
    pub user: Text<'a>,
    /// What tells one wrong password from another; absent in lines of other writers and after a success.
    pub fingerprint: Option<Fingerprint>,
}

/// Whether an attempt to log in succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthOutcome {
    /// The password was right.
    Success,
    /// It was not, or the user does not exist.
    Failed,
}

/// A SASL mechanism, as qmail names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    /// Challenge and response over the clear password (RFC 2195).
    CramMd5,
    /// User name and password in two answers (draft-murchison-sasl-login).
    Login,
    /// User name and password in one answer (RFC 4616).
    Plain,
    /// Proof of the password, over a salted hash of it (RFC 7677).
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// The same, bound to the TLS connection (RFC 5802 §6).
    #[serde(rename = "scram-sha-256-plus")]
    ScramSha256Plus,
}

impl Mechanism {
    /// All of them.
    pub const ALL: &'static [Mechanism] = &[
        Mechanism::CramMd5,
        Mechanism::Login,
        Mechanism::Plain,
        Mechanism::ScramSha256,
        Mechanism::ScramSha256Plus,
    ];

    /// The name as a log line has it.
    pub const fn name(self) -> &'static str {
        match self {
            Mechanism::CramMd5 => "cram-md5",
            Mechanism::Login => "login",
            Mechanism::Plain => "plain",
            Mechanism::ScramSha256 => "scram-sha-256",
            Mechanism::ScramSha256Plus => "scram-sha-256-plus",
        }
    }

    pub(crate) fn parse(name: &[u8]) -> Option<Self> {
        Mechanism::ALL.iter().find(|m| m.name().as_bytes() == name).copied()
    }
}

/// 16 bits of a keyed hash of a wrong password: equal passwords have equal fingerprints, and nothing can be guessed
/// back from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub u16);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}", self.0)
    }
}

impl FromStr for Fingerprint {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let shape = text.len() == 4 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if shape { u16::from_str_radix(text, 16).map(Fingerprint).map_err(|_| ()) } else { Err(()) }
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(|()| serde::de::Error::custom("a fingerprint is four hexadecimal digits"))
    }
}

impl<'a> Auth<'a> {
    /// Reads one line, without its envelope.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        let mut line = Scan(line);
        line.literal(b"qmail-smtpd[")?;
        let pid = SessionId(line.number(b']')?);
        line.literal(b": ")?;
        Auth::rest(pid, line.0)
    }

    /// Reads what stands after the title.
    pub(crate) fn rest(pid: SessionId, rest: &'a [u8]) -> Option<Self> {
        let mut line = Scan(rest);
        line.literal(b"auth: ")?;
        let outcome = match line.until(b' ')? {
            b"auth-success" => AuthOutcome::Success,
            b"auth-failed" => AuthOutcome::Failed,
            _ => return None,
        };
        line.literal(b"type=")?;
        let mechanism = Mechanism::parse(line.until(b' ')?)?;
        line.literal(b"user=<")?;
        let user = Text::unescape(line.until(b'>')?);
        let fingerprint = match line.0 {
            b"" => None,
            rest => Some(std::str::from_utf8(rest.strip_prefix(b" fingerprint=")?).ok()?.parse().ok()?),
        };
        Some(Auth { pid, outcome, mechanism, user, fingerprint })
    }
}

impl fmt::Display for Auth<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            AuthOutcome::Success => "auth-success",
            AuthOutcome::Failed => "auth-failed",
        };
        let (mechanism, user) = (self.mechanism.name(), self.user.escaped(b">"));
        write!(f, "qmail-smtpd[{}]: auth: {outcome} type={mechanism} user=<{user}>", self.pid)?;
        match self.fingerprint {
            Some(fingerprint) => write!(f, " fingerprint={fingerprint}"),
            None => Ok(()),
        }
    }
}
