//! One session on standard input and output, under the programs that run qmail-smtpd.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::house::{Client, House, wait_for};
use crate::names::NameServer;

/// Debian's tcpserver in front of one program.
struct Tcpserver {
    child: Child,
    address: SocketAddr,
}

impl Tcpserver {
    /// Starts it; its log, and that of what it runs, goes to the house's `log`.
    fn start(house: &House, options: &[&str], environment: &[(&str, &str)], program: &[&str]) -> Self {
        // Nobody can be asked which port tcpserver chose, so one that was free a moment ago is tried until it is.
        loop {
            let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            // Its first line; `40` is its own limit, and no other server's.
            let starts = || house.log().matches("tcpserver: status: 0/40\n").count();
            let before = starts();
            let log = fs::File::options().create(true).append(true).open(house.path("log")).unwrap();
            let mut child = Command::new("tcpserver")
                .args(["-v", "-H", "-R", "-l", "mx.example.org"])
                .args(options)
                .args(["127.0.0.1", &free.port().to_string()])
                .args(program)
                .envs(environment.iter().copied())
                .stderr(log)
                .spawn()
                .unwrap();
            let started = wait_for("tcpserver", || match child.try_wait().unwrap() {
                Some(_) => Some(false),
                None => (starts() > before).then_some(true),
            });
            if started {
                return Tcpserver { child, address: free };
            }
        }
    }
}

