use expect_test::{Expect, expect};

use super::*;
use crate::firewall::{Manner, Treatment};
use crate::health::Patience;

fn read(text: &str) -> Result<Config, Mistakes> {
    Config::from_document(None, Document::parse("watcher.toml", text))
}

#[track_caller]
fn refuses(text: &str, expected: &Expect) {
    expected.assert_eq(&read(text).unwrap_err().to_string());
}

#[test]
fn nothing_written_gives_the_defaults() {
    let config = read("").unwrap();
    assert_eq!(config.firewall, FirewallKind::Nftables(Manner::default()));
    assert_eq!(config.database, Path::new("/var/lib/postern/watcher.db"));
    assert_eq!(config.socket, Path::new("/run/postern/watcher.sock"));
    assert_eq!(config.listen.to_string(), "127.0.0.1:9826");
    assert!(config.private);
    assert_eq!(config.jails.iter().count(), crate::jail::SHIPPED.len());
}

#[test]
fn every_key_of_the_first_day_is_read() {
    let config = read(
        r#"
firewall = "dry-run"
database = "w.db"
socket   = "/run/x.sock"
listen   = "127.0.0.1:1"
jails    = ["password-guessing"]
[exempt]
networks = ["192.0.2.0/24"]
private  = false
[[source]]
file     = "/var/log/qmail/smtpd"
filter   = ["qmail", "vpopmail"]
timezone = "Europe/Rome"
[[source]]
journal  = ["_SYSTEMD_UNIT=dovecot.service"]
[[source]]
syslog   = "/run/postern/log.sock"
[quota."zen.spamhaus.org"]
limit = 300_000
period = "24h"
reset = "00:00Z"
[quota."Abcdefghijklmnopqrstuvwxyz.zen.dq.spamhaus.net"]
limit = 10_000
"#,
    )
    .unwrap();
    assert_eq!(config.sources.len(), 3);
    assert_eq!(config.sources[0].filters.len(), 2);
    let zones: Vec<&str> = config.quotas.iter().map(|quota| quota.zone.as_str()).collect();
    assert_eq!(zones, ["zen.spamhaus.org", "zen.dq.spamhaus.net"], "without a customer's key");
    assert_eq!(config.quotas[0].limit, 300_000);
    assert_eq!(config.jails.iter().count(), 1);
}

