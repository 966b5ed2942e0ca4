//! The policies of the gate, each in a session of its own.

use expect_test::{Expect, expect};
use smtpd::blocklist::{Action, Blocklist};
use smtpd::rules::{BadLists, Early, HeloPolicy, Hosts, Pattern, Patterns, Rules, SpfBehavior};
use smtpd::session::{Input, Policy, Service, Session};
use smtpd::words::{Asked, Word};

use crate::world::{NOON, World, converse, peer, policy};

const CLIENT: &str = "203.0.113.7:40000";

fn under(rules: Rules) -> Policy {
    Policy { rules, ..policy() }
}

fn patterns(entries: &[&str]) -> Patterns {
    Patterns::new(entries.iter().map(|entry| entry.parse().unwrap()).collect::<Vec<Pattern>>())
}

/// Replies, and the lines of the journal but for what every recipient writes.
#[track_caller]
fn check_from(remote: &str, rules: Rules, script: &str, expected: &Expect) {
    let transcript = converse(World::under(under(rules), Service::Smtp, remote), script);
    let shown = transcript.lines().filter(|line| !line.starts_with("M: ")).map(|line| {
        // The end of a qlog line says what every test says.
        let line = line.split(" sslverified=").next().unwrap_or(line);
        format!("{line}\n")
    });
    expected.assert_eq(&shown.collect::<String>());
}

#[track_caller]
fn check(rules: Rules, script: &str, expected: &Expect) {
    check_from(CLIENT, rules, script, expected);
}

fn delayed(early: Early) -> Rules {
    Rules { greet_delay: std::time::Duration::from_secs(5), early, ..Rules::default() }
}

