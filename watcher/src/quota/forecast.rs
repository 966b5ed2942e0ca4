//! When a budget will be spent: by the time of day after a week of history, by the present rate and its fall before.

use std::collections::BTreeMap;

use logline::Timestamp;
use serde::{Deserialize, Serialize};

pub(super) const HOUR_SECONDS: i64 = 3600;
const HOURS_A_DAY: i64 = 24;
const DAYS: i64 = 7;

/// Before there is a week of history nobody knows what the night is like: the rate may be this much lower or higher.
const UNSEASONED: (f64, f64) = (0.5, 2.0);

/// Before, the present is what these hours were like …
const PRESENT_HOURS: i64 = 3;

/// … and from so many whole hours on it is known whether the rate falls. On a first day it does, as more and more of the
/// clients were asked about already, or are banned.
const FALL_HOURS: usize = 4;

/// It goes on to fall, at half the pace, as there will always be new clients; and by no more than this part an hour. That
/// it rises is no sign: the morning does, and ends.
const FALL: (f64, f64) = (0.5, 0.1);

/// Today may be this much quieter or busier than the days before; beyond, it is another kind of day.
const LIKENESS: (f64, f64) = (0.2, 5.0);

/// What is expected of a budget, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Forecast {
    /// Queries in this period when it ends.
    pub total: u64,
    /// No fewer than this, by what the last days were like.
    pub low: u64,
    /// No more than this.
    pub high: u64,
    /// When the budget is spent, Unix seconds; none where it lasts.
    pub spent: Option<i64>,
    /// When it is spent at the earliest.
    pub earliest: Option<i64>,
    /// When at the latest; none where it may last.
    pub latest: Option<i64>,
    /// Whether a week of history tells what each hour of the day is like.
    pub seasoned: bool,
}

/// Queries by hour since 1970.
pub(super) type Hours = BTreeMap<i64, u32>;

/// The period: its end, now, and how much was used of how much.
#[derive(Clone, Copy, Debug)]
pub(super) struct Period {
    pub(super) end: i64,
    pub(super) now: i64,
    pub(super) used: u64,
    pub(super) limit: u64,
}

pub(super) fn seconds(at: Timestamp) -> i64 {
    at.seconds()
}

/// What is expected.
pub(super) fn forecast(hours: &Hours, period: Period) -> Forecast {
    let this_hour = period.now.div_euclid(HOUR_SECONDS);
    let first = hours.keys().next().copied().unwrap_or(this_hour);
    let seasoned = first <= this_hour - DAYS * HOURS_A_DAY;
    let (rate, low, high): (Box<dyn Fn(i64) -> f64>, f64, f64) = if seasoned {
        let profile = Profile::of(hours, this_hour);
        let likeness = profile.likeness(hours, period);
        let (low, high) = profile.spread(hours, this_hour);
        (Box::new(move |hour| profile.hourly(hour) * likeness), low, high)
    } else {
        let trend = Trend::of(hours, first, period);
        (Box::new(move |hour| trend.hourly(hour)), UNSEASONED.0, UNSEASONED.1)
    };
    let run = |factor: f64| walk(&*rate, factor, period);
    let (total, spent) = run(1.0);
    let ((low, latest), (high, earliest)) = (run(low.min(1.0)), run(high.max(1.0)));
    // What happens by chance alone, whatever the days before were like.
    let noise = 2.0 * (total - to_f64(period.used)).max(0.0).sqrt();
    Forecast {
        total: to_u64(total),
        low: to_u64((low - noise).max(to_f64(period.used))),
        high: to_u64(high + noise),
        spent,
        earliest,
        latest,
        seasoned,
    }
}

/// Queries an hour as they are now, and the part by which they fall from hour to hour.
struct Trend {
    this_hour: i64,
    rate: f64,
    fall: f64,
}

impl Trend {
    fn of(hours: &Hours, first: i64, period: Period) -> Self {
        let this_hour = period.now.div_euclid(HOUR_SECONDS);
        let from = first.max(this_hour - PRESENT_HOURS);
        let counted: f64 = hours.range(from..=this_hour).map(|(_, count)| f64::from(*count)).sum();
        // Half an hour at the least: the first queries after midnight say little.
        let passed = to_float(period.now - from * HOUR_SECONDS) / to_float(HOUR_SECONDS);
        // The first hour is that of the beginning, when everybody is new.
        let day = (first + 1).max(this_hour - HOURS_A_DAY);
        let whole: Vec<f64> =
            (day..this_hour).map(|hour| hours.get(&hour).map_or(0.0, |count| f64::from(*count))).collect();
        Trend { this_hour, rate: counted / passed.max(0.5), fall: fall(&whole) }
    }