impl Drop for Tcpserver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn house() -> House {
    let house = House::new("");
    house.add_user("alice", "secret");
    house
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_postern-smtpd");

/// `postern-smtpd stdio` with the settings of a house.
fn stdio(house: &House) -> Vec<String> {
    let settings = house.path("smtpd.toml").to_str().unwrap().to_owned();
    vec![PROGRAM.to_owned(), "stdio".to_owned(), "--config".to_owned(), settings]
}

fn words(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

#[test]
fn tcpserver_runs_sessions_and_their_mail_is_delivered() {
    let house = house();
    let server = Tcpserver::start(&house, &[], &[], &words(&stdio(&house)));
    let mut client = Client::connect(server.address);
    client.expect("", "220 mx.example.org ESMTP");
    client.expect("EHLO client.example.net", "250-mx.example.org\r\n250-STARTTLS\r\n");
    client.expect("MAIL FROM:<bob@example.net>", "250");
    client.expect("RCPT TO:<nobody@example.org>", "550 5.1.1 sorry, no mailbox here by that name. (#5.1.1)");
    client.expect(
        "RCPT TO:<carol@example.com>",
        "553 5.7.1 sorry, that domain isn't in my list of allowed rcpthosts",
    );
    client.deliver("bob@example.net", &["alice@example.org"], "Subject: through tcpserver\r\n\r\nhello");
    client.expect("QUIT", "221");
    assert!(client.is_closed());
    let mail = house.wait_for_mail("alice");
    assert!(mail.contains("\nReceived: from client.example.net (unknown [127.0.0.1])\n"), "{mail}");
    let log = house.wait_for_log(" status 0\n");
    let pid = log.split("tcpserver: pid ").nth(1).unwrap().split(' ').next().unwrap();
    for line in [
        format!("tcpserver: end {pid} status 0\n"),
        " reason=chkuser detail=nomailbox ".to_owned(),
        format!(" remoteip=127.0.0.1 remoteport={} ", client.port()),
        format!(" pid={pid}\n"),
        "new msg ".to_owned(),
        ": success: did_1+0+0/".to_owned(),
    ] {
        assert!(log.contains(&line), "{line} in {log}");
    }
    assert_eq!(fs::read_dir(house.path("state/queue/msg")).unwrap().count(), 0, "{log}");
}

#[test]
fn many_sessions_at_once_share_a_queue_and_a_server_delivers() {
    let house = house();
    let settings = fs::read_to_string(house.path("smtpd.toml")).unwrap();
    house.configure(&format!("{settings}\n[[listen]]\naddress = \"127.0.0.1:0\"\n"));
    let daemon = house.start();
    let server = Tcpserver::start(&house, &[], &[], &words(&stdio(&house)));
    let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(server.address)).collect();
    clients.push(Client::connect(daemon.listen[0]));
    for client in &mut clients {
        client.expect("", "220");
    }
    for client in &mut clients {
        for _ in 0..3 {
            client.deliver("bob@example.net", &["alice@example.org"], "Subject: one of many\r\n\r\n");
        }
    }
    wait_for("all messages", || Some(()).filter(|()| house.mail("alice").len() == 27));
    let log = house.wait_for_log("end msg");
    let numbers: std::collections::HashSet<&str> =
        log.lines().filter_map(|line| line.split("new msg ").nth(1)).collect();
    assert_eq!(numbers.len(), 27, "{log}");
}

#[test]
fn a_rule_of_tcpserver_lets_a_client_relay_and_limits_its_messages() {
    let house = house();
    let rules = house.path("rules");
    fs::write(&rules, "127.:allow,RELAYCLIENT=\"\",DATABYTES=\"200\"\n:deny\n").unwrap();
    let cdb = house.path("rules.cdb");
    let made = Command::new("tcprules")
        .args([&cdb, &house.path("rules.tmp")])
        .stdin(fs::File::open(rules).unwrap())
        .status();
    assert!(made.unwrap().success());
    let server = Tcpserver::start(&house, &["-x", cdb.to_str().unwrap()], &[], &words(&stdio(&house)));
    let mut client = Client::connect(server.address);
    client.expect("", "220");
    client.expect("MAIL FROM:<alice@example.org> SIZE=201", "552");
    client.expect("MAIL FROM:<alice@example.org>", "250");
    client.expect("RCPT TO:<carol@example.com>", "250");
    client.expect("DATA", "354");
    client.expect(&format!("Subject: {}\r\n.", "x".repeat(300)), "552");
    house.wait_for_log("CHKUSER relaying rcpt: ");
    assert!(house.log().contains(" relay=yes rcpthosts=no "), "{}", house.log());
}

#[test]
fn rblsmtpd_in_front_and_its_variable_are_obeyed() {
    let house = house();
    let program = [vec!["rblsmtpd".to_owned(), "-t3".to_owned()], stdio(&house)].concat();
    // rblsmtpd itself answers a client that the environment calls listed ...
    {
        let listed = [("RBLSMTPD", "-go away, %IP%")];
        let server = Tcpserver::start(&house, &[], &listed, &words(&program));
        let mut client = Client::connect(server.address);
        client.expect("", "220 rblsmtpd.local");
        client.expect("MAIL FROM:<>", "250");
        client.expect("RCPT TO:<alice@example.org>", "553 go away, %IP%");
    }
    // ... passes one that it calls clear, and without rblsmtpd the variable says the same.
    for (program, value, reply, transcript) in [
        (&program, "", "250", ""),
        (&stdio(&house), "", "250", ""),
        (&stdio(&house), "later", "451 later", ": 451 later\n"),
        (&stdio(&house), "-never", "553 never", ": 553 never\n"),
    ] {
        let server = Tcpserver::start(&house, &[], &[("RBLSMTPD", value)], &words(program));
        let mut client = Client::connect(server.address);
        client.expect("", "220 mx.example.org");
        client.expect("MAIL FROM:<>", "250");
        client.expect("RCPT TO:<alice@example.org>", reply);
        client.expect("QUIT", "221");
        let log = house.wait_for_log(transcript);
        assert!(transcript.is_empty() || log.contains(" detail=rblsmtpd "), "{log}");
    }
    let log = house.log();
    assert_eq!(log.matches(": RCPT TO:<alice@example.org>\n").count(), 2, "{log}");
}

#[test]
fn pipes_are_a_connection_as_well() {
    let house = house();
    let mut child = house
        .command(&["stdio"])
        .env("TCPREMOTEIP", "2001:db8::7")
        .env("TCPREMOTEHOST", "client.example.net")
        .env("RUST_LOG", "off")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let script = "EHLO client.example.net\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n";
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let (said, log) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success() && said.ends_with("221 2.0.0 mx.example.org\r\n"), "{said}{log}");
    assert!(log.contains("remotehost=client.example.net"), "{log}");
    assert!(
        log.contains("remote <helo:|remotehostname:client.example.net|remotehostip:2001:db8::7>"),
        "{log}"
    );
    assert_eq!(house.mail("alice").len(), 1, "{log}");
}