#[test]
fn who_waits_is_greeted() {
    check(
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
    check(
        delayed(Early::Reject),
        "gone",
        &expect![[r#"
        gone
        L: qmail-smtpd[7]: GREETDELAY from 203.0.113.7: client disconnected
        *: close 256
    "#]],
    );
    // Who may relay waits for nothing.
    check_from(
        "198.51.100.7:1",
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
    check(
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
    check(
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

#[test]
fn what_a_list_forbids_is_refused_at_the_recipient() {
    let bad = BadLists {
        helo: patterns(&["ylmf-pc"]),
        sender: patterns(&["@spam.example"]),
        sender_norelay: patterns(&["@example.org"]),
        recipient: patterns(&["trap@*"]),
        ..BadLists::default()
    };
    let rules = || Rules { bad: bad.clone(), ..Rules::default() };
    check(
        rules(),
        "C: HELO YLMF-PC\nC: MAIL FROM:<a@b.example>\nC: RCPT TO:<alice@example.org>",
        &expect![[r#"
            S: 220 mx.example.org ESMTP
            C: HELO YLMF-PC
            S: 250 mx.example.org
            C: MAIL FROM:<a@b.example>
            L: CHKUSER accepted sender: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:YLMF-PC|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : sender accepted pid=7
            S: 250 ok
            C: RCPT TO:<alice@example.org>
            L: qmail-smtpd[7]: badhelo: <YLMF-PC> at 203.0.113.7
            L: qlogenvelope: result=rejected code=553 reason=qregexbhelo detail=ylmf-pc helo=YLMF-PC mailfrom=a@b.example rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 553 sorry, your HELO host name has been denied (#5.7.1)
        "#]],
    );
    check(
        rules(),
        "C: HELO x\nC: MAIL FROM:<a@spam.example>\nC: RCPT TO:<alice@example.org>\nC: MAIL FROM:<>\nC: RCPT TO:<trap@example.org>",
        &expect![[r#"
            S: 220 mx.example.org ESMTP
            C: HELO x
            S: 250 mx.example.org
            C: MAIL FROM:<a@spam.example>
            L: CHKUSER accepted sender: from <a@spam.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : sender accepted pid=7
            S: 250 ok
            C: RCPT TO:<alice@example.org>
            L: qmail-smtpd[7]: badmailfrom: <a@spam.example> at 203.0.113.7
            L: qlogenvelope: result=rejected code=553 reason=qregexbmf detail=@spam.example helo=x mailfrom=a@spam.example rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 553 sorry, your envelope sender has been denied (#5.7.1)
            C: MAIL FROM:<>
            L: CHKUSER accepted sender: from <|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : accepted null sender always pid=7
            S: 250 ok
            C: RCPT TO:<trap@example.org>
            L: qmail-smtpd[7]: badrcptto: <trap@example.org> at 203.0.113.7
            L: qlogenvelope: result=rejected code=553 reason=qregexbmt detail=trap@* helo=x mailfrom= rcptto=trap@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 553 sorry, your envelope recipient has been denied (#5.7.1)
        "#]],
    );
    let script = "C: HELO x\nC: MAIL FROM:<alice@example.org>\nC: RCPT TO:<bob@example.org>";
    check(
        rules(),
        script,
        &expect![[r#"
        S: 220 mx.example.org ESMTP
        C: HELO x
        S: 250 mx.example.org
        C: MAIL FROM:<alice@example.org>
        L: CHKUSER accepted sender: from <alice@example.org|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : sender accepted pid=7
        S: 250 ok
        C: RCPT TO:<bob@example.org>
        L: qmail-smtpd[7]: badmailfrom: <alice@example.org> at 203.0.113.7
        L: qlogenvelope: result=rejected code=553 reason=qregexbmf detail=@example.org helo=x mailfrom=alice@example.org rcptto=bob@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
        S: 553 sorry, your envelope sender has been denied (#5.7.1)
    "#]],
    );
    check_from(
        "198.51.100.7:1",
        rules(),
        script,
        &expect![[r#"
        S: 220 mx.example.org ESMTP
        C: HELO x
        S: 250 mx.example.org
        C: MAIL FROM:<alice@example.org>
        L: CHKUSER accepted sender: from <alice@example.org|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:198.51.100.7> rcpt <> : sender accepted pid=7
        S: 250 ok
        C: RCPT TO:<bob@example.org>
        L: CHKUSER accepted rcpt: from <alice@example.org|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:198.51.100.7> rcpt <bob@example.org> : found existing recipient pid=7
        L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=x mailfrom=alice@example.org rcptto=bob@example.org relay=yes rcpthosts=yes size= authuser= authtype= encrypted=
        S: 250 ok
    "#]],
    );
}

#[test]
fn bad_recipients_have_a_limit() {
    let script = "C: HELO x\nC: MAIL FROM:<a@b.example>\nC: RCPT TO:<x@example.org>\nC: RCPT TO:<y@example.org>\n\
                  C: RCPT TO:<alice@example.org>\nC: RCPT TO:<bob@example.org>";
    check(
        Rules { bad_recipients_max: 2, ..Rules::default() },
        script,
        &expect![[r#"
        S: 220 mx.example.org ESMTP
        C: HELO x
        S: 250 mx.example.org
        C: MAIL FROM:<a@b.example>
        L: CHKUSER accepted sender: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : sender accepted pid=7
        S: 250 ok
        C: RCPT TO:<x@example.org>
        L: CHKUSER rejected rcpt: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <x@example.org> : not existing recipient pid=7
        L: qlogenvelope: result=rejected code=550 reason=chkuser detail=nomailbox helo=x mailfrom=a@b.example rcptto=x@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
        S: 550 sorry, no mailbox here by that name. (#5.1.1)
        C: RCPT TO:<y@example.org>
        L: CHKUSER rejected rcpt: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <y@example.org> : not existing recipient pid=7
        L: qlogenvelope: result=rejected code=550 reason=chkuser detail=nomailbox helo=x mailfrom=a@b.example rcptto=y@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
        S: 550 sorry, no mailbox here by that name. (#5.1.1)
        C: RCPT TO:<alice@example.org>
        L: qmail-smtpd[7]: badrcptto: excessive rcptto violations hanging up on 203.0.113.7
        L: qlogenvelope: result=rejected code=421 reason=brtlimit detail= helo=x mailfrom=a@b.example rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
        S: 421 too many invalid addresses, goodbye (#4.3.0)
        *: close 256
        C: RCPT TO:<bob@example.org>
    "#]],
    );
    check(
        Rules { session_bad_recipients_max: 2, ..Rules::default() },
        script,
        &expect![[r#"
        S: 220 mx.example.org ESMTP
        C: HELO x
        S: 250 mx.example.org
        C: MAIL FROM:<a@b.example>
        L: CHKUSER accepted sender: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : sender accepted pid=7
        S: 250 ok
        C: RCPT TO:<x@example.org>
        L: CHKUSER rejected rcpt: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <x@example.org> : not existing recipient pid=7
        L: qlogenvelope: result=rejected code=550 reason=chkuser detail=nomailbox helo=x mailfrom=a@b.example rcptto=x@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
        S: 550 sorry, no mailbox here by that name. (#5.1.1)
        C: RCPT TO:<y@example.org>
        L: CHKUSER rejected rcpt: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <y@example.org> : not existing recipient pid=7
        L: qlogenvelope: result=rejected code=550 reason=chkuser detail=nomailbox helo=x mailfrom=a@b.example rcptto=y@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
        S: 550 sorry, no mailbox here by that name. (#5.1.1)
        C: RCPT TO:<alice@example.org>
        L: CHKUSER intrusion threshold: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <alice@example.org> : max number of allowed invalid rcpt pid=7
        L: qlogenvelope: result=rejected code=550 reason=chkuser detail=maxwrongrcpt helo=x mailfrom=a@b.example rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
        S: 550 sorry, you are violating our security policies (#5.7.1)
        C: RCPT TO:<bob@example.org>
        L: CHKUSER rejected intrusion: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <bob@example.org> : rcpt ignored, session over intrusion threshold pid=7
        L: qlogenvelope: result=rejected code=550 reason=chkuser detail=instrusionthreshold helo=x mailfrom=a@b.example rcptto=bob@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
        *: pause 1s
        S: 550 sorry, you are violating our security policies (#5.7.1)
    "#]],
    );
}

#[test]
fn recipients_of_a_session_have_a_limit() {
    let script = "C: HELO x\nC: MAIL FROM:<a@b.example>\nC: RCPT TO:<alice@example.org>\nC: MAIL FROM:<a@b.example>\n\
                  C: RCPT TO:<bob@example.org>";
    check(
        Rules { session_recipients_max: 1, ..Rules::default() },
        script,
        &expect![[r#"
        S: 220 mx.example.org ESMTP
        C: HELO x
        S: 250 mx.example.org
        C: MAIL FROM:<a@b.example>
        L: CHKUSER accepted sender: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : sender accepted pid=7
        S: 250 ok
        C: RCPT TO:<alice@example.org>
        L: CHKUSER accepted rcpt: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <alice@example.org> : found existing recipient pid=7
        L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=x mailfrom=a@b.example rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
        S: 250 ok
        C: MAIL FROM:<a@b.example>
        L: CHKUSER accepted sender: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : sender accepted pid=7
        S: 250 ok
        C: RCPT TO:<bob@example.org>
        L: CHKUSER intrusion threshold: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <bob@example.org> : max number of allowed rcpt pid=7
        L: qlogenvelope: result=rejected code=550 reason=chkuser detail=maxrcpt helo=x mailfrom=a@b.example rcptto=bob@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
        S: 550 sorry, reached maximum number of recipients allowed in one session (#5.5.3)
    "#]],
    );
}

#[test]
fn probes_and_false_bounces_are_refused() {
    let rules = Rules { reject_relay_probes: true, one_recipient_of_a_bounce: true, ..Rules::default() };
    check(
        rules,
        "C: HELO x\nC: MAIL FROM:<>\nC: RCPT TO:<alice%elsewhere@example.org>\nC: RCPT TO:<alice@example.org>\n\
         C: RCPT TO:<bob@example.org>",
        &expect![[r#"
            S: 220 mx.example.org ESMTP
            C: HELO x
            S: 250 mx.example.org
            C: MAIL FROM:<>
            L: CHKUSER accepted sender: from <|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : accepted null sender always pid=7
            S: 250 ok
            C: RCPT TO:<alice%elsewhere@example.org>
            L: qlogenvelope: result=rejected code=553 reason=dontrelay detail= helo=x mailfrom= rcptto=alice%elsewhere@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 553 we don't relay (#5.7.1)
            C: RCPT TO:<alice@example.org>
            L: CHKUSER accepted rcpt: from <|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <alice@example.org> : found existing recipient pid=7
            L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=x mailfrom= rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 250 ok
            C: RCPT TO:<bob@example.org>
            L: qlogenvelope: result=rejected code=553 reason=nullsenderdenied detail=recipients helo=x mailfrom= rcptto=bob@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 553 sorry, a bounce has one recipient (#5.5.3)
        "#]],
    );
    check(
        Rules { reject_null_sender: true, ..Rules::default() },
        "C: HELO x\nC: MAIL FROM:<>",
        &expect![[r#"
            S: 220 mx.example.org ESMTP
            C: HELO x
            S: 250 mx.example.org
            C: MAIL FROM:<>
            L: qlogenvelope: result=rejected code=421 reason=nullsenderdenied detail= helo=x mailfrom= rcptto= relay=no rcpthosts= size= authuser= authtype= encrypted=
            S: 421 null senders temporarily denied (#4.3.0)
            *: close 256
        "#]],
    );
}

#[test]
fn one_bad_recipient_spoils_the_message() {
    check(
        Rules { one_bad_recipient_spoils: true, ..Rules::default() },
        "C: HELO x\nC: MAIL FROM:<a@b.example>\nC: RCPT TO:<alice@example.org>\nC: RCPT TO:<x@example.org>\nC: DATA\n\
         C: MAIL FROM:<a@b.example>\nC: RCPT TO:<alice@example.org>\nC: DATA",
        &expect![[r#"
            S: 220 mx.example.org ESMTP
            C: HELO x
            S: 250 mx.example.org
            C: MAIL FROM:<a@b.example>
            L: CHKUSER accepted sender: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : sender accepted pid=7
            S: 250 ok
            C: RCPT TO:<alice@example.org>
            L: CHKUSER accepted rcpt: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <alice@example.org> : found existing recipient pid=7
            L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=x mailfrom=a@b.example rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 250 ok
            C: RCPT TO:<x@example.org>
            L: CHKUSER rejected rcpt: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <x@example.org> : not existing recipient pid=7
            L: qlogenvelope: result=rejected code=550 reason=chkuser detail=nomailbox helo=x mailfrom=a@b.example rcptto=x@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 550 sorry, no mailbox here by that name. (#5.1.1)
            C: DATA
            L: qlogenvelope: result=rejected code=553 reason=qregexbmt detail=spoilt helo=x mailfrom=a@b.example rcptto= relay=no rcpthosts= size= authuser= authtype= encrypted=
            S: 553 sorry, badrcptto seen, so you MUST be spamming. (#5.1.1)
            C: MAIL FROM:<a@b.example>
            L: CHKUSER accepted sender: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : sender accepted pid=7
            S: 250 ok
            C: RCPT TO:<alice@example.org>
            L: CHKUSER accepted rcpt: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <alice@example.org> : found existing recipient pid=7
            L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=x mailfrom=a@b.example rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 250 ok
            C: DATA
            S: 354 go ahead
        "#]],
    );
}

#[test]
fn a_name_is_judged_as_strictly_as_wanted() {
    let at = |policy| Rules { helo: policy, ..Rules::default() };
    let script =
        |name: &str| format!("C: HELO {name}\nC: MAIL FROM:<a@b.example>\nC: RCPT TO:<alice@example.org>");
    check(
        at(HeloPolicy::Lenient),
        &script("localhost"),
        &expect![[r#"
        S: 220 mx.example.org ESMTP
        C: HELO localhost
        S: 250 mx.example.org
        C: MAIL FROM:<a@b.example>
        L: CHKUSER accepted sender: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:localhost|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : sender accepted pid=7
        S: 250 ok
        C: RCPT TO:<alice@example.org>
        L: qlogenvelope: result=rejected code=550 reason=helo detail=localhost helo=localhost mailfrom=a@b.example rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
        S: 550 sorry, you are not localhost (#5.7.1)
    "#]],
    );
    check(
        at(HeloPolicy::Rfc),
        &script("no.such.example"),
        &expect![[r#"
        S: 220 mx.example.org ESMTP
        C: HELO no.such.example
        S: 250 mx.example.org
        C: MAIL FROM:<a@b.example>
        L: CHKUSER accepted sender: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:no.such.example|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : sender accepted pid=7
        S: 250 ok
        C: RCPT TO:<alice@example.org>
        L: CHKUSER accepted rcpt: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:no.such.example|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <alice@example.org> : found existing recipient pid=7
        L: qlogenvelope: result=rejected code=550 reason=helo detail=noforward helo=no.such.example mailfrom=a@b.example rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
        S: 550 sorry, your HELO name does not exist (#5.7.1)
    "#]],
    );
    check(
        at(HeloPolicy::Strict),
        &script("other.example.net"),
        &expect![[r#"
        S: 220 mx.example.org ESMTP
        C: HELO other.example.net
        S: 250 mx.example.org
        C: MAIL FROM:<a@b.example>
        L: CHKUSER accepted sender: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:other.example.net|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : sender accepted pid=7
        S: 250 ok
        C: RCPT TO:<alice@example.org>
        L: CHKUSER accepted rcpt: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:other.example.net|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <alice@example.org> : found existing recipient pid=7
        L: qlogenvelope: result=rejected code=550 reason=helo detail=nomatch helo=other.example.net mailfrom=a@b.example rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
        S: 550 sorry, your HELO name is not yours (#5.7.1)
    "#]],
    );
    check(
        at(HeloPolicy::Strict),
        &script("mail.example.net"),
        &expect![[r#"
        S: 220 mx.example.org ESMTP
        C: HELO mail.example.net
        S: 250 mx.example.org
        C: MAIL FROM:<a@b.example>
        L: CHKUSER accepted sender: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:mail.example.net|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : sender accepted pid=7
        S: 250 ok
        C: RCPT TO:<alice@example.org>
        L: CHKUSER accepted rcpt: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:mail.example.net|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <alice@example.org> : found existing recipient pid=7
        L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=mail.example.net mailfrom=a@b.example rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
        S: 250 ok
    "#]],
    );
    check(
        at(HeloPolicy::Strict),
        &script("silent.example"),
        &expect![[r#"
        S: 220 mx.example.org ESMTP
        C: HELO silent.example
        S: 250 mx.example.org
        C: MAIL FROM:<a@b.example>
        L: CHKUSER accepted sender: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:silent.example|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : sender accepted pid=7
        S: 250 ok
        C: RCPT TO:<alice@example.org>
        L: CHKUSER accepted rcpt: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:silent.example|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <alice@example.org> : found existing recipient pid=7
        L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=silent.example mailfrom=a@b.example rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
        S: 250 ok
    "#]],
    );
}

#[test]
fn the_senders_domain_must_take_mail() {
    check(
        Rules { sender_domain: true, ..Rules::default() },
        "C: HELO x\nC: MAIL FROM:<a@no.example>\nC: RCPT TO:<nobody@example.org>\nC: RCPT TO:<alice@example.org>\n\
         C: RCPT TO:<bob@example.org>\nC: MAIL FROM:<a@silent.example>\nC: RCPT TO:<alice@example.org>\n\
         C: MAIL FROM:<a@example.net>\nC: RCPT TO:<alice@example.org>\nC: MAIL FROM:<>\nC: RCPT TO:<alice@example.org>",
        &expect![[r#"
            S: 220 mx.example.org ESMTP
            C: HELO x
            S: 250 mx.example.org
            C: MAIL FROM:<a@no.example>
            L: CHKUSER accepted sender: from <a@no.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : sender accepted pid=7
            S: 250 ok
            C: RCPT TO:<nobody@example.org>
            L: CHKUSER rejected rcpt: from <a@no.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <nobody@example.org> : not existing recipient pid=7
            L: qlogenvelope: result=rejected code=550 reason=chkuser detail=nomailbox helo=x mailfrom=a@no.example rcptto=nobody@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 550 sorry, no mailbox here by that name. (#5.1.1)
            C: RCPT TO:<alice@example.org>
            L: CHKUSER accepted rcpt: from <a@no.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <alice@example.org> : found existing recipient pid=7
            L: CHKUSER rejected sender: from <a@no.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : invalid sender MX domain pid=7
            L: qlogenvelope: result=rejected code=550 reason=chkusersender detail=sendermxinvalid helo=x mailfrom=a@no.example rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 550 sorry, can't find a valid MX for sender domain (#5.1.8)
            C: RCPT TO:<bob@example.org>
            L: CHKUSER accepted rcpt: from <a@no.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <bob@example.org> : found existing recipient pid=7
            L: qlogenvelope: result=rejected code=550 reason=chkusersender detail=sendermxinvalid helo=x mailfrom=a@no.example rcptto=bob@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 550 sorry, can't find a valid MX for sender domain (#5.1.8)
            C: MAIL FROM:<a@silent.example>
            L: CHKUSER accepted sender: from <a@silent.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : sender accepted pid=7
            S: 250 ok
            C: RCPT TO:<alice@example.org>
            L: CHKUSER accepted rcpt: from <a@silent.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <alice@example.org> : found existing recipient pid=7
            L: CHKUSER rejected sender: from <a@silent.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : temporary DNS problem pid=7
            L: qlogenvelope: result=rejected code=451 reason=chkusersender detail=sendermxdnstmpfail helo=x mailfrom=a@silent.example rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 451 DNS temporary failure (#4.4.3)
            C: MAIL FROM:<a@example.net>
            L: CHKUSER accepted sender: from <a@example.net|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : sender accepted pid=7
            S: 250 ok
            C: RCPT TO:<alice@example.org>
            L: CHKUSER accepted rcpt: from <a@example.net|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <alice@example.org> : found existing recipient pid=7
            L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=x mailfrom=a@example.net rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 250 ok
            C: MAIL FROM:<>
            L: CHKUSER accepted sender: from <|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : accepted null sender always pid=7
            S: 250 ok
            C: RCPT TO:<alice@example.org>
            L: CHKUSER accepted rcpt: from <|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <alice@example.org> : found existing recipient pid=7
            L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=x mailfrom= rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 250 ok
        "#]],
    );
}

#[test]
fn mail_is_taken_for_domains_that_are_delivered_elsewhere() {
    let rules = Rules {
        greeting: Some("gate.example.org NO UCE".into()),
        rcpthosts: Hosts::new([".backup.example".to_owned()], None),
        localiphost: Some("example.org".into()),
        ..Rules::default()
    };
    check(
        rules,
        "C: HELO x\nC: MAIL FROM:<a@b.example>\nC: RCPT TO:<any@mx.backup.example>\nC: RCPT TO:<any@backup.example>\n\
         C: RCPT TO:<alice@[192.0.2.25]>\nC: QUIT",
        &expect![[r#"
            S: 220 gate.example.org NO UCE ESMTP
            C: HELO x
            S: 250 gate.example.org NO UCE
            C: MAIL FROM:<a@b.example>
            L: CHKUSER accepted sender: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : sender accepted pid=7
            S: 250 ok
            C: RCPT TO:<any@mx.backup.example>
            L: CHKUSER rejected rcpt: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <any@mx.backup.example> : not existing recipient pid=7
            L: qlogenvelope: result=rejected code=550 reason=chkuser detail=nomailbox helo=x mailfrom=a@b.example rcptto=any@mx.backup.example relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 550 sorry, no mailbox here by that name. (#5.1.1)
            C: RCPT TO:<any@backup.example>
            L: CHKUSER rejected relaying: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <any@backup.example> : client not allowed to relay pid=7
            L: qlogenvelope: result=rejected code=553 reason=chkuser detail=notinrcpthosts helo=x mailfrom=a@b.example rcptto=any@backup.example relay=no rcpthosts=no size= authuser= authtype= encrypted=
            S: 553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)
            C: RCPT TO:<alice@[192.0.2.25]>
            L: CHKUSER accepted rcpt: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <alice@example.org> : found existing recipient pid=7
            L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=x mailfrom=a@b.example rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 250 ok
            C: QUIT
            S: 221 gate.example.org NO UCE
            *: close 0
        "#]],
    );
}

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
    expected.assert_eq(&shown.map(|line| format!("{line}\n")).collect::<String>());
}

#[test]
fn the_watchers_word_is_kept_until_the_client_logs_in() {
    check_asked(
        Asked::AuthOnly,
        "C: EHLO x\nC: MAIL FROM:<a@b.example>\nC: STARTTLS\nC: EHLO x\nC: AUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldA==\n\
         C: MAIL FROM:<alice@example.org>",
        &expect![[r#"
            L: qmail-smtpd[7]: watcher: auth-only at 203.0.113.7
            S: 220 mx.example.org ESMTP
            C: EHLO x
            S: 250-mx.example.org
            S: 250-STARTTLS
            S: 250-PIPELINING
            S: 250-SMTPUTF8
            S: 250-8BITMIME
            S: 250-CHUNKING
            S: 250-ENHANCEDSTATUSCODES
            S: 250-DSN
            S: 250-LIMITS RCPTMAX=100
            S: 250 SIZE 1000
            C: MAIL FROM:<a@b.example>
            L: qlogenvelope: result=rejected code=451 reason=watcher detail=authonly helo=x mailfrom=a@b.example rcptto= relay=no rcpthosts= size= authuser= authtype= encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 451 4.7.1 sorry, mail from your address is taken after a login only, for now (#4.7.1) [spam-source]
            C: STARTTLS
            S: 220 2.0.0 ready for tls
            *: handshake
            C: EHLO x
            S: 250-mx.example.org
            S: 250-PIPELINING
            S: 250-SMTPUTF8
            S: 250-8BITMIME
            S: 250-CHUNKING
            S: 250-ENHANCEDSTATUSCODES
            S: 250-DSN
            S: 250-LIMITS RCPTMAX=100
            S: 250-AUTH LOGIN PLAIN
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
        S: 220 mx.example.org ESMTP
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
        S: 220 mx.example.org ESMTP
        C: HELO x
        S: 250 mx.example.org
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

#[test]
fn a_list_of_domains_is_asked_about_the_senders() {
    let list = Blocklist::new("rhsbl.example", Action::Reject, None);
    check(
        Rules { domain_lists: vec![list], ..Rules::default() },
        "C: HELO x\nC: MAIL FROM:<a@listed.example>\nC: RCPT TO:<alice@example.org>\nC: RCPT TO:<bob@example.org>\n\
         C: MAIL FROM:<a@silent.example>\nC: RCPT TO:<alice@example.org>\nC: MAIL FROM:<>\nC: RCPT TO:<alice@example.org>",
        &expect![[r#"
            S: 220 mx.example.org ESMTP
            C: HELO x
            S: 250 mx.example.org
            C: MAIL FROM:<a@listed.example>
            L: CHKUSER accepted sender: from <a@listed.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : sender accepted pid=7
            S: 250 ok
            C: RCPT TO:<alice@example.org>
            L: CHKUSER accepted rcpt: from <a@listed.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <alice@example.org> : found existing recipient pid=7
            L: qlogenvelope: result=rejected code=553 reason=rhsbl detail=rhsbl.example helo=x mailfrom=a@listed.example rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 553 see http://list.example
            C: RCPT TO:<bob@example.org>
            L: CHKUSER accepted rcpt: from <a@listed.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <bob@example.org> : found existing recipient pid=7
            L: qlogenvelope: result=rejected code=553 reason=rhsbl detail=rhsbl.example helo=x mailfrom=a@listed.example rcptto=bob@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 553 see http://list.example
            C: MAIL FROM:<a@silent.example>
            L: CHKUSER accepted sender: from <a@silent.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : sender accepted pid=7
            S: 250 ok
            C: RCPT TO:<alice@example.org>
            L: CHKUSER accepted rcpt: from <a@silent.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <alice@example.org> : found existing recipient pid=7
            L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=x mailfrom=a@silent.example rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 250 ok
            C: MAIL FROM:<>
            L: CHKUSER accepted sender: from <|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : accepted null sender always pid=7
            S: 250 ok
            C: RCPT TO:<alice@example.org>
            L: CHKUSER accepted rcpt: from <|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <alice@example.org> : found existing recipient pid=7
            L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=x mailfrom= rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 250 ok
        "#]],
    );
}
