//! How many recipients, good and bad, and which look like a probe.

use expect_test::expect;
use smtpd::rules::Rules;
use smtpd::session::{Limits, Policy, Service};

use super::{CLIENT, check};
use crate::world::{World, converse, policy};

#[test]
fn bad_recipients_have_a_limit() {
    let script = "C: HELO x\nC: MAIL FROM:<a@b.example>\nC: RCPT TO:<x@example.org>\nC: RCPT TO:<y@example.org>\n\
                  C: RCPT TO:<alice@example.org>\nC: RCPT TO:<bob@example.org>";
    check(
        Rules { bad_recipients_max: 2, ..Rules::default() },
        script,
        &expect![[r#"
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
fn a_program_that_checks_recipients_may_say_it_in_its_own_words() {
    check(
        Rules::default(),
        "C: HELO x\nC: MAIL FROM:<a@b.example>\nC: RCPT TO:<moved@example.org>\nC: RCPT TO:<full@example.org>",
        &expect![[r#"
            C: RCPT TO:<moved@example.org>
            L: qlogenvelope: result=rejected code=551 reason=rcptcheck detail=custom helo=x mailfrom=a@b.example rcptto=moved@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 551 alice lives elsewhere
            C: RCPT TO:<full@example.org>
            L: qlogenvelope: result=rejected code=452 reason=rcptcheck detail=customlater helo=x mailfrom=a@b.example rcptto=full@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 452 come on Monday
        "#]],
    );
}

#[test]
fn a_full_mailbox_is_no_fault_of_the_clients() {
    check(
        Rules { bad_recipients_max: 1, ..Rules::default() },
        "C: HELO x\nC: MAIL FROM:<a@b.example>\nC: RCPT TO:<stuffed@example.org>\nC: RCPT TO:<stuffed@example.org>",
        &expect![[r#"
            C: RCPT TO:<stuffed@example.org>
            L: CHKUSER mbx overquota: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <stuffed@example.org> : rcpt mailbox is overquota pid=7
            L: qlogenvelope: result=rejected code=552 reason=chkuser detail=mailboxfull helo=x mailfrom=a@b.example rcptto=stuffed@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 552 sorry, recipient mailbox is over quota (#5.2.2)
            C: RCPT TO:<stuffed@example.org>
            L: CHKUSER mbx overquota: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <stuffed@example.org> : rcpt mailbox is overquota pid=7
            L: qlogenvelope: result=rejected code=552 reason=chkuser detail=mailboxfull helo=x mailfrom=a@b.example rcptto=stuffed@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 552 sorry, recipient mailbox is over quota (#5.2.2)
        "#]],
    );
}

#[test]
fn unknown_commands_have_a_limit() {
    let limits = Limits { unrecognized_max: 2, ..policy().limits };
    let policy = Policy { limits, ..policy() };
    let transcript =
        converse(World::under(policy, Service::Smtp, CLIENT), "C: FOO\nC: NOOP\nC: BAR\nC: QUIT");
    let replies: Vec<&str> = transcript.lines().filter(|line| line.starts_with("S: ")).collect();
    assert_eq!(
        replies[1..],
        [
            "S: 500 unrecognized command (#5.5.1)",
            "S: 250 ok",
            "S: 421 too many unrecognized commands (#4.7.0)",
        ]
    );
}
