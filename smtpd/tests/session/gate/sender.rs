//! Who may send: what the sender's domain says of the client, and what the watcher does.

use expect_test::{Expect, expect};
use smtpd::rules::{Rules, SpfBehavior};
use smtpd::session::{Input, Service, Session};
use smtpd::words::{Asked, Word};

use super::{CLIENT, check, under};
use crate::opening::after_opening;
use crate::world::{NOON, World, converse, peer, policy};

#[track_caller]
fn check_asked(asked: Asked, script: &str, expected: &Expect) {
    let mut world = World::under(policy(), Service::Smtp, CLIENT);
    let mut peer = peer(Service::Smtp, CLIENT);
    peer.grant.word = Some(Word { asked, reason: "spam-source".into() });
    world.session = Session::new(std::sync::Arc::new(policy()), peer, NOON);
    world.transcript.clear();
    world.feed(Input::Connected);
    let transcript = converse(world, script);
    let shown = transcript.lines().filter(|line| !line.starts_with("L: CHKUSER"));
    let shown: String = shown.map(|line| format!("{line}\n")).collect();
    // The first line is the word's.
    let (word, rest) = shown.split_once('\n').unwrap();
    expected.assert_eq(&format!("{word}\n{}", after_opening(rest)));
}

#[test]
fn the_watchers_word_is_kept_until_the_client_logs_in() {
    check_asked(
        Asked::AuthOnly,
        "C: EHLO x\nC: MAIL FROM:<a@b.example>\nC: STARTTLS\nC: EHLO x\nC: AUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldA==\n\
         C: MAIL FROM:<alice@example.org>",
        &expect![[r#"
            L: qmail-smtpd[7]: watcher: auth-only at 203.0.113.7
            C: MAIL FROM:<a@b.example>
            L: qlogenvelope: result=rejected code=451 reason=watcher detail=authonly helo=x mailfrom=a@b.example rcptto= relay=no rcpthosts= size= authuser= authtype= encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 451 4.7.1 sorry, mail from your address is taken after a login only, for now (#4.7.1) [spam-source]
            C: STARTTLS
            S: 220 2.0.0 ready for tls
            *: handshake
            C: EHLO x
            S: 250 SIZE 1000
            C: AUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldA==
            L: qmail-smtpd[7]: auth: auth-success type=plain user=<alice@example.org>
            L: qlogenvelope: result=accepted code=235 reason=authaccepted detail= helo=x mailfrom= rcptto= relay=yes rcpthosts= size= authuser=alice@example.org authtype=plain encrypted=tls sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 235 2.7.0 ok, go ahead (#2.0.0)
            C: MAIL FROM:<alice@example.org>
            S: 250 2.1.0 ok
        "#]],
    );
    check_asked(
        Asked::Slow,
        "C: HELO x\nC: QUIT",
        &expect![[r#"
            L: qmail-smtpd[7]: watcher: slow at 203.0.113.7
            S: 220 mx.example.org ESMTP, slowly for now [spam-source]
            C: HELO x
            *: pause 5s
            S: 250 mx.example.org
            C: QUIT
            *: pause 5s
            S: 221 mx.example.org
            *: close 0
        "#]],
    );
}

#[test]
fn the_senders_domain_says_who_may_send() {
    let strict = |behavior| Rules { spf: SpfBehavior::new(behavior).unwrap(), ..Rules::default() };
    let script = "C: HELO x\nC: MAIL FROM:<forged@example.net>\nC: RCPT TO:<alice@example.org>\n\
                  C: MAIL FROM:<a@silent.example>\nC: RCPT TO:<alice@example.org>\nC: MAIL FROM:<a@example.net>\n\
                  C: RCPT TO:<alice@example.org>\nC: RCPT TO:<bob@example.org>";
    check(
        strict(3),
        script,
        &expect![[r#"
            C: MAIL FROM:<forged@example.net>
            L: CHKUSER accepted sender: from <forged@example.net|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : sender accepted pid=7
            S: 250 ok
            C: RCPT TO:<alice@example.org>
            L: CHKUSER accepted rcpt: from <forged@example.net|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <alice@example.org> : found existing recipient pid=7
            L: qlogenvelope: result=rejected code=550 reason=spf detail=fail helo=x mailfrom=forged@example.net rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 550 ask example.net (#5.7.1)
            C: MAIL FROM:<a@silent.example>
            L: CHKUSER accepted sender: from <a@silent.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : sender accepted pid=7
            S: 250 ok
            C: RCPT TO:<alice@example.org>
            L: CHKUSER accepted rcpt: from <a@silent.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <alice@example.org> : found existing recipient pid=7
            L: qlogenvelope: result=rejected code=451 reason=spf detail=lookupfailure helo=x mailfrom=a@silent.example rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 451 SPF lookup failure (#4.3.0)
            C: MAIL FROM:<a@example.net>
            L: CHKUSER accepted sender: from <a@example.net|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : sender accepted pid=7
            S: 250 ok
            C: RCPT TO:<alice@example.org>
            L: CHKUSER accepted rcpt: from <a@example.net|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <alice@example.org> : found existing recipient pid=7
            L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=x mailfrom=a@example.net rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 250 ok
            C: RCPT TO:<bob@example.org>
            L: CHKUSER accepted rcpt: from <a@example.net|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <bob@example.org> : found existing recipient pid=7
            L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=x mailfrom=a@example.net rcptto=bob@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 250 ok
        "#]],
    );
    let transcript = converse(
        World::under(under(strict(1)), Service::Smtp, CLIENT),
        "C: HELO x\nC: MAIL FROM:<forged@example.net>\nC: RCPT TO:<alice@example.org>\nC: DATA\nC: \nC: .",
    );
    let field = transcript
        .lines()
        .skip_while(|line| !line.starts_with("M: Received-SPF"))
        .take(2)
        .collect::<Vec<_>>();
    assert_eq!(
        field,
        [
            "M: Received-SPF: fail (mx.example.org)",
            "M:  client-ip=203.0.113.7; envelope-from=\"forged@example.net\"; helo=x;"
        ]
    );
}
