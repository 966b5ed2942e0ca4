//! The report, as a person gets it: in every format, with and without something to tell, in a real browser.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use e2e::banctl::Answer;
use e2e::browser::{Browser, Window};
use e2e::process::{bound, ours};
use serde_json::Value;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// Whom two blocklists were asked about, and what an honest client said that one of them lists; the recorded attack has none.
const LISTED: &str = "\
@400000006b01142215480174 tcpserver: pid 900001 from 198.51.100.7
@400000006b01142215480175 qmail-smtpd[900001]: rbl: ip=198.51.100.7 query=7.100.51.198.a.example result=pass message=''
@400000006b01142215480176 qmail-smtpd[900001]: rbl: ip=198.51.100.7 query=7.100.51.198.b.example result=reject message='no'
@400000006b01142215480177 rblsmtpd: 198.51.100.7 pid 900001: 553 no
@400000006b01142215480178 rblsmtpd: 198.51.100.7 pid 900001: EHLO mail.example.com
@400000006b01142215480179 rblsmtpd: 198.51.100.7 pid 900001: MAIL FROM:<carol@example.com>
@400000006b0114221548017a rblsmtpd: 198.51.100.7 pid 900001: RCPT TO:<alice@example.org>
@400000006b0114221548017b rblsmtpd: 198.51.100.7 pid 900001: QUIT
@400000006b0114221548017c tcpserver: end 900001 status 0
";

/// The report of the recorded attack and of these, with a database of owners and countries.
fn report(format: &str) -> Result<String> {
    let directory = tempfile::tempdir()?;
    let listed = directory.path().join("listed.log");
    std::fs::write(&listed, LISTED)?;
    let mut command = bound(ours("postern-watcher")?);
    command.args(["report", "--format", format, "--mmdb"]).arg(fixture("places.mmdb"));
    Ok(Answer::of(command.arg(fixture("botnet/smtpd.log")).arg(listed))?.yes()?.said)
}

/// Each part of a report: its heading on a terminal, in the page, and its place in the JSON.
const PARTS: [(&str, &str, &str); 9] = [
    ("Mail flow by hour", "Mail flow by hour", "/hours/0/rejected"),
    ("Rejected, by reason", "Rejected, by reason", "/rejected/0/count"),
    ("Where junk comes from", "Where junk comes from", "/networks/0/clients"),
    ("Users under attack", "Users under attack", "/users/0/failures"),
    ("DNS blocklists", "DNS blocklists", "/zones/0/alone"),
    ("Would one list have caught what another did?", "b.example", "/overlap/0/both"),
    ("Listed, and perhaps honest", "Listed, and perhaps honest", "/false_positives/0/transcript/0"),
    ("Queue and deliveries", "Queue and deliveries", "/queue/queued/p95"),
    ("accepted", "messages taken", "/total/accepted"),
];

#[test]
fn every_part_stands_in_every_format() {
    let (text, html) = (report("text").unwrap(), report("html").unwrap());
    let json: Value = serde_json::from_str(&report("json").unwrap()).unwrap();
    let mut missing = Vec::new();
    for (on_terminal, in_page, pointer) in PARTS {
        missing.extend((!text.contains(on_terminal)).then_some(on_terminal));
        missing.extend((!html.contains(in_page)).then_some(in_page));
        missing.extend(json.pointer(pointer).is_none().then_some(pointer));
    }
    assert!(missing.is_empty(), "{missing:?} in {text}\n{json:#}");
}

#[test]
fn the_page_asks_for_nothing_but_itself_and_has_its_plots() {
    let check = || -> Result<()> {
        let directory = tempfile::tempdir()?;
        let page = directory.path().join("report.html");
        std::fs::write(&page, report("html")?)?;
        let url = format!("file://{}", page.display());
        let window = Window { width: 1000, height: 1400, dark: false };
        let mut browser = Browser::open(&url, window, &directory.path().join("report.png"))?;
        browser.until("document.readyState === 'complete' && document.querySelector('svg') !== null")?;
        let bars = "document.querySelectorAll('svg rect').length";
        ensure!(browser.value(bars)?.as_u64().is_some_and(|bars| bars > 5), "there are plots");
        let outside = "[...document.querySelectorAll('[src], [href], link, script, iframe')].length";
        ensure!(browser.value(outside)? == 0, "nothing is fetched");
        let told = browser.close()?;
        let asked = told["asked"].as_array().context("what was asked")?;
        ensure!(asked.iter().all(|asked| asked == url.as_str()), "{asked:?}");
        ensure!(told["complaints"].as_array().is_some_and(Vec::is_empty), "{}", told["complaints"]);
        Ok(())
    };
    check().unwrap();
}

#[test]
fn what_is_no_log_makes_a_report_of_unknown_lines() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("noise");
    let noise: Vec<u8> = (0..200_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    std::fs::write(&log, &noise).unwrap();
    for format in ["text", "json", "html"] {
        let mut command = bound(ours("postern-watcher").unwrap());
        let answer = Answer::of(command.args(["report", "--format", format]).arg(&log)).unwrap();
        let said = answer.yes().unwrap().said;
        assert!(said.contains("unknown"), "{format}: {said}");
        assert!(!said.contains('\u{1b}'), "{format}: nothing in it steers a terminal");
    }
}

/// How many KiB a report of the recorded attack holds at most, where the log tells it so often.
fn peak(times: usize) -> Result<u64> {
    let directory = tempfile::tempdir()?;
    let log = directory.path().join("long.log");
    std::fs::write(&log, std::fs::read(fixture("botnet/smtpd.log"))?.repeat(times))?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/peak.py");
    let mut python = bound("python3");
    python.arg(script).arg(ours("postern-watcher")?).args(["report", "--json"]).arg(log);
    Ok(e2e::process::done(&mut python)?.trim().parse()?)
}

#[test]
fn a_log_that_is_ten_times_as_long_takes_no_more_memory() {
    let (short, long) = (peak(10).unwrap(), peak(100).unwrap());
    // The longer one has 26 MB more to hold, if it held them.
    assert!(long < short + 8 * 1024, "{short} KiB, and {long} KiB of the longer one");
}
