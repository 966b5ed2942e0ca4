//! What must never be seen: the key in a blocklist's name, passwords, and what proves that somebody knows one. Everything
//! that the program says, at every level and in every format, is searched for them.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::process::Child;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::clients::client;
use crate::house::{House, page, wait_for};
use crate::rbldnsd::Rbldnsd;

const KEY: &str = "q7w3e9r2t8y4u6i1o5p0";
const LISTED: &str = "198.51.100.30";
const PASSWORD: &str = "correct-horse-battery";
const GUESS: &str = "wrong-pony-staple";

/// A house that asks a list whose name and text have a key in them, through a name server that a forger answers too.
fn house(format: &str) -> (House, Rbldnsd) {
    let house = House::new("");
    let zone = format!("{KEY}.zen.dq.spamhaus.net");
    let list = format!(":127.0.0.2:See https://check.example/?ip=$&key={KEY}\n127.0.0.2\n{LISTED}\n");
    let rbldnsd = Rbldnsd::start(&house, &[(&zone, &list)]);
    let settings = fs::read_to_string(house.path("smtpd.toml")).unwrap();
    let lists = rbldnsd.settings(&[(&zone, "limit = 1000")]);
    let (lists, server) = lists.split_once("[dns]\nservers = [\"").unwrap();
    let server: SocketAddr = server.split('"').next().unwrap().parse().unwrap();
    let proxy = "proxy = [\"127.0.0.1\"]\n";
    let services = [("submission", proxy), ("smtp", proxy), ("submission", "")].map(|(service, more)| {
        format!("[[listen]]\naddress = \"127.0.0.1:0\"\nservice = \"{service}\"\n{more}")
    });
    house.configure(&format!(
        "{}{}[auth]\nmechanisms = [\"login\", \"plain\", \"scram-sha-256\", \"scram-sha-256-plus\", \"cram-md5\"]\n{lists}[dns]\nservers = [\"{}\"]\n",
        settings.replace("[log]", &format!("[log]\nformat = \"{format}\"")),
        services.concat(),
        forging(server),
    ));
    // What is kept of a password depends on the mechanisms.
    for user in ["alice", "bob"] {
        house.add_user(user, PASSWORD);
    }
    (house, rbldnsd)
}

/// A name server in front of another that answers each question twice: first with another question, as a forger does, of
/// which a resolver warns, and then as the other does.
fn forging(behind: SocketAddr) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut packet = [0; 1500];
        while let Ok((length, asker)) = socket.recv_from(&mut packet) {
            let question = &packet[..length];
            let mut forged = question.to_vec();
            forged[2] |= 0x80;
            forged[13] ^= 1;
            socket.send_to(&forged, asker).unwrap();
            let other = UdpSocket::bind("127.0.0.1:0").unwrap();
            other.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            other.send_to(question, behind).unwrap();
            let mut answer = [0; 1500];
            let length = other.recv(&mut answer).unwrap();
            socket.send_to(&answer[..length], asker).unwrap();
        }
    });
    address
}

/// A server that says all it can.
struct Talkative {
    child: Child,
    /// In the order of the settings.
    listen: Vec<SocketAddr>,
    metrics: SocketAddr,
}

impl Talkative {
    fn start(house: &House, levels: &str) -> Self {
        let said = fs::File::create(house.path("said")).unwrap();
        let child = house.command(&["run"]).env("RUST_LOG", levels).stderr(said).spawn().unwrap();
        let said = wait_for("the server", || {
            let said = fs::read_to_string(house.path("said")).ok();
            said.filter(|said| said.contains(": ready\n") && said.contains(": metrics address="))
        });
        let addresses = |which: &str| -> Vec<SocketAddr> {
            let lines = said.lines().filter_map(|line| line.split(which).nth(1));
            lines.map(|rest| rest.split(' ').next().unwrap().parse().unwrap()).collect()
        };
        let metrics = addresses(": metrics address=")[0];
        Talkative { child, listen: addresses(": listening address="), metrics }
    }
}

