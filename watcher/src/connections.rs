//! The connection table: which session belongs to which address.
//!
//! `tcpserver: pid N from IP` opens a session, and nothing a client chose stands in that line. Every other line is
//! believed only as far as this table agrees: a line without an address gets the session's, and a line that claims one
//! must claim the session's.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use logline::{SessionId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::event::Kind;
use crate::fact::Fact;

/// The most sessions that are remembered. A server that has more open than this loses the oldest, whose later lines
/// are then ambiguous and not acted on.
pub const SESSIONS_MAX: usize = 200_000;

/// A session without an `end` line is forgotten after this: pids are used again, and a table that waits for `end` grows
/// without bound where the server never writes one.
pub const SESSION_LIFE: Duration = Duration::from_secs(24 * 3600);

/// A session of a server that does not say which one ended is taken to be over after this, when its number comes again.
pub const UNENDED_LIFE: Duration = Duration::from_secs(3600);

/// Pairs of kind and fact that are counted in one session; lines beyond are events of their own.
const SAID_MAX: usize = 16;

/// One session as it was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The client; none where the number was opened twice without an end, so that nobody can tell whose it is.
    pub address: Option<IpAddr>,
    /// When it was opened.
    pub opened: Timestamp,
    /// What is known of its end.
    #[serde(default)]
    end: End,
    /// How often each fact has said each kind of thing in this session.
    said: Vec<(Kind, Fact, u32)>,
}

/// What is known of a session's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum End {
    /// It will be told.
    #[default]
    Awaited,
    /// It will not: sslserver 0.12 tells of another process.
    Untold,
    /// A server said that it has no session open. Perhaps this one was another server's, so it still names its client.
    Presumed,
}

/// What the table says about a line's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The client is this one.
    Confirmed(IpAddr),
    /// The line and the table do not agree, or nobody knows the session: not to be acted on.
    Ambiguous,
}

impl Session {
    /// True where a new session of the same number cannot be told from this one.
    fn is_in_the_way_of(&self, address: IpAddr, now: Timestamp) -> bool {
        let is_open = match self.end {
            End::Awaited => true,
            End::Untold => now.since(self.opened) < UNENDED_LIFE,
            End::Presumed => false,
        };
        is_open && self.address != Some(address)
    }
}

/// The open sessions of one source.
#[derive(Clone, Debug, Default)]
pub struct Connections {
    open: HashMap<SessionId, Session, foldhash::fast::RandomState>,
    /// How many sessions each address has open, and the latest of them: to confirm a line that names an address and no
    /// session, and to join it to what the session says.
    addresses: HashMap<IpAddr, (u32, SessionId), foldhash::fast::RandomState>,
    /// Sessions by age, for the two rules above. Entries of sessions that ended or were opened anew are passed over.
    by_age: std::collections::VecDeque<(Timestamp, SessionId)>,
    /// How many of the latest were opened since a server had nothing open.
    opened_since_idle: usize,
    changed: Vec<SessionId>,
    /// Of which the database has a row. Most sessions open and end between two savings, and need none.
    stored: HashSet<SessionId, foldhash::fast::RandomState>,
}

impl Connections {
    /// A connection came in, to a server that tells when it ends.
    pub fn open(&mut self, pid: SessionId, address: IpAddr, at: Timestamp) {
        self.open_until(pid, address, at, End::Awaited);
    }

    /// A connection came in, to a server that does not.
    pub fn open_without_end(&mut self, pid: SessionId, address: IpAddr, at: Timestamp) {
        self.open_until(pid, address, at, End::Untold);
    }

    fn open_until(&mut self, pid: SessionId, address: IpAddr, at: Timestamp, end: End) {
        let address = address.to_canonical();
        self.forget_old(at);
        let address = match self.close_quietly(pid) {
            Some(before) if before.is_in_the_way_of(address, at) => None,
            _ => Some(address),
        };
        self.insert(pid, Session { address, opened: at, end, said: Vec::new() });
        self.changed.push(pid);
    }

    /// A session that was saved comes back.
    pub fn restore(&mut self, pid: SessionId, session: Session) {
        self.close_quietly(pid);
        self.insert(pid, session);
        self.stored.insert(pid);
    }

    /// A connection ended.
    pub fn close(&mut self, pid: SessionId) {
        if self.close_quietly(pid).is_some() {
            self.changed.push(pid);
        }
    }

