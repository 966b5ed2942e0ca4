//! What counting costs the processor, and in how much memory, at a million addresses; beside a plain map of queues, which
//! is what one writes first.

use std::collections::{HashMap, VecDeque};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Result, ensure};
use logline::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use watcher::engine::{Engine, Exemptions, Input};
use watcher::event::{Event, Kind};
use watcher::jail::Jails;

/// Addresses that offend.
const ADDRESSES: u32 = 1 << 20;

/// Each does so often, in no order, within the window and below the threshold.
const ROUNDS: u32 = 4;

/// The best of so many runs counts: what disturbs a run makes it slower, never faster.
const RUNS: usize = 3;

const WITHIN: Duration = Duration::from_secs(600);

const JAIL: &str =
    "about = \"x\"\non = [\"failure\"]\nthreshold = 5\nwithin = \"10m\"\n[ban]\nfor = \"1h\"\n";

const LINE: &[u8] =
    b"@400000006b0118f21a4d9c2b qmail-smtpd[2]: auth: auth-failed type=plain user=<alice> fingerprint=5d03";

/// Counts, and says how fast.
///
/// # Errors
/// What is counted is not right.
pub fn measure() -> Result<()> {
    let events = u64::from(ADDRESSES) * u64::from(ROUNDS);
    let (mut engine_took, mut map_took, mut bytes) = (Duration::MAX, Duration::MAX, 0);
    for _ in 0..RUNS {
        let (took, size_bytes) = engine()?;
        (engine_took, bytes) = (engine_took.min(took), size_bytes);
        map_took = map_took.min(map()?);
    }
    let mut out = std::io::stdout();
    writeln!(out, "counting: {events} events of {ADDRESSES} addresses, one jail, one core")?;
    for (name, took) in [("engine", engine_took), ("map of queues", map_took)] {
        let rate = events as f64 / took.as_secs_f64() / 1e6;
        let each = took.as_nanos() as f64 / events as f64;
        writeln!(out, "  {name:<24}{rate:>8.2} M events/s {each:>8.0} ns each")?;
    }
    writeln!(out, "  ratio {:.2}", engine_took.as_secs_f64() / map_took.as_secs_f64())?;
    writeln!(out, "  {:.0} bytes an address, index and all", bytes as f64 / f64::from(ADDRESSES))?;
    Ok(())
}

/// What this thread has cost the processor: the same on a machine that does other work besides.
fn cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// The address of the n-th event: each comes once a round, in an order that no cache can guess.
fn address(n: u32) -> Ipv4Addr {
    Ipv4Addr::from((n.wrapping_mul(0x9e37_79b1) ^ (n / ADDRESSES)) % ADDRESSES + 0x0b00_0000)
}

fn at(n: u32) -> Timestamp {
    let share = f64::from(n) / f64::from(ADDRESSES * ROUNDS);
    Timestamp::from_seconds(1_700_000_000) + WITHIN.mul_f64(share * 0.9)
}

fn engine() -> Result<(Duration, usize)> {
    let jails = Jails::single("j", JAIL).map_err(|mistakes| anyhow::anyhow!("{mistakes}"))?;
    let mut engine =
        Engine::new(jails, Exemptions::default()).with_counters_max(2 * ADDRESSES as usize).unsaved();
    let mut out = Vec::new();
    let start = cpu();
    for n in 0..ADDRESSES * ROUNDS {
        let (at, address) = (at(n), Some(IpAddr::V4(address(n))));
        let event = Event { kind: Kind::Failure, at, address, weight: 1, fields: Vec::new(), line: LINE };
        engine.handle(at, Input::Event(&event), &mut out);
    }
    let took = cpu().saturating_sub(start);
    ensure!(out.is_empty(), "nobody reached the threshold, and there are bans");
    ensure!(engine.counters_len() == ADDRESSES as usize, "{} addresses are counted", engine.counters_len());
    Ok((took, engine.counters_size_bytes()))
}

fn map() -> Result<Duration> {
    let mut seen: HashMap<IpAddr, VecDeque<Timestamp>> = HashMap::new();
    let mut bans = 0;
    let start = cpu();
    for n in 0..ADDRESSES * ROUNDS {
        let (at, address) = (at(n), IpAddr::V4(address(n)));
        let hits = seen.entry(address).or_default();
        while hits.front().is_some_and(|first| *first + WITHIN <= at) {
            hits.pop_front();
        }
        hits.push_back(at);
        bans += u32::from(hits.len() >= 5);
    }
    let took = cpu().saturating_sub(start);
    ensure!(bans == 0 && seen.len() == ADDRESSES as usize, "the map counts otherwise");
    Ok(took)
}
