//! Whether a source has said nothing for longer than it ever does.

use std::time::Duration;

use super::Turn;

/// No source is silent before this, however lively it is.
pub const SILENT_MIN: Duration = Duration::from_secs(600);

/// A source is silent after so many of its usual gaps.
pub const SILENT_GAPS: u32 = 20;

/// A usual gap is known after so many.
const GAPS_MIN: u32 = 8;

/// A gap counts for one part in so many of the usual one.
const GAP_WEIGHT: u32 = 8;

/// How long a source may say nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Patience {
    /// [`SILENT_GAPS`] of its usual gaps, and [`SILENT_MIN`] at least; without end while that is not known.
    #[default]
    Learned,
    /// So long.
    For(Duration),
    /// For ever.
    Endless,
}

/// For how long a source has said nothing, beside how long that is as a rule.
#[derive(Clone, Debug, Default)]
pub(super) struct Silence {
    /// Since the last arrival.
    quiet: Duration,
    arrivals: u32,
    /// Between two arrivals, as a rule.
    usual: Duration,
    is_silent: bool,
}

impl Silence {
    /// Time has passed, in which something came or nothing.
    pub(super) fn look(
        &mut self,
        elapsed: Duration,
        came: bool,
        patience: Patience,
        expects_more: bool,
    ) -> Option<Turn<Duration>> {
        self.quiet += elapsed;
        if came {
            let gap = std::mem::take(&mut self.quiet);
            self.usual = match self.arrivals {
                // What was before the first arrival is the watcher's beginning, no gap.
                0 => Duration::ZERO,
                1 => gap,
                _ => (self.usual * (GAP_WEIGHT - 1) + gap) / GAP_WEIGHT,
            };
            self.arrivals = self.arrivals.saturating_add(1);
            return std::mem::take(&mut self.is_silent).then_some(Turn::Ended(gap));
        }
        let is_too_long = self.longest(patience).is_some_and(|longest| self.quiet > longest);
        if is_too_long && expects_more && !self.is_silent {
            self.is_silent = true;
            return Some(Turn::Began(self.quiet));
        }
        None
    }

    /// How long it has been silent, where that is too long.
    pub(super) fn too_long(&self) -> Option<Duration> {
        self.is_silent.then_some(self.quiet)
    }

    fn longest(&self, patience: Patience) -> Option<Duration> {
        match patience {
            Patience::Endless => None,
            Patience::For(longest) => Some(longest),
            Patience::Learned => {
                (self.arrivals > GAPS_MIN).then(|| SILENT_MIN.max(self.usual.saturating_mul(SILENT_GAPS)))
            }
        }
    }
}
