//! What the administrator types.

use crate::house::{Client, House, wait_for};

#[test]
fn every_mistake_in_the_settings_is_told_with_its_place() {
    let house = House::new("");
    house.configure("hostnam = \"x\"\ndomains = [\"not a domain\"]\n[limits]\nmessage_bytes_max = \"big\"\n[[listen]]\nservice = \"smtps\"\n");
    for command in ["check", "run"] {
        let (code, said, complained) = house.run(&[command]);
        assert_eq!((code, said.as_str()), (Some(78), ""), "{complained}");
        let file = house.path("smtpd.toml");
        for place in ["1:1: ", "2:12: ", "4:21: ", "6:11: "] {
            let place = format!("{}:{place}", file.display());
            assert!(complained.lines().any(|line| line.starts_with(&place)), "{place} in {complained}");
        }
    }
}

#[test]
fn a_system_without_certificates_of_authorities_is_good_enough() {
    let house = House::new("");
    let mut check = house.command(&["check"]);
    check.env("SSL_CERT_FILE", house.path("none")).env("SSL_CERT_DIR", house.path("none"));
    let output = check.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn users_are_added_seen_by_a_running_server_and_removed() {
    let house = House::with_services("");
    let server = house.start();
    let mut client = Client::connect(server.listen[0]);
    client.expect("", "220");
    client.expect("MAIL FROM:<>", "250");
    client.expect("RCPT TO:<alice@example.org>", "550 sorry, no mailbox here by that name. (#5.1.1)");
    house.add_user("Alice", "secret");
    client.expect("RCPT TO:<alice@example.org>", "250");
    house.add_user("carol@example.org", "secret");
    client.expect("RCPT TO:<carol@example.org>", "250");
    assert_eq!(house.run(&["user", "list"]).1, "alice\ncarol@example.org\n");
    assert_eq!(house.run(&["user", "remove", "alice"]).0, Some(0));
    assert_eq!(house.run(&["user", "remove", "alice"]).0, Some(1));
    client.expect("RCPT TO:<alice@example.org>", "550");
    let users: serde_json::Value = serde_json::from_str(&house.run(&["user", "list", "--json"]).1).unwrap();
    assert_eq!(users, serde_json::json!({ "users": ["carol@example.org"] }));
}

#[test]
fn the_queue_is_shown_and_changed_with_and_without_a_server() {
    // Nobody listens on port 1, so mail for elsewhere stays.
    let house = House::new("[[listen]]\naddress = \"127.0.0.1:0\"\n[remote]\nsmarthost = \"127.0.0.1:1\"\n");
    let text = std::fs::read_to_string(house.path("smtpd.toml")).unwrap();
    house.configure(&format!("relay = [\"127.0.0.1\"]\n{text}"));
    let server = house.start();
    let mut client = Client::connect(server.listen[0]);
    client.expect("", "220");
    for n in 0..3 {
        client.deliver(
            "a@example.net",
            &["b@example.com"],
            &format!("Message-ID: <{n}@example.net>\r\n\r\nhello\x1b[31m"),
        );
    }
    let list =
        || serde_json::from_str::<serde_json::Value>(&house.run(&["queue", "list", "--json"]).1).unwrap();
    let ids = wait_for("three deferrals", || {
        let list = list();
        let messages = list["messages"].as_array().unwrap();
        let tried =
            messages.len() == 3 && messages.iter().all(|message| message["next"] != message["received"]);
        tried.then(|| messages.iter().map(|message| message["id"].to_string()).collect::<Vec<_>>())
    });
    let (code, shown, _) = house.run(&["queue", "show", &ids[0]]);
    assert_eq!(code, Some(0));
    assert!(shown.contains("    pending    b@example.com\n") && shown.contains(r"hello\x1b[31m"), "{shown}");

    assert_eq!(house.run(&["queue", "remove", &ids[0]]).0, Some(0), "a running server does it");
    house.wait_for_log(&format!("end msg {}\n", ids[0]));
    assert_eq!(house.run(&["queue", "retry", &ids[1]]).0, Some(0));
    house.wait_for_log("starting delivery 4: ");
    server.kill();
    assert_eq!(house.run(&["queue", "remove", &ids[1]]).0, Some(0), "nobody else is there to do it");
    assert_eq!(house.run(&["queue", "remove", &ids[1]]).0, Some(1));
    assert_eq!(house.run(&["queue", "show", "1"]).0, Some(1));
    assert_eq!(list()["messages"].as_array().unwrap().len(), 1);
}

#[test]
fn what_a_domain_publishes_is_printed_and_looked_up() {
    let names = crate::names::NameServer::start(
        &[("example.org", "mx.example.org")],
        &[("listed.example", [127, 0, 0, 2]), ("2.0.0.127.listed.example", [127, 0, 0, 2])],
        &[("example.org", "v=spf1 mx ~all")],
    );
    let settings = format!(
        "[dns]\nservers = [\"{}\"]\n[[dnsbl]]\nzone = \"listed.example\"\n[[dnsbl]]\nzone = \"gone.example\"\n",
        names.address
    );
    let house = House::new(&settings);
    let (code, said, _) = house.run(&["dns", "example.org"]);
    assert_eq!(code, Some(0));
    assert!(said.contains("\nexample.org. IN TXT \"v=spf1 mx -all\"\n"), "{said}");
    let (code, said, _) = house.run(&["dns", "example.org", "--check", "--json"]);
    assert_eq!(code, Some(1));
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let published: Vec<_> = (0..4).map(|n| said["records"][n]["published"].as_str().unwrap()).collect();
    assert_eq!(published, ["yes", "yes", "no", "no"]);
    let key = said["records"][2]["value"].as_str().unwrap();
    assert_eq!(house.run(&["dns", "no domain"]).0, Some(2));

    let (code, said, _) = house.run(&["dnsbl"]);
    assert_eq!((code, said.lines().next()), (Some(1), Some("listed.example: works")), "{said}");
    assert!(said.contains("gone.example: NOT TO BE BELIEVED: it does not list 127.0.0.2"), "{said}");
    let (code, said, _) = house.run(&["dnsbl", "127.0.0.2"]);
    assert!(code == Some(0) && said.starts_with("listed.example: listed (127.0.0.2): "), "{said}");
    assert_eq!(house.run(&["dnsbl", "192.0.2.1"]).0, Some(1));

    let published = crate::names::NameServer::start(&[], &[], &[("postern._domainkey.example.org", key)]);
    let settings = std::fs::read_to_string(house.path("smtpd.toml")).unwrap();
    house.configure(&settings.replace(&names.address.to_string(), &published.address.to_string()));
    let said = house.run(&["dns", "example.org", "--check"]).1;
    assert!(said.contains("mail signed in the domain's name is its own (it is there)\n"), "{said}");
}
