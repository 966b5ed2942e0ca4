//! How fast an old log is read, beside a bare search for line feeds over the same bytes.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZero;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use watcher::config::Config;

use crate::journal;

/// Sessions in the log: some 1.3 million lines.
const SESSIONS: u32 = 120_000;

/// The best of so many runs counts: what disturbs a run makes it slower, never faster.
const RUNS: usize = 3;

/// As replay reads.
const BLOCK_BYTES: usize = 256 << 10;

/// Makes a log, reads it, and says how fast.
///
/// # Errors
/// The log cannot be written or read.
pub fn measure() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("log");
    let text = journal::busy_evening(SESSIONS);
    std::fs::write(&path, &text)?;
    let (lines, bytes) = (text.bytes().filter(|byte| *byte == b'\n').count(), text.len());
    drop(text);
    let config =
        Config::load(None).map_err(|mistakes| anyhow::anyhow!("the shipped configuration: {mistakes}"))?;

    let split = best(|| split(&path), lines)?;
    let mut bans = 0;
    let mut replayed = |threads: NonZero<usize>| {
        best(
            || {
                let logs = std::slice::from_ref(&path);
                let outcome = watcher::replay::replay_with(&config, logs, threads, &mut |_| {})?;
                bans = outcome.bans.len();
                let source = outcome.counts.sources.first().context("one source")?;
                ensure!(source.unknown == 0, "{} lines of this log are not known", source.unknown);
                Ok(usize::try_from(source.lines)?)
            },
            lines,
        )
    };
    let alone = replayed(NonZero::<usize>::MIN)?;
    let threaded = replayed(std::thread::available_parallelism()?)?;
    let mut out = std::io::stdout();
    writeln!(out, "replay: {lines} lines, {} MB, {bans} bans", bytes / 1_000_000)?;
    for (name, took) in [
        ("search for line feeds", split),
        ("replay, one thread", alone),
        ("replay, all processors", threaded),
    ] {
        let (seconds, lines, bytes) = (took.as_secs_f64(), lines as f64, bytes as f64);
        writeln!(
            out,
            "  {name:<24}{:>8.2} M lines/s {:>8.0} MB/s",
            lines / seconds / 1e6,
            bytes / seconds / 1e6
        )?;
    }
    writeln!(out, "  ratio {:.1}", alone.as_secs_f64() / split.as_secs_f64())?;
    Ok(())
}

/// The shortest time that reading all lines takes.
fn best(mut read: impl FnMut() -> Result<usize>, lines: usize) -> Result<Duration> {
    let mut best = Duration::MAX;
    for _ in 0..RUNS {
        let start = Instant::now();
        let found = read()?;
        best = best.min(start.elapsed());
        ensure!(found == lines, "{found} lines instead of {lines}");
    }
    Ok(best)
}

fn split(path: &Path) -> Result<usize> {
    let mut file = File::open(path)?;
    let mut block = vec![0; BLOCK_BYTES];
    let mut lines = 0;
    loop {
        let length = file.read(&mut block)?;
        if length == 0 {
            return Ok(lines);
        }
        lines += memchr::memchr_iter(b'\n', block.get(..length).unwrap_or_default()).count();
    }
}
