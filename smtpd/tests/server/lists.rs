//! Blocklists that a real rbldnsd serves: who is asked about, how often, and what is believed.

use std::fs;
use std::net::UdpSocket;

use rusqlite::Connection;

use crate::clients::client;
use crate::house::{Client, House, Server, page, wait_for};
use crate::names::NameServer;
use crate::rbldnsd::{EVERYBODY, LIST, Rbldnsd, asked};

const LISTED: &str = "198.51.100.30";

/// A house whose server takes the client's address from a balancer, with one user, `before` and `after` its own settings.
fn house(before: &str) -> House {
    let house = House::new("");
    house.add_user("alice", "secret");
    let settings = fs::read_to_string(house.path("smtpd.toml")).unwrap();
    house.configure(&format!(
        "{before}\n{settings}[[listen]]\naddress = \"127.0.0.1:0\"\nproxy = [\"127.0.0.1\"]\n"
    ));
    house
}

fn ask_lists(house: &House, rbldnsd: &Rbldnsd, lists: &[(&str, &str)]) {
    let settings = fs::read_to_string(house.path("smtpd.toml")).unwrap();
    house.configure(&format!("{settings}{}", rbldnsd.settings(lists)));
}

/// A session of that client that was greeted.
fn session(server: &Server, from: &str) -> Client {
    let mut client = Client::connect(server.listen[0]);
    client.send(&format!("PROXY TCP4 {from} 192.0.2.25 40000 25\r\n"));
    client.expect("", "220");
    client.expect("HELO client.example.net", "250");
    client
}

/// Says these commands, and hears these replies.
#[track_caller]
fn converse(server: &Server, from: &str, script: &[(&str, &str)]) {
    let mut client = session(server, from);
    for (command, reply) in script {
        client.expect(command, reply);
    }
}

/// Asks for Alice's mailbox in a session of its own under tcpserver; gives the reply and the log.
fn stdio_session(house: &House, from: &str) -> (String, String) {
    let script = "HELO x\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<alice@example.org>\r\nQUIT\r\n";
    let (said, log) = house.session(&[("TCPREMOTEIP", from)], script);
    (said.lines().nth(3).unwrap_or_default().to_owned(), log)
}

const SENDER: (&str, &str) = ("MAIL FROM:<a@example.net>", "250");

fn asks_for_alice(reply: &'static str) -> [(&'static str, &'static str); 2] {
    [SENDER, ("RCPT TO:<alice@example.org>", reply)]
}

#[test]
fn nobody_is_asked_about_a_client_that_a_check_of_our_own_refuses_or_lets_in() {
    let house = house(
        "relay = [\"198.51.100.5\"]\nrules = \"rules\"\nbadmailfrom = [\"@spam.example\"]\nbadrcptto = [\"trap@*\"]\n\
         badhelo = [\"ylmf-pc\"]\nwords = \"words\"",
    );
    fs::write(
        house.path("rules"),
        "198.51.100.6:allow,RELAYCLIENT=\"\"\n198.51.100.7:allow,RBLSMTPD=\"\"\n198.51.100.8:allow,DNSBLSKIP=\"1\"\n",
    )
    .unwrap();
    fs::write(house.path("words"), "198.51.100.9 auth-only 4000000000 password-guessing\n").unwrap();
    let rbldnsd = Rbldnsd::start(&house, &[("list.example", LIST)]);
    ask_lists(&house, &rbldnsd, &[("list.example", "")]);
    let server = house.start();
    let check = |client: &str, script: &[(&str, &str)], expected: (usize, usize)| {
        converse(&server, client, script);
        assert_eq!(asked(&house, client, "list.example"), expected, "{client} {script:?}");
    };
    // Who comes and goes, and who does not get as far as a recipient that exists.
    check("198.51.100.1", &[("QUIT", "221")], (0, 0));
    check("198.51.100.1", &[SENDER, ("QUIT", "221")], (0, 0));
    check("198.51.100.1", &[SENDER, ("RCPT TO:<nobody@example.org>", "550")], (0, 0));
    check("198.51.100.1", &[SENDER, ("RCPT TO:<carol@example.com>", "553")], (0, 0));
    check("198.51.100.1", &[SENDER, ("RCPT TO:<trap@example.org>", "553")], (0, 0));
    check(
        "198.51.100.1",
        &[("MAIL FROM:<a@spam.example>", "250"), ("RCPT TO:<alice@example.org>", "553")],
        (0, 0),
    );
    check("198.51.100.1", &[("HELO ylmf-pc", "250"), SENDER, ("RCPT TO:<alice@example.org>", "553")], (0, 0));
    check("198.51.100.9", &[("MAIL FROM:<a@example.net>", "451")], (0, 0));
    // Who may relay, and whom somebody in front has cleared.
    for client in ["198.51.100.5", "198.51.100.6", "198.51.100.7", "198.51.100.8"] {
        check(client, &asks_for_alice("250"), (0, 0));
    }
    // Now it is worth a query, and one is enough for a session with several recipients.
    let [sender, alice] = asks_for_alice("250");
    check("198.51.100.1", &[sender, alice, alice], (1, 0));
    let [sender, alice] = asks_for_alice("451 Listed, see http://list.example/?198.51.100.30");
    check(LISTED, &[sender, alice, alice], (1, 1));
}

