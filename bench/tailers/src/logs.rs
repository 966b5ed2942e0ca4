//! The programs that write the logs, and what is done to their files meanwhile.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::line;

/// Nobody sleeps for less.
const NAP: Duration = Duration::from_micros(100);

/// Writes so many lines, each with a write of its own, so many a second.
pub fn write(mut log: impl Write, lines: std::ops::Range<u32>, rate: u32) -> Result<()> {
    let start = Instant::now();
    for (n, count) in lines.zip(0..) {
        let due = start + Duration::from_secs(1) * count / rate;
        let early = due.saturating_duration_since(Instant::now());
        if early > NAP {
            std::thread::sleep(early);
        }
        log.write_all(&line::line(n))?;
    }
    Ok(())
}

/// Writes lines while the log is renamed and made anew, so many times, with no rest between the two steps.
pub fn write_renamed(path: &Path, parts: u32, lines_each: u32, rate: u32) -> Result<()> {
    for part in 0..parts {
        let file = File::options().create(true).append(true).open(path)?;
        write(file, part * lines_each..(part + 1) * lines_each, rate)?;
        if part + 1 < parts {
            std::fs::rename(path, path.with_extension(format!("{}", part + 1)))?;
        }
    }
    Ok(())
}

/// Writes lines in two halves, with a pause between them.
pub fn write_halves(mut file: &File, lines: u32, pause: Duration) -> Result<()> {
    for n in 0..lines {
        let line = line::line(n);
        let (first, second) = line.split_at(line::LENGTH / 2);
        file.write_all(first)?;
        std::thread::sleep(pause);
        file.write_all(second)?;
        std::thread::sleep(pause);
    }
    Ok(())
}

/// Writes lines through the real multilog, with archives as small as it makes them and enough of them for half a second.
pub fn write_multilog(directory: &Path, lines: u32, rate: u32) -> Result<()> {
    let mut command = Command::new("multilog");
    command.args(["s4096", "n250"]).arg(directory);
    let mut multilog = command.stdin(Stdio::piped()).spawn().context("multilog (package daemontools)")?;
    write(multilog.stdin.take().context("a pipe")?, 0..lines, rate)?;
    let ended = multilog.wait()?;
    ensure!(ended.success(), "multilog: {ended}");
    Ok(())
}
