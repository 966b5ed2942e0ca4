//! A part of the suite through the command, as somebody would try a filter on a log.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::import::watcher;
use crate::suite::{self, Parameters, Sample};

#[test]
fn the_command_says_of_every_sample_what_it_is() {
    for name in [
        "sshd",
        "postfix",
        "dovecot",
        "courier-auth",
        "sendmail-reject",
        "recidive",
        "ejabberd-auth",
        "squid",
    ] {
        let samples = suite::samples(name);
        let mut sets: Vec<&Parameters> = samples.iter().flat_map(|sample| &sample.sets).collect();
        sets.sort();
        sets.dedup();
        for set in sets.into_iter().filter(|set| !set.contains_key("test.prefix-line")) {
            let is_its = |sample: &&Sample| sample.sets.contains(set) && sample.holds_for(name, set);
            check(name, set, &samples.iter().filter(is_its).collect::<Vec<_>>());
        }
    }
}

fn check(name: &str, set: &Parameters, samples: &[&Sample]) {
    let mut command = watcher();
    command.env("TZ", "Europe/Zurich").args(["match", "--json", "--now", "2005-08-14T12:00:00+02:00"]);
    command.arg("--fail2ban").arg(Path::new(suite::FILTERS).join(format!("{name}.conf")));
    for (key, value) in set.iter().filter(|(key, _)| !key.starts_with("test.")) {
        command.arg("--set").arg(format!("{key}={value}"));
    }
    let mut child = command.arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let text: String = samples.iter().map(|sample| format!("{}\n", sample.line)).collect();
    let mut input = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(told.len(), samples.len());
    for (number, (told, sample)) in (1..).zip(told.iter().zip(samples)) {
        let is_journal = set.get("logtype").is_some_and(|kind| kind == "journal");
        assert_eq!(told["n"], number, "one object a line, in their order");
        if let Some(why) = differs(told, sample, is_journal) {
            panic!("{} {set:?}: {why}: {told}", sample.place);
        }
    }
}

fn differs(told: &Value, sample: &Sample, is_journal: bool) -> Option<String> {
    let wanted = sample.expected.get("match").and_then(Value::as_bool).unwrap_or(false);
    if (told["kind"] == "failure") != wanted || told["matched"] != wanted {
        return Some(format!("a failure must be: {wanted}"));
    }
    if !wanted {
        return None;
    }
    let address = |value: &Value| value.as_str()?.parse::<std::net::IpAddr>().ok();
    let instant = || told["time"].as_str()?.parse::<jiff::Timestamp>().ok();
    let wanted_instant = |time: &Value| {
        let zone = jiff::tz::TimeZone::get("Europe/Zurich").ok()?;
        zone.to_timestamp(crate::read(time.as_str()?).ok()?).ok()
    };
    for (key, expected) in &sample.expected {
        let same = match key.as_str() {
            "host" if address(expected).is_some() => address(&told["address"]) == address(expected),
            "host" | "attempts" => told["fields"].get(key) == Some(expected),
            "user" => told["user"] == *expected,
            "time" if is_journal => told["time"].is_null(),
            "time" => instant().is_some() && instant() == wanted_instant(expected),
            _ => true,
        };
        if !same {
            return Some(format!("{key} must be {expected}"));
        }
    }
    None
}
