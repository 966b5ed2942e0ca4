//! What the administrator types, and what comes back.

use e2e::client::Client;
use e2e::http::{get, metric};
use e2e::namespace::isolated;
use e2e::site::{Site, WATCHER, WRONG};

const ATTACKER: &str = "198.51.100.7";

#[test]
fn why_shows_the_very_lines() {
    isolated(|| {
        let (site, _smtpd, _watcher) = Site::running()?;
        assert!(site.banctl(&format!("why {ATTACKER}"))?.is(1)?.said.contains("not banned"));
        Client::of(&site.network, ATTACKER).guess("alice", &WRONG[..5])?;
        site.await_ban(ATTACKER)?;
        let log = site.log()?;
        let failures: Vec<&str> = log.lines().filter(|line| line.contains(": auth: auth-failed ")).collect();
        assert_eq!(failures.len(), 5);

        let why = site.banctl(&format!("why --json {ATTACKER}"))?.yes()?.json()?;
        let ban = &why["bans"][0];
        let lines = ban["evidence"].as_array().expect("a list");
        let lines: Vec<&str> = lines.iter().filter_map(|evidence| evidence["line"].as_str()).collect();
        assert_eq!(lines, failures);
        assert_eq!((&ban["subject"], &ban["jail"]), (&ATTACKER.into(), &"password-guessing".into()));

        let told = site.banctl(&format!("why {ATTACKER}"))?.yes()?.said;
        assert!(failures.iter().all(|line| told.contains(line)), "{told}");
        Ok(())
    });
}

#[test]
fn every_command_answers_in_json() {
    isolated(|| {
        let (site, _smtpd, _watcher) = Site::running()?;
        let status = site.banctl("status --json")?.yes()?.json()?;
        assert_eq!((&status["ready"], &status["firewall"]), (&true.into(), &"nftables".into()));
        assert_eq!(status["firewall_trouble"], serde_json::Value::Null);
        let jails = site.banctl("jails --json")?.yes()?.json()?;
        let jails = jails["jails"].as_array().expect("a list").clone();
        let guessing = jails.iter().find(|jail| jail["name"] == "password-guessing").expect("it is shipped");
        assert_eq!((&guessing["threshold"], &guessing["mode"]), (&5.into(), &"enforce".into()));

        let banned = site.banctl("ban --json --for 5m --reason because 203.0.113.9")?.yes()?.json()?;
        let (ban, is) = (&banned["bans"][0], |value: &str| serde_json::Value::from(value));
        assert_eq!(
            [&ban["subject"], &ban["jail"], &ban["mode"], &ban["reason"]],
            [&is("203.0.113.9"), &is("manual"), &is("enforce"), &is("because")]
        );
        let listed = site.banctl("list --json")?.yes()?.json()?;
        assert_eq!(listed["bans"][0]["from"], ban["from"]);
        assert_eq!(site.banctl("why --json 203.0.113.9")?.yes()?.json()?["bans"][0]["reason"], "because");
        let lifted = site.banctl("unban --json 203.0.113.9")?.yes()?.json()?;
        assert_eq!(lifted["bans"][0]["subject"], "203.0.113.9");
        assert_eq!(site.banctl("why --json 203.0.113.9")?.is(1)?.json()?["bans"], serde_json::json!([]));
        assert_eq!(site.banctl("list --json")?.yes()?.json()?["bans"], serde_json::json!([]));
        Ok(())
    });
}

#[test]
fn the_exit_code_is_the_answer() {
    isolated(|| {
        let (site, _smtpd, watcher) = Site::running()?;
        site.banctl("status")?.yes()?;
        site.banctl("unban 203.0.113.9")?.is(1)?;
        site.banctl("ban 127.0.0.1")?.is(1)?;
        site.banctl("ban 192.0.2.25")?.is(1)?;
        site.banctl("ban nonsense")?.is(1)?;
        site.banctl("ban --for ever 203.0.113.9")?.is(2)?;
        site.banctl("frobnicate")?.is(2)?;
        watcher.stop()?;
        let nobody = site.banctl("status")?.is(2)?;
        assert!(nobody.cried.contains("no watcher answers on "), "{}", nobody.cried);
        Ok(())
    });
}

