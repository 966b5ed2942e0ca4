//! BDAT, SMTPUTF8 and DSN.

use expect_test::expect;
use smtpd::session::{Input, Service};

use crate::world::{World, check, check_replies};

#[test]
fn a_message_comes_in_chunks() {
    check(
        Service::Smtp,
        r"
        C: EHLO client.example
        C: MAIL FROM:<carol@example.net>
        C: RCPT TO:<alice@example.org>
        C: BDAT 14
        C: Subject: hello\c
        C: BDAT 0
        C: BDAT 10 LAST
        C: \r\n\r\n.\r\n..x\c
        C: QUIT
        ",
        &expect![[r#"
            C: MAIL FROM:<carol@example.net>
            L: CHKUSER accepted sender: from <carol@example.net|remoteinfo/auth:|chkuser-identify:> remote <helo:client.example|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : sender accepted pid=7
            S: 250 2.1.0 ok
            C: RCPT TO:<alice@example.org>
            L: CHKUSER accepted rcpt: from <carol@example.net|remoteinfo/auth:|chkuser-identify:> remote <helo:client.example|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <alice@example.org> : found existing recipient pid=7
            L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=client.example mailfrom=carol@example.net rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 250 2.1.5 ok
            C: BDAT 14
            C: Subject: hello\c
            S: 250 2.0.0 14 octets received
            C: BDAT 0
            S: 250 2.0.0 0 octets received
            C: BDAT 10 LAST
            C: \r\n\r\n.\r\n..x\c
            M: Received: from client.example (unknown [203.0.113.7])
            M:  by mx.example.org with ESMTP id 77; Sat, 21 Nov 2026 12:00:00 +0000
            M: Subject: hello
            M: 
            M: .
            M: ..x
            L: qlogreceived: result=accepted code=250 reason=queueaccept detail= helo=client.example mailfrom=carol@example.net rcptto=alice@example.org relay=no rcpthosts= size=26 authuser= authtype= encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp=77 pid=7
            S: 250 2.0.0 ok 1795262400 qp 77
            C: QUIT
            S: 221 2.0.0 mx.example.org
            *: close 0
        "#]],
    );
}

#[test]
fn a_chunk_that_is_refused_is_read_and_nothing_in_it_is_a_command() {
    check_replies(
        Service::Smtp,
        r"
        C: EHLO client.example
        C: BDAT 6
        C: QUIT
        C: MAIL FROM:<carol@example.net>
        C: BDAT 11 LAST
        C: MAIL FROM:<\c
        C: RCPT TO:<alice@example.org>
        C: MAIL FROM:<carol@example.net>
        C: RCPT TO:<alice@example.org>
        C: BDAT 3
        C: a\r\n\c
        C: RCPT TO:<bob@example.org>
        C: DATA
        C: BDAT 4
        C: b\nc\n\c
        C: BDAT 6 LAST
        C: RSET
        C: MAIL FROM:<carol@example.net>
        C: RCPT TO:<alice@example.org>
        C: BDAT 2
        C: a\r\c
        C: RSET
        C: BDAT 1 LAST
        C: \n\c
        C: MAIL FROM:<closed@example.net>
        C: RCPT TO:<alice@example.org>
        C: BDAT 3 LAST
        C: a\r\n\c
        C: BDAT 3 PERHAPS
        ",
        &expect![[r#"
            C: BDAT 6
            C: QUIT
            S: 503 5.5.1 MAIL first (#5.5.1)
            C: MAIL FROM:<carol@example.net>
            S: 250 2.1.0 ok
            C: BDAT 11 LAST
            C: MAIL FROM:<\c
            S: 503 5.5.1 RCPT first (#5.5.1)
            C: RCPT TO:<alice@example.org>
            S: 503 5.5.1 MAIL first (#5.5.1)
            C: MAIL FROM:<carol@example.net>
            S: 250 2.1.0 ok
            C: RCPT TO:<alice@example.org>
            S: 250 2.1.5 ok
            C: BDAT 3
            C: a\r\n\c
            S: 250 2.0.0 3 octets received
            C: RCPT TO:<bob@example.org>
            *: pause 1s
            S: 503 5.5.1 the message has begun: BDAT or RSET (#5.5.1)
            C: DATA
            *: pause 1s
            S: 503 5.5.1 the message has begun: BDAT or RSET (#5.5.1)
            C: BDAT 4
            C: b\nc\n\c
            *: discard
            S: 451 4.5.2 See https://cr.yp.to/docs/smtplf.html.
            C: BDAT 6 LAST
            C: RSET
            *: pause 1s
            S: 503 5.5.1 MAIL first (#5.5.1)
            C: MAIL FROM:<carol@example.net>
            S: 250 2.1.0 ok
            C: RCPT TO:<alice@example.org>
            S: 250 2.1.5 ok
            C: BDAT 2
            C: a\r\c
            S: 250 2.0.0 2 octets received
            C: RSET
            *: discard
            S: 250 2.0.0 flushed
            C: BDAT 1 LAST
            C: \n\c
            *: pause 1s
            S: 503 5.5.1 MAIL first (#5.5.1)
            C: MAIL FROM:<closed@example.net>
            S: 250 2.1.0 ok
            C: RCPT TO:<alice@example.org>
            S: 250 2.1.5 ok
            C: BDAT 3 LAST
            C: a\r\n\c
            S: 451 4.3.0 qqt failure (#4.3.0)
            C: BDAT 3 PERHAPS
            *: pause 1s
            S: 501 5.5.4 syntax error in the length of a chunk (#5.5.4)
            *: close 256
        "#]],
    );
}

#[test]
fn a_message_in_chunks_has_the_same_limits() {
    check_replies(
        Service::Smtp,
        &format!(
            "C: EHLO x\nC: MAIL FROM:<a@b>\nC: RCPT TO:<alice@example.org>\nC: BDAT 600\nC: {0}\\c\nC: BDAT 600\nC: {0}\\c\nC: BDAT 1 LAST\nC: x\\c",
            "x".repeat(600)
        ),
        &expect![[r#"
            C: MAIL FROM:<a@b>
            S: 250 2.1.0 ok
            C: RCPT TO:<alice@example.org>
            S: 250 2.1.5 ok
            C: BDAT 600
            C: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\c
            S: 250 2.0.0 600 octets received
            C: BDAT 600
            C: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\c
            *: discard
            S: 552 5.3.4 sorry, that message size exceeds my databytes limit (#5.3.4)
            C: BDAT 1 LAST
            C: x\c
            S: 503 5.5.1 MAIL first (#5.5.1)
        "#]],
    );
}

#[test]
fn a_client_that_sends_a_chunk_too_slowly_is_given_up() {
    check_replies(
        Service::Smtp,
        r"
        C: EHLO x
        C: MAIL FROM:<a@b>
        C: RCPT TO:<alice@example.org>
        C: BDAT 1000 LAST
        C: x\c
        wait
        ",
        &expect![[r#"
            C: MAIL FROM:<a@b>
            S: 250 2.1.0 ok
            C: RCPT TO:<alice@example.org>
            S: 250 2.1.5 ok
            C: BDAT 1000 LAST
            C: x\c
            wait
            S: 451 4.4.2 timeout (#4.4.2)
            *: close 256
        "#]],
    );
}

#[test]
fn addresses_beyond_ascii_need_smtputf8() {
    check(
        Service::Smtp,
        r"
        C: EHLO x
        C: MAIL FROM:<josé@example.net>
        C: MAIL FROM:<josé@example.net> SMTPUTF8
        C: RCPT TO:<Zoë@example.org>
        C: RCPT TO:<alice@example.org> NOTIFY=SUCCESS,DELAY ORCPT=utf-8;\\x{C9}@example.org
        C: DATA
        C: Subject: é
        C: .
        C: MAIL FROM:<a@example.net> BODY=8BITMIME RET=FULL ENVID=QQ314159
        C: RCPT TO:<alicé@example.org>
        ",
        &expect![[r#"
            C: MAIL FROM:<josé@example.net>
            L: qlogenvelope: result=rejected code=553 reason=syntax detail=nonascii helo=x mailfrom=jos\xc3\xa9@example.net rcptto= relay=no rcpthosts= size= authuser= authtype= encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 553 5.6.7 sorry, that address needs SMTPUTF8 (#5.6.7)
            C: MAIL FROM:<josé@example.net> SMTPUTF8
            L: CHKUSER accepted sender: from <jos\xc3\xa9@example.net|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : sender accepted pid=7
            S: 250 2.1.0 ok
            C: RCPT TO:<Zoë@example.org>
            L: CHKUSER rejected rcpt: from <jos\xc3\xa9@example.net|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <Zo\xc3\xab@example.org> : not existing recipient pid=7
            L: qlogenvelope: result=rejected code=550 reason=chkuser detail=nomailbox helo=x mailfrom=jos\xc3\xa9@example.net rcptto=Zo\xc3\xab@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 550 5.1.1 sorry, no mailbox here by that name. (#5.1.1)
            C: RCPT TO:<alice@example.org> NOTIFY=SUCCESS,DELAY ORCPT=utf-8;\\x{C9}@example.org
            L: CHKUSER accepted rcpt: from <jos\xc3\xa9@example.net|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <alice@example.org> : found existing recipient pid=7
            L: qlogenvelope: result=accepted code=250 reason=rcptto detail=chkuser helo=x mailfrom=jos\xc3\xa9@example.net rcptto=alice@example.org relay=no rcpthosts=yes size= authuser= authtype= encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 250 2.1.5 ok
            C: DATA
            S: 354 go ahead
            C: Subject: é
            C: .
            M: Received: from x (unknown [203.0.113.7])
            M:  by mx.example.org with UTF8SMTP id 77; Sat, 21 Nov 2026 12:00:00 +0000
            M: Subject: é
            L: qlogreceived: result=accepted code=250 reason=queueaccept detail= helo=x mailfrom=jos\xc3\xa9@example.net rcptto=alice@example.org relay=no rcpthosts= size=13 authuser= authtype= encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp=77 pid=7
            S: 250 2.0.0 ok 1795262400 qp 77
            C: MAIL FROM:<a@example.net> BODY=8BITMIME RET=FULL ENVID=QQ314159
            L: CHKUSER accepted sender: from <a@example.net|remoteinfo/auth:|chkuser-identify:> remote <helo:x|remotehostname:unknown|remotehostip:203.0.113.7> rcpt <> : sender accepted pid=7
            S: 250 2.1.0 ok
            C: RCPT TO:<alicé@example.org>
            L: qlogenvelope: result=rejected code=553 reason=syntax detail=nonascii helo=x mailfrom=a@example.net rcptto=alic\xc3\xa9@example.org relay=no rcpthosts= size= authuser= authtype= encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip=203.0.113.7 remoteport=40000 remotehost=unknown qp= pid=7
            S: 553 5.6.7 sorry, that address needs SMTPUTF8 (#5.6.7)
        "#]],
    );
}

#[test]
fn what_the_sender_wants_to_hear_goes_into_the_envelope() {
    let mut world = World::new(Service::Smtp, "203.0.113.7:40000");
    for line in [
        "EHLO x",
        "MAIL FROM:<a@example.net> RET=FULL ENVID=QQ314159",
        "RCPT TO:<alice@example.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x@example.com",
        "RCPT TO:<nobody@example.org> NOTIFY=NEVER",
        "RCPT TO:<bob@example.org>",
        "DATA",
    ] {
        world.feed(Input::Bytes(format!("{line}\r\n").as_bytes()));
    }
    expect![[r#"{"sender":"a@example.net","recipients":["alice@example.org","bob@example.org"],"received":1795262400000000000,"client":"203.0.113.7","session":7,"user":null,"wishes":{"ret":"full","envid":"QQ314159","each":[{"notify":{"success":true,"failure":false,"delay":true},"original":"rfc822;x@example.com"},{}]}}"#]].assert_eq(&serde_json::to_string(world.envelope.as_ref().unwrap()).unwrap());
}
