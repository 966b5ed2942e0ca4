//! What is to be delivered when: the mind of the queue, without a file or a clock.

mod traffic;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use logline::{Channel, DeliveryOutcome, Queue, Record, Slots, Text, Timestamp};

use crate::queue::report::{reports_at_the_end, reports_of_delay};
use crate::queue::{Fate, Message, MessageId};

pub(super) use traffic::{Input, Job, Origin, Outcome, Output};

/// Deliveries to mailboxes at once: each syncs a file.
pub(super) const LOCAL_MAX: u32 = 10;

/// Deliveries to other hosts at once: each waits for the network most of the time.
pub(super) const REMOTE_MAX: u32 = 20;

/// How long a message is tried (qmail's `queuelifetime`).
const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// The n-th attempt is n² times this after the message came, as qmail has it.
const BACK_OFF_SECONDS: u64 = 400;

/// When a sender that wants to hear of delays hears of one (RFC 5321 §4.5.4.1 speaks of hours).
const DELAY: Duration = Duration::from_secs(4 * 3600);

/// All messages, and what happens to them.
#[derive(Debug)]
pub(super) struct Dispatcher {
    /// The domains that are delivered here.
    locals: std::collections::HashSet<String>,
    /// Who this process is, for `info msg`.
    uid: u32,
    messages: BTreeMap<MessageId, Tracked>,
    due: BTreeSet<(Timestamp, MessageId)>,
    local: Lane,
    remote: Lane,
    running: HashMap<u64, Running>,
    last_delivery: u64,
    /// The server stops: what is under way is finished, nothing begins.
    stopping: bool,
}

#[derive(Debug)]
struct Tracked {
    message: Message,
    /// Recipients that wait for a slot or are being delivered to.
    active: usize,
    removed: bool,
}

/// One channel: what waits for a slot, and the slots.
#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<(MessageId, usize)>,
    used: u32,
    limit: u32,
}

#[derive(Debug)]
struct Running {
    message: MessageId,
    recipient: usize,
    channel: Channel,
}

impl Dispatcher {
    pub(super) fn new(locals: std::collections::HashSet<String>, uid: u32) -> Self {
        Dispatcher {
            locals,
            uid,
            messages: BTreeMap::new(),
            due: BTreeSet::new(),
            local: Lane { limit: LOCAL_MAX, ..Lane::default() },
            remote: Lane { limit: REMOTE_MAX, ..Lane::default() },
            running: HashMap::new(),
            last_delivery: 0,
            stopping: false,
        }
    }

    /// Other domains are delivered here from now on. What is under way stays where it goes.
    pub(super) fn set_locals(&mut self, locals: std::collections::HashSet<String>) {
        self.locals = locals;
    }

    /// Without the deliveries to other hosts, which may take minutes.
    pub(super) fn without_remote(mut self) -> Self {
        self.remote.limit = 0;
        self
    }

    /// Whether a message is known.
    pub(super) fn has(&self, id: MessageId) -> bool {
        self.messages.contains_key(&id)
    }

    /// How many messages there are.
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether anything is being delivered.
    pub(super) fn is_busy(&self) -> bool {
        !self.running.is_empty()
    }

    /// Begins nothing any more.
    pub(super) fn stop(&mut self) {
        self.stopping = true;
    }

