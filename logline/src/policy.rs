//! What eMPF says of each recipient that it is asked about (policy.c:policy_check): who writes to whom, and whether that
//! may be.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::chkuser::split_pid;
use crate::scan::Scan;
use crate::{SessionId, Text};

/// `policy_check: …`. Two lines for each recipient: who writes to whom, and what follows. eMPF itself names no session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyCheck<'a> {
    /// The session.
    pub pid: SessionId,
    /// What is said.
    #[serde(borrow)]
    pub said: PolicySaid<'a>,
}

/// One of the two lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicySaid<'a> {
    /// `remote a@example.net -> local b@example.org (UNAUTHENTICATED SENDER)`
    Mail {
        /// Where the sender is.
        from: Side,
        /// Who has logged in; else the envelope sender.
        #[serde(borrow)]
        sender: Text<'a>,
        /// Where the recipient is.
        to: Side,
        /// The recipient.
        recipient: Text<'a>,
        /// Whether the sender has logged in.
        is_authenticated: bool,
    },
    /// `policy allows transmission`
    Allows,
    /// `policy forbids transmission`
    Forbids,
}

/// Whose domain an address is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The server's.
    Local,
    /// Another's.
    Remote,
}

const PREFIX: &[u8] = b"policy_check: ";
const ALLOWS: &[u8] = b"policy allows transmission";
const FORBIDS: &[u8] = b"policy forbids transmission";
const AUTHENTICATED: &[u8] = b" (AUTHENTICATED SENDER)";
const UNAUTHENTICATED: &[u8] = b" (UNAUTHENTICATED SENDER)";

impl<'a> PolicyCheck<'a> {
    /// Reads one line, without its envelope.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        let (said, pid) = split_pid(line.strip_prefix(PREFIX)?)?;
        let said = match said {
            ALLOWS => PolicySaid::Allows,
            FORBIDS => PolicySaid::Forbids,
            mail => PolicySaid::mail(mail)?,
        };
        Some(PolicyCheck { pid: pid?, said })
    }
}

impl<'a> PolicySaid<'a> {
    fn mail(mail: &'a [u8]) -> Option<Self> {
        let (mail, is_authenticated) = match mail.strip_suffix(AUTHENTICATED) {
            Some(mail) => (mail, true),
            None => (mail.strip_suffix(UNAUTHENTICATED)?, false),
        };
        let mut line = Scan(mail);
        let from = Side::parse(line.until(b' ')?)?;
        let sender = line.until_literal(b" -> ")?;
        let to = Side::parse(line.until(b' ')?)?;
        let (sender, recipient) = (word(sender)?, word(line.0)?);
        Some(PolicySaid::Mail { from, sender, to, recipient, is_authenticated })
    }
}

/// A field without a space: with one, nobody could tell where it ends.
fn word(field: &[u8]) -> Option<Text<'_>> {
    (!field.contains(&b' ')).then(|| Text::unescape(field))
}

impl Side {
    const fn name(self) -> &'static str {
        match self {
            Side::Local => "local",
            Side::Remote => "remote",
        }
    }

    fn parse(name: &[u8]) -> Option<Self> {
        [Side::Local, Side::Remote].into_iter().find(|side| side.name().as_bytes() == name)
    }
}

impl fmt::Display for PolicyCheck<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("policy_check: ")?;
        match &self.said {
            PolicySaid::Allows => f.write_str("policy allows transmission")?,
            PolicySaid::Forbids => f.write_str("policy forbids transmission")?,
            PolicySaid::Mail { from, sender, to, recipient, is_authenticated } => {
                let (sender, recipient) = (sender.escaped(b""), recipient.escaped(b""));
                let state = if *is_authenticated { "AUTHENTICATED" } else { "UNAUTHENTICATED" };
                write!(f, "{} {sender} -> {} {recipient} ({state} SENDER)", from.name(), to.name())?;
            }
        }
        write!(f, " pid={}", self.pid)
    }
}
