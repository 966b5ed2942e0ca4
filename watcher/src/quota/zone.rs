//! One zone: what was asked in this period, what it caught, and whether it answers.

use std::time::Duration;

use logline::Timestamp;
use serde::{Deserialize, Serialize};

use crate::quota::forecast::{Forecast, HOUR_SECONDS, Hours, Period, forecast, seconds};
use crate::quota::{Notice, Quota};

/// Hours of history: a week, and the day that is compared with it.
const HOURS_KEPT: i64 = 8 * 24;

/// So many failures in a row, and no answer between them, are no accident.
const FAILURES_MAX: u32 = 5;

/// The pressure is worked out again after so much time.
const PRESSURE_EVERY: Duration = Duration::from_secs(10);

/// There is no pressure while the forecast is below this part of the budget, and full pressure from that one on.
const PRESSURE: (f64, f64) = (0.8, 1.2);

/// Queries that were not made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Avoided {
    /// Because the client was banned: an estimate, from the packets that the kernel dropped.
    pub bans: u64,
    /// Because the answer was remembered.
    pub cache: u64,
    /// Because mail of the client was accepted lately.
    pub known: u64,
}

/// What is saved of a zone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Tally {
    /// When the period began.
    start: i64,
    /// Queries in it.
    used: u64,
    pub(super) queries: u64,
    pub(super) listed: u64,
    pub(super) errors: u64,
    /// Clients that no other zone listed.
    pub(super) alone: u64,
    pub(super) avoided: Avoided,
    /// Connections that could have led to a query.
    pub(super) connections: u64,
    /// Queries about clients that were kept out, where nothing kept them out in truth.
    pub(super) kept_out: u64,
    failures: u32,
    off: Option<String>,
    told_low: bool,
    told_spent: bool,
    hours: Hours,
}

#[derive(Clone, Debug)]
pub(super) struct Zone {
    pub(super) quota: Quota,
    /// Whether the configuration names it.
    pub(super) configured: bool,
    pub(super) tally: Tally,
    pub(super) changed: bool,
    pressure: f64,
    pressed: Option<Timestamp>,
}

/// A zone as it is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ZoneView {
    /// Which.
    pub zone: String,
    /// Queries allowed in a period; none where the configuration does not say.
    pub limit: Option<u64>,
    /// How long a period is.
    pub period_seconds: u64,
    /// When it began, and when it ends: Unix seconds.
    pub period: (i64, i64),
    /// Queries in this period.
    pub used: u64,
    /// What is left of the limit.
    pub left: Option<u64>,
    /// What is expected.
    pub forecast: Forecast,
    /// From 0, where the budget lasts, to 1.
    pub pressure: f64,
    /// Since the beginning: queries.
    pub queries: u64,
    /// Since the beginning: listings.
    pub listed: u64,
    /// Since the beginning: clients that no other zone listed, as far as the others were asked.
    pub alone: u64,
    /// Since the beginning: errors instead of answers.
    pub errors: u64,
    /// Since the beginning: queries that were not made, and why.
    pub avoided: Avoided,
    /// Why no listing of it counts, if so.
    pub off: Option<String>,
    /// Queries by the hour of this period: when the hour began, Unix seconds, and how many.
    #[serde(default)]
    pub hours: Vec<(i64, u32)>,
}

impl Zone {
    pub(super) fn new(quota: Quota, configured: bool) -> Self {
        let tally = Tally::default();
        Zone { quota, configured, tally, changed: false, pressure: 0.0, pressed: None }
    }

    /// Whether its budget has an end.
    pub(super) fn is_limited(&self) -> bool {
        self.configured && self.quota.limit > 0
    }

    /// A query was made.
    pub(super) fn asked(&mut self, at: Timestamp) -> Option<Notice> {
        self.turn(at);
        let hour = seconds(at).div_euclid(HOUR_SECONDS);
        let count = self.tally.hours.entry(hour).or_default();
        *count = count.saturating_add(1);
        while let Some((first, _)) = self.tally.hours.first_key_value()
            && *first <= hour - HOURS_KEPT
        {
            self.tally.hours.pop_first();
        }
        self.tally.used += 1;
        self.tally.queries += 1;
        self.changed = true;
        if self.is_limited() && self.pressed.is_none_or(|pressed| at.since(pressed) >= PRESSURE_EVERY) {
            self.press(at);
        }
        self.budget_notice()
    }

    /// A query that was counted was not made after all.
    pub(super) fn not_asked(&mut self, at: Timestamp) {
        self.turn(at);
        self.tally.used = self.tally.used.saturating_sub(1);
        self.tally.queries = self.tally.queries.saturating_sub(1);
        if let Some(count) = self.tally.hours.get_mut(&seconds(at).div_euclid(HOUR_SECONDS)) {
            *count = count.saturating_sub(1);
        }
    }

