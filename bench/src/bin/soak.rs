//! `soak`: botnets against the real daemons, one after the other, for as long as is wanted; and whether anything grows,
//! is lost, or is counted other than a replay counts it.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use e2e::banctl::Answer;
use e2e::http::metric;
use e2e::network::{SERVER, SERVER6};
use e2e::process::Running;
use e2e::site::{Site, WATCHER};

/// Plays botnets against both daemons for hours.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// For how many minutes.
    #[arg(default_value_t = 120)]
    minutes: u64,
}

/// The memory of a daemon is what it is after this many rounds; from then on it may grow by [`GROWTH_KB_MAX`].
const WARM_UP_ROUNDS: u64 = 3;

/// Former bans and the addresses behind them are remembered, some hundred bytes each; a leak shows as more than this.
const GROWTH_KB_MAX: u64 = 20_000;

/// Bans are short, so that every botnet finds the gate open again.
const BAN: &str = "for    = \"1h\"\ngrowth = 2.0";

fn main() -> Result<()> {
    let Arguments { minutes } = Arguments::parse();
    e2e::namespace::enter()?;
    let site = Site::new()?;
    for jail in ["password-guessing.toml", "recipient-harvest.toml"] {
        let text = std::fs::read_to_string(format!("{}/../jails/{jail}", env!("CARGO_MANIFEST_DIR")))?;
        ensure!(text.contains(BAN), "{jail} bans otherwise than this program expects");
        site.write(&format!("jails/{jail}"), &text.replace(BAN, "for    = \"2s\"\ngrowth = 1.0"))?;
    }
    let (smtpd, watcher) = (site.start_smtpd()?, site.start_watcher()?);
    let (start, length) = (Instant::now(), Duration::from_secs(60 * minutes));
    let mut first = None;
    let mut out = std::io::stdout();
    for round in 1.. {
        botnet(&site, round)?;
        let now = Memory::of(&smtpd, &watcher)?;
        let lines = site.log()?.lines().count();
        writeln!(
            out,
            "{:>5} s  round {round}  {lines} lines  smtpd {} kB {} files  watcher {} kB {} files",
            start.elapsed().as_secs(),
            now.smtpd.resident_kb,
            now.smtpd.files,
            now.watcher.resident_kb,
            now.watcher.files
        )?;
        if round == WARM_UP_ROUNDS {
            first = Some(now);
        } else if let Some(first) = &first {
            first.check(&now)?;
        }
        if start.elapsed() > length && round > WARM_UP_ROUNDS {
            break;
        }
    }
    let bans = compare(&site)?;
    writeln!(out, "nothing grew, no line was lost, and a replay gives the same {bans} bans")?;
    Ok(())
}

/// One botnet, and the watcher has read what it left.
fn botnet(site: &Site, seed: u64) -> Result<()> {
    let mut botnet = site.network.client("python3");
    botnet.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/clients/botnet.py"));
    Answer::of(botnet.args([SERVER, SERVER6, &seed.to_string()]))?.yes()?;
    site.await_read()
}

/// The watcher counted what a replay of the whole log counts.
fn compare(site: &Site) -> Result<usize> {
    let replayed = site.watcher("replay --format json --config watcher.toml smtpd.log")?.yes()?.json()?;
    let replayed =
        replayed.get("bans").and_then(serde_json::Value::as_array).context("no list `bans`")?.len();
    let mut counted = 0.0;
    for jail in ["password-guessing", "recipient-harvest"] {
        counted += metric(WATCHER, &format!("watcher_bans_total{{jail=\"{jail}\"}}"))?;
    }
    ensure!(counted == replayed as f64, "{counted} bans live, {replayed} in the replay");
    let status = site.banctl("status --json")?.yes()?.json()?;
    for key in ["unknown", "ambiguous", "lost"] {
        let count = status.pointer(&format!("/sources/0/{key}"));
        ensure!(count == Some(&0.into()), "{key}: {count:?}");
    }
    Ok(replayed)
}

/// What both daemons hold.
struct Memory {
    smtpd: Held,
    watcher: Held,
}

/// What one holds.
struct Held {
    resident_kb: u64,
    files: usize,
}

impl Memory {
    fn of(smtpd: &Running, watcher: &Running) -> Result<Memory> {
        Ok(Memory { smtpd: Held::of(smtpd)?, watcher: Held::of(watcher)? })
    }

    fn check(&self, now: &Memory) -> Result<()> {
        for (name, first, now) in
            [("smtpd", &self.smtpd, &now.smtpd), ("watcher", &self.watcher, &now.watcher)]
        {
            let grown_kb = now.resident_kb.saturating_sub(first.resident_kb);
            ensure!(grown_kb <= GROWTH_KB_MAX, "{name} has grown by {grown_kb} kB");
            ensure!(
                now.files <= first.files + 10,
                "{name} holds {} files, {} before",
                now.files,
                first.files
            );
        }
        Ok(())
    }
}

impl Held {
    fn of(daemon: &Running) -> Result<Held> {
        let process = format!("/proc/{}", daemon.id());
        let status = std::fs::read_to_string(format!("{process}/status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = resident.and_then(|rest| rest.trim().strip_suffix(" kB")).context("no VmRSS")?;
        Ok(Held {
            resident_kb: resident.parse()?,
            files: std::fs::read_dir(format!("{process}/fd"))?.count(),
        })
    }
}
