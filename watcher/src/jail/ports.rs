//! The ports that a ban closes.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// All ports, or some TCP ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ports {
    /// Every port and protocol.
    #[default]
    All,
    /// These TCP ports; never none.
    Tcp(PortSet),
}

/// Some ports. A copy is the same set once more: a million bans may close the same ports.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PortSet(Arc<BTreeSet<u16>>);

impl Deref for PortSet {
    type Target = BTreeSet<u16>;

    fn deref(&self) -> &BTreeSet<u16> {
        &self.0
    }
}

impl From<BTreeSet<u16>> for PortSet {
    fn from(ports: BTreeSet<u16>) -> Self {
        PortSet(Arc::new(ports))
    }
}

impl<const N: usize> From<[u16; N]> for PortSet {
    fn from(ports: [u16; N]) -> Self {
        BTreeSet::from(ports).into()
    }
}

impl FromIterator<u16> for PortSet {
    fn from_iter<I: IntoIterator<Item = u16>>(ports: I) -> Self {
        BTreeSet::from_iter(ports).into()
    }
}

/// The names a jail may use (IANA's, and those that mail people say).
const NAMES: &[(&str, u16)] = &[
    ("ssh", 22),
    ("smtp", 25),
    ("http", 80),
    ("pop3", 110),
    ("imap", 143),
    ("imap2", 143),
    ("https", 443),
    ("smtps", 465),
    ("submissions", 465),
    ("submission", 587),
    ("imaps", 993),
    ("pop3s", 995),
    ("sieve", 4190),
];

/// One port, by number or by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port(pub u16);

impl FromStr for Port {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = NAMES.iter().find(|(name, _)| *name == text).map(|(_, port)| *port);
        match named.or_else(|| text.parse().ok().filter(|port| *port > 0)) {
            Some(port) => Ok(Port(port)),
            None => {
                let names = NAMES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
                Err(format!("no port; a number from 1 to 65535, or one of {names}"))
            }
        }
    }
}

impl Ports {
    /// These ports; all where there are none.
    pub fn of(ports: impl IntoIterator<Item = Port>) -> Ports {
        let ports: BTreeSet<u16> = ports.into_iter().map(|Port(port)| port).collect();
        if ports.is_empty() { Ports::All } else { Ports::Tcp(ports.into()) }
    }

    /// Whether the port is among them where strangers bring mail, and a blocklist is asked.
    pub fn include_smtp(&self) -> bool {
        match self {
            Ports::All => true,
            Ports::Tcp(ports) => ports.contains(&25),
        }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ports::All => f.write_str("all"),
            Ports::Tcp(ports) => f.write_str(&ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",")),
        }
    }
}
