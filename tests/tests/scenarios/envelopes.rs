//! Every envelope is named, and its time read: as the real loggers write it, and as others do.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use e2e::process::{bound, ours};
use serde_json::Value;

/// What `match` says of these lines, read in a local zone.
fn means(zone: &str, lines: &str) -> Result<Vec<Value>> {
    let mut command = bound(ours("postern-watcher")?);
    let said = piped(command.env("TZ", zone).args(["match", "--json", "-"]), lines)?;
    said.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Runs a program with this on its standard input, and gives its output.
fn piped(command: &mut Command, input: &str) -> Result<String> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().context("a pipe to it")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{command:?}: {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

#[track_caller]
fn check(line: &str, envelope: &str, time: Option<&str>) {
    let means = means("Europe/Rome", &format!("{line}\n")).unwrap();
    let [means] = means.as_slice() else { panic!("{means:?}") };
    assert_eq!((&means["envelope"], &means["line"]), (&envelope.into(), &line.into()), "{means}");
    let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
    assert_eq!(means["time"].as_str().map(at), time.map(at), "{means}");
}

const STATUS: &str = "tcpserver: status: 0/40";

#[test]
fn an_envelope_is_known_by_its_looks() {
    let summer = Some("2026-07-21T03:13:23Z");
    check(STATUS, "none", None);
    check(&format!("@400000006a5ee3dd00000000 {STATUS}"), "tai64n", summer);
    check(&format!("2026-07-21 05:13:23.000000000 {STATUS}"), "local", summer);
    check(&format!("2026-07-21 05:13:23.000 {STATUS}"), "local", summer);
    check("2026-07-21 05:13:23 1vT3kE-000001-0A <= a@example.org", "local", summer);
    check("2026-07-21 03:13:23 +0000 1vT3kE-000001-0A <= a@example.org", "local", summer);
    check(&format!("2026-07-21_03:13:23.00000 {STATUS}"), "svlogd", summer);
    check(&format!("2026-07-21T03:13:23.00000 {STATUS}"), "svlogd", summer);
    check(&format!("Tue Jul 21 05:13:23 2026 {STATUS}"), "asctime", summer);
    check("2026-07-21T04:13:23.000000+01:00 mx vpopmail[1]: m", "rfc3339", summer);
    check("<22>1 2026-07-21T03:13:23Z mx vpopmail 1 - - m", "rfc5424", summer);
    check(&format!("Nov  5 12:00:47 mx smtpd: 1784603603.000000 {STATUS}"), "splogger", summer);
}

#[test]
fn a_year_that_is_not_written_is_this_one_or_the_last() {
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::get("Europe/Rome").unwrap());
    for days in [0, 30, 330] {
        let then = now.checked_sub(jiff::Span::new().days(days)).unwrap();
        let then = then.round(jiff::Unit::Second).unwrap();
        let line = then.strftime("%b %e %H:%M:%S mx vpopmail[1]: m").to_string();
        let means = means("Europe/Rome", &format!("{line}\n")).unwrap();
        assert_eq!(means[0]["envelope"], "rfc3164");
        // In the hour that a clock change repeats, a stamp says too little.
        let read: jiff::Timestamp = means[0]["time"].as_str().unwrap().parse().unwrap();
        assert!(
            read.duration_since(then.timestamp()).abs() <= jiff::SignedDuration::from_hours(1),
            "{line} {read}"
        );
    }
}

/// What a real logger writes of a line that it is given is read back, with the time at which it was.
#[track_caller]
fn check_logger(envelope: &str, write: impl Fn(&Path) -> Result<String>) {
    let directory = tempfile::tempdir().unwrap();
    let written = write(directory.path()).unwrap();
    let means = means("Europe/Rome", &written).unwrap();
    assert_eq!((means.len(), &means[0]["envelope"]), (1, &envelope.into()), "{written}");
    assert_eq!(means[0]["rule"], Value::Null, "a status is no event: {means:?}");
    let read: jiff::Timestamp = means[0]["time"].as_str().unwrap().parse().unwrap();
    let age = SystemTime::now().duration_since(read.into()).unwrap_or_default();
    assert!(age < Duration::from_secs(60), "{written} {read}");
}

fn current(directory: &Path) -> Result<String> {
    Ok(std::fs::read_to_string(directory.join("current"))?)
}

#[test]
fn what_multilog_writes_is_read_and_what_tai64nlocal_makes_of_it() {
    let multilog = |directory: &Path| {
        piped(bound("multilog").arg("t").arg(directory), &format!("{STATUS}\n"))?;
        current(directory)
    };
    check_logger("tai64n", multilog);
    check_logger("local", |directory| {
        piped(bound("tai64nlocal").env("TZ", "Europe/Rome"), &multilog(directory)?)
    });
}

#[test]
fn what_svlogd_writes_is_read() {
    for (option, envelope) in [("-t", "tai64n"), ("-tt", "svlogd"), ("-ttt", "svlogd")] {
        check_logger(envelope, |directory| {
            piped(bound("svlogd").arg(option).arg(directory), &format!("{STATUS}\n"))?;
            current(directory)
        });
    }
}
