//! How much a session holds: no client makes it more than 64 KiB, besides the message that is being kept.

#![expect(unsafe_code, reason = "only an allocator can count what is allocated")]
#![expect(clippy::unwrap_used, reason = "a helper of a test fails with the test")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;

use logline::{SessionId, Timestamp};
use smtpd::config::Config;
use smtpd::connection::READ_BYTES;
use smtpd::session::{
    Ask, Finding, Grant, Input, MailDomain, OpenAnswer, Output, PasswordAnswer, Peer, RecipientAnswer,
    Service, Session, StoreAnswer,
};

/// Most that a session may hold.
const SESSION_BYTES_MAX: isize = 64 * 1024;

thread_local!(static HELD: Cell<isize> = const { Cell::new(0) });
thread_local!(static MOST: Cell<isize> = const { Cell::new(0) });

struct Counting;

fn count(bytes: isize) {
    // A thread that ends allocates no more that matters.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
    });
}

// SAFETY: every call goes to the system's allocator as it came; only numbers are kept beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promises are those that the system asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: the pointer came from `alloc` above, which is the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn answer(ask: &Ask) -> Input<'static> {
    match ask {
        Ask::Password { .. } | Ask::Response { .. } => Input::Password(PasswordAnswer::WrongProof),
        Ask::Credential { .. } => Input::Credential(smtpd::session::CredentialAnswer::Unavailable),
        Ask::Recipient(_) | Ask::Relayed(_) => Input::Recipient(RecipientAnswer::Known),
        Ask::Blocklist { .. } => Input::Blocklist(smtpd::blocklist::LookUp::Resting),
        Ask::Inquire(_) => Input::Inquired(Finding::Domain(MailDomain::Takes)),
        // What is behind the envelope is the message.
        Ask::Open(_) => Input::Opened(OpenAnswer::Open { qp: 1 }),
        Ask::Store => Input::Stored(StoreAnswer::Stored),
    }
}

/// The most that a session held, its outputs included, while a client sent this.
fn most(service: Service, input: &[u8]) -> isize {
    let settings =
        "hostname = \"mx.example.org\"\ndomains = [\"example.org\"]\n[[dnsbl]]\nzone = \"list.example\"\n";
    let policy = Arc::new(Config::parse("smtpd.toml", settings).unwrap().policy);
    let [local, remote]: [SocketAddr; 2] =
        ["192.0.2.25:25", "203.0.113.7:4000"].map(|end| end.parse().unwrap());
    let now = Timestamp::from_seconds(1_795_262_400);
    let before = HELD.get();
    MOST.set(before);
    let peer =
        Peer { session: SessionId(7), service, tls_available: true, local, remote, grant: Grant::default() };
    let mut session = Session::new(policy, peer, now);
    let mut out = Vec::new();
    session.handle(now, Input::Connected, &mut out);
    let mut chunks = input.chunks(READ_BYTES);
    loop {
        let mut next = None;
        for output in out.drain(..) {
            match output {
                Output::Ask(ask) => next = Some(answer(&ask)),
                Output::More => next = Some(Input::Resume),
                Output::StartTls => next = Some(Input::TlsDone(Box::default())),
                Output::Close(_) => return MOST.get() - before,
                Output::Reply(_) | Output::Fact(_) | Output::Body(_) | Output::Discard | Output::Pause(_) => {
                }
            }
        }
        let Some(input) = next.or_else(|| chunks.next().map(Input::Bytes)) else {
            return MOST.get() - before;
        };
        session.handle(now, input, &mut out);
    }
}

#[track_caller]
fn check(service: Service, what: &str, input: &[u8]) {
    let most = most(service, input);
    assert!(most <= SESSION_BYTES_MAX, "{what}: {most} bytes");
}

#[test]
fn no_client_makes_a_session_hold_more_than_it_may() {
    let smtp = Service::Smtp;
    check(smtp, "a line without end", &[b'x'; 1_000_000]);
    check(smtp, "a login without end", &[b"AUTH PLAIN ", &[b'x'; 1_000_000][..]].concat());
    check(smtp, "commands that are none", &b"\r\n".repeat(100_000));
    check(smtp, "commands at once", &b"NOOP\r\n".repeat(100_000));
    check(smtp, "half a command each time", &b"MAIL FROM:<alice@example.net>\r\n".repeat(30_000));
    let long = format!("MAIL FROM:<{}@example.net>\r\n", "x".repeat(1900));
    check(smtp, "addresses that are too long", long.repeat(500).as_bytes());
    let name = format!("EHLO {}\r\n", "x".repeat(2000));
    check(smtp, "names that are too long", name.repeat(99).as_bytes());
    let mut recipients = "EHLO x\r\nMAIL FROM:<a@example.net> RET=FULL\r\n".to_owned();
    let original = "y".repeat(400);
    for n in 0..2000 {
        let local = format!("{n}{}", "x".repeat(240));
        recipients += &format!("RCPT TO:<{local}@example.org> ORCPT=rfc822;{original}\r\n");
    }
    check(smtp, "recipients with all they can have", recipients.as_bytes());
    let envelope = "EHLO x\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\n";
    let header = format!("{envelope}DATA\r\nMessage-ID: <{}\r\n", "x".repeat(1_000_000));
    check(smtp, "a header without end", header.as_bytes());
    let chunk = format!("{envelope}BDAT 1000000 LAST\r\n{}", "x\r\n".repeat(333_333));
    check(smtp, "a long chunk", chunk.as_bytes());
    let secrets = format!("EHLO x\r\n{}", format!("AUTH PLAIN {}\r\n", "eA".repeat(6000)).repeat(20));
    check(Service::Smtps, "long logins", secrets.as_bytes());
}
