//! What speaks against a client, told at once or later with all reasons, and what it makes of its karma.

use std::time::Duration;

use expect_test::{Expect, expect};
use smtpd::blocklist::{Action, Blocklist};
use smtpd::karma::{Deed, Points};
use smtpd::rules::{BadLists, HeloPolicy, KarmaRefuses, Naughty, Rules};
use smtpd::session::{Grant, Policy, Service};

use super::{CLIENT, granted, patterns, under};
use crate::world::{World, converse, policy};

/// Rules that this client breaks by its name, its sender, and by coming at all.
fn strict(naughty: Naughty) -> Rules {
    Rules {
        naughty,
        greet_delay: Duration::from_secs(5),
        helo: HeloPolicy::Lenient,
        bad: BadLists { sender: patterns(&["@spam.example"]), ..BadLists::default() },
        ..Rules::default()
    }
}

#[track_caller]
fn check(policy: Policy, script: &str, expected: &Expect) {
    let grant = Grant { is_naughty: true, ..Grant::default() };
    let transcript = converse(granted(policy, grant), script);
    let shown = transcript.lines().filter(|line| !line.starts_with("L: CHKUSER"));
    let cut = |line: &str| line.split(" sslverified=").next().unwrap_or(line).to_owned() + "\n";
    expected.assert_eq(&shown.map(cut).collect::<String>());
}