#[test]
fn three_mistakes_are_told_at_their_places() {
    refuses(
        "firewal = \"nftables\"\nlisten = \"127.0.0.1\"\n\n[[source]]\nfile = \"/var/log/x\"\ntimezone = \"Europe/Roma\"\n",
        &expect![[r#"
            watcher.toml:1:1: unknown key `firewal`; did you mean `firewall`?
            watcher.toml:2:10: "127.0.0.1" has no port: write "127.0.0.1:25", say
            watcher.toml:6:12: "Europe/Roma" is no time zone, as "Europe/Rome" is one"#]],
    );
}

#[test]
fn sources_that_send_are_named_by_what_they_read() {
    let config = read(
        r#"
[[source]]
journal = ["_SYSTEMD_UNIT=a.service", "+", "SYSLOG_IDENTIFIER=b c"]
journal_directory = "/var/log/journal/copied"
[[source]]
syslog = "/run/postern/log.sock"
[[source]]
syslog = "udp://127.0.0.1:5514"
[[source]]
syslog = "tcp://[::1]:5514"
[[source]]
syslog = "unix-stream:///run/postern/log.sock"
[[source]]
unit = "dovecot"
identifier = ["a", "b"]
[[source]]
journal = ["PRIORITY=6"]
unit = ["postfix@-.service"]
[[source]]
stdin = true
"#,
    )
    .unwrap();
    let names: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
    let expected = [
        "journal _SYSTEMD_UNIT=a.service + SYSLOG_IDENTIFIER=b c in /var/log/journal/copied",
        "syslog /run/postern/log.sock",
        "syslog udp://127.0.0.1:5514",
        "syslog tcp://[::1]:5514",
        "syslog unix-stream:///run/postern/log.sock",
        "journal _SYSTEMD_UNIT=dovecot.service SYSLOG_IDENTIFIER=a SYSLOG_IDENTIFIER=b",
        "journal PRIORITY=6 _SYSTEMD_UNIT=postfix@-.service",
        "standard input",
    ];
    assert_eq!(names, expected);
}

#[test]
fn options_of_journalctl_are_no_matches() {
    refuses(
        "[[source]]\njournal = [\"--rotate\"]\n",
        &expect![[r#"watcher.toml:2:11: "--rotate" is no match, as "_SYSTEMD_UNIT=dovecot.service" is one"#]],
    );
    refuses(
        "[[source]]\nfile = \"/x\"\njournal_directory = \"/y\"\n",
        &expect!["watcher.toml:3:21: is for a source with `journal`, `unit` or `identifier`"],
    );
    refuses(
        "[[source]]\nsyslog = \"udp://localhost\"\n",
        &expect![[
            r#"watcher.toml:2:10: "udp://localhost" has no address and port, as "udp://127.0.0.1:5514" has"#
        ]],
    );
    refuses(
        "[[source]]\nsyslog = \"tls://127.0.0.1:5514\"\n",
        &expect![
            "watcher.toml:2:10: a path, `unix-stream://` and a path, or `udp://` or `tcp://` and an address"
        ],
    );
}

#[test]
fn how_long_a_source_may_be_silent_can_be_written() {
    let patience = |text: &str| {
        let config = read(&format!("[[source]]\nfile = \"/x\"\n{text}\n")).unwrap();
        config.sources[0].patience
    };
    assert_eq!(patience(""), Patience::Learned);
    assert_eq!(patience("silent_after = \"1h\""), Patience::For(Duration::from_secs(3600)));
    assert_eq!(patience("silent_after = \"off\""), Patience::Endless);
}

#[test]
fn a_source_is_one_thing_and_stands_once() {
    refuses(
        "[[source]]\nstdin = true\n[[source]]\nstdin = true\n[[source]]\nfile = \"/x\"\nunit = \"a\"\n",
        &expect![[r#"
            watcher.toml:3:1: another source reads standard input already
            watcher.toml:5:1: a source is one of `file`, `syslog`, `stdin` and the journal (`journal`, `unit`, `identifier`)"#]],
    );
    refuses(
        "[[source]]\nstdin = false\n",
        &expect!["watcher.toml:2:9: is `true` for the source that is standard input, and absent otherwise"],
    );
    refuses(
        "[[source]]\njournal = [\"A=b\", \"+\", \"C=d\"]\nunit = \"a\"\n",
        &expect![
            "watcher.toml:2:11: with \"+\", write `unit` and `identifier` as matches too: \"_SYSTEMD_UNIT=…\""
        ],
    );
}

#[test]
fn the_manner_of_the_firewall_is_read_and_its_mistakes_told() {
    let config = read("action = \"reject\"\non_stop = \"flush\"\nsandbox = false").unwrap();
    let manner = Manner { treatment: Treatment::Reject, ingress: Vec::new() };
    assert_eq!(
        (config.firewall, config.on_stop, config.sandbox),
        (FirewallKind::Nftables(manner), OnStop::Flush, false)
    );
    let config = read("ingress = [\"eth0\"]").unwrap();
    let manner = Manner { treatment: Treatment::Drop, ingress: vec!["eth0".to_owned()] };
    assert_eq!(config.firewall, FirewallKind::Nftables(manner));
    let mistakes = read("action = \"reject\"\ningress = [\"../eth0\"]\non_stop = 1\nfirewall = \"dry-run\"")
        .unwrap_err();
    assert_eq!(mistakes.len(), 3, "{mistakes}");
}
