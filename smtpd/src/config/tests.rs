mod qmail;

use std::time::Duration;

use super::*;
use crate::session::Service;

/// The settings as the documentation shows them, all keys at once.
const EXAMPLE: &str = r#"
hostname = "mx.example.org"
domains  = ["Example.org", "example.com"]
state    = "/var/lib/postern"
users    = "/etc/postern/users"
maildirs = "/var/lib/postern/mail"
metrics  = "127.0.0.1:9825"
relay    = ["10.0.0.0/8", "2001:db8::1"]
[[listen]]
address = "0.0.0.0:25"
service = "smtp"
proxy   = ["10.0.0.1"]
[[listen]]
address = "[::]:465"
service = "smtps"
[tls]
certificate = "cert.pem"
key = "key.pem"
[log]
file = "smtpd.log"
format = "qmail"
socket = "/run/postern/log.sock"
[limits]
message_bytes_max = 25_000_000
command_timeout = "90s"
[dns]
servers = ["127.0.0.1", "[::1]:5353"]
[remote]
smarthost = "mail.example.net:587"
[[dnsbl]]
zone   = "zen.spamhaus.org"
action = "delay"
codes  = { "127.0.0.2" = "sbl", "127.0.0.4" = "xbl" }
"#;

#[test]
fn the_example_is_read() {
    let config = Config::parse("/etc/postern/smtpd.toml", EXAMPLE).unwrap();
    assert!(config.policy.domains.contains("example.org"));
    assert_eq!(config.policy.default_domain, "example.org");
    assert_eq!(config.policy.limits.command_timeout, Duration::from_secs(90));
    assert_eq!(config.policy.blocklists.len(), 1);
    assert_eq!(
        config.listen.iter().map(|listen| listen.service).collect::<Vec<_>>(),
        [Service::Smtp, Service::Smtps]
    );
    assert_eq!(config.log.file.as_deref(), Some(Path::new("/etc/postern/smtpd.log")));
    assert_eq!(config.log.stamp, Stamp::Tai64n);
    assert_eq!(config.log.socket.as_deref(), Some(Path::new("/run/postern/log.sock")));
    assert_eq!(config.tls.unwrap().key, Path::new("/etc/postern/key.pem"));
    assert_eq!(config.name_servers, ["127.0.0.1:53".parse().unwrap(), "[::1]:5353".parse().unwrap()]);
    let smarthost = config.remote.smarthost.unwrap();
    assert_eq!((smarthost.host.as_str(), smarthost.port), ("mail.example.net", 587));
}

#[test]
fn an_empty_file_gives_the_documented_defaults() {
    let config = Config::parse("smtpd.toml", "").unwrap();
    assert_eq!((config.state.as_path(), config.users.as_path()), (Path::new(STATE), Path::new(USERS)));
    assert_eq!(config.maildirs, Path::new("/var/lib/postern/mail"));
    assert_eq!(config.metrics, Some(METRICS));
    assert_eq!(config.listen, [Listen { address: LISTEN, service: Service::Smtp, proxy: Vec::new() }]);
    let log = Log { file: None, format: Format::Qmail, stamp: Stamp::None, socket: None };
    assert_eq!(config.log, log);
    assert_eq!((config.connections.max, config.connections.per_address_max), (1000, 50));
    let limits = config.policy.limits;
    assert_eq!((limits.recipients_max, limits.message_bytes_max, limits.errors_max), (100, 25_000_000, 10));
    assert_eq!((limits.command_timeout.as_secs(), limits.data_timeout.as_secs()), (300, 300));
    assert_eq!((config.queue_messages_max, config.remote.port), (100_000, 25));
    assert!(config.policy.blocklists.is_empty() && config.policy.relay.is_empty() && config.tls.is_none());
}

#[track_caller]
fn check(text: &str, mistakes: &str) {
    assert_eq!(Config::parse("smtpd.toml", text).unwrap_err().to_string(), mistakes);
}

#[test]
fn every_mistake_is_told_at_its_place() {
    check(
        "[[listen]]\nservice = \"submission\"",
        "smtpd.toml:2:11: this service needs TLS: name a certificate and a key in [tls]",
    );
    check(
        "[[listen]]\naddress = \"127.0.0.1:25\"\n[[listen]]\naddress = \"127.0.0.1:25\"",
        "smtpd.toml:4:11: another [[listen]] has 127.0.0.1:25 already",
    );
    check(
        "[[dnsbl]]\nzone = \"list.example\"\ncodes = { \"127.255.255.254\" = \"x\" }",
        "smtpd.toml:3:31: \"127.255.255.254\" is no code of a listing: it must be an address in 127.0.0.0/8 and not \
         in 127.255.0.0/16",
    );
    check(
        "[[dnsbl]]\nzone = \"secret.zen.dq.spamhaus.net\"\n[[dnsbl]]\nzone = \"Secret.zen.dq.spamhaus.net\"",
        "smtpd.toml:4:8: this list stands above already",
    );
    check(
        "[tls]\nkey = \"k\"",
        "smtpd.toml:1:1: certificate is missing: the PEM file of the chain, or self_signed = true",
    );
}

/// A directory of control files and settings that name it.
fn with_control(files: &[(&str, &str)], settings: &str) -> (tempfile::TempDir, Result<Config, Mistakes>) {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let settings = format!("control = {:?}\n{settings}", directory.path());
    let config = Config::parse("smtpd.toml", &settings);
    (directory, config)
}

