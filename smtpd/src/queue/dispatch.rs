//! What is to be delivered when: the mind of the queue, without a file or a clock.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use logline::{Channel, DeliveryOutcome, Queue, Record, Slots, Text, Timestamp};

use crate::mailbox::Mailbox;
use crate::queue::{Fate, Message, MessageId, State};

/// Deliveries to mailboxes at once: each syncs a file.
pub(super) const LOCAL_MAX: u32 = 10;

/// Deliveries to other hosts at once: each waits for the network most of the time.
pub(super) const REMOTE_MAX: u32 = 20;

/// How long a message is tried (qmail's `queuelifetime`).
const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// The n-th attempt is n² times this after the message came, as qmail has it.
const BACK_OFF_SECONDS: u64 = 400;

/// What moves the queue.
#[derive(Debug)]
pub(super) enum Input {
    /// A message came, or was found at the start.
    Queued(Message, Origin),
    /// A delivery ended.
    Finished(u64, Outcome),
    /// The bounce that was asked for is in the queue.
    Bounced(MessageId, MessageId),
    /// It is not.
    BounceFailed(MessageId),
    /// Time has passed.
    Tick,
    /// The administrator wants it tried now.
    Retry(MessageId),
    /// The administrator wants it gone.
    Remove(MessageId),
}

/// Where a message comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// It is new.
    Accepted,
    /// It was in the queue when the server started.
    Restored,
}

