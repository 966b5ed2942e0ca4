//! Telling systemd that the loop is alive (`WatchdogSec`). It is told from the loop itself, after each pass: a loop that
//! hangs in a read, in the kernel or in a bug is silent, and is started again.

use std::time::{Duration, Instant};

/// Told so often in the time that systemd waits: a pass may be late.
const PART: u32 = 4;

#[derive(Debug)]
pub(super) struct Alive {
    /// How often it is told; none where nobody waits for it.
    every: Option<Duration>,
    next: Instant,
}

impl Alive {
    /// As systemd asks for it.
    pub(super) fn new() -> Self {
        Alive::every(sd_notify::watchdog_enabled(), Instant::now())
    }

    fn every(waits: Option<Duration>, now: Instant) -> Self {
        Alive { every: waits.map(|waits| waits / PART), next: now }
    }

    /// A pass was made.
    pub(super) fn beat(&mut self, now: Instant) {
        if self.is_due(now) {
            // Nobody listens where there is no systemd.
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        }
    }

    /// When the loop has to make a pass, whatever comes.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.every.map(|_| self.next)
    }

    fn is_due(&mut self, now: Instant) -> bool {
        let Some(every) = self.every.filter(|_| self.next <= now) else { return false };
        self.next = now + every;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_four_times_in_the_time_that_somebody_waits() {
        let start = Instant::now();
        let mut alive = Alive::every(Some(Duration::from_secs(8)), start);
        let told = (0..80).filter(|tenth| alive.is_due(start + Duration::from_millis(100 * tenth))).count();
        assert_eq!(told, 4);
        assert_eq!(alive.due_at(), Some(start + Duration::from_secs(8)));
        let mut alone = Alive::every(None, start);
        assert!(!alone.is_due(start) && alone.due_at().is_none());
    }
}
