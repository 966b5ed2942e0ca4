//! Sessions as transcripts: `C:` what came in, `S:` what was replied, `L:` what was logged, `*:` what else was done.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails with the test")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};
use logline::{Fingerprint, Record, SessionId, Timestamp};
use proptest::prelude::*;
use smtpd::blocklist::{Action, Blocklist, ZoneAnswer};
use smtpd::session::{
    Ask, Gone, Input, Limits, OpenAnswer, Output, PasswordAnswer, Peer, Policy, RecipientAnswer, Service,
    Session, StoreAnswer,
};

/// 2026-11-21 12:00:00 UTC.
const NOON: Timestamp = Timestamp::from_seconds(1_795_262_400);

/// Answers a session as a server with the users alice and bob at example.org would.
struct World {
    session: Session,
    now: Timestamp,
    /// What the session did, a line each.
    transcript: Vec<String>,
    message: Vec<u8>,
    open: bool,
}

fn policy() -> Policy {
    policy_with(Vec::new())
}

fn policy_with(blocklists: Vec<Blocklist>) -> Policy {
    Policy {
        blocklists,
        hostname: "mx.example.org".into(),
        domains: ["example.org".to_owned()].into(),
        default_domain: "example.org".into(),
        relay: vec!["198.51.100.0/24".parse().unwrap()],
        limits: Limits { message_bytes_max: 1000, ..Limits::default() },
    }
}

fn peer(service: Service, remote: &str) -> Peer {
    let local: SocketAddr = "192.0.2.25:25".parse().unwrap();
    Peer { session: SessionId(7), service, tls_available: true, local, remote: remote.parse().unwrap() }
}

impl World {
    fn new(service: Service, remote: &str) -> Self {
        World::under(policy(), service, remote)
    }

    fn under(policy: Policy, service: Service, remote: &str) -> Self {
        let session = Session::new(Arc::new(policy), peer(service, remote), NOON);
        let mut world = World { session, now: NOON, transcript: Vec::new(), message: Vec::new(), open: true };
        world.feed(Input::Connected);
        world
    }

    fn feed(&mut self, input: Input<'_>) {
        let mut out = Vec::new();
        self.session.handle(self.now, input, &mut out);
        if let Some(answer) = self.carry_out(out) {
            self.feed(answer);
        }
    }

    /// Does what the session wants; gives the answer that the session waits for.
    fn carry_out(&mut self, out: Vec<Output>) -> Option<Input<'static>> {
        assert!(self.open || out.is_empty(), "a closed session does nothing");
        let mut answer = None;
        for output in out {
            assert!(answer.is_none() && self.open, "nothing follows an ask, a handshake or the close");
            match output {
                Output::Reply(reply) => {
                    let reply = String::from_utf8(reply).unwrap();
                    assert!(reply.ends_with("\r\n"));
                    self.transcript.extend(reply.lines().map(|line| format!("S: {line}")));
                }
                Output::Fact(record) => self.note(&record),
                Output::Ask(ask) => answer = Some(self.answer(ask)),
                Output::Body(bytes) => self.message.extend(bytes),
                Output::Discard => {
                    self.message.clear();
                    self.transcript.push("*: discard".into());
                }
                Output::Pause(pause) => self.transcript.push(format!("*: pause {}s", pause.as_secs())),
                Output::StartTls => {
                    self.transcript.push("*: handshake".into());
                    answer = Some(Input::TlsDone);
                }
                Output::Close(end) => {
                    self.transcript.push(format!("*: close {}", end.status()));
                    self.open = false;
                }
            }
        }
        answer
    }

    fn answer(&mut self, ask: Ask) -> Input<'static> {
        match ask {
            Ask::Password { user, password } => {
                let right = user == b"alice@example.org" && password.bytes() == b"secret";
                Input::Password(match user.as_slice() {
                    b"down@example.org" => PasswordAnswer::Unavailable,
                    _ if right => PasswordAnswer::Right,
                    _ => PasswordAnswer::Wrong(Fingerprint(0xbeef)),
                })
            }
            Ask::Recipient(mailbox) => Input::Recipient(match mailbox.local() {
                "alice" | "bob" | "postmaster" => RecipientAnswer::Known,
                "down" => RecipientAnswer::Unavailable,
                _ => RecipientAnswer::Unknown,
            }),
            Ask::Blocklist { query } => Input::Blocklist(match query.as_str() {
                "7.113.0.203.listed.example" => ZoneAnswer::Addresses {
                    codes: vec![[127, 0, 0, 2].into()],
                    text: Some(b"see\xff https://listed.example/".to_vec()),
                },
                "7.113.0.203.broken.example" => ZoneAnswer::Addresses {
                    codes: vec![[127, 255, 255, 254].into()],
                    text: Some(b"go away".to_vec()),
                },
                "7.113.0.203.silent.example" => ZoneAnswer::Failed,
                _ => ZoneAnswer::NotListed,
            }),
            Ask::Open(envelope) if envelope.sender.as_ref().is_some_and(|s| s.local() == "closed") => {
                Input::Opened(OpenAnswer::Closed)
            }
            Ask::Open(_) => Input::Opened(OpenAnswer::Open { qp: 77 }),
            Ask::Store if self.message.ends_with(b"fail\n") => Input::Stored(StoreAnswer::Failed),
            Ask::Store => {
                let message = String::from_utf8_lossy(&std::mem::take(&mut self.message)).into_owned();
                self.transcript.extend(message.lines().map(|line| format!("M: {line}")));
                Input::Stored(StoreAnswer::Stored)
            }
        }
    }

    /// Every line that a session writes is one line and reads back equal.
    fn note(&mut self, record: &Record<'static>) {
        let line = record.to_string();
        assert!(line.bytes().all(|b| (0x20..=0x7e).contains(&b)), "{line:?}");
        assert_eq!(Record::parse(line.as_bytes()).as_ref(), Some(record), "{line}");
        self.transcript.push(format!("L: {line}"));
    }
}

