//! The very lines, so that a change of shape is seen in review. They are a contract with every other reader of the log.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper of a test fails with the test")]

use std::net::IpAddr;

use logline::{
    Auth, AuthOutcome, BadList, Channel, Chkuser, ChkuserOutcome, DeliveryOutcome, Encryption, Endpoint,
    Fingerprint, Foreign, Found, Guard, Mechanism, Phase, PolicyCheck, PolicySaid, Qlog, Queue, Rbl,
    RblResult, RblSource, Rblsmtpd, Reason, Record, Said, SessionId, Side, Slots, Smtpd, SmtpdEvent,
    Tcpserver, Text, Verdict, Word,
};

const PID: SessionId = SessionId(8155);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[track_caller]
fn check(record: Record<'_>, line: &str) {
    assert_eq!(record.to_string(), line);
    assert_eq!(Record::parse(line.as_bytes()), Some(record));
}

/// A line of another writer: it is understood, though we would write it otherwise.
#[track_caller]
fn reads(line: &[u8]) -> Record<'_> {
    Record::parse(line).unwrap_or_else(|| panic!("not understood: {}", String::from_utf8_lossy(line)))
}

/// Nobody's line: it is none of the family, or one that nobody can tell whose it is.
#[track_caller]
fn refuses(line: &[u8]) {
    let read = Record::parse(line);
    assert!(matches!(read, None | Some(Record::Foreign(Foreign::Doubtful))), "{read:?}");
}

fn endpoint(remote: &str) -> Endpoint<'static> {
    Endpoint {
        pid: PID,
        local_host: Text::from("mx.example.org"),
        local_address: ip("192.0.2.25"),
        local_port: 25,
        remote_host: Text::from(""),
        remote_address: ip(remote),
        remote_info: Text::from(""),
        remote_port: 41822,
    }
}

#[test]
fn tcpserver_lines() {
    check(Record::Tcpserver(Tcpserver::Status { open: 1, limit: 200 }), "tcpserver: status: 1/200");
    check(
        Record::Tcpserver(Tcpserver::Connect { pid: PID, address: ip("198.51.100.7") }),
        "tcpserver: pid 8155 from 198.51.100.7",
    );
    check(
        Record::Tcpserver(Tcpserver::Ok(endpoint("198.51.100.7"))),
        "tcpserver: ok 8155 mx.example.org:192.0.2.25:25 :198.51.100.7::41822",
    );
    check(
        Record::Tcpserver(Tcpserver::Deny(endpoint("2001:db8::7"))),
        "tcpserver: deny 8155 mx.example.org:192.0.2.25:25 :2001:db8::7::41822",
    );
    check(Record::Tcpserver(Tcpserver::End { pid: PID, status: 256 }), "tcpserver: end 8155 status 256");
}

#[test]
fn the_third_number_of_patched_builds_is_passed_over() {
    assert_eq!(
        reads(b"tcpserver: status: 1/200/5"),
        Record::Tcpserver(Tcpserver::Status { open: 1, limit: 200 })
    );
}

fn chkuser() -> Chkuser<'static> {
    Chkuser {
        outcome: ChkuserOutcome::RejectedRcpt,
        sender: Text::from("spam@example.net"),
        auth: Text::default(),
        identify: Text::default(),
        helo: Text::from("ylmf-pc"),
        remote_host: Text::from("unknown"),
        address: ip("198.51.100.7"),
        recipient: Text::from("nobody@example.org"),
        pid: None,
    }
}

#[test]
fn chkuser_lines() {
    const LINE: &str = "CHKUSER rejected rcpt: from <spam@example.net|remoteinfo/auth:|chkuser-identify:> remote \
        <helo:ylmf-pc|remotehostname:unknown|remotehostip:198.51.100.7> rcpt <nobody@example.org> : not existing \
        recipient";
    check(Record::Chkuser(chkuser()), LINE);
    check(Record::Chkuser(Chkuser { pid: Some(PID), ..chkuser() }), &format!("{LINE} pid=8155"));
}

