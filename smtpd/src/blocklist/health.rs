//! Whether a zone can be relied on. One that says that we are not welcome, lists everybody or does not answer is left
//! alone for a while: asking on spends what is left of its patience, and keeps clients waiting.

use std::time::Duration;

use logline::Timestamp;

/// How long a zone is left alone at first; each further time in a row twice as long.
const REST: Duration = Duration::from_secs(60);

/// But no longer than this.
const REST_MAX: Duration = Duration::from_secs(3600);

/// How long a zone that lists everybody is left alone: over the next test, which alone can tell that it does so no more.
const DISBELIEF: Duration = Duration::from_secs(2 * 3600);

/// So many look-ups in a row without an answer, and the zone is left alone.
const SILENT_MAX: u32 = 5;

/// How a zone stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Look-ups in a row without an answer.
    silent: u32,
    /// Times in a row that it was left alone.
    rests: u32,
    /// Until when.
    until: Option<Timestamp>,
}

/// What a look-up told about the zone itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It works.
    Good,
    /// It did not answer.
    Silent,
    /// It answered with what is no listing.
    Refuses,
    /// It listed whom no list may list.
    ListsAll,
}

impl Health {
    /// As it was written down.
    pub(super) fn restored(silent: u32, rests: u32, until: Option<Timestamp>) -> Self {
        Health { silent, rests, until }
    }

    /// To be written down.
    pub(super) fn parts(&self) -> (u32, u32, Option<Timestamp>) {
        (self.silent, self.rests, self.until)
    }

    /// Whether it may be asked.
    pub fn is_well(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| until <= now)
    }

    /// Takes in a sign; tells for how long the zone is left alone from now on, if it is.
    pub fn saw(&mut self, now: Timestamp, sign: Sign) -> Option<Duration> {
        match sign {
            Sign::Good => {
                *self = Health::default();
                return None;
            }
            Sign::Silent => {
                self.silent += 1;
                if self.silent < SILENT_MAX {
                    return None;
                }
            }
            Sign::Refuses => {}
            Sign::ListsAll => {
                (self.silent, self.until) = (0, Some(now + DISBELIEF));
                return Some(DISBELIEF);
            }
        }
        // Look-ups that were under way when it was left alone say nothing new.
        if !self.is_well(now) {
            return None;
        }
        let rest = REST.saturating_mul(1 << self.rests.min(6)).min(REST_MAX);
        (self.silent, self.rests, self.until) = (0, self.rests.saturating_add(1), Some(now + rest));
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_that_refuses_is_left_alone_longer_and_longer() {
        let (mut health, mut now) = (Health::default(), Timestamp::from_seconds(0));
        let mut rests = Vec::new();
        for _ in 0..8 {
            assert!(health.is_well(now));
            let rest = health.saw(now, Sign::Refuses).unwrap();
            assert!(!health.is_well(now));
            assert_eq!(health.saw(now, Sign::Refuses), None, "one that was under way");
            rests.push(rest.as_secs() / 60);
            now = now + rest;
        }
        assert_eq!(rests, [1, 2, 4, 8, 16, 32, 60, 60]);
        health.saw(now, Sign::Good);
        assert_eq!(health.saw(now, Sign::Refuses), Some(REST), "it begins anew");
    }

    #[test]
    fn a_zone_that_lists_everybody_is_left_alone_until_a_test_finds_it_well() {
        let (mut health, now, hour) =
            (Health::default(), Timestamp::from_seconds(0), Duration::from_secs(3600));
        for n in 0..3 {
            assert_eq!(health.saw(now + n * hour, Sign::ListsAll), Some(DISBELIEF));
        }
        assert!(!health.is_well(now + 3 * hour));
        health.saw(now + 3 * hour, Sign::Good);
        assert!(health.is_well(now + 3 * hour));
    }

    #[test]
    fn silence_counts_only_in_a_row() {
        let (mut health, now) = (Health::default(), Timestamp::from_seconds(0));
        for _ in 0..SILENT_MAX - 1 {
            assert_eq!(health.saw(now, Sign::Silent), None);
        }
        health.saw(now, Sign::Good);
        for _ in 0..SILENT_MAX - 1 {
            assert_eq!(health.saw(now, Sign::Silent), None);
        }
        assert_eq!(health.saw(now, Sign::Silent), Some(REST));
    }
}
