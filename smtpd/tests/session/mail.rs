//! Messages: accepted, refused, relayed.

use expect_test::expect;
use smtpd::session::Service;

use crate::opening::after_opening;
use crate::world::{check, check_replies, run};

#[test]
fn a_message_is_accepted_and_every_fact_is_logged() {
    check(
        Service::Smtp,
        r"
        C: EHLO client.example.net
        C: MAIL FROM:<carol@example.net> SIZE=30
        C: RCPT TO:<alice@example.org>
        C: RCPT TO:<nobody@example.org>
        C: RCPT TO:<dave@example.com>
        C: DATA
        C: Message-ID: <1@example.net>
        C: Subject: hello
        C:
        C: ..dot
        C: .
        C: QUIT
        ",
        &expect![[r#"
            C: MAIL FROM:<carol@example.net> SIZE=30
            L: CHKUSER accepted sender: from <carol@example.net|remoteinfo/auth:|chkuser-identify:> remote <helo:client.example.net|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : sender accepted pid=7
            S: 250 2.1.0 ok
            C: RCPT TO:<alice@example.org>
            L: CHKUSER accepted rcpt: from <carol@example.net|remoteinfo/auth:|chkuser-identify:> remote <helo:client.example.net|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <alice@example.org> : found existing recipient pid=7
            L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=client.example.net mailfrom=carol@example.net rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 250 2.1.5 ok
            C: RCPT TO:<nobody@example.org>
            L: CHKUSER rejected rcpt: from <carol@example.net|remoteinfo/auth:|chkuser-identify:> remote <helo:client.example.net|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <nobody@example.org> : not existing recipient pid=7
            L: qlogenvelope: result=rejected code=550 reason=chkuser detail=nomailbox helo=client.example.net mailfrom=carol@example.net rcptto=nobody@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 550 5.1.1 sorry, no mailbox here by that name. (#5.1.1)
            C: RCPT TO:<dave@example.com>
            L: CHKUSER rejected relaying: from <carol@example.net|remoteinfo/auth:|chkuser-identify:> remote <helo:client.example.net|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <dave@example.com> : client not allowed to relay pid=7
            L: qlogenvelope: result=rejected code=553 reason=chkuser detail=notinrcpthosts helo=client.example.net mailfrom=carol@example.net rcptto=dave@example.com relay=no rcpthosts=no size= authuser= authtype= encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 553 5.7.1 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)
            C: DATA
            S: 354 go ahead
            C: Message-ID: <1@example.net>
            C: Subject: hello
            C:
            C: ..dot
            C: .
            M: Received: from client.example.net (unknown [203.0.113.7])
            M:  by mx.example.org with ESMTP id 77; Sat, 21 Nov 2026 12:00:00 +0000
            M: Message-ID: <1@example.net>
            M: Subject: hello
            M: 
            M: .dot
            L: qlogreceived: result=accepted code=250 reason=queueaccept detail= helo=client.example.net mailfrom=carol@example.net rcptto=alice@example.org relay=no rcpthosts= size=53 authuser= authtype= encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp=77 pid=7 msgid=1@example.net
            S: 250 2.0.0 ok 1795262400 qp 77
            C: QUIT
            S: 221 2.0.0 mx.example.org
            *: close 0
        "#]],
    );
}

#[test]
fn a_message_that_is_too_big_or_goes_in_circles_is_read_and_refused() {
    let big = format!(
        "C: HELO x\nC: MAIL FROM:<>\nC: RCPT TO:<bob@example.org>\nC: DATA\nC: {}\nC: .\nC: RSET",
        "a".repeat(1000)
    );
    check_replies(
        Service::Smtp,
        &big.replace(&"a".repeat(1000), &format!("{}\nC: {}", "a".repeat(499), "a".repeat(498))),
        &expect![[r#"
            C: MAIL FROM:<>
            S: 250 ok
            C: RCPT TO:<bob@example.org>
            S: 250 ok
            C: DATA
            S: 354 go ahead
            C: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
            C: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
            *: discard
            C: .
            S: 552 sorry, that message size exceeds my databytes limit (#5.3.4)
            C: RSET
            S: 250 flushed
        "#]],
    );
    let hops = "C: Received: x\n".repeat(60);
    let script = format!(
        "C: HELO x\nC: MAIL FROM:<>\nC: RCPT TO:<bob@example.org>\nC: DATA\n{hops}{hops}C: .\nC: RSET"
    );
    let transcript = run(Service::Smtp, "203.0.113.7:40000", &script);
    assert!(transcript.contains("S: 554 too many hops"), "{transcript}");
    assert!(
        transcript.contains("L: qlogreceived: result=rejected code=554 reason=message_loop "),
        "{transcript}"
    );
}

#[test]
fn a_relay_network_may_send_elsewhere_and_a_full_queue_says_so() {
    let script =
        "C: EHLO x\nC: MAIL FROM:<closed@example.org>\nC: RCPT TO:<dave@example.com>\nC: DATA\nC: QUIT";
    expect![[r#"
        C: MAIL FROM:<closed@example.org>
        L: CHKUSER accepted sender: from <closed@example.org|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:198.51.100.9> rcpt <> : sender accepted pid=7
        S: 250 2.1.0 ok
        C: RCPT TO:<dave@example.com>
        L: CHKUSER relaying rcpt: from <closed@example.org|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:198.51.100.9> rcpt <dave@example.com> : client allowed to relay pid=7
        L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuserrelay helo=x mailfrom=closed@example.org rcptto=dave@example.com relay=yes rcpthosts=no size= authuser= authtype= encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip=198.51.100.9 remoteport=40000 remotehost=unknown qp= pid=7
        S: 250 2.1.5 ok
        C: DATA
        L: qlogenvelope: result=rejected code=451 reason=qqtfailure detail= helo=x mailfrom=closed@example.org rcptto= relay=yes rcpthosts= size= authuser= authtype= encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip=198.51.100.9 remoteport=40000 remotehost=unknown qp= pid=7
        S: 451 4.3.0 qqt failure (#4.3.0)
        C: QUIT
        S: 221 2.0.0 mx.example.org
        *: close 0
    "#]].assert_eq(&after_opening(&run(Service::Smtp, "198.51.100.9:40000", script)));
}

#[test]
fn a_message_has_at_most_a_hundred_recipients() {
    let script = format!("C: HELO x\nC: MAIL FROM:<>\n{}", "C: RCPT TO:<bob@example.org>\n".repeat(101));
    let transcript = run(Service::Smtp, "203.0.113.7:40000", &script);
    assert_eq!(transcript.matches("S: 250 ok\n").count(), 101, "MAIL and a hundred RCPT");
    assert!(transcript.ends_with("S: 452 too many recipients (#4.5.3)\n"), "{transcript}");
}

#[test]
fn a_bare_line_end_ends_the_session_not_the_message() {
    check_replies(
        Service::Smtp,
        "C: EHLO x\nC: MAIL FROM:<>\nC: RCPT TO:<bob@example.org>\nC: DATA\nC: a\\n.\nC: MAIL FROM:<b@c>",
        &expect![[r#"
            C: MAIL FROM:<>
            S: 250 2.1.0 ok
            C: RCPT TO:<bob@example.org>
            S: 250 2.1.5 ok
            C: DATA
            S: 354 go ahead
            C: a\n.
            *: discard
            S: 451 4.5.2 See https://cr.yp.to/docs/smtplf.html.
            *: close 256
            C: MAIL FROM:<b@c>
        "#]],
    );
}
