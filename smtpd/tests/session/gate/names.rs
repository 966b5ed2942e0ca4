//! Names: of the client, of the sender's domain, and of the domains that mail is taken for.

use expect_test::expect;
use smtpd::rules::{ClientPolicy, HeloPolicy, Hosts, Rules, VirtualUsers};

use super::{CLIENT, check, check_from, check_whole};

#[test]
fn a_name_is_judged_as_strictly_as_wanted() {
    let at = |policy| Rules { helo: policy, ..Rules::default() };
    let script =
        |name: &str| format!("C: HELO {name}\nC: MAIL FROM:<a@b.example>\nC: RCPT TO:<alice@example.org>");
    check(
        at(HeloPolicy::Lenient),
        &script("localhost"),
        &expect![[r#"
            C: RCPT TO:<alice@example.org>
            L: qlogenvelope: result=rejected code=550 reason=helo detail=localhost helo=localhost mailfrom=a@b.example rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 550 sorry, you are not localhost (#5.7.1)
        "#]],
    );
    check(
        at(HeloPolicy::Rfc),
        &script("no.such.example"),
        &expect![[r#"
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
    check_whole(
        CLIENT,
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

#[test]
fn a_single_address_elsewhere_may_be_somebodys_here() {
    let lines = ["sales@example.net:alice", ".lists.example.net:bob"].map(|line| line.parse().unwrap());
    let (mut owned, script) = (Vec::new(), "C: HELO x\nC: MAIL FROM:<a@b.example>");
    for (recipient, as_ours) in [
        ("sales@example.net", Some("alice-sales@example.org")),
        ("news@a.lists.example.net", Some("bob-news@example.org")),
        ("info@example.net", None),
    ] {
        let rules =
            Rules { virtual_users: VirtualUsers::new(lines.clone(), "example.org"), ..Rules::default() };
        let transcript = super::shown(CLIENT, rules, &format!("{script}\nC: RCPT TO:<{recipient}>"));
        owned.push((transcript.contains(&format!(" rcptto={} ", as_ours.unwrap_or(recipient))), as_ours));
        assert_eq!(transcript.contains(" detail=notinrcpthosts "), as_ours.is_none(), "{transcript}");
    }
    assert!(owned.iter().all(|(is_named, _)| *is_named), "{owned:?}");
}

#[test]
fn an_address_must_have_the_name_that_is_wanted() {
    let script =
        "C: HELO x\nC: MAIL FROM:<a@b.example>\nC: RCPT TO:<alice@example.org>\nC: RCPT TO:<bob@example.org>";
    let at = |client| Rules { client, ..Rules::default() };
    check(
        at(ClientPolicy::Confirmed),
        script,
        &expect![[r#"
        C: RCPT TO:<alice@example.org>
        L: CHKUSER accepted rcpt: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <alice@example.org> : found existing recipient pid=7
        L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=x mailfrom=a@b.example rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
        S: 250 ok
        C: RCPT TO:<bob@example.org>
        L: CHKUSER accepted rcpt: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:113-7.pool.example|remotehostip:203.0.113.7> rcpt <bob@example.org> : found existing recipient pid=7
        L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=x mailfrom=a@b.example rcptto=bob@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
        S: 250 ok
    "#]],
    );
    check(
        at(ClientPolicy::Own),
        script,
        &expect![[r#"
        C: RCPT TO:<alice@example.org>
        L: CHKUSER accepted rcpt: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <alice@example.org> : found existing recipient pid=7
        L: qlogenvelope: result=rejected code=550 reason=helo detail=clientgeneric helo=x mailfrom=a@b.example rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
        S: 550 sorry, your address has no name of its own (#5.7.25)
        C: RCPT TO:<bob@example.org>
        L: CHKUSER accepted rcpt: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:113-7.pool.example|remotehostip:203.0.113.7> rcpt <bob@example.org> : found existing recipient pid=7
        L: qlogenvelope: result=rejected code=550 reason=helo detail=clientgeneric helo=x mailfrom=a@b.example rcptto=bob@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
        S: 550 sorry, your address has no name of its own (#5.7.25)
    "#]],
    );
    check_from(
        "203.0.113.8:1",
        at(ClientPolicy::Named),
        script,
        &expect![[r#"
        C: RCPT TO:<alice@example.org>
        L: CHKUSER accepted rcpt: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.8> rcpt <alice@example.org> : found existing recipient pid=7
        L: qlogenvelope: result=rejected code=550 reason=helo detail=clientnoname helo=x mailfrom=a@b.example rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
        S: 550 sorry, your address has no name (#5.7.25)
        C: RCPT TO:<bob@example.org>
        L: CHKUSER accepted rcpt: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.8> rcpt <bob@example.org> : found existing recipient pid=7
        L: qlogenvelope: result=rejected code=550 reason=helo detail=clientnoname helo=x mailfrom=a@b.example rcptto=bob@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
        S: 550 sorry, your address has no name (#5.7.25)
    "#]],
    );
}
