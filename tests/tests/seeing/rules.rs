//! Alerts and recordings, by promtool; and that each alert tells what to do.

use e2e::process::{bound, done};

use crate::board::repository;

const FILES: [&str; 3] = ["watcher.yml", "smtpd.yml", "recording.yml"];

#[test]
fn promtool_finds_the_rules_right() {
    let rules = repository().join("dashboards/rules");
    done(bound("promtool").args(["check", "rules"]).args(FILES.map(|file| rules.join(file)))).unwrap();
}

#[test]
fn every_alert_fires_on_what_it_is_about_and_every_recording_holds_what_it_says() {
    let tests = repository().join("dashboards/rules/tests");
    for file in FILES {
        done(bound("promtool").current_dir(&tests).args(["test", "rules", file])).unwrap();
        let tested = std::fs::read_to_string(tests.join(file)).unwrap();
        let rules = std::fs::read_to_string(tests.join("..").join(file)).unwrap();
        for name in rules.lines().filter_map(|line| line.trim().strip_prefix("- record: ")) {
            assert!(tested.contains(&format!("expr: {name}")), "{name} is not tested");
        }
        for alert in alerts(&rules) {
            assert!(tested.contains(&format!("alertname: {alert}\n")), "{alert} is not tested");
        }
    }
}

#[test]
fn every_alert_has_its_place_in_the_page_of_operations() {
    let page = std::fs::read_to_string(repository().join("docs/operations.md")).unwrap();
    for file in FILES {
        let rules = std::fs::read_to_string(repository().join("dashboards/rules").join(file)).unwrap();
        for alert in alerts(&rules) {
            assert!(page.contains(&format!("\n### {alert}\n")), "{alert} is not in docs/operations.md");
            assert!(rules.contains(&format!("operations.md#{}\n", alert.to_lowercase())), "{alert}");
        }
    }
}

fn alerts(rules: &str) -> impl Iterator<Item = &str> {
    rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "))
}
