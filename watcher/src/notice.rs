//! What the administrator ought to hear of the watcher's own affairs: a source fell silent, is no longer understood, loses
//! lines. Every notice goes through [`Notices::emit`], once when it begins and once when it is over.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use logline::Timestamp;
use settings::duration::human;

use crate::tail::Loss;

/// So many of the latest are kept to be shown.
const KEPT_MAX: usize = 50;

/// One thing that happened to a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// It has said nothing for longer than it ever does.
    SourceSilent {
        /// Which source.
        source: String,
        /// For how long.
        quiet: Duration,
    },
    /// It speaks again.
    SourceBack {
        /// Which source.
        source: String,
        /// After how long.
        quiet: Duration,
    },
    /// It cannot be read.
    SourceTrouble {
        /// Which source.
        source: String,
        /// Why not.
        trouble: String,
    },
    /// It is read again.
    SourceWell {
        /// Which source.
        source: String,
    },
    /// It has come to its end; nothing more is expected of it.
    SourceEnded {
        /// Which source.
        source: String,
        /// How.
        end: String,
    },
    /// Hardly a line of it is understood any more: its format has changed.
    ParsingStopped {
        /// Which source.
        source: String,
        /// So many of the latest lines …
        lines: u64,
        /// … of which so many were understood …
        understood: u64,
        /// … and so many were to be expected.
        expected: u64,
    },
    /// Its lines are understood again.
    ParsingBack {
        /// Which source.
        source: String,
    },
    /// Lines of it are known to be lost.
    LinesLost {
        /// Which source.
        source: String,
        /// Why.
        reason: Loss,
        /// How often since the last such notice; of some reasons, how many.
        count: u64,
    },
}

/// Each kind of notice has a counter.
pub const KINDS: [&str; 8] = [
    "source-silent",
    "source-back",
    "source-trouble",
    "source-well",
    "source-ended",
    "parsing-stopped",
    "parsing-back",
    "lines-lost",
];

impl Notice {
    /// Its kind, as a metric's label has it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Notice::SourceSilent { .. } => "source-silent",
            Notice::SourceBack { .. } => "source-back",
            Notice::SourceTrouble { .. } => "source-trouble",
            Notice::SourceWell { .. } => "source-well",
            Notice::SourceEnded { .. } => "source-ended",
            Notice::ParsingStopped { .. } => "parsing-stopped",
            Notice::ParsingBack { .. } => "parsing-back",
            Notice::LinesLost { .. } => "lines-lost",
        }
    }

    /// The source that it is about.
    pub fn source(&self) -> &str {
        match self {
            Notice::SourceSilent { source, .. }
            | Notice::SourceBack { source, .. }
            | Notice::SourceTrouble { source, .. }
            | Notice::SourceWell { source }
            | Notice::SourceEnded { source, .. }
            | Notice::ParsingStopped { source, .. }
            | Notice::ParsingBack { source }
            | Notice::LinesLost { source, .. } => source,
        }
    }

    /// Whether somebody should look.
    fn is_bad(&self) -> bool {
        match self {
            Notice::SourceSilent { .. }
            | Notice::SourceTrouble { .. }
            | Notice::ParsingStopped { .. }
            | Notice::LinesLost { .. } => true,
            Notice::SourceBack { .. }
            | Notice::SourceWell { .. }
            | Notice::SourceEnded { .. }
            | Notice::ParsingBack { .. } => false,
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Notice::SourceSilent { source, quiet } => {
                write!(f, "{source} has said nothing for {}", human(*quiet))
            }
            Notice::SourceBack { source, quiet } => {
                write!(f, "{source} speaks again, after {}", human(*quiet))
            }
            Notice::SourceTrouble { source, trouble } => write!(f, "{source} is not read: {trouble}"),
            Notice::SourceWell { source } => write!(f, "{source} is read again"),
            Notice::SourceEnded { source, end } => write!(f, "{source} is not read any more: {end}"),
            Notice::ParsingStopped { source, lines, understood, expected } => write!(
                f,
                "{source} is no longer understood: {understood} of its last {lines} lines, where {expected} were to be \
                 expected; has its format changed?"
            ),
            Notice::ParsingBack { source } => write!(f, "{source} is understood again"),
            Notice::LinesLost { source, reason, count } => {
                write!(f, "lines of {source} were lost: {} {count} times", reason.name())
            }
        }
    }
}

/// The one way that every notice takes.
#[derive(Debug, Default)]
pub struct Notices {
    latest: VecDeque<(Timestamp, Notice)>,
    counts: [u64; KINDS.len()],
}

impl Notices {
    /// Logs it, counts it, and keeps it to be shown.
    pub fn emit(&mut self, now: Timestamp, notice: Notice) {
        if notice.is_bad() {
            tracing::warn!("{notice}");
        } else {
            tracing::info!("{notice}");
        }
        let kind = KINDS.iter().position(|kind| *kind == notice.kind());
        if let Some(count) = kind.and_then(|kind| self.counts.get_mut(kind)) {
            *count += 1;
        }
        if self.latest.len() == KEPT_MAX {
            self.latest.pop_front();
        }
        self.latest.push_back((now, notice));
    }

    /// The latest, the oldest first.
    pub fn latest(&self) -> impl Iterator<Item = &(Timestamp, Notice)> {
        self.latest.iter()
    }

    /// How many there were of each kind.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        KINDS.into_iter().zip(self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_notices_are_kept_and_all_are_counted() {
        let mut notices = Notices::default();
        for n in 0..KEPT_MAX + 10 {
            let notice = Notice::SourceWell { source: n.to_string() };
            notices.emit(Timestamp::from_seconds(0), notice);
        }
        assert_eq!(notices.latest().count(), KEPT_MAX);
        assert_eq!(notices.latest().next().unwrap().1.source(), "10");
        assert_eq!(notices.counts().find(|(kind, _)| *kind == "source-well").unwrap().1, 60);
    }
}