impl Drop for Talkative {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Logs in by every mechanism, rightly and wrongly, and then sends mail from a listed address, with a login that is refused
/// before it.
fn use_every_secret(submission: SocketAddr, smtp: SocketAddr) {
    let proxy = ["--proxy-version", "1", "--proxy-family", "TCP4", "--proxy-source", LISTED];
    let ends = ["--proxy-source-port", "4711", "--proxy-dest", "192.0.2.25", "--proxy-dest-port", "25"];
    let to = ["--server", "127.0.0.1", "--from", "a@example.net", "--to", "bob@example.org", "--tls"];
    for mechanism in ["PLAIN", "LOGIN", "CRAM-MD5"] {
        for password in [PASSWORD, GUESS] {
            let port = submission.port().to_string();
            let login = ["--auth", mechanism, "--auth-user", "alice", "--auth-password", password];
            client("swaks", &[&to[..], &proxy, &ends, &["--port", &port], &login].concat());
        }
    }
    for password in [PASSWORD, GUESS] {
        let port = smtp.port().to_string();
        let login = ["--auth-optional", "PLAIN", "--auth-user", "alice", "--auth-password", password];
        let (_, said) = client("swaks", &[&to[..], &proxy, &ends, &["--port", &port], &login].concat());
        assert!(!said.contains(KEY), "{said}");
        if password == GUESS {
            assert!(said.contains("451 4.7.1 See https://check.example/?ip=198.51.100.30&key=..."), "{said}");
        }
    }
}

/// Logs in by SCRAM, by which no password is sent, but what proves that it is known.
fn use_scram(submission: SocketAddr) {
    for password in [PASSWORD, GUESS] {
        let port = format!("--port={}", submission.port());
        let evaluate = format!("--passwordeval=echo {password}");
        let arguments = [
            "--host=127.0.0.1",
            &port,
            "--tls=on",
            "--tls-starttls=on",
            "--tls-certcheck=off",
            "--auth=scram-sha-256",
            "--user=alice",
            &evaluate,
            "--from=alice@example.org",
            "bob@example.org",
        ];
        client("msmtp", &arguments);
    }
}

/// All that anybody can read of a house whose server runs.
fn seen(house: &House, metrics: SocketAddr) -> String {
    let mut seen =
        fs::read_to_string(house.path("said")).unwrap() + &house.log() + &page(metrics, "/metrics");
    for command in
        [&["check"][..], &["dnsbl"], &["dnsbl", "--json"], &["dnsbl", LISTED], &["dnsbl", LISTED, "--json"]]
    {
        let output = house.command(command).env("RUST_LOG", "trace").output().unwrap();
        seen += &String::from_utf8_lossy(&[output.stdout, output.stderr].concat());
    }
    let script = "HELO x\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<alice@example.org>\r\nQUIT\r\n";
    let (said, log) = house.session(&[("RUST_LOG", "trace"), ("TCPREMOTEIP", LISTED)], script);
    seen += &(said + &log);
    for books in ["dnsbl.db", "dnsbl.db-wal"] {
        seen += &String::from_utf8_lossy(&fs::read(house.path("state").join(books)).unwrap_or_default());
    }
    seen
}

#[track_caller]
fn check(format: &str, levels: &str) {
    let (house, _rbldnsd) = house(format);
    let server = Talkative::start(&house, levels);
    use_every_secret(server.listen[0], server.listen[1]);
    use_scram(server.listen[2]);
    house.wait_for_log("zen.dq.spamhaus.net");
    let seen = seen(&house, server.metrics);
    drop(server);
    assert!(seen.contains("smtpd_blocklist_budget_used{zone=\"zen.dq.spamhaus.net\"}"));
    for mechanism in ["plain", "login", "cram-md5", "scram-sha-256"] {
        let outcomes = match format {
            "json" => [
                format!("\"outcome\":\"success\",\"mechanism\":\"{mechanism}\""),
                format!("\"outcome\":\"failed\",\"mechanism\":\"{mechanism}\""),
            ],
            _ => [format!("auth-success type={mechanism} "), format!("auth-failed type={mechanism} ")],
        };
        assert!(outcomes.iter().all(|outcome| seen.contains(outcome)), "{mechanism}: {}", house.log());
    }
    let mut secrets: Vec<String> = [KEY, PASSWORD, GUESS].map(str::to_owned).to_vec();
    secrets.extend([PASSWORD, GUESS].map(|secret| BASE64_STANDARD.encode(secret)));
    secrets.extend([PASSWORD, GUESS].map(|secret| BASE64_STANDARD.encode(format!("\0alice\0{secret}"))));
    // The last message of SCRAM, which has the proof, begins so: "c=biws", in base64.
    secrets.push("Yz1iaXdz".to_owned());
    let users = fs::read_to_string(house.path("users")).unwrap();
    let kept = users.lines().next().unwrap().split_once(':').unwrap().1;
    assert!(kept.contains("{SCRAM-SHA-256}") && kept.contains("{PLAIN.b64}"), "{kept}");
    secrets.extend(kept.split(' ').map(str::to_owned));
    let seen = seen.to_ascii_lowercase();
    for secret in secrets {
        if let Some(at) = seen.find(&secret.to_ascii_lowercase()) {
            panic!("{secret} is seen: {:?}", seen.get(at.saturating_sub(200)..at + 100));
        }
    }
}

#[test]
fn no_secret_is_seen_in_qmails_words() {
    check("qmail", "trace,hickory_resolver::name_server=trace,hickory_net::udp=trace,[send]=trace");
}

#[test]
fn no_secret_is_seen_in_json() {
    check("json", "info");
}

#[test]
fn a_mistake_in_the_settings_shows_no_key() {
    let house = House::new("");
    for mistake in [
        format!("[[dnsbl]]\nzone = \"{KEY}.zen.dq.spamhaus.net\"\naction = \"x\""),
        format!("[[dnsbl]]\nzone = \"{KEY}.zen..dq.spamhaus.net\""),
        format!("[[dnsbl]]\nzone = [\"{KEY}.zen.dq.spamhaus.net\"]"),
        format!("[[dnsbl]]\nzone = \"{KEY}.zen.dq.spamhaus.net"),
        format!("[[dnsbl]]\nzone = \"{KEY}.zen.dq.spamhaus.net\"\nreset = \"00:00Z\""),
    ] {
        house.configure(&mistake);
        let (code, said, complained) = house.run(&["check"]);
        assert_eq!(code, Some(78), "{mistake}");
        assert!(!said.contains(KEY) && !complained.contains(KEY), "{complained}");
    }
}
