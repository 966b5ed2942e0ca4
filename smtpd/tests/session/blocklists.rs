//! Clients on DNS blocklists.

use std::time::Duration;

use expect_test::{Expect, expect};
use smtpd::blocklist::{Action, Blocklist, Limit, Terms};
use smtpd::session::{Policy, Service};

use crate::world::{World, converse, policy_with};

#[track_caller]
fn check_listed(zones: &[(&str, Action)], script: &str, expected: &Expect) {
    let lists = zones.iter().map(|(zone, action)| Blocklist::new(zone, *action, None)).collect();
    check_policy(policy_with(lists), script, expected);
}

#[track_caller]
fn check_policy(policy: Policy, script: &str, expected: &Expect) {
    let transcript = converse(World::under(policy, Service::Smtps, "203.0.113.7:40000"), script);
    let shown = transcript.lines().filter(|line| !line.starts_with("L: CHKUSER") && !line.contains("250-"));
    expected.assert_eq(&shown.map(|line| format!("{line}\n")).collect::<String>());
}

#[test]
fn a_listed_client_is_put_off_and_all_it_says_is_written_down() {
    check_listed(
        &[
            ("clear.example", Action::Reject),
            ("listed.example", Action::Delay),
            ("never.example", Action::Reject),
        ],
        r"
        C: EHLO x
        C: AUTH PLAIN AGFsaWNlAGd1ZXNz
        C: AUTH CRAM-MD5
        C: c2VjcmV0
        C: MAIL FROM:<a@b>
        C: RCPT TO:<nobody@example.org>
        C: RCPT TO:<alice@example.org>
        C: RCPT TO:<bob@example.org>
        C: 451 forged\x0a
        C: QUIT
        ",
        &expect![[r#"
            *: handshake
            S: 220 mx.example.org ESMTP
            C: EHLO x
            S: 250 SIZE 1000
            C: AUTH PLAIN AGFsaWNlAGd1ZXNz
            L: qmail-smtpd[7]: auth: auth-failed type=plain user=<alice> fingerprint=beef
            L: qlogenvelope: result=rejected code=535 reason=authfailed detail= helo=x mailfrom= rcptto= relay=no rcpthosts= size= authuser=alice authtype=plain encrypted=ssl sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 535 5.7.8 authentication failed (#5.7.1)
            C: AUTH CRAM-MD5
            L: qlogenvelope: result=rejected code=504 reason=authinvalid detail= helo=x mailfrom= rcptto= relay=no rcpthosts= size= authuser= authtype= encrypted=ssl sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 504 5.5.4 auth type unimplemented (#5.5.1)
            C: c2VjcmV0
            L: qlogenvelope: result=rejected code=500 reason=unrecognized detail= helo=x mailfrom= rcptto= relay=no rcpthosts= size= authuser= authtype= encrypted=ssl sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 500 5.5.1 unrecognized command (#5.5.1)
            C: MAIL FROM:<a@b>
            S: 250 2.1.0 ok
            C: RCPT TO:<nobody@example.org>
            L: qlogenvelope: result=rejected code=550 reason=chkuser detail=nomailbox helo=x mailfrom=a@b rcptto=nobody@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=ssl sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            *: pause 1s
            S: 550 5.1.1 sorry, no mailbox here by that name. (#5.1.1)
            C: RCPT TO:<alice@example.org>
            L: qmail-smtpd[7]: rbl: ip=203.0.113.7 query=7.113.0.203.clear.example result=pass message=''
            L: qmail-smtpd[7]: rbl: ip=203.0.113.7 query=7.113.0.203.listed.example result=delay message='see\xff https://listed.example/' answer=127.0.0.2
            L: rblsmtpd: 203.0.113.7 pid 7: 451 see? https://listed.example/
            L: rblsmtpd: 203.0.113.7 pid 7: EHLO x
            L: rblsmtpd: 203.0.113.7 pid 7: AUTH PLAIN
            L: rblsmtpd: 203.0.113.7 pid 7: AUTH CRAM-MD5
            L: rblsmtpd: 203.0.113.7 pid 7: (a line after AUTH, not shown)
            L: rblsmtpd: 203.0.113.7 pid 7: MAIL FROM:<a@b>
            L: rblsmtpd: 203.0.113.7 pid 7: RCPT TO:<nobody@example.org>
            L: rblsmtpd: 203.0.113.7 pid 7: RCPT TO:<alice@example.org>
            L: qlogenvelope: result=rejected code=451 reason=rbldelay detail=listed.example helo=x mailfrom=a@b rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=ssl sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 451 4.7.1 see? https://listed.example/
            C: RCPT TO:<bob@example.org>
            L: rblsmtpd: 203.0.113.7 pid 7: RCPT TO:<bob@example.org>
            L: qlogenvelope: result=rejected code=451 reason=rbldelay detail=listed.example helo=x mailfrom=a@b rcptto=bob@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=ssl sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 451 4.7.1 see? https://listed.example/
            C: 451 forged\x0a
            L: rblsmtpd: 203.0.113.7 pid 7: \x3451 forged\x5c0a
            L: qlogenvelope: result=rejected code=500 reason=unrecognized detail= helo=x mailfrom=a@b rcptto= relay=no rcpthosts= size= authuser= authtype= encrypted=ssl sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            *: pause 1s
            S: 500 5.5.1 unrecognized command (#5.5.1)
            C: QUIT
            L: rblsmtpd: 203.0.113.7 pid 7: QUIT
            S: 221 2.0.0 mx.example.org
            *: close 0
        "#]],
    );
}

#[test]
fn lists_that_err_list_nobody_and_a_login_is_not_asked_for() {
    check_listed(
        &[("broken.example", Action::Reject), ("silent.example", Action::Reject)],
        "C: HELO x\nC: MAIL FROM:<>\nC: RCPT TO:<alice@example.org>\nC: RCPT TO:<bob@example.org>",
        &expect![[r#"
            *: handshake
            S: 220 mx.example.org ESMTP
            C: HELO x
            S: 250 mx.example.org
            C: MAIL FROM:<>
            S: 250 ok
            C: RCPT TO:<alice@example.org>
            L: qmail-smtpd[7]: rbl: ip=203.0.113.7 query=7.113.0.203.broken.example result=dnserr message='127.255.255.254'
            L: qmail-smtpd[7]: rbl: ip=203.0.113.7 query=7.113.0.203.silent.example result=dnserr message='no answer'
            L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=x mailfrom= rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=ssl sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 250 ok
            C: RCPT TO:<bob@example.org>
            L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=x mailfrom= rcptto=bob@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=ssl sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 250 ok
        "#]],
    );
    check_listed(
        &[("listed.example", Action::Reject)],
        r"
        C: HELO x
        C: MAIL FROM:<>
        C: RCPT TO:<alice@example.org>
        C: RSET
        C: AUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldA==
        C: MAIL FROM:<>
        C: RCPT TO:<alice@example.org>
        ",
        &expect![[r#"
            *: handshake
            S: 220 mx.example.org ESMTP
            C: HELO x
            S: 250 mx.example.org
            C: MAIL FROM:<>
            S: 250 ok
            C: RCPT TO:<alice@example.org>
            L: qmail-smtpd[7]: rbl: ip=203.0.113.7 query=7.113.0.203.listed.example result=reject message='see\xff https://listed.example/' answer=127.0.0.2
            L: rblsmtpd: 203.0.113.7 pid 7: 553 see? https://listed.example/
            L: rblsmtpd: 203.0.113.7 pid 7: HELO x
            L: rblsmtpd: 203.0.113.7 pid 7: MAIL FROM:<>
            L: rblsmtpd: 203.0.113.7 pid 7: RCPT TO:<alice@example.org>
            L: qlogenvelope: result=rejected code=553 reason=rblreject detail=listed.example helo=x mailfrom= rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=ssl sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 553 see? https://listed.example/
            C: RSET
            L: rblsmtpd: 203.0.113.7 pid 7: RSET
            S: 250 flushed
            C: AUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldA==
            L: rblsmtpd: 203.0.113.7 pid 7: AUTH PLAIN
            L: qmail-smtpd[7]: auth: auth-success type=plain user=<alice@example.org>
            L: qlogenvelope: result=accepted code=235 reason=authaccepted detail= helo=x mailfrom= rcptto= relay=yes rcpthosts= size= authuser=alice@example.org authtype=plain encrypted=ssl sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 235 ok, go ahead (#2.0.0)
            C: MAIL FROM:<>
            L: rblsmtpd: 203.0.113.7 pid 7: MAIL FROM:<>
            S: 250 ok
            C: RCPT TO:<alice@example.org>
            L: rblsmtpd: 203.0.113.7 pid 7: RCPT TO:<alice@example.org>
            L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=x mailfrom= rcptto=alice@example.org relay=yes rcpthosts=yes size= authuser=alice@example.org authtype=plain encrypted=ssl sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 250 ok
        "#]],
    );
}

#[test]
fn a_surveyed_client_is_looked_up_in_every_list_and_the_first_hit_decides() {
    let lists = ["clear.example", "listed.example", "broken.example"];
    let lists = lists.map(|zone| Blocklist::new(zone, Action::Reject, None)).to_vec();
    check_policy(
        Policy { survey_every: 7, ..policy_with(lists) },
        "C: HELO x\nC: MAIL FROM:<>\nC: RCPT TO:<alice@example.org>",
        &expect![[r#"
            *: handshake
            S: 220 mx.example.org ESMTP
            C: HELO x
            S: 250 mx.example.org
            C: MAIL FROM:<>
            S: 250 ok
            C: RCPT TO:<alice@example.org>
            L: qmail-smtpd[7]: rbl: ip=203.0.113.7 query=7.113.0.203.clear.example result=pass message=''
            L: qmail-smtpd[7]: rbl: ip=203.0.113.7 query=7.113.0.203.listed.example result=reject message='see\xff https://listed.example/' answer=127.0.0.2
            L: rblsmtpd: 203.0.113.7 pid 7: 553 see? https://listed.example/
            L: rblsmtpd: 203.0.113.7 pid 7: HELO x
            L: rblsmtpd: 203.0.113.7 pid 7: MAIL FROM:<>
            L: rblsmtpd: 203.0.113.7 pid 7: RCPT TO:<alice@example.org>
            L: qmail-smtpd[7]: rbl: ip=203.0.113.7 query=7.113.0.203.broken.example result=dnserr message='127.255.255.254'
            L: qlogenvelope: result=rejected code=553 reason=rblreject detail=listed.example helo=x mailfrom= rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=ssl sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 553 see? https://listed.example/
        "#]],
    );
}

#[test]
fn a_client_that_the_budget_has_no_query_for_is_not_listed() {
    let limit = Limit { queries: 10, period: Duration::from_secs(10), reset: Duration::ZERO };
    let list = |zone, limit| {
        Blocklist::new(zone, Action::Reject, None).with_terms(Terms { limit, ..Terms::default() })
    };
    let spent = Limit { queries: 0, ..limit };
    check_policy(
        policy_with(vec![list("listed.example", Some(spent)), list("clear.example", Some(limit))]),
        "C: HELO x\nC: MAIL FROM:<>\nC: RCPT TO:<alice@example.org>",
        &expect![[r#"
            *: handshake
            S: 220 mx.example.org ESMTP
            C: HELO x
            S: 250 mx.example.org
            C: MAIL FROM:<>
            S: 250 ok
            C: RCPT TO:<alice@example.org>
            L: qmail-smtpd[7]: rbl: ip=203.0.113.7 query=7.113.0.203.listed.example result=quota message=''
            L: qmail-smtpd[7]: rbl: ip=203.0.113.7 query=7.113.0.203.clear.example result=pass message=''
            L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=x mailfrom= rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted=ssl sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 250 ok
        "#]],
    );
}
