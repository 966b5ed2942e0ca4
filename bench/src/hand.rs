//! What the administrator waits for, and what the lines wait for him: a hundred thousand addresses banned, lifted, exempt
//! and exempt no longer by `banctl`, over the socket and into the kernel; a million bans listed; one of a million explained.
//!
//! Beside each, in the same run, what bounds it: `nft -f` with all addresses at once, a process `nft` for each, and the
//! bare way of the same bytes through a socket. Meanwhile lines are written, each of which is a ban: the longest that one
//! of them took to reach the kernel is how long the engine stood still.

use std::io::{Read as _, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use serde_json::Value;
use watcher::firewall::{Firewall as _, Nftables, Ports};
use watcher::subject::Network;

use crate::daemon::Daemon;
use crate::limit::verdict;
use crate::restart;
use crate::storm::{self, line, offender, stamp};

/// So many at once, by hand.
const MANY: u32 = 100_000;
/// How long that may take.
const MANY_IN: Duration = Duration::from_secs(1);
/// So many are listed, and one of them is explained.
const BANS: u32 = 1_000_000;
/// So many of them a second, at least.
const LISTED_PER_SECOND: f64 = 300_000.0;
/// How long an explanation may take.
const WHY_IN: Duration = Duration::from_millis(5);
/// So often one is asked for.
const WHYS: u32 = 50;
/// A line is written so often.
const LINE_EVERY: Duration = Duration::from_millis(5);
/// The kernel is asked so often whether it is there.
const LOOK_EVERY: Duration = Duration::from_micros(100);
/// A ban that does not come in this time comes never.
const PATIENCE: Duration = Duration::from_secs(10);

/// Measures and prints.
///
/// # Errors
/// The watcher is not built, or does not do what it was told.
pub fn measure() -> Result<()> {
    many()?;
    e2e::process::run("nft", "flush ruleset")?;
    all()
}

/// A hundred thousand by hand.
fn many() -> Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{MANY} addresses by hand: banctl, its socket, the database, the kernel")?;
    let directory = tempfile::tempdir()?;
    let list = directory.path().join("list");
    std::fs::write(&list, (0..MANY).map(|n| format!("{}\n", offender(n))).collect::<String>())?;
    let bare = bare(directory.path())?;
    writeln!(out, "  {:<32}{:>8.3} s", "nft -f, all at once", bare.as_secs_f64())?;
    let each = restart::by_process()?;
    writeln!(out, "  {:<32}{:>8.1} s", "nft, a process for each", each.as_secs_f64() * f64::from(MANY))?;
    let log = directory.path().join("log");
    let daemon = start(&log, |_| Ok(()))?;
    let steps: [(&str, &[&str]); 4] = [
        ("banctl ban --file", &["ban", "--for", "1d", "--file"]),
        ("banctl unban --file", &["unban", "--file"]),
        ("banctl allow add --file", &["allow", "add", "--file"]),
        ("banctl allow remove --file", &["allow", "remove", "--file"]),
    ];
    let mut probe = Probe::new(&log);
    for (name, words) in steps {
        let mut command = daemon.banctl()?;
        command.args(words).arg(&list).stdout(Stdio::null());
        let (took, stood) = probe.during(|| {
            let began = Instant::now();
            let status = command.status().context("banctl")?;
            ensure!(status.success(), "{name}: {status}");
            Ok(began.elapsed())
        })?;
        let held = verdict(took <= MANY_IN);
        writeln!(
            out,
            "  {name:<32}{:>8.3} s {:>7.2} of nft -f   limit {:.0} s: {held}   lines waited {stood}",
            took.as_secs_f64(),
            took.as_secs_f64() / bare.as_secs_f64(),
            MANY_IN.as_secs_f64(),
        )?;
        if name.starts_with("banctl ban") {
            stands(MANY - 1)?;
        }
    }
    Ok(())
}

/// What the kernel's own tool needs for the same.
fn bare(directory: &Path) -> Result<Duration> {
    let script = directory.join("script");
    let elements: Vec<String> = (0..MANY).map(|n| format!("{} timeout 1d", offender(n))).collect();
    let table = "add table inet other\nadd set inet other banned { type ipv4_addr; flags timeout; }";
    std::fs::write(
        &script,
        format!("{table}\nadd element inet other banned {{ {} }}\n", elements.join(", ")),
    )?;
    let began = Instant::now();
    let status = std::process::Command::new("nft").arg("-f").arg(&script).status().context("nft")?;
    ensure!(status.success(), "nft: {status}");
    let took = began.elapsed();
    e2e::process::run("nft", "delete table inet other")?;
    Ok(took)
}

fn stands(n: u32) -> Result<()> {
    let network = Network::host(offender(n).into()).net();
    let mut kernel = Nftables::open()?;
    ensure!(kernel.holds(network, &Ports::All)?, "{network} is not in the kernel");
    Ok(())
}

