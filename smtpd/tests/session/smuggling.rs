//! One message hidden inside another: the sequences of the public scanners, in every split that TCP can make.

use smtpd::session::{BareNewline, Gone, Input, Service};

use crate::world::{World, policy};

/// What ends a message for some server: the union of three public scanners.
const SEQUENCES: &[&[u8]] = &[
    b"\n.\n",
    b"\n.\r",
    b"\r.\n",
    b"\r.\r",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\r\n\0.\r",
    b"\r\n\0.\n",
    b"\r\n.\r\r\n",
    b"\r\r\n.\r\r\n",
    b"\n\n.\r\n",
    b"\r\n.",
];

const OUTER: &[u8] = b"EHLO x\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<alice@example.org>\r\n";
const INNER: &[u8] =
    b"MAIL FROM:<forged@example.org>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nforged\r\n.\r\n";

/// What a session did with these pieces, its lines apart from what they carry.
fn deal(pieces: &[&[u8]], bare_newline: BareNewline) -> World {
    let mut policy = policy();
    policy.limits.bare_newline = bare_newline;
    let mut world = World::under(policy, Service::Smtp, "203.0.113.7:40000");
    for piece in pieces {
        if world.open {
            world.feed(Input::Bytes(piece));
        }
    }
    if world.open {
        world.feed(Input::Gone(Gone::Closed));
    }
    world
}

/// Only one message may come of it, or none; and nobody else may have sent it.
#[track_caller]
fn check(pieces: &[&[u8]], what: &[u8]) {
    for bare_newline in [BareNewline::Refused, BareNewline::EndsLine] {
        let world = deal(pieces, bare_newline);
        let facts: Vec<&str> = world.transcript.iter().filter_map(|line| line.strip_prefix("L: ")).collect();
        assert!(!facts.iter().any(|fact| fact.contains("mailfrom=forged")), "{what:?}: {facts:?}");
        let accepted = facts.iter().filter(|fact| fact.starts_with("qlogreceived: result=accepted"));
        assert!(accepted.count() <= 1, "{what:?}: {facts:?}");
    }
}

#[test]
fn no_sequence_of_the_scanners_ends_a_message_in_any_split() {
    for sequence in SEQUENCES {
        for before in [&b"text"[..], b"", b"a.", &[b'x'; 998], &[b'x'; 1000]] {
            let attack = [OUTER, b"DATA\r\n", before, sequence, INNER].concat();
            check(&[&attack], sequence);
            check(&attack.iter().map(std::slice::from_ref).collect::<Vec<_>>(), sequence);
            // Only splits in and around the sequence can matter; the others are all bytes by themselves, above.
            let start = OUTER.len() + 6 + before.len();
            for at in start.saturating_sub(2)..(start + sequence.len() + 3) {
                let (first, second) = attack.split_at(at);
                check(&[first, second], sequence);
                let (second, third) = second.split_at(1);
                check(&[first, second, third], sequence);
            }
        }
    }
}

#[test]
fn no_sequence_of_the_scanners_ends_a_chunk() {
    for sequence in SEQUENCES {
        let body = [b"text", *sequence, INNER].concat();
        let attack = [OUTER, format!("BDAT {} LAST\r\n", body.len()).as_bytes(), &body].concat();
        for at in OUTER.len()..attack.len() {
            let (first, second) = attack.split_at(at);
            check(&[first, second], sequence);
        }
    }
}

/// The one end there is, as the first bytes of the message, behind a full line, and behind a stuffed dot.
#[test]
fn crlf_dot_crlf_ends_a_message_in_any_split() {
    for text in [&b""[..], b"..\r\n", &[&[b'x'; 998][..], b"\r\n"].concat(), b"a\r\n"] {
        let session = [OUTER, b"DATA\r\n", text, b".\r\nQUIT\r\n"].concat();
        for at in 0..session.len() {
            let (first, second) = session.split_at(at);
            let world = deal(&[first, second], BareNewline::Refused);
            let replies =
                world.transcript.iter().filter(|line| line.starts_with("S: 250 2.0.0 ok 17952624")).count();
            assert_eq!((replies, world.transcript.last().map(String::as_str)), (1, Some("*: close 0")));
        }
    }
}

