//! How many queries a zone allows, and which of them are worth making.
//!
//! In a period no more than the limit are made. They are spread: a tenth may be made at once, the rest as the period
//! goes by, so that a flood in the morning leaves something for the evening. What was saved at night may be spent by day.
//!
//! Several processes may spend one budget. A server takes some queries in advance from the books that it shares with them,
//! so that it need not go there for each: what it has taken nobody else spends, and what a crash leaves of it is lost.

use std::cmp::Ordering;
use std::time::Duration;

use logline::Timestamp;

/// The part of the limit that may be spent as soon as a period begins.
const AT_ONCE: f64 = 0.1;

/// Above this part of what may be spent by now, only clients that were never heard of are asked about.
const SCARCE: f64 = 0.8;

/// Queries that are taken in advance at least; then twice as many as were made since the last time.
const ADVANCE_MIN: u64 = 4;

/// But no more than this.
const ADVANCE_MAX: u64 = 256;

/// Nor more than this part of a limit.
const ADVANCE_PARTS: u64 = 64;

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

/// Whether queries are taken in advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advance {
    /// None are; those that are left are given back.
    None,
    /// As many as are likely to be made until the books are opened again.
    Taken,
}

/// What was spent of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    limit: Option<Limit>,
    /// When the current period began.
    began: Timestamp,
    used: u64,
    /// How many were taken in advance when the books were open last.
    taken: u64,
    /// How many of these are left; below zero, how many were made that do not stand in the books.
    left: i64,
}

impl Budget {
    /// Nothing spent; without a limit all is allowed, and counted.
    pub fn new(limit: Option<Limit>) -> Self {
        Budget { limit, began: Timestamp::default(), used: 0, taken: 0, left: 0 }
    }

    /// Whether a look-up may be begun now that takes so many queries.
    pub fn allows(&mut self, now: Timestamp, worth: Worth, queries: u64) -> bool {
        self.turn(now);
        let Some(limit) = self.limit else { return true };
        let elapsed = now.since(self.began).as_secs_f64() / limit.period.as_secs_f64();
        let open = AT_ONCE + (1.0 - AT_ONCE) * elapsed.clamp(0.0, 1.0);
        let part = match worth {
            Worth::Unheard => 1.0,
            Worth::Stale => SCARCE,
        };
        ((self.used + 1) as f64) <= limit.queries as f64 * open * part && self.has_left(now, queries)
    }

    /// Whether the limit has so many left, whenever they were meant for.
    pub fn has_left(&mut self, now: Timestamp, queries: u64) -> bool {
        self.turn(now);
        self.limit.is_none_or(|limit| self.used.saturating_add(queries) <= limit.queries)
    }

    /// So many were made.
    pub fn spend(&mut self, now: Timestamp, queries: u64) {
        self.turn(now);
        self.used = self.used.saturating_add(queries);
        self.left = self.left.saturating_sub_unsigned(queries);
    }

    /// So many were spent and not made.
    pub fn give_back(&mut self, now: Timestamp, queries: u64) {
        self.turn(now);
        let queries = queries.min(self.used);
        self.used -= queries;
        self.left = self.left.saturating_add_unsigned(queries);
    }

    /// Whether fewer than that are left of those that were taken in advance.
    pub fn is_short(&mut self, now: Timestamp, queries: u64) -> bool {
        self.turn(now);
        self.left < i64::try_from(queries).unwrap_or(i64::MAX)
    }

    /// Whether the books would say something else after a settlement.
    pub fn has_news(&self) -> bool {
        self.made() > 0 || self.taken > ADVANCE_MIN
    }

    /// Settles with what stands in the books: what all have used in the period that began then. Gives what is to stand
    /// there.
    pub fn settle(
        &mut self,
        now: Timestamp,
        booked: Option<(Timestamp, u64)>,
        advance: Advance,
    ) -> (Timestamp, u64) {
        self.turn(now);
        if let Some((began, used)) = booked {
            match began.cmp(&self.began) {
                Ordering::Less => {}
                Ordering::Equal => self.used = used.saturating_add_signed(self.left.saturating_neg()),
                // Another clock is ahead of ours, or another process was told of another reset.
                Ordering::Greater => (self.began, self.used) = (began, used),
            }
        }
        self.taken = match advance {
            Advance::None => 0,
            Advance::Taken => {
                let part = self.limit.map_or(ADVANCE_MAX, |limit| limit.queries / ADVANCE_PARTS);
                let max = part.clamp(1, ADVANCE_MAX);
                (2 * self.made()).clamp(ADVANCE_MIN.min(max), max)
            }
        };
        self.left = i64::try_from(self.taken).unwrap_or(i64::MAX);
        (self.began, self.used.saturating_add(self.taken))
    }

