//! The lines that a ban will show. They are kept apart from the counters, in one ring with one bound, so that a flood of
//! offenders cannot make the counters large.

use std::collections::VecDeque;

use logline::Timestamp;
use serde::{Deserialize, Serialize};

/// A line is kept up to this length.
pub const LINE_BYTES_MAX: usize = 1024;

/// All kept lines together take no more than this. The oldest go first; the line that leads to a ban is always there.
pub const EVIDENCE_BYTES_MAX: usize = 64 << 20;

/// One line that led to a ban.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// When it was written.
    pub at: Timestamp,
    /// The line, envelope and all, escaped for a terminal.
    pub line: String,
}

/// The newest lines, each under a number that is never used again.
#[derive(Debug, Default)]
pub(super) struct EvidenceLog {
    lines: VecDeque<(Timestamp, Box<[u8]>)>,
    /// Number of the first line that is still here.
    first: u64,
    size_bytes: usize,
}

impl EvidenceLog {
    /// Keeps a line and gives its number.
    pub(super) fn keep(&mut self, at: Timestamp, line: &[u8]) -> u64 {
        let line = line.get(..LINE_BYTES_MAX).unwrap_or(line);
        self.lines.push_back((at, line.into()));
        self.size_bytes += size(line);
        while self.size_bytes > EVIDENCE_BYTES_MAX
            && let Some((_, oldest)) = self.lines.pop_front()
        {
            self.size_bytes -= size(&oldest);
            self.first += 1;
        }
        self.first + self.lines.len() as u64 - 1
    }

    /// The line of this number; none where it had to go.
    pub(super) fn get(&self, number: u64) -> Option<Evidence> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let (at, line) = self.lines.get(index)?;
        Some(Evidence { at: *at, line: logline::Text::from(line).readable().to_string() })
    }
}

/// A line's bytes, and its place in the ring.
fn size(line: &[u8]) -> usize {
    line.len() + size_of::<(Timestamp, Box<[u8]>)>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_lines_go_first() {
        let mut log = EvidenceLog::default();
        let at = Timestamp::from_seconds(1);
        let first = log.keep(at, b"first");
        assert_eq!(log.get(first).unwrap().line, "first");
        let line = [b'x'; 4 * LINE_BYTES_MAX];
        let mut last = first;
        for _ in 0..=EVIDENCE_BYTES_MAX / LINE_BYTES_MAX {
            last = log.keep(at, &line);
        }
        assert_eq!(log.get(first), None);
        assert_eq!(log.get(last).unwrap().line.len(), LINE_BYTES_MAX);
        assert!(log.size_bytes <= EVIDENCE_BYTES_MAX);
    }
}
