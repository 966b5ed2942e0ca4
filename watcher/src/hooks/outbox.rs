//! What waits to be delivered by one hook, and when it is to be: gathered, no faster than allowed, tried again for a
//! while. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::control::api::News;
use crate::hooks::{Hook, Outcome};

/// So much may wait; of more, the oldest goes, and how much went is told.
pub(super) const WAITING_MAX: usize = 1000;
/// So much goes into one delivery.
const TOGETHER_MAX: usize = 100;
/// The window in which deliveries are counted.
const HOUR: Duration = Duration::from_secs(3600);
/// The pause before a second attempt; it grows fourfold with each, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(900);

/// The outbox of one hook.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// What happened, and since when it waits.
    waiting: VecDeque<(Instant, News)>,
    lost: u64,
    /// What is being delivered.
    parcel: Option<Parcel>,
    /// When the latest deliveries began.
    begun: VecDeque<Instant>,
}

/// What is delivered as one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Parcel {
    pub(super) events: Vec<News>,
    pub(super) lost: u64,
    failures: u32,
    due: Instant,
}

impl Outbox {
    /// Something happened; how much had to go for it.
    pub(super) fn put(&mut self, news: News, now: Instant) -> u64 {
        self.waiting.push_back((now, news));
        if self.waiting.len() <= WAITING_MAX {
            return 0;
        }
        self.waiting.pop_front();
        self.lost += 1;
        1
    }

    /// True where nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.parcel.is_none()
    }

    /// When there will be something to deliver.
    pub(super) fn due(&self, hook: &Hook) -> Option<Instant> {
        if let Some(parcel) = &self.parcel {
            return Some(parcel.due);
        }
        let (since, _) = self.waiting.front()?;
        // A full digest waits for no more.
        let gathered = if self.waiting.len() >= TOGETHER_MAX { *since } else { *since + hook.digest };
        let room = match self.begun.front() {
            Some(first) if self.begun.len() >= allowed(hook) => *first + HOUR,
            Some(_) | None => gathered,
        };
        Some(gathered.max(room))
    }

    /// What is to be delivered now.
    pub(super) fn take(&mut self, hook: &Hook, now: Instant) -> Option<&Parcel> {
        if self.due(hook)? > now {
            return None;
        }
        if self.parcel.is_none() {
            while self.begun.len() >= allowed(hook) {
                self.begun.pop_front();
            }
            self.begun.push_back(now);
            let count = self.waiting.len().min(TOGETHER_MAX);
            let events = self.waiting.drain(..count).map(|(_, news)| news).collect();
            self.parcel =
                Some(Parcel { events, lost: std::mem::take(&mut self.lost), failures: 0, due: now });
        }
        self.parcel.as_ref()
    }

    /// What was taken last was delivered, or was not.
    pub(super) fn ended(&mut self, hook: &Hook, is_done: bool, now: Instant) -> Outcome {
        let Some(parcel) = &mut self.parcel else { return Outcome::Done };
        parcel.failures += u32::from(!is_done);
        if is_done || parcel.failures >= hook.attempts {
            self.parcel = None;
            return if is_done { Outcome::Done } else { Outcome::GivenUp };
        }
        let pause = FIRST_PAUSE.saturating_mul(4u32.saturating_pow(parcel.failures - 1));
        parcel.due = now + pause.min(LONGEST_PAUSE);
        Outcome::Failed
    }
}

fn allowed(hook: &Hook) -> usize {
    usize::try_from(hook.per_hour).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use logline::Timestamp;

    use super::*;
    use crate::hooks::Action;
    use crate::news::{Item, Topic};

    fn hook() -> Hook {
        Hook {
            name: "h".into(),
            on: vec![Topic::Ban],
            jails: Vec::new(),
            action: Action::Command(vec!["/bin/true".into()]),
            digest: Duration::ZERO,
            per_hour: 1000,
            attempts: 3,
            timeout: Duration::from_secs(1),
        }
    }

    fn news(text: &str) -> News {
        Item::new(Topic::Ban, Timestamp::from_seconds(0), text).news
    }

    #[track_caller]
    fn check_taken(outbox: &mut Outbox, hook: &Hook, now: Instant, expected: &[&str]) {
        let taken = outbox.take(hook, now).map(|parcel| parcel.events.clone()).unwrap_or_default();
        assert_eq!(taken.iter().map(|news| news.text.as_str()).collect::<Vec<_>>(), expected);
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_fails_is_tried_again_with_longer_pauses_and_given_up() {
        let (hook, mut outbox, now) = (hook(), Outbox::default(), Instant::now());
        outbox.put(news("a"), now);
        check_taken(&mut outbox, &hook, now, &["a"]);
        assert_eq!(outbox.ended(&hook, false, now), Outcome::Failed);
        outbox.put(news("b"), now);
        check_taken(&mut outbox, &hook, now, &[]);
        check_taken(&mut outbox, &hook, now + SECOND, &["a"]);
        assert_eq!(outbox.ended(&hook, false, now + SECOND), Outcome::Failed);
        assert_eq!(outbox.due(&hook), Some(now + 5 * SECOND));
        check_taken(&mut outbox, &hook, now + 5 * SECOND, &["a"]);
        assert_eq!(outbox.ended(&hook, false, now), Outcome::GivenUp);
        check_taken(&mut outbox, &hook, now + 5 * SECOND, &["b"]);
        assert_eq!(outbox.ended(&hook, true, now), Outcome::Done);
        assert!(outbox.is_empty() && outbox.due(&hook).is_none());
    }

    #[test]
    fn a_digest_gathers_from_the_first_and_no_longer_than_it_is_full() {
        let (hook, mut outbox, now) =
            (Hook { digest: 10 * SECOND, ..hook() }, Outbox::default(), Instant::now());
        outbox.put(news("a"), now);
        outbox.put(news("b"), now + 9 * SECOND);
        check_taken(&mut outbox, &hook, now + 9 * SECOND, &[]);
        check_taken(&mut outbox, &hook, now + 10 * SECOND, &["a", "b"]);
        outbox.ended(&hook, true, now);
        (0..TOGETHER_MAX).for_each(|_| _ = outbox.put(news("c"), now));
        assert_eq!(outbox.take(&hook, now).unwrap().events.len(), TOGETHER_MAX);
    }

    #[test]
    fn there_are_no_more_deliveries_in_an_hour_than_allowed_and_what_waits_goes_together() {
        let (hook, mut outbox, now) = (Hook { per_hour: 2, ..hook() }, Outbox::default(), Instant::now());
        for n in 0..5u32 {
            outbox.put(news(&n.to_string()), now + n * SECOND);
            let is_taken = outbox.take(&hook, now + n * SECOND).is_some();
            assert_eq!(is_taken, n < 2, "{n}");
            outbox.ended(&hook, true, now);
        }
        assert_eq!(outbox.due(&hook), Some(now + HOUR));
        check_taken(&mut outbox, &hook, now + HOUR, &["2", "3", "4"]);
    }

    #[test]
    fn what_there_is_no_room_for_is_counted_and_told() {
        let (hook, mut outbox, now) = (hook(), Outbox::default(), Instant::now());
        let lost: u64 = (0..WAITING_MAX + 7).map(|n| outbox.put(news(&n.to_string()), now)).sum();
        assert_eq!(lost, 7);
        let parcel = outbox.take(&hook, now).unwrap();
        assert_eq!((parcel.lost, parcel.events[0].text.as_str()), (7, "7"));
    }
}