    /// A server says that it has nothing open: it was started anew, or is idle. Several servers may write one log, so a
    /// session is not forgotten for that; but its number may come again, and its address is connected no more.
    pub fn close_all(&mut self) {
        let since = std::mem::take(&mut self.opened_since_idle);
        for (_, pid) in self.by_age.iter().rev().take(since) {
            if let Some(session) = self.open.get_mut(pid).filter(|session| session.end != End::Presumed) {
                session.end = End::Presumed;
                self.changed.push(*pid);
            }
        }
        self.addresses.clear();
    }

    /// Who the client of a line is that names this session and claims this address.
    pub fn client(&self, pid: Option<SessionId>, claimed: Option<IpAddr>) -> Claim {
        let claimed = claimed.map(|address| address.to_canonical());
        let confirmed = match (pid, claimed) {
            (Some(pid), None) => self.open.get(&pid).and_then(|session| session.address),
            (Some(pid), Some(claimed)) => {
                self.open.get(&pid).and_then(|session| session.address).filter(|address| *address == claimed)
            }
            (None, Some(claimed)) => self.addresses.contains_key(&claimed).then_some(claimed),
            (None, None) => None,
        };
        confirmed.map_or(Claim::Ambiguous, Claim::Confirmed)
    }

    /// True where the table knows the session as another's.
    pub fn denies(&self, pid: Option<SessionId>, claimed: IpAddr) -> bool {
        let session = pid.and_then(|pid| self.open.get(&pid));
        session.is_some_and(|session| session.address != Some(claimed.to_canonical()))
    }

    /// The session that a line is about which names an address and no session: the latest of that address.
    pub fn latest_of(&self, address: IpAddr) -> Option<SessionId> {
        self.addresses.get(&address.to_canonical()).map(|(_, pid)| *pid)
    }

    /// True where this line says what another line of the session has said already: one rejection writes two or three
    /// lines, and is one event. Of several facts that tell of the same kind of thing, the one that has told most often
    /// tells something new; the others repeat it.
    pub fn repeats(&mut self, pid: SessionId, kind: Kind, fact: Fact) -> bool {
        let Some(session) = self.open.get_mut(&pid) else { return false };
        self.changed.push(pid);
        let most = session.said.iter().filter(|(k, _, _)| *k == kind).map(|(_, _, n)| *n).max().unwrap_or(0);
        let room = session.said.len() < SAID_MAX;
        match session.said.iter_mut().find(|(k, f, _)| *k == kind && *f == fact) {
            Some((_, _, count)) => {
                *count = count.saturating_add(1);
                *count <= most
            }
            None if room => {
                session.said.push((kind, fact, 1));
                most > 0
            }
            None => false,
        }
    }

    /// Whoever saves has lost what he had: every open session is a change again.
    pub fn everything_changed(&mut self) {
        self.stored.clear();
        self.changed = self.open.keys().copied().collect();
    }