    /// Queries that were made since the books were open.
    fn made(&self) -> u64 {
        self.taken.saturating_add_signed(self.left.saturating_neg())
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
            (self.taken, self.left) = (0, 0);
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
        while budget.allows(now, worth, 1) {
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
        assert!(!budget.allows(at(-HOUR), Worth::Unheard, 1));
        assert_eq!(budget.used(), used);
    }

    #[test]
    fn a_zone_without_a_limit_is_counted() {
        let mut budget = Budget::new(None);
        assert!(budget.allows(at(0), Worth::Stale, 1));
        budget.spend(at(0), 2);
        assert_eq!(budget.used(), (at(0), 2));
    }

    #[test]
    fn a_look_up_of_two_queries_is_not_begun_with_the_last_one() {
        let (mut budget, evening) = (budget(10, 0), at(86_399));
        budget.spend(evening, 8);
        assert!(budget.allows(evening, Worth::Unheard, 2));
        budget.spend(evening, 2);
        budget.give_back(evening, 1);
        assert!(!budget.allows(evening, Worth::Unheard, 2));
        assert!(budget.has_left(evening, 1) && !budget.has_left(evening, 2));
    }

    /// Two servers and the books between them: what both asked, and what the books say in the end.
    #[track_caller]
    fn check_shared(queries: u64, expected: u64) {
        let mut books = None;
        let mut servers = [budget(queries, 0), budget(queries, 0)];
        let (noon, mut asked) = (at(12 * HOUR), 0);
        for turn in 0..4 * queries {
            let server = &mut servers[usize::from(turn % 3 == 0)];
            if server.is_short(noon, 1) {
                books = Some(server.settle(noon, books, Advance::Taken));
            }
            if server.allows(noon, Worth::Unheard, 1) {
                server.spend(noon, 1);
                asked += 1;
            }
        }
        for server in &mut servers {
            books = Some(server.settle(noon, books, Advance::None));
        }
        assert_eq!((asked, books), (expected, Some((at(0), expected))), "{queries}");
    }

    #[test]
    fn processes_that_share_a_budget_spend_it_once() {
        check_shared(1000, 550);
        check_shared(10, 5);
    }

    #[test]
    fn a_crash_loses_what_was_taken_in_advance_and_nothing_is_spent_twice() {
        let mut budget_before = budget(6400, 0);
        let books = budget_before.settle(at(0), None, Advance::Taken);
        assert_eq!(books, (at(0), ADVANCE_MIN));
        let mut after = budget(6400, 0);
        after.settle(at(0), Some(books), Advance::Taken);
        assert_eq!(after.used(), (at(0), ADVANCE_MIN));
    }

    #[test]
    fn who_asks_much_opens_the_books_seldom_and_who_is_idle_keeps_little() {
        let (mut budget, mut booked, mut openings) = (budget(1_000_000, 0), None, 0);
        for _ in 0..10_000 {
            if budget.is_short(at(0), 1) {
                booked = Some(budget.settle(at(0), booked, Advance::Taken));
                openings += 1;
            }
            budget.spend(at(0), 1);
        }
        assert!(openings < 60, "{openings}");
        while budget.has_news() {
            booked = Some(budget.settle(at(0), booked, Advance::Taken));
        }
        assert_eq!(booked, Some((at(0), 10_000 + ADVANCE_MIN)));
    }

    #[test]
    fn the_books_of_a_period_that_is_over_say_nothing_of_this_one() {
        let mut budget = budget(1000, 0);
        budget.settle(at(-HOUR), None, Advance::Taken);
        budget.spend(at(HOUR), 2);
        assert_eq!(budget.settle(at(HOUR), Some((at(-86_400), 999)), Advance::None), (at(0), 2));
        assert_eq!(
            budget.settle(at(HOUR), Some((at(86_400), 7)), Advance::None),
            (at(86_400), 7),
            "a clock ahead"
        );
    }
}
