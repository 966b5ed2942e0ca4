//! Who waits for the greeting, and who does not.

use expect_test::expect;
use smtpd::rules::{Early, Rules};

use super::{CLIENT, OURS, check_whole};

fn delayed(early: Early) -> Rules {
    Rules { greet_delay: std::time::Duration::from_secs(5), early, ..Rules::default() }
}

#[test]
fn who_waits_is_greeted() {
    check_whole(
        CLIENT,
        delayed(Early::Reject),
        "wait\nC: QUIT",
        &expect![[r#"
        wait
        S: 220 mx.example.org ESMTP
        C: QUIT
        S: 221 mx.example.org
        *: close 0
    "#]],
    );
    check_whole(
        CLIENT,
        delayed(Early::Reject),
        "gone",
        &expect![[r#"
        gone
        L: qmail-smtpd[7]: GREETDELAY from 203.0.113.7: client disconnected
        *: close 256
    "#]],
    );
    // Who may relay waits for nothing.
    check_whole(
        OURS,
        delayed(Early::Reject),
        "C: QUIT",
        &expect![[r#"
        S: 220 mx.example.org ESMTP
        C: QUIT
        S: 221 mx.example.org
        *: close 0
    "#]],
    );
}

#[test]
fn who_does_not_wait_is_sent_away_or_ignored() {
    check_whole(
        CLIENT,
        delayed(Early::Reject),
        "C: EHLO x",
        &expect![[r#"
        C: EHLO x
        L: qmail-smtpd[7]: GREETDELAY from 203.0.113.7: client sent data before greeting
        L: qlogenvelope: result=rejected code=554 reason=pregreet detail= helo=unknown mailfrom= rcptto= relay=no rcpthosts= size= authuser= authtype= encrypted=
        S: 554 SMTP protocol violation
        *: close 256
    "#]],
    );
    check_whole(
        CLIENT,
        delayed(Early::Ignore),
        "C: HELO x",
        &expect![[r#"
            C: HELO x
            L: qmail-smtpd[7]: GREETDELAY from 203.0.113.7: client sent data before greeting. ignoring
            S: 220 mx.example.org ESMTP
            S: 250 mx.example.org
        "#]],
    );
}
