//! Bytes that a client chose to do harm.

use std::time::Duration;

use proptest::prelude::*;
use smtpd::session::{Gone, Input, Service};

use crate::world::{World, run};

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
