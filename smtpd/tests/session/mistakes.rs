//! What clients do wrong, and what it costs them.

use expect_test::expect;
use smtpd::session::Service;

use crate::world::{check, check_replies};

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
            S: 220 mx.example.org ESMTP
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
        C: BDAT 10
        C: GET / HTTP/1.1
        ",
        &expect![[r#"
            S: 220 mx.example.org ESMTP
            C: EHLO x
            S: 250-mx.example.org
            S: 250-STARTTLS
            S: 250-PIPELINING
            S: 250-8BITMIME
            S: 250-ENHANCEDSTATUSCODES
            S: 250 SIZE 1000
            C: MAIL FROM:<foo>
            S: 553 5.1.7 sorry, mailbox syntax not allowed (#5.1.7)
            C: MAIL FROM:<a@b> SIZE=1001
            S: 552 5.3.4 sorry, that message size exceeds my databytes limit (#5.3.4)
            C: MAIL FROM:<a@b> SMTPUTF8
            S: 555 5.5.4 parameter not recognized (#5.5.4)
            C: MAIL FROM:<a@b>
            S: 250 2.1.0 ok
            C: RCPT TO:<alice>
            *: pause 1s
            S: 550 5.1.3 sorry, you must specify a domain (#5.1.3)
            C: RCPT TO:<postmaster>
            S: 250 2.1.5 ok
            C: RCPT TO:<a b@example.org>
            *: pause 1s
            S: 553 5.1.3 sorry, mailbox syntax not allowed (#5.1.3)
            C: RCPT TO:<down@example.org>
            S: 451 4.3.0 system temporary unavailable, try again later (#4.3.0)
            C: BDAT 10
            *: pause 1s
            S: 502 5.5.1 unimplemented (#5.5.1)
            C: GET / HTTP/1.1
            *: pause 1s
            S: 500 5.5.1 unrecognized command (#5.5.1)
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
        S: 220 mx.example.org ESMTP
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
        S: 220 mx.example.org ESMTP
        C: HELO x
        S: 250 mx.example.org
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
        S: 220 mx.example.org ESMTP
        gone
        L: qmail-smtpd: read failed (connection closed by the client before the quit cmd): (null) from 203.0.113.7 to (null) helo unknown pid=7
        *: close 256
    "#]],
    );
    check_replies(
        Service::Smtp,
        "C: HELO x\nC: MAIL FROM:<>\nC: RCPT TO:<bob@example.org>\nC: DATA\nC: a\nwait",
        &expect![[r#"
        S: 220 mx.example.org ESMTP
        C: HELO x
        S: 250 mx.example.org
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
        S: 220 mx.example.org ESMTP
        C: HELO x
        S: 250 mx.example.org
        shutdown
        S: 421 mx.example.org shutting down, try again later (#4.3.2)
        *: close 0
    "#]],
    );
    check_replies(
        Service::Smtp,
        "C: HELO x\nC: MAIL FROM:<>\nC: RCPT TO:<bob@example.org>\nC: DATA\nC: a\nshutdown\nC: .",
        &expect![[r#"
            S: 220 mx.example.org ESMTP
            C: HELO x
            S: 250 mx.example.org
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