/// Chunks among commands that did not wait for a reply, one after a mistake, and the last of them empty: in every split
/// the same replies, and nothing in a chunk is a command.
#[test]
fn chunks_and_commands_at_once_are_told_apart_in_any_split() {
    let forged = b"RSET\r\nMAIL FROM:<forged@example.org>\r\n";
    let chunk = |last: &str| [format!("BDAT {}{last}\r\n", forged.len()).as_bytes(), forged].concat();
    let session = [
        OUTER,
        &chunk(""),
        // Neither goes together with a chunk.
        b"DATA\r\nRCPT TO:<bob@example.org>\r\n",
        b"BDAT 0\r\n",
        &chunk(""),
        b"BDAT 0 LAST\r\n",
        // There is no message any more; what these hold is nobody's.
        &chunk(""),
        &chunk(" LAST"),
        &OUTER[8..],
        // A line end that is none spoils the message, and the chunks that were sent behind it.
        b"BDAT 4\r\na\nb\n",
        &chunk(" LAST"),
        &OUTER[8..],
        b"DATA\r\n",
    ]
    .concat();
    let after = b"BDAT 3 LAST\r\n.\r\nNOOP\r\nBDAT 6\r\nQUIT\r\nQUIT\r\n";
    let session = [&session[..], after].concat();
    let replies = |pieces: &[&[u8]]| {
        let world = deal(pieces, BareNewline::Refused);
        let facts = world.transcript.iter().filter(|line| line.contains("mailfrom=forged"));
        assert_eq!(facts.count(), 0, "{:?}", world.transcript);
        let replies =
            world.transcript.iter().filter(|line| line.starts_with("S: ") && !line.contains("250-"));
        replies.map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect::<Vec<String>>().join(" ")
    };
    let expected =
        "220 250 250 250 250 503 503 250 250 250 503 503 250 250 451 503 250 250 354 250 250 503 221";
    for at in 0..session.len() {
        let (first, second) = session.split_at(at);
        assert_eq!(replies(&[first, second]), expected, "split at {at}");
    }
    assert_eq!(replies(&session.iter().map(std::slice::from_ref).collect::<Vec<_>>()), expected);
}

/// What came in the clear behind STARTTLS is another's word (CVE-2011-0411): it is not read after the handshake, and
/// nothing that was said before is known any more.
#[test]
fn nothing_that_came_before_the_handshake_counts_after_it() {
    for injected in [
        &b"RSET\r\n"[..],
        b"EHLO forged\r\nMAIL FROM:<forged@example.org>\r\n",
        b"AUTH PLAIN AGFsaWNlQGV4YW1wbGUub3JnAHNlY3JldA==\r\n",
        b"NOOP",
        b"\r\n",
    ] {
        // What comes later, while the handshake is made, is the handshake's and fails it.
        let clear = [b"EHLO x\r\nMAIL FROM:<a@example.net>\r\nSTARTTLS\r\n", injected].concat();
        for at in 0..clear.len() - injected.len() - 1 {
            let (first, second) = clear.split_at(at);
            let mut world = World::new(Service::Smtp, "203.0.113.7:40000");
            world.feed(Input::Bytes(first));
            world.feed(Input::Bytes(second));
            let handshake = world.transcript.iter().position(|line| line == "*: handshake").unwrap();
            assert_eq!(world.transcript.len(), handshake + 1, "{injected:?}: {:?}", world.transcript);
            world.feed(Input::Bytes(b"RCPT TO:<alice@example.org>\r\nDATA\r\n"));
            let replies: Vec<&String> =
                world.transcript[handshake..].iter().filter(|line| line.starts_with("S: ")).collect();
            assert_eq!(replies, ["S: 503 MAIL first (#5.5.1)", "S: 503 MAIL first (#5.5.1)"]);
            assert!(
                !world.transcript[handshake..].iter().any(|line| line.contains("helo=x")),
                "{:?}",
                world.transcript
            );
        }
    }
}