#[test]
fn of_several_name_servers_one_is_asked_about_a_client() {
    let (house, other) = (house(""), House::new(""));
    let servers = [&house, &other].map(|house| Rbldnsd::start(house, &[("list.example", LIST)]));
    let [first, second] = servers.each_ref().map(|server| server.address);
    let settings = servers[0].settings(&[("list.example", "")]);
    // At a third address nobody answers, which keeps nobody from an answer.
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let all = format!("\"{nobody}\", \"{first}\", \"{second}\"");
    let settings = settings.replace(&format!("\"{first}\""), &all);
    house.configure(&format!("{}{settings}", fs::read_to_string(house.path("smtpd.toml")).unwrap()));
    let server = house.start();
    for last in 40..50 {
        let client = format!("198.51.100.{last}");
        converse(&server, &client, &asks_for_alice("250"));
        let [(of_first, _), (of_second, _)] =
            [&house, &other].map(|house| asked(house, &client, "list.example"));
        assert_eq!(of_first + of_second, 1, "{client}");
    }
}

#[test]
fn a_client_that_logs_in_is_not_asked_about() {
    let house = house("");
    let rbldnsd = Rbldnsd::start(&house, &[("list.example", LIST)]);
    ask_lists(&house, &rbldnsd, &[("list.example", "action = \"reject\"")]);
    let server = house.start();
    let port = server.listen[0].port().to_string();
    let arguments = ["--server", "127.0.0.1", "--port", &port, "--from", "alice@example.org", "--tls"];
    let to =
        ["--to", "alice@example.org", "--proxy-version", "1", "--proxy-family", "TCP4", "--proxy-source"];
    let ends =
        [LISTED, "--proxy-source-port", "4711", "--proxy-dest", "192.0.2.25", "--proxy-dest-port", "25"];
    let login = ["--auth", "PLAIN", "--auth-user", "alice", "--auth-password", "secret"];
    let (is_taken, said) = client("swaks", &[&arguments[..], &to, &ends, &login].concat());
    assert!(is_taken, "{said}");
    assert_eq!(asked(&house, LISTED, "list.example"), (0, 0));
    let (is_taken, said) = client("swaks", &[&arguments[..], &to, &ends].concat());
    assert!(!is_taken && said.contains("553 5.7.1 Listed, see"), "{said}");
    assert_eq!(asked(&house, LISTED, "list.example"), (1, 1));
}

#[test]
fn who_sent_mail_that_was_taken_is_known_to_be_good() {
    let house = house("");
    let rbldnsd = Rbldnsd::start(&house, &[("list.example", LIST)]);
    ask_lists(&house, &rbldnsd, &[("list.example", "")]);
    let server = house.start();
    let good = "198.51.100.1";
    session(&server, good).deliver("a@example.net", &["alice@example.org"], "Subject: x\r\n\r\nx");
    converse(&server, good, &asks_for_alice("250"));
    assert_eq!(asked(&house, good, "list.example"), (1, 0));
    assert!(house.log().contains(" result=pass message='' source=known\n"), "{}", house.log());
}

/// Waits until that much stands in the books on disk about a client.
fn wait_for_books(house: &House, client: &str, verdicts: i64) {
    let books = Connection::open(house.path("state/dnsbl.db")).unwrap();
    wait_for("the books", || {
        let count = "select count(*) from verdicts where client = ?1";
        let found: i64 = books.query_row(count, [client], |row| row.get(0)).unwrap_or(0);
        Some(()).filter(|()| found == verdicts)
    });
}

