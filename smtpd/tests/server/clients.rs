//! Clients that others wrote.

use std::process::{Command, Stdio};

use crate::house::{House, Server};

/// Runs a client to its end: whether it was content, and all it said.
pub(crate) fn client(program: &str, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

fn house() -> (House, Server) {
    let house = House::with_services("");
    house.add_user("alice", "correct horse");
    house.add_user("bob", "battery staple");
    let server = house.start();
    (house, server)
}

/// Runs a script of Python to its end, and gives what it printed.
#[track_caller]
pub(crate) fn python(server: &Server, service: usize, script: &str) -> String {
    let script = format!(
        "import smtplib, ssl\nport = {}\ntls = ssl._create_unverified_context()\nwrong = smtplib.SMTPAuthenticationError\n{script}",
        server.listen[service].port()
    );
    let (content, said) = client("python3", &["-c", &script]);
    assert!(content, "{said}");
    said
}

#[test]
fn python_sends_after_starttls_and_login() {
    let (house, server) = house();
    python(
        &server,
        1,
        "
c = smtplib.SMTP('127.0.0.1', port)
c.starttls(context=tls)
c.login('alice@example.org', 'correct horse')
c.sendmail('alice@example.org', ['bob@example.org', 'BOB+list@example.org'], 'Subject: from python\\r\\n\\r\\n.dots\\r\\n..\\r\\n')
c.quit()",
    );
    house.wait_for_log("end msg");
    let mail = house.mail("bob");
    assert_eq!(mail.len(), 2);
    for mail in mail {
        assert!(mail.starts_with("Return-Path: <alice@example.org>\nDelivered-To: "), "{mail}");
        assert!(
            mail.contains("(authenticated alice@example.org)\n by mx.example.org with ESMTPSA id "),
            "{mail}"
        );
        assert!(mail.contains("\nSubject: from python\nMessage-ID: <"), "{mail}");
        assert!(mail.ends_with("@mx.example.org>\n\n.dots\n..\n"), "{mail}");
    }
    let log = house.log();
    assert!(log.contains(": auth: auth-success type=plain user=<alice@example.org>\n"), "{log}");
    assert!(!log.contains("correct"), "{log}");
}

#[test]
fn a_wrong_password_is_refused_and_told_apart_by_its_fingerprint() {
    let (house, server) = house();
    python(
        &server,
        2,
        "
for user, password in [('alice', 'first'), ('alice', 'second'), ('nobody', 'first')]:
    c = smtplib.SMTP_SSL('127.0.0.1', port, context=tls)
    c.user, c.password = user, password
    c.ehlo()
    for mechanism, how in [('PLAIN', c.auth_plain), ('LOGIN', c.auth_login)]:
        try:
            c.auth(mechanism, how)
            assert False
        except wrong as error:
            assert error.smtp_code == 535, error
    c.quit()",
    );
    let log = house.log();
    let fingerprints: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split(": auth: auth-failed ").nth(1)?.split(" fingerprint=").nth(1))
        .collect();
    assert_eq!(fingerprints.len(), 6, "{log}");
    assert_eq!(fingerprints[0], fingerprints[1]);
    assert_eq!(fingerprints[0], fingerprints[4]);
    assert_ne!(fingerprints[0], fingerprints[2]);
    assert_eq!(log.matches(" reason=authfailed ").count(), 6, "{log}");
    assert!(!log.contains("first") && !log.contains("second"), "{log}");
}