#[test]
fn all_reasons_are_told_at_the_recipient() {
    check(
        under(strict(Naughty::Rcpt)),
        "C: HELO localhost\nC: MAIL FROM:<a@spam.example>\nC: RCPT TO:<alice@example.org>",
        &expect![[r#"
            C: HELO localhost
            L: qmail-smtpd[7]: GREETDELAY from 203.0.113.7: client sent data before greeting
            S: 220 mx.example.org ESMTP
            S: 250 mx.example.org
            C: MAIL FROM:<a@spam.example>
            S: 250 ok
            C: RCPT TO:<alice@example.org>
            L: qmail-smtpd[7]: badmailfrom: <a@spam.example> at 203.0.113.7
            L: qlogenvelope: result=rejected code=554 reason=pregreet detail=pregreet+karma+helo:localhost+qregexbmf:@spam.example helo=localhost mailfrom=a@spam.example rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 554 SMTP protocol violation; sorry, your address has behaved badly and has to wait (#4.7.1); sorry, you are not localhost (#5.7.1); sorry, your envelope sender has been denied (#5.7.1)
        "#]],
    );
}

#[test]
fn or_at_data_and_nobody_is_asked_once_there_is_a_reason() {
    let script = "wait\nC: HELO x\nC: MAIL FROM:<a@b.example>\nC: RCPT TO:<nobody@example.org>\nC: RCPT TO:<alice@example.org>\n\
                  C: RCPT TO:<bob@example.org>\nC: DATA\nC: QUIT";
    let list = |zone: &str| Blocklist::new(zone, Action::Delay, None);
    let policy = |rules| Policy { rules, blocklists: vec![list("listed.example")], ..policy() };
    check(
        policy(strict(Naughty::Data)),
        script,
        &expect![[r#"
        wait
        S: 220 mx.example.org ESMTP
        C: HELO x
        S: 250 mx.example.org
        C: MAIL FROM:<a@b.example>
        S: 250 ok
        C: RCPT TO:<nobody@example.org>
        L: qlogenvelope: result=rejected code=550 reason=chkuser detail=nomailbox helo=x mailfrom=a@b.example rcptto=nobody@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
        S: 550 sorry, no mailbox here by that name. (#5.1.1)
        C: RCPT TO:<alice@example.org>
        L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=x mailfrom=a@b.example rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
        S: 250 ok
        C: RCPT TO:<bob@example.org>
        L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=x mailfrom=a@b.example rcptto=bob@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
        S: 250 ok
        C: DATA
        L: qlogenvelope: result=rejected code=451 reason=karma detail= helo=x mailfrom=a@b.example rcptto= relay=no rcpthosts= size= authuser= authtype= encrypted=
        S: 451 sorry, your address has behaved badly and has to wait (#4.7.1)
        C: QUIT
        S: 221 mx.example.org
        *: close 0
    "#]],
    );
    // Of whom nothing bad is known before, the lists are asked, and what they say is a reason.
    let transcript = converse(granted(policy(strict(Naughty::Data)), Grant::default()), script);
    for told in [
        "L: rblsmtpd: 203.0.113.7 pid 7: 451 see? https://listed.example/\n",
        " result=rejected code=451 reason=rbldelay detail=listed.example helo=x mailfrom=a@b.example rcptto= ",
        "S: 451 see? https://listed.example/\nC: QUIT\n",
    ] {
        assert!(transcript.contains(told), "{told} in {transcript}");
    }
    assert_eq!(transcript.matches(" result=delay ").count(), 1, "{transcript}");
}

#[test]
fn a_chunk_is_read_to_its_end_before_it_is_refused() {
    check(
        under(strict(Naughty::Data)),
        "wait\nC: HELO x\nC: MAIL FROM:<a@b.example>\nC: RCPT TO:<alice@example.org>\nC: BDAT 6 LAST\nC: QUIT\nC: NOOP",
        &expect![[r#"
            wait
            S: 220 mx.example.org ESMTP
            C: HELO x
            S: 250 mx.example.org
            C: MAIL FROM:<a@b.example>
            S: 250 ok
            C: RCPT TO:<alice@example.org>
            L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=x mailfrom=a@b.example rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=
            S: 250 ok
            C: BDAT 6 LAST
            C: QUIT
            L: qlogenvelope: result=rejected code=451 reason=karma detail= helo=x mailfrom=a@b.example rcptto= relay=no rcpthosts= size= authuser= authtype= encrypted=
            S: 451 sorry, your address has behaved badly and has to wait (#4.7.1)
            C: NOOP
            S: 250 ok
        "#]],
    );
}

#[test]
fn a_login_takes_all_reasons_back() {
    let mut world = granted(under(strict(Naughty::Rcpt)), Grant { is_naughty: true, ..Grant::default() });
    let script = "C: EHLO localhost\nC: STARTTLS\nC: EHLO localhost\n\
                  C: AUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldA==\nC: MAIL FROM:<alice@example.org>\n\
                  C: RCPT TO:<x@example.net>";
    world.transcript.clear();
    let transcript = converse(world, script);
    assert!(transcript.contains("GREETDELAY from 203.0.113.7: client sent data before greeting\n"));
    assert!(transcript.ends_with("S: 250 2.1.5 ok\n"), "{transcript}");
}

#[test]
fn a_client_with_a_bad_karma_may_be_refused_its_greeting() {
    let rules = Rules { karma_refuses: KarmaRefuses::Connection, ..Rules::default() };
    check(
        under(rules),
        "C: HELO x",
        &expect![[r#"
        L: qlogenvelope: result=rejected code=421 reason=karma detail=connect helo=unknown mailfrom= rcptto= relay=no rcpthosts= size= authuser= authtype= encrypted=
        S: 421 sorry, your address has behaved badly and has to wait (#4.7.1)
        *: close 256
        C: HELO x
    "#]],
    );
}

/// What a session is worth.
#[track_caller]
fn check_karma(rules: Rules, script: &str, points: i32) {
    let mut world = World::under(under(rules), Service::Smtp, CLIENT);
    for line in script.lines() {
        world.send(line);
    }
    assert_eq!(world.session.karma(), Some(points), "{script}");
}

#[test]
fn each_deed_has_its_points() {
    let message = "HELO x\nMAIL FROM:<a@b.example>\nRCPT TO:<alice@example.org>\nDATA\nSubject: x\n\nx\n.";
    let points =
        |changed: &[(Deed, i32)]| Rules { points: Points::new(changed.to_vec()), ..Rules::default() };
    check_karma(Rules::default(), message, 1);
    check_karma(points(&[(Deed::Message, 5)]), message, 5);
    let relay =
        "HELO x\nMAIL FROM:<a@b.example>\nRCPT TO:<x@elsewhere.example>\nRCPT TO:<nobody@example.org>";
    check_karma(Rules::default(), relay, -3);
    check_karma(points(&[(Deed::Relay, -10), (Deed::Recipient, 0)]), relay, -10);
    // What is in order makes up for a slip; a sender of mail is only who sent some.
    let behaved = Rules {
        spf: smtpd::rules::SpfBehavior::new(1).unwrap(),
        helo: HeloPolicy::Strict,
        ..Rules::default()
    };
    let named = "HELO mail.example.net\nMAIL FROM:<a@b.example>\nRCPT TO:<alice@example.org>";
    check_karma(behaved.clone(), named, 0);
    check_karma(behaved, &format!("{named}\nRCPT TO:<nobody@example.org>\nFOO\nBAR"), -1);
}