#[test]
fn a_network_is_banned_and_let_in_to_the_bit() {
    isolated(|| {
        let (site, _smtpd, _watcher) = Site::running()?;
        let [inside, edge, outside] =
            ["198.51.100.64", "198.51.100.127", "198.51.100.128"].map(|a| Client::of(&site.network, a));
        site.banctl("ban 198.51.100.64/26")?.yes()?;
        assert!(!inside.is_greeted(25)? && !edge.is_greeted(25)?);
        assert!(outside.is_greeted(25)?);
        site.banctl("unban --jail manual")?.yes()?;
        assert!(inside.is_greeted(25)? && edge.is_greeted(25)?);
        Ok(())
    });
}

#[test]
fn a_file_of_thousands_is_banned_lifted_and_exempt_and_what_is_wrong_in_it_is_told() {
    isolated(|| {
        let (site, _smtpd, watcher) = Site::running()?;
        let file = site.path("many");
        let many: String = (0..3000).map(|n| format!("203.{}.{}.7 # {n}\n", n / 256, n % 256)).collect();
        std::fs::write(&file, format!("{many}nonsense\n127.0.0.1\n"))?;
        let name = file.display();
        let told = site.banctl(&format!("ban --json --file {name}"))?.is(1)?.json()?;
        let count = |answer: &serde_json::Value, key: &str| answer[key].as_array().map(Vec::len);
        assert_eq!((count(&told, "bans"), count(&told, "refused")), (Some(3000), Some(2)));
        assert_eq!(site.banctl("status --json")?.yes()?.json()?["active"], 3000);
        for address in ["203.0.0.7", "203.11.183.7"] {
            site.banctl(&format!("test {address}"))?.yes()?;
        }
        let lifted = site.banctl(&format!("unban --json --file {name}"))?.is(1)?.json()?;
        assert_eq!((count(&lifted, "bans"), count(&lifted, "refused")), (Some(3000), Some(2)));
        site.banctl("test 203.11.183.7")?.is(1)?;

        site.banctl(&format!("ban --file {name}"))?.is(1)?;
        let allowed = site.banctl(&format!("allow add --json --file {name}"))?.is(1)?.json()?;
        assert_eq!((count(&allowed, "allowed"), count(&allowed, "refused")), (Some(3001), Some(1)));
        assert_eq!(site.banctl("list --json")?.yes()?.json()?["total"], 0);
        site.banctl("test 203.0.0.7")?.is(1)?;
        assert!(site.banctl("ban 203.0.0.7")?.is(1)?.said.contains("allowed by hand"));
        site.banctl(&format!("allow remove --file {name}"))?.is(1)?;
        assert_eq!(count(&site.banctl("allow list --json")?.yes()?.json()?, "allowed"), Some(0));

        site.banctl(&format!("ban --file {name}"))?.is(1)?;
        let lifted = site.banctl("unban --all --json")?.yes()?.json()?;
        assert_eq!(count(&lifted, "bans"), Some(3000));
        site.banctl("test 203.0.0.7")?.is(1)?;
        // So many are no line each in the log.
        assert!(watcher.said().lines().count() < 1000, "{}", watcher.said().len());
        Ok(())
    });
}

#[test]
fn metrics_and_health_tell_what_happened() {
    isolated(|| {
        let (site, _smtpd, _watcher) = Site::running()?;
        assert_eq!(get(WATCHER, "/healthz")?.0, 200);
        let attacker = Client::of(&site.network, ATTACKER);
        attacker.guess("alice", &WRONG[..5])?;
        site.await_ban(ATTACKER)?;
        assert!(!attacker.is_greeted(25)?);
        site.await_read()?;
        let value = |series: &str| metric(WATCHER, series);
        assert_eq!(value("watcher_bans_total{jail=\"password-guessing\"}")?, 1.0);
        assert_eq!(value("watcher_bans_active")?, 1.0);
        assert_eq!(value("watcher_events_total{kind=\"auth-failed\"}")?, 5.0);
        assert_eq!(value("watcher_ban_latency_seconds_count")?, 1.0);
        assert!(value("watcher_dropped_packets_total")? >= 1.0, "the attacker knocked");
        let source = site.path("smtpd.log");
        let source = |name: &str| format!("{name}{{source=\"{}\"}}", source.display());
        assert_eq!(value(&source("watcher_lines_total"))?, site.log()?.lines().count() as f64);
        assert_eq!(value(&source("watcher_unparsed_lines_total"))?, 0.0, "every line of ours is known");
        assert_eq!(value(&source("watcher_ambiguous_lines_total"))?, 0.0);
        Ok(())
    });
}