/// Runs a script: `C:` lines are sent, each by itself; `wait` lets the session's deadline pass, `gone` hangs up, and
/// `shutdown` stops the server.
fn run(service: Service, remote: &str, script: &str) -> String {
    converse(World::new(service, remote), script)
}

fn converse(mut world: World, script: &str) -> String {
    for line in script.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
        world.transcript.push(line.to_owned());
        match line {
            "wait" => {
                world.now = world.session.deadline().unwrap();
                world.feed(Input::Timeout);
            }
            "gone" => world.feed(Input::Gone(Gone::Closed)),
            "shutdown" => world.feed(Input::Shutdown),
            line => {
                let sent = line.strip_prefix("C:").unwrap();
                let sent = sent.strip_prefix(' ').unwrap_or(sent);
                world.feed(Input::Bytes(&unescape(sent)));
            }
        }
    }
    world.transcript.iter().map(|line| format!("{line}\n")).collect()
}

/// A line of a script as bytes, CR LF behind it; `\n`, `\r`, `\0`, `\e` and `\\` as in C, `\c` at the end: no CR LF.
fn unescape(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = line.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match (byte, if byte == b'\\' { rest.next() } else { None }) {
            (_, Some(b'n')) => b'\n',
            (_, Some(b'r')) => b'\r',
            (_, Some(b'0')) => 0,
            (_, Some(b'e')) => 0x1b,
            (_, Some(b'c')) => return bytes,
            (byte, _) => byte,
        });
    }
    bytes.extend(b"\r\n");
    bytes
}

#[track_caller]
fn check(service: Service, script: &str, expected: &Expect) {
    expected.assert_eq(&run(service, "203.0.113.7:40000", script));
}

/// What was replied, without the rest.
#[track_caller]
fn check_replies(service: Service, script: &str, expected: &Expect) {
    let transcript = run(service, "203.0.113.7:40000", script);
    let lines = transcript.lines().filter(|line| !line.starts_with("L: ") && !line.starts_with("M: "));
    expected.assert_eq(&lines.map(|line| format!("{line}\n")).collect::<String>());
}

