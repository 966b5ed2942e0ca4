//! How many queries a zone allows, and which of them are worth making.
//!
//! In a period no more than the limit are made. They are spread: a tenth may be made at once, the rest as the period
//! goes by, so that a flood in the morning leaves something for the evening. What was saved at night may be spent by day.

use std::time::Duration;

use logline::Timestamp;

/// The part of the limit that may be spent as soon as a period begins.
const AT_ONCE: f64 = 0.1;

/// Above this part of what may be spent by now, only clients that were never heard of are asked about.
const SCARCE: f64 = 0.8;

/// A zone's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Queries in a period.
    pub queries: u64,
    /// How long a period is; at least a second.
    pub period: Duration,
    /// When in a day, by UTC, one begins.
    pub reset: Duration,
}

/// How much it is worth to ask about a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// Nothing is known of it.
    Unheard,
    /// What is known of it is old.
    Stale,
}

/// What was spent of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    limit: Option<Limit>,
    /// When the current period began.
    began: Timestamp,
    used: u64,
}

impl Budget {
    /// Nothing spent; without a limit all is allowed, and counted.
    pub fn new(limit: Option<Limit>) -> Self {
        Budget { limit, began: Timestamp::default(), used: 0 }
    }

    /// The same, with so much spent in the period that began then.
    pub fn with_used(self, began: Timestamp, used: u64) -> Self {
        Budget { began, used, ..self }
    }

    /// Whether this query may be made now.
    pub fn allows(&mut self, now: Timestamp, worth: Worth) -> bool {
        self.turn(now);
        let Some(limit) = self.limit else { return true };
        let elapsed = now.since(self.began).as_secs_f64() / limit.period.as_secs_f64();
        let open = AT_ONCE + (1.0 - AT_ONCE) * elapsed.clamp(0.0, 1.0);
        let part = match worth {
            Worth::Unheard => 1.0,
            Worth::Stale => SCARCE,
        };
        ((self.used + 1) as f64) <= limit.queries as f64 * open * part
    }

    /// So many were made.
    pub fn spend(&mut self, now: Timestamp, queries: u64) {
        self.turn(now);
        self.used = self.used.saturating_add(queries);
    }

    /// When the period began, and how many queries it has seen.
    pub fn used(&self) -> (Timestamp, u64) {
        (self.began, self.used)
    }

    /// What the zone allows.
    pub fn limit(&self) -> Option<Limit> {
        self.limit
    }

    /// Begins the period that `now` lies in, if it is another.
    fn turn(&mut self, now: Timestamp) {
        let day = Duration::from_secs(86_400);
        let (period, reset) = self.limit.map_or((day, Duration::ZERO), |limit| (limit.period, limit.reset));
        let (period, reset) = (period.as_secs().max(1), reset.as_secs());
        let seconds = u64::try_from(now.seconds()).unwrap_or(0);
        let began = seconds - seconds.saturating_sub(reset) % period;
        let began = Timestamp::from_seconds(i64::try_from(began).unwrap_or(0));
        // A clock that was set back opens no new purse.
        if began > self.began {
            (self.began, self.used) = (began, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600;
    /// 2026-11-21 00:00 UTC.
    const MIDNIGHT: i64 = 1_795_219_200;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(MIDNIGHT + seconds)
    }

    fn budget(queries: u64, reset: u64) -> Budget {
        let (period, reset) = (Duration::from_secs(86_400), Duration::from_secs(reset));
        Budget::new(Some(Limit { queries, period, reset }))
    }

    /// Asks as often as it may at that time.
    fn drain(budget: &mut Budget, now: Timestamp, worth: Worth) -> u64 {
        let mut asked = 0;
        while budget.allows(now, worth) {
            budget.spend(now, 1);
            asked += 1;
        }
        asked
    }

    #[test]
    fn a_day_never_sees_more_than_the_limit_however_greedy_the_clients_are() {
        let mut budget = budget(1000, 0);
        assert_eq!(drain(&mut budget, at(0), Worth::Unheard), 100, "a tenth at once");
        let rest: u64 = (1..86_400).map(|second| drain(&mut budget, at(second), Worth::Unheard)).sum();
        assert!((898..=900).contains(&rest), "{rest}");
        assert_eq!(drain(&mut budget, at(86_400), Worth::Unheard), 100, "a new day");
    }

    #[test]
    fn what_the_night_saved_the_day_may_spend() {
        assert_eq!(drain(&mut budget(1000, 0), at(12 * HOUR), Worth::Unheard), 550);
    }

    #[test]
    fn where_queries_are_scarce_old_verdicts_are_not_refreshed() {
        let mut budget = budget(1000, 0);
        assert_eq!(drain(&mut budget, at(12 * HOUR), Worth::Stale), 440);
        assert_eq!(drain(&mut budget, at(12 * HOUR), Worth::Unheard), 110);
    }

    #[test]
    fn a_period_begins_when_the_zone_says() {
        let mut budget = budget(1000, 6 * 3600);
        drain(&mut budget, at(5 * HOUR), Worth::Unheard);
        assert_eq!(budget.used().0, at(6 * HOUR - 86_400));
        budget.spend(at(6 * HOUR), 1);
        assert_eq!(budget.used(), (at(6 * HOUR), 1));
    }

    #[test]
    fn a_clock_that_is_set_back_opens_no_new_purse() {
        let mut budget = budget(1000, 0);
        drain(&mut budget, at(HOUR), Worth::Unheard);
        let used = budget.used();
        assert!(!budget.allows(at(-HOUR), Worth::Unheard));
        assert_eq!(budget.used(), used);
    }

    #[test]
    fn a_zone_without_a_limit_is_counted() {
        let mut budget = Budget::new(None);
        assert!(budget.allows(at(0), Worth::Stale));
        budget.spend(at(0), 2);
        assert_eq!(budget.used(), (at(0), 2));
    }
}
