//! Start, stop, limits, crash.

use std::fs;

use crate::house::{Client, House, page, wait_for};

#[test]
fn a_message_that_was_accepted_survives_a_kill() {
    let house = House::with_services("");
    house.add_user("alice", "x");
    for n in 0..10 {
        let server = house.start();
        let mut client = Client::connect(server.listen[0]);
        client.expect("", "220");
        client.deliver("carol@example.net", &["alice@example.org"], &format!("Subject: {n}\r\n\r\ntext"));
        server.kill();
    }
    let server = house.start();
    wait_for("ten messages", || {
        let mail = house.mail("alice").concat();
        Some(()).filter(|()| (0..10).all(|n| mail.contains(&format!("\nSubject: {n}\n\ntext\n"))))
    });
    wait_for("an empty queue", || Some(()).filter(|()| house.run(&["queue", "list"]).1.is_empty()));
    drop(server);
}

#[test]
fn a_server_that_is_stopped_says_so_and_exits_well() {
    let house = House::with_services("");
    house.add_user("alice", "x");
    let server = house.start();
    let mut idle = Client::connect(server.listen[0]);
    idle.expect("", "220");
    let mut busy = Client::connect(server.listen[0]);
    busy.expect("", "220");
    busy.expect("MAIL FROM:<>", "250");
    busy.expect("RCPT TO:<alice@example.org>", "250");
    busy.expect("DATA", "354");
    server.signal("TERM");
    idle.expect("", "421 mx.example.org");
    assert!(idle.is_closed());
    busy.expect("text\r\n.", "250");
    busy.expect("", "421");
    assert_eq!(server.wait().code(), Some(0));
    let log = house.log();
    assert_eq!(log.lines().filter(|line| line.ends_with(" status 0")).count(), 2, "{log}");
}

#[test]
fn one_address_has_a_limited_number_of_connections() {
    let house = House::with_services("[limits]\nconnections_per_address_max = 2\n");
    let server = house.start();
    let mut first = Client::connect(server.listen[0]);
    first.expect("", "220");
    let mut second = Client::connect(server.listen[0]);
    second.expect("", "220");
    let mut third = Client::connect(server.listen[0]);
    third.expect("", "421 too many connections");
    assert!(third.is_closed());
    first.expect("QUIT", "221");
    house.wait_for_log("tcpserver: status: 1/1000\n@");
    let log = house.wait_for_log("tcpserver: end 1 status 0\n");
    assert!(log.contains("tcpserver: deny 3 mx.example.org:127.0.0.1:"), "{log}");
    assert!(log.contains("tcpserver: end 3 status 25600\n"), "{log}");
    assert!(log.contains("qlogenvelope: result=rejected code=421 reason=toomanyconnections "), "{log}");
    Client::connect(server.listen[0]).expect("", "220");
}

#[test]
fn a_balancer_names_the_client() {
    let house = House::new("[[listen]]\naddress = \"127.0.0.1:0\"\nproxy = [\"127.0.0.1\"]\n");
    let server = house.start();
    let mut client = Client::connect(server.listen[0]);
    client.send("PROXY TCP4 198.51.100.7 203.0.113.25 4711 25\r\nEHLO x\r\nQUIT\r\n");
    client.expect("", "220");
    client.expect("", "250");
    client.expect("", "221");
    let log = house.wait_for_log("tcpserver: end 1 status 0\n");
    assert!(log.contains("tcpserver: pid 1 from 198.51.100.7\n"), "{log}");
    assert!(log.contains("tcpserver: ok 1 mx.example.org:203.0.113.25:25 :198.51.100.7::4711\n"), "{log}");
    let mut without = Client::connect(server.listen[0]);
    without.send("EHLO it would be taken for the balancer's own\r\n");
    assert!(without.is_closed());
    assert_eq!(house.log(), log);
}

#[test]
fn the_log_is_opened_again_and_the_counters_are_served() {
    let house = House::with_services("");
    let server = house.start();
    Client::connect(server.listen[0]).expect("QUIT", "220");
    house.wait_for_log("tcpserver: end 1 status 0\n");
    fs::rename(house.path("log"), house.path("log.1")).unwrap();
    server.signal("HUP");
    wait_for("a new log", || Some(()).filter(|()| house.path("log").exists()));
    Client::connect(server.listen[0]).expect("QUIT", "220");
    house.wait_for_log("tcpserver: end 2 status 0\n");
    assert!(page(server.metrics, "/healthz").ends_with("ok\n"));
    let metrics = page(server.metrics, "/metrics");
    assert!(metrics.contains("\nsmtpd_sessions_ended_total{status=\"clean\"} 2\n"), "{metrics}");
    assert!(metrics.contains("\nsmtpd_connections_limit 1000\n"), "{metrics}");
}

