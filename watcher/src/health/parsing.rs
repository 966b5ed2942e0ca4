//! Whether the lines of a source are no longer understood, as they were.

use super::Turn;

/// So many lines tell what share of them is understood.
const LEARNED_MIN: u64 = 200;

/// What was learned weighs as so many lines at most: a log changes.
const LEARNED_MAX: u64 = 100_000;

/// When so many lines ought to have been understood, they are judged: fewer could be chance.
const EXPECTED_MIN: u64 = 20;

/// Lines of which hardly one is ever understood are not gathered for longer.
const WINDOW_MAX: u64 = 10_000;

/// Less than one in so many of the expected: the format has changed.
const STOPPED_PART: u64 = 10;

/// The latest lines, beside what was to be expected of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) lines: u64,
    pub(super) understood: u64,
    pub(super) expected: u64,
}

/// What share of the lines is understood, and was.
#[derive(Clone, Debug, Default)]
pub(super) struct Parsing {
    learned_lines: u64,
    learned_understood: u64,
    lines: u64,
    understood: u64,
    has_stopped: bool,
}

impl Parsing {
    /// So many lines came, of which so many were understood.
    pub(super) fn look(&mut self, lines: u64, understood: u64) -> Option<Turn<Judged>> {
        self.lines += lines;
        self.understood += understood;
        let is_learned = self.learned_lines >= LEARNED_MIN;
        let expected = if is_learned { self.lines * self.learned_understood / self.learned_lines } else { 0 };
        if is_learned && expected < EXPECTED_MIN && self.lines < WINDOW_MAX {
            return None;
        }
        let judged = Judged { lines: self.lines, understood: self.understood, expected };
        let is_judged = expected >= EXPECTED_MIN;
        let turn = match self.has_stopped {
            false if is_judged && judged.understood * STOPPED_PART < expected => Some(Turn::Began(judged)),
            true if is_judged && judged.understood * 2 >= expected => Some(Turn::Ended(judged)),
            _ => None,
        };
        match turn {
            Some(Turn::Began(_)) => self.has_stopped = true,
            Some(Turn::Ended(_)) => self.has_stopped = false,
            None => {}
        }
        // What is wrong is not learned: it would become what is expected.
        if !self.has_stopped {
            self.learn();
        }
        (self.lines, self.understood) = (0, 0);
        turn
    }

    /// Whether the lines are no longer understood.
    pub(super) fn has_stopped(&self) -> bool {
        self.has_stopped
    }

    fn learn(&mut self) {
        self.learned_lines += self.lines;
        self.learned_understood += self.understood;
        while self.learned_lines > LEARNED_MAX {
            self.learned_lines /= 2;
            self.learned_understood /= 2;
        }
    }
}
