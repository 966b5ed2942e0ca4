//! When it is too much: exact windows over a short list of hits, and a bucket.

use std::ops::Range;
use std::time::Duration;

use crate::engine::table::Hit;
use crate::jail::{Jail, Window};

/// How much is too much for one event: the jail's windows, with patience and pressure in them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The threshold of the first window.
    pub(super) first: u32,
    /// Every threshold so many times.
    pub(super) times: f64,
    /// Whether what was counted stays when it is too much.
    pub(super) stays: bool,
}

/// Puts a hit in its place, and says which hits a window that holds it makes too many.
pub(super) fn slide(
    hits: &mut Vec<Hit>,
    hit: Hit,
    windows: impl Iterator<Item = Window>,
    limits: Limits,
) -> Option<Range<usize>> {
    if hit.value != 0 {
        hits.retain(|known| known.value != hit.value);
    }
    let place = hits.partition_point(|known| known.at <= hit.at);
    hits.insert(place, hit);
    windows.enumerate().find_map(|(index, window)| {
        let threshold = if index == 0 { limits.first } else { window.threshold };
        let needed = needed(threshold, limits.times);
        (place..hits.len()).find_map(|end| reached(hits, place, end, needed, millis_of(window.within)))
    })
}

/// The hits that end at `end` and hold `place`, where they are enough and lie close enough together.
fn reached(hits: &[Hit], place: usize, end: usize, needed: u64, within: u64) -> Option<Range<usize>> {
    let last = hits.get(end)?.at;
    let mut sum = 0;
    for start in (0..=end).rev() {
        let hit = hits.get(start)?;
        if hit.at + within <= last {
            return None;
        }
        sum += u64::from(hit.weight);
        if sum >= needed {
            return (start <= place).then_some(start..end + 1);
        }
    }
    None
}

/// Pours a hit into the bucket, and says which hits are shown where it runs over.
pub(super) fn pour(
    hits: &mut Vec<Hit>,
    level: &mut u64,
    hit: Hit,
    jail: &Jail,
    limits: Limits,
) -> Option<Range<usize>> {
    let drop = drop_micros(jail);
    let passed = hits.last().map_or(0, |last| hit.at.saturating_sub(last.at)).saturating_mul(1000);
    *level = level.saturating_sub(passed).saturating_add(drop.saturating_mul(u64::from(hit.weight)));
    let place = hits.partition_point(|known| known.at <= hit.at);
    hits.insert(place, hit);
    let full = needed(limits.first, limits.times).saturating_mul(drop);
    (*level >= full).then_some(0..hits.len())
}

/// How long a bucket takes to lose one drop.
pub(super) fn drop_micros(jail: &Jail) -> u64 {
    (micros(jail.within) / u64::from(jail.threshold.max(1))).max(1)
}

pub(super) fn needed(threshold: u32, times: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a threshold is at most 10,000, and the factor at most 1,000 and never negative"
    )]
    let needed = (f64::from(threshold) * times).ceil() as u64;
    needed.max(1)
}

/// How many units lie in a window that ends now.
pub(super) fn sum(hits: &[Hit], now: u64, within: Duration) -> u32 {
    let counted = hits.iter().filter(|hit| hit.at + millis_of(within) > now);
    counted.map(|hit| u32::from(hit.weight)).sum()
}

pub(super) fn millis_of(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX >> 1)
}

fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}
