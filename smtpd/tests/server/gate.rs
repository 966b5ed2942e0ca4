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
    let script = "HELO x\r\nMAIL FROM:<a@spam.example>\r\nRCPT TO:<carol@example.org>\r\nMAIL FROM:<a@example.net>\r\n\
                  RCPT TO:<carol@example.org>\r\nRCPT TO:<dave@example.org>\r\nRCPT TO:<x@mx.backup.example>\r\nQUIT\r\n";
    let (said, log) = house.session(&[], script);
    let codes: Vec<&str> = said.lines().map(|line| &line[..3]).collect();
    assert_eq!(codes, ["220", "250", "250", "553", "250", "250", "550", "250", "221"], "{said}");
    assert!(said.starts_with("220 gate.example.org ESMTP\r\n"), "{said}");
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
fn a_rule_comes_before_the_rate_and_the_rate_before_the_number_of_connections() {
    let house =
        House::new("[[listen]]\naddress = \"127.0.0.1:0\"\n[limits]\nconnections_per_network_max = 1\n");
    let settings = fs::read_to_string(house.path("smtpd.toml")).unwrap();
    // The second connection of a client whose first is open.
    let second = |rates: u32, rules: &str| {
        fs::write(house.path("tcp.smtp"), ":allow\n").unwrap();
        house.configure(&format!("rules = \"tcp.smtp\"\nrates.per_address = {rates}\n{settings}"));
        let server = house.start();
        let mut first = Client::connect(server.listen[0]);
        first.expect("", "220");
        fs::remove_file(house.path("tcp.smtp")).unwrap();
        fs::write(house.path("tcp.smtp"), rules).unwrap();
        let mut second = Client::connect(server.listen[0]);
        if rules.contains("deny") {
            assert!(second.is_closed());
        } else {
            let reply =
                if rates == 0 { "421 too many connections, " } else { "421 too many connections a minute" };
            second.expect("", reply);
        }
        first.expect("QUIT", "221");
    };
    second(1, "127.:deny\n");
    second(1, "127.:allow\n");
    second(0, "127.:allow\n");
}

/// The codes of a session under an environment.
fn codes_under(house: &House, variables: &[(&str, &str)], script: &str) -> String {
    let (said, _) = house.session(variables, script);
    said.lines().map(|line| &line[..3]).collect::<Vec<_>>().join(" ")
}

