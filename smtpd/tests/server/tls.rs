//! Handshakes that go on while the world changes, and words that were said before them.

use crate::clients::python;
use crate::house::{House, wait_for};
use crate::logins::certificate;

/// What Python says of a server's certificate, and a handshake that it makes in two halves.
const HALVES: &str = r"
import socket
def begin(name):
    s = socket.create_connection(('127.0.0.1', port))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    o = tls.wrap_bio(incoming, outgoing, server_hostname=name)
    try: o.do_handshake()
    except ssl.SSLWantReadError: pass
    hello = outgoing.read()
    s.sendall(hello[:100])
    return s, incoming, outgoing, o, hello[100:]
def finish(s, incoming, outgoing, o, rest):
    s.sendall(rest)
    while True:
        try:
            o.do_handshake()
            break
        except ssl.SSLWantReadError:
            s.sendall(outgoing.read())
            incoming.write(s.recv(10000))
    s.sendall(outgoing.read())
    return o.getpeercert(True)
";

#[test]
fn a_reload_waits_for_no_handshake_and_ends_no_session() {
    let house = House::with_services("[[tls.host]]\nname = \"*.example.net\"\ncertificate = \"net.pem\"\n");
    certificate(&house.path(""), "net", None, "subjectAltName=DNS:*.example.net");
    certificate(&house.path(""), "new", None, "subjectAltName=DNS:*.example.net");
    let server = house.start();
    let (pem, new) = (house.path("net.pem"), house.path("new.pem"));
    let script = format!(
        "{HALVES}
import os, signal, time
def shown(name):
    with socket.create_connection(('127.0.0.1', port)) as s:
        return tls.wrap_socket(s, server_hostname=name).getpeercert(True)
c = smtplib.SMTP_SSL('127.0.0.1', port, context=tls)
c.ehlo()
old, usual = shown('mail.example.net'), shown('mx.example.org')
assert old != usual
# One label, and not the name itself or two.
assert shown('MX.example.net') == old and shown('example.net') == usual and shown('a.b.example.net') == usual
hanging = [begin('mail.example.net') for _ in range(20)]
os.rename({new:?}, {pem:?})
os.kill({pid}, signal.SIGHUP)
start = time.monotonic()
while shown('mail.example.net') == old:
    assert time.monotonic() - start < 50, 'no new certificate'
new = shown('mail.example.net')
# Those that had begun come to their end, with either certificate; the open session goes on.
assert {{finish(*h) for h in hanging}} <= {{old, new}}
assert c.noop()[0] == 250
c.quit()",
        pid = server.pid(),
    );
    python(&server, 2, &script);
    wait_for("all sessions to end", || Some(()).filter(|()| house.log().ends_with(" 0/1000\n")));
}

/// CVE-2011-0411, over a real connection: what came in the same packet as STARTTLS, or in the next before the handshake.
#[test]
fn what_comes_in_the_clear_behind_starttls_is_never_answered() {
    let house = House::with_services("");
    house.add_user("alice", "correct horse");
    let server = house.start();
    let said = python(
        &server,
        0,
        r"
import socket
for injected in [b'NOOP\r\n', b'EHLO forged\r\nMAIL FROM:<forged@example.org>\r\nRCPT TO:<alice@example.org>\r\n', b'AUTH PLAIN AGEAYg==\r\n', b'X']:
    s = socket.create_connection(('127.0.0.1', port))
    s.settimeout(20)
    s.recv(1000)
    s.sendall(b'EHLO x\r\n')
    s.recv(1000)
    s.sendall(b'MAIL FROM:<before@example.net>\r\n')
    s.recv(1000)
    s.sendall(b'STARTTLS\r\n' + injected)
    said = b''
    while not said.endswith(b'\n'): said += s.recv(1)
    assert said.startswith(b'220 2.0.0 '), said
    t = tls.wrap_socket(s)
    f = t.makefile('rb')
    t.sendall(b'RCPT TO:<alice@example.org>\r\nEHLO y\r\n')
    print(f.readline().decode().strip())
    t.sendall(b'QUIT\r\n')
    print(f.read().decode().splitlines()[-1])
",
    );
    assert_eq!(said, "503 MAIL first (#5.5.1)\n221 2.0.0 mx.example.org\n".repeat(4), "{said}");
    let log = house.log();
    assert!(!log.contains("forged") && !log.contains(": auth: "), "{log}");
}

#[test]
fn what_is_no_handshake_fails_it_and_is_no_command() {
    let house = House::with_services("");
    let server = house.start();
    let mut client = crate::house::Client::connect(server.listen[0]);
    client.expect("", "220");
    client.expect("EHLO x", "250");
    client.expect("STARTTLS", "220");
    client.send("MAIL FROM:<a@example.net>\r\nQUIT\r\n");
    while !client.hear().is_empty() {}
    let log = house.wait_for_log("tcpserver: end 1 status 256\n");
    assert!(
        log.contains("qmail-smtpd: read failed (tls connection failed): (null) from 127.0.0.1 "),
        "{log}"
    );
    assert!(!log.contains("a@example.net"), "{log}");
}