#[test]
fn new_settings_hold_for_new_sessions_and_open_ones_keep_theirs() {
    let house = House::with_services("");
    let settings = fs::read_to_string(house.path("smtpd.toml")).unwrap();
    house.add_user("alice", "secret");
    let server = house.start();
    let mut open = Client::connect(server.listen[0]);
    open.expect("", "220 mx.example.org ESMTP");
    let reload = |settings: &str, greeting: &str| {
        house.configure(settings);
        server.signal("HUP");
        let greeted = || Client::connect(server.listen[0]).expect("", "220 ").starts_with(greeting);
        wait_for("the new settings", || Some(()).filter(|()| greeted()));
    };
    let changed = settings
        .replace("[\"example.org\"]", "[\"example.org\", \"example.net\"]")
        .replace("\"mx.example.org\"", "\"gate.example.org\"\nbadmailfrom = [\"@spam.example\"]");
    reload(&format!("{changed}[limits]\nconnections_max = 7\n"), "220 gate.example.org");
    let mut new = Client::connect(server.listen[0]);
    new.expect("", "220 gate.example.org");
    new.expect("MAIL FROM:<a@spam.example>", "250");
    new.expect("RCPT TO:<alice@example.net>", "553 sorry, your envelope sender has been denied");
    // Delivered to a domain that was none of ours when the server started.
    new.deliver("a@example.com", &["alice@example.net"], "Subject: new\r\n");
    wait_for("the mail", || Some(()).filter(|()| house.path("mail/example.net/alice/new").exists()));
    open.expect("MAIL FROM:<a@spam.example>", "250");
    open.expect("RCPT TO:<alice@example.org>", "250");
    open.expect("RCPT TO:<alice@example.net>", "553 sorry, that domain isn't in my list");
    house.wait_for_log("/7\n");
}

#[test]
fn settings_that_cannot_hold_change_nothing() {
    let house = House::with_services("");
    let settings = fs::read_to_string(house.path("smtpd.toml")).unwrap();
    let server = house.start();
    let another = settings.replace("mx.example.org", "another.example.org");
    for broken in [
        format!("{another}[limits]\nconnections_max = \"many\"\n"),
        another.replace("\"state\"", "\"elsewhere\""),
        another.replace("[[listen]]", "[[listen]]\nproxy = [\"192.0.2.1\"]"),
        another.replace("self_signed = true", "certificate = \"none.pem\""),
    ] {
        house.configure(&broken);
        // The log is opened first; so the second time the first is done.
        for _ in 0..2 {
            fs::rename(house.path("log"), house.path("log.old")).unwrap();
            server.signal("HUP");
            wait_for("a new log", || Some(()).filter(|()| house.path("log").exists()));
        }
        Client::connect(server.listen[0]).expect("QUIT", "220 mx.example.org");
    }
    assert!(!house.path("elsewhere").exists());
}

#[test]
fn what_keeps_it_from_starting_is_said_in_one_sentence() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let house = House::new(&format!("[[listen]]\naddress = \"{address}\"\n"));
    let (code, _, said) = house.run(&["run"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(&format!("cannot listen on {address}: another program listens there")), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");

    let house = House::new("");
    house.configure(
        "metrics = \"off\"\n[tls]\ncertificate = \"none.pem\"\n[[listen]]\naddress = \"127.0.0.1:0\"\n",
    );
    let (code, _, said) = house.run(&["check"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("none.pem: put the PEM file there"), "{said}");
}

#[test]
fn diagnostics_that_nobody_takes_do_not_stop_the_server() {
    let house = House::with_services("");
    let mut server = house.start_deaf();
    house.wait_for_log("tcpserver: status: 0/1000\n");
    wait_for("the queue", || Some(()).filter(|()| house.log().contains("status: local 0/10 remote 0/20\n")));
    fs::rename(house.path("log"), house.path("log.1")).unwrap();
    wait_for("a new log", || {
        server.signal("HUP");
        Some(()).filter(|()| house.path("log").exists())
    });
    assert!(server.is_alive());
}