#[test]
fn a_forged_address_in_helo_is_escaped() {
    let helo = Text::from("x|remotehostip:203.0.113.66> rcpt <z> : client not allowed to relay\n");
    check(
        Record::Chkuser(Chkuser { helo, pid: Some(PID), ..chkuser() }),
        r"CHKUSER rejected rcpt: from <spam@example.net|remoteinfo/auth:|chkuser-identify:> remote <helo:x\x7cremotehostip\x3a203.0.113.66\x3e\x20rcpt\x20\x3cz\x3e\x20\x3a\x20client\x20not\x20allowed\x20to\x20relay\x0a|remotehostname:unknown|remotehostip:198.51.100.7> rcpt <nobody@example.org> : not existing recipient pid=8155",
    );
}

#[test]
fn a_chkuser_line_with_raw_delimiters_is_refused() {
    refuses(
        b"CHKUSER rejected rcpt: from <a|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:y|\
        remotehostip:203.0.113.66> rcpt <z> : client not allowed to relay|remotehostname:unknown|remotehostip:\
        198.51.100.7> rcpt <nobody@example.org> : not existing recipient",
    );
}

#[test]
fn auth_lines() {
    let failed = Auth {
        pid: PID,
        outcome: AuthOutcome::Failed,
        mechanism: Mechanism::Login,
        user: Text::from("info@example.org"),
        fingerprint: None,
    };
    const LINE: &str = "qmail-smtpd[8155]: auth: auth-failed type=login user=<info@example.org>";
    check(Record::Auth(failed.clone()), LINE);
    check(
        Record::Auth(Auth { fingerprint: Some(Fingerprint(0x0c4f)), ..failed }),
        &format!("{LINE} fingerprint=0c4f"),
    );
    refuses(b"qmail-smtpd[8155]: auth: auth-failed type=login user=<x> user=<y>");
}

#[test]
fn qlog_lines() {
    let qlog = Qlog {
        phase: Phase::Received,
        verdict: Verdict::Accepted,
        code: 250,
        reason: Reason::QueueAccept,
        detail: Text::default(),
        helo: Text::from("mail.example.net"),
        sender: Text::from("a@example.net"),
        recipients: vec![Text::from("info@example.org"), Text::from("bob@example.org")],
        relay: false,
        rcpthosts: None,
        size_bytes: Some(2047),
        user: Text::default(),
        mechanism: None,
        encryption: Some(Encryption::Tls),
        verified: false,
        local_address: ip("192.0.2.25"),
        local_port: 25,
        remote_address: ip("198.51.100.7"),
        remote_port: 41900,
        remote_host: Text::from("mail.example.net"),
        qp: Some(8157),
        pid: PID,
        tls: None,
        message_id: None,
    };
    const LINE: &str = "qlogreceived: result=accepted code=250 reason=queueaccept detail= helo=mail.example.net \
        mailfrom=a@example.net rcptto=info@example.org,bob@example.org relay=no rcpthosts= size=2047 authuser= authtype= \
        encrypted=tls sslverified=no localip=192.0.2.25 localport=25 remoteip=198.51.100.7 remoteport=41900 \
        remotehost=mail.example.net qp=8157 pid=8155";
    check(Record::Qlog(qlog.clone()), LINE);
    let named = Qlog { message_id: Some(Text::from("x1=y@example.net")), ..qlog.clone() };
    check(Record::Qlog(named), &format!(r"{LINE} msgid=x1\x3dy@example.net"));
    assert_eq!(reads(format!("{LINE} later=1 key=").as_bytes()), Record::Qlog(qlog));
    refuses(format!("{LINE} remoteip=203.0.113.66 and more").as_bytes());
}