#[test]
fn a_message_is_accepted_and_every_fact_is_logged() {
    check(
        Service::Smtp,
        r"
        C: EHLO client.example.net
        C: MAIL FROM:<carol@example.net> SIZE=30
        C: RCPT TO:<alice@example.org>
        C: RCPT TO:<nobody@example.org>
        C: RCPT TO:<dave@example.com>
        C: DATA
        C: Message-ID: <1@example.net>
        C: Subject: hello
        C:
        C: ..dot
        C: .
        C: QUIT
        ",
        &expect![[r#"
            S: 220 mx.example.org ESMTP
            C: EHLO client.example.net
            S: 250-mx.example.org
            S: 250-STARTTLS
            S: 250-PIPELINING
            S: 250-8BITMIME
            S: 250-ENHANCEDSTATUSCODES
            S: 250 SIZE 1000
            C: MAIL FROM:<carol@example.net> SIZE=30
            L: CHKUSER accepted sender: from <carol@example.net|remoteinfo/auth:|chkuser-identify:> remote <helo:client.example.net|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : sender accepted pid=7
            S: 250 2.1.0 ok
            C: RCPT TO:<alice@example.org>
            L: CHKUSER accepted rcpt: from <carol@example.net|remoteinfo/auth:|chkuser-identify:> remote <helo:client.example.net|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <alice@example.org> : found existing recipient pid=7
            L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=client.example.net mailfrom=carol@example.net rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 250 2.1.5 ok
            C: RCPT TO:<nobody@example.org>
            L: CHKUSER rejected rcpt: from <carol@example.net|remoteinfo/auth:|chkuser-identify:> remote <helo:client.example.net|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <nobody@example.org> : not existing recipient pid=7
            L: qlogenvelope: result=rejected code=550 reason=chkuser detail=nomailbox helo=client.example.net mailfrom=carol@example.net rcptto=nobody@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 550 5.1.1 sorry, no mailbox here by that name. (#5.1.1)
            C: RCPT TO:<dave@example.com>
            L: CHKUSER rejected relaying: from <carol@example.net|remoteinfo/auth:|chkuser-identify:> remote <helo:client.example.net|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <dave@example.com> : client not allowed to relay pid=7
            L: qlogenvelope: result=rejected code=553 reason=chkuser detail=notinrcpthosts helo=client.example.net mailfrom=carol@example.net rcptto=dave@example.com relay=no rcpthosts=no size= authuser= authtype= encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 553 5.7.1 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)
            C: DATA
            S: 354 go ahead
            C: Message-ID: <1@example.net>
            C: Subject: hello
            C:
            C: ..dot
            C: .
            M: Received: from client.example.net (unknown [203.0.113.7])
            M:  by mx.example.org with ESMTP id 77; Sat, 21 Nov 2026 12:00:00 +0000
            M: Message-ID: <1@example.net>
            M: Subject: hello
            M: 
            M: .dot
            L: qlogreceived: result=accepted code=250 reason=queueaccept detail= helo=client.example.net mailfrom=carol@example.net rcptto=alice@example.org relay=no rcpthosts= size=53 authuser= authtype= encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp=77 pid=7 msgid=1@example.net
            S: 250 2.0.0 ok 1795262400 qp 77
            C: QUIT
            S: 221 2.0.0 mx.example.org
            *: close 0
        "#]],
    );
}

#[test]
fn a_login_needs_tls_and_lets_the_client_relay() {
    check(
        Service::Submission,
        r"
        C: EHLO laptop
        C: MAIL FROM:<alice@example.org>
        C: AUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldA==
        C: STARTTLS
        C: EHLO laptop
        C: MAIL FROM:<alice@example.org>
        C: AUTH LOGIN
        C: YWxpY2VAZXhhbXBsZS5vcmc=
        C: d3Jvbmc=
        C: AUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldA==
        C: AUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldA==
        C: MAIL FROM:<alice@example.org>
        C: RCPT TO:<dave@example.com>
        C: DATA
        C: Subject: hello
        C:
        C: text
        C: .
        C: QUIT
        ",
        &expect![[r#"
            S: 220 mx.example.org ESMTP
            C: EHLO laptop
            S: 250-mx.example.org
            S: 250-STARTTLS
            S: 250-PIPELINING
            S: 250-8BITMIME
            S: 250-ENHANCEDSTATUSCODES
            S: 250 SIZE 1000
            C: MAIL FROM:<alice@example.org>
            L: qlogenvelope: result=rejected code=530 reason=tls detail=required helo=laptop mailfrom=alice@example.org rcptto= relay=no rcpthosts= size= authuser= authtype= encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 530 5.7.0 Must issue a STARTTLS command first (#5.7.0)
            C: AUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldA==
            L: qmail-smtpd: reject (auth not available without TLS): (null) from 203.0.113.7 to alice@example.org helo laptop pid=7
            L: qlogenvelope: result=rejected code=538 reason=tls detail=auth helo=laptop mailfrom= rcptto= relay=no rcpthosts= size= authuser= authtype= encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 538 5.7.11 auth not available without TLS (#5.3.3)
            C: STARTTLS
            S: 220 2.0.0 ready for tls
            *: handshake
            C: EHLO laptop
            S: 250-mx.example.org
            S: 250-PIPELINING
            S: 250-8BITMIME
            S: 250-ENHANCEDSTATUSCODES
            S: 250-AUTH LOGIN PLAIN
            S: 250 SIZE 1000
            C: MAIL FROM:<alice@example.org>
            L: qlogenvelope: result=rejected code=530 reason=authrequired detail= helo=laptop mailfrom=alice@example.org rcptto= relay=no rcpthosts= size= authuser= authtype= encrypted=tls sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 530 5.7.0 authentication required (#5.7.1)
            C: AUTH LOGIN
            S: 334 VXNlcm5hbWU6
            C: YWxpY2VAZXhhbXBsZS5vcmc=
            S: 334 UGFzc3dvcmQ6
            C: d3Jvbmc=
            L: qmail-smtpd[7]: auth: auth-failed type=login user=<alice@example.org> fingerprint=beef
            L: qlogenvelope: result=rejected code=535 reason=authfailed detail= helo=laptop mailfrom= rcptto= relay=no rcpthosts= size= authuser=alice@example.org authtype=login encrypted=tls sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            *: pause 1s
            S: 535 5.7.8 authentication failed (#5.7.1)
            C: AUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldA==
            L: qmail-smtpd[7]: auth: auth-success type=plain user=<alice@example.org>
            L: qlogenvelope: result=accepted code=235 reason=authaccepted detail= helo=laptop mailfrom= rcptto= relay=yes rcpthosts= size= authuser=alice@example.org authtype=plain encrypted=tls sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 235 2.7.0 ok, go ahead (#2.0.0)
            C: AUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldA==
            L: qlogenvelope: result=rejected code=503 reason=sequence detail=auth helo=laptop mailfrom= rcptto= relay=yes rcpthosts= size= authuser=alice@example.org authtype=plain encrypted=tls sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            *: pause 1s
            S: 503 5.5.1 you're already authenticated (#5.5.0)
            C: MAIL FROM:<alice@example.org>
            L: CHKUSER accepted sender: from <alice@example.org|remoteinfo/auth:alice@example.org|chkuser-identify:> remote <helo:laptop|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : sender accepted pid=7
            S: 250 2.1.0 ok
            C: RCPT TO:<dave@example.com>
            L: CHKUSER relaying rcpt: from <alice@example.org|remoteinfo/auth:alice@example.org|chkuser-identify:> remote <helo:laptop|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <dave@example.com> : client allowed to relay pid=7
            L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuserrelay helo=laptop mailfrom=alice@example.org rcptto=dave@example.com relay=yes rcpthosts=no size= authuser=alice@example.org authtype=plain encrypted=tls sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 250 2.1.5 ok
            C: DATA
            S: 354 go ahead
            C: Subject: hello
            C:
            C: text
            C: .
            M: Received: from laptop (unknown [203.0.113.7]) (authenticated alice@example.org)
            M:  by mx.example.org with ESMTPSA id 77; Sat, 21 Nov 2026 12:00:00 +0000
            M: Subject: hello
            M: Message-ID: <1795262400000000000.77@mx.example.org>
            M: 
            M: text
            L: qlogreceived: result=accepted code=250 reason=queueaccept detail= helo=laptop mailfrom=alice@example.org rcptto=dave@example.com relay=yes rcpthosts= size=24 authuser=alice@example.org authtype=plain encrypted=tls sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp=77 pid=7 msgid=1795262400000000000.77@mx.example.org
            S: 250 2.0.0 ok 1795262400 qp 77
            C: QUIT
            S: 221 2.0.0 mx.example.org
            *: close 0
        "#]],
    );
}

#[test]
fn commands_that_come_in_the_wrong_order_are_refused() {
    check_replies(
        Service::Smtp,
        r"
        C: RCPT TO:<alice@example.org>
        C: DATA
        C: HELO x
        C: MAIL FROM:<>
        C: DATA
        C: STARTTLS now
        C: NOOP
        C: RSET
        C: VRFY alice
        C: HELP
        ",
        &expect![[r#"
            S: 220 mx.example.org ESMTP
            C: RCPT TO:<alice@example.org>
            S: 503 MAIL first (#5.5.1)
            C: DATA
            S: 503 MAIL first (#5.5.1)
            C: HELO x
            S: 250 mx.example.org
            C: MAIL FROM:<>
            S: 250 ok
            C: DATA
            S: 503 RCPT first (#5.5.1)
            C: STARTTLS now
            *: pause 1s
            S: 501 Syntax error (no parameters allowed) (#5.5.4)
            C: NOOP
            S: 250 ok
            C: RSET
            S: 250 flushed
            C: VRFY alice
            S: 252 send some mail, i'll try my best
            C: HELP
            S: 214 postern speaks SMTP as RFC 5321 has it
        "#]],
    );
}

#[test]
fn what_cannot_be_read_is_refused() {
    check_replies(
        Service::Smtp,
        r"
        C: EHLO x
        C: MAIL FROM:<foo>
        C: MAIL FROM:<a@b> SIZE=1001
        C: MAIL FROM:<a@b> SMTPUTF8
        C: MAIL FROM:<a@b>
        C: RCPT TO:<alice>
        C: RCPT TO:<postmaster>
        C: RCPT TO:<a b@example.org>
        C: RCPT TO:<down@example.org>
        C: BDAT 10
        C: GET / HTTP/1.1
        ",
        &expect![[r#"
            S: 220 mx.example.org ESMTP
            C: EHLO x
            S: 250-mx.example.org
            S: 250-STARTTLS
            S: 250-PIPELINING
            S: 250-8BITMIME
            S: 250-ENHANCEDSTATUSCODES
            S: 250 SIZE 1000
            C: MAIL FROM:<foo>
            S: 553 5.1.7 sorry, mailbox syntax not allowed (#5.1.7)
            C: MAIL FROM:<a@b> SIZE=1001
            S: 552 5.3.4 sorry, that message size exceeds my databytes limit (#5.3.4)
            C: MAIL FROM:<a@b> SMTPUTF8
            S: 555 5.5.4 parameter not recognized (#5.5.4)
            C: MAIL FROM:<a@b>
            S: 250 2.1.0 ok
            C: RCPT TO:<alice>
            *: pause 1s
            S: 550 5.1.3 sorry, you must specify a domain (#5.1.3)
            C: RCPT TO:<postmaster>
            S: 250 2.1.5 ok
            C: RCPT TO:<a b@example.org>
            *: pause 1s
            S: 553 5.1.3 sorry, mailbox syntax not allowed (#5.1.3)
            C: RCPT TO:<down@example.org>
            S: 451 4.3.0 system temporary unavailable, try again later (#4.3.0)
            C: BDAT 10
            *: pause 1s
            S: 502 5.5.1 unimplemented (#5.5.1)
            C: GET / HTTP/1.1
            *: pause 1s
            S: 500 5.5.1 unrecognized command (#5.5.1)
        "#]],
    );
}

#[test]
fn errors_cost_time_after_the_third_and_the_session_after_the_tenth() {
    let script = "C: nonsense\n".repeat(10);
    check_replies(
        Service::Smtp,
        &script,
        &expect![[r#"
        S: 220 mx.example.org ESMTP
        C: nonsense
        S: 500 unrecognized command (#5.5.1)
        C: nonsense
        S: 500 unrecognized command (#5.5.1)
        C: nonsense
        S: 500 unrecognized command (#5.5.1)
        C: nonsense
        *: pause 1s
        S: 500 unrecognized command (#5.5.1)
        C: nonsense
        *: pause 1s
        S: 500 unrecognized command (#5.5.1)
        C: nonsense
        *: pause 1s
        S: 500 unrecognized command (#5.5.1)
        C: nonsense
        *: pause 1s
        S: 500 unrecognized command (#5.5.1)
        C: nonsense
        *: pause 1s
        S: 500 unrecognized command (#5.5.1)
        C: nonsense
        *: pause 1s
        S: 500 unrecognized command (#5.5.1)
        C: nonsense
        *: pause 1s
        S: 500 unrecognized command (#5.5.1)
        S: 421 too many errors (#4.7.0)
        *: close 256
    "#]],
    );
}

#[test]
fn a_session_is_not_held_for_ever() {
    check(
        Service::Smtp,
        "C: HELO x\nC: MAIL FR\\c\nwait",
        &expect![[r#"
        S: 220 mx.example.org ESMTP
        C: HELO x
        S: 250 mx.example.org
        C: MAIL FR\c
        wait
        L: qmail-smtpd: timeout: (null) from 203.0.113.7 to (null) helo x pid=7
        L: qlogenvelope: result=rejected code=451 reason=alarmtimeout detail= helo=x mailfrom= rcptto= relay=no rcpthosts= size= authuser= authtype= encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
        S: 451 timeout (#4.4.2)
        *: close 256
    "#]],
    );
    check(
        Service::Smtp,
        "gone",
        &expect![[r#"
        S: 220 mx.example.org ESMTP
        gone
        L: qmail-smtpd: read failed (connection closed by the client before the quit cmd): (null) from 203.0.113.7 to (null) helo unknown pid=7
        *: close 256
    "#]],
    );
    check_replies(
        Service::Smtp,
        "C: HELO x\nC: MAIL FROM:<>\nC: RCPT TO:<bob@example.org>\nC: DATA\nC: a\nwait",
        &expect![[r#"
        S: 220 mx.example.org ESMTP
        C: HELO x
        S: 250 mx.example.org
        C: MAIL FROM:<>
        S: 250 ok
        C: RCPT TO:<bob@example.org>
        S: 250 ok
        C: DATA
        S: 354 go ahead
        C: a
        wait
        S: 451 timeout (#4.4.2)
        *: close 256
    "#]],
    );
}

#[test]
fn a_server_that_stops_lets_a_message_come_to_its_end() {
    check_replies(
        Service::Smtp,
        "C: HELO x\nshutdown",
        &expect![[r#"
        S: 220 mx.example.org ESMTP
        C: HELO x
        S: 250 mx.example.org
        shutdown
        S: 421 mx.example.org shutting down, try again later (#4.3.2)
        *: close 0
    "#]],
    );
    check_replies(
        Service::Smtp,
        "C: HELO x\nC: MAIL FROM:<>\nC: RCPT TO:<bob@example.org>\nC: DATA\nC: a\nshutdown\nC: .",
        &expect![[r#"
            S: 220 mx.example.org ESMTP
            C: HELO x
            S: 250 mx.example.org
            C: MAIL FROM:<>
            S: 250 ok
            C: RCPT TO:<bob@example.org>
            S: 250 ok
            C: DATA
            S: 354 go ahead
            C: a
            shutdown
            C: .
            S: 250 ok 1795262400 qp 77
            S: 421 mx.example.org shutting down, try again later (#4.3.2)
            *: close 0
        "#]],
    );
}

#[test]
fn a_message_that_is_too_big_or_goes_in_circles_is_read_and_refused() {
    let big = format!(
        "C: HELO x\nC: MAIL FROM:<>\nC: RCPT TO:<bob@example.org>\nC: DATA\nC: {}\nC: .\nC: RSET",
        "a".repeat(1000)
    );
    check_replies(
        Service::Smtp,
        &big.replace(&"a".repeat(1000), &format!("{}\nC: {}", "a".repeat(499), "a".repeat(498))),
        &expect![[r#"
        S: 220 mx.example.org ESMTP
        C: HELO x
        S: 250 mx.example.org
        C: MAIL FROM:<>
        S: 250 ok
        C: RCPT TO:<bob@example.org>
        S: 250 ok
        C: DATA
        S: 354 go ahead
        C: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        C: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        *: discard
        C: .
        S: 552 sorry, that message size exceeds my databytes limit (#5.3.4)
        C: RSET
        S: 250 flushed
    "#]],
    );
    let hops = "C: Received: x\n".repeat(60);
    let script = format!(
        "C: HELO x\nC: MAIL FROM:<>\nC: RCPT TO:<bob@example.org>\nC: DATA\n{hops}{hops}C: .\nC: RSET"
    );
    let transcript = run(Service::Smtp, "203.0.113.7:40000", &script);
    assert!(transcript.contains("S: 554 too many hops"), "{transcript}");
    assert!(
        transcript.contains("L: qlogreceived: result=rejected code=554 reason=message_loop "),
        "{transcript}"
    );
}

#[test]
fn a_bare_line_end_ends_the_session_not_the_message() {
    check_replies(
        Service::Smtp,
        "C: EHLO x\nC: MAIL FROM:<>\nC: RCPT TO:<bob@example.org>\nC: DATA\nC: a\\n.\nC: MAIL FROM:<b@c>",
        &expect![[r#"
            S: 220 mx.example.org ESMTP
            C: EHLO x
            S: 250-mx.example.org
            S: 250-STARTTLS
            S: 250-PIPELINING
            S: 250-8BITMIME
            S: 250-ENHANCEDSTATUSCODES
            S: 250 SIZE 1000
            C: MAIL FROM:<>
            S: 250 2.1.0 ok
            C: RCPT TO:<bob@example.org>
            S: 250 2.1.5 ok
            C: DATA
            S: 354 go ahead
            C: a\n.
            *: discard
            S: 451 4.5.2 See https://cr.yp.to/docs/smtplf.html.
            *: close 256
            C: MAIL FROM:<b@c>
        "#]],
    );
}

#[test]
fn nothing_may_follow_auth_before_its_answer() {
    check_replies(
        Service::Smtps,
        "C: EHLO x\nC: AUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldA==\\r\\nMAIL FROM:<a@b>",
        &expect![[r#"
            *: handshake
            S: 220 mx.example.org ESMTP
            C: EHLO x
            S: 250-mx.example.org
            S: 250-PIPELINING
            S: 250-8BITMIME
            S: 250-ENHANCEDSTATUSCODES
            S: 250-AUTH LOGIN PLAIN
            S: 250 SIZE 1000
            C: AUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldA==\r\nMAIL FROM:<a@b>
            S: 503 5.5.0 no pipelining after auth (#5.5.0)
            *: close 256
        "#]],
    );
}

#[test]
fn what_came_before_the_handshake_is_forgotten() {
    check_replies(
        Service::Smtp,
        "C: EHLO x\nC: MAIL FROM:<a@b>\nC: STARTTLS\\r\\nRCPT TO:<bob@example.org>\nC: RCPT TO:<bob@example.org>\nC: STARTTLS",
        &expect![[r#"
            S: 220 mx.example.org ESMTP
            C: EHLO x
            S: 250-mx.example.org
            S: 250-STARTTLS
            S: 250-PIPELINING
            S: 250-8BITMIME
            S: 250-ENHANCEDSTATUSCODES
            S: 250 SIZE 1000
            C: MAIL FROM:<a@b>
            S: 250 2.1.0 ok
            C: STARTTLS\r\nRCPT TO:<bob@example.org>
            S: 220 2.0.0 ready for tls
            *: handshake
            C: RCPT TO:<bob@example.org>
            S: 503 MAIL first (#5.5.1)
            C: STARTTLS
            S: 503 TLS already started (#5.5.1)
        "#]],
    );
}

#[test]
fn a_login_can_be_taken_back_and_be_malformed() {
    check_replies(
        Service::Smtps,
        r"
        C: EHLO x
        C: AUTH PLAIN
        C: *
        C: AUTH LOGIN =
        C: ????
        C: AUTH CRAM-MD5
        C: AUTH PLAIN AGEA
        C: AUTH PLAIN AGRvd25AZXhhbXBsZS5vcmcAeA==
        C: MAIL FROM:<a@b>
        C: AUTH PLAIN
        ",
        &expect![[r#"
            *: handshake
            S: 220 mx.example.org ESMTP
            C: EHLO x
            S: 250-mx.example.org
            S: 250-PIPELINING
            S: 250-8BITMIME
            S: 250-ENHANCEDSTATUSCODES
            S: 250-AUTH LOGIN PLAIN
            S: 250 SIZE 1000
            C: AUTH PLAIN
            S: 334 
            C: *
            S: 501 5.7.0 auth exchange cancelled (#5.0.0)
            C: AUTH LOGIN =
            S: 334 UGFzc3dvcmQ6
            C: ????
            S: 501 5.5.2 malformed auth input (#5.5.4)
            C: AUTH CRAM-MD5
            S: 504 5.5.4 auth type unimplemented (#5.5.1)
            C: AUTH PLAIN AGEA
            *: pause 1s
            S: 501 5.5.2 malformed auth input (#5.5.4)
            C: AUTH PLAIN AGRvd25AZXhhbXBsZS5vcmcAeA==
            S: 454 4.7.0 oops, unable to check the password now (#4.3.0)
            C: MAIL FROM:<a@b>
            S: 250 2.1.0 ok
            C: AUTH PLAIN
            *: pause 1s
            S: 503 5.5.1 no auth during mail transaction (#5.5.0)
        "#]],
    );
}

#[test]
fn a_relay_network_may_send_elsewhere_and_a_full_queue_says_so() {
    let script =
        "C: EHLO x\nC: MAIL FROM:<closed@example.org>\nC: RCPT TO:<dave@example.com>\nC: DATA\nC: QUIT";
    expect![[r#"
        S: 220 mx.example.org ESMTP
        C: EHLO x
        S: 250-mx.example.org
        S: 250-STARTTLS
        S: 250-PIPELINING
        S: 250-8BITMIME
        S: 250-ENHANCEDSTATUSCODES
        S: 250 SIZE 1000
        C: MAIL FROM:<closed@example.org>
        L: CHKUSER accepted sender: from <closed@example.org|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:198.51.100.9> rcpt <> : sender accepted pid=7
        S: 250 2.1.0 ok
        C: RCPT TO:<dave@example.com>
        L: CHKUSER relaying rcpt: from <closed@example.org|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:198.51.100.9> rcpt <dave@example.com> : client allowed to relay pid=7
        L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuserrelay helo=x mailfrom=closed@example.org rcptto=dave@example.com relay=yes rcpthosts=no size= authuser= authtype= encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip=198.51.100.9 remoteport=40000 remotehost=unknown qp= pid=7
        S: 250 2.1.5 ok
        C: DATA
        L: qlogenvelope: result=rejected code=451 reason=qqtfailure detail= helo=x mailfrom=closed@example.org rcptto= relay=yes rcpthosts= size= authuser= authtype= encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip=198.51.100.9 remoteport=40000 remotehost=unknown qp= pid=7
        S: 451 4.3.0 qqt failure (#4.3.0)
        C: QUIT
        S: 221 2.0.0 mx.example.org
        *: close 0
    "#]].assert_eq(&run(Service::Smtp, "198.51.100.9:40000", script));
}

#[test]
fn a_message_has_at_most_a_hundred_recipients() {
    let script = format!("C: HELO x\nC: MAIL FROM:<>\n{}", "C: RCPT TO:<bob@example.org>\n".repeat(101));
    let transcript = run(Service::Smtp, "203.0.113.7:40000", &script);
    assert_eq!(transcript.matches("S: 250 ok\n").count(), 101, "MAIL and a hundred RCPT");
    assert!(transcript.ends_with("S: 452 too many recipients (#4.5.3)\n"), "{transcript}");
}

#[track_caller]
fn check_listed(zones: &[(&str, Action)], script: &str, expected: &Expect) {
    let lists = zones.iter().map(|(zone, action)| Blocklist::new(zone, *action, None)).collect();
    let world = World::under(policy_with(lists), Service::Smtps, "203.0.113.7:40000");
    let transcript = converse(world, script);
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
            L: qmail-smtpd[7]: rbl: ip=203.0.113.7 query=7.113.0.203.listed.example result=delay message='see\xff https://listed.example/'
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
            L: qmail-smtpd[7]: rbl: ip=203.0.113.7 query=7.113.0.203.listed.example result=reject message='see\xff https://listed.example/'
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

/// A client that chooses every byte it can to forge a line or a field of one.
#[test]
fn hostile_bytes_forge_nothing() {
    for bytes in [
        r"x|remotehostname:y|remotehostip:203.0.113.66> rcpt <z> : client not allowed to relay",
        r"x\0tcpserver: pid 9 from 203.0.113.66",
        r"x\e[31m\r y=z,remoteip=203.0.113.66 from 203.0.113.66 to b helo c",
    ] {
        for line in [
            format!("EHLO {bytes}"),
            format!("MAIL FROM:<{bytes}>"),
            format!("MAIL FROM:<\"{bytes}\"@a>"),
            format!("RCPT TO:<\"{bytes}\"@example.org>"),
        ] {
            let script = format!("C: EHLO x\nC: MAIL FROM:<a@b>\nC: {line}\ngone");
            let transcript = run(Service::Smtp, "203.0.113.7:40000", &script);
            for fact in transcript.lines().filter_map(|line| line.strip_prefix("L: ")) {
                let mark = match fact.split(' ').next() {
                    Some("CHKUSER") => "|remotehostip:",
                    Some("qlogenvelope:") => " remoteip=",
                    _ => " from ",
                };
                assert!(fact.contains(&format!("{mark}203.0.113.7")), "{fact}");
                assert!(!fact.contains(&format!("{mark}203.0.113.66")), "{fact}");
            }
        }
    }
    let user = base64("\0x>\nCHKUSER rejected relaying: from <\0password");
    let transcript = run(Service::Smtps, "203.0.113.7:40000", &format!("C: EHLO x\nC: AUTH PLAIN {user}"));
    assert!(
        transcript
            .contains(r"user=<x\x3e\x0aCHKUSER\x20rejected\x20relaying:\x20from\x20<> fingerprint=beef"),
        "{transcript}"
    );
    assert!(!transcript.contains("password"), "{transcript}");
}

fn base64(text: &str) -> String {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::STANDARD.encode(text)
}

/// Sends `input` in pieces as long as `pieces` says, in turn, and gives all that was replied and logged.
fn replies_to(service: Service, input: &[u8], pieces: &[usize]) -> Vec<String> {
    let mut world = World::new(service, "203.0.113.7:40000");
    let mut rest = input;
    for piece in pieces.iter().cycle() {
        let (now, later) = rest.split_at((*piece).clamp(1, rest.len().max(1)).min(rest.len()));
        world.feed(Input::Bytes(now));
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    world.feed(Input::Gone(Gone::Closed));
    world.transcript
}

fn command() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => proptest::sample::select(vec![
            "EHLO x\r\n", "HELO x\n", "MAIL FROM:<a@b>\r\n", "MAIL FROM:<> SIZE=5\r\n", "RCPT TO:<alice@example.org>\r\n",
            "RCPT TO:<x@y>\r\n", "DATA\r\n", "a\r\n.\r\n", ".\r\n", "Message-ID: <q@r>\r\n\r\n..\r\n.\r\n", "RSET\r\n", "NOOP\r\n",
            "\r\n", "x\r", "QUIT\r\n", "nonsense\r\n",
        ]).prop_map(str::to_owned),
        1 => "[ -~]{0,30}\r\n",
        1 => (2000usize..2100).prop_map(|length| format!("{}\r\n", "x".repeat(length))),
    ]
}

proptest! {
    #[test]
    fn any_split_gives_the_same_replies_and_facts(
        commands in proptest::collection::vec(command(), 0..30),
        pieces in proptest::collection::vec(1usize..40, 1..8),
    ) {
        let input = commands.concat().into_bytes();
        let whole = replies_to(Service::Smtp, &input, &[usize::MAX]);
        prop_assert_eq!(replies_to(Service::Smtp, &input, &pieces), whole);
    }

    #[test]
    fn no_bytes_can_panic_a_session(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..10),
        service in proptest::sample::select(vec![Service::Smtp, Service::Submission, Service::Smtps]),
    ) {
        let mut world = World::new(service, "[2001:db8::7]:40000");
        for piece in &pieces {
            world.feed(Input::Bytes(piece));
        }
        world.feed(Input::Gone(Gone::TlsBroken));
    }

    #[test]
    fn no_dialogue_can_panic_a_session(
        lines in proptest::collection::vec("(EHLO|MAIL FROM:|RCPT TO:|AUTH PLAIN|AUTH LOGIN|DATA|STARTTLS|QUIT|)[ <>@a-z=\\*\\x00\\r\"\\\\]{0,20}\r\n", 0..20),
    ) {
        let mut world = World::new(Service::Smtps, "203.0.113.7:40000");
        for line in &lines {
            world.now = world.now + Duration::from_secs(1);
            world.feed(Input::Bytes(line.as_bytes()));
        }
        world.feed(Input::Timeout);
    }
}
