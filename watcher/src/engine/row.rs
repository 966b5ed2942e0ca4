//! A counter as it is saved, with the lines of its hits.

use serde::{Deserialize, Serialize};

use crate::engine::evidence::{Evidence, EvidenceLog};
use crate::engine::table::Hit;

/// A counter as it is saved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterRow {
    hits: Vec<SavedHit>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) level: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SavedHit {
    at: u64,
    weight: u8,
    #[serde(default, skip_serializing_if = "is_none")]
    value: u32,
    #[serde(default, skip_serializing_if = "is_none")]
    mark: u32,
    line: Option<Evidence>,
}

fn is_zero(level: &u64) -> bool {
    *level == 0
}

fn is_none(word: &u32) -> bool {
    *word == 0
}

impl CounterRow {
    pub(super) fn of(hits: &[Hit], level: u64, evidence: &EvidenceLog) -> Self {
        let saved = |hit: &Hit| {
            let Hit { at, line, weight, value, mark } = *hit;
            SavedHit { at, weight, value, mark, line: evidence.get(line, at) }
        };
        CounterRow { hits: hits.iter().map(saved).collect(), level }
    }

    pub(super) fn into_hits(self, evidence: &mut EvidenceLog) -> Vec<Hit> {
        let hit = |saved: SavedHit| {
            let SavedHit { at, weight, value, mark, line } = saved;
            let line = line.map_or(u32::MAX, |line| {
                evidence.keep(line.at, logline::Text::unescape(line.line.as_bytes()).bytes())
            });
            Hit { at, line: line & 0xff_ffff, weight, value, mark }
        };
        self.hits.into_iter().map(hit).collect()
    }
}
