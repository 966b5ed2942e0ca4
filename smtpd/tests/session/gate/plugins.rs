//! The administrator's own programs, as qmail-spp has them.

use expect_test::{Expect, expect};
use smtpd::rules::{PluginProgram, Plugins, Rules, Stage};
use smtpd::session::{Grant, Policy, Service};

use super::{CLIENT, granted, under};
use crate::world::{World, converse};

/// A program that says these lines at that stage.
fn says(stage: Stage, lines: &[&str]) -> (Stage, PluginProgram) {
    let arguments = lines.iter().map(|&line| line.to_owned()).collect();
    (stage, PluginProgram { path: "plugin".into(), arguments })
}

fn with(programs: Vec<(Stage, PluginProgram)>) -> Policy {
    under(Rules { plugins: Plugins::new(programs, false), ..Rules::default() })
}

#[track_caller]
fn check(programs: Vec<(Stage, PluginProgram)>, script: &str, expected: &Expect) {
    let transcript = converse(World::under(with(programs), Service::Smtp, CLIENT), script);
    let shown = transcript.lines().filter(|line| !line.starts_with("L: CHKUSER"));
    let cut = |line: &str| line.split(" relay=no ").next().unwrap_or(line).to_owned() + "\n";
    expected.assert_eq(&shown.map(cut).collect::<String>());
}

const MESSAGE: &str =
    "C: HELO x\nC: MAIL FROM:<a@b.example>\nC: RCPT TO:<alice@example.org>\nC: DATA\nC: S: x\nC: \nC: .";

