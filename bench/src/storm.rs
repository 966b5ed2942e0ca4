//! A million offenders, one line each: from the line to the kernel, and to the database behind it; beside it Debian's
//! fail2ban with as many of the same lines as it takes in its time.

use std::fs::File;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, ensure};
use logline::Timestamp;
use serde_json::Value;
use watcher::firewall::{Firewall as _, Nftables};
use watcher::jail::Ports;
use watcher::store::Reader;
use watcher::subject::{Network, Subject};

use crate::daemon::Daemon;
use crate::limit::verdict;
use crate::peer::Peer;

/// Offenders.
const OFFENDERS: u32 = 1_000_000;
/// A second, from the lines to the kernel.
const RATE_MIN: f64 = 400_000.0;
/// fail2ban gets so many lines, and so much time for them.
const PEER_OFFENDERS: u32 = 4000;
const PEER_PATIENCE: Duration = Duration::from_secs(40);
/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

/// One jail, to which the first failure is one too many.
pub const SETTINGS: &str = "jails = [\"first\"]";

/// That jail.
pub const JAIL: &str = "about = \"the first failure\"\non = [\"auth-failed\"]\nthreshold = 1\nwithin = \"10m\"\n\
    [ban]\nfor = \"1h\"\n";

/// Measures both and prints them.
///
/// # Errors
/// The watcher is not built, or bans are missing.
pub fn measure() -> Result<()> {
    let mut out = std::io::stdout();
    let lines = lines(0, OFFENDERS);
    writeln!(out, "a storm: {OFFENDERS} offenders, a line each, {} MB at once", lines.len() / 1_000_000)?;
    let Storm { kernel, disk, busy, peak } = storm(&lines)?;
    let rate = |took: Duration| f64::from(OFFENDERS) / took.as_secs_f64();
    let held = verdict(rate(kernel) >= RATE_MIN);
    writeln!(
        out,
        "  in the kernel  {:>7.2} s {:>9.0} bans/s   limit {RATE_MIN:.0}: {held}",
        kernel.as_secs_f64(),
        rate(kernel)
    )?;
    writeln!(out, "  in the database{:>7.2} s {:>9.0} bans/s", disk.as_secs_f64(), rate(disk))?;
    writeln!(
        out,
        "  until then its main thread had a core for {:.2} s: {:.0} bans/s of it; {peak} MB at most",
        busy.as_secs_f64(),
        rate(busy)
    )?;
    let (bans, took) = peer()?;
    let peer = bans as f64 / took.as_secs_f64();
    writeln!(
        out,
        "  fail2ban, {bans} of {PEER_OFFENDERS} lines within {} s: {peer:.0} bans/s, ratio {:.0}",
        PEER_PATIENCE.as_secs(),
        rate(kernel) / peer
    )?;
    Ok(())
}

/// Who offends: RFC 2544's network and what follows it.
pub fn offender(n: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(198, 18, 0, 0).to_bits() + n)
}

/// The line of an offender, as sshd's log has it, written now.
pub fn line(n: u32, now: &str) -> String {
    let address = offender(n);
    format!(
        "{now} mail sshd[{}]: Failed password for root from {address} port 4711 ssh2\n",
        1000 + n % 30_000
    )
}

/// The time as those lines have it.
pub fn stamp() -> String {
    // fail2ban knows no more than six digits.
    let now = Timestamp::from_nanos(Timestamp::from(SystemTime::now()).nanos() / 1000 * 1000);
    watcher::control::api::rfc3339(now).replace('Z', "+00:00")
}

fn lines(first: u32, count: u32) -> String {
    let now = stamp();
    (first..first + count).map(|n| line(n, &now)).collect()
}

/// How long a storm took.
struct Storm {
    /// Until the last offender was kept out.
    kernel: Duration,
    /// Until his ban was on disk.
    disk: Duration,
    /// How long the thread that reads and bans had a processor until he was kept out.
    busy: Duration,
    /// The most memory, in megabytes.
    peak: u64,
}

fn storm(lines: &str) -> Result<Storm> {
    let logs = tempfile::tempdir()?;
    let log = logs.path().join("log");
    let mut file = File::create(&log)?;
    let daemon = Daemon::start_over(&log, SETTINGS, jail)?;
    let before = daemon.main_thread()?;
    let start = Instant::now();
    file.write_all(lines.as_bytes())?;
    let last = Network::host(offender(OFFENDERS - 1).into());
    // Whoever keeps it open is told of each ban, at the cost of who bans.
    until(|| Ok(Nftables::open()?.holds(last.net(), &Ports::All)?))?;
    let (in_kernel, busy) = (start.elapsed(), daemon.main_thread()? - before);
    let reader = Reader::open(&daemon.database())?;
    until(|| Ok(reader.count(&Subject::Network(last))? > 0))?;
    let disk = start.elapsed();
    let active = daemon.status()?.pointer("/active").and_then(Value::as_u64);
    ensure!(active == Some(OFFENDERS.into()), "{active:?} are banned");
    let mut kernel = Nftables::open()?;
    for n in (0..OFFENDERS).step_by(997) {
        let network = Network::host(offender(n).into()).net();
        ensure!(kernel.holds(network, &Ports::All)?, "{network} is not in the kernel");
    }
    Ok(Storm { kernel: in_kernel, disk, busy, peak: daemon.peak_megabytes()? })
}

/// Writes the jail into a configuration's directory.
///
/// # Errors
/// It cannot be written.
pub fn jail(directory: &Path) -> Result<()> {
    std::fs::create_dir(directory.join("jails"))?;
    Ok(std::fs::write(directory.join("jails/first.toml"), JAIL)?)
}

fn until(mut look: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !look()? {
        ensure!(start.elapsed() < PATIENCE, "waited in vain for the last ban");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// How many of its lines fail2ban made bans of, and in what time.
fn peer() -> Result<(usize, Duration)> {
    let logs = tempfile::tempdir()?;
    let log = logs.path().join("log");
    let mut file = File::create(&log)?;
    let mut peer = Peer::start(&log)?;
    let start = Instant::now();
    file.write_all(lines(0, PEER_OFFENDERS).as_bytes())?;
    let bans = peer.bans_within(PEER_OFFENDERS as usize, PEER_PATIENCE)?;
    let took = start.elapsed();
    peer.stop()?;
    Ok((bans, took))
}