    /// When [`Input::Tick`] is due.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.due.first().map(|(next, _)| *next)
    }

    /// Takes one input and appends to `out` what is to be done.
    pub(super) fn handle(&mut self, now: Timestamp, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Queued(message, origin) => self.queued(now, *message, origin, out),
            Input::Finished(delivery, outcome) => self.finished(now, delivery, outcome, out),
            Input::Bounced(id, bounce) => {
                out.push(fact(Queue::Bounce { msg: id.0.into(), qp: bounce.0 }));
                self.end(id, out);
            }
            Input::BounceFailed(id) => self.later(now + Duration::from_secs(BACK_OFF_SECONDS), id),
            Input::Tick => {}
            Input::Retry(id) => self.retry(now, id),
            Input::Remove(id) => self.remove(id, out),
        }
        self.wake(now, out);
        self.start(out);
    }

    fn queued(&mut self, now: Timestamp, message: Message, origin: Origin, out: &mut Vec<Output>) {
        let id = message.id;
        let sender = message.envelope.sender.as_ref().map(ToString::to_string).unwrap_or_default();
        // qmail-send says this again after a restart too; here a number stays the same, so once is enough.
        if origin == Origin::Accepted {
            out.push(fact(Queue::New { msg: id.0.into() }));
            out.push(fact(Queue::Info {
                msg: id.0.into(),
                size_bytes: message.size_bytes,
                sender: Text::from(sender),
                qp: id.0,
                uid: self.uid,
            }));
        }
        let next = message.state.next.min(now + LIFETIME);
        self.messages.insert(id, Tracked { message, active: 0, removed: false });
        self.due.insert((next, id));
    }

    /// Puts the recipients of every message whose time has come into their lanes.
    fn wake(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        while let Some((next, id)) = self.due.first().copied().filter(|(next, _)| *next <= now) {
            self.due.remove(&(next, id));
            let Some(tracked) = self.messages.get_mut(&id) else {
                continue;
            };
            let envelope = &tracked.message.envelope;
            for (n, fate) in tracked.message.state.recipients.iter().enumerate() {
                let Some(recipient) = envelope.recipients.get(n).filter(|_| *fate == Fate::Pending) else {
                    continue;
                };
                let here = self.locals.contains(&recipient.domain_key());
                let lane = if here { &mut self.local } else { &mut self.remote };
                lane.waiting.push_back((id, n));
                tracked.active += 1;
            }
            tracked.message.state.attempts = tracked.message.state.attempts.saturating_add(1);
            if tracked.active == 0 {
                self.settle(now, id, out);
            }
        }
    }

    fn start(&mut self, out: &mut Vec<Output>) {
        let stopping = self.stopping;
        for channel in [Channel::Local, Channel::Remote] {
            loop {
                let lane = self.lane(channel);
                if stopping || lane.used >= lane.limit {
                    break;
                }
                let Some((id, recipient)) = lane.waiting.pop_front() else {
                    break;
                };
                self.start_one(channel, id, recipient, out);
            }
        }
    }

    fn start_one(&mut self, channel: Channel, id: MessageId, n: usize, out: &mut Vec<Output>) {
        let Some(tracked) = self.messages.get_mut(&id) else {
            return;
        };
        let Some(recipient) = tracked.message.envelope.recipients.get(n).cloned() else {
            return;
        };
        if tracked.removed {
            tracked.active = tracked.active.saturating_sub(1);
            return self.end_if_removed(id, out);
        }
        self.last_delivery += 1;
        let delivery = self.last_delivery;
        let envelope = &tracked.message.envelope;
        let job = Job {
            delivery,
            message: id,
            sender: envelope.sender.clone(),
            recipient: recipient.clone(),
            channel,
            ret: envelope.wishes.ret,
            envid: envelope.wishes.envid.clone(),
            wish: envelope.wishes.of(n),
            smtputf8: envelope.smtputf8,
        };
        self.lane(channel).used += 1;
        self.running.insert(delivery, Running { message: id, recipient: n, channel });
        let shown = match channel {
            // What a virtual domain's mail looks like to qmail-send: the domain stands before the address.
            Channel::Local => format!("{}-{recipient}", recipient.domain()),
            Channel::Remote => recipient.to_string(),
        };
        let recipient_text = Text::from(shown);
        out.push(fact(Queue::Starting { delivery, msg: id.0.into(), channel, recipient: recipient_text }));
        out.push(self.status());
        out.push(Output::Start(job));
    }

    fn finished(&mut self, now: Timestamp, delivery: u64, outcome: Outcome, out: &mut Vec<Output>) {
        let Some(Running { message: id, recipient, channel }) = self.running.remove(&delivery) else {
            return;
        };
        let lane = self.lane(channel);
        lane.used = lane.used.saturating_sub(1);
        let Some(tracked) = self.messages.get_mut(&id) else {
            return;
        };
        tracked.active = tracked.active.saturating_sub(1);
        let message_id = tracked.message.message_id.clone().map(Text::from);
        let too_old = now.since(tracked.message.envelope.received) > LIFETIME;
        let (fate, outcome, report) = match outcome {
            Outcome::Delivered(report) => (Fate::Delivered, DeliveryOutcome::Success, report),
            Outcome::Passed(report) => (Fate::Passed, DeliveryOutcome::Success, report),
            Outcome::Relayed(report) => (Fate::Relayed, DeliveryOutcome::Success, report),
            Outcome::Deferred(report) if too_old => (
                Fate::Failed { report: format!("{report}\nI tried for a week. I have given up.") },
                DeliveryOutcome::Deferral,
                report,
            ),
            Outcome::Deferred(report) => (Fate::Pending, DeliveryOutcome::Deferral, report),
            Outcome::Failed(report) => {
                (Fate::Failed { report: report.clone() }, DeliveryOutcome::Failure, report)
            }
        };
        if let Some(place) = tracked.message.state.recipients.get_mut(recipient) {
            *place = fate;
        }
        out.push(fact(Queue::Delivery { delivery, outcome, message_id, report: one_line(&report) }));
        out.push(self.status());
        self.settle(now, id, out);
    }

    /// Decides what becomes of a message: nothing while something is under way, else the end, a bounce or a next time.
    fn settle(&mut self, now: Timestamp, id: MessageId, out: &mut Vec<Output>) {
        let Some(tracked) = self.messages.get_mut(&id) else {
            return;
        };
        if tracked.removed {
            return self.end_if_removed(id, out);
        }
        let message = &mut tracked.message;
        let waits = message.state.recipients.contains(&Fate::Pending);
        if waits && tracked.active == 0 {
            message.state.next = next_attempt(message.envelope.received, now);
            self.due.insert((message.state.next, id));
            tell_of_delay(now, message, out);
        }
        if waits || tracked.active > 0 {
            out.push(Output::Save(id, message.state.clone()));
            return;
        }
        let has_failed = message.state.recipients.iter().any(|fate| matches!(fate, Fate::Failed { .. }));
        let reports = reports_at_the_end(message);
        match &message.envelope.sender {
            None => {
                if has_failed {
                    out.push(Output::DoubleBounce(id));
                }
                self.end(id, out);
            }
            Some(_) if reports.is_empty() => self.end(id, out),
            Some(_) => {
                out.push(Output::Save(id, message.state.clone()));
                out.push(Output::Bounce(id, reports));
            }
        }
    }

    fn retry(&mut self, now: Timestamp, id: MessageId) {
        let before = self.due.len();
        self.due.retain(|(_, other)| *other != id);
        if self.due.len() < before {
            self.due.insert((now, id));
        }
    }

    fn remove(&mut self, id: MessageId, out: &mut Vec<Output>) {
        self.due.retain(|(_, other)| *other != id);
        if let Some(tracked) = self.messages.get_mut(&id) {
            tracked.removed = true;
            self.end_if_removed(id, out);
        }
    }

    /// A message that is being delivered goes when that is over.
    fn end_if_removed(&mut self, id: MessageId, out: &mut Vec<Output>) {
        if self.messages.get(&id).is_some_and(|tracked| tracked.removed && tracked.active == 0) {
            self.end(id, out);
        }
    }

    fn later(&mut self, next: Timestamp, id: MessageId) {
        self.due.insert((next, id));
    }

    fn end(&mut self, id: MessageId, out: &mut Vec<Output>) {
        self.messages.remove(&id);
        out.push(Output::Remove(id));
        out.push(fact(Queue::End { msg: id.0.into() }));
    }

    /// What is under way, and how much may be.
    pub(super) fn status(&self) -> Output {
        let slots = |lane: &Lane| Slots { used: lane.used, limit: lane.limit };
        fact(Queue::Status { local: slots(&self.local), remote: slots(&self.remote) })
    }

    fn lane(&mut self, channel: Channel) -> &mut Lane {
        match channel {
            Channel::Local => &mut self.local,
            Channel::Remote => &mut self.remote,
        }
    }
}