#[test]
fn swaks_is_served_on_every_port() {
    let (house, server) = house();
    let ports = [0, 1, 2].map(|n| server.listen[n].port().to_string());
    let common =
        ["--server", "127.0.0.1", "--from", "alice@example.org", "--to", "bob@example.org", "--port"];
    for (port, more) in [
        (&ports[0], &["--pipeline"][..]),
        (&ports[0], &["--tls"]),
        (
            &ports[1],
            &["--tls", "--auth", "PLAIN", "--auth-user", "alice", "--auth-password", "correct horse"],
        ),
        (
            &ports[1],
            &["--tls", "--auth", "LOGIN", "--auth-user", "alice", "--auth-password", "correct horse"],
        ),
        (&ports[2], &["--tls-on-connect"]),
    ] {
        let arguments = [&common[..], &[port.as_str()], more].concat();
        let (content, said) = client("swaks", &arguments);
        assert!(content, "{arguments:?}: {said}");
    }
    crate::house::wait_for("five messages", || Some(()).filter(|()| house.mail("bob").len() == 5));
    let (content, said) = client("swaks", &[&common[..], &[ports[1].as_str()]].concat());
    assert!(!content && said.contains("530 5.7.0 Must issue a STARTTLS command first"), "{said}");
    let wrong = ["--tls", "--auth", "PLAIN", "--auth-user", "alice", "--auth-password", "guess"];
    let (content, said) = client("swaks", &[&common[..], &[ports[1].as_str()], &wrong].concat());
    assert!(!content && said.contains("535 5.7.8 authentication failed (#5.7.1)"), "{said}");
}

#[test]
fn swaks_speaks_through_a_balancer_and_hangs_up_where_it_likes() {
    let house = House::new("[[listen]]\naddress = \"127.0.0.1:0\"\nproxy = [\"127.0.0.1\"]\n");
    house.add_user("bob", "battery staple");
    let server = house.start();
    let port = server.listen[0].port().to_string();
    let common =
        ["--server", "127.0.0.1", "--port", &port, "--from", "a@example.net", "--to", "bob@example.org"];
    let through = |version: &'static str| {
        let ends = ["--proxy-source", "198.51.100.7", "--proxy-source-port", "4711"];
        let more = ["--proxy-dest", "203.0.113.25", "--proxy-dest-port", "25", "--proxy-family"];
        let family = if version == "1" { "TCP4" } else { "AF_INET" };
        [&["--proxy-version", version][..], &ends, &more, &[family]].concat()
    };
    for version in ["1", "2"] {
        let (content, said) = client("swaks", &[&common[..], &through(version)].concat());
        assert!(content, "{version}: {said}");
    }
    for event in ["EHLO", "MAIL", "RCPT", "DATA"] {
        for way in ["--drop-after", "--drop-after-send"] {
            client("swaks", &[&common[..], &through("1"), &[way, event]].concat());
        }
    }
    let log = house.wait_for_log("tcpserver: end 10 status ");
    assert_eq!(log.matches(" :198.51.100.7::4711\n").count(), 10, "{log}");
    crate::house::wait_for("two messages", || Some(()).filter(|()| house.mail("bob").len() == 2));
    assert!(house.run(&["queue", "list"]).1.is_empty());
}

#[test]
fn smtp_source_gives_many_messages_at_once() {
    let (house, server) = house();
    let address = server.listen[0].to_string();
    // Eight in one session each, then each in a session of its own.
    for (count, more) in [("40", &["-d"][..]), ("20", &["-c", "-o"])] {
        let common =
            ["-4", "-l", "4096", "-s", "8", "-m", count, "-f", "a@example.net", "-t", "bob@example.org"];
        let (content, said) = client("/usr/sbin/smtp-source", &[&common[..], more, &[&address]].concat());
        assert!(content, "{said}");
    }
    crate::house::wait_for("all messages", || Some(()).filter(|()| house.mail("bob").len() == 60));
}

#[test]
fn openssl_makes_both_handshakes() {
    let (_house, server) = house();
    for (service, more) in [(0, &["-starttls", "smtp", "-tls1_2"][..]), (2, &["-tls1_3"])] {
        let address = server.listen[service].to_string();
        let (_, said) = client("openssl", &[&["s_client", "-connect", &address, "-brief"], more].concat());
        assert!(said.contains("CONNECTION ESTABLISHED"), "{said}");
    }
    let address = server.listen[2].to_string();
    let (_, said) = client("openssl", &["s_client", "-connect", &address, "-brief", "-tls1_1"]);
    assert!(!said.contains("CONNECTION ESTABLISHED"), "{said}");
}