const CONTROL_FILES: &[(&str, &str)] = &[
    ("me", "mx.example.org\n"),
    ("defaulthost", "example.org\n"),
    ("smtpgreeting", "mx.example.org NO UCE\n"),
    ("locals", "localhost\nExample.org  \n# none\n"),
    ("virtualdomains", "example.com:alias-com\n.example.net:x\nbob@example.info:y\nexample.biz:\n"),
    ("rcpthosts", "example.org\nexample.com\n.backup.example\n"),
    ("databytes", "1000\n"),
    ("timeoutsmtpd", "90\n"),
    ("maxrcpt", "50\n"),
    ("brtlimit", "3\n"),
    ("concurrencyincoming", "20\n"),
    ("badmailfrom", "@spam.example\n!^.+@\n"),
    ("badhelo", "ylmf-pc\n"),
    ("rejectrelaytest", "1\n"),
    (
        "dnsbllist",
        "-zen.spamhaus.org\n+list.dnswl.org\nb.example:-go away %IP%\n=look.example\nbl.example:later\n\
         zen.spamhaus.org\n",
    ),
    ("servercert.pem", "PEM"),
];

#[test]
fn control_files_say_what_the_settings_do_not() {
    let (directory, config) = with_control(CONTROL_FILES, "");
    let config = config.unwrap();
    let policy = config.policy;
    assert_eq!((policy.hostname.as_str(), policy.default_domain.as_str()), ("mx.example.org", "example.org"));
    let mut domains: Vec<&str> = policy.domains.iter().map(String::as_str).collect();
    domains.sort_unstable();
    assert_eq!(domains, ["example.com", "example.org", "localhost"]);
    assert!(
        policy.rules.rcpthosts.have("a.backup.example") && !policy.rules.rcpthosts.have("backup.example")
    );
    assert_eq!(policy.rules.greeting.as_deref(), Some("mx.example.org NO UCE"));
    let limits = &policy.limits;
    assert_eq!((limits.message_bytes_max, limits.recipients_max), (1000, 50));
    assert_eq!((limits.command_timeout.as_secs(), limits.data_timeout.as_secs()), (90, 90));
    assert_eq!((policy.rules.bad_recipients_max, config.connections.max), (3, 20));
    assert!(policy.rules.reject_relay_probes && !policy.rules.reject_null_sender);
    assert_eq!(policy.rules.bad.helo.forbidding(b"YLMF-PC"), Some("ylmf-pc"));
    let lists: Vec<(&str, crate::blocklist::Action, Option<&str>)> = policy
        .blocklists
        .iter()
        .map(|list| (list.shown_zone(), list.action(), list.terms().text.as_deref()))
        .collect();
    use crate::blocklist::Action::{Accept, Delay, Ignore, Reject};
    assert_eq!(
        lists,
        [
            ("zen.spamhaus.org", Reject, None),
            ("list.dnswl.org", Accept, None),
            ("b.example", Reject, Some("go away %IP%")),
            ("look.example", Ignore, None),
            ("bl.example", Delay, Some("later")),
        ]
    );
    assert_eq!(config.tls.unwrap().key, directory.path().join("servercert.pem"));
}

#[test]
fn the_settings_count_before_the_control_files() {
    let settings = "hostname = \"a.example\"\ndomains = [\"b.example\"]\nsmtpgreeting = \"c\"\nbadhelo = []\n\
                    rejectrelaytest = false\n[limits]\nmessage_bytes_max = 5\ncommand_timeout = \"1s\"\nbad_recipients_max = 0\n\
                    [[dnsbl]]\nzone = \"d.example\"\n";
    let (_directory, config) = with_control(CONTROL_FILES, settings);
    let policy = config.unwrap().policy;
    assert_eq!(
        (policy.hostname.as_str(), policy.domains.len(), policy.blocklists.len()),
        ("a.example", 1, 1)
    );
    assert_eq!((policy.limits.message_bytes_max, policy.limits.command_timeout.as_secs()), (5, 1));
    assert!(policy.rules.bad.helo.is_empty() && !policy.rules.reject_relay_probes);
    assert_eq!(policy.rules.bad_recipients_max, 0);
}

#[test]
fn mistakes_in_control_files_are_told_at_their_place() {
    let files = [
        ("databytes", "much\n"),
        ("badrcptto", "a@b\n(\n"),
        ("dnsbllist", "a b\n"),
        ("morercpthosts.cdb", "x"),
    ];
    let (directory, config) = with_control(&files, "hostnam = \"x\"");
    let mistakes = config.unwrap_err().to_string();
    for told in [
        "smtpd.toml:2:1: unknown key `hostnam`".to_owned(),
        format!("{}/databytes:1:1: expected a whole number, found \"much\"", directory.path().display()),
        format!("{}/badrcptto:2:1: this is no regular expression: ", directory.path().display()),
        format!("{}/dnsbllist:1:1: expected a domain", directory.path().display()),
        format!("{}/morercpthosts.cdb:1:1: cannot read ", directory.path().display()),
    ] {
        assert!(mistakes.contains(&told), "{told} in {mistakes}");
    }
    check(
        "control = \"/nonexistent\"",
        "smtpd.toml:1:11: there is no such directory; write \"off\" where there are no control files",
    );
}
