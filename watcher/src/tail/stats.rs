//! What has been read, what is still to be read, and what could not be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Why lines may be missing. Each is counted once for each time it happened; how many lines it cost nobody can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Loss {
    /// A file that a cursor pointed into was nowhere to be found, so what stood after the cursor was not read.
    Gone,
    /// A log was copied and then truncated (logrotate's `copytruncate`), and the copy ends before the place up to which
    /// the log itself had been read: it was written to between the two steps, and nobody knows how much.
    Race,
    /// A file was truncated and no copy of what it had held was found.
    Truncated,
    /// A file came to its end in the middle of a line, and was then replaced.
    Unfinished,
    /// A file is there, but reading it failed or is forbidden.
    Unreadable,
    /// The journal refused messages of a service that sent too many, and said how many: these are counted one by one.
    Suppressed,
    /// A syslog connection too many, or one over which something else came.
    Refused,
    /// Datagrams that the kernel threw away because the socket's buffer was full, and said how many: these are counted
    /// one by one.
    Dropped,
}

impl Loss {
    /// All of them.
    pub const ALL: &'static [Loss] = &[
        Loss::Gone,
        Loss::Race,
        Loss::Truncated,
        Loss::Unfinished,
        Loss::Unreadable,
        Loss::Suppressed,
        Loss::Refused,
        Loss::Dropped,
    ];

    /// What happened, as a person is told.
    const fn about(self) -> &'static str {
        match self {
            Loss::Gone => "the file that was read last is gone, and so is what it still held",
            Loss::Race => "it was written to while it was copied and truncated",
            Loss::Truncated => "it was truncated, and no copy was found",
            Loss::Unfinished => "it ended in the middle of a line and was replaced",
            Loss::Unreadable => "it cannot be read",
            Loss::Suppressed => "the journal refused messages",
            Loss::Refused => "a connection was refused",
            Loss::Dropped => "the kernel had no room for datagrams",
        }
    }

    /// The name as a metric's label has it.
    pub const fn name(self) -> &'static str {
        match self {
            Loss::Gone => "gone",
            Loss::Race => "race",
            Loss::Truncated => "truncated",
            Loss::Unfinished => "unfinished",
            Loss::Unreadable => "unreadable",
            Loss::Suppressed => "suppressed",
            Loss::Refused => "refused",
            Loss::Dropped => "dropped",
        }
    }
}

/// How a source stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Lines delivered.
    pub lines: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Bytes that are in the files and have not been read.
    pub behind_bytes: u64,
    /// Lines that were too long, and of which the beginning was delivered.
    pub cut_lines: u64,
    /// How often a file was replaced or truncated.
    pub rotations: u64,
    /// Times that lines were lost, or may have been.
    pub lost: BTreeMap<Loss, u64>,
    /// Files held open.
    pub files: usize,
    /// The file that was found last; of a glob, any of them.
    pub current: Option<PathBuf>,
}

impl Stats {
    pub(crate) fn count(&mut self, loss: Loss) {
        *self.lost.entry(loss).or_default() += 1;
    }

    /// Counts a loss, and tells of the first of its kind: the metric tells of the others.
    pub(crate) fn count_in(&mut self, loss: Loss, file: &Path) {
        self.count(loss);
        if self.lost.get(&loss) == Some(&1) {
            tracing::warn!("{file:?}: lines may be lost: {}", loss.about());
        }
    }
}
