//! Sessions of programs whose lines are read by pattern: whose they are, and what was counted in each.
//!
//! A program that writes the client's address once and its own name for the session in every line (OpenSMTPD, Haraka) is
//! understood by a `connect` rule that captures both, and by rules that capture the session alone. A program that tells
//! of each failure, and of their number at the end (dovecot, postfix), would be counted twice: what was told before is
//! taken from the number.

use std::collections::HashMap;
use std::net::IpAddr;

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use crate::event::{Event, Kind};

/// So many sessions are remembered for certain, and up to twice as many by chance; the oldest are forgotten first. A
/// line of a forgotten session is nobody's.
const SESSIONS_MAX: usize = 32_768;

/// No program's own name for a session is longer; what is, is some other text.
const NAME_BYTES_MAX: usize = 64;

/// A name with its filter's is seldom longer, and then needs memory of its own.
const NAME_BYTES: usize = 64;

/// What is known of sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    young: HashMap<Name, Session, RandomState>,
    old: HashMap<Name, Session, RandomState>,
}

/// A session, by the filter that read of it and its program's name for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Name(SmallVec<[u8; NAME_BYTES]>);

#[derive(Clone, Debug, Default)]
struct Session {
    client: Client,
    /// Failed logins that were told one by one.
    failures: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Client {
    #[default]
    Unknown,
    Known(IpAddr),
    /// It was opened twice, and not closed between.
    Ambiguous,
}

impl Name {
    /// The name that a line captured; none where it is no name.
    pub(super) fn captured(filter: &str, session: &[u8]) -> Option<Name> {
        let is_name = !session.is_empty() && session.len() <= NAME_BYTES_MAX;
        is_name.then(|| Name::joined([filter.as_bytes(), b"\0session\0", session]))
    }

    /// A name made up for a program that gives none: a process serves one client at a time.
    pub(super) fn of_process(filter: &str, program: Option<&[u8]>, pid: u32, client: IpAddr) -> Name {
        let client = match client {
            IpAddr::V4(client) => client.to_ipv6_mapped(),
            IpAddr::V6(client) => client,
        };
        let (pid, client) = (pid.to_be_bytes(), client.octets());
        let program = program.unwrap_or_default();
        Name::joined([filter.as_bytes(), b"\0process\0", program, &pid, &client])
    }

    fn joined<const N: usize>(parts: [&[u8]; N]) -> Name {
        let mut name = SmallVec::new();
        parts.into_iter().for_each(|part| name.extend_from_slice(part));
        Name(name)
    }
}

impl Sessions {
    /// A client has connected.
    pub(super) fn open(&mut self, name: Name, address: IpAddr) {
        let session = self.of(name);
        session.client = match session.client {
            Client::Unknown => Client::Known(address),
            Client::Known(known) if known == address => Client::Known(address),
            Client::Known(_) | Client::Ambiguous => Client::Ambiguous,
        };
    }

    /// Whose the session is.
    pub(super) fn client(&self, name: &Name) -> Option<IpAddr> {
        match self.young.get(name).or_else(|| self.old.get(name))?.client {
            Client::Known(address) => Some(address),
            Client::Unknown | Client::Ambiguous => None,
        }
    }

    /// The session is over.
    pub(super) fn close(&mut self, name: &Name) {
        self.young.remove(name);
        self.old.remove(name);
    }

    /// How many failures are new in an event that tells of one, or of all in its session; 0 where all were told before.
    pub(super) fn news(&mut self, name: Name, event: &Event<'_>) -> u32 {
        if event.kind != Kind::AuthFailed {
            return event.weight;
        }
        let is_total = event.field("attempts").is_some();
        if is_total && !self.young.contains_key(&name) && !self.old.contains_key(&name) {
            return event.weight;
        }
        let session = self.of(name);
        if is_total {
            let told = std::mem::take(&mut session.failures);
            return event.weight.saturating_sub(told);
        }
        session.failures = session.failures.saturating_add(event.weight);
        event.weight
    }

    fn of(&mut self, name: Name) -> &mut Session {
        if self.young.len() >= SESSIONS_MAX && !self.young.contains_key(&name) {
            self.old = std::mem::take(&mut self.young);
        }
        let known = self.old.remove(&name);
        self.young.entry(name).or_insert_with(|| known.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> Name {
        Name::captured("f", number.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn sessions_are_bounded_and_the_oldest_go_first() {
        let mut sessions = Sessions::default();
        let client: IpAddr = "192.0.2.7".parse().unwrap();
        for number in 0..4 * SESSIONS_MAX {
            sessions.open(name(number), client);
        }
        assert!(sessions.young.len() + sessions.old.len() <= 2 * SESSIONS_MAX);
        assert_eq!(sessions.client(&name(4 * SESSIONS_MAX - 1)), Some(client));
        assert_eq!(sessions.client(&name(0)), None);
    }

    #[test]
    fn a_session_opened_twice_by_different_clients_is_nobodys_until_it_is_closed() {
        let mut sessions = Sessions::default();
        let [one, other]: [IpAddr; 2] = ["192.0.2.7", "198.51.100.9"].map(|text| text.parse().unwrap());
        sessions.open(name(1), one);
        sessions.open(name(1), one);
        assert_eq!(sessions.client(&name(1)), Some(one));
        sessions.open(name(1), other);
        assert_eq!(sessions.client(&name(1)), None);
        sessions.close(&name(1));
        sessions.open(name(1), other);
        assert_eq!(sessions.client(&name(1)), Some(other));
    }

    #[test]
    fn a_text_that_is_no_name_names_no_session() {
        assert_eq!(Name::captured("f", b""), None);
        assert_eq!(Name::captured("f", &[b'x'; NAME_BYTES_MAX + 1]), None);
    }
}