    fn hourly(&self, hour: i64) -> f64 {
        self.rate * (1.0 - self.fall).powi(i32::try_from(hour - self.this_hour).unwrap_or(0).max(0))
    }
}

/// The part by which the rate will fall from hour to hour, by what it did: the slope of a straight line through the
/// logarithms.
fn fall(whole: &[f64]) -> f64 {
    if whole.len() < FALL_HOURS {
        return 0.0;
    }
    let points = (0i32..).map(f64::from).zip(whole.iter().map(|count| (count + 1.0).ln()));
    let (mut n, mut sum_x, mut sum_y, mut sum_xx, mut sum_xy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (x, y) in points {
        n += 1.0;
        sum_x += x;
        sum_y += y;
        sum_xx += x * x;
        sum_xy += x * y;
    }
    let slope: f64 = (n * sum_xy - sum_x * sum_y) / (n * sum_xx - sum_x * sum_x);
    (-slope * FALL.0).clamp(0.0, FALL.1)
}

/// Goes from now to the end of the period: how much will be used, and when it is too much.
fn walk(rate: &dyn Fn(i64) -> f64, factor: f64, period: Period) -> (f64, Option<i64>) {
    let (mut used, mut at, limit) = (to_f64(period.used), period.now, to_f64(period.limit));
    let mut spent = (period.limit > 0 && used >= limit).then_some(period.now);
    while at < period.end {
        let hour = at.div_euclid(HOUR_SECONDS);
        let until = ((hour + 1) * HOUR_SECONDS).min(period.end);
        let (length, hourly) = (to_float(until - at), rate(hour) * factor);
        let more = hourly * length / to_float(HOUR_SECONDS);
        if spent.is_none() && period.limit > 0 && used + more >= limit && more > 0.0 {
            spent = Some(at + to_i64((limit - used) / more * length));
        }
        used += more;
        at = until;
    }
    (used, spent)
}

/// What each hour of the day was like in the last week.
struct Profile([f64; 24]);

impl Profile {
    fn of(hours: &Hours, this_hour: i64) -> Self {
        let mut mean = [0.0; 24];
        for (hour, count) in hours.range(this_hour - DAYS * HOURS_A_DAY..this_hour) {
            if let Some(place) =
                usize::try_from(hour.rem_euclid(HOURS_A_DAY)).ok().and_then(|h| mean.get_mut(h))
            {
                *place += f64::from(*count) / to_float(DAYS);
            }
        }
        Profile(mean)
    }

    fn hourly(&self, hour: i64) -> f64 {
        usize::try_from(hour.rem_euclid(HOURS_A_DAY)).ok().and_then(|h| self.0.get(h)).copied().unwrap_or(0.0)
    }

    /// By how much the last day is busier than these days were: counted, over what was expected.
    fn likeness(&self, hours: &Hours, period: Period) -> f64 {
        let this_hour = period.now.div_euclid(HOUR_SECONDS);
        let from = this_hour - HOURS_A_DAY / 4;
        let counted: f64 = hours.range(from..=this_hour).map(|(_, count)| f64::from(*count)).sum();
        let part = to_float(period.now.rem_euclid(HOUR_SECONDS)) / to_float(HOUR_SECONDS);
        let whole: f64 = (from..this_hour).map(|hour| self.hourly(hour)).sum();
        let expected = whole + self.hourly(this_hour) * part;
        // A few queries say nothing; they are taken with a hundred that were as expected.
        ((counted + 100.0) / (expected + 100.0)).clamp(LIKENESS.0, LIKENESS.1)
    }

    /// How much the quietest and the busiest of these days differed from their mean.
    fn spread(&self, hours: &Hours, this_hour: i64) -> (f64, f64) {
        let mean: f64 = self.0.iter().sum();
        let mut spread = (1.0f64, 1.0f64);
        for day in 1..=DAYS {
            let from = this_hour - day * HOURS_A_DAY;
            let counted: f64 =
                hours.range(from..from + HOURS_A_DAY).map(|(_, count)| f64::from(*count)).sum();
            let ratio = if mean > 0.0 { counted / mean } else { 1.0 };
            spread = (spread.0.min(ratio), spread.1.max(ratio));
        }
        spread
    }
}

fn to_f64(number: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a count of queries is far below 2^52")]
    let float = number as f64;
    float
}

fn to_float(number: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "seconds in a period are far below 2^52")]
    let float = number as f64;
    float
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float becomes the nearest number there is"
)]
fn to_u64(number: f64) -> u64 {
    number.round() as u64
}