fn metric(server: &Server, name: &str) -> Option<u64> {
    let page = page(server.metrics, "/metrics");
    page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[test]
fn what_a_list_said_and_what_was_spent_survives_a_kill() {
    let house = house("");
    let rbldnsd = Rbldnsd::start(&house, &[("list.example", LIST)]);
    ask_lists(&house, &rbldnsd, &[("list.example", "limit = 100_000\nneighbours = 0")]);
    let server = house.start();
    for client in [LISTED, "198.51.100.31"] {
        converse(&server, client, &asks_for_alice(if client == LISTED { "451" } else { "250" }));
        wait_for_books(&house, client, 1);
    }
    server.kill();
    let server = house.start();
    for client in [LISTED, "198.51.100.31"] {
        converse(&server, client, &asks_for_alice(if client == LISTED { "451" } else { "250" }));
    }
    assert_eq!(asked(&house, LISTED, "list.example"), (1, 1));
    assert_eq!(asked(&house, "198.51.100.31", "list.example"), (1, 0));
    let used = wait_for("the metrics", || {
        metric(&server, "smtpd_blocklist_budget_used{zone=\"list.example\"}").filter(|used| *used > 0)
    });
    // Three about the clients, two of the first test; and no more than those of the second and what was taken in advance.
    assert!((5..=14).contains(&used), "{used}");
}

#[test]
fn a_server_and_sessions_under_tcpserver_ask_once_for_all() {
    let house = house("");
    let rbldnsd = Rbldnsd::start(&house, &[("list.example", LIST)]);
    ask_lists(&house, &rbldnsd, &[("list.example", "limit = 1000\nneighbours = 0")]);
    let server = house.start();
    converse(&server, LISTED, &asks_for_alice("451"));
    wait_for_books(&house, LISTED, 1);
    let (reply, log) = stdio_session(&house, LISTED);
    assert!(reply.starts_with("451 Listed") && log.contains(" source=cache "), "{reply} {log}");
    let (reply, log) = stdio_session(&house, "198.51.100.31");
    assert!(reply.starts_with("250") && log.contains(" result=pass message=''\n"), "{reply} {log}");
    converse(&server, "198.51.100.31", &asks_for_alice("250"));
    assert_eq!(asked(&house, LISTED, "list.example"), (1, 1));
    assert_eq!(asked(&house, "198.51.100.31", "list.example"), (1, 0));
    assert!(house.log().contains(" result=pass message='' source=cache\n"), "{}", house.log());
    // The server has tested the list; no session does so in the same hour.
    assert_eq!(asked(&house, "127.0.0.2", "list.example").0, 1);
}

#[test]
fn however_often_a_server_is_killed_no_more_is_asked_than_the_limit_allows() {
    let house = house("");
    let rbldnsd = Rbldnsd::start(&house, &[("list.example", LIST)]);
    // Of such a period more than half is over, and of its limit as much is open.
    ask_lists(&house, &rbldnsd, &[("list.example", "limit = 120\nperiod = \"36500d\"\ntext = \"no\"")]);
    for round in 0..4 {
        let server = house.start();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for last in 0..30 {
                    converse(&server, &format!("203.0.{round}.{last}"), &asks_for_alice("250"));
                }
            });
            for last in 100..110 {
                let (reply, log) = stdio_session(&house, &format!("203.0.{round}.{last}"));
                assert!(reply.starts_with("250"), "{reply} {log}");
            }
        });
        server.kill();
    }
    let questions = fs::read_to_string(house.path("asked")).unwrap();
    let asked = questions.matches(".list.example A ").count();
    // A crash may lose what was taken in advance: here one query each time.
    assert!((60..=120).contains(&asked), "{asked}");
    assert!(house.log().contains(" result=quota "), "{}", house.log());
}