#[test]
fn variables_say_who_is_valid_who_relays_and_what_is_asked_about_it() {
    let house = House::new("");
    let control = house.path("control");
    fs::create_dir(&control).unwrap();
    let check = house.path("rcptcheck");
    fs::write(&check, "#!/bin/sh\n[ \"$RECIPIENT\" = many@example.net ] && exit 113\nexit 112\n").unwrap();
    fs::set_permissions(&check, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for (name, text) in [
        ("me", "mx.example.org\n"),
        ("locals", "example.org\n"),
        ("validrcptto", "carol@example.org\n"),
        ("relaymailfrom", "boss@example.org\n"),
        ("badmailfromto", "@shop.example carol@example.org\n"),
    ] {
        fs::write(control.join(name), text).unwrap();
    }
    let other = house.path("valid");
    fs::write(&other, "dave@example.org\n").unwrap();
    house.configure("control = \"control\"\nstate = \"state\"\nusers = \"users\"\n");
    let session = |sender: &str, recipients: &[&str]| {
        let recipients: String = recipients.iter().map(|name| format!("RCPT TO:<{name}>\r\n")).collect();
        format!("HELO x\r\nMAIL FROM:<{sender}>\r\n{recipients}QUIT\r\n")
    };
    let both = session("a@b.example", &["carol@example.org", "dave@example.org"]);
    assert_eq!(codes_under(&house, &[], &both), "220 250 250 250 550 221");
    let valid = other.to_str().unwrap();
    assert_eq!(codes_under(&house, &[("VALIDRCPTTO", valid)], &both), "220 250 250 550 250 221");
    let none = house.path("none");
    assert_eq!(
        codes_under(&house, &[("VALIDRCPTTO", none.to_str().unwrap())], &both),
        "220 250 250 550 550 221"
    );
    let shop = session("a@shop.example", &["carol@example.org"]);
    assert_eq!(codes_under(&house, &[], &shop), "220 250 250 553 221");
    assert_eq!(codes_under(&house, &[("CHKUSER_MUSTAUTH", "")], &shop), "220 250 530 503 221");
    // A file that may have been forgotten makes nobody a relay.
    let boss = session("boss@example.org", &["x@example.net", "many@example.net"]);
    assert_eq!(codes_under(&house, &[], &boss), "220 250 250 553 553 221");
    assert_eq!(codes_under(&house, &[("RELAYMAILFROM", "")], &boss), "220 250 250 250 250 221");
    let counted = [("RELAYCLIENT", ""), ("RCPTCHECK", check.to_str().unwrap())];
    assert_eq!(codes_under(&house, &counted, &boss), "220 250 250 250 250 221");
    let counted = [&counted[..], &[("RCPTCHECKRELAYCLIENT", "1")]].concat();
    assert_eq!(codes_under(&house, &counted, &boss), "220 250 250 250 421");
}

#[test]
fn a_newcomer_comes_again_and_is_remembered_over_restarts() {
    let house = House::new("[[listen]]\naddress = \"127.0.0.1:0\"\n");
    let settings = fs::read_to_string(house.path("smtpd.toml")).unwrap();
    house.add_user("alice", "secret");
    let check = |delay: &str, reply: &str| {
        house.configure(&format!("greylist = {{ delay = \"{delay}\" }}\n{settings}"));
        let server = house.start();
        let mut client = Client::connect(server.listen[0]);
        client.expect("", "220");
        client.expect("MAIL FROM:<a@example.net>", "250");
        client.expect("RCPT TO:<nobody@example.org>", "550");
        client.expect("RCPT TO:<alice@example.org>", reply);
    };
    check("1h", "451 sorry, you are new here");
    check("1h", "451 sorry, you are new here");
    // A delay that has passed.
    check("1ms", "250");
    check("1h", "250");
}

#[test]
fn plugins_of_qmail_spp_are_asked() {
    let house = House::new("");
    let control = house.path("qmail/control");
    fs::create_dir_all(&control).unwrap();
    let plugins = house.path("qmail/plugins");
    fs::create_dir(&plugins).unwrap();
    let plugin = plugins.join("night");
    fs::write(&plugin, "#!/bin/sh\n[ \"$SMTPMAILFROM $TCPREMOTEIP $1\" = 'a@b.example 192.0.2.7 7' ] && echo \"E550 asleep\"\n")
        .unwrap();
    fs::set_permissions(&plugin, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    for (name, text) in [
        ("me", "mx.example.org\n"),
        ("locals", "example.org\n"),
        ("smtpplugins", "[mail]\n:plugins/night 7\n[pass]\nplugins/none\n"),
    ] {
        fs::write(control.join(name), text).unwrap();
    }
    house.configure("control = \"qmail/control\"\nstate = \"state\"\nusers = \"users\"\n");
    for (variable, codes) in
        [("ENABLE_SPP", ["220", "250", "550", "250", "221"]), ("X", ["220", "250", "250", "250", "221"])]
    {
        let script = "HELO x\r\nMAIL FROM:<a@b.example>\r\nMAIL FROM:<b@b.example>\r\nQUIT\r\n";
        let (said, log) = house.session(&[(variable, "")], script);
        assert_eq!(said.lines().map(|line| &line[..3]).collect::<Vec<_>>(), codes, "{said}");
        assert_eq!(log.contains(" code=550 reason=spp "), variable == "ENABLE_SPP", "{log}");
    }
}

#[test]
fn name_servers_are_asked_about_names_and_senders() {
    let names = NameServer::start(
        &[
            ("good.example", "mx.good.example"),
            ("nullmx.example", "."),
            ("looped.example", "mx.looped.example"),
        ],
        &[
            ("mail.good.example", [127, 0, 0, 1]),
            ("listed.example.rhsbl.example", [127, 0, 0, 2]),
            ("mx.looped.example", [127, 0, 0, 1]),
        ],
        &[
            ("good.example", "v=spf1 ip4:127.0.0.0/8 -all"),
            ("strict.example", "v=spf1 -all exp=why.strict.example"),
            ("why.strict.example", "%{i} may not send for %{d}"),
            ("silent.example", "v=spf1 -all"),
            ("ours.example", "v=spf1 ip4:127.0.0.1 -all"),
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
            ("x", "a@looped.example", "550 sorry, can't find a valid MX for sender domain"),
            ("x", "a@good.example", "250"),
            ("x", "", "250"),
        ],
    );
    // What this server adds to the records of others, and says for them.
    check(
        "spfbehavior = 6\nspfguess = \"ip4:127.0.0.1/8 -all\"\nspfexp = \"%{s} is not from %{i}\"",
        &[
            ("x", "a@none.example", "250"),
            ("x", "a@silent.example", "550 a@silent.example is not from 127.0.0.1 (#5.7.1)"),
        ],
    );
    check(
        "spfbehavior = 6\nspfrules = \"include:ours.example\"",
        &[("x", "a@silent.example", "250"), ("x", "a@strict.example", "250"), ("x", "a@none.example", "250")],
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

#[test]
fn a_hook_of_the_watcher_asks_for_less_than_a_ban() {
    use std::io::Write as _;
    let house = House::new("");
    let settings = fs::read_to_string(house.path("smtpd.toml")).unwrap();
    let (code, _, complained) = house.run(&["word", "slow", "192.0.2.7"]);
    assert!(code == Some(2) && complained.contains("the settings name no file of words"), "{complained}");
    house.configure(&format!("words = \"words\"\n{settings}"));
    let hear = |news: &str| {
        let mut child =
            house.command(&["word", "auth-only", "--for", "2h"]).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(news.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
        fs::read_to_string(house.path("words")).unwrap()
    };
    let words = hear(
        r#"{"id": "1", "hook": "h", "host": "mx", "lost": 0, "events": [
        {"at": "2026-11-21T04:07:06Z", "kind": "would-ban", "subject": "198.51.100.66", "jail": "spam-source",
         "ban": {"subject": "198.51.100.66", "jail": "spam-source", "mode": "watch", "until": "2096-10-02T07:06:40Z"}},
        {"kind": "ban", "subject": "2001:db8::/48", "jail": "x\ny", "ban": {"until": "2096-10-02T07:06:40Z"}},
        {"kind": "ban", "subject": "alice@example.org", "jail": "slow-guessing"},
        {"kind": "quota-low", "subject": "192.0.2.1"}]}"#,
    );
    assert_eq!(
        words,
        "198.51.100.66/32 auth-only 4000000000 spam-source\n2001:db8::/48 auth-only 4000000000 xy\n"
    );
    assert_eq!(house.run(&["word", "slow", "192.0.2.0/24"]).0, Some(0));
    let words = hear(r#"{"events": [{"kind": "unban", "subject": "198.51.100.66"}]}"#);
    let lines: Vec<&str> = words.lines().collect();
    assert!(
        lines.len() == 2 && lines[0].starts_with("192.0.2.0/24 slow ") && lines[0].ends_with(" manual"),
        "{words}"
    );
    assert_eq!(house.run(&["word", "none", "192.0.2.0/24", "2001:db8::/48"]).0, Some(0));
    assert_eq!(fs::read_to_string(house.path("words")).unwrap(), "");
    let (code, _, complained) = house.run(&["word", "dance", "192.0.2.7"]);
    assert!(code == Some(2) && complained.contains("expected auth-only, slow or none"), "{complained}");
}
