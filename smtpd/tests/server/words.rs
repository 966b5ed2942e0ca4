//! The watcher's words as a server and a session under tcpserver take them.

use std::fs;

use crate::house::{Client, House};

fn house() -> House {
    let house = House::new("[[listen]]\naddress = \"127.0.0.1:0\"\nproxy = [\"127.0.0.1\"]\n");
    house.add_user("alice", "secret");
    let settings = fs::read_to_string(house.path("smtpd.toml")).unwrap();
    house.configure(&format!("words = \"words\"\n{settings}"));
    house
}

/// The words, the client, what it says, and what it hears.
const CASES: &[(&str, &str, &str, &str)] = &[
    (
        "198.51.100.7 auth-only 4000000000 password-guessing\n",
        "198.51.100.7",
        "MAIL FROM:<>",
        "451 sorry, mail from your address is taken after a login only, for now (#4.7.1) [password-guessing]\r\n",
    ),
    ("198.51.100.7 auth-only 4000000000 x\n", "198.51.100.8", "MAIL FROM:<>", "250 ok\r\n"),
    ("198.51.100.7 auth-only 1 long-ago\n", "198.51.100.7", "MAIL FROM:<>", "250 ok\r\n"),
    (
        "2001:db8::/32 slow 4000000000 spam-source\n",
        "2001:db8::7",
        "",
        "220 mx.example.org ESMTP, slowly for now [spam-source]\r\n",
    ),
    ("\0 damaged\n198.51.100.7\n", "198.51.100.7", "MAIL FROM:<>", "250 ok\r\n"),
];

#[test]
fn a_server_does_as_asked_from_the_next_session_on() {
    let house = house();
    let server = house.start();
    for (words, from, command, reply) in CASES {
        fs::write(house.path("words.new"), words).unwrap();
        fs::rename(house.path("words.new"), house.path("words")).unwrap();
        let mut client = Client::connect(server.listen[0]);
        let (family, ours) =
            if from.contains(':') { ("TCP6", "2001:db8::25") } else { ("TCP4", "192.0.2.25") };
        client.send(&format!("PROXY {family} {from} {ours} 40000 25\r\n"));
        if !command.is_empty() {
            client.expect("", "220 mx.example.org ESMTP\r\n");
        }
        assert_eq!(client.expect(command, ""), *reply, "{words}");
    }
    let log = house.log();
    for line in ["watcher: auth-only at 198.51.100.7\n", "watcher: slow at 2001:db8::7\n"] {
        assert_eq!(log.matches(line).count(), 1, "{log}");
    }
    assert!(log.contains(" code=451 reason=watcher detail=authonly "), "{log}");
}

#[test]
fn a_session_under_tcpserver_does_as_asked() {
    let house = house();
    for (words, from, command, reply) in CASES {
        fs::write(house.path("words"), words).unwrap();
        let said = if command.is_empty() { String::new() } else { format!("{command}\r\n") };
        let (heard, log) = house.session(&[("TCPREMOTEIP", from)], &said);
        assert!(heard.ends_with(reply), "{words} {heard} {log}");
        let is_asked = *reply != "250 ok\r\n";
        assert_eq!(log.contains(&format!(" at {from}\n")), is_asked, "{words} {log}");
    }
}