#[expect(clippy::cast_possible_truncation, reason = "a float becomes the nearest number there is")]
fn to_i64(number: f64) -> i64 {
    number.round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    /// A day with `day` queries an hour from 8 to 20 o'clock and `night` else.
    fn days(count: i64, day: u32, night: u32) -> Hours {
        let hour = |hour: i64| if (8..20).contains(&(hour % 24)) { day } else { night };
        (0..count * 24).map(|h| (h, hour(h))).collect()
    }

    #[track_caller]
    fn check(
        hours: &Hours,
        now: i64,
        limit: u64,
        total: std::ops::RangeInclusive<u64>,
        spent_hour: Option<i64>,
    ) {
        let start = now.div_euclid(DAY) * DAY;
        let of_today = hours.range(start / 3600..);
        let used = of_today.map(|(_, count)| u64::from(*count)).sum();
        let told = forecast(hours, Period { end: start + DAY, now, used, limit });
        assert!(total.contains(&told.total), "{told:?}");
        assert!(told.low <= told.total && told.total <= told.high, "{told:?}");
        assert_eq!(told.spent.map(|at| (at - start) / 3600), spent_hour, "{told:?}");
    }

    #[test]
    fn after_a_week_the_night_is_known_to_be_quiet() {
        let mut hours = days(8, 1000, 100);
        hours.retain(|hour, _| *hour < 7 * 24 + 20);
        // At 20 o'clock there are 12,800 and four quiet hours to come, which a rate of the day would make 4,000.
        check(&hours, 7 * DAY + 20 * 3600, 20_000, 13_100..=13_300, None);
        check(&hours, 7 * DAY + 20 * 3600, 13_050, 13_100..=13_300, Some(22));
    }

    #[test]
    fn a_day_twice_as_busy_is_seen_to_be_so() {
        let mut hours = days(8, 1000, 100);
        hours.retain(|hour, _| *hour < 7 * 24 + 14);
        for (_, count) in hours.range_mut(7 * 24..) {
            *count *= 2;
        }
        check(&hours, 7 * DAY + 14 * 3600, 20_000, 24_500..=26_500, Some(17));
    }

    #[test]
    fn without_history_the_present_rate_is_all_there_is() {
        let hours: Hours = (0..6).map(|hour| (hour, 100)).collect();
        check(&hours, 6 * 3600, 1000, 2300..=2500, Some(10));
        check(&hours, 6 * 3600, 10_000, 2300..=2500, None);
    }

    #[test]
    fn a_first_day_on_which_fewer_and_fewer_are_new_is_seen_to_slow_down() {
        // As the day model's server asks: many at first, then who is new.
        let whole: Hours =
            (0..24).map(|hour| (hour, 1200 + 2400 / (u32::try_from(hour).unwrap() + 1))).collect();
        let total: u64 = whole.values().map(|count| u64::from(*count)).sum();
        for now in [6, 9, 12, 15, 18] {
            let hours: Hours = whole.range(..now).map(|(hour, count)| (*hour, *count)).collect();
            let within = total * 85 / 100..=total * 115 / 100;
            check(&hours, now * 3600, 1_000_000, within, None);
        }
    }

    #[test]
    fn a_morning_that_rises_is_not_taken_to_rise_for_ever() {
        let hours: Hours = (0..8).map(|hour| (hour, 100 * (u32::try_from(hour).unwrap() + 1))).collect();
        check(&hours, 8 * 3600, 100_000, 14_000..=16_500, None);
    }

    #[test]
    fn after_a_week_each_hour_of_the_day_is_known_whatever_the_weather() {
        // Busy by day, each hour as much as a third more or less than usual, and some days busier than others.
        let mut seed = 7u32;
        let mut noise = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(seed >> 16) / 65_536.0
        };
        let busy = [1.0, 0.8, 1.2, 1.1, 0.9, 1.3, 0.7, 1.0];
        let mut all = Hours::new();
        for (day, busy) in (0i64..).zip(busy) {
            for hour in 0..24 {
                let usual = 300.0 + 700.0 * f64::from(u8::from((8..20).contains(&hour)));
                let count = to_u64(usual * busy * (0.67 + 0.66 * noise()));
                all.insert(day * 24 + hour, u32::try_from(count).unwrap());
            }
        }
        let today: u64 = all.range(7 * 24..).map(|(_, count)| u64::from(*count)).sum();
        for hour in [6, 9, 12, 15, 18, 21] {
            let now = 7 * 24 + hour;
            let hours: Hours = all.range(..now).map(|(hour, count)| (*hour, *count)).collect();
            check(&hours, now * 3600, 1_000_000, today * 85 / 100..=today * 115 / 100, None);
        }
    }

    #[test]
    fn a_budget_that_is_spent_is_spent_now() {
        let hours: Hours = (0..6).map(|hour| (hour, 100)).collect();
        check(&hours, 6 * 3600, 600, 2300..=2500, Some(6));
    }
}
