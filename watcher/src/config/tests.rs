use expect_test::{Expect, expect};

use super::*;

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
    assert_eq!(config.firewall, FirewallKind::Nftables);
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
"#,
    )
    .unwrap();
    assert_eq!(config.sources.len(), 3);
    assert_eq!(config.sources[0].filters.len(), 2);
    assert_eq!(config.quotas[0].limit, 300_000);
    assert_eq!(config.jails.iter().count(), 1);
}

#[test]
fn three_mistakes_are_told_at_their_places() {
    refuses(
        "firewal = \"nftables\"\nlisten = \"127.0.0.1\"\n\n[[source]]\nfile = \"/var/log/x\"\nfilter = [\"qmial\"]\n",
        &expect![[r#"
            watcher.toml:1:1: unknown key `firewal`; did you mean `firewall`?
            watcher.toml:2:10: "127.0.0.1" has no port: write "127.0.0.1:25", say
            watcher.toml:6:10: there is no filter `qmial`; there are: courier, cyrus, dovecot, exim, haraka, opensmtpd, postfix, qmail, qmail-guards, qpsmtpd, rblsmtpd, recidive, recordio, roundcube, rspamd, s-qmail, sendmail, simscan, sogo, spamdyke, sshd, stalwart, vpopmail"#]],
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
"#,
    )
    .unwrap();
    let names: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
    let expected = [
        "journal _SYSTEMD_UNIT=a.service + SYSLOG_IDENTIFIER=b c in /var/log/journal/copied",
        "syslog /run/postern/log.sock",
        "syslog udp://127.0.0.1:5514",
        "syslog tcp://[::1]:5514",
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
        &expect!["watcher.toml:3:21: is for a source with `journal`"],
    );
    refuses(
        "[[source]]\nsyslog = \"udp://localhost\"\n",
        &expect![[
            r#"watcher.toml:2:10: "udp://localhost" has no address and port, as "udp://127.0.0.1:5514" has"#
        ]],
    );
    refuses(
        "[[source]]\nsyslog = \"tls://127.0.0.1:5514\"\n",
        &expect!["watcher.toml:2:10: a path, or `udp://` or `tcp://` and an address"],
    );
}
