//! The lines behind the latest bans, for a database that has to be written anew: what it had of them may be unreadable.

use std::collections::{HashMap, VecDeque};

use logline::Timestamp;

use crate::engine::{Ban, Evidence, Lease};
use crate::jail::JailName;
use crate::subject::Subject;

/// So much is kept, of the latest bans; older ones have their lines from what can be read of the damaged file.
const BYTES_MAX: usize = 8 << 20;
/// What a line takes besides its text.
const LINE_BYTES: usize = 64;

/// What tells one ban from all others.
pub(super) type Identity = (Subject, JailName, Timestamp);

#[derive(Debug, Default)]
pub(super) struct Lines {
    of: HashMap<Identity, Vec<Evidence>>,
    /// The oldest first.
    order: VecDeque<Identity>,
    bytes: usize,
}

impl Lines {
    /// A ban was made.
    pub(super) fn keep(&mut self, ban: &Ban) {
        let identity = identity(&ban.subject, &ban.lease);
        if ban.evidence.is_empty() || self.of.contains_key(&identity) {
            return;
        }
        self.bytes += size(&ban.evidence);
        self.order.push_back(identity.clone());
        self.of.insert(identity, ban.evidence.clone());
        while self.bytes > BYTES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.bytes -= self.of.remove(&oldest).map_or(0, |lines| size(&lines));
        }
    }

    /// The lines that led to a ban, as far as they are kept.
    pub(super) fn behind(&self, subject: &Subject, lease: &Lease) -> Vec<Evidence> {
        self.of.get(&identity(subject, lease)).cloned().unwrap_or_default()
    }
}

pub(super) fn identity(subject: &Subject, lease: &Lease) -> Identity {
    (subject.clone(), lease.jail.clone(), lease.from)
}

fn size(lines: &[Evidence]) -> usize {
    lines.iter().map(|evidence| evidence.line.len() + LINE_BYTES).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Terms;
    use crate::jail::{Mode, Ports};

    fn ban(n: i64, line: &str) -> Ban {
        let terms = Terms { jail: "j".into(), mode: Mode::Enforce, ports: Ports::All, reason: None }.into();
        let at = Timestamp::from_seconds(n);
        let lease = Lease { from: at, until: at, terms, before: 0 };
        let evidence = vec![Evidence { at, line: line.to_owned() }];
        Ban { subject: "192.0.2.7".parse().unwrap(), lease, evidence }
    }

    #[test]
    fn the_lines_of_the_latest_bans_are_kept_and_no_more_than_there_is_room_for() {
        let mut lines = Lines::default();
        let many = i64::try_from(BYTES_MAX / (100 + LINE_BYTES)).unwrap();
        for n in 0..many + 10 {
            lines.keep(&ban(n, &"x".repeat(100)));
        }
        let kept = |n| lines.behind(&ban(n, "").subject, &ban(n, "").lease).len();
        assert_eq!((kept(9), kept(10), kept(many + 9)), (0, 1, 1));
        assert!(lines.bytes <= BYTES_MAX && lines.order.len() == lines.of.len());
    }
}
