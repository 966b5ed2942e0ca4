//! Who is let in and under which terms, by files that others write.

use std::fs;
use std::process::Stdio;

use crate::house::{Client, House};
use crate::names::NameServer;

#[test]
fn the_rules_of_tcpserver_hold_for_the_server_too() {
    let house = House::new("[[listen]]\naddress = \"127.0.0.1:0\"\n");
    let settings = fs::read_to_string(house.path("smtpd.toml")).unwrap();
    house.configure(&format!("rules = \"tcp.smtp\"\nwords = \"words\"\n{settings}"));
    house.add_user("alice", "secret");
    fs::write(house.path("tcp.smtp"), "127.0.0.1:allow,RELAYCLIENT=\"\",RBLSMTPD=\"\"\n").unwrap();
    let server = house.start();
    let mut client = Client::connect(server.listen[0]);
    client.expect("", "220");
    client.expect("MAIL FROM:<alice@example.org>", "250");
    client.expect("RCPT TO:<bob@example.com>", "250");
    // Both files are read again when they change.
    fs::write(house.path("tcp.smtp"), "127.:deny\n").unwrap();
    assert!(Client::connect(server.listen[0]).is_closed());
    house.wait_for_log("tcpserver: deny 2 ");
    fs::remove_file(house.path("tcp.smtp")).unwrap();
    fs::write(house.path("tcp.smtp"), ":allow\n").unwrap();
    fs::write(house.path("words"), "127.0.0.0/8 auth-only 4000000000 spam-source\n").unwrap();
    let mut client = Client::connect(server.listen[0]);
    client.expect("", "220");
    client.expect(
        "MAIL FROM:<alice@example.org>",
        "451 sorry, mail from your address is taken after a login only",
    );
    assert!(house.log().contains("]: watcher: auth-only at 127.0.0.1\n"), "{}", house.log());
}

#[test]
fn control_files_alone_are_a_configuration() {
    let house = House::new("");
    let control = house.path("control");
    fs::create_dir(&control).unwrap();
    for (name, text) in [
        ("me", "mx.example.org\n"),
        ("smtpgreeting", "gate.example.org\n"),
        ("locals", "example.org\n"),
        ("rcpthosts", "example.org\n.backup.example\n"),
        ("badmailfrom", "@spam.example\n"),
        ("validrcptto", "carol@example.org\n"),
    ] {
        fs::write(control.join(name), text).unwrap();
    }
    house.configure("control = \"control\"\nstate = \"state\"\nusers = \"users\"\n");
    let mut child = house
        .command(&["stdio"])
        .env("TCPREMOTEIP", "192.0.2.7")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let script = "HELO x\r\nMAIL FROM:<a@spam.example>\r\nRCPT TO:<carol@example.org>\r\nMAIL FROM:<a@example.net>\r\n\
                  RCPT TO:<carol@example.org>\r\nRCPT TO:<dave@example.org>\r\nRCPT TO:<x@mx.backup.example>\r\nQUIT\r\n";
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let codes: Vec<&str> = said.lines().map(|line| &line[..3]).collect();
    assert_eq!(codes, ["220", "250", "250", "553", "250", "250", "550", "250", "221"], "{said}");
    assert!(said.starts_with("220 gate.example.org ESMTP\r\n"), "{said}");
    let log = String::from_utf8(output.stderr).unwrap();
    for told in
        [" reason=qregexbmf detail=@spam.example ", " detail=validrcptto ", " reason=rcpthosts detail= "]
    {
        assert!(log.contains(told), "{told} in {log}");
    }
    fs::write(control.join("databytes"), "many\n").unwrap();
    let (code, _, complained) = house.run(&["check"]);
    let told = format!("{}:1:1: expected a whole number", control.join("databytes").display());
    assert!(code == Some(78) && complained.contains(&told), "{complained}");
}

#[test]
fn name_servers_are_asked_about_names_and_senders() {
    let names = NameServer::start(
        &[("good.example", "mx.good.example"), ("nullmx.example", ".")],
        &[("mail.good.example", [127, 0, 0, 1]), ("listed.example.rhsbl.example", [127, 0, 0, 2])],
        &[
            ("good.example", "v=spf1 ip4:127.0.0.0/8 -all"),
            ("strict.example", "v=spf1 -all exp=why.strict.example"),
            ("why.strict.example", "%{i} may not send for %{d}"),
        ],
    );
    let house = House::new("[[listen]]\naddress = \"127.0.0.1:0\"\n");
    let settings = fs::read_to_string(house.path("smtpd.toml")).unwrap();
    let check = |policies: &str, script: &[(&str, &str, &str)]| {
        house.configure(&format!(
            "{policies}\n{settings}[dns]\nservers = [\"{}\"]\n[[rhsbl]]\nzone = \"rhsbl.example\"\naction = \"reject\"\ntext = \"no\"\n",
            names.address
        ));
        let server = house.start();
        let mut client = Client::connect(server.listen[0]);
        client.expect("", "220");
        for (name, sender, reply) in script {
            client.expect(&format!("HELO {name}"), "250");
            client.expect(&format!("MAIL FROM:<{sender}>"), "250");
            client.expect("RCPT TO:<alice@example.org>", reply);
        }
    };
    house.add_user("alice", "secret");
    check(
        "spfbehavior = 3\nsender.domain = true",
        &[
            ("x", "a@strict.example", "550 127.0.0.1 may not send for strict.example (#5.7.1)"),
            ("x", "a@nullmx.example", "550 sorry, can't find a valid MX for sender domain"),
            ("x", "a@none.example", "550 sorry, can't find a valid MX for sender domain"),
            ("x", "a@good.example", "250"),
            ("x", "", "250"),
        ],
    );
    check("", &[("x", "a@listed.example", "553 no"), ("x", "a@good.example", "250")]);
    check(
        "helo.policy = \"strict\"",
        &[
            ("no.example", "a@good.example", "550 sorry, your HELO name does not exist"),
            // The system's own hosts file knows 127.0.0.1.
            ("mail.good.example", "a@good.example", "250"),
        ],
    );
    let log = house.log();
    assert!(
        log.contains(" reason=spf detail=fail ") && log.contains(" reason=rhsbl detail=rhsbl.example "),
        "{log}"
    );
}

#[test]
fn who_only_ever_did_harm_is_put_off_until_it_logs_in() {
    let house = House::with_services("[karma]\nstrikes = 2\n");
    house.add_user("alice", "secret");
    let server = house.start();
    let mail = |replies: &[&str]| {
        let mut client = Client::connect(server.listen[0]);
        client.expect("", "220");
        for (command, reply) in
            ["MAIL FROM:<a@example.net>", "RCPT TO:<carol@example.com>", "QUIT"].iter().zip(replies)
        {
            client.expect(command, reply);
        }
        assert!(client.is_closed());
    };
    mail(&["250", "553", "221"]);
    mail(&["250", "553", "221"]);
    mail(&["451 sorry, your address has behaved badly and has to wait (#4.7.1)", "503", "221"]);
    assert!(house.log().contains(" reason=karma "), "{}", house.log());
    server.kill();
    let server = house.start();
    let mut client = Client::connect(server.listen[0]);
    client.expect("", "220");
    client.expect("MAIL FROM:<a@example.net>", "451 sorry, your address has behaved badly");
}
