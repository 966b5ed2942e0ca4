//! Mail that goes elsewhere, and what comes back.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::house::{Client, House, Server, wait_for};
use crate::names::NameServer;

/// A second server, which takes mail for example.com.
fn elsewhere() -> (House, Server) {
    let house = House::new("[[listen]]\naddress = \"127.0.0.1:0\"\n");
    let text = std::fs::read_to_string(house.path("smtpd.toml")).unwrap();
    house.configure(
        &text.replace("mx.example.org", "mx.example.com").replace("\"example.org\"", "\"example.com\""),
    );
    house.add_user("dave", "x");
    let server = house.start();
    (house, server)
}

/// A server that relays for this host.
fn here(more: &str) -> (House, Server) {
    let house = House::new(&format!("[[listen]]\naddress = \"127.0.0.1:0\"\n{more}"));
    let text = std::fs::read_to_string(house.path("smtpd.toml")).unwrap();
    house.configure(&format!("relay = [\"127.0.0.0/8\"]\n{text}"));
    house.add_user("alice", "x");
    let server = house.start();
    (house, server)
}

fn send(to: SocketAddr, recipients: &[&str]) {
    let mut client = Client::connect(to);
    client.expect("", "220");
    client.expect("EHLO laptop", "250");
    let text = "Message-ID: <1@example.org>\r\nSubject: far\r\n\r\n..\r\n\u{e9}";
    client.deliver("alice@example.org", recipients, text);
    client.expect("QUIT", "221");
}

#[test]
fn a_smarthost_gets_the_mail_under_tls_and_a_refusal_comes_back() {
    let (far, far_server) = elsewhere();
    let (near, near_server) = here(&format!("[remote]\nsmarthost = \"{}\"\n", far_server.listen[0]));
    send(near_server.listen[0], &["dave@example.com", "nobody@example.com"]);
    let mail = far.wait_for_log("end msg");
    assert!(mail.contains(" encrypted=tls "), "{mail}");
    let files = std::fs::read_dir(far.path("mail/example.com/dave/new")).unwrap();
    let mail: Vec<String> =
        files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    assert_eq!(mail.len(), 1);
    assert!(mail[0].contains(" with ESMTPS id ") && mail[0].ends_with("\n\n.\n\u{e9}\n"), "{}", mail[0]);

    let bounce = near.wait_for_mail("alice");
    assert!(bounce.starts_with("Return-Path: <>\nDelivered-To: alice@example.org\n"), "{bounce}");
    assert!(bounce.contains("\n<nobody@example.com>:\n127.0.0.1 does not like recipient.\n"), "{bounce}");
    assert!(bounce.contains("\nStatus: 5.1.1\n"), "{bounce}");
    assert!(bounce.contains("\nSubject: far\n"), "{bounce}");
    let log = near.wait_for_log("bounce msg ");
    assert!(log.contains(": success: Message-ID:_<1@example.org>/127.0.0.1_accepted_message./"), "{log}");
    assert!(
        log.contains(
            ": failure: Message-ID:_<1@example.org>/127.0.0.1_does_not_like_recipient./Remote_host_said:_550"
        ),
        "{log}"
    );
}

/// Asks dkimpy, a package of Debian's Python, whether the signature of a message holds against a record, and what it signs for.
fn judge_signature(mail: &Path, name: &str, record: &str) -> String {
    let judge = "import dkim, sys\n\
        mail = open(sys.argv[1], 'rb').read()\n\
        verifier = dkim.DKIM(mail)\n\
        record = lambda name, **more: sys.argv[3].encode() if name.decode() == sys.argv[2] + '.' else None\n\
        print(verifier.verify(dnsfunc=record), verifier.domain.decode())\n\
        broken = dkim.DKIM(mail.replace(b'Subject: far', b'Subject: near'))\n\
        print(broken.verify(dnsfunc=record))\n";
    let judge =
        Command::new("/usr/bin/python3").args(["-c", judge]).arg(mail).args([name, record]).output().unwrap();
    assert!(judge.status.success(), "{}", String::from_utf8_lossy(&judge.stderr));
    String::from_utf8(judge.stdout).unwrap()
}

