//! The reference of metrics is written from the metrics.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use watcher::jail::Mode;
use watcher::metrics::{Metrics, Standing};

use crate::board::repository;

/// What the watcher exports with one source, one jail and one zone.
pub(crate) fn watcher() -> String {
    let metrics = Metrics::new();
    metrics.sources.prepare("log");
    metrics.sources.stand("log", Standing { kind: "file", ..Standing::default() }, None);
    metrics.bans.prepare_jail("jail", Mode::Enforce);
    metrics.blocklists.prepare("zone");
    metrics.firewall.stand("nftables", true);
    String::from_utf8(metrics.expose()).expect("the text format is UTF-8")
}

/// What the mail server exports with one zone.
pub(crate) fn smtpd() -> String {
    let metrics = smtpd::metrics::Metrics::new();
    metrics.blocklist("zone", 0, Some(1), true);
    metrics.text()
}

/// Every exported name.
pub(crate) fn names() -> BTreeSet<String> {
    let all = [watcher(), smtpd()].concat();
    let name =
        |line: &str| line.strip_prefix("# TYPE ").and_then(|rest| rest.split(' ').next().map(str::to_owned));
    all.lines().filter_map(name).collect()
}

/// A table with a row for each family of our own: its name and labels, its type, its help.
fn table(exposed: &str) -> String {
    let mut table = "| name | type | what it says |\n|---|---|---|\n".to_owned();
    let mut help = "";
    let mut lines = exposed.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map_or("", |(_, help)| help);
        }
        let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) else {
            continue;
        };
        if name.starts_with("process_") {
            continue;
        }
        let sample =
            lines.peek().and_then(|sample| sample.split_once('{')?.1.split_once('}')).map_or("", |s| s.0);
        let labels: Vec<&str> = sample
            .split(',')
            .filter_map(|label| label.split_once('=').map(|(label, _)| label))
            .filter(|label| *label != "le")
            .collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(table, "| `{name}{labels}` | {kind} | {help} |");
    }
    table
}

#[track_caller]
fn check(daemon: &str, exposed: &str) {
    let path = repository().join("docs/metrics.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- {daemon}: from the code -->\n"), format!("<!-- {daemon}: end -->\n"));
    let (before, rest) = page.split_once(&begin).unwrap();
    let (written, after) = rest.split_once(&end).unwrap();
    let right = format!("\n{}\n", table(exposed));
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, [before, &begin, &right, &end, after].concat()).unwrap();
    } else {
        assert_eq!(written, right, "UPDATE_EXPECT=1 writes docs/metrics.md anew");
    }
}

#[test]
fn the_page_of_metrics_is_that_of_the_code() {
    check("watcher", &watcher());
    check("smtpd", &smtpd());
}

#[test]
fn every_name_has_its_help_in_a_sentence() {
    for line in [watcher(), smtpd()].concat().lines().filter(|line| line.starts_with("# HELP ")) {
        assert!(line.ends_with('.'), "{line}");
    }
}

/// What series are told apart by: our own words, and names of the configuration. Nothing that a client can make up.
const LABELS: [&str; 23] = [
    "backend",
    "by",
    "channel",
    "class",
    "encryption",
    "envelope",
    "event",
    "family",
    "jail",
    "kind",
    "le",
    "mechanism",
    "mode",
    "other",
    "outcome",
    "reason",
    "result",
    "source",
    "stage",
    "status",
    "version",
    "why",
    "zone",
];

/// A sample's series: its name with its labels.
fn series(exposed: &str) -> impl Iterator<Item = &str> {
    let samples = exposed.lines().filter(|line| !line.starts_with('#'));
    samples.filter_map(|line| line.rsplit_once(' ').map(|(series, _)| series))
}

#[test]
fn no_series_has_a_label_that_is_not_ours() {
    for exposed in [watcher(), smtpd()] {
        for series in series(&exposed) {
            let inside =
                series.split_once('{').and_then(|(_, rest)| rest.strip_suffix('}')).unwrap_or_default();
            for label in inside.split("\",").filter_map(|pair| pair.split_once('=')).map(|(label, _)| label) {
                assert!(LABELS.contains(&label), "{label} in {series}");
            }
        }
    }
}

#[test]
fn a_large_host_has_fewer_than_two_thousand_series() {
    let metrics = Metrics::new();
    for source in 0..10 {
        let source = format!("/var/log/{source}");
        metrics.sources.prepare(&source);
        metrics.sources.stand(&source, Standing { kind: "file", ..Standing::default() }, None);
    }
    for jail in watcher::jail::Jails::read(None).unwrap().iter() {
        metrics.bans.prepare_jail(&jail.name, jail.mode);
    }
    ["a.example", "b.example", "c.example"].iter().for_each(|zone| metrics.blocklists.prepare(zone));
    let watcher = String::from_utf8(metrics.expose()).unwrap();
    let both = series(&watcher).count() + series(&smtpd()).count();
    assert!(both < 2000, "{both}");
}
