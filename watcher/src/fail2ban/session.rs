//! What the lines of one session say together: `<F-MLFID>` binds them, and the last of them may be the one that counts.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use logline::Timestamp;

use crate::fail2ban::pattern::{Groups, IDENTITIES};

/// So many sessions are kept, the oldest going first. fail2ban keeps 100 and loses some where there are more at a time.
pub const SESSIONS_MAX: usize = 10_000;

/// A session is forgotten so long after its first line.
const SESSION_AGE_MAX: Duration = Duration::from_secs(300);

/// So many users of a session are told apart.
const USERS_MAX: usize = 100;

/// What is known of a failure: of one line, or of all the lines of a session so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// What the named groups took.
    pub groups: Groups,
    /// The users of the session.
    pub users: BTreeSet<String>,
    /// How many lines make the failure.
    pub lines: u32,
    /// How many lines are kept that make one if another one follows.
    context_lines: u32,
    /// Whether it was a failure, and lacked whose.
    pending: bool,
}

impl Failure {
    /// What a line alone says.
    pub fn new(groups: Groups) -> Self {
        Failure { groups, ..Failure::default() }
    }

    /// What a group took, unless that is nothing.
    pub fn group(&self, name: &str) -> Option<&str> {
        self.groups.get(name).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// Whom it is about: what the filter calls the id, or an address, or a name.
    pub fn id(&self) -> Option<&str> {
        IDENTITIES.iter().find_map(|name| self.groups.get(*name)).map(String::as_str)
    }

    /// The address, where there is one.
    pub fn address(&self) -> Option<std::net::IpAddr> {
        ["ip4", "ip6", "fid"].iter().find_map(|name| self.groups.get(*name)?.parse().ok())
    }

    /// Whether it only says what the session was like.
    pub(super) fn is_context(&self) -> bool {
        self.group("nofail").is_some()
    }

    /// A failure that awaits the line that says whose it is.
    pub(super) fn wait(&mut self) {
        self.pending = true;
    }

    fn user(&self) -> Option<String> {
        self.group("user").map(str::to_owned)
    }

    fn take_group(&mut self, name: &str) -> bool {
        self.groups.remove(name).is_some_and(|text| !text.is_empty())
    }
}

/// The sessions that are open.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions {
    table: HashMap<String, (u64, Timestamp, Failure)>,
    /// The oldest first; a number that the table does not have any more is skipped.
    order: VecDeque<(u64, String)>,
    next: u64,
}

/// A session to which a line was added, while it is decided what becomes of it.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) failure: Failure,
    /// Its number and beginning; none where the session is over.
    kept: Option<(u64, Timestamp)>,
}

impl Sessions {
    /// Adds what a line of `lines` lines says to its session.
    pub(super) fn merge(&mut self, id: &str, mut line: Failure, lines: u32, now: Timestamp) -> Merged {
        let mut gained = line.group("mlfgained").is_some();
        if gained
            && !line.is_context()
            && let Some(text) = line.groups.get("mlfgained").cloned()
        {
            line.groups.insert("nofail".into(), text);
        }
        let mut is_context = line.is_context();
        let ends = line.take_group("mlfforget");
        let user = line.user();
        let known = self.table.remove(id).filter(|(_, born, _)| now.since(*born) < SESSION_AGE_MAX);
        let (mut failure, kept) = match known {
            Some((number, born, mut session)) => {
                let was_context = session.take_group("nofail");
                let was_context = session.take_group("mlfgained") || was_context;
                session.pending &= !gained;
                if !was_context && !session.pending {
                    // These lines were told with the failure before.
                    session.lines = 0;
                }
                session.groups.extend(line.groups);
                (session, Some((number, born)))
            }
            None => {
                self.next += 1;
                (line, Some((self.next, now)))
            }
        };
        let kept = kept.filter(|_| !ends);
        let is_known = failure.users.len() < USERS_MAX && (kept.is_some() || !failure.users.is_empty());
        failure.users.extend(user.filter(|_| is_known));
        if std::mem::take(&mut failure.pending) || failure.users.len() > 1 {
            // Something failed before, or this is another user: it counts whatever the line says.
            failure.groups.remove("nofail");
            failure.groups.remove("mlfgained");
            (is_context, gained) = (false, false);
        }
        if !is_context {
            failure.lines += std::mem::take(&mut failure.context_lines) + if gained { 0 } else { lines };
        } else if !ends {
            failure.context_lines += lines;
        }
        Merged { failure, kept }
    }

    /// Keeps a session for its next line.
    pub(super) fn keep(&mut self, id: &str, merged: Merged) {
        let Some((number, born)) = merged.kept else { return };
        let is_new = self.order.back().is_none_or(|(last, _)| *last < number);
        self.table.insert(id.to_owned(), (number, born, merged.failure));
        if !is_new {
            return;
        }
        self.order.push_back((number, id.to_owned()));
        while self.table.len() > SESSIONS_MAX || self.order.len() > SESSIONS_MAX * 2 {
            let Some((number, id)) = self.order.pop_front() else { return };
            if self.table.get(&id).is_some_and(|(known, ..)| *known == number) {
                self.table.remove(&id);
            }
        }
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(groups: &[(&str, &str)]) -> Failure {
        Failure::new(groups.iter().map(|(name, text)| ((*name).into(), (*text).to_owned())).collect())
    }

    #[test]
    fn the_table_is_bounded_and_forgets_the_oldest() {
        let mut sessions = Sessions::default();
        for number in 0..3 * SESSIONS_MAX {
            let id = format!("sshd[{number}]");
            let merged = sessions.merge(&id, line(&[("user", "a")]), 1, Timestamp::from_seconds(1));
            sessions.keep(&id, merged);
            let again = sessions.merge(&id, line(&[("user", "b")]), 1, Timestamp::from_seconds(1));
            assert_eq!(again.failure.users.len(), 2);
            sessions.keep(&id, again);
        }
        assert_eq!(sessions.len(), SESSIONS_MAX);
        assert!(sessions.order.len() <= 2 * SESSIONS_MAX);
    }

    #[test]
    fn a_session_is_forgotten_after_its_time() {
        let mut sessions = Sessions::default();
        let merged = sessions.merge("a", line(&[("user", "a")]), 1, Timestamp::from_seconds(0));
        sessions.keep("a", merged);
        let merged = sessions.merge("a", line(&[("user", "b")]), 1, Timestamp::from_seconds(301));
        assert_eq!(merged.failure.users.len(), 1);
    }
}
