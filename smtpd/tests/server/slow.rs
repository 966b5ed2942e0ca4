//! Clients that take their time, each in another place: whoever can make a server wait for ever takes all its places.

use crate::clients::python;
use crate::house::{Client, House, Server};

const HURRY: &str = "[limits]\ncommand_timeout = \"1s\"\ndata_timeout = \"1s\"\nhandshake_timeout = \"1s\"\n\
    data_bytes_per_second_min = 1000\nidle_commands_max = 1_000_000\n";

fn hurried() -> (House, Server) {
    let house = House::with_services(HURRY);
    house.add_user("alice", "correct horse");
    let server = house.start();
    (house, server)
}

/// A session that was ended by the server, and has left nothing behind.
#[track_caller]
fn check_given_up(house: &House) {
    let log = house.wait_for_log("tcpserver: end 1 status 256\n");
    assert!(log.ends_with("tcpserver: status: 0/1000\n"), "{log}");
    assert!(house.run(&["queue", "list"]).1.is_empty());
}

#[test]
fn a_command_byte_by_byte_comes_to_an_end() {
    let (house, server) = hurried();
    let mut client = Client::connect(server.listen[0]);
    client.expect("", "220");
    let said = client.drip(b'x');
    assert!(said.starts_with("451 timeout (#4.4.2)\r\n"), "{said}");
    check_given_up(&house);
}

#[test]
fn a_message_byte_by_byte_comes_to_an_end() {
    let (house, server) = hurried();
    let mut client = Client::connect(server.listen[0]);
    client.expect("", "220");
    client.expect("MAIL FROM:<>", "250");
    client.expect("RCPT TO:<alice@example.org>", "250");
    client.expect("DATA", "354");
    let said = client.drip(b'x');
    assert!(said.starts_with("451 timeout (#4.4.2)\r\n"), "{said}");
    check_given_up(&house);
}

#[test]
fn a_chunk_byte_by_byte_comes_to_an_end() {
    let (house, server) = hurried();
    let mut client = Client::connect(server.listen[0]);
    client.expect("", "220");
    client.expect("EHLO x", "250");
    client.expect("MAIL FROM:<>", "250");
    client.expect("RCPT TO:<alice@example.org>", "250");
    client.send("BDAT 1000000 LAST\r\n");
    let said = client.drip(b'x');
    assert!(said.starts_with("451 4.4.2 timeout (#4.4.2)\r\n"), "{said}");
    check_given_up(&house);
}

#[test]
fn a_handshake_byte_by_byte_comes_to_an_end() {
    let (house, server) = hurried();
    let mut client = Client::connect(server.listen[2]);
    // The beginning of a record of TLS, of which each further byte may be the last but one.
    for byte in [0x16, 3, 1, 0x40, 0] {
        client.send_bytes(&[byte]);
    }
    client.drip(1);
    let log = house.wait_for_log("qmail-smtpd: read failed (tls connection failed): ");
    assert!(log.contains(" from 127.0.0.1 "), "{log}");
    check_given_up(&house);
}

#[test]
fn a_login_byte_by_byte_comes_to_an_end() {
    let (house, server) = hurried();
    let said = python(
        &server,
        2,
        "
c = smtplib.SMTP_SSL('127.0.0.1', port, context=tls, timeout=60)
c.ehlo()
assert c.docmd('AUTH', 'LOGIN')[0] == 334
c.sock.settimeout(0.02)
said = b''
while True:
    try:
        c.sock.sendall(b'a')
        more = c.sock.recv(1000)
        if not more: break
        said += more
    except TimeoutError: pass
    except OSError: break
print(said.decode())",
    );
    assert!(said.starts_with("451 "), "{said}");
    check_given_up(&house);
}

#[test]
fn replies_that_nobody_reads_are_not_kept_for_ever() {
    let (house, server) = hurried();
    let mut client = Client::connect(server.listen[0]);
    client.flood(&b"EHLO x\r\n".repeat(1000));
    check_given_up(&house);
    let log = house.log();
    assert!(log.contains("qmail-smtpd: timeout: (null) from 127.0.0.1 to (null) helo x pid=1\n"), "{log}");
}
