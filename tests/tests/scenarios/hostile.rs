//! Forgeries over real sockets: through the real mail server, its log and the real watcher.

use e2e::client::Client;
use e2e::http::metric;
use e2e::namespace::isolated;
use e2e::site::{Site, WATCHER};

/// The first offence of any of these kinds counts, and is reported; nobody is kept out, so that the forger can go on.
const JAIL: &str = r#"
about = "everything"
on = [
    "auth-failed", "auth-ok", "rcpt-unknown", "rcpt-rejected", "relay-denied", "sender-rejected", "helo-bad",
    "protocol-error", "limit-exceeded", "tls-failed", "pregreet", "dnsbl-listed", "message-rejected", "failure",
]
threshold = 1
within = "1h"
mode = "watch"
[ban]
for = "1h"
"#;

#[test]
fn a_forger_over_real_sockets_has_nobody_banned_but_himself() {
    isolated(|| {
        let site = Site::new()?;
        site.write("jails/everything.toml", JAIL)?;
        site.change("watcher.toml", "[[source]]", "jails = [\"everything\"]\n[[source]]")?;
        let (_smtpd, _watcher) = (site.start_smtpd()?, site.start_watcher()?);
        // The victim stays connected meanwhile, which the forger needs for some of his tries.
        let forger = Client::of(&site.network, "198.51.100.7");
        let said = forger.run("forge.py", &["203.0.113.66"])?.yes()?.said;
        assert!(said.lines().count() > 100, "he gets answers:\n{said}");
        site.await_read()?;
        assert_eq!(site.banned()?, ["198.51.100.7".to_owned()].into());
        let log = std::fs::read(site.path("smtpd.log"))?;
        assert!(log.iter().all(|byte| *byte == b'\n' || (0x20..=0x7e).contains(byte)));
        let source = site.path("smtpd.log");
        for name in ["watcher_unparsed_lines_total", "watcher_ambiguous_lines_total"] {
            assert_eq!(
                metric(WATCHER, &format!("{name}{{source=\"{}\"}}", source.display()))?,
                0.0,
                "{name}"
            );
        }
        Ok(())
    });
}
