//! fail2ban's filters as its package has them, unchanged, against the suite of samples that comes with them: read from the
//! installation when the test runs, every sample with every set of parameters, in the order of its file.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper of a test fails with the test")]

mod command;
mod import;
mod suite;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use logline::Timestamp;
use serde_json::Value;
use suite::{Parameters, Sample};
use watcher::fail2ban::filter::Found;
use watcher::fail2ban::{Definition, Disk, Filter, Outcome, Rules};

/// The suite's clock stands at noon of this day, in Zürich: 2005-08-14 12:00:00.
const NOW: Timestamp = Timestamp::from_seconds(1_124_013_600);

/// How the runs went.
#[derive(Default)]
struct Score {
    passed: u32,
    failed: Vec<String>,
}

#[test]
fn every_sample_of_the_suite_is_what_it_must_be() {
    check(false);
}

#[test]
fn every_sample_is_the_same_where_all_patterns_are_tried() {
    check(true);
}

fn check(tries_all: bool) {
    let other = tempfile::tempdir().unwrap();
    let mut score = Score::default();
    for (directory, name) in every_filter(other.path()) {
        let samples = suite::samples(&name);
        let mut filters = BTreeMap::new();
        for sample in &samples {
            for set in sample.sets.iter().filter(|set| sample.holds_for(&name, set)) {
                let filter =
                    filters.entry(set.clone()).or_insert_with(|| load(&directory, &name, set, tries_all));
                match run(filter, sample, set) {
                    Ok(()) => score.passed += 1,
                    Err(why) => {
                        score.failed.push(format!("{} {set:?}: {why}\n    {}", sample.place, sample.line));
                    }
                }
            }
        }
    }
    let total = usize::try_from(score.passed).unwrap() + score.failed.len();
    // The count is what this test is for; it is told also where all is well.
    let mut told = std::io::stderr();
    writeln!(told, "fail2ban's suite: {} of {total}", score.passed).unwrap();
    assert!(score.failed.is_empty(), "{} fail:\n{}", score.failed.len(), score.failed.join("\n"));
    assert!(total > 1500, "the suite has shrunk to {total} runs");
}

/// The installed filters; and those two that the suite has of its own, laid so that what they include is the installed one.
fn every_filter(other: &Path) -> Vec<(PathBuf, String)> {
    let installed = PathBuf::from(suite::FILTERS);
    let own = suite::tests().join("config/filter.d");
    let deep = other.join("1/2/3/4/5/6/7");
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::create_dir(other.join("config")).unwrap();
    std::os::unix::fs::symlink(&installed, other.join("config/filter.d")).unwrap();
    let mut all: Vec<(PathBuf, String)> =
        suite::filters(&installed, |_| true).into_iter().map(|name| (installed.clone(), name)).collect();
    for name in suite::filters(&own, |name| name.starts_with("zzz-")) {
        let file = format!("{name}.conf");
        std::fs::copy(own.join(&file), deep.join(&file)).unwrap();
        all.push((deep.clone(), name));
    }
    all
}

fn load(directory: &Path, name: &str, set: &Parameters, tries_all: bool) -> Filter {
    let given = set.iter().filter(|(name, _)| !name.starts_with("test."));
    let given: Vec<(String, String)> = given.map(|(name, value)| (name.clone(), value.clone())).collect();
    let definition = Definition::read(&Disk, &directory.join(format!("{name}.conf")), &given);
    let zone = TimeZone::get("Europe/Zurich").unwrap();
    let rules = definition.and_then(|definition| Rules::new(&definition, zone));
    let mut filter = Filter::new(Arc::new(rules.unwrap_or_else(|mistakes| panic!("{name}: {mistakes}"))));
    filter.tries_all = tries_all;
    filter
}

fn run(filter: &mut Filter, sample: &Sample, set: &Parameters) -> Result<(), String> {
    let mut wrong = Vec::new();
    let mut counted = 0;
    let mut judge = |found: &Found<'_>| {
        if found.outcome != Outcome::Counted {
            return;
        }
        counted += 1;
        wrong.extend(sample.expected.iter().filter_map(|(key, value)| differs(found, key, value)));
    };
    let refused = filter.refused;
    if set.get("logtype").is_some_and(|kind| kind == "journal") {
        let prefix = set.get("test.prefix-line").map(String::as_str).unwrap_or_default();
        filter.message(format!("{prefix}{}", sample.line).as_bytes(), NOW, &mut judge);
    } else {
        filter.line(sample.line.as_bytes(), NOW, &mut judge);
    }
    let wanted = usize::from(sample.expected.get("match").and_then(Value::as_bool).unwrap_or(false));
    if counted != wanted {
        wrong.push(format!("{counted} failures, not {wanted}"));
    }
    if filter.refused != refused {
        wrong.push("a pattern gave up".to_owned());
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join(", ")) }
}

/// What is not as it must be.
fn differs(found: &Found<'_>, key: &str, expected: &Value) -> Option<String> {
    let failure = found.failure;
    let text = |text: Option<&str>| text.map_or(Value::Null, Value::from);
    let is = match key {
        "match" | "desc" | "constraint" => return None,
        "time" => {
            let expected: Option<DateTime> = expected.as_str().map(|time| read(time).unwrap());
            let is = found.at.map(|stamp| local(stamp.at));
            return expected
                .filter(|time| is != Some(*time))
                .map(|time| format!("time is {is:?}, not {time}"));
        }
        "host" => text(failure.groups.get("host").map(String::as_str).or(failure.id())),
        "attempts" => failure.lines.into(),
        "users" => failure.users.iter().map(String::as_str).collect(),
        key => text(failure.groups.get(key).map(String::as_str)),
    };
    let address = |value: &Value| value.as_str()?.parse::<std::net::IpAddr>().ok();
    let sorted = |value: &Value| {
        let mut all: Vec<String> = value.as_array()?.iter().map(ToString::to_string).collect();
        all.sort();
        Some(all)
    };
    let same = is == *expected
        || address(&is).is_some() && address(&is) == address(expected)
        || sorted(&is).is_some() && sorted(&is) == sorted(expected);
    (!same).then(|| format!("{key} is {is}, not {expected}"))
}

fn local(at: Timestamp) -> DateTime {
    let at = jiff::Timestamp::from_nanosecond(at.nanos().into()).unwrap();
    TimeZone::get("Europe/Zurich").unwrap().to_datetime(at)
}

/// A time of the suite, as Python reads it: a digit may stand for two.
fn read(time: &str) -> Result<DateTime, jiff::Error> {
    let formats = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%.f"];
    DateTime::strptime(formats[0], time).or_else(|_| DateTime::strptime(formats[1], time))
}
