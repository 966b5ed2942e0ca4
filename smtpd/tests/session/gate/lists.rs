//! What a list forbids, of names, addresses and domains.

use expect_test::expect;
use smtpd::blocklist::{Action, Blocklist};
use smtpd::rules::{BadLists, MailPolicy, Pairs, Rules};

use super::{check, check_from, patterns};

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
fn a_list_of_domains_is_asked_about_the_senders() {
    let list = Blocklist::new("rhsbl.example", Action::Reject, None);
    check(
        Rules { domain_lists: vec![list], ..Rules::default() },
        "C: HELO x\nC: MAIL FROM:<a@listed.example>\nC: RCPT TO:<alice@example.org>\nC: RCPT TO:<bob@example.org>\n\
         C: MAIL FROM:<a@silent.example>\nC: RCPT TO:<alice@example.org>\nC: MAIL FROM:<>\nC: RCPT TO:<alice@example.org>",
        &expect![[r#"
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

#[test]
fn who_may_write_to_whom_is_the_policy_of_both_domains() {
    let policy = ["example.org:e,alice:E(*@partner.example),"].map(|line| line.parse().unwrap());
    check(
        Rules { mail_policy: MailPolicy::new(policy), ..Rules::default() },
        "C: HELO x\nC: MAIL FROM:<a@b.example>\nC: RCPT TO:<alice@example.org>\nC: MAIL FROM:<a@partner.example>\n\
         C: RCPT TO:<alice@example.org>\nC: RCPT TO:<bob@example.org>",
        &expect![[r#"
            C: RCPT TO:<alice@example.org>
            L: CHKUSER accepted rcpt: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <alice@example.org> : found existing recipient pid=7
            L: policy_check: remote a@b.example -> local alice@example.org (UNAUTHENTICATED SENDER) pid=7
            L: policy_check: policy forbids transmission pid=7
            L: qlogenvelope: result=rejected code=550 reason=empf detail= helo=x mailfrom=a@b.example rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 550 sorry, the policy of this server forbids this message (#5.7.1)
            C: MAIL FROM:<a@partner.example>
            L: CHKUSER accepted sender: from <a@partner.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : sender accepted pid=7
            S: 250 ok
            C: RCPT TO:<alice@example.org>
            L: CHKUSER accepted rcpt: from <a@partner.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <alice@example.org> : found existing recipient pid=7
            L: policy_check: remote a@partner.example -> local alice@example.org (UNAUTHENTICATED SENDER) pid=7
            L: policy_check: policy allows transmission pid=7
            L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=x mailfrom=a@partner.example rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 250 ok
            C: RCPT TO:<bob@example.org>
            L: CHKUSER accepted rcpt: from <a@partner.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <bob@example.org> : found existing recipient pid=7
            L: policy_check: remote a@partner.example -> local bob@example.org (UNAUTHENTICATED SENDER) pid=7
            L: policy_check: policy forbids transmission pid=7
            L: qlogenvelope: result=rejected code=550 reason=empf detail= helo=x mailfrom=a@partner.example rcptto=bob@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 550 sorry, the policy of this server forbids this message (#5.7.1)
        "#]],
    );
}

#[test]
fn a_line_forbids_one_sender_to_write_to_one_recipient() {
    let pairs = Pairs::new(vec!["@b.example alice@example.org".parse().unwrap()]);
    let bad = BadLists { pairs, ..BadLists::default() };
    check(
        Rules { bad, ..Rules::default() },
        "C: HELO x\nC: MAIL FROM:<a@b.example>\nC: RCPT TO:<alice@example.org>\nC: RCPT TO:<bob@example.org>",
        &expect![[r#"
            C: RCPT TO:<alice@example.org>
            L: qmail-smtpd[7]: badmailfrom: <a@b.example> at 203.0.113.7
            L: qlogenvelope: result=rejected code=553 reason=qregexbmf detail=@b.example\x20alice@example.org helo=x mailfrom=a@b.example rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 553 sorry, that sender may not write to that recipient (#5.7.1)
            C: RCPT TO:<bob@example.org>
            L: CHKUSER accepted rcpt: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <bob@example.org> : found existing recipient pid=7
            L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=x mailfrom=a@b.example rcptto=bob@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 250 ok
        "#]],
    );
}
