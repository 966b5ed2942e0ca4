use crate::engine::{Engine, Exemptions, Output};
use crate::envelope::{Around, Clock};
use crate::feed::Sent;
use crate::interpret::Interpreter;
use crate::jail::Jails;
use crate::watch::{Now, Watch};

use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_795_262_400);

fn imported(directory: &Path, name: &str, failregex: &str, sent: bool) -> Imported {
    let file = directory.join(format!("{name}.conf"));
    std::fs::write(&file, format!("[Definition]\nfailregex = {failregex}\n")).unwrap();
    Imported::load(name, &file, &[], &TimeZone::UTC, sent).unwrap()
}

/// A watch over one source with these filters, and a jail that counts the failures of `a`.
fn watch(filters: &[Imported]) -> Watch {
    let jail = "about = \"x\"\non = [\"failure\"]\nfilter = \"a\"\nthreshold = 2\nwithin = \"10m\"\n[ban]\nfor = \"1h\"\n";
    let engine = Engine::new(Jails::single("x", jail).unwrap(), Exemptions::new(&[], &[], true));
    let mut watch = Watch::new(vec![Interpreter::new([], TimeZone::UTC)], engine);
    watch.foreign = vec![Foreign::new(filters)];
    watch
}

fn banned(out: &[Output]) -> Vec<String> {
    let name = |output: &Output| match output {
        Output::Banned(ban) => Some(ban.subject.to_string()),
        _ => None,
    };
    out.iter().filter_map(name).collect()
}

#[test]
fn a_jail_counts_the_failures_of_the_filter_it_names() {
    let directory = tempfile::tempdir().unwrap();
    let filters = [
        imported(directory.path(), "a", "^ failed <HOST>$", false),
        imported(directory.path(), "b", "^ (?:failed|nothing) <HOST>$", false),
    ];
    let mut watch = watch(&filters);
    let mut out = Vec::new();
    for line in ["nothing 192.0.2.7", "nothing 192.0.2.7", "failed 192.0.2.8", "failed 192.0.2.8"] {
        let line = format!("2026-11-21T12:00:00Z {line}");
        let reading = watch.line(0, line.as_bytes(), Now::Clock(NOW), &mut out).unwrap();
        assert!(reading.stamped);
    }
    assert_eq!(banned(&out), ["192.0.2.8"]);
}

#[test]
fn a_message_of_the_journal_is_read_without_a_date() {
    let directory = tempfile::tempdir().unwrap();
    let mut watch = watch(&[imported(directory.path(), "a", r"^sshd\[\d+\]: failed <HOST>$", true)]);
    let mut out = Vec::new();
    let line = b"Nov 21 12:00:00 mail sshd[7]: failed 192.0.2.8";
    let around = Around { arrival: NOW, previous: None };
    let envelope = Envelope::open(line, &Clock { zone: TimeZone::UTC }, around);
    for _ in 0..2 {
        watch.sent(0, &Sent { envelope, line }, Now::Clock(NOW), &mut out);
    }
    assert_eq!(banned(&out), ["192.0.2.8"]);
}

#[test]
fn a_stamp_of_the_future_is_not_believed_while_it_is_the_present() {
    let directory = tempfile::tempdir().unwrap();
    let mut foreign = Foreign::new(&[imported(directory.path(), "a", "^ failed <HOST>$", false)]);
    let latest = Some(NOW + std::time::Duration::from_secs(60));
    let line = Line { bytes: b"2027-11-21 12:00:00 failed 192.0.2.8", stamped: None, arrival: NOW, latest };
    let mut at = Vec::new();
    foreign.line(line, &mut |event| at.push(event.at));
    let replayed = Line { latest: None, ..line };
    foreign.line(replayed, &mut |event| at.push(event.at));
    assert_eq!(at, [NOW, NOW + std::time::Duration::from_secs(365 * 86_400)]);
}
