//! How long a watcher with many bans is away: from its start to the moment when the kernel has all of them again, in an
//! empty table; and how much memory that takes. Beside it a process for each ban, and what fail2ban does at its start.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use logline::Timestamp;
use serde_json::Value;
use watcher::engine::{Ban, Evidence, Lease, Terms};
use watcher::firewall::{Firewall as _, Nftables};
use watcher::jail::{Mode, Ports};
use watcher::store::{BanChange, Batch, Store};
use watcher::subject::{Network, Subject};

use crate::daemon::Daemon;
use crate::limit::verdict;
use crate::peer::Peer;
use crate::storm::offender;

/// So many bans, and how long that may take, and how much memory, in MB.
const CASES: [(u32, Duration, u64); 2] =
    [(100_000, Duration::from_millis(300), 300), (1_000_000, Duration::from_secs(2), 300)];

/// So many are written at once.
const BATCH: u32 = 10_000;

/// So many bans are made by processes, to know what one costs.
const BY_PROCESS: u32 = 300;

/// fail2ban has so many, and so much time for them.
const PEER_BANS: u32 = 3000;
const PEER_PATIENCE: Duration = Duration::from_secs(30);

/// Measures and prints.
///
/// # Errors
/// The watcher is not built, or bans are missing.
pub fn measure() -> Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "a restart with bans: from exec to the last one in the kernel")?;
    let each = by_process()?;
    for (bans, limit, memory) in CASES {
        e2e::process::run("nft", "flush ruleset")?;
        let (took, peak) = restart(bans)?;
        let held = verdict(took <= limit && peak <= memory);
        let process = each.as_secs_f64() * f64::from(bans);
        writeln!(
            out,
            "  {bans:>9} bans {:>8.3} s {:>9.0} bans/s {peak:>5} MB   limit {:.1} s, {memory} MB: {held}",
            took.as_secs_f64(),
            f64::from(bans) / took.as_secs_f64(),
            limit.as_secs_f64()
        )?;
        writeln!(
            out,
            "            with a process `nft` for each, at {:.2} ms by {BY_PROCESS} of them: {process:.0} s, {:.0} times as long",
            each.as_secs_f64() * 1e3,
            process / took.as_secs_f64()
        )?;
    }
    let (bans, took) = peer()?;
    let rate = f64::from(PEER_BANS) / took.as_secs_f64();
    writeln!(
        out,
        "  fail2ban, {bans} of {PEER_BANS} bans within {} s: {:.1} s, {rate:.0} bans/s",
        PEER_PATIENCE.as_secs(),
        took.as_secs_f64()
    )?;
    Ok(())
}

/// From the start of a fail2ban that has saved some bans to the moment when the kernel has them again.
fn peer() -> Result<(usize, Duration)> {
    let logs = tempfile::tempdir()?;
    let log = logs.path().join("log");
    std::fs::write(&log, "")?;
    let mut peer = Peer::start(&log)?;
    let addresses: Vec<String> = (0..PEER_BANS).map(|n| offender(n).to_string()).collect();
    peer.ban(&addresses)?;
    peer.bans_within(PEER_BANS as usize, PEER_PATIENCE)?;
    peer.stop()?;
    let start = Instant::now();
    peer.run()?;
    let bans = peer.bans_within(PEER_BANS as usize, PEER_PATIENCE)?;
    let took = start.elapsed();
    peer.stop()?;
    Ok((bans, took))
}

fn restart(bans: u32) -> Result<(Duration, u64)> {
    let logs = tempfile::tempdir()?;
    let log = logs.path().join("log");
    std::fs::write(&log, "")?;
    let daemon = Daemon::start_over(&log, "", |directory| fill(&directory.join("watcher.db"), bans))?;
    ensure!(
        daemon.status()?.pointer("/active").and_then(Value::as_u64) == Some(bans.into()),
        "not all bans are listed"
    );
    let mut kernel = Nftables::open()?;
    for n in (0..bans).step_by(997).chain([bans - 1]) {
        let network = Network::host(offender(n).into()).net();
        ensure!(kernel.holds(network, &Ports::Tcp([25].into()))?, "{network} is not in the kernel");
    }
    Ok((daemon.started_in, daemon.peak_megabytes()?))
}

/// A database with so many bans, each with a line of evidence.
///
/// # Errors
/// It cannot be written.
pub fn fill(path: &Path, bans: u32) -> Result<()> {
    let now = Timestamp::from(SystemTime::now());
    let (store, _) = Store::open(path)?;
    for first in (0..bans).step_by(BATCH as usize) {
        let made = (first..(first + BATCH).min(bans)).map(|n| ban(n, now)).collect();
        let mut batch = Batch { bans: made, ..Batch::default() };
        while let Err(kept) = store.write(batch) {
            std::thread::sleep(Duration::from_millis(10));
            batch = *kept;
        }
    }
    Ok(())
}

fn ban(n: u32, now: Timestamp) -> BanChange {
    let ports = Ports::Tcp([25].into());
    let terms = Terms { jail: "dnsbl-listed".into(), mode: Mode::Enforce, ports, reason: None };
    let lease = Lease { from: now, until: now + Duration::from_secs(86_400), terms: terms.into(), before: 0 };
    let line =
        format!("rblsmtpd: {} pid {n}: 451 https://www.spamhaus.org/query/ip/{}", offender(n), offender(n));
    let evidence = vec![Evidence { at: now, line }];
    BanChange::Made(Ban { subject: Subject::Network(Network::host(offender(n).into())), lease, evidence })
}

/// What one ban costs where a program is run for it.
pub(crate) fn by_process() -> Result<Duration> {
    e2e::process::run("nft", "add table inet other")?;
    e2e::process::run("nft", "add set inet other banned { type ipv4_addr; flags timeout; }")?;
    let start = Instant::now();
    for n in 0..BY_PROCESS {
        let element = format!("add element inet other banned {{ {} timeout 1d }}", offender(n));
        let status = std::process::Command::new("nft").args(element.split(' ')).status().context("nft")?;
        ensure!(status.success(), "nft: {status}");
    }
    let each = start.elapsed() / BY_PROCESS;
    e2e::process::run("nft", "delete table inet other")?;
    Ok(each)
}