/// A million that stand already.
fn all() -> Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{BANS} bans in force")?;
    let directory = tempfile::tempdir()?;
    let log = directory.path().join("log");
    let daemon = start(&log, |directory| restart::fill(&directory.join("watcher.db"), BANS))?;
    let mut probe = Probe::new(&log);
    let path = directory.path().join("listed");
    let mut command = daemon.banctl()?;
    command.args(["list", "--json"]).stdout(std::fs::File::create(&path)?);
    let (took, stood) = probe.during(|| {
        let began = Instant::now();
        let status = command.status().context("banctl")?;
        ensure!(status.success(), "list: {status}");
        Ok(began.elapsed())
    })?;
    let listed = std::fs::read(&path)?;
    let count =
        serde_json::from_slice::<Value>(&listed)?.pointer("/bans").and_then(Value::as_array).map(Vec::len);
    ensure!(count.is_some_and(|count| count >= BANS as usize), "{count:?} bans are listed");
    let bare = through_a_socket(&listed)?;
    let rate = f64::from(BANS) / took.as_secs_f64();
    let held = verdict(rate >= LISTED_PER_SECOND);
    writeln!(
        out,
        "  {:<32}{:>8.3} s {rate:>9.0}/s   limit {LISTED_PER_SECOND:.0}/s: {held}   lines waited {stood}",
        "banctl list --json",
        took.as_secs_f64()
    )?;
    let mb = listed.len() as f64 / 1e6;
    let (bare, ratio) = (bare.as_secs_f64(), took.as_secs_f64() / bare.as_secs_f64());
    writeln!(
        out,
        "  {:<32}{bare:>8.3} s {ratio:>8.1} times as long",
        format!("its {mb:.0} MB through a socket")
    )?;
    let mut times = Histogram::<u64>::new(3)?;
    for n in 0..WHYS {
        let address = offender(n * (BANS / WHYS)).to_string();
        let began = Instant::now();
        let status = daemon.banctl()?.args(["why", &address]).stdout(Stdio::null()).status()?;
        ensure!(status.success(), "why {address}: {status}");
        times.record(u64::try_from(began.elapsed().as_micros())?)?;
    }
    let mut empty = Histogram::<u64>::new(3)?;
    for _ in 0..WHYS {
        let began = Instant::now();
        daemon.banctl()?.arg("--version").stdout(Stdio::null()).status()?;
        empty.record(u64::try_from(began.elapsed().as_micros())?)?;
    }
    let (p50, p99) = (times.value_at_quantile(0.5), times.value_at_quantile(0.99));
    let held = verdict(u128::from(p50) <= WHY_IN.as_micros());
    writeln!(
        out,
        "  {:<32}p50 {:.1} ms, p99 {:.1} ms; of it the process alone p50 {:.1} ms   limit {} ms: {held}",
        "banctl why",
        p50 as f64 / 1e3,
        p99 as f64 / 1e3,
        empty.value_at_quantile(0.5) as f64 / 1e3,
        WHY_IN.as_millis()
    )?;
    Ok(())
}

/// How long these bytes take from one end of a socket to the other, and nothing else.
fn through_a_socket(bytes: &[u8]) -> Result<Duration> {
    let (mut writer, mut reader) = UnixStream::pair()?;
    let began = Instant::now();
    std::thread::scope(|scope| {
        let writing = scope.spawn(move || writer.write_all(bytes));
        let mut read = Vec::new();
        reader.read_to_end(&mut read)?;
        writing.join().ok().context("the writer")??;
        ensure!(read.len() == bytes.len(), "bytes are missing");
        Ok(())
    })?;
    Ok(began.elapsed())
}

fn start(log: &Path, prepare: impl FnOnce(&Path) -> Result<()>) -> Result<Daemon> {
    std::fs::write(log, "")?;
    Daemon::start_over(log, "", |directory| {
        storm::jail(directory)?;
        prepare(directory)
    })
}

/// Writes lines, each of which is a ban, and looks when it stands in the kernel.
struct Probe<'l> {
    log: &'l Path,
    /// So many were written.
    written: u32,
}

/// How long lines took to be bans, in microseconds.
struct Waited(Histogram<u64>);

impl std::fmt::Display for Waited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ms = |us: u64| us as f64 / 1e3;
        let (p50, max) = (self.0.value_at_quantile(0.5), self.0.max());
        write!(f, "p50 {:.2} ms, at most {:.1} ms ({} lines)", ms(p50), ms(max), self.0.len())
    }
}

impl<'l> Probe<'l> {
    fn new(log: &'l Path) -> Self {
        Probe { log, written: 0 }
    }

    /// Does something, and writes lines meanwhile.
    fn during<T: Send>(&mut self, work: impl FnOnce() -> Result<T> + Send) -> Result<(T, Waited)> {
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let working = scope.spawn(|| {
                let done = work();
                is_done.store(true, Ordering::Release);
                done
            });
            let mut waited = Histogram::new(3)?;
            let mut kernel = Nftables::open()?;
            let mut log = std::fs::File::options().append(true).open(self.log)?;
            while !is_done.load(Ordering::Acquire) {
                waited.record(self.one(&mut kernel, &mut log)?)?;
                std::thread::sleep(LINE_EVERY);
            }
            Ok((working.join().ok().context("the work")??, Waited(waited)))
        })
    }

    fn one(&mut self, kernel: &mut Nftables, log: &mut impl Write) -> Result<u64> {
        // None of those who are banned by hand or before.
        let (n, now) = (BANS + self.written, stamp());
        self.written += 1;
        let (client, line) = (offender(n), line(n, &now));
        let began = Instant::now();
        log.write_all(line.as_bytes())?;
        let network = Network::host(client.into()).net();
        while !kernel.holds(network, &Ports::All)? {
            ensure!(began.elapsed() < PATIENCE, "{client} is not banned");
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(u64::try_from(began.elapsed().as_micros())?)
    }
}