#[test]
fn programs_are_asked_at_every_step_and_may_add_to_the_header() {
    check(
        vec![
            says(Stage::Connection, &["HX-First: 1"]),
            says(Stage::Helo, &["Sseen=yes"]),
            says(Stage::Mail, &["Cother@b.example"]),
            says(Stage::Rcpt, &["Cbob@example.org", "HX-Was: alice"]),
            says(Stage::Data, &["N"]),
            says(Stage::Data, &["E550 never asked"]),
        ],
        MESSAGE,
        &expect![[r#"
            *: asks at Connection
            S: 220 mx.example.org ESMTP
            C: HELO x
            *: asks at Helo SMTPHELOHOST=x
            S: 250 mx.example.org
            C: MAIL FROM:<a@b.example>
            *: asks at Mail SMTPHELOHOST=x SMTPMAILFROM=a@b.example SMTPRCPTCOUNT=0 seen=yes
            S: 250 ok
            C: RCPT TO:<alice@example.org>
            *: asks at Rcpt SMTPHELOHOST=x SMTPMAILFROM=other@b.example SMTPRCPTCOUNT=0 SMTPRCPTTO=alice@example.org SMTPRCPTHOSTSOK=1 seen=yes SMTPRCPTCOUNTALL=1
            L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=x mailfrom=other@b.example rcptto=bob@example.org
            S: 250 ok
            C: DATA
            *: asks at Data SMTPHELOHOST=x SMTPMAILFROM=other@b.example SMTPRCPTCOUNT=1 seen=yes
            S: 354 go ahead
            C: S: x
            C: 
            C: .
            M: Received: from x (unknown [203.0.113.7])
            M:  by mx.example.org with SMTP id 77; Sat, 21 Nov 2026 12:00:00 +0000
            M: X-First: 1
            M: X-Was: alice
            M: S: x
            M: 
            L: qlogreceived: result=accepted code=250 reason=queueaccept detail= helo=x mailfrom=other@b.example rcptto=bob@example.org
            S: 250 ok 1795262400 qp 77
        "#]],
    );
}

#[test]
fn a_program_refuses_in_its_own_words_or_ours() {
    check(
        vec![
            says(Stage::Helo, &["E450 come again"]),
            says(Stage::Mail, &["E550 not you"]),
            says(Stage::Rcpt, &["Enonsense"]),
        ],
        "C: HELO x\nC: MAIL FROM:<a@b.example>\nC: RCPT TO:<alice@example.org>",
        &expect![[r#"
            S: 220 mx.example.org ESMTP
            C: HELO x
            *: asks at Helo SMTPHELOHOST=x
            L: qlogenvelope: result=rejected code=450 reason=spp detail=later helo=unknown mailfrom= rcptto=
            S: 450 come again
            C: MAIL FROM:<a@b.example>
            *: asks at Mail SMTPMAILFROM=a@b.example SMTPRCPTCOUNT=0
            L: qlogenvelope: result=rejected code=550 reason=spp detail= helo=unknown mailfrom=a@b.example rcptto=
            S: 550 not you
            C: RCPT TO:<alice@example.org>
            L: qlogenvelope: result=rejected code=503 reason=sequence detail=mail helo=unknown mailfrom= rcptto=alice@example.org
            S: 503 MAIL first (#5.5.1)
        "#]],
    );
    check(
        vec![says(Stage::Rcpt, &["R554 go away"])],
        "C: HELO x\nC: MAIL FROM:<a@b.example>\nC: RCPT TO:<alice@example.org>",
        &expect![[r#"
            S: 220 mx.example.org ESMTP
            C: HELO x
            S: 250 mx.example.org
            C: MAIL FROM:<a@b.example>
            S: 250 ok
            C: RCPT TO:<alice@example.org>
            *: asks at Rcpt SMTPHELOHOST=x SMTPMAILFROM=a@b.example SMTPRCPTCOUNT=0 SMTPRCPTTO=alice@example.org SMTPRCPTHOSTSOK=1 SMTPRCPTCOUNTALL=1
            L: qlogenvelope: result=rejected code=554 reason=spp detail= helo=x mailfrom=a@b.example rcptto=alice@example.org
            S: 554 go away
            *: close 256
        "#]],
    );
    check(
        vec![says(Stage::Connection, &["D"])],
        "C: HELO x",
        &expect![[r#"
        *: asks at Connection
        L: qlogenvelope: result=rejected code=550 reason=spp detail=drop helo=unknown mailfrom= rcptto=
        *: close 256
        C: HELO x
    "#]],
    );
    check(
        vec![says(Stage::Connection, &["E421 not now"])],
        "C: HELO x",
        &expect![[r#"
        *: asks at Connection
        L: qlogenvelope: result=rejected code=421 reason=spp detail=later helo=unknown mailfrom= rcptto=
        S: 421 not now
        *: close 256
        C: HELO x
    "#]],
    );
}

#[test]
fn a_program_may_refuse_later_and_a_chunk_is_read_to_its_end() {
    check(
        vec![says(Stage::Helo, &["LD554 no mail from you"])],
        "C: HELO x\nC: MAIL FROM:<a@b.example>\nC: RCPT TO:<alice@example.org>\nC: DATA\nC: RSET\n\
         C: MAIL FROM:<a@b.example>\nC: RCPT TO:<alice@example.org>\nC: BDAT 6 LAST\nC: QUIT\nC: NOOP",
        &expect![[r#"
            S: 220 mx.example.org ESMTP
            C: HELO x
            *: asks at Helo SMTPHELOHOST=x
            S: 250 mx.example.org
            C: MAIL FROM:<a@b.example>
            S: 250 ok
            C: RCPT TO:<alice@example.org>
            L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=x mailfrom=a@b.example rcptto=alice@example.org
            S: 250 ok
            C: DATA
            L: qlogenvelope: result=rejected code=554 reason=spp detail= helo=x mailfrom=a@b.example rcptto=
            S: 554 no mail from you
            C: RSET
            S: 250 flushed
            C: MAIL FROM:<a@b.example>
            S: 250 ok
            C: RCPT TO:<alice@example.org>
            L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=x mailfrom=a@b.example rcptto=alice@example.org
            S: 250 ok
            C: BDAT 6 LAST
            C: QUIT
            L: qlogenvelope: result=rejected code=554 reason=spp detail= helo=x mailfrom= rcptto=
            S: 554 no mail from you
            C: NOOP
            S: 250 ok
        "#]],
    );
}

#[test]
fn a_program_may_take_a_recipient_without_more_checks_or_be_asked_no_more() {
    check(
        vec![says(Stage::Rcpt, &["O"])],
        "C: HELO x\nC: MAIL FROM:<a@b.example>\nC: RCPT TO:<nobody@example.org>",
        &expect![[r#"
            S: 220 mx.example.org ESMTP
            C: HELO x
            S: 250 mx.example.org
            C: MAIL FROM:<a@b.example>
            S: 250 ok
            C: RCPT TO:<nobody@example.org>
            *: asks at Rcpt SMTPHELOHOST=x SMTPMAILFROM=a@b.example SMTPRCPTCOUNT=0 SMTPRCPTTO=nobody@example.org SMTPRCPTHOSTSOK=1 SMTPRCPTCOUNTALL=1
            L: qlogenvelope: result=accepted code=250 reason=spp detail= helo=x mailfrom=a@b.example rcptto=nobody@example.org
            S: 250 ok
        "#]],
    );
    check(
        vec![says(Stage::Helo, &["A"]), says(Stage::Mail, &["E550 never asked"])],
        "C: HELO x\nC: MAIL FROM:<a@b.example>\nC: RCPT TO:<x@elsewhere.example>",
        &expect![[r#"
            S: 220 mx.example.org ESMTP
            C: HELO x
            *: asks at Helo SMTPHELOHOST=x
            S: 250 mx.example.org
            C: MAIL FROM:<a@b.example>
            S: 250 ok
            C: RCPT TO:<x@elsewhere.example>
            L: qlogenvelope: result=rejected code=553 reason=chkuser detail=notinrcpthosts helo=x mailfrom=a@b.example rcptto=x@elsewhere.example
            S: 553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)
        "#]],
    );
}

#[test]
fn a_right_password_may_not_be_enough() {
    let world = World::under(with(vec![says(Stage::Auth, &["E535 not at night"])]), Service::Smtps, CLIENT);
    let script = "C: EHLO x\nC: AUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldA==\nC: MAIL FROM:<a@b.example>\n\
                  C: RCPT TO:<x@elsewhere.example>";
    let transcript = converse(world, script);
    assert!(
        transcript
            .contains("*: asks at Auth SMTPHELOHOST=x SMTPAUTHUSER=alice@example.org SMTPAUTHMETHOD=plain\n")
    );
    assert!(transcript.contains("S: 535 5.7.1 not at night\n"), "{transcript}");
    assert!(
        transcript.contains(" reason=spp detail= ") && !transcript.contains("auth-success"),
        "{transcript}"
    );
    assert!(transcript.lines().last().unwrap().starts_with("S: 553 "), "{transcript}");
}

#[test]
fn the_programs_of_the_control_file_are_asked_where_a_rule_says_so() {
    let plugins = || Plugins::new(vec![says(Stage::Helo, &["E550 no"])], true);
    for (enables_plugins, reply) in [(false, "S: 250 "), (true, "S: 550 ")] {
        let grant = Grant { enables_plugins, ..Grant::default() };
        let policy = under(Rules { plugins: plugins(), ..Rules::default() });
        let transcript = converse(granted(policy, grant), "C: HELO x");
        assert!(transcript.lines().last().unwrap().starts_with(reply), "{transcript}");
    }
}
