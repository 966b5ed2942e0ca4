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
        "[[dnsbl]]\nzone = \"list.example\"\ncodes = { \"127.255.255.254\" = \"x\" }",
        "smtpd.toml:3:31: \"127.255.255.254\" is no code of a listing: it must be an address in 127.0.0.0/8 and not \
         in 127.255.0.0/16",
    );
    check(
        "[tls]\nkey = \"k\"",
        "smtpd.toml:1:1: certificate is missing: the PEM file of the chain, or self_signed = true",
    );
}
