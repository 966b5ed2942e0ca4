//! Scenarios: what came in, and what was written, asked for and removed.

use expect_test::{Expect, expect};

use super::*;
use crate::queue::State;
use crate::queue::report::Report;
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
                Output::Save(id, state) => {
                    format!("> save {id} {:?} next {}", state.recipients, state.next.since(START).as_secs())
                }
                Output::Bounce(id, reports) => format!("> bounce {id} {}", told(&reports)),
                Output::Tell(id, reports) => format!("> tell {id} {}", told(&reports)),
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

/// Of whom, and what.
fn told(reports: &[Report]) -> String {
    let told = reports
        .iter()
        .map(|report| format!("{} {}: {:?}", report.recipient, report.action.name(), report.text));
    told.collect::<Vec<_>>().join(", ")
}

fn message(id: u32, sender: &str, recipients: &[&str]) -> Message {
    let envelope = Envelope {
        sender: (!sender.is_empty()).then(|| sender.parse().unwrap()),
        recipients: recipients.iter().map(|recipient| recipient.parse().unwrap()).collect(),
        received: START,
        client: None,
        session: None,
        user: None,
        wishes: crate::dsn::Wishes::default(),
        smtputf8: false,
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

fn queued(message: Message, origin: Origin) -> Input {
    Input::Queued(Box::new(message), origin)
}

fn delivered() -> Outcome {
    Outcome::Delivered("did 1+0+0".into())
}

#[test]
fn a_message_is_delivered_and_gone() {
    let message = message(5, "a@example.net", &["alice@example.org"]);
    Scenario::new().at(0, queued(message, Origin::Accepted)).at(1, Input::Finished(1, delivered())).check(
        &expect![[r#"
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
        "#]],
    );
}

#[test]
fn who_failed_is_told_once_all_are_tried() {
    let message = message(5, "a@example.net", &["alice@example.org", "x@example.com", "y@example.com"]);
    Scenario::new()
        .at(0, queued(message, Origin::Accepted))
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
              > bounce 5 x@example.com failed: "busy\nI tried for a week. I have given up.", y@example.com failed: "no such user\nGiving up."
            700002:
            700402:
              > save 5 [Delivered, Failed { report: "busy\nI tried for a week. I have given up." }, Failed { report: "no such user\nGiving up." }] next 1600
              > bounce 5 x@example.com failed: "busy\nI tried for a week. I have given up.", y@example.com failed: "no such user\nGiving up."
            700403:
              bounce msg 5 qp 6
              > remove 5
              end msg 5
        "#]]);
}

#[test]
fn a_bounce_that_fails_is_dropped_and_a_removed_message_makes_none() {
    Scenario::new()
        .at(0, queued(message(5, "", &["alice@example.org"]), Origin::Restored))
        .at(1, Input::Finished(1, Outcome::Failed("no".into())))
        .at(2, queued(message(6, "a@b", &["x@example.com"]), Origin::Restored))
        .at(3, Input::Remove(MessageId(6)))
        .at(4, Input::Finished(2, Outcome::Deferred("busy".into())))
        .at(5, queued(message(7, "a@b", &["x@example.com"]), Origin::Restored))
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
    scenario.at(0, queued(message(5, "a@b", &recipients), Origin::Accepted));
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
    assert_eq!([0, 1, 399, 400, 1599, 1600, 100_000].map(next), [400, 400, 400, 1600, 1600, 3600, 102_400]);
}

#[test]
fn a_sender_is_told_of_what_it_wants_to_hear_and_of_nothing_else() {
    use crate::dsn::{Notify, Wish};
    let recipients =
        ["alice@example.org", "bob@example.org", "x@example.com", "y@example.com", "z@example.com"];
    let mut message = message(5, "a@example.net", &recipients);
    let wishes = ["SUCCESS", "FAILURE", "SUCCESS,DELAY", "NEVER", "SUCCESS"];
    message.envelope.wishes.each =
        wishes.iter().map(|wish| Wish { notify: Notify::parse(wish.as_bytes()), original: None }).collect();
    Scenario::new()
        .at(0, queued(message, Origin::Accepted))
        .at(1, Input::Finished(1, delivered()))
        .at(2, Input::Finished(2, delivered()))
        .at(3, Input::Finished(4, Outcome::Failed("no".into())))
        .at(4, Input::Finished(5, Outcome::Relayed("192.0.2.1 accepted message.".into())))
        .at(5, Input::Finished(3, Outcome::Deferred("busy".into())))
        .at(14_400, Input::Tick)
        .at(14_401, Input::Finished(6, Outcome::Deferred("busy".into())))
        .at(20_000, Input::Tick)
        .at(20_001, Input::Finished(7, Outcome::Passed("192.0.2.2 accepted message.".into())))
        .check(&expect![[r#"
            0:
              new msg 5
              info msg 5: bytes 42 from <a@example.net> qp 5 uid 89
              starting delivery 1: msg 5 to local example.org-alice@example.org
              status: local 1/10 remote 0/20
              > deliver 1 to alice@example.org
              starting delivery 2: msg 5 to local example.org-bob@example.org
              status: local 2/10 remote 0/20
              > deliver 2 to bob@example.org
              starting delivery 3: msg 5 to remote x@example.com
              status: local 2/10 remote 1/20
              > deliver 3 to x@example.com
              starting delivery 4: msg 5 to remote y@example.com
              status: local 2/10 remote 2/20
              > deliver 4 to y@example.com
              starting delivery 5: msg 5 to remote z@example.com
              status: local 2/10 remote 3/20
              > deliver 5 to z@example.com
            1:
              delivery 1: success: Message-ID:_<1@example.net>/did_1+0+0/
              status: local 1/10 remote 3/20
              > save 5 [Delivered, Pending, Pending, Pending, Pending] next 0
            2:
              delivery 2: success: Message-ID:_<1@example.net>/did_1+0+0/
              status: local 0/10 remote 3/20
              > save 5 [Delivered, Delivered, Pending, Pending, Pending] next 0
            3:
              delivery 4: failure: Message-ID:_<1@example.net>/no/
              status: local 0/10 remote 2/20
              > save 5 [Delivered, Delivered, Pending, Failed { report: "no" }, Pending] next 0
            4:
              delivery 5: success: Message-ID:_<1@example.net>/192.0.2.1_accepted_message./
              status: local 0/10 remote 1/20
              > save 5 [Delivered, Delivered, Pending, Failed { report: "no" }, Relayed] next 0
            5:
              delivery 3: deferral: Message-ID:_<1@example.net>/busy/
              status: local 0/10 remote 0/20
              > save 5 [Delivered, Delivered, Pending, Failed { report: "no" }, Relayed] next 400
            14400:
              starting delivery 6: msg 5 to remote x@example.com
              status: local 0/10 remote 1/20
              > deliver 6 to x@example.com
            14401:
              delivery 6: deferral: Message-ID:_<1@example.net>/busy/
              status: local 0/10 remote 0/20
              > tell 5 x@example.com delayed: "It could not be delivered yet and is tried again. (#4.4.7)"
              > save 5 [Delivered, Delivered, Pending, Failed { report: "no" }, Relayed] next 19600
            20000:
              starting delivery 7: msg 5 to remote x@example.com
              status: local 0/10 remote 1/20
              > deliver 7 to x@example.com
            20001:
              delivery 7: success: Message-ID:_<1@example.net>/192.0.2.2_accepted_message./
              status: local 0/10 remote 0/20
              > save 5 [Delivered, Delivered, Passed, Failed { report: "no" }, Relayed] next 19600
              > bounce 5 alice@example.org delivered: "It is in the mailbox. (#2.1.5)", z@example.com relayed: "It was given to a server that does not tell of deliveries. (#2.1.9)"
        "#]]);
}
