//! How a source fares: whether it has fallen silent, is no longer understood, cannot be read or loses lines.
//!
//! Pure: it is told from time to time what is known of the source, and says what there is to notice. What comes between
//! two looks is one arrival, so that a log written in bursts has the gap between its bursts.

mod parsing;
mod silence;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use logline::Timestamp;

use crate::notice::Notice;
use crate::tail::Loss;

use parsing::{Judged, Parsing};
use silence::Silence;
pub use silence::{Patience, SILENT_GAPS, SILENT_MIN};

/// A source is looked at so often.
pub const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Between two looks no more time has passed than this: a machine that slept was not watching.
const ELAPSED_MAX: Duration = Duration::from_secs(60);

/// A loss that goes on is told of so often.
const LOST_AGAIN: Duration = Duration::from_secs(600);

/// Rates are of so many looks: a minute.
const LOOKS_KEPT: usize = 6;

/// What is known of a source; numbers are totals since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Lines.
    pub lines: u64,
    /// Lines that no filter knows.
    pub unknown: u64,
    /// Lines that are known to be lost.
    pub lost: BTreeMap<Loss, u64>,
    /// Why it is not read now.
    pub trouble: Option<String>,
    /// That it has ended, and how.
    pub end: Option<String>,
}

/// How one source fares.
#[derive(Clone, Debug)]
pub struct Health {
    name: String,
    patience: Patience,
    silence: Silence,
    parsing: Parsing,
    lost: BTreeMap<Loss, Lost>,
    is_troubled: bool,
    has_ended: bool,
    /// The latest looks: when, and the lines and the unknown ones until then.
    looks: VecDeque<(Timestamp, u64, u64)>,
}

/// What it said in the last minute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Lines a second.
    pub lines_per_second: f64,
    /// Of these, the share that no filter knows; none where there were no lines.
    pub unknown_share: Option<f64>,
}

impl Health {
    /// A source that is read from now on.
    pub fn new(name: &str, patience: Patience, now: Timestamp) -> Health {
        Health {
            name: name.to_owned(),
            patience,
            silence: Silence::default(),
            parsing: Parsing::default(),
            lost: BTreeMap::new(),
            is_troubled: false,
            has_ended: false,
            looks: VecDeque::from([(now, 0, 0)]),
        }
    }

    /// The same source under another setting.
    pub fn set_patience(&mut self, patience: Patience) {
        self.patience = patience;
    }

    /// Takes in what is known now, and gives what there is to notice.
    pub fn look(&mut self, now: Timestamp, seen: &Seen, out: &mut Vec<Notice>) {
        let (at, lines, unknown) = self.looks.back().copied().unwrap_or((now, 0, 0));
        let elapsed = now.since(at).min(ELAPSED_MAX);
        let new_lines = seen.lines.saturating_sub(lines);
        let new_unknown = seen.unknown.saturating_sub(unknown).min(new_lines);
        if self.looks.len() > LOOKS_KEPT {
            self.looks.pop_front();
        }
        self.looks.push_back((now, seen.lines, seen.unknown));
        let source = || self.name.clone();
        let expects_more = seen.end.is_none() && seen.trouble.is_none();
        match self.silence.look(elapsed, new_lines > 0, self.patience, expects_more) {
            None => {}
            Some(Turn::Began(quiet)) => out.push(Notice::SourceSilent { source: source(), quiet }),
            Some(Turn::Ended(quiet)) => out.push(Notice::SourceBack { source: source(), quiet }),
        }
        match self.parsing.look(new_lines, new_lines - new_unknown) {
            None => {}
            Some(Turn::Began(Judged { lines, understood, expected })) => {
                out.push(Notice::ParsingStopped { source: source(), lines, understood, expected });
            }
            Some(Turn::Ended(_)) => out.push(Notice::ParsingBack { source: source() }),
        }
        if seen.trouble.is_some() != std::mem::replace(&mut self.is_troubled, seen.trouble.is_some()) {
            out.push(match seen.trouble.clone() {
                Some(trouble) => Notice::SourceTrouble { source: source(), trouble },
                None => Notice::SourceWell { source: source() },
            });
        }
        if let Some(end) = seen.end.clone()
            && !std::mem::replace(&mut self.has_ended, true)
        {
            out.push(Notice::SourceEnded { source: source(), end });
        }
        for (reason, total) in &seen.lost {
            if let Some(count) = self.lost.entry(*reason).or_default().look(now, *total) {
                out.push(Notice::LinesLost { source: self.name.clone(), reason: *reason, count });
            }
        }
    }

    /// For how long it has been silent, where that is too long.
    pub fn silent_for(&self) -> Option<Duration> {
        self.silence.too_long()
    }

    /// Whether its lines are no longer understood.
    pub fn is_not_understood(&self) -> bool {
        self.parsing.has_stopped()
    }

    /// What it said in the last minute, to this moment.
    pub fn pace(&self, now: Timestamp, lines: u64, unknown: u64) -> Pace {
        let (at, lines_then, unknown_then) = self.looks.front().copied().unwrap_or((now, lines, unknown));
        let (lines, unknown) = (lines.saturating_sub(lines_then), unknown.saturating_sub(unknown_then));
        let seconds = now.since(at).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a speed is read by a person, to two digits")]
        let (lines, unknown) = (lines as f64, unknown as f64);
        Pace {
            lines_per_second: if seconds > 0.0 { lines / seconds } else { 0.0 },
            unknown_share: (lines > 0.0).then(|| unknown / lines),
        }
    }
}

/// Something begins or is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn<T> {
    Began(T),
    Ended(T),
}

#[derive(Clone, Debug, Default)]
struct Lost {
    total: u64,
    untold: u64,
    told: Option<Timestamp>,
}

impl Lost {
    /// How much is to be told of.
    fn look(&mut self, now: Timestamp, total: u64) -> Option<u64> {
        self.untold += total.saturating_sub(self.total);
        self.total = total;
        let is_due = self.told.is_none_or(|told| now.since(told) >= LOST_AGAIN);
        if self.untold == 0 || !is_due {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests;
