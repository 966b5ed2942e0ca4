//! Mail for elsewhere: from whom, and what is asked before it is taken.

use expect_test::expect;
use jiff::tz::TimeZone;
use smtpd::rules::{Rules, Trace};
use smtpd::session::{Grant, Service};

use super::{CLIENT, OURS, check, check_from, granted, patterns, under};
use crate::world::{World, converse};

#[test]
fn a_domain_elsewhere_must_take_mail_where_that_is_wanted() {
    check_from(
        OURS,
        Rules { recipient_domain: true, sender_domain: true, ..Rules::default() },
        "C: HELO x\nC: MAIL FROM:<a@b.example>\nC: RCPT TO:<x@example.net>\nC: RCPT TO:<x@exmaple.net>\n\
         C: RCPT TO:<x@silent.example>\nC: RCPT TO:<alice@example.org>",
        &expect![[r#"
            C: RCPT TO:<x@example.net>
            L: CHKUSER relaying rcpt: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:198.51.100.7> rcpt <x@example.net> : client allowed to relay pid=7
            L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuserrelay helo=x mailfrom=a@b.example rcptto=x@example.net relay=yes rcpthosts=no size= authuser= authtype= encrypted=
            S: 250 ok
            C: RCPT TO:<x@exmaple.net>
            L: CHKUSER rejected rcpt: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:198.51.100.7> rcpt <x@exmaple.net> : invalid rcpt MX domain pid=7
            L: qlogenvelope: result=rejected code=550 reason=chkuser detail=rcptmxinvalid helo=x mailfrom=a@b.example rcptto=x@exmaple.net relay=yes rcpthosts=no size= authuser= authtype= encrypted=
            S: 550 sorry, can't find a valid MX for rcpt domain (#5.1.2)
            C: RCPT TO:<x@silent.example>
            L: CHKUSER rejected rcpt: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:198.51.100.7> rcpt <x@silent.example> : temporary DNS problem pid=7
            L: qlogenvelope: result=rejected code=451 reason=chkuser detail=rcptmxdnstmpfail helo=x mailfrom=a@b.example rcptto=x@silent.example relay=yes rcpthosts=no size= authuser= authtype= encrypted=
            S: 451 DNS temporary failure (#4.4.3)
            C: RCPT TO:<alice@example.org>
            L: CHKUSER accepted rcpt: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:198.51.100.7> rcpt <alice@example.org> : found existing recipient pid=7
            L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=x mailfrom=a@b.example rcptto=alice@example.org relay=yes rcpthosts=yes size= authuser= authtype= encrypted=
            S: 250 ok
        "#]],
    );
}

#[test]
fn a_program_may_count_what_users_send_elsewhere() {
    check_from(
        OURS,
        Rules { checks_relayed: true, ..Rules::default() },
        "C: HELO x\nC: MAIL FROM:<a@b.example>\nC: RCPT TO:<x@example.net>\nC: RCPT TO:<over@example.net>",
        &expect![[r#"
            C: RCPT TO:<x@example.net>
            L: CHKUSER relaying rcpt: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:198.51.100.7> rcpt <x@example.net> : client allowed to relay pid=7
            L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuserrelay helo=x mailfrom=a@b.example rcptto=x@example.net relay=yes rcpthosts=no size= authuser= authtype= encrypted=
            S: 250 ok
            C: RCPT TO:<over@example.net>
            L: qlogenvelope: result=rejected code=421 reason=rcptcheck detail=overlimit helo=x mailfrom=a@b.example rcptto=over@example.net relay=yes rcpthosts=no size= authuser= authtype= encrypted=
            S: 421 you have exceeded your messaging limits (#4.3.0)
            *: close 256
        "#]],
    );
}

#[test]
fn a_sender_relays_only_where_the_administrator_wants_it() {
    let script = "C: HELO x\nC: MAIL FROM:<a@b.example>\nC: RCPT TO:<x@example.net>";
    let rules = || Rules { relay_senders: patterns(&["a@b.example"]), ..Rules::default() };
    check(
        rules(),
        script,
        &expect![[r#"
        C: RCPT TO:<x@example.net>
        L: CHKUSER relaying rcpt: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <x@example.net> : client allowed to relay pid=7
        L: qlogenvelope: result=accepted code=250 reason=rcptto detail=relaymailfrom helo=x mailfrom=a@b.example rcptto=x@example.net relay=no rcpthosts=no size= authuser= authtype= encrypted=
        S: 250 ok
    "#]],
    );
    // The control file of that name says nothing, unless a rule for the client does.
    let rules = || Rules { granted_relay_senders: patterns(&["a@b.example"]), ..Rules::default() };
    for (relays_by_sender, reply) in [(false, "553"), (true, "250")] {
        let grant = Grant { relays_by_sender, ..Grant::default() };
        let transcript = converse(granted(under(rules()), grant), script);
        assert!(transcript.lines().last().unwrap().starts_with(&format!("S: {reply} ")), "{transcript}");
    }
    check_from(
        CLIENT,
        Rules::default(),
        script,
        &expect![[r#"
        C: RCPT TO:<x@example.net>
        L: CHKUSER rejected relaying: from <a@b.example|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <x@example.net> : client not allowed to relay pid=7
        L: qlogenvelope: result=rejected code=553 reason=chkuser detail=notinrcpthosts helo=x mailfrom=a@b.example rcptto=x@example.net relay=no rcpthosts=no size= authuser= authtype= encrypted=
        S: 553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)
    "#]],
    );
}

#[test]
fn the_received_field_tells_nothing_of_our_users_where_that_is_wanted() {
    let script = "C: HELO laptop\nC: MAIL FROM:<a@b.example>\nC: RCPT TO:<alice@example.org>\nC: DATA\nC: Subject: x\nC: \nC: .";
    let trace = Trace { hides_clients: true, zone: TimeZone::fixed(jiff::tz::offset(-3)) };
    let received = |remote| {
        let rules = Rules { trace: trace.clone(), ..Rules::default() };
        let transcript = converse(World::under(under(rules), Service::Smtp, remote), script);
        transcript.lines().filter(|line| line.starts_with("M: ")).take(2).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(
        received(OURS).lines().next(),
        Some("M: Received: by mx.example.org with SMTP id 77; Sat, 21 Nov 2026 09:00:00 -0300")
    );
    assert_eq!(
        received(CLIENT),
        "M: Received: from laptop (unknown [203.0.113.7])\n\
         M:  by mx.example.org with SMTP id 77; Sat, 21 Nov 2026 09:00:00 -0300"
    );
}
