//! What the whole server holds for a session of a client that wants it to hold much: the session's own 64 KiB, and TLS
//! and the socket within them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use crate::house::House;

/// Sessions at once, of each kind.
const SESSIONS: u64 = 150;

const SESSION_BYTES_MAX: u64 = 64 * 1024;

/// What the queue gathers of a message before it writes.
const MESSAGE_BYTES_MAX: u64 = 64 * 1024;

/// Opens so many sessions, does what its kind does in each until the server takes no more, holds them, and says so;
/// closes them when it is told to.
const CLIENT: &str = r#"
import smtplib, socket, ssl, sys
smtp, smtps, kind, count = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
tls = ssl._create_unverified_context()

def plain(greeted=True):
    s = socket.create_connection(('127.0.0.1', smtp))
    s.settimeout(20)
    if greeted: s.recv(1000)
    return s

def secure():
    s = socket.create_connection(('127.0.0.1', smtps))
    s.settimeout(20)
    s = tls.wrap_socket(s)
    s.recv(1000)
    return s

def send(s, data):
    # What the server does not take it does not hold.
    try: s.sendall(data)
    except OSError: pass
    return s

def handshake(come=35000):
    s = socket.create_connection(('127.0.0.1', smtps))
    s.settimeout(20)
    # A ClientHello of 60,000 bytes, of which the end never comes.
    hello = b'\x01' + (60000).to_bytes(3, 'big') + bytes(come)
    pieces = [hello[at:at + 16000] for at in range(0, len(hello), 16000)]
    return send(s, b''.join(b'\x16\x03\x01' + len(p).to_bytes(2, 'big') + p for p in pieces))

def long_handshake():
    return handshake(59000)

def record():
    s = secure()
    raw = s
    # A record of 16 KiB whose last byte never comes, behind half a login.
    raw.sendall(b'EHLO x\r\n'); raw.recv(1000)
    raw.sendall(b'AUTH LOGIN\r\n'); raw.recv(1000)
    raw.sendall(b'A' * 12000)
    under = socket.socket(fileno=raw.detach())
    return send(under, b'\x17\x03\x03\x40\x00' + bytes(16383))

def line():
    return send(plain(), b'AUTH PLAIN ' + b'A' * 12200)

def recipients():
    s = plain()
    s.sendall(b'EHLO ' + b'x' * 2000 + b'\r\nMAIL FROM:<a@example.net> RET=FULL\r\n')
    s.recv(4000)
    for n in range(100):
        local = b'%d' % n + b'x' * 230
        s.sendall(b'RCPT TO:<' + local + b'@example.org> ORCPT=rfc822;' + b'y' * 400 + b'\r\n')
        s.recv(1000)
    return send(s, b'RCPT TO:<' + b'z' * 1900)

def pipeline():
    return send(plain(False), b'NOOP\r\n' * 95 + b'x' * 2000)

def text():
    s = plain()
    s.sendall(b'MAIL FROM:<>\r\n'); s.recv(1000)
    s.sendall(b'RCPT TO:<alice@example.org>\r\n'); s.recv(1000)
    s.sendall(b'DATA\r\n'); s.recv(1000)
    return send(s, b'Message-ID: <' + b'x' * 100000)

held = [globals()[kind]() for _ in range(count)]
print('held', flush=True)
sys.stdin.readline()
"#;

/// Bytes of each session that a client of this kind holds open, as the kernel counts the server's memory.
fn held(kind: &str) -> u64 {
    let house = House::with_services(
        "[limits]\nconnections_max = 2000\nconnections_per_address_max = 2000\n[auth]\nin_clear = true\n\
         [[recipients]]\nkind = \"any\"\n",
    );
    house.add_user("alice", "correct horse");
    let server = house.start();
    let ports = [0, 2].map(|service| server.listen[service].port().to_string());
    let run = |count: u64| {
        let mut child = Command::new("python3")
            .args(["-c", CLIENT, &ports[0], &ports[1], kind, &count.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "held\n", "{kind}");
        let bytes = server.held_bytes();
        writeln!(child.stdin.take().unwrap()).unwrap();
        child.wait().unwrap();
        bytes
    };
    // What the server allocates once, for whatever it does the first time, is no session's.
    let before = run(1);
    run(SESSIONS).saturating_sub(before) / (SESSIONS - 1)
}

#[test]
fn no_client_makes_the_server_hold_more_for_a_session_than_it_may() {
    let kinds = ["handshake", "long_handshake", "record", "line", "recipients", "pipeline"];
    let found: Vec<(&str, u64)> = kinds.into_iter().map(|kind| (kind, held(kind))).collect();
    assert!(found.iter().all(|(_, bytes)| *bytes <= SESSION_BYTES_MAX), "{found:?}");
    // What has not been written to the queue yet is the message's, not the session's.
    let text = held("text");
    assert!(text <= SESSION_BYTES_MAX + MESSAGE_BYTES_MAX, "{text}");
}