#[test]
fn smtpd_lines() {
    let lost = Smtpd {
        event: SmtpdEvent::ClosedBeforeQuit,
        sender: None,
        address: ip("203.0.113.66"),
        recipient: None,
        helo: Some(Text::from("unknown")),
        pid: None,
    };
    check(
        Record::Smtpd(lost.clone()),
        "qmail-smtpd: read failed (connection closed by the client before the quit cmd): (null) from 203.0.113.66 to \
        (null) helo unknown",
    );
    let sender = Some(Text::from("a from 203.0.113.66 to b helo c"));
    check(
        Record::Smtpd(Smtpd { event: SmtpdEvent::Timeout, sender, pid: Some(PID), ..lost }),
        r"qmail-smtpd: timeout: a\x20from\x20203.0.113.66\x20to\x20b\x20helo\x20c from 203.0.113.66 to (null) helo unknown pid=8155",
    );
    refuses(
        b"qmail-smtpd: timeout: a from 203.0.113.66 to b helo c from 198.51.100.7 to (null) helo unknown",
    );
}

#[test]
fn queue_lines() {
    let sender = Text::from("a@example.net");
    check(Record::Queue(Queue::New { msg: 7209163 }), "new msg 7209163");
    check(
        Record::Queue(Queue::Info { msg: 7209163, size_bytes: 2314, sender, qp: 8157, uid: 89 }),
        "info msg 7209163: bytes 2314 from <a@example.net> qp 8157 uid 89",
    );
    let recipient = Text::from("example.org-info@example.org");
    check(
        Record::Queue(Queue::Starting { delivery: 11, msg: 7209163, channel: Channel::Local, recipient }),
        "starting delivery 11: msg 7209163 to local example.org-info@example.org",
    );
    let delivery = |message_id: Option<&'static str>, report: &'static str| {
        Record::Queue(Queue::Delivery {
            delivery: 11,
            outcome: DeliveryOutcome::Success,
            message_id: message_id.map(Text::from),
            report: Text::from(report),
        })
    };
    check(delivery(None, "did_1+0+0/"), "delivery 11: success: did_1+0+0/");
    check(
        delivery(Some("x1/a>@example.net"), "did_1+0+0/"),
        r"delivery 11: success: Message-ID:_<x1\x2fa\x3e@example.net>/did_1+0+0/",
    );
    check(
        delivery(None, "Message-ID:_<forged@example.net>/did_1+0+0/"),
        r"delivery 11: success: \x4dessage-ID:_<forged@example.net>/did_1+0+0/",
    );
    let (local, remote) = (Slots { used: 1, limit: 10 }, Slots { used: 0, limit: 20 });
    check(Record::Queue(Queue::Status { local, remote }), "status: local 1/10 remote 0/20");
    check(Record::Queue(Queue::Bounce { msg: 7209163, qp: 8160 }), "bounce msg 7209163 qp 8160");
    check(Record::Queue(Queue::End { msg: 7209163 }), "end msg 7209163");
}

