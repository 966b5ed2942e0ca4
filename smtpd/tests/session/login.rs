//! TLS and logins.

use expect_test::expect;
use smtpd::session::Service;

use crate::world::{check, check_replies};

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
            S: 250-SMTPUTF8
            S: 250-8BITMIME
            S: 250-CHUNKING
            S: 250-ENHANCEDSTATUSCODES
            S: 250-DSN
            S: 250-LIMITS RCPTMAX=100
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
            S: 250-SMTPUTF8
            S: 250-8BITMIME
            S: 250-CHUNKING
            S: 250-ENHANCEDSTATUSCODES
            S: 250-DSN
            S: 250-LIMITS RCPTMAX=100
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
            S: 250-SMTPUTF8
            S: 250-8BITMIME
            S: 250-CHUNKING
            S: 250-ENHANCEDSTATUSCODES
            S: 250-DSN
            S: 250-LIMITS RCPTMAX=100
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
            S: 250-SMTPUTF8
            S: 250-8BITMIME
            S: 250-CHUNKING
            S: 250-ENHANCEDSTATUSCODES
            S: 250-DSN
            S: 250-LIMITS RCPTMAX=100
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
            S: 250-SMTPUTF8
            S: 250-8BITMIME
            S: 250-CHUNKING
            S: 250-ENHANCEDSTATUSCODES
            S: 250-DSN
            S: 250-LIMITS RCPTMAX=100
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