    /// It answered, and rightly: it said that somebody is not listed.
    pub(super) fn answered(&mut self) -> Option<Notice> {
        self.tally.failures = 0;
        self.changed = true;
        self.tally.off.take().map(|_| Notice::On { zone: self.quota.zone.clone() })
    }

    /// It did not answer, or refused to, in these words.
    pub(super) fn failed(&mut self, refusal: Option<String>) -> Option<Notice> {
        self.tally.errors += 1;
        self.tally.failures = self.tally.failures.saturating_add(1);
        self.changed = true;
        let often = || {
            (self.tally.failures >= FAILURES_MAX).then(|| format!("{FAILURES_MAX} times in a row no answer"))
        };
        let why = refusal.or_else(often)?;
        let first = self.tally.off.is_none();
        self.tally.off = Some(why.clone());
        first.then(|| Notice::Off { zone: self.quota.zone.clone(), why })
    }

    /// Whether no listing of it counts.
    pub(super) fn is_off(&self) -> bool {
        self.tally.off.is_some()
    }

    /// From 0, where the budget lasts, to 1.
    pub(super) fn pressure(&self, at: Timestamp) -> f64 {
        // A new period begins without any.
        if self.is_limited() && self.start(at) == self.tally.start { self.pressure } else { 0.0 }
    }

    pub(super) fn view(&self, now: Timestamp) -> ZoneView {
        let forecast = self.forecast(now);
        let (start, end) = self.bounds(now);
        let used = if start == self.tally.start { self.tally.used } else { 0 };
        let limit = self.is_limited().then_some(self.quota.limit);
        let Tally { queries, listed, errors, alone, avoided, off, .. } = self.tally.clone();
        ZoneView {
            zone: self.quota.zone.clone(),
            limit,
            period_seconds: self.quota.period.as_secs(),
            period: (start, end),
            used,
            left: limit.map(|limit| limit.saturating_sub(used)),
            pressure: if limit.is_some() { pressure_of(&forecast, used, self.quota.limit) } else { 0.0 },
            forecast,
            queries,
            listed,
            alone,
            errors,
            avoided,
            off,
            hours: self.hours_of(start),
        }
    }

    /// A new period begins.
    fn turn(&mut self, at: Timestamp) {
        let start = self.start(at);
        // A line that is late belongs to a period that is over; it is counted in the present one.
        if start > self.tally.start {
            self.tally.start = start;
            self.tally.used = 0;
            (self.tally.told_low, self.tally.told_spent) = (false, false);
            (self.pressure, self.pressed) = (0.0, None);
        }
    }

    fn press(&mut self, at: Timestamp) {
        self.pressed = Some(at);
        self.pressure = pressure_of(&self.forecast(at), self.tally.used, self.quota.limit);
    }

    fn budget_notice(&mut self) -> Option<Notice> {
        let (zone, limit, used) = (&self.quota.zone, self.quota.limit, self.tally.used);
        if !self.is_limited() {
            return None;
        }
        if used >= limit && !self.tally.told_spent {
            (self.tally.told_low, self.tally.told_spent) = (true, true);
            return Some(Notice::Spent { zone: zone.clone(), limit });
        }
        if self.pressure >= 0.5 && !self.tally.told_low {
            self.tally.told_low = true;
            return Some(Notice::Low { zone: zone.clone(), used, limit });
        }
        None
    }

    fn forecast(&self, now: Timestamp) -> Forecast {
        let (start, end) = self.bounds(now);
        let used = if start == self.tally.start { self.tally.used } else { 0 };
        let limit = if self.is_limited() { self.quota.limit } else { 0 };
        forecast(&self.tally.hours, Period { end, now: seconds(now), used, limit })
    }

    /// The hours since then in which something was asked.
    fn hours_of(&self, start: i64) -> Vec<(i64, u32)> {
        let since = start.div_euclid(HOUR_SECONDS);
        self.tally.hours.range(since..).map(|(hour, count)| (hour * HOUR_SECONDS, *count)).collect()
    }

    fn start(&self, at: Timestamp) -> i64 {
        self.bounds(at).0
    }

    /// When the period began that holds this time, and when it ends.
    fn bounds(&self, at: Timestamp) -> (i64, i64) {
        let period = i64::try_from(self.quota.period.as_secs()).unwrap_or(i64::MAX).max(1);
        let reset = i64::try_from(self.quota.reset.as_secs()).unwrap_or(0);
        let start = (seconds(at) - reset).div_euclid(period) * period + reset;
        (start, start.saturating_add(period))
    }
}

fn pressure_of(forecast: &Forecast, used: u64, limit: u64) -> f64 {
    if used >= limit {
        return 1.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of queries is far below 2^52")]
    let part = forecast.total as f64 / limit as f64;
    ((part - PRESSURE.0) / (PRESSURE.1 - PRESSURE.0)).clamp(0.0, 1.0)
}