#[test]
fn blocklist_lines() {
    check(
        Record::Rbl(Rbl {
            pid: PID,
            address: ip("198.51.100.7"),
            query: Text::from("7.100.51.198.zen.spamhaus.org"),
            result: RblResult::Delay,
            message: Text::from("https://www.spamhaus.org/query/ip/198.51.100.7"),
            source: RblSource::Query,
            answer: Vec::new(),
        }),
        "qmail-smtpd[8155]: rbl: ip=198.51.100.7 query=7.100.51.198.zen.spamhaus.org result=delay \
        message='https://www.spamhaus.org/query/ip/198.51.100.7'",
    );
    // The list's text may read like the end of the line.
    for (source, answer, end) in [
        (RblSource::Query, vec![], "'"),
        (RblSource::Cache, vec![], "' source=cache"),
        (RblSource::Query, vec![[127, 0, 0, 4].into()], "' answer=127.0.0.4"),
        (
            RblSource::Cache,
            vec![[127, 0, 0, 2].into(), [127, 0, 0, 4].into()],
            "' source=cache answer=127.0.0.2,127.0.0.4",
        ),
    ] {
        let message = Text::from("see' source=known answer=127.0.0.9");
        check(
            Record::Rbl(Rbl {
                pid: PID,
                address: ip("198.51.100.7"),
                query: Text::from("7.100.51.198.zen.spamhaus.org"),
                result: RblResult::Pass,
                message,
                source,
                answer,
            }),
            &format!(
                "qmail-smtpd[8155]: rbl: ip=198.51.100.7 query=7.100.51.198.zen.spamhaus.org result=pass \
                message='see' source=known answer=127.0.0.9{end}"
            ),
        );
    }
    let guard = |found| Record::Guard(Guard { pid: PID, address: ip("198.51.100.7"), found });
    let forbidden = |list, value: &[u8]| guard(Found::Forbidden { list, value: Text::from(value.to_vec()) });
    check(forbidden(BadList::Helo, b"ylmf-pc"), "qmail-smtpd[8155]: badhelo: <ylmf-pc> at 198.51.100.7");
    check(
        forbidden(BadList::MailFrom, b"a> at 203.0.113.66"),
        r"qmail-smtpd[8155]: badmailfrom: <a\x3e\x20at\x20203.0.113.66> at 198.51.100.7",
    );
    check(
        forbidden(BadList::RcptTo, b"x@example.org"),
        "qmail-smtpd[8155]: badrcptto: <x@example.org> at 198.51.100.7",
    );
    check(
        guard(Found::BadRecipients),
        "qmail-smtpd[8155]: badrcptto: excessive rcptto violations hanging up on 198.51.100.7",
    );
    check(
        guard(Found::SpokeEarly),
        "qmail-smtpd[8155]: GREETDELAY from 198.51.100.7: client sent data before greeting",
    );
    check(
        guard(Found::SpokeEarlyIgnored),
        "qmail-smtpd[8155]: GREETDELAY from 198.51.100.7: client sent data before greeting. ignoring",
    );
    check(guard(Found::Word(Word::AuthOnly)), "qmail-smtpd[8155]: watcher: auth-only at 198.51.100.7");
    check(guard(Found::GoneEarly), "qmail-smtpd[8155]: GREETDELAY from 198.51.100.7: client disconnected");
    let policy = |said| Record::Policy(PolicyCheck { pid: PID, said });
    let mail = |is_authenticated| PolicySaid::Mail {
        from: Side::Remote,
        sender: Text::from("a b@example.net"),
        to: Side::Local,
        recipient: Text::from("b@example.org"),
        is_authenticated,
    };
    check(
        policy(mail(false)),
        r"policy_check: remote a\x20b@example.net -> local b@example.org (UNAUTHENTICATED SENDER) pid=8155",
    );
    check(
        policy(mail(true)),
        r"policy_check: remote a\x20b@example.net -> local b@example.org (AUTHENTICATED SENDER) pid=8155",
    );
    check(policy(PolicySaid::Allows), "policy_check: policy allows transmission pid=8155");
    check(policy(PolicySaid::Forbids), "policy_check: policy forbids transmission pid=8155");
    let said = |said| Record::Rblsmtpd(Rblsmtpd { address: ip("198.51.100.7"), pid: PID, said });
    check(
        said(Said::Delay(Text::from("http://example.net/?198.51.100.7"))),
        "rblsmtpd: 198.51.100.7 pid 8155: 451 http://example.net/?198.51.100.7",
    );
    check(
        said(Said::Command(Text::from("MAIL FROM:<a b@example.net>\r"))),
        r"rblsmtpd: 198.51.100.7 pid 8155: MAIL FROM:<a b@example.net>\x0d",
    );
    check(said(Said::Command(Text::from("451 x"))), r"rblsmtpd: 198.51.100.7 pid 8155: \x3451 x");
}
