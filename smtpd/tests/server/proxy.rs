//! The header that a balancer puts in front, over a real connection: cut in every place, malformed, and from strangers.

use crate::house::{Client, House, Server, wait_for};

fn house(proxies: &str) -> (House, Server) {
    let limits = "[limits]\nconnections_max = 1000\nconnections_per_address_max = 1000\n";
    let house = House::new(&format!("[[listen]]\naddress = \"127.0.0.1:0\"\nproxy = [{proxies}]\n{limits}"));
    let server = house.start();
    (house, server)
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Version 2: command and family, the addresses, and whatever stands behind them.
fn version_2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, block].concat()
}

const FOUR: [u8; 12] = [198, 51, 100, 7, 203, 0, 113, 25, 0x12, 0x67, 0, 25];

/// An authority (2), an identifier (5) and nothing at all (4), as haproxy's proxy-protocol.txt numbers them.
const EXTENSIONS: &[u8] = b"\x02\x00\x0bmail.exampl\x05\x00\x02id\x04\x00\x00";

#[test]
fn a_header_is_read_wherever_it_is_cut() {
    let (house, server) = house("\"127.0.0.1\"");
    let mut sessions = 0;
    for header in [
        b"PROXY TCP4 198.51.100.7 203.0.113.25 4711 25\r\n".to_vec(),
        version_2(0x21, 0x11, &FOUR),
        version_2(0x21, 0x11, &[&FOUR[..], EXTENSIONS].concat()),
    ] {
        for cut in 0..=header.len() {
            let mut client = Client::connect(server.listen[0]);
            client.send_bytes(&header[..cut]);
            client.send_bytes(&[&header[cut..], b"EHLO x\r\nQUIT\r\n"].concat());
            client.expect("", "220");
            client.expect("", "250");
            client.expect("", "221");
            sessions += 1;
        }
    }
    let came = || house.log().matches(":203.0.113.25:25 :198.51.100.7::4711\n").count();
    wait_for("all sessions", || Some(()).filter(|()| came() == sessions));
}

#[test]
fn a_header_stands_before_the_handshake_too() {
    let house =
        House::new("[[listen]]\naddress = \"127.0.0.1:0\"\nproxy = [\"127.0.0.1\"]\nservice = \"smtps\"\n");
    let server = house.start();
    crate::clients::python(
        &server,
        0,
        "
import socket
for header in [b'PROXY TCP6 2001:db8::7 2001:db8::25 4711 465\\r\\n', b'\\r\\n\\r\\n\\0\\r\\nQUIT\\n\\x21\\x11\\0\\x0c' + bytes([198, 51, 100, 7, 203, 0, 113, 25, 0x12, 0x67, 0, 25])]:
    s = socket.create_connection(('127.0.0.1', port))
    s.sendall(header)
    t = tls.wrap_socket(s)
    assert t.recv(100).startswith(b'220 ')
    t.sendall(b'QUIT\\r\\n')
    assert t.recv(100).startswith(b'221 ')",
    );
    let log = house.wait_for_log("tcpserver: end 2 ");
    for fact in [":2001:db8::25:465 :2001:db8::7::4711\n", ":203.0.113.25:25 :198.51.100.7::4711\n"] {
        assert!(log.contains(fact), "{fact} in {log}");
    }
}

#[test]
fn what_is_no_header_is_no_session() {
    let (house, server) = house("\"127.0.0.1\"");
    let long = [b"PROXY TCP4 ", &[b'1'; 200][..], b"\r\n"].concat();
    for header in [
        &b"EHLO x\r\n"[..],
        b"PROXY TCP4 198.51.100.7 203.0.113.25 4711\r\n",
        b"PROXY TCP4 198.51.100.7 203.0.113.25 4711 25 26\r\n",
        b"PROXY TCP4 198.51.100.7 203.0.113.25 4711 65536\r\n",
        b"PROXY TCP4 198.51.100.7 203.0.113.25 +471 25\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 4711 25\r\n",
        b"PROXY TCP6 198.51.100.7 203.0.113.25 4711 25\r\n",
        b"PROXY TCP4  198.51.100.7 203.0.113.25 4711 25\r\n",
        b"PROXY TCP4 198.51.100.7 203.0.113.25 4711 25\nx",
        b"proxy TCP4 198.51.100.7 203.0.113.25 4711 25\r\n",
        &long,
        &version_2(0x11, 0x11, &FOUR),
        &version_2(0x22, 0x11, &FOUR),
        &version_2(0x21, 0x12, &FOUR),
        &version_2(0x21, 0x31, &[b'/'; 216]),
        &version_2(0x21, 0x11, &FOUR[..11]),
        &version_2(0x21, 0x21, &FOUR),
        &version_2(0x21, 0x11, &[0; 2000]),
    ] {
        let mut client = Client::connect(server.listen[0]);
        client.send_bytes(header);
        assert_eq!(client.hear(), "", "{header:?}");
    }
    assert!(!house.log().contains("tcpserver: pid "), "{}", house.log());
}

#[test]
fn a_balancer_that_looks_whether_the_server_lives_is_a_client_itself() {
    let (house, server) = house("\"127.0.0.1\"");
    for header in
        [&b"PROXY UNKNOWN\r\n"[..], b"PROXY UNKNOWN ::1 ::1 1 2\r\n", &version_2(0x20, 0, EXTENSIONS)]
    {
        let mut client = Client::connect(server.listen[0]);
        client.send_bytes(header);
        client.expect("", "220");
        client.expect("QUIT", "221");
        let fact = format!(":127.0.0.1::{}\n", client.port());
        house.wait_for_log(&fact);
    }
}

#[test]
fn a_stranger_is_not_believed() {
    let (house, server) = house("\"192.0.2.1\", \"2001:db8::/32\"");
    let mut client = Client::connect(server.listen[0]);
    client.send("PROXY TCP4 198.51.100.7 203.0.113.25 4711 25\r\n");
    client.expect("", "220");
    client.expect("", "500 unrecognized command");
    client.expect("QUIT", "221");
    let log = house.wait_for_log("tcpserver: end 1 status 0\n");
    assert!(log.contains("tcpserver: pid 1 from 127.0.0.1\n") && !log.contains("198.51.100.7"), "{log}");
}
