//! Exemptions by hand, budgets of blocklists, and a replay that judges: through the real programs.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use e2e::client::Client;
use e2e::http::metric;
use e2e::namespace::isolated;
use e2e::site::{Site, WATCHER, WRONG};
use e2e::wait;
use serde_json::Value;

const ATTACKER: &str = "198.51.100.7";

#[test]
fn an_exemption_by_hand_lets_in_at_once_and_outlives_a_kill() {
    isolated(|| {
        let (site, _smtpd, watcher) = Site::running()?;
        let client = Client::of(&site.network, ATTACKER);
        client.guess("alice", &WRONG[..5])?;
        site.await_ban(ATTACKER)?;
        assert!(!client.is_greeted(25)?);

        site.banctl(&format!("allow add {ATTACKER} --note test"))?.yes()?;
        assert!(client.is_greeted(25)?);
        let listed = site.banctl("allow list --json")?.yes()?.json()?;
        assert_eq!(listed["allowed"][0]["subject"], ATTACKER);
        assert_eq!(listed["allowed"][0]["note"], "test");
        assert!(site.banctl(&format!("ban {ATTACKER}"))?.is(1)?.said.contains("allowed by hand"));

        watcher.kill()?;
        let _watcher = site.start_watcher()?;
        client.guess("alice", &WRONG[..5])?;
        site.await_read()?;
        assert_eq!(site.banned()?, [].into());

        site.banctl(&format!("allow remove {ATTACKER}"))?.yes()?;
        site.banctl(&format!("allow remove {ATTACKER}"))?.is(1)?;
        client.guess("alice", &WRONG[..5])?;
        site.await_ban(ATTACKER)
    });
}

/// A session in which a blocklist was asked.
fn session(pid: u32, address: &str, result: &str, message: &str) -> String {
    let reversed = address.split('.').rev().collect::<Vec<_>>().join(".");
    let mut log = String::new();
    let _ = writeln!(log, "tcpserver: pid {pid} from {address}");
    let _ = writeln!(
        log,
        "qmail-smtpd[{pid}]: rbl: ip={address} query={reversed}.zen.spamhaus.org result={result} message='{message}'"
    );
    let _ = writeln!(log, "tcpserver: end {pid} status 0");
    log
}

fn zone(site: &Site) -> Result<Value> {
    let quotas = site.banctl("quota --json")?.yes()?.json()?;
    quotas.pointer("/zones/0").cloned().context("no zone")
}

#[test]
fn the_budget_of_a_blocklist_is_kept_from_the_log() {
    isolated(|| {
        let site = Site::new()?;
        let text = std::fs::read_to_string(site.path("watcher.toml"))?;
        site.write("watcher.toml", &format!("{text}\n[quota.\"zen.spamhaus.org\"]\nlimit = 100\n"))?;
        let watcher = site.start_watcher()?;
        let mut log = session(1, "198.51.100.1", "pass", "");
        log += &session(2, "198.51.100.2", "delay", "https://www.spamhaus.org/sbl/query/SBLCSS");
        log += &session(3, "198.51.100.3", "dnserr", "");
        site.append("smtpd.log", log.as_bytes())?;
        wait::until_true("three queries", || zone(&site).is_ok_and(|zone| zone["used"] == 3))?;
        let told = zone(&site)?;
        assert_eq!(
            [&told["left"], &told["listed"], &told["alone"], &told["errors"], &told["off"]],
            [&97.into(), &1.into(), &1.into(), &1.into(), &Value::Null]
        );
        let series = |name: &str| format!("watcher_dnsbl_{name}{{zone=\"zen.spamhaus.org\"}}");
        assert!((metric(WATCHER, &series("queries_total"))? - 3.0).abs() < 0.5);
        assert!((metric(WATCHER, &series("quota_remaining"))? - 97.0).abs() < 0.5);

        watcher.kill()?;
        let _watcher = site.start_watcher()?;
        wait::until_true("no query lost", || zone(&site).is_ok_and(|zone| zone["used"] == 3))?;
        // A refusal that the server took for a listing.
        let refusal = "Error: excessive queries; https://check.spamhaus.org/returnc/vol/";
        for pid in 4..10 {
            site.append("smtpd.log", session(pid, "198.51.100.9", "reject", refusal).as_bytes())?;
        }
        wait::until_true("nine queries", || zone(&site).is_ok_and(|zone| zone["used"] == 9))?;
        assert!(zone(&site)?["off"].is_string());
        assert!((metric(WATCHER, &series("zone_off"))? - 1.0).abs() < 0.5);
        assert_eq!(site.banned()?, [].into());
        let told = site.banctl("quota")?.yes()?.said;
        assert!(told.contains("answers with errors"), "{told}");
        Ok(())
    });
}

#[test]
fn why_tells_what_an_event_would_be_to_every_jail() {
    isolated(|| {
        let (site, _smtpd, _watcher) = Site::running()?;
        Client::of(&site.network, ATTACKER).guess("alice", &WRONG[..3])?;
        site.await_read()?;
        let why = site.banctl(&format!("why --json {ATTACKER}"))?.is(1)?.json()?;
        let standing = why["standing"].as_array().context("a list")?;
        let guessing = standing.iter().find(|standing| standing["jail"] == "password-guessing");
        let guessing = guessing.context("it is counted")?;
        assert_eq!((&guessing["count"], &guessing["threshold"]), (&3.into(), &5.into()));
        let asked =
            format!("why {ATTACKER} --event auth-failed --field user=alice --field password=x --json");
        let explained = site.banctl(&asked)?.yes()?.json()?;
        let jails = explained["jails"].as_array().context("a list")?;
        let of = |name: &str| jails.iter().find(|jail| jail["jail"] == name).cloned().context("a jail");
        assert_eq!(of("password-guessing")?["standing"]["count"], 4);
        assert_eq!(of("relay-probe")?["reason"], "the jail counts other kinds of event");
        Ok(())
    });
}

#[test]
fn a_replay_judges_its_bans_and_compares_two_configurations() {
    isolated(|| {
        let site = Site::new()?;
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/botnet");
        let (config, log) = (fixtures.join("watcher.toml"), fixtures.join("smtpd.log"));
        let (config, log) = (config.display(), log.display());
        let told = site.watcher(&format!("replay --format json --config {config} {log}"))?.yes()?.json()?;
        let bans = told["bans"].as_array().context("a list")?.len();
        let jails = told.pointer("/judgement/jails").and_then(Value::as_array).context("a list")?;
        let sum: u64 = jails.iter().filter_map(|jail| jail["bans"].as_u64()).sum();
        assert_eq!(usize::try_from(sum)?, bans);
        // None of the recorded customers was banned.
        assert_eq!(told.pointer("/judgement/customers"), Some(&serde_json::json!([])));

        site.write("none.toml", "jails = []\n")?;
        let compare = format!("replay --config {config} --compare none.toml {log}");
        let told = site.watcher(&compare)?.yes()?.said;
        assert!(told.ends_with(&format!("{bans} bans less, 0 more, 0 changed, 0 the same\n")), "{told}");
        let page = site.watcher(&format!("replay --format html --config {config} {log}"))?.yes()?.said;
        assert!(page.starts_with("<!doctype html>") && page.contains("password-guessing"), "{page}");
        Ok(())
    });
}
