//! How long qmail-send takes: a message from `new msg` to `end msg`, an attempt from `starting delivery` to `delivery`.

use std::time::Duration;

use indexmap::IndexMap;
use logline::{Channel, DeliveryOutcome, Queue as Line, Timestamp};

use super::finding::{Queue, Spread};

/// So many messages, and so many attempts, are followed at a time; of more, the oldest goes and is not measured.
const FOLLOWED_MAX: usize = 200_000;

/// So many times are kept of each kind; the ones after that are left out.
const TIMES_MAX: usize = 2_000_000;

/// The upper ends of the histogram but the last, which has none.
const STEPS: [f64; 8] = [0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 6.0 * 3600.0, 86_400.0];

type Key = (usize, u64);

#[derive(Debug, Default)]
pub(super) struct Queues {
    messages: IndexMap<Key, Message, foldhash::fast::RandomState>,
    attempts: IndexMap<Key, Attempt, foldhash::fast::RandomState>,
    ended: u64,
    queued: Times,
    first: Times,
    local: Times,
    remote: Times,
    is_full: bool,
}

#[derive(Clone, Copy, Debug)]
struct Message {
    since: Timestamp,
    delivered: bool,
}

#[derive(Clone, Debug)]
struct Attempt {
    since: Timestamp,
    msg: u64,
    channel: Channel,
    recipient: Vec<u8>,
}

#[derive(Debug, Default)]
struct Times(Vec<Duration>);

impl Queues {
    /// A line of qmail-send. Gives the recipient of a delivery on this host that succeeded.
    pub(super) fn note(&mut self, source: usize, line: &Line<'_>, at: Timestamp) -> Option<Vec<u8>> {
        match line {
            Line::New { msg } => {
                // A number that is used again belongs to the later message.
                self.messages.shift_remove(&(source, *msg));
                self.messages.insert((source, *msg), Message { since: at, delivered: false });
                self.is_full |= make_room(&mut self.messages);
            }
            Line::Starting { delivery, msg, channel, recipient } => {
                let recipient = recipient.bytes().to_vec();
                let attempt = Attempt { since: at, msg: *msg, channel: *channel, recipient };
                self.attempts.insert((source, *delivery), attempt);
                self.is_full |= make_room(&mut self.attempts);
            }
            Line::Delivery { delivery, outcome, .. } => {
                return self.delivered(source, *delivery, *outcome, at);
            }
            Line::End { msg } => {
                if let Some(message) = self.messages.swap_remove(&(source, *msg)) {
                    self.ended += 1;
                    self.queued.add(at.since(message.since));
                }
            }
            Line::Info { .. } | Line::Status { .. } | Line::Bounce { .. } => {}
        }
        None
    }

    fn delivered(
        &mut self,
        source: usize,
        delivery: u64,
        outcome: DeliveryOutcome,
        at: Timestamp,
    ) -> Option<Vec<u8>> {
        let attempt = self.attempts.swap_remove(&(source, delivery))?;
        let times = match attempt.channel {
            Channel::Local => &mut self.local,
            Channel::Remote => &mut self.remote,
        };
        times.add(at.since(attempt.since));
        if outcome != DeliveryOutcome::Success {
            return None;
        }
        if let Some(message) = self.messages.get_mut(&(source, attempt.msg)).filter(|m| !m.delivered) {
            message.delivered = true;
            self.first.add(at.since(message.since));
        }
        (attempt.channel == Channel::Local).then_some(attempt.recipient)
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    pub(super) fn findings(self) -> Queue {
        Queue {
            messages: self.ended,
            waiting: self.messages.len() as u64,
            queued: self.queued.spread(),
            first: self.first.spread(),
            local: self.local.spread(),
            remote: self.remote.spread(),
        }
    }
}

/// Lets the oldest go where there are too many; tells whether it did.
fn make_room<T>(all: &mut IndexMap<Key, T, foldhash::fast::RandomState>) -> bool {
    if all.len() <= FOLLOWED_MAX {
        return false;
    }
    // Half at once: one at a time would move all others each time.
    all.drain(..FOLLOWED_MAX / 2);
    true
}

impl Times {
    fn add(&mut self, time: Duration) {
        if self.0.len() < TIMES_MAX {
            self.0.push(time);
        }
    }

    fn spread(mut self) -> Spread {
        self.0.sort_unstable();
        let count = self.0.len();
        let part = |percent: usize| {
            let place = (count * percent).div_ceil(100).saturating_sub(1);
            self.0.get(place).map(Duration::as_secs_f64)
        };
        let mut histogram = [0; STEPS.len() + 1];
        for time in &self.0 {
            let place = STEPS.iter().position(|step| time.as_secs_f64() <= *step).unwrap_or(STEPS.len());
            if let Some(bar) = histogram.get_mut(place) {
                *bar += 1;
            }
        }
        Spread { count: count as u64, p50: part(50), p95: part(95), p99: part(99), max: part(100), histogram }
    }
}
