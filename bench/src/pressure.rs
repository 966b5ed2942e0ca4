//! From an offender's line to his ban in the kernel, by the whole watcher, while other lines come all the time and a million
//! are banned already; and when nothing else happens, beside Debian's fail2ban.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hdrhistogram::Histogram;
use watcher::firewall::{Firewall as _, Nftables};
use watcher::jail::Ports;
use watcher::subject::Network;

use crate::daemon::Daemon;
use crate::limit::verdict;
use crate::peer::Peer;
use crate::restart::fill;
use crate::storm::{SETTINGS, jail, line, offender, stamp};
use crate::written::{head, show, times};

/// So many are banned before.
const BANNED: u32 = 1_000_000;
/// Lines a second, while it is busy, and for how long.
const RATE: u32 = 50_000;
const SECONDS: u32 = 10;
/// One line in so many is an offender's.
const OFFENDS: u32 = 1000;
/// When nothing else happens: so many offenders, so far apart.
const QUIET: (u32, Duration) = (1000, Duration::from_millis(5));
/// fail2ban looks for what is new less often than that.
const PEER: (u32, Duration) = (20, Duration::from_millis(700));
/// The 99th percentile, busy, in milliseconds.
const LIMIT_MS: f64 = 2.0;
/// How many times as fast as fail2ban, at the median.
const RATIO_MIN: f64 = 3000.0;
/// Nobody waits longer for a ban.
const PATIENCE: Duration = Duration::from_secs(10);

/// Measures all three and prints them.
///
/// # Errors
/// The watcher or fail2ban cannot be started, or bans are missing.
pub fn measure() -> Result<()> {
    let mut out = std::io::stdout();
    head(&mut out, &format!("a line written → its ban in the kernel, {BANNED} banned before"))?;
    let logs = tempfile::tempdir()?;
    let log = logs.path().join("log");
    let mut file = File::create(&log)?;
    let daemon = Daemon::start_over(&log, SETTINGS, |directory| {
        jail(directory)?;
        fill(&directory.join("watcher.db"), BANNED)
    })?;
    let mut kernel = Nftables::open()?;
    let quiet = quiet(&mut file, &mut kernel)?;
    show(&mut out, "nothing else happens", &quiet)?;
    let busy = busy(&mut file, &mut kernel)?;
    show(&mut out, &format!("{RATE} other lines a second"), &busy)?;
    drop(daemon);
    // Its bans stand on, and every `nft` would read all of them before it does anything.
    e2e::process::run("nft", "delete table inet postern")?;
    let peer = peer()?;
    show(&mut out, &format!("fail2ban, nothing else happens, {} bans", PEER.0), &peer)?;
    let p99 = busy.value_at_quantile(0.99) as f64 / 1e6;
    writeln!(out, "  p99 while busy {p99:.2} ms   limit {LIMIT_MS} ms: {}", verdict(p99 <= LIMIT_MS))?;
    let ratio = peer.value_at_quantile(0.5) as f64 / quiet.value_at_quantile(0.5) as f64;
    writeln!(
        out,
        "  fail2ban takes {ratio:.0} times as long   limit {RATIO_MIN}: {}",
        verdict(ratio >= RATIO_MIN)
    )?;
    Ok(())
}

/// Offenders whose ban is awaited, and since when.
struct Awaited<'k> {
    kernel: &'k mut Nftables,
    waiting: VecDeque<(u32, Instant)>,
    times: Histogram<u64>,
}

impl<'k> Awaited<'k> {
    fn new(kernel: &'k mut Nftables) -> Result<Self> {
        Ok(Awaited { kernel, waiting: VecDeque::new(), times: times()? })
    }

    /// Looks whether the one who has waited longest is banned.
    fn look(&mut self) -> Result<()> {
        let Some((n, since)) = self.waiting.front().copied() else { return Ok(()) };
        let network = Network::host(offender(n).into()).net();
        if self.kernel.holds(network, &Ports::All)? {
            self.times.record(u64::try_from(since.elapsed().as_nanos())?)?;
            self.waiting.pop_front();
        }
        ensure!(since.elapsed() < PATIENCE, "{network} is not banned");
        Ok(())
    }
}

/// A line at a time, each with a rest before it.
fn quiet(file: &mut File, kernel: &mut Nftables) -> Result<Histogram<u64>> {
    let mut awaited = Awaited::new(kernel)?;
    for n in BANNED..BANNED + QUIET.0 {
        std::thread::sleep(QUIET.1);
        let line = line(n, &stamp());
        awaited.waiting.push_back((n, Instant::now()));
        file.write_all(line.as_bytes())?;
        while !awaited.waiting.is_empty() {
            awaited.look()?;
        }
    }
    Ok(awaited.times)
}

/// Lines at their times, evenly; between them it is looked who is banned by now.
fn busy(file: &mut File, kernel: &mut Nftables) -> Result<Histogram<u64>> {
    let mut awaited = Awaited::new(kernel)?;
    let first = BANNED + QUIET.0;
    let start = Instant::now();
    for n in 0..RATE * SECONDS {
        let due = start + Duration::from_secs(1) * n / RATE;
        while Instant::now() < due {
            awaited.look()?;
        }
        let now = stamp();
        if n % OFFENDS == OFFENDS / 2 {
            let offender = first + n / OFFENDS;
            awaited.waiting.push_back((offender, Instant::now()));
            file.write_all(line(offender, &now).as_bytes())?;
        } else {
            file.write_all(other(n, &now).as_bytes())?;
        }
    }
    while !awaited.waiting.is_empty() {
        awaited.look()?;
    }
    Ok(awaited.times)
}

/// What a mail server writes all day.
fn other(n: u32, now: &str) -> String {
    let host = format!("203.0.113.{}", n % 250);
    let pid = 1000 + n % 30_000;
    match n % 4 {
        0 => format!("{now} mail postfix/smtpd[{pid}]: connect from unknown[{host}]\n"),
        1 => format!("{now} mail postfix/qmgr[{pid}]: 4F3A{n:06X}: removed\n"),
        2 => format!("{now} mail CRON[{pid}]: pam_unix(cron:session): session closed for user root\n"),
        _ => format!(
            "{now} mail postfix/smtpd[{pid}]: disconnect from unknown[{host}] helo=1 quit=1 commands=2\n"
        ),
    }
}

/// The same with fail2ban, as far as it can be had: nothing else happens, and nobody is banned before.
fn peer() -> Result<Histogram<u64>> {
    let logs = tempfile::tempdir()?;
    let log = logs.path().join("log");
    let mut file = File::create(&log)?;
    let mut peer = Peer::start(&log)?;
    let mut times = times()?;
    for n in 0..PEER.0 {
        std::thread::sleep(PEER.1);
        let line = line(n, &stamp());
        let start = Instant::now();
        file.write_all(line.as_bytes())?;
        let address = offender(n).to_string();
        while !in_its_set(&address)? {
            ensure!(start.elapsed() < PATIENCE, "fail2ban does not ban {address}");
        }
        times.record(u64::try_from(start.elapsed().as_nanos())?)?;
    }
    peer.stop()?;
    Ok(times)
}

fn in_its_set(address: &str) -> Result<bool> {
    let element = format!("{{ {address} }}");
    let arguments = ["get", "element", "inet", "f2b-table", "addr-set-bench", &element];
    Ok(std::process::Command::new("nft").args(arguments).output().context("nft")?.status.success())
}