#[test]
fn mail_that_leaves_is_signed_in_its_authors_name_once_there_is_a_key() {
    let (far, far_server) = elsewhere();
    let (near, near_server) = here(&format!("[remote]\nsmarthost = \"{}\"\n", far_server.listen[0]));
    let send = |from: &str| {
        let mut client = Client::connect(near_server.listen[0]);
        client.expect("", "220");
        client.expect("EHLO laptop", "250");
        let text =
            format!("From: {from}\r\nSubject: far\r\nX-Long: a\r\n b\r\n\r\n..\r\n\u{e9} x \r\n\r\n\r\n");
        client.deliver("bounces@example.org", &["dave@example.com"], &text);
    };
    let arrived = |number: usize| {
        wait_for("a mail", || {
            let files = std::fs::read_dir(far.path("mail/example.com/dave/new")).ok()?;
            let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
            files.sort_by_key(|file| std::fs::metadata(file).unwrap().modified().unwrap());
            files.get(number).cloned()
        })
    };
    let text = |mail: &Path| std::fs::read_to_string(mail).unwrap();
    send("Alice <alice@example.org>");
    assert!(!text(&arrived(0)).contains("DKIM-Signature"), "there was no key");

    let records =
        || serde_json::from_str::<serde_json::Value>(&near.run(&["dns", "example.org", "--json"]).1).unwrap();
    let made = records();
    assert_eq!(made, records(), "a key is made once");
    let record = made["records"]
        .as_array()
        .unwrap()
        .iter()
        .find(|record| record["name"] == "postern._domainkey.example.org");
    let record = record.unwrap()["value"].as_str().unwrap();
    send("Alice <alice@example.org>");
    let mail = arrived(1);
    assert_eq!(
        judge_signature(&mail, "postern._domainkey.example.org", record),
        "True example.org\nFalse\n",
        "{}",
        text(&mail)
    );
    send("Mallory <mallory@elsewhere.example>");
    assert!(!text(&arrived(2)).contains("DKIM-Signature"), "{}", text(&arrived(2)));
}

#[test]
fn a_domain_is_found_by_its_mx() {
    let (far, far_server) = elsewhere();
    let names = NameServer::start(
        &[("example.com", "mx1.example.com"), ("null.example", "")],
        &[("mx1.example.com", [127, 0, 0, 1])],
        &[],
    );
    let (near, near_server) = here(&format!(
        "[dns]\nservers = [\"{}\"]\n[remote]\nport = {}\n",
        names.address,
        far_server.listen[0].port()
    ));
    send(near_server.listen[0], &["dave@example.com", "x@null.example", "x@none.example"]);
    far.wait_for_log("end msg");
    let bounce = near.wait_for_mail("alice");
    assert!(
        bounce.contains("\n<x@null.example>:\nSorry, null.example takes no mail. (#5.1.10)\n"),
        "{bounce}"
    );
    assert!(
        bounce
            .contains("\n<x@none.example>:\nSorry, I couldn't find any host named none.example. (#5.1.2)\n"),
        "{bounce}"
    );
    assert!(!bounce.contains("<dave@example.com>:"), "{bounce}");
}

#[test]
fn a_listed_client_is_refused_in_the_words_of_the_list() {
    let name = "1.0.0.127.list.example";
    let names =
        NameServer::start(&[], &[(name, [127, 0, 0, 2])], &[(name, "https://list.example/?127.0.0.1")]);
    let house = House::new(&format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[dns]\nservers = [\"{}\"]\n\
         [[dnsbl]]\nzone = \"other.example\"\n[[dnsbl]]\nzone = \"list.example\"\naction = \"reject\"\n",
        names.address
    ));
    house.add_user("alice", "x");
    let server = house.start();
    let mut client = Client::connect(server.listen[0]);
    client.expect("", "220");
    client.expect("EHLO x", "250");
    client.expect("MAIL FROM:<a@example.net>", "250");
    client.expect("RCPT TO:<alice@example.org>", "553 5.7.1 https://list.example/?127.0.0.1\r\n");
    client.expect("QUIT", "221");
    let log = house.wait_for_log("tcpserver: end 1 status 0\n");
    for line in [
        "qmail-smtpd[1]: rbl: ip=127.0.0.1 query=1.0.0.127.other.example result=pass message=''",
        "qmail-smtpd[1]: rbl: ip=127.0.0.1 query=1.0.0.127.list.example result=reject message='https://list.example/?127.0.0.1'",
        "rblsmtpd: 127.0.0.1 pid 1: 553 https://list.example/?127.0.0.1",
        "rblsmtpd: 127.0.0.1 pid 1: EHLO x",
        "rblsmtpd: 127.0.0.1 pid 1: QUIT",
        "qlogenvelope: result=rejected code=553 reason=rblreject detail=list.example ",
    ] {
        assert!(log.contains(&format!(" {line}")), "{line} in {log}");
    }
}