#[test]
fn under_inetd_the_client_reads_replies_and_nothing_else() {
    let house = house();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (socket, _) = listener.accept().unwrap();
    let descriptor = || OwnedFd::from(socket.try_clone().unwrap());
    let mut child = house
        .command(&["stdio"])
        .stdin(descriptor())
        .stdout(descriptor())
        .stderr(descriptor())
        .spawn()
        .unwrap();
    drop(socket);
    client.write_all(b"HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<nobody@example.org>\r\nQUIT\r\n").unwrap();
    let mut heard = String::new();
    client.read_to_string(&mut heard).unwrap();
    let codes: Vec<&str> = heard.lines().map(|line| &line[..4]).collect();
    assert_eq!(codes, ["220 ", "250 ", "250 ", "550 ", "221 "], "{heard}");
    assert!(child.wait().unwrap().success());
    let log = house.log();
    let pid = child.id();
    for line in [format!("tcpserver: pid {pid} from 127.0.0.1\n"), format!("tcpserver: end {pid} status 0\n")]
    {
        assert!(log.contains(&line), "{line} in {log}");
    }
}

/// Debian's programs that wait for connections and run one program for each, with no more than a socket.
fn super_server(house: &House, which: &str, address: SocketAddr) -> Command {
    let program = stdio(house);
    let mut command;
    match which {
        "inetd" => {
            let name = Path::new(PROGRAM).file_name().unwrap().to_str().unwrap();
            let service =
                format!("{address} stream tcp nowait root {PROGRAM} {name} {}\n", program[1..].join(" "));
            fs::write(house.path("inetd.conf"), service).unwrap();
            // It runs as root, who it is in a namespace of its own.
            command = Command::new("unshare");
            command.args(["--user", "--map-root-user", "--kill-child", "--fork", "/usr/sbin/inetd", "-i"]);
            command.arg(house.path("inetd.conf"));
        }
        "systemd" => {
            command = Command::new("systemd-socket-activate");
            command.args(["--accept", "--inetd", &format!("--listen={address}")]).args(program);
        }
        _ => {
            command = Command::new("tcpsvd");
            command
                .args(["-v", "-l", "mx.example.org", "127.0.0.1", &address.port().to_string()])
                .args(program);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(fs::File::create(house.path("errors")).unwrap());
    command
}

#[test]
fn sessions_that_are_the_first_all_at_once_agree_on_what_they_make() {
    let house = house();
    let mut children: Vec<Child> = (0..8)
        .map(|_| {
            let mut command = house.command(&["stdio"]);
            command.env("TCPREMOTEIP", "192.0.2.7").stdin(Stdio::piped());
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in &mut children {
        child.stdin.take().unwrap().write_all(b"EHLO x\r\nQUIT\r\n").unwrap();
    }
    for child in children {
        let output = child.wait_with_output().unwrap();
        let (said, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(said.starts_with("220 ") && said.contains("250-STARTTLS\r\n"), "{said}{log}");
        assert!(output.status.success() && !log.contains("WARN") && !log.contains("ERROR"), "{said}{log}");
    }
    let (code, said, complained) = house.run(&["check"]);
    assert_eq!(code, Some(0), "key and certificate belong together: {said}{complained}");
}

#[test]
fn whoever_has_a_connection_can_run_a_session() {
    for which in ["inetd", "systemd", "tcpsvd"] {
        let house = house();
        // A port that was free a moment ago; whoever took it since is found out by the greeting.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = super_server(&house, which, address).spawn().unwrap();
        let _server = Tcpserver { child, address };
        wait_for(which, || TcpStream::connect(address).ok());
        let mut client = Client::connect(address);
        client.expect("", "220 mx.example.org ESMTP");
        client.expect("EHLO client.example.net", "250-mx.example.org\r\n250-STARTTLS\r\n");
        client.expect("MAIL FROM:<bob@example.net>", "250");
        client.expect(
            "RCPT TO:<nobody@example.org>",
            "550 5.1.1 sorry, no mailbox here by that name. (#5.1.1)",
        );
        client.deliver(
            "bob@example.net",
            &["alice@example.org"],
            "Subject: through a super-server\r\n\r\nhello",
        );
        client.expect("QUIT", "221");
        assert!(client.is_closed(), "{which}");
        assert!(house.wait_for_mail("alice").contains("hello"), "{which}");
        let log = if which == "inetd" { house.log() } else { read(&house.path("errors")) };
        assert!(
            log.contains(&format!(" remoteip=127.0.0.1 remoteport={} ", client.port())),
            "{which}: {log}"
        );
        // tcpsvd has told of the connection itself, in words of its own.
        assert_eq!(log.contains("tcpserver: ok "), which != "tcpsvd", "{which}: {log}");
    }
}

/// A program in qmail-queue's place that keeps what it gets, and ends as it is told.
fn queue(house: &House, exit: u8) -> String {
    let path = house.path(format!("queue-{exit}"));
    let keep = house.path("kept");
    // The envelope comes on descriptor 1.
    let script = format!("#!/bin/sh\ncat >{0}.message\ncat <&1 >{0}.envelope\nexit {exit}\n", keep.display());
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn qmail_queue_takes_the_message_and_says_what_became_of_it() {
    let house = house();
    for (exit, reply) in [
        (0, "250 ok "),
        (31, "554 mail server permanently rejected message (#5.3.0)"),
        (53, "451 qq write error or disk full (#4.3.0)"),
    ] {
        let program = queue(&house, exit);
        let server = Tcpserver::start(&house, &[], &[("QMAILQUEUE", &program)], &words(&stdio(&house)));
        let mut client = Client::connect(server.address);
        client.expect("", "220");
        client.expect("MAIL FROM:<bob@example.net>", "250");
        client.expect("RCPT TO:<alice@example.org>", "250");
        client.expect("RCPT TO:<alice-list@example.org>", "250");
        client.expect("DATA", "354");
        // More than fits a pipe.
        let text = format!("Subject: big\r\n\r\n{}", "0123456789\r\n".repeat(20_000));
        client.expect(&format!("{text}."), reply);
        client.expect("QUIT", "221");
        assert_eq!(
            read(&house.path("kept.envelope")),
            "Fbob@example.net\0Talice@example.org\0Talice-list@example.org\0\0"
        );
        let message = read(&house.path("kept.message"));
        assert!(message.starts_with("Received: from unknown "), "{message:.300}");
        assert!(message.ends_with(&text.replace("\r\n", "\n")), "{message:.300}");
    }
    let log = house.log();
    assert!(log.contains(r" reason=queuereject detail=mail\x20server\x20permanently\x20rejected"), "{log}");
    assert!(house.mail("alice").is_empty());
}

#[test]
fn qmail_queues_own_words_are_said() {
    let house = house();
    for (script, reply) in [
        ("echo 'Dyour message is spam (9.1 hits)' >&4; exit 82", "554 your message is spam (9.1 hits)\r\n"),
        ("printf 'Zcome later\\r\\n250 forged' >&6; exit 88", "451 come later\r\n"),
        ("echo x >&4; exit 82", "451 qq temporary problem (#4.3.0)\r\n"),
        ("echo 'Dspam' >&4; exit 31", "554 mail server permanently rejected message (#5.3.0)\r\n"),
        ("echo 'Dignored' >&4; exit 0", "250 ok "),
    ] {
        let program = house.path("queue-with-words");
        fs::write(&program, format!("#!/bin/sh\ncat >/dev/null\ncat <&1 >/dev/null\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let program = program.to_str().unwrap();
        let server = Tcpserver::start(&house, &[], &[("QMAILQUEUE", program)], &words(&stdio(&house)));
        let mut client = Client::connect(server.address);
        client.expect("", "220");
        client.expect("MAIL FROM:<bob@example.net>", "250");
        client.expect("RCPT TO:<alice@example.org>", "250");
        client.expect("DATA", "354");
        client.expect("Subject: x\r\n.", reply);
        client.expect("QUIT", "221");
    }
}

#[test]
fn settings_that_are_wrong_put_the_client_off() {
    let house = house();
    house.configure("hostnam = \"x\"\n");
    let (code, said, log) = house.run(&["stdio"]);
    assert_eq!((code, said.as_str()), (Some(78), "421 unable to read controls (#4.3.0)\r\n"));
    assert!(log.contains("smtpd.toml:1:1: unknown key `hostnam`"), "{log}");
}

/// What one session says under an environment, by pipes.
fn converse(house: &House, environment: &[(&str, &str)], said: &str) -> String {
    let ends = [("TCPREMOTEPORT", "4000"), ("TCPLOCALIP", "192.0.2.25")];
    house.session(&[&ends, environment].concat(), said).0
}

/// The modes of qmail-smtpd's login patches: which mechanisms, whether a login is required, and what it needs.
#[test]
fn smtpauth_forcetls_and_forceauthmailfrom_are_obeyed() {
    let house = house();
    let tls = ("SSL_PROTOCOL", "TLSv1.3");
    for (environment, offered, mail) in [
        (vec![tls], Some("LOGIN PLAIN"), "250 "),
        (vec![tls, ("SMTPAUTH", "")], Some("LOGIN PLAIN"), "250 "),
        (vec![tls, ("SMTPAUTH", "-")], None, "250 "),
        (vec![tls, ("SMTPAUTH", "!")], Some("LOGIN PLAIN"), "530 5.7.0 authentication required"),
        (vec![tls, ("SMTPAUTH", "cram")], Some("CRAM-MD5"), "250 "),
        (vec![tls, ("SMTPAUTH", "+cram")], Some("LOGIN PLAIN CRAM-MD5"), "250 "),
        (vec![tls, ("SMTPAUTH", "!cram")], Some("CRAM-MD5"), "530 5.7.0 authentication required"),
        (vec![tls, ("SMTPAUTH", "!+cram")], Some("LOGIN PLAIN CRAM-MD5"), "530 "),
        (vec![("SMTPAUTH", "!")], None, "530 5.7.0 authentication required"),
        (vec![("SMTPAUTH", ""), ("FORCETLS", "1")], None, "250 "),
        (vec![("SMTPAUTH", ""), ("FORCETLS", "0")], Some("LOGIN PLAIN"), "250 "),
        (vec![("SMTPAUTH", "!"), ("RELAYCLIENT", "")], None, "250 "),
    ] {
        let said = converse(&house, &environment, "EHLO x\r\nMAIL FROM:<bob@example.net>\r\nQUIT\r\n");
        let found = said.lines().find_map(|line| line.strip_prefix("250-AUTH "));
        assert_eq!(found, offered, "{environment:?}: {said}");
        let replies: Vec<&str> = said.lines().rev().take(2).collect();
        assert!(replies[1].starts_with(mail), "{environment:?}: {said}");
    }
    let refused = converse(&house, &[], "EHLO x\r\nAUTH PLAIN\r\nQUIT\r\n");
    assert!(refused.contains("\n538 5.7.11 auth not available without TLS (#5.3.3)\r\n"), "{refused}");
}

/// TLS from the first byte and by STARTTLS, over the connection itself and over the pipes that recordio puts between.
#[test]
fn sessions_under_tcpserver_are_encrypted_too() {
    let house = house();
    let (plain, program) = (stdio(&house), stdio(&house));
    // What recordio writes is no line of ours, and no text.
    let apart = r#"exec 3>&2; exec recordio sh -c 'exec "$@" 2>&3' - "$@" 2>/dev/null"#;
    let behind_pipes = [["sh", "-c", apart, "-"].map(str::to_owned).to_vec(), program].concat();
    for program in [&plain, &behind_pipes] {
        for (smtps, connect) in [
            ("0", "smtplib.SMTP('127.0.0.1', port); c.starttls(context=tls)"),
            ("1", "smtplib.SMTP_SSL('127.0.0.1', port, context=tls)"),
        ] {
            let server =
                Tcpserver::start(&house, &[], &[("SMTPS", smtps), ("DATABYTES", "0")], &words(program));
            let script = format!(
                "
import smtplib, ssl
port, tls = {}, ssl._create_unverified_context()
c = {connect}
c.login('alice', 'secret')
assert c.esmtp_features['size'] == '0', c.esmtp_features
c.sendmail('alice@example.org', 'alice@example.org', 'Subject: x\\r\\n\\r\\n' + 'long line ' * 90 + '\\r\\n' * 3000)
c.quit()",
                server.address.port()
            );
            let output = Command::new("python3").args(["-c", &script]).output().unwrap();
            assert!(
                output.status.success(),
                "{program:?} {smtps}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
    wait_for("four messages", || Some(()).filter(|()| house.mail("alice").len() == 4));
    let (log, mail) = (house.log(), house.mail("alice").concat());
    assert_eq!(log.matches(": auth: auth-success type=plain user=<alice>\n").count(), 4, "{log}");
    assert_eq!(mail.matches("\n tls TLS_AES_256_GCM_SHA384 (TLSv1.3); ").count(), 4);
}

#[test]
fn a_login_may_have_to_send_as_itself_under_tcpserver() {
    let house = house();
    for (force, mail) in [("1", "503 5.7.1 from and auth not the same (#5.5.4)"), ("0", "250 2.1.0 ok")] {
        let environment = [("SSL_PROTOCOL", "TLSv1.3"), ("FORCEAUTHMAILFROM", force)];
        let program = stdio(&house);
        let server = Tcpserver::start(&house, &[], &environment, &words(&program));
        let mut client = Client::connect(server.address);
        client.expect("", "220");
        client.expect("EHLO x", "250");
        client.expect("AUTH PLAIN AGFsaWNlAHNlY3JldA==", "235");
        client.expect("MAIL FROM:<bob@example.org>", mail);
        client.expect("RSET", "250");
        client.expect("MAIL FROM:<alice@example.org>", "250");
    }
}

#[test]
fn checkpassword_is_asked_for_passwords() {
    let house = house();
    let path = house.path("checkpassword");
    fs::write(&path, "#!/bin/sh\n[ \"$(tr '\\0' : <&3)\" = bob:word:: ] || exit 1\nexec \"$@\"\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let arguments = ["gate.example.org", path.to_str().unwrap(), "true"].map(str::to_owned);
    let program = [stdio(&house), arguments.to_vec()].concat();
    let server = Tcpserver::start(&house, &[], &[("SSL_PROTOCOL", "TLSv1.3")], &words(&program));
    let mut client = Client::connect(server.address);
    client.expect("", "220 gate.example.org ESMTP");
    assert!(client.expect("EHLO x", "250").contains("250-AUTH "));
    client.expect("AUTH PLAIN AGJvYgBndWVzcw==", "535");
    client.expect("AUTH PLAIN AGJvYgB3b3Jk", "235");
    client.expect("MAIL FROM:<bob@example.org>", "250");
    client.expect("RCPT TO:<carol@example.com>", "250");
    client.expect("QUIT", "221 2.0.0 gate.example.org");
    let log = house.wait_for_log("auth: auth-success type=plain user=<bob>");
    assert!(log.contains("auth: auth-failed type=plain user=<bob> fingerprint="), "{log}");
    assert!(!log.contains("word") && !log.contains("guess"), "{log}");
}

#[test]
fn the_server_gives_its_mail_to_qmail_queue_as_well() {
    let house = House::new("[[listen]]\naddress = \"127.0.0.1:0\"\n");
    house.add_user("alice", "secret");
    let settings = fs::read_to_string(house.path("smtpd.toml")).unwrap();
    house.configure(&format!("queue = {:?}\n{settings}", queue(&house, 0)));
    let server = house.start();
    let mut client = Client::connect(server.listen[0]);
    client.expect("", "220");
    client.deliver("", &["alice@example.org"], "Subject: x\r\n\r\nhello");
    assert_eq!(read(&house.path("kept.envelope")), "F\0Talice@example.org\0\0");
    assert!(read(&house.path("kept.message")).ends_with("\nSubject: x\n\nhello\n"));
}

#[test]
fn sessions_share_what_blocklists_said() {
    let names = NameServer::start(
        &[],
        &[("7.2.0.192.list.example", [127, 0, 0, 2]), ("2.0.0.127.list.example", [127, 0, 0, 2])],
        &[("7.2.0.192.list.example", "see http://list.example/")],
    );
    let house = house();
    let settings = fs::read_to_string(house.path("smtpd.toml")).unwrap();
    let lists = format!(
        "[[dnsbl]]\nzone = \"list.example\"\nlimit = 1000\n[dns]\nservers = [\"{}\"]\n",
        names.address
    );
    house.configure(&format!("{settings}{lists}"));
    let session = |client: &str| {
        let script = "HELO x\r\nMAIL FROM:<a@example.net>\r\nRCPT TO:<alice@example.org>\r\nQUIT\r\n";
        let (_, log) = house.session(&[("TCPREMOTEIP", client)], script);
        let lines = log.lines().filter(|line| line.contains(" rbl: "));
        lines.map(|line| line.split_once(" result=").unwrap().1.to_owned()).collect::<Vec<_>>()
    };
    let listed = "delay message='see http://list.example/'";
    assert_eq!(session("192.0.2.7"), [format!("{listed} answer=127.0.0.2")]);
    assert_eq!(session("192.0.2.7"), [format!("{listed} source=cache answer=127.0.0.2")]);
    assert_eq!(session("192.0.2.8"), ["pass message=''"]);
    assert_eq!(session("192.0.2.8"), ["pass message='' source=cache"]);
}
