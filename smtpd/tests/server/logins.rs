//! Logins by others' clients, in every mechanism, and by others' passwords.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::house::{House, Server, wait_for};

const ALL: &str =
    "[auth]\nmechanisms = [\"login\", \"plain\", \"scram-sha-256\", \"scram-sha-256-plus\", \"cram-md5\"]\n";

const PASSWORD: &str = "correct horse";

/// Runs a client to its end: whether it was content, and all it said.
fn client(program: &str, arguments: &[&str], input: &str) -> (bool, String) {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

fn house(more: &str) -> (House, Server) {
    let house = House::with_services(more);
    for user in ["alice", "bob"] {
        house.add_user(user, PASSWORD);
    }
    let server = house.start();
    (house, server)
}

fn port(server: &Server, service: usize) -> String {
    server.listen[service].port().to_string()
}

#[test]
fn swaks_logs_in_with_every_mechanism_it_knows() {
    let (house, server) = house(ALL);
    for mechanism in ["PLAIN", "LOGIN", "CRAM-MD5"] {
        for (password, content) in [(PASSWORD, true), ("wrong", false)] {
            let login = ["--auth", mechanism, "--auth-user", "alice", "--auth-password", password];
            let port = port(&server, 1);
            let to = ["--server", "127.0.0.1", "--port", &port, "--tls", "--quit-after", "AUTH"];
            let envelope = ["--from", "alice@example.org", "--to", "bob@example.org"];
            let (was, said) = client("swaks", &[&to[..], &envelope, &login].concat(), "");
            assert_eq!(was, content, "{mechanism}: {said}");
        }
    }
    let log = house.log();
    for mechanism in ["plain", "login", "cram-md5"] {
        assert!(log.contains(&format!(": auth: auth-success type={mechanism} user=<alice>\n")), "{log}");
        assert!(log.contains(&format!(": auth: auth-failed type={mechanism} user=<alice>")), "{log}");
    }
    assert!(!log.contains("wrong") && !log.contains(PASSWORD), "{log}");
}

#[test]
fn msmtp_sends_after_a_scram_login() {
    let (house, server) = house(ALL);
    let port = format!("--port={}", port(&server, 1));
    for mechanism in ["scram-sha-256", "cram-md5", "plain"] {
        let auth = format!("--auth={mechanism}");
        let arguments = [
            "--host=127.0.0.1",
            &port,
            "--tls=on",
            "--tls-starttls=on",
            "--tls-certcheck=off",
            &auth,
            "--user=alice",
            "--passwordeval=echo correct horse",
            "--from=alice@example.org",
            "bob@example.org",
        ];
        let (content, said) = client("msmtp", &arguments, &format!("Subject: {mechanism}\n\ntext\n"));
        assert!(content, "{mechanism}: {said}");
    }
    wait_for("three messages", || Some(()).filter(|()| house.mail("bob").len() == 3));
    assert!(house.log().contains(": auth: auth-success type=scram-sha-256 user=<alice>\n"));
}

/// GNU's library is the judge of every mechanism, and the only client of Debian that binds a login to its connection.
#[test]
fn gsasl_logs_in_with_every_mechanism_and_binds_its_login_to_the_connection() {
    let (house, server) = house(ALL);
    let to = format!("127.0.0.1:{}", port(&server, 1));
    for (mechanism, more) in [
        ("PLAIN", None),
        ("LOGIN", None),
        ("CRAM-MD5", None),
        ("SCRAM-SHA-256", Some("--no-cb")),
        ("SCRAM-SHA-256-PLUS", None),
    ] {
        for (password, outcome) in [(PASSWORD, "success"), ("wrong", "failed")] {
            let arguments = [
                "--smtp",
                "--starttls",
                "--x509-ca-file=",
                "--connect",
                &to,
                &format!("--mechanism={mechanism}"),
                "--authentication-id=alice",
                "--authorization-id=",
                &format!("--password={password}"),
                "--no-client-first",
                "--verbose",
            ];
            let arguments: Vec<&str> = arguments.into_iter().chain(more).collect();
            let (_, said) = client("gsasl", &arguments, "");
            let mechanism = mechanism.to_ascii_lowercase();
            let fact = format!(": auth: auth-{outcome} type={mechanism} user=<alice>");
            let found = wait_for(&said, || Some(house.log()).filter(|log| log.contains(&fact)));
            assert!(found.contains(&fact), "{said}");
            // The client believes the server's own proof, too.
            let is_content = said.contains("Client authentication finished (server trusted)...");
            assert_eq!(is_content, outcome == "success", "{mechanism}: {said}");
        }
    }
}

/// The client's half of SCRAM from RFC 5802 §3 and of `tls-server-end-point` from RFC 5929 §4.1.
const SCRAM: &str = r#"
import base64, hashlib, hmac, socket
def keyed(key, text): return hmac.new(key, text, hashlib.sha256).digest()
def scram(c, binding, bound, mechanism='SCRAM-SHA-256-PLUS'):
    header = f'{binding},,'.encode()
    first = b'n=alice,r=rOprNGfwEbeRWgbNEkqO'
    code, said = c.docmd('AUTH', mechanism + ' ' + base64.b64encode(header + first).decode())
    if code != 334: return code
    server = base64.b64decode(said)
    parts = dict(part.split(b'=', 1) for part in server.split(b','))
    assert parts[b'r'].startswith(b'rOprNGfwEbeRWgbNEkqO') and len(parts[b'r']) > 36, server
    salted = hashlib.pbkdf2_hmac('sha256', b'correct horse', base64.b64decode(parts[b's']), int(parts[b'i']))
    without = b'c=' + base64.b64encode(header + bound) + b',r=' + parts[b'r']
    message = first + b',' + server + b',' + without
    key = keyed(salted, b'Client Key')
    signature = keyed(hashlib.sha256(key).digest(), message)
    proof = bytes(a ^ b for a, b in zip(key, signature))
    code, said = c.docmd(base64.b64encode(without + b',p=' + base64.b64encode(proof)).decode())
    if code != 334: return code
    expected = b'v=' + base64.b64encode(keyed(keyed(salted, b'Server Key'), message))
    assert base64.b64decode(said) == expected, said
    return c.docmd('')[0]
def connect(version, name):
    c = smtplib.SMTP('127.0.0.1', port)
    tls.minimum_version = tls.maximum_version = version
    c.ehlo()
    assert c.docmd('STARTTLS')[0] == 220
    c.sock = tls.wrap_socket(c.sock, server_hostname=name)
    c.file = None
    assert b'SCRAM-SHA-256-PLUS' in c.ehlo()[1]
    return c, c.sock.getpeercert(True)
"#;

#[test]
fn a_login_is_bound_to_the_certificate_that_the_client_was_shown() {
    let house = House::with_services(&format!(
        "{ALL}[[tls.host]]\nname = \"strong.example.org\"\ncertificate = \"strong.pem\"\n"
    ));
    certificate_with(&house.path(""), "strong", None, "subjectAltName=DNS:strong.example.org", &["-sha384"]);
    house.add_user("alice", PASSWORD);
    let server = house.start();
    let script = format!(
        "{SCRAM}
for version in [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]:
    for name, function in [('mx.example.org', hashlib.sha256), ('strong.example.org', hashlib.sha384)]:
        point = 'p=tls-server-end-point'
        c, shown = connect(version, name)
        # Somebody in between has another certificate, and so has another connection.
        assert scram(c, point, function(shown + b'x').digest()) == 535
        assert scram(c, point, function(shown).digest()) == 235
        c, shown = connect(version, name)
        # Somebody in between has taken the offer to bind away.
        assert scram(c, 'y', b'', 'SCRAM-SHA-256') == 535
        assert scram(c, 'n', b'') == 535
        # A binding that RFC 9266 has no value for with this version, or that nobody knows.
        assert scram(c, 'p=tls-unique', bytes(12)) == 501
        c, shown = connect(version, name)
        assert scram(c, 'p=tls-exporter', bytes(32)) == 535
        assert scram(c, 'n', b'', 'SCRAM-SHA-256') == 235
"
    );
    crate::clients::python(&server, 1, &script);
}

#[test]
fn curl_sends_by_implicit_tls_and_by_starttls() {
    let (house, server) = house("");
    for (url, more) in [
        (format!("smtp://127.0.0.1:{}", port(&server, 1)), &["--ssl-reqd"][..]),
        (format!("smtps://127.0.0.1:{}", port(&server, 2)), &[]),
    ] {
        let envelope = ["--mail-from", "alice@example.org", "--mail-rcpt", "bob@example.org"];
        let login =
            ["--silent", "--show-error", "--insecure", "--user", "alice:correct horse", "--upload-file", "-"];
        let arguments = [&["--url", url.as_str()][..], &envelope, &login, more].concat();
        let (content, said) = client("curl", &arguments, "Subject: from curl\r\n\r\ntext\r\n");
        assert!(content, "{url}: {said}");
    }
    wait_for("two messages", || Some(()).filter(|()| house.mail("bob").len() == 2));
    let mail = house.mail("bob").concat();
    assert!(mail.contains("\n tls TLS_AES_256_GCM_SHA384 (TLSv1.3); "), "{mail}");
    assert!(house.log().contains(" tls=TLSv1.3:TLS_AES_256_GCM_SHA384\n"));
}

/// Makes a certificate for `name`, signed by `authority` or by itself, with `extension`.
pub(crate) fn certificate(directory: &Path, name: &str, authority: Option<&str>, extension: &str) {
    certificate_with(directory, name, authority, extension, &[]);
}

fn certificate_with(directory: &Path, name: &str, authority: Option<&str>, extension: &str, more: &[&str]) {
    let file = |name: &str, end: &str| directory.join(format!("{name}.{end}")).display().to_string();
    let (key, pem) = (file(name, "key"), file(name, "crt"));
    let subject = format!("/CN={name}");
    // The system's own settings would make every certificate one of an authority.
    let settings = file("openssl", "cnf");
    std::fs::write(&settings, "[req]\ndistinguished_name = dn\n[dn]\n").unwrap();
    let mut arguments =
        vec!["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    arguments.extend(["-keyout", &key, "-out", &pem, "-subj", &subject, "-days", "2", "-addext", extension]);
    arguments.extend(["-config", &settings]);
    arguments.extend(more);
    let signer = authority.map(|authority| [file(authority, "crt"), file(authority, "key")]);
    if let Some([certificate, key]) = &signer {
        arguments.extend(["-CA", certificate, "-CAkey", key]);
    }
    let (content, said) = client("openssl", &arguments, "");
    assert!(content, "{said}");
    let both = [std::fs::read(&pem).unwrap(), std::fs::read(&key).unwrap()].concat();
    std::fs::write(file(name, "pem"), both).unwrap();
}

#[test]
fn each_name_has_its_certificate_and_a_reload_changes_it_for_new_sessions_alone() {
    let house =
        House::with_services("[[tls.host]]\nname = \"mail.example.net\"\ncertificate = \"net.pem\"\n");
    certificate(&house.path(""), "net", None, "subjectAltName=DNS:mail.example.net");
    let server = house.start();
    let address = server.listen[2].to_string();
    let shown = |name: &str| {
        let arguments = ["s_client", "-connect", &address, "-servername", name];
        client("openssl", &arguments, "QUIT\r\n").1
    };
    assert!(shown("mail.example.net").contains("subject=CN = net\n"));
    assert!(!shown("mx.example.org").contains("subject=CN = net\n"));
    let mut open = crate::house::Client::connect(server.listen[0]);
    open.expect("", "220");
    certificate(&house.path(""), "new", None, "subjectAltName=DNS:mail.example.net");
    std::fs::rename(house.path("new.pem"), house.path("net.pem")).unwrap();
    server.signal("HUP");
    wait_for("the new certificate", || {
        Some(()).filter(|()| shown("mail.example.net").contains("subject=CN = new\n"))
    });
    std::fs::write(house.path("net.pem"), "nonsense").unwrap();
    server.signal("HUP");
    open.expect("NOOP", "250");
    assert!(shown("mail.example.net").contains("subject=CN = new\n"));
}

#[test]
fn a_known_clients_certificate_lets_it_relay() {
    let house = House::new("");
    let directory = house.path("");
    certificate(&directory, "ca", None, "basicConstraints=critical,CA:TRUE");
    certificate(&directory, "carol", Some("ca"), "subjectAltName=email:carol@example.com");
    certificate(&directory, "mallory", None, "subjectAltName=email:carol@example.com");
    house.configure(
        "hostname = \"mx.example.org\"\ndomains = [\"example.org\"]\nstate = \"state\"\nusers = \"users\"\nmetrics = \"127.0.0.1:0\"\n\
         [tls]\nself_signed = true\nclients_ca = \"ca.crt\"\nclients = [\"carol@example.com\"]\n[log]\nfile = \"log\"\n\
         [[listen]]\naddress = \"127.0.0.1:0\"\nservice = \"smtps\"\n",
    );
    let server = house.start();
    let address = server.listen[0].to_string();
    // A capital R at the beginning of a line is an order to s_client itself.
    const SAID: &str = "MAIL FROM:<a@b>\r\nrcpt TO:<x@example.net>\r\nQUIT\r\n";
    for (name, reply, verified) in [("carol", "250 ok", "yes"), ("mallory", "553 sorry, that domain", "no")] {
        let (pem, key) = (house.path(format!("{name}.crt")), house.path(format!("{name}.key")));
        let arguments = [
            "s_client",
            "-quiet",
            "-ign_eof",
            "-connect",
            &address,
            "-cert",
            pem.to_str().unwrap(),
            "-key",
            key.to_str().unwrap(),
        ];
        let (_, said) = client("openssl", &arguments, SAID);
        assert!(said.contains(&format!("\n250 ok\r\n{reply}")), "{name}: {said}");
        house.wait_for_log(&format!(" sslverified={verified} "));
    }
}

/// qmail's files alone: `servercert.pem`, in which certificate and key stand, `clientca.pem` and `tlsclients`; and a
/// certificate and a key in files of their own.
#[test]
fn the_certificates_of_qmail_are_used_where_they_lie() {
    let house = House::new("");
    let directory = house.path("control");
    std::fs::create_dir(&directory).unwrap();
    certificate(&directory, "servercert", None, "subjectAltName=DNS:mx.example.org");
    certificate(&directory, "clientca", None, "basicConstraints=critical,CA:TRUE");
    certificate(&directory, "carol", Some("clientca"), "subjectAltName=email:carol@example.com");
    let files =
        [("me", "mx.example.org\n"), ("rcpthosts", "example.org\n"), ("tlsclients", "Carol@example.com\n")];
    for (name, text) in files {
        std::fs::write(directory.join(name), text).unwrap();
    }
    let common = "state = \"state\"\nusers = \"users\"\nmetrics = \"127.0.0.1:0\"\n[log]\nfile = \"log\"\n\
        [[listen]]\naddress = \"127.0.0.1:0\"\nservice = \"smtps\"\n";
    let own = "[tls]\ncertificate = \"control/servercert.crt\"\nkey = \"control/servercert.key\"\n\
        clients_ca = \"control/clientca.crt\"\nclients = [\"carol@example.com\"]\n";
    for settings in [format!("control = \"control\"\n{common}"), format!("control = \"off\"\n{common}{own}")]
    {
        house.configure(&settings);
        let server = house.start();
        let file = |name: &str| directory.join(name).to_str().unwrap().to_owned();
        let (address, pem, key) = (server.listen[0].to_string(), file("carol.crt"), file("carol.key"));
        let arguments = ["s_client", "-ign_eof", "-connect", &address, "-cert", &pem, "-key", &key];
        let (_, said) =
            client("openssl", &arguments, "MAIL FROM:<a@b>\r\nrcpt TO:<x@example.net>\r\nQUIT\r\n");
        assert!(said.contains("\nsubject=CN = servercert\n"), "{said}");
        assert!(said.contains("\n250 ok\r\n250 ok\r\n221 "), "{said}");
    }
}

/// A Dovecot of its own, which ends with the test.
struct Dovecot(Child);

impl Drop for Dovecot {
    fn drop(&mut self) {
        // SIGTERM, so that it ends its own processes.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

impl Dovecot {
    fn start(directory: &Path) -> Self {
        let place = directory.display();
        let me = client("id", &["-un"], "").1;
        let group = client("id", &["-gn"], "").1;
        let own =
            format!("default_internal_user = {me}default_internal_group = {group}default_login_user = {me}");
        let own = if me.trim() == "root" { String::new() } else { own };
        let settings = format!(
            "base_dir = {place}/run\nstate_dir = {place}/dovecot\nauth_verbose = yes\nlog_path = {place}/dovecot.log\nprotocols =\nssl = no\n{own}\
             passdb {{\n  driver = passwd-file\n  args = scheme=PLAIN {place}/passwd\n}}\n\
             userdb {{\n  driver = static\n  args = uid=65534 gid=65534 home=/nonexistent\n}}\n\
             service auth {{\n  unix_listener auth-client {{\n    mode = 0666\n  }}\n}}\n\
             service anvil {{\n  chroot =\n}}\n"
        );
        std::fs::write(directory.join("dovecot.conf"), settings).unwrap();
        std::fs::write(directory.join("passwd"), "alice@example.org:{PLAIN}correct horse\n").unwrap();
        let conf = directory.join("dovecot.conf");
        let child = Command::new("/usr/sbin/dovecot").arg("-F").arg("-c").arg(conf).spawn().unwrap();
        let dovecot = Dovecot(child);
        wait_for("dovecot", || Some(()).filter(|()| directory.join("run/auth-client").exists()));
        dovecot
    }
}

#[test]
fn dovecot_is_asked_for_passwords() {
    let house = House::with_services("[auth]\ndovecot = \"run/auth-client\"\n");
    let _dovecot = Dovecot::start(&house.path(""));
    let server = house.start();
    let port = port(&server, 2);
    for (user, password, content) in [
        ("alice@example.org", PASSWORD, true),
        ("alice@example.org", "guess", false),
        ("nobody", "guess", false),
    ] {
        let login = ["--auth", "PLAIN", "--auth-user", user, "--auth-password", password];
        let to = ["--server", "127.0.0.1", "--port", &port, "--tls-on-connect", "--quit-after", "AUTH"];
        let (was, said) = client("swaks", &[&to[..], &["--to", "bob@example.org"], &login].concat(), "");
        assert_eq!(was, content, "{user}: {said}");
        assert!(was || said.contains("535 5.7.8 "), "{user}: {said}");
    }
    let log = house.log();
    let fingerprints: Vec<&str> = log.lines().filter_map(|line| line.split(" fingerprint=").nth(1)).collect();
    assert_eq!(fingerprints.len(), 2, "{log}");
    assert_eq!(fingerprints[0], fingerprints[1], "the same guess");
}

/// Dovecot takes two seconds for a no: others' right passwords do not wait for it, nor are they put off.
#[test]
fn many_ask_dovecot_at_once_and_it_hears_from_where() {
    let house = House::with_services("[auth]\ndovecot = \"run/auth-client\"\n");
    let _dovecot = Dovecot::start(&house.path(""));
    let server = house.start();
    let said = crate::clients::python(
        &server,
        2,
        "
import threading
said = []
def login(password):
    c = smtplib.SMTP_SSL('127.0.0.1', port, context=tls)
    c.ehlo()
    c.user, c.password = 'alice@example.org', password
    try: said.append(c.auth('PLAIN', c.auth_plain)[0])
    except wrong as error: said.append(error.smtp_code)
    c.quit()
threads = [threading.Thread(target=login, args=[p]) for p in ['guess'] * 12 + ['correct horse'] * 4]
for t in threads: t.start()
for t in threads: t.join()
print(sorted(said))",
    );
    assert_eq!(said, format!("{:?}\n", [vec![235; 4], vec![535; 12]].concat()));
    let log = std::fs::read_to_string(house.path("dovecot.log")).unwrap();
    assert!(!log.contains("BUG") && log.contains("(alice@example.org,127.0.0.1"), "{log}");
}

#[test]
fn a_dovecot_that_is_not_there_is_no_wrong_password() {
    let house = House::with_services("[auth]\ndovecot = \"nothing\"\n");
    let server = house.start();
    let port = port(&server, 2);
    let login = ["--auth", "PLAIN", "--auth-user", "alice", "--auth-password", "x"];
    let to = ["--server", "127.0.0.1", "--port", &port, "--tls-on-connect", "--quit-after", "AUTH"];
    let (_, said) = client("swaks", &[&to[..], &["--to", "bob@example.org"], &login].concat(), "");
    assert!(said.contains("454 4.7.0 oops, unable to check the password now"), "{said}");
    assert!(!house.log().contains("auth-failed"));
}