    /// Sessions that opened or ended since this was asked last, with what is known of them now.
    pub fn take_changes(&mut self) -> Vec<(SessionId, Option<Session>)> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        let Connections { open, stored, .. } = self;
        let row = |pid: SessionId| match open.get(&pid) {
            Some(session) => {
                stored.insert(pid);
                Some((pid, Some(session.clone())))
            }
            None => stored.remove(&pid).then_some((pid, None)),
        };
        changed.into_iter().filter_map(row).collect()
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// True where none is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    fn insert(&mut self, pid: SessionId, session: Session) {
        if let Some(address) = session.address
            && session.end != End::Presumed
        {
            let (count, latest) = self.addresses.entry(address).or_insert((0, pid));
            *count += 1;
            *latest = pid;
        }
        self.by_age.push_back((session.opened, pid));
        self.opened_since_idle += 1;
        self.open.insert(pid, session);
    }

    fn close_quietly(&mut self, pid: SessionId) -> Option<Session> {
        let session = self.open.remove(&pid)?;
        if let Some(address) = session.address
            && session.end != End::Presumed
            && let Some((count, _)) = self.addresses.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&address);
            }
        }
        Some(session)
    }

    /// Forgets what is too old, and the oldest where there are too many.
    fn forget_old(&mut self, now: Timestamp) {
        while let Some(&(opened, pid)) = self.by_age.front() {
            let current = self.open.get(&pid).is_some_and(|session| session.opened == opened);
            if current && self.open.len() < SESSIONS_MAX && now.since(opened) < SESSION_LIFE {
                return;
            }
            self.by_age.pop_front();
            if current {
                self.close(pid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 66));
    const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

    fn with(sessions: &[(u32, IpAddr)]) -> Connections {
        let mut table = Connections::default();
        for (pid, address) in sessions {
            table.open(SessionId(*pid), *address, NOW);
        }
        table
    }

    #[test]
    fn a_session_gives_its_lines_an_address() {
        let table = with(&[(1, A), (2, B)]);
        assert_eq!(table.client(Some(SessionId(1)), None), Claim::Confirmed(A));
        assert_eq!(table.client(Some(SessionId(1)), Some(A)), Claim::Confirmed(A));
    }

    #[test]
    fn a_claim_that_the_session_does_not_bear_out_is_ambiguous() {
        let table = with(&[(1, A)]);
        assert_eq!(table.client(Some(SessionId(1)), Some(B)), Claim::Ambiguous);
        assert_eq!(table.client(Some(SessionId(2)), Some(A)), Claim::Ambiguous);
        assert_eq!(table.client(None, Some(B)), Claim::Ambiguous);
        assert_eq!(table.client(None, Some(A)), Claim::Confirmed(A));
    }

    #[test]
    fn a_number_opened_twice_without_an_end_is_nobodys() {
        let mut table = with(&[(1, A), (1, B)]);
        assert_eq!(table.client(Some(SessionId(1)), None), Claim::Ambiguous);
        table.close(SessionId(1));
        table.open(SessionId(1), B, NOW);
        assert_eq!(table.client(Some(SessionId(1)), None), Claim::Confirmed(B));
    }

    #[test]
    fn a_server_that_has_nothing_open_frees_the_numbers_and_no_more() {
        let mut table = with(&[(1, A)]);
        table.close_all();
        assert_eq!(table.client(Some(SessionId(1)), Some(A)), Claim::Confirmed(A));
        assert_eq!(table.client(None, Some(A)), Claim::Ambiguous);
        table.open(SessionId(1), B, NOW);
        assert_eq!(table.client(Some(SessionId(1)), None), Claim::Confirmed(B));
        assert_eq!(table.client(None, Some(B)), Claim::Confirmed(B));
        table.close(SessionId(1));
        assert_eq!(table.client(None, Some(B)), Claim::Ambiguous);
    }

    #[test]
    fn a_session_whose_end_is_never_told_is_over_after_an_hour() {
        let mut table = Connections::default();
        table.open_without_end(SessionId(1), A, NOW);
        table.open_without_end(SessionId(1), B, NOW + Duration::from_secs(60));
        assert_eq!(table.client(Some(SessionId(1)), None), Claim::Ambiguous);
        table.open_without_end(SessionId(1), B, NOW + Duration::from_secs(60) + UNENDED_LIFE);
        assert_eq!(table.client(Some(SessionId(1)), None), Claim::Confirmed(B));
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_oldest() {
        let mut table = Connections::default();
        for pid in 0..u32::try_from(SESSIONS_MAX).unwrap() + 10 {
            table.open(SessionId(pid), A, NOW);
        }
        assert_eq!(table.len(), SESSIONS_MAX);
        assert_eq!(table.client(Some(SessionId(9)), None), Claim::Ambiguous);
        table.open(SessionId(0), A, NOW + SESSION_LIFE);
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn a_session_that_came_and_went_between_two_savings_leaves_nothing_to_save() {
        let mut table = with(&[(1, A), (2, B)]);
        table.close(SessionId(1));
        let pids = |table: &mut Connections| -> Vec<(u32, bool)> {
            table.take_changes().into_iter().map(|(pid, session)| (pid.0, session.is_some())).collect()
        };
        assert_eq!(pids(&mut table), [(2, true)]);
        table.close(SessionId(2));
        assert_eq!(pids(&mut table), [(2, false)]);
        let saved = Session { address: Some(A), opened: NOW, end: End::Awaited, said: Vec::new() };
        table.restore(SessionId(3), saved);
        table.close(SessionId(3));
        assert_eq!(pids(&mut table), [(3, false)]);
    }

    #[test]
    fn two_lines_of_one_rejection_are_one_event() {
        let mut table = with(&[(1, A)]);
        let mut line = |fact| table.repeats(SessionId(1), Kind::RcptUnknown, fact);
        assert!(!line(Fact::Chkuser));
        assert!(line(Fact::Qlog));
        assert!(!line(Fact::Chkuser));
        assert!(!line(Fact::Chkuser));
        assert!(line(Fact::Qlog));
        assert!(line(Fact::Qlog));
        assert!(line(Fact::Rblsmtpd));
        assert!(!line(Fact::Qlog));
    }
}
