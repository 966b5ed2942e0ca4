//! What is done to the logs, and what each tailer made of it: a table, a column a tailer.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::Duration;

use anyhow::Result;

use crate::child::Follower;
use crate::{line, logs};

/// One row of the table: plays something to a tailer, and tells what it made of it.
type Scenario = (&'static str, fn(&str) -> Result<String>);

const SCENARIOS: [Scenario; 8] = [
    ("renamed each 5 ms, 20,000 lines/s: lost of 40,000", renamed),
    ("real multilog, s4096, 20,000 lines/s: lost of 40,000", multilog),
    ("20 lines in two halves, 20 ms apart: lost", halves),
    ("101 lines in one write, one of them no UTF-8: lost", invalid),
    ("write → delivered, a line each 2 ms: p50 / p99", latency),
    ("CPU at 20,000 lines/s", |name| live(name, 20_000)),
    ("CPU at 100,000 lines/s", |name| live(name, 100_000)),
    ("a file of 1,000,000 lines: lines/s of CPU", old),
];

/// Plays everything to each, and prints the table.
pub fn play(names: &[&str]) -> Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "| | {} |", names.join(" | "))?;
    writeln!(out, "|---|{}", "---|".repeat(names.len()))?;
    for (title, scenario) in SCENARIOS {
        write!(out, "| {title} |")?;
        for name in names {
            // One that fails has its reason in its place; the others go on.
            let told = scenario(name).unwrap_or_else(|error| format!("{error}"));
            write!(out, " {told} |")?;
            out.flush()?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Lines that never came, and what came instead.
fn verdict(follower: &mut Follower, lines: u32) -> Result<String> {
    let (count, _) = follower.settled(lines.into())?;
    let mut told = (u64::from(lines) - count.whole).to_string();
    for (what, number) in [("fragments", count.fragments), ("repeated", count.repeated)] {
        if number > 0 {
            told += &format!(", {number} {what}");
        }
    }
    Ok(told)
}

fn renamed(name: &str) -> Result<String> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("log");
    File::create(&path)?;
    let mut follower = Follower::begun(name, &path)?;
    logs::write_renamed(&path, 400, 100, 20_000)?;
    verdict(&mut follower, 40_000)
}

fn multilog(name: &str) -> Result<String> {
    let directory = tempfile::tempdir()?;
    // It makes its files when it starts; a tailer may want one that is there.
    logs::write_multilog(directory.path(), 0, 1)?;
    let mut follower = Follower::begun(name, directory.path())?;
    logs::write_multilog(directory.path(), 40_000, 20_000)?;
    verdict(&mut follower, 40_000)
}

fn halves(name: &str) -> Result<String> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("log");
    let file = File::create(&path)?;
    let mut follower = Follower::begun(name, &path)?;
    logs::write_halves(&file, 20, Duration::from_millis(20))?;
    verdict(&mut follower, 20)
}

fn invalid(name: &str) -> Result<String> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("log");
    let mut file = File::create(&path)?;
    let mut follower = Follower::begun(name, &path)?;
    let lines: Vec<u8> =
        (0..101).flat_map(|n| if n == 50 { line::invalid_line(n) } else { line::line(n) }).collect();
    file.write_all(&lines)?;
    verdict(&mut follower, 101)
}

fn latency(name: &str) -> Result<String> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("log");
    let file = File::create(&path)?;
    let mut follower = Follower::begun(name, &path)?;
    logs::write(file, 0..1000, 500)?;
    let (count, _) = follower.settled(1000)?;
    let us = |ns: u64| {
        if ns < 1_000_000 { format!("{} µs", ns / 1000) } else { format!("{} ms", ns / 1_000_000) }
    };
    Ok(format!("{} / {}", us(count.p50_ns), us(count.p99_ns)))
}

fn live(name: &str, rate: u32) -> Result<String> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("log");
    let file = File::create(&path)?;
    let mut follower = Follower::begun(name, &path)?;
    let (before, lines) = (follower.used()?, 3 * rate);
    logs::write(file, 0..lines, rate)?;
    let (count, _) = follower.settled(lines.into())?;
    let used = (follower.used()? - before).as_secs_f64();
    // Of a machine that cannot write as fast as it should, the work for so many lines still tells.
    let share = format!("{:.1} %", used / f64::from(lines) * f64::from(rate) * 100.0);
    let lost = u64::from(lines) - count.whole;
    Ok(if lost > 0 { format!("{share}, {lost} lost") } else { share })
}

fn old(name: &str) -> Result<String> {
    const LINES: u32 = 1_000_000;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("log");
    let mut file = BufWriter::new(File::create(&path)?);
    (0..LINES).try_for_each(|n| file.write_all(&line::line(n)))?;
    file.flush()?;
    let mut follower = Follower::start(name, &path)?;
    let (count, _) = follower.settled(LINES.into())?;
    if count.whole == 0 {
        return Ok("begins at the end".to_owned());
    }
    let used = follower.used()?.as_secs_f64();
    Ok(format!("{:.2} M", count.whole as f64 / used / 1e6))
}