#[test]
fn a_list_that_has_everybody_is_found_out_and_what_it_said_is_forgotten() {
    let house = house("");
    let rbldnsd = Rbldnsd::start(&house, &[("list.example", LIST)]);
    ask_lists(&house, &rbldnsd, &[("list.example", "action = \"reject\"")]);
    let server = house.start();
    converse(&server, LISTED, &asks_for_alice("553"));
    wait_for_books(&house, LISTED, 1);
    drop((server, rbldnsd));
    // Its owner has sold the name.
    let rbldnsd = Rbldnsd::start(&house, &[("list.example", EVERYBODY)]);
    let settings = fs::read_to_string(house.path("smtpd.toml")).unwrap();
    let settings = settings.split_once("[[dnsbl]]").unwrap().0.to_owned();
    house.configure(&settings);
    ask_lists(&house, &rbldnsd, &[("list.example", "action = \"reject\"")]);
    let server = house.start();
    wait_for("the list's rest", || {
        metric(&server, "smtpd_blocklist_resting{zone=\"list.example\"}").filter(|resting| *resting == 1)
    });
    converse(&server, "198.51.100.31", &asks_for_alice("250"));
    converse(&server, LISTED, &asks_for_alice("250"));
    let (code, said, _) = house.run(&["dnsbl"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("list.example: NOT TO BE BELIEVED: it lists 127.0.0.1"), "{said}");
}

#[test]
fn a_list_that_begins_to_have_everybody_is_found_out_before_its_next_test() {
    let house = house("");
    let rbldnsd = Rbldnsd::start(&house, &[("list.example", LIST)]);
    ask_lists(&house, &rbldnsd, &[("list.example", "")]);
    let server = house.start();
    wait_for("the first test", || Some(()).filter(|()| asked(&house, "127.0.0.2", "list.example").0 == 1));
    // rbldnsd looks each second whether its files have changed.
    fs::write(house.path("zone.new"), EVERYBODY).unwrap();
    fs::rename(house.path("zone.new"), house.path("zone0")).unwrap();
    wait_for("the new list", || Some(()).filter(|()| house.run(&["dnsbl", "192.0.2.99"]).0 == Some(0)));
    for last in 1..=20 {
        converse(&server, &format!("203.0.113.{last}"), &asks_for_alice("451"));
    }
    wait_for("the list's rest", || {
        metric(&server, "smtpd_blocklist_resting{zone=\"list.example\"}").filter(|resting| *resting == 1)
    });
    for last in 20..=21 {
        converse(&server, &format!("203.0.113.{last}"), &asks_for_alice("250"));
    }
}

#[test]
fn a_list_of_domains_that_has_everything_or_is_no_more_refuses_nobody() {
    let listed = [127, 0, 0, 2];
    let names = NameServer::start(
        &[],
        &[
            ("spam.example.list.example", listed),
            ("spam.example.sold.example", listed),
            ("invalid.sold.example", listed),
            ("good.example.sold.example", listed),
            ("good.example.rhsbl.ahbl.org", listed),
        ],
        &[],
    );
    let house = house("");
    let settings = fs::read_to_string(house.path("smtpd.toml")).unwrap();
    let lists = ["rhsbl.ahbl.org", "sold.example", "list.example"]
        .map(|zone| format!("[[rhsbl]]\nzone = \"{zone}\"\naction = \"reject\"\ntext = \"no\"\n"));
    house.configure(&format!("{settings}{}[dns]\nservers = [\"{}\"]\n", lists.concat(), names.address));
    let server = house.start();
    let script = |sender: &'static str, reply| [(sender, "250"), ("RCPT TO:<alice@example.org>", reply)];
    converse(&server, LISTED, &script("MAIL FROM:<a@good.example>", "250"));
    converse(&server, LISTED, &script("MAIL FROM:<a@spam.example>", "553 no"));
    assert!(house.log().contains(" reason=rhsbl detail=list.example "), "{}", house.log());
}

#[test]
fn a_survey_tells_what_each_list_has_and_the_first_one_decides() {
    let house = house("survey_every = 2");
    let other = ":127.0.0.4:Also here\n127.0.0.2\n198.51.100.30\n";
    let zones = [("list.example", LIST), ("clear.example", "127.0.0.2\n"), ("other.example", other)];
    let rbldnsd = Rbldnsd::start(&house, &zones);
    ask_lists(
        &house,
        &rbldnsd,
        &[
            ("list.example", "listed_for = \"0s\""),
            ("clear.example", "passed_for = \"0s\""),
            ("other.example", "listed_for = \"0s\"\naction = \"reject\""),
        ],
    );
    let server = house.start();
    for _ in 0..4 {
        converse(&server, LISTED, &asks_for_alice("451 Listed, see http://list.example/?198.51.100.30"));
    }
    let log = house.log();
    let results = |zone: &str, result: &str| {
        log.lines().filter(|line| line.contains(zone) && line.contains(&format!(" result={result} "))).count()
    };
    assert_eq!(results(".list.example", "delay"), 4, "{log}");
    assert_eq!((results(".clear.example", "pass"), results(".other.example", "ignore")), (2, 2), "{log}");
}
