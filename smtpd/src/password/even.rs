//! The same time for every no, where somebody else decides it.
//!
//! A program that finds no user says so at once, and one that finds a wrong password says so after a hash: who measures
//! it learns which users there are. So no answer of no is passed on before the longest time that an answer took lately.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The most that an answer is held back: an answer that took longer is a trouble of its own, and none to wait for.
const HELD_MAX: Duration = Duration::from_secs(5);

/// How long the longest answer is remembered at least, and half of how long at most.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// How long answers take.
#[derive(Debug, Default)]
pub(super) struct Even(Mutex<Longest>);

#[derive(Debug, Default)]
struct Longest {
    since: Option<Instant>,
    now: Duration,
    before: Duration,
}

impl Even {
    /// An answer that began then and is there now: how long it is to be held back, if it is a no.
    pub(super) fn rest(&self, asked: Instant, answered: Instant) -> Duration {
        // A panic elsewhere leaves at worst a time that is too short.
        let mut longest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        longest.rest(answered.saturating_duration_since(asked), answered)
    }
}

impl Longest {
    fn rest(&mut self, took: Duration, now: Instant) -> Duration {
        let age = self.since.map(|since| now.saturating_duration_since(since));
        if age.is_none_or(|age| age >= REMEMBERED) {
            let is_old = age.is_none_or(|age| age >= REMEMBERED * 2);
            self.before = if is_old { Duration::ZERO } else { self.now };
            self.now = Duration::ZERO;
            self.since = Some(now);
        }
        self.now = self.now.max(took.min(HELD_MAX));
        self.now.max(self.before).saturating_sub(took)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_no_is_held_back_as_long_as_the_slowest_answer_of_late_took() {
        let start = Instant::now();
        let mut longest = Longest::default();
        for (second, took_ms, held_ms) in [
            (0, 2, 0),
            // A user that exists.
            (1, 40, 0),
            // One that does not, and however many there are of those.
            (2, 2, 38),
            (3, 3, 37),
            (3600, 2, 38),
            (7000, 2, 38),
            // Nobody that exists was asked about for two hours.
            (7300, 2, 0),
            // A program that hung for a minute makes nobody wait for as long.
            (7301, 60_000, 0),
            (7302, 2, 4_998),
            (20_000, 2, 0),
        ] {
            let held = longest.rest(Duration::from_millis(took_ms), start + Duration::from_secs(second));
            assert_eq!(held, Duration::from_millis(held_ms), "at {second}");
        }
    }
}
