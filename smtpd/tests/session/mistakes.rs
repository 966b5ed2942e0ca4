//! What clients do wrong, and what it costs them.

use std::time::Duration;

use expect_test::expect;
use smtpd::session::{BareNewline, Input, Service};

use crate::world::{World, check, check_replies, converse, policy};

/// What was replied, and what else was done.
fn replies(transcript: &str) -> String {
    let lines = transcript.lines().filter(|line| line.starts_with("S: ") || line.starts_with("*: "));
    lines.map(|line| format!("{line}\n")).collect()
}

#[test]
fn commands_that_come_in_the_wrong_order_are_refused() {
    check_replies(
        Service::Smtp,
        r"
        C: RCPT TO:<alice@example.org>
        C: DATA
        C: HELO x
        C: MAIL FROM:<>
        C: DATA
        C: STARTTLS now
        C: NOOP
        C: RSET
        C: VRFY alice
        C: HELP
        ",
        &expect![[r#"
            C: RCPT TO:<alice@example.org>
            S: 503 MAIL first (#5.5.1)
            C: DATA
            S: 503 MAIL first (#5.5.1)
            C: HELO x
            S: 250 mx.example.org
            C: MAIL FROM:<>
            S: 250 ok
            C: DATA
            S: 503 RCPT first (#5.5.1)
            C: STARTTLS now
            *: pause 1s
            S: 501 Syntax error (no parameters allowed) (#5.5.4)
            C: NOOP
            S: 250 ok
            C: RSET
            S: 250 flushed
            C: VRFY alice
            S: 252 send some mail, i'll try my best
            C: HELP
            S: 214 postern speaks SMTP as RFC 5321 has it
        "#]],
    );
}

#[test]
fn what_cannot_be_read_is_refused() {
    check_replies(
        Service::Smtp,
        r"
        C: EHLO x
        C: MAIL FROM:<foo>
        C: MAIL FROM:<a@b> SIZE=1001
        C: MAIL FROM:<a@b> SMTPUTF8
        C: MAIL FROM:<a@b>
        C: RCPT TO:<alice>
        C: RCPT TO:<postmaster>
        C: RCPT TO:<a b@example.org>
        C: RCPT TO:<down@example.org>
        C: ETRN example.org
        C: GET / HTTP/1.1
        ",
        &expect![[r#"
            C: MAIL FROM:<foo>
            S: 553 5.1.7 sorry, mailbox syntax not allowed (#5.1.7)
            C: MAIL FROM:<a@b> SIZE=1001
            S: 552 5.3.4 sorry, that message size exceeds my databytes limit (#5.3.4)
            C: MAIL FROM:<a@b> SMTPUTF8
            S: 250 2.1.0 ok
            C: MAIL FROM:<a@b>
            S: 250 2.1.0 ok
            C: RCPT TO:<alice>
            S: 550 5.1.3 sorry, you must specify a domain (#5.1.3)
            C: RCPT TO:<postmaster>
            S: 250 2.1.5 ok
            C: RCPT TO:<a b@example.org>
            *: pause 1s
            S: 553 5.1.3 sorry, mailbox syntax not allowed (#5.1.3)
            C: RCPT TO:<down@example.org>
            S: 451 4.3.0 system temporary unavailable, try again later (#4.3.0)
            C: ETRN example.org
            *: pause 1s
            S: 502 5.5.1 unimplemented (#5.5.1)
            C: GET / HTTP/1.1
            *: pause 1s
            S: 554 5.5.1 this is a mail server and speaks SMTP (#5.5.1)
            *: close 256
        "#]],
    );
}

#[test]
fn errors_cost_time_after_the_third_and_the_session_after_the_tenth() {
    let script = "C: nonsense\n".repeat(10);
    check_replies(
        Service::Smtp,
        &script,
        &expect![[r#"
            C: nonsense
            S: 500 unrecognized command (#5.5.1)
            C: nonsense
            S: 500 unrecognized command (#5.5.1)
            C: nonsense
            S: 500 unrecognized command (#5.5.1)
            C: nonsense
            *: pause 1s
            S: 500 unrecognized command (#5.5.1)
            C: nonsense
            *: pause 1s
            S: 500 unrecognized command (#5.5.1)
            C: nonsense
            *: pause 1s
            S: 500 unrecognized command (#5.5.1)
            C: nonsense
            *: pause 1s
            S: 500 unrecognized command (#5.5.1)
            C: nonsense
            *: pause 1s
            S: 500 unrecognized command (#5.5.1)
            C: nonsense
            *: pause 1s
            S: 500 unrecognized command (#5.5.1)
            C: nonsense
            *: pause 1s
            S: 500 unrecognized command (#5.5.1)
            S: 421 too many errors (#4.7.0)
            *: close 256
        "#]],
    );
}

#[test]
fn a_session_is_not_held_for_ever() {
    check(
        Service::Smtp,
        "C: HELO x\nC: MAIL FR\\c\nwait",
        &expect![[r#"
            C: MAIL FR\c
            wait
            L: qmail-smtpd: timeout: (null) from 203.0.113.7 to (null) helo x pid=7
            L: qlogenvelope: result=rejected code=451 reason=alarmtimeout detail= helo=x mailfrom= rcptto= relay=no rcpthosts= size= authuser= authtype= encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 451 timeout (#4.4.2)
            *: close 256
        "#]],
    );
    check(
        Service::Smtp,
        "gone",
        &expect![[r#"
            gone
            L: qmail-smtpd: read failed (connection closed by the client before the quit cmd): (null) from 203.0.113.7 to (null) helo unknown pid=7
            *: close 256
        "#]],
    );
    check_replies(
        Service::Smtp,
        "C: HELO x\nC: MAIL FROM:<>\nC: RCPT TO:<bob@example.org>\nC: DATA\nC: a\nwait",
        &expect![[r#"
            C: MAIL FROM:<>
            S: 250 ok
            C: RCPT TO:<bob@example.org>
            S: 250 ok
            C: DATA
            S: 354 go ahead
            C: a
            wait
            S: 451 timeout (#4.4.2)
            *: close 256
        "#]],
    );
}

#[test]
fn a_server_that_stops_lets_a_message_come_to_its_end() {
    check_replies(
        Service::Smtp,
        "C: HELO x\nshutdown",
        &expect![[r#"
            shutdown
            S: 421 mx.example.org shutting down, try again later (#4.3.2)
            *: close 0
        "#]],
    );
    check_replies(
        Service::Smtp,
        "C: HELO x\nC: MAIL FROM:<>\nC: RCPT TO:<bob@example.org>\nC: DATA\nC: a\nshutdown\nC: .",
        &expect![[r#"
            C: MAIL FROM:<>
            S: 250 ok
            C: RCPT TO:<bob@example.org>
            S: 250 ok
            C: DATA
            S: 354 go ahead
            C: a
            shutdown
            C: .
            S: 250 ok 1795262400 qp 77
            S: 421 mx.example.org shutting down, try again later (#4.3.2)
            *: close 0
        "#]],
    );
}

#[test]
fn an_address_has_a_length() {
    let long = "x".repeat(256);
    check_replies(
        Service::Smtp,
        &format!(
            "C: MAIL FROM:<{long}@example.net>\nC: MAIL FROM:<a@b>\nC: RCPT TO:<a@{}.example.org>",
            "y".repeat(310)
        ),
        &expect![[r#"
            C: MAIL FROM:<xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx@example.net>
            S: 501 sorry, that address is too long (#5.1.3)
            C: MAIL FROM:<a@b>
            S: 250 ok
            C: RCPT TO:<a@yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy.example.org>
            S: 501 sorry, that address is too long (#5.1.3)
        "#]],
    );
}

#[test]
fn addresses_together_have_a_length_and_the_rest_may_come_in_another_message() {
    let mut limits = policy();
    limits.limits.recipients_max = 2;
    let long = "x".repeat(130);
    let world = World::under(limits, Service::Smtp, "198.51.100.7:40000");
    let script = format!(
        "C: MAIL FROM:<{long}@a>\nC: RCPT TO:<a@{0}>\nC: RCPT TO:<a@b>\nC: RCPT TO:<c@b>",
        "y".repeat(125)
    );
    expect![[r#"
        S: 220 mx.example.org ESMTP
        S: 250 ok
        S: 452 too many recipients (#4.5.3)
        S: 250 ok
        S: 250 ok
    "#]]
    .assert_eq(&replies(&converse(world, &script)));
}

#[test]
fn a_line_of_a_message_can_have_a_limit() {
    let mut policy = policy();
    policy.limits.line_bytes_max = 10;
    let world = World::under(policy, Service::Smtp, "203.0.113.7:40000");
    let script = r"
        C: MAIL FROM:<>
        C: RCPT TO:<alice@example.org>
        C: DATA
        C: 12345678
        C: 123456789
        C: .
    ";
    expect![[r#"
        S: 220 mx.example.org ESMTP
        S: 250 ok
        S: 250 ok
        S: 354 go ahead
        *: discard
        S: 554 sorry, a line of that message is too long (#5.6.0)
    "#]]
    .assert_eq(&replies(&converse(world, script)));
}

#[test]
fn a_line_feed_that_may_end_a_line_ends_no_message() {
    let mut policy = policy();
    policy.limits.bare_newline = BareNewline::EndsLine;
    let world = World::under(policy, Service::Smtp, "203.0.113.7:40000");
    let script = r"
        C: MAIL FROM:<>
        C: RCPT TO:<alice@example.org>
        C: DATA
        C: a\n.\nMAIL FROM:<forged@example.org>\n.
        C: .
    ";
    let transcript = converse(world, script);
    let stored = transcript.lines().filter(|line| line.starts_with("M: "));
    expect![[r#"
        M: Received: from unknown (unknown [203.0.113.7])
        M:  by mx.example.org with SMTP id 77; Sat, 21 Nov 2026 12:00:00 +0000
        M: a
        M: .
        M: MAIL FROM:<forged@example.org>
        M: .
    "#]]
    .assert_eq(&stored.map(|line| format!("{line}\n")).collect::<String>());
    assert_eq!(transcript.matches("\nS: 250 ok").count(), 3, "{transcript}");
}

#[test]
fn who_only_keeps_the_connection_open_is_sent_away() {
    let mut policy = policy();
    policy.limits.idle_commands_max = 3;
    let world = World::under(policy, Service::Smtp, "203.0.113.7:40000");
    expect![[r#"
        S: 220 mx.example.org ESMTP
        S: 250 mx.example.org
        S: 250 ok
        S: 250 flushed
        S: 421 too many commands without a message (#4.7.0)
        *: close 256
    "#]]
    .assert_eq(&replies(&converse(world, "C: HELO x\nC: NOOP\nC: RSET\nC: NOOP\nC: NOOP")));
}

/// A client that sends a byte now and then, wherever it is: what counts is when the command, the answer or the handshake
/// began, and how much of a message has come.
#[test]
fn a_byte_now_and_then_keeps_no_session_alive() {
    let prelude = "MAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\n";
    for (service, before, byte) in [
        (Service::Smtp, String::new(), "N"),
        (Service::Smtp, format!("{prelude}DATA\r\n"), "x"),
        (Service::Smtp, format!("{prelude}BDAT 1000000 LAST\r\n"), "x"),
        (Service::Smtps, "EHLO x\r\nAUTH LOGIN\r\n".to_owned(), "Y"),
    ] {
        let mut world = World::new(service, "203.0.113.7:40000");
        world.feed(Input::Bytes(before.as_bytes()));
        let begun = world.now;
        while world.open {
            let deadline = world.session.deadline().unwrap();
            let next = world.now + Duration::from_secs(59);
            world.now = next.min(deadline);
            world.feed(if world.now == deadline { Input::Timeout } else { Input::Bytes(byte.as_bytes()) });
        }
        assert!(world.now.since(begun) <= Duration::from_secs(305), "{before}{byte}");
        assert_eq!(world.transcript.last().map(String::as_str), Some("*: close 256"));
    }
}