/// Once for a message, and only whoever wants to hear of it.
fn tell_of_delay(now: Timestamp, message: &mut Message, out: &mut Vec<Output>) {
    let is_late = now.since(message.envelope.received) >= DELAY;
    if message.state.delay_told || !is_late || message.envelope.sender.is_none() {
        return;
    }
    message.state.delay_told = true;
    let reports = reports_of_delay(message);
    if !reports.is_empty() {
        out.push(Output::Tell(message.id, reports));
    }
}

fn fact(queue: Queue<'static>) -> Output {
    Output::Fact(Record::Queue(queue))
}

/// The next of the moments `received + 400 n²` seconds that lies ahead.
fn next_attempt(received: Timestamp, now: Timestamp) -> Timestamp {
    let n = (now.since(received).as_secs() / BACK_OFF_SECONDS).isqrt() + 1;
    received + Duration::from_secs(BACK_OFF_SECONDS * n * n)
}

/// A report in the one-line form of qmail-send: spaces are `_`, line ends `/`, and one stands at the end.
fn one_line(report: &str) -> Text<'static> {
    let mut line = report.replace(' ', "_").replace('\n', "/");
    if !line.ends_with('/') {
        line.push('/');
    }
    Text::from(line)
}

#[cfg(test)]
mod tests;
