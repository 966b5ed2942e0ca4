//! What must never be seen: the key in a blocklist's name, passwords, and what proves that somebody knows one. Everything
//! that the program says, at every level and in every format, is searched for them.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Stdio};
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

/// A house that asks a list whose name and text have a key in them, through `front` where there is one.
fn house(format: &str) -> (House, Rbldnsd) {
    let house = House::new("");
    for user in ["alice", "bob"] {
        house.add_user(user, PASSWORD);
    }
    let zone = format!("{KEY}.zen.dq.spamhaus.net");
    let list = format!(":127.0.0.2:See https://check.example/?ip=$&key={KEY}\n127.0.0.2\n{LISTED}\n");
    let rbldnsd = Rbldnsd::start(&house, &[(&zone, &list)]);
    let settings = fs::read_to_string(house.path("smtpd.toml")).unwrap();
    let lists = rbldnsd.settings(&[(&zone, "limit = 1000")]);
    let (lists, server) = lists.split_once("[dns]\nservers = [\"").unwrap();
    let server: SocketAddr = server.split('"').next().unwrap().parse().unwrap();
    let services = ["submission", "smtp"].map(|service| {
        format!("[[listen]]\naddress = \"127.0.0.1:0\"\nservice = \"{service}\"\nproxy = [\"127.0.0.1\"]\n")
    });
    house.configure(&format!(
        "{}{}[auth]\nmechanisms = [\"login\", \"plain\", \"scram-sha-256\", \"scram-sha-256-plus\", \"cram-md5\"]\n{lists}[dns]\nservers = [\"{}\"]\n",
        settings.replace("[log]", &format!("[log]\nformat = \"{format}\"")),
        services.concat(),
        forging(server),
    ));
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
struct Talkative(Child);

impl Talkative {
    fn start(house: &House, levels: &str) -> (Self, Vec<SocketAddr>) {
        let said = fs::File::create(house.path("said")).unwrap();
        let child = house.command(&["run"]).env("RUST_LOG", levels).stderr(said).spawn().unwrap();
        // The page of the metrics is opened while the listeners are, and may be told of before them.
        let is_metrics = |line: &&str| line.contains("address=") && line.contains("metrics");
        let said = wait_for("the server", || {
            let said = fs::read_to_string(house.path("said")).ok()?;
            Some(said).filter(|said| said.contains(" ready") && said.lines().any(|line| is_metrics(&line)))
        });
        let (metrics, listen): (Vec<&str>, Vec<&str>) =
            said.lines().filter(|line| line.contains("address=")).partition(is_metrics);
        let address = |line: &str| line.split("address=").nth(1)?.split(' ').next()?.parse().ok();
        (Talkative(child), listen.into_iter().chain(metrics).filter_map(address).collect())
    }
}

impl Drop for Talkative {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
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
fn use_scram(house: &House, submission: SocketAddr) {
    let settings = fs::read_to_string(house.path("smtpd.toml")).unwrap();
    assert!(settings.contains("scram-sha-256"));
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
    let mut session = house.command(&["stdio"]);
    let mut session = session
        .env("RUST_LOG", "trace")
        .env("TCPREMOTEIP", LISTED)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let script = "HELO x\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<alice@example.org>\r\nQUIT\r\n";
    std::io::Write::write_all(&mut session.stdin.take().unwrap(), script.as_bytes()).unwrap();
    let output = session.wait_with_output().unwrap();
    seen += &String::from_utf8_lossy(&[output.stdout, output.stderr].concat());
    for books in ["dnsbl.db", "dnsbl.db-wal"] {
        seen += &String::from_utf8_lossy(&fs::read(house.path("state").join(books)).unwrap_or_default());
    }
    seen
}

#[track_caller]
fn check(format: &str, levels: &str) {
    let (house, _rbldnsd) = house(format);
    let (server, addresses) = Talkative::start(&house, levels);
    let [submission, smtp] = [addresses[0], addresses[1]];
    use_every_secret(submission, smtp);
    use_scram(&house, submission);
    house.wait_for_log("zen.dq.spamhaus.net");
    let seen = seen(&house, *addresses.last().unwrap());
    drop(server);
    assert!(seen.contains("zen.dq.spamhaus.net") && seen.contains("alice"), "{seen}");
    let encoded = |secret: &str| BASE64_STANDARD.encode(format!("\0alice\0{secret}"));
    let hashes = fs::read_to_string(house.path("users")).unwrap();
    let hash = hashes.lines().next().unwrap().rsplit('$').next().unwrap();
    let secrets = [KEY, PASSWORD, GUESS, &encoded(PASSWORD), &encoded(GUESS), hash];
    // The last message of SCRAM, with its proof, begins so: "c=biws," in base64, and "c=" with a binding.
    let plain = [BASE64_STANDARD.encode(PASSWORD), BASE64_STANDARD.encode(GUESS), "Yz1iaXdz".to_owned()];
    for secret in secrets.into_iter().chain(plain.iter().map(String::as_str)) {
        let lower = seen.to_ascii_lowercase();
        if let Some(at) = lower.find(&secret.to_ascii_lowercase()) {
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
