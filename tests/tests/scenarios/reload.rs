//! The configuration is read again: taken over whole, or not at all.

use e2e::client::Client;
use e2e::http::metric;
use e2e::namespace::isolated;
use e2e::site::{Site, WATCHER, WRONG};
use e2e::wait;
use rustix::process::Signal;

const SUCCESSFUL: &str = "watcher_config_last_reload_successful";

/// One guess is too many for it.
const STRICT: &str = r#"
about = "the first wrong password"
on = ["auth-failed"]
threshold = 1
within = "10m"
[ban]
for = "1h"
"#;

#[test]
fn a_new_jail_takes_effect() {
    isolated(|| {
        let (site, _smtpd, watcher) = Site::running()?;
        let attacker = Client::of(&site.network, "198.51.100.7");
        attacker.guess("alice", &WRONG[..1])?;
        site.await_read()?;
        assert_eq!(site.banned()?, [].into());
        site.write("jails/strict.toml", STRICT)?;
        watcher.signal(Signal::HUP)?;
        wait::until_true("the jail", || {
            site.banctl("jails").is_ok_and(|jails| jails.said.contains("strict"))
        })?;
        attacker.guess("alice", &WRONG[1..2])?;
        site.await_ban("198.51.100.7")?;
        assert!(!attacker.is_greeted(25)?);
        Ok(())
    });
}

#[test]
fn a_reload_keeps_bans_and_counters() {
    isolated(|| {
        let (site, _smtpd, _watcher) = Site::running()?;
        let [banned, counted] = ["198.51.100.7", "198.51.100.8"].map(|a| Client::of(&site.network, a));
        banned.guess("alice", &WRONG[..5])?;
        counted.guess("alice", &WRONG[..4])?;
        site.await_ban("198.51.100.7")?;
        site.await_read()?;
        let bans = site.bans()?;
        site.write("jails/other.toml", &STRICT.replace("auth-failed", "relay-denied"))?;
        site.banctl("reload")?.yes()?;
        assert_eq!(site.bans()?, bans);
        assert!(!banned.is_greeted(25)?);
        counted.guess("alice", &WRONG[4..5])?;
        site.await_ban("198.51.100.8")
    });
}

#[test]
fn a_broken_configuration_changes_nothing_and_says_so() {
    isolated(|| {
        let (site, _smtpd, watcher) = Site::running()?;
        assert_eq!(metric(WATCHER, SUCCESSFUL)?, 1.0);
        site.write("jails/strict.toml", STRICT)?;
        let right = std::fs::read_to_string(site.path("watcher.toml"))?;
        site.write("watcher.toml", &format!("fierwall = \"nftables\"\n{right}"))?;
        watcher.signal(Signal::HUP)?;
        wait::until_true("the refusal", || metric(WATCHER, SUCCESSFUL).is_ok_and(|value| value == 0.0))?;
        assert!(watcher.said().contains("watcher.toml:1:1: "), "{}", watcher.said());
        assert!(
            !site.banctl("jails")?.yes()?.said.contains("strict"),
            "the jail stands beside a broken file"
        );
        let refused = site.banctl("reload")?.is(78)?;
        assert!(refused.cried.contains("watcher.toml:1:1: "), "{}", refused.cried);

        let attacker = Client::of(&site.network, "198.51.100.7");
        attacker.guess("alice", &WRONG[..1])?;
        site.await_read()?;
        assert_eq!(site.banned()?, [].into());
        attacker.guess("alice", &WRONG[1..5])?;
        site.await_ban("198.51.100.7")?;

        site.write("watcher.toml", &right)?;
        site.banctl("reload")?.yes()?;
        assert_eq!(metric(WATCHER, SUCCESSFUL)?, 1.0);
        assert!(site.banctl("jails")?.yes()?.said.contains("strict"));
        Ok(())
    });
}
