//! Whoever checks the passwords: the same answers and the same lines, for a user that exists and one that does not.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use crate::clients::python;
use crate::house::{House, Server};
use crate::logins::Dovecot;

const PASSWORD: &str = "correct horse";

/// Tries each mechanism, each time in a session of its own: the right password, a wrong one, and nobody's.
const TRIES: &str = r"
for mechanism in mechanisms.split():
    for user, password in [('alice@example.org', 'correct horse'), ('alice@example.org', 'guess'), ('nobody@example.org', 'guess')]:
        c = smtplib.SMTP_SSL('127.0.0.1', port, context=tls)
        c.ehlo()
        c.user, c.password = user, password
        try: said = c.auth(mechanism, getattr(c, 'auth_' + mechanism.lower().replace('-', '_')), initial_response_ok=False)
        except wrong as error: said = (error.smtp_code, error.smtp_error)
        print(mechanism, user.split('@')[0], password, said[0], said[1].decode(), sep='|')
        c.quit()
";

#[track_caller]
fn check(house: &House, server: &Server, mechanisms: &str) {
    let said = python(server, 2, &format!("mechanisms = '{mechanisms}'{TRIES}"));
    let log = house.log();
    let fingerprints: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split(": auth: auth-failed ").nth(1)?.split(" fingerprint=").nth(1))
        .collect();
    let seen = mechanisms.split(' ').filter(|mechanism| *mechanism != "CRAM-MD5").count();
    assert_eq!(fingerprints.len(), 2 * seen, "{log}");
    assert!(fingerprints.iter().all(|own| *own == fingerprints[0]), "the same guess: {log}");
    for mechanism in mechanisms.split(' ') {
        let kind = mechanism.to_ascii_lowercase();
        for (user, password, reply) in [
            ("alice", PASSWORD, "235|2.7.0 ok, go ahead (#2.0.0)"),
            ("alice", "guess", "535|5.7.8 authentication failed (#5.7.1)"),
            ("nobody", "guess", "535|5.7.8 authentication failed (#5.7.1)"),
        ] {
            let line = format!("{mechanism}|{user}|{password}|{reply}\n");
            assert!(said.contains(&line), "{line} in {said}");
            let (outcome, code, reason) = match password {
                PASSWORD => ("success", 235, "authaccepted"),
                _ => ("failed", 535, "authfailed"),
            };
            let user = format!("{user}@example.org");
            for fact in [
                format!(": auth: auth-{outcome} type={kind} user=<{user}>"),
                format!(" code={code} reason={reason} detail= "),
                format!(" authuser={user} authtype={kind} encrypted=ssl "),
                " remoteip=127.0.0.1 ".to_owned(),
            ] {
                assert!(log.contains(&fact), "{fact} in {log}");
            }
        }
    }
    assert!(!log.contains("guess") && !log.contains("horse"), "{log}");
}

fn executable(house: &House, name: &str, text: &str) {
    fs::write(house.path(name), text).unwrap();
    fs::set_permissions(house.path(name), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_own_file_is_asked() {
    let house = House::with_services("[auth]\nmechanisms = [\"plain\", \"login\", \"cram-md5\"]\n");
    house.add_user("alice@example.org", PASSWORD);
    let server = house.start();
    check(&house, &server, "PLAIN LOGIN CRAM-MD5");
}

/// As cmd5checkpw does it: user, password or response, and the challenge, each with a NUL behind it.
#[test]
fn a_checkpassword_program_is_asked() {
    let house = House::with_services("");
    let settings = fs::read_to_string(house.path("smtpd.toml")).unwrap();
    let program = house.path("checkpassword");
    house.configure(&format!(
        "{settings}[auth]\nmechanisms = [\"plain\", \"login\", \"cram-md5\"]\ncheckpassword = [{program:?}, \"/bin/true\"]\n"
    ));
    executable(
        &house,
        "checkpassword",
        "#!/usr/bin/python3
import hmac, os, sys
user, secret, challenge, rest = open(3, 'rb').read().split(b'\\0')
if user != b'alice@example.org' or os.environ['TCPREMOTEIP'] != '127.0.0.1': sys.exit(1)
expected = hmac.new(b'correct horse', challenge, 'md5').hexdigest().encode() if challenge else b'correct horse'
if secret != expected: sys.exit(1)
os.execv(sys.argv[1], sys.argv[1:])
",
    );
    let server = house.start();
    check(&house, &server, "PLAIN LOGIN CRAM-MD5");
}

#[test]
fn the_files_of_vpopmail_are_asked() {
    let house = House::with_services(
        "[auth]\nmechanisms = [\"plain\", \"login\", \"cram-md5\"]\nvpopmail = \"domains\"\n",
    );
    let domain = house.path("domains/example.org");
    fs::create_dir_all(&domain).unwrap();
    let hashed = Command::new("openssl").args(["passwd", "-6", PASSWORD]).output().unwrap();
    let hash = String::from_utf8(hashed.stdout).unwrap();
    let value = format!("{}:1:0:alice:/x:NOQUOTA:{PASSWORD}", hash.trim());
    let mut make = Command::new("cdb")
        .args(["-c", "-t"])
        .args([domain.join("tmp"), domain.join("vpasswd.cdb")])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(make.stdin.take().unwrap(), "+5,{}:alice->{value}\n", value.len()).unwrap();
    assert!(make.wait().unwrap().success());
    let server = house.start();
    check(&house, &server, "PLAIN LOGIN CRAM-MD5");
}

#[test]
fn dovecots_server_is_asked() {
    let house = House::with_services("[auth]\ndovecot = \"run/auth-client\"\n");
    let _dovecot = Dovecot::start(&house.path(""));
    let server = house.start();
    check(&house, &server, "PLAIN LOGIN");
}
