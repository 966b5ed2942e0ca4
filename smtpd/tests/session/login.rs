//! TLS and logins.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use expect_test::expect;
use logline::Mechanism;
use smtpd::session::{Client, Handshake, Input, Service};

use crate::world::{World, check_replies, check_whole, converse, cram_md5, policy};

#[test]
fn a_login_needs_tls_and_lets_the_client_relay() {
    check_whole(
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

/// A client that speaks SCRAM by itself, so that server and client are not the same code.
mod scram {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use hmac::{Hmac, Mac as _};
    use sha2::{Digest as _, Sha256};

    fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(text);
        mac.finalize().into_bytes().to_vec()
    }

    pub(super) fn first(header: &str) -> String {
        STANDARD.encode(format!("{header}n=alice@example.org,r=abc"))
    }

    /// The answer to `S: 334 …`, and what the server must say then.
    pub(super) fn last(header: &str, bound: &[u8], challenge: &str) -> (String, String) {
        let server = String::from_utf8(STANDARD.decode(challenge).unwrap()).unwrap();
        let nonce = server.split(',').next().unwrap().strip_prefix("r=").unwrap();
        assert!(server.ends_with(",s=c2FsdA==,i=2") && nonce.len() > "abc".len() + 20, "{server}");
        let first = hmac(b"secret", b"salt\0\0\0\x01");
        let salted: Vec<u8> = first.iter().zip(hmac(b"secret", &first)).map(|(a, b)| a ^ b).collect();
        let client_key = hmac(&salted, b"Client Key");
        let binding = STANDARD.encode([header.as_bytes(), bound].concat());
        let said = format!("n=alice@example.org,r=abc,{server},c={binding},r={nonce}");
        let signature = hmac(&Sha256::digest(&client_key), said.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        let last = format!("c={binding},r={nonce},p={}", STANDARD.encode(proof));
        let server = format!("v={}", STANDARD.encode(hmac(&hmac(&salted, b"Server Key"), said.as_bytes())));
        (STANDARD.encode(last), STANDARD.encode(server))
    }
}

fn with_all_mechanisms() -> World {
    let mut policy = policy();
    policy.auth.mechanisms = Mechanism::ALL.to_vec();
    let mut world = World::closed(policy, Service::Smtps, "203.0.113.7:40000");
    world.handshake = Handshake {
        version: Some("TLSv1.3"),
        cipher: Some("TLS_AES_256_GCM_SHA384"),
        exporter: Some([9; 32]),
        end_point: Some(vec![8; 32]),
        client: None,
    };
    world.feed(Input::Connected);
    world.send("EHLO x");
    world
}

#[test]
fn scram_proves_both_sides_and_may_be_bound_to_the_connection() {
    for (mechanism, header, bound, right) in [
        ("scram-sha-256", "n,,", &b""[..], true),
        ("SCRAM-SHA-256-PLUS", "p=tls-exporter,,", &[9; 32], true),
        ("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,", &[8; 32], true),
        // Another connection than the client's own.
        ("SCRAM-SHA-256-PLUS", "p=tls-exporter,,", &[7; 32], false),
        // Somebody took the offer to bind away from what the client heard.
        ("SCRAM-SHA-256", "y,,", b"", false),
        ("SCRAM-SHA-256-PLUS", "n,,", b"", false),
    ] {
        let mut world = with_all_mechanisms();
        world.send(&format!("AUTH {mechanism} {}", scram::first(header)));
        let said = world.last_reply();
        let heard = match said.strip_prefix("334 ") {
            Some(challenge) => {
                let (last, server) = scram::last(header, bound, challenge);
                world.send(&last);
                let heard = world.last_reply();
                if right {
                    assert_eq!(heard, format!("334 {server}"));
                    world.send("");
                }
                world.last_reply()
            }
            None => said,
        };
        let expected = if right {
            "235 2.7.0 ok, go ahead (#2.0.0)"
        } else {
            "535 5.7.8 authentication failed (#5.7.1)"
        };
        assert_eq!(heard, expected, "{mechanism} {header}");
        let outcome = if right { "success" } else { "failed" };
        let fact = format!(
            "L: qmail-smtpd[7]: auth: auth-{outcome} type={} user=<alice@example.org>",
            mechanism.to_ascii_lowercase()
        );
        assert!(world.transcript.contains(&fact), "{:#?}", world.transcript);
    }
}

#[test]
fn cram_md5_is_offered_only_where_it_is_switched_on() {
    let mut world = World::new(Service::Smtps, "203.0.113.7:40000");
    world.send("EHLO x");
    world.send("AUTH CRAM-MD5");
    assert_eq!(world.last_reply(), "504 5.5.4 auth type unimplemented (#5.5.1)");
    let mut challenges = std::collections::HashSet::new();
    for (password, reply) in [("right", "235 2.7.0"), ("wrong", "535 5.7.8")] {
        let mut world = with_all_mechanisms();
        world.now = world.now + std::time::Duration::from_nanos(challenges.len() as u64);
        world.send("AUTH CRAM-MD5");
        let challenge = world.last_reply();
        let challenge = STANDARD.decode(challenge.strip_prefix("334 ").unwrap()).unwrap();
        let challenge = String::from_utf8(challenge).unwrap();
        let mut response = cram_md5(&challenge);
        if password == "wrong" {
            response.reverse();
        }
        world.send(&STANDARD.encode([b"alice@example.org ", &response[..]].concat()));
        assert!(world.last_reply().starts_with(reply), "{:?}", world.last_reply());
        assert!(challenges.insert(challenge), "a challenge came twice");
    }
}

#[test]
fn who_has_logged_in_may_have_to_send_as_itself() {
    let mut rules = policy();
    rules.auth.own_sender = true;
    rules.auth.required = true;
    let script = r"
        C: EHLO x
        C: MAIL FROM:<alice@example.org>
        C: AUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldA==
        C: MAIL FROM:<bob@example.org>
        C: MAIL FROM:<ALICE@example.org>
        C: MAIL FROM:<>
    ";
    let transcript = converse(World::under(rules, Service::Smtps, "203.0.113.7:40000"), script);
    let replies = transcript.lines().filter(|line| line.starts_with("S: ") && !line.starts_with("S: 250-"));
    expect![[r#"
        S: 220 mx.example.org ESMTP
        S: 250 SIZE 1000
        S: 530 5.7.0 authentication required (#5.7.1)
        S: 235 2.7.0 ok, go ahead (#2.0.0)
        S: 503 5.7.1 from and auth not the same (#5.5.4)
        S: 250 2.1.0 ok
        S: 250 2.1.0 ok
    "#]]
    .assert_eq(&replies.map(|line| format!("{line}\n")).collect::<String>());
}

#[test]
fn a_certificate_of_a_known_client_lets_it_relay_and_any_other_lets_it_in() {
    for (addresses, verified, reply) in [
        (Some("Carol@example.org"), "yes", "250 ok"),
        (Some("mallory@example.org"), "yes", "553 sorry, that domain"),
        (None, "no", "553 sorry, that domain"),
    ] {
        let mut world = World::closed(policy(), Service::Smtps, "203.0.113.7:40000");
        world.handshake.client = addresses.map(|address| Client { addresses: vec![address.to_owned()] });
        world.feed(Input::Connected);
        world.send("MAIL FROM:<a@b>");
        world.send("RCPT TO:<dave@example.com>");
        assert!(world.last_reply().starts_with(reply), "{addresses:?}: {}", world.last_reply());
        assert!(world.transcript.iter().any(|line| line.contains(&format!(" sslverified={verified} "))));
    }
}

#[test]
fn version_and_cipher_stand_in_the_journal_and_in_the_message() {
    let mut world = with_all_mechanisms();
    for line in ["MAIL FROM:<a@b>", "RCPT TO:<alice@example.org>", "DATA", "x", "."] {
        world.send(line);
    }
    let transcript = world.transcript.join("\n");
    assert!(
        transcript.contains(
            "\nM:  by mx.example.org with ESMTPS id 77\nM:  tls TLS_AES_256_GCM_SHA384 (TLSv1.3); "
        )
    );
    assert!(transcript.contains(" qp=77 pid=7 tls=TLSv1.3:TLS_AES_256_GCM_SHA384\n"), "{transcript}");
}