/// How a delivery ended, and what is said about it, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Delivered(String),
    Deferred(String),
    Failed(String),
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Output {
    Fact(Record<'static>),
    Start(Job),
    /// The state is to be written down, so that nobody gets the message twice.
    Save(MessageId, State),
    /// The sender is to be told of these recipients.
    Bounce(MessageId, Vec<(Mailbox, String)>),
    /// A bounce cannot be delivered; there is nobody to tell but the administrator.
    DoubleBounce(MessageId),
    /// The message is done with.
    Remove(MessageId),
}

/// One delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) delivery: u64,
    pub(super) message: MessageId,
    pub(super) sender: Option<Mailbox>,
    pub(super) recipient: Mailbox,
    pub(super) channel: Channel,
}

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
            Input::Queued(message, origin) => self.queued(now, message, origin, out),
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
        let sender = tracked.message.envelope.sender.clone();
        self.last_delivery += 1;
        let delivery = self.last_delivery;
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
        out.push(Output::Start(Job { delivery, message: id, sender, recipient, channel }));
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
        let Message { envelope, state, .. } = &mut tracked.message;
        let waits = state.recipients.contains(&Fate::Pending);
        if waits && tracked.active == 0 {
            state.next = next_attempt(envelope.received, now);
            self.due.insert((state.next, id));
        }
        if waits || tracked.active > 0 {
            out.push(Output::Save(id, state.clone()));
            return;
        }
        let failures: Vec<(Mailbox, String)> = (envelope.recipients.iter().zip(&state.recipients))
            .filter_map(|(recipient, fate)| match fate {
                Fate::Failed { report } => Some((recipient.clone(), report.clone())),
                Fate::Pending | Fate::Delivered => None,
            })
            .collect();
        match (failures.is_empty(), &envelope.sender) {
            (true, _) => self.end(id, out),
            (false, None) => {
                out.push(Output::DoubleBounce(id));
                self.end(id, out);
            }
            (false, Some(_)) => {
                out.push(Output::Save(id, state.clone()));
                out.push(Output::Bounce(id, failures));
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
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::session::Envelope;

    const START: Timestamp = Timestamp::from_seconds(1_795_262_400);

    /// Lines `SECOND: what happened`, and what followed.
    struct Scenario {
        dispatcher: Dispatcher,
        written: String,
    }

    impl Scenario {
        fn new() -> Self {
            let locals = ["example.org".to_owned()].into();
            Scenario { dispatcher: Dispatcher::new(locals, 89), written: String::new() }
        }

        fn at(&mut self, second: u64, input: Input) -> &mut Self {
            let mut out = Vec::new();
            let now = START + Duration::from_secs(second);
            self.dispatcher.handle(now, input, &mut out);
            self.written += &format!("{second}:\n");
            for output in out {
                let line = match output {
                    Output::Fact(record) => record.to_string(),
                    Output::Start(job) => format!("> deliver {} to {}", job.delivery, job.recipient),
                    Output::Save(id, state) => format!(
                        "> save {id} {:?} next {}",
                        state.recipients,
                        state.next.since(START).as_secs()
                    ),
                    Output::Bounce(id, failures) => format!("> bounce {id} {failures:?}"),
                    Output::DoubleBounce(id) => format!("> double bounce {id}"),
                    Output::Remove(id) => format!("> remove {id}"),
                };
                self.written += &format!("  {line}\n");
            }
            self
        }

        #[track_caller]
        fn check(&self, expected: &Expect) {
            expected.assert_eq(&self.written);
        }
    }

    fn message(id: u32, sender: &str, recipients: &[&str]) -> Message {
        let envelope = Envelope {
            sender: (!sender.is_empty()).then(|| sender.parse().unwrap()),
            recipients: recipients.iter().map(|recipient| recipient.parse().unwrap()).collect(),
            received: START,
            client: None,
            session: None,
            user: None,
        };
        let state = State::new(&envelope);
        Message {
            id: MessageId(id),
            envelope,
            size_bytes: 42,
            message_id: Some(b"1@example.net".to_vec()),
            state,
        }
    }

    fn delivered() -> Outcome {
        Outcome::Delivered("did 1+0+0".into())
    }

    #[test]
    fn a_message_is_delivered_and_gone() {
        let message = message(5, "a@example.net", &["alice@example.org"]);
        Scenario::new()
            .at(0, Input::Queued(message, Origin::Accepted))
            .at(1, Input::Finished(1, delivered()))
            .check(&expect![[r#"
                0:
                  new msg 5
                  info msg 5: bytes 42 from <a@example.net> qp 5 uid 89
                  starting delivery 1: msg 5 to local example.org-alice@example.org
                  status: local 1/10 remote 0/20
                  > deliver 1 to alice@example.org
                1:
                  delivery 1: success: Message-ID:_<1@example.net>/did_1+0+0/
                  status: local 0/10 remote 0/20
                  > remove 5
                  end msg 5
            "#]]);
    }

    #[test]
    fn who_failed_is_told_once_all_are_tried() {
        let message = message(5, "a@example.net", &["alice@example.org", "x@example.com", "y@example.com"]);
        Scenario::new()
            .at(0, Input::Queued(message, Origin::Accepted))
            .at(1, Input::Finished(2, Outcome::Deferred("busy".into())))
            .at(2, Input::Finished(1, delivered()))
            .at(3, Input::Finished(3, Outcome::Failed("no such user\nGiving up.".into())))
            .at(399, Input::Tick)
            .at(400, Input::Tick)
            .at(401, Input::Finished(4, Outcome::Deferred("busy".into())))
            .at(700_000, Input::Tick)
            .at(700_001, Input::Finished(5, Outcome::Deferred("busy".into())))
            .at(700_002, Input::BounceFailed(MessageId(5)))
            .at(700_402, Input::Tick)
            .at(700_403, Input::Bounced(MessageId(5), MessageId(6)))
            .check(&expect![[r#"
                0:
                  new msg 5
                  info msg 5: bytes 42 from <a@example.net> qp 5 uid 89
                  starting delivery 1: msg 5 to local example.org-alice@example.org
                  status: local 1/10 remote 0/20
                  > deliver 1 to alice@example.org
                  starting delivery 2: msg 5 to remote x@example.com
                  status: local 1/10 remote 1/20
                  > deliver 2 to x@example.com
                  starting delivery 3: msg 5 to remote y@example.com
                  status: local 1/10 remote 2/20
                  > deliver 3 to y@example.com
                1:
                  delivery 2: deferral: Message-ID:_<1@example.net>/busy/
                  status: local 1/10 remote 1/20
                  > save 5 [Pending, Pending, Pending] next 0
                2:
                  delivery 1: success: Message-ID:_<1@example.net>/did_1+0+0/
                  status: local 0/10 remote 1/20
                  > save 5 [Delivered, Pending, Pending] next 0
                3:
                  delivery 3: failure: Message-ID:_<1@example.net>/no_such_user/Giving_up./
                  status: local 0/10 remote 0/20
                  > save 5 [Delivered, Pending, Failed { report: "no such user\nGiving up." }] next 400
                399:
                400:
                  starting delivery 4: msg 5 to remote x@example.com
                  status: local 0/10 remote 1/20
                  > deliver 4 to x@example.com
                401:
                  delivery 4: deferral: Message-ID:_<1@example.net>/busy/
                  status: local 0/10 remote 0/20
                  > save 5 [Delivered, Pending, Failed { report: "no such user\nGiving up." }] next 1600
                700000:
                  starting delivery 5: msg 5 to remote x@example.com
                  status: local 0/10 remote 1/20
                  > deliver 5 to x@example.com
                700001:
                  delivery 5: deferral: Message-ID:_<1@example.net>/busy/
                  status: local 0/10 remote 0/20
                  > save 5 [Delivered, Failed { report: "busy\nI tried for a week. I have given up." }, Failed { report: "no such user\nGiving up." }] next 1600
                  > bounce 5 [(Mailbox { local: "x", domain: "example.com" }, "busy\nI tried for a week. I have given up."), (Mailbox { local: "y", domain: "example.com" }, "no such user\nGiving up.")]
                700002:
                700402:
                  > save 5 [Delivered, Failed { report: "busy\nI tried for a week. I have given up." }, Failed { report: "no such user\nGiving up." }] next 1600
                  > bounce 5 [(Mailbox { local: "x", domain: "example.com" }, "busy\nI tried for a week. I have given up."), (Mailbox { local: "y", domain: "example.com" }, "no such user\nGiving up.")]
                700403:
                  bounce msg 5 qp 6
                  > remove 5
                  end msg 5
            "#]]);
    }

    #[test]
    fn a_bounce_that_fails_is_dropped_and_a_removed_message_makes_none() {
        Scenario::new()
            .at(0, Input::Queued(message(5, "", &["alice@example.org"]), Origin::Restored))
            .at(1, Input::Finished(1, Outcome::Failed("no".into())))
            .at(2, Input::Queued(message(6, "a@b", &["x@example.com"]), Origin::Restored))
            .at(3, Input::Remove(MessageId(6)))
            .at(4, Input::Finished(2, Outcome::Deferred("busy".into())))
            .at(5, Input::Queued(message(7, "a@b", &["x@example.com"]), Origin::Restored))
            .at(6, Input::Finished(3, Outcome::Deferred("busy".into())))
            .at(7, Input::Retry(MessageId(7)))
            .at(8, Input::Finished(4, Outcome::Deferred("busy".into())))
            .at(9, Input::Remove(MessageId(7)))
            .check(&expect![[r#"
                0:
                  starting delivery 1: msg 5 to local example.org-alice@example.org
                  status: local 1/10 remote 0/20
                  > deliver 1 to alice@example.org
                1:
                  delivery 1: failure: Message-ID:_<1@example.net>/no/
                  status: local 0/10 remote 0/20
                  > double bounce 5
                  > remove 5
                  end msg 5
                2:
                  starting delivery 2: msg 6 to remote x@example.com
                  status: local 0/10 remote 1/20
                  > deliver 2 to x@example.com
                3:
                4:
                  delivery 2: deferral: Message-ID:_<1@example.net>/busy/
                  status: local 0/10 remote 0/20
                  > remove 6
                  end msg 6
                5:
                  starting delivery 3: msg 7 to remote x@example.com
                  status: local 0/10 remote 1/20
                  > deliver 3 to x@example.com
                6:
                  delivery 3: deferral: Message-ID:_<1@example.net>/busy/
                  status: local 0/10 remote 0/20
                  > save 7 [Pending] next 400
                7:
                  starting delivery 4: msg 7 to remote x@example.com
                  status: local 0/10 remote 1/20
                  > deliver 4 to x@example.com
                8:
                  delivery 4: deferral: Message-ID:_<1@example.net>/busy/
                  status: local 0/10 remote 0/20
                  > save 7 [Pending] next 400
                9:
                  > remove 7
                  end msg 7
            "#]]);
    }

    #[test]
    fn no_more_than_the_slots_are_used() {
        let recipients: Vec<String> = (0..LOCAL_MAX + 3).map(|n| format!("u{n}@example.org")).collect();
        let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
        let mut scenario = Scenario::new();
        scenario.at(0, Input::Queued(message(5, "a@b", &recipients), Origin::Accepted));
        assert_eq!(scenario.dispatcher.running.len(), LOCAL_MAX as usize);
        for delivery in 1..=u64::from(LOCAL_MAX) + 3 {
            scenario.at(1, Input::Finished(delivery, delivered()));
            assert!(scenario.dispatcher.running.len() <= LOCAL_MAX as usize);
        }
        assert!(scenario.written.ends_with("status: local 0/10 remote 0/20\n  > remove 5\n  end msg 5\n"));
        assert_eq!((scenario.dispatcher.len(), scenario.dispatcher.is_busy()), (0, false));
    }

    #[test]
    fn attempts_come_at_growing_distances() {
        let next = |age| next_attempt(START, START + Duration::from_secs(age)).since(START).as_secs();
        assert_eq!(
            [0, 1, 399, 400, 1599, 1600, 100_000].map(next),
            [400, 400, 400, 1600, 1600, 3600, 102_400]
        );
    }
}
