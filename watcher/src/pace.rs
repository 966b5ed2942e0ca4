//! How often the loop wakes for lines: at once while they are few, now and then while they are many.
//!
//! A wake-up costs some ten microseconds, whatever it brings. A log with 200,000 lines a second could wake its reader for
//! nearly each of them; a line left lying for half a millisecond brings a hundred others with it. So wake-ups are drawn
//! from a small reserve that fills with time, and only when it is spent do lines wait, never for longer than [`EVERY`].
//!
//! Pure: it is told the time, and tells how long to wait.

use std::time::{Duration, Instant};

/// In the long run lines wake the loop no oftener than this, and this is the longest that one is left lying.
pub const EVERY: Duration = Duration::from_micros(500);

/// So many wake-ups may follow each other at once after a rest.
pub const RESERVE: u32 = 64;

/// How long a reserve that is spent takes to be full again.
const RESERVE_FILLS_IN: Duration = EVERY.saturating_mul(RESERVE);

/// The wake-ups that are left.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// When the reserve will be full; none before the first wake-up.
    full_at: Option<Instant>,
}

impl Pace {
    /// How long lines are to be left lying from now on; none while there is a wake-up left.
    pub fn pause(&self, now: Instant) -> Option<Duration> {
        let filling = self.full_at?.saturating_duration_since(now);
        filling.checked_sub(RESERVE_FILLS_IN).filter(|pause| !pause.is_zero())
    }

    /// Lines woke the loop. Whoever wakes without having paused owes no more than one pause for it.
    pub fn woken(&mut self, now: Instant) {
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + EVERY;
        self.full_at = Some(full_at.min(now + RESERVE_FILLS_IN + EVERY));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Lines come at these distances; what each waits for.
    fn waits(distances_us: impl IntoIterator<Item = u64>) -> Vec<Duration> {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        let mut waits = Vec::new();
        for distance in distances_us {
            now += Duration::from_micros(distance);
            let wait = pace.pause(now).unwrap_or_default();
            now += wait;
            pace.woken(now);
            waits.push(wait);
        }
        waits
    }

    #[test]
    fn a_log_of_a_thousand_lines_a_second_is_read_at_once() {
        assert!(waits([1000; 10_000]).iter().all(Duration::is_zero));
    }

    #[test]
    fn a_burst_is_read_at_once_until_the_reserve_is_spent() {
        let waits = waits([0; 200]);
        let (first, rest) = waits.split_at(RESERVE as usize + 1);
        assert!(first.iter().all(Duration::is_zero));
        assert!(rest.iter().all(|wait| *wait == EVERY));
    }

    #[test]
    fn after_a_rest_a_line_is_read_at_once() {
        let rest = u64::try_from(EVERY.as_micros()).unwrap();
        let waits = waits([0; 200].into_iter().chain([2 * rest, 0]));
        assert_eq!(waits.last_chunk(), Some(&[Duration::ZERO, Duration::ZERO]));
    }

    proptest! {
        #[test]
        fn no_line_waits_longer_than_the_bound(distances in prop::collection::vec(0u64..2000, 0..500)) {
            prop_assert!(waits(distances).into_iter().all(|wait| wait <= EVERY));
        }

        /// Who is woken by something else in the middle of a pause reads the lines too, and owes nothing more for it.
        #[test]
        fn a_pause_that_is_cut_short_makes_none_longer(distances in prop::collection::vec(0u64..100, 0..500)) {
            let (mut pace, mut now) = (Pace::default(), Instant::now());
            for distance in distances {
                now += Duration::from_micros(distance);
                pace.woken(now);
                prop_assert!(pace.pause(now).is_none_or(|pause| pause <= EVERY));
            }
        }

        #[test]
        fn over_time_there_are_no_more_wake_ups_than_said(distances in prop::collection::vec(0u64..600, 200..500)) {
            let waits = waits(distances.iter().copied());
            let took: Duration =
                distances.iter().map(|us| Duration::from_micros(*us)).chain(waits.iter().copied()).sum();
            let allowed = took.as_secs_f64() / EVERY.as_secs_f64() + f64::from(RESERVE) + 2.0;
            prop_assert!((waits.len() as f64) <= allowed);
        }
    }
}
