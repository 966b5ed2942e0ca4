//! Old logs as they lie about: compressed by the programs that compress logs, in parts, in directories.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use e2e::banctl::{Answer, Ban};
use e2e::process::{bound, done, ours};
use tempfile::TempDir;

/// Who compresses, and what the file is called then.
const COMPRESSORS: [(&str, &str); 4] = [("gzip", "gz"), ("xz", "xz"), ("zstd", "zst"), ("bzip2", "bz2")];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/botnet").join(name)
}

fn watcher(words: &[&str], log: &Path) -> Result<Answer> {
    Answer::of(bound(ours("postern-watcher")?).args(words).arg(log))
}

fn bans(log: &Path) -> Result<BTreeSet<Ban>> {
    let config = fixture("watcher.toml");
    let config = config.to_str().context("a path of this repository")?;
    Ban::list(&watcher(&["replay", "--format", "json", "--config", config], log)?.yes()?.json()?)
}

/// So many lines of the recorded log, and what each means.
fn beginning(directory: &TempDir) -> Result<(String, String)> {
    let text = std::fs::read_to_string(fixture("smtpd.log"))?;
    let text: String = text.split_inclusive('\n').take(200).collect();
    let path = directory.path().join("plain");
    std::fs::write(&path, &text)?;
    Ok((text, watcher(&["match", "--json"], &path)?.yes()?.said))
}

fn recorded() -> Result<BTreeSet<Ban>> {
    Ban::list(&serde_json::from_str(&std::fs::read_to_string(fixture("bans.json"))?)?)
}

/// Writes a log and compresses it.
fn compressed(directory: &TempDir, name: &str, text: &[u8], program: &str, suffix: &str) -> Result<PathBuf> {
    let path = directory.path().join(name);
    std::fs::write(&path, text)?;
    done(bound(program).arg("-q").arg(&path))?;
    // zstd keeps what it has read.
    let _ = std::fs::remove_file(&path);
    Ok(directory.path().join(format!("{name}.{suffix}")))
}

#[test]
fn a_compressed_log_is_read_as_the_log_it_was() {
    let check = || {
        let directory = tempfile::tempdir()?;
        let (text, means) = beginning(&directory)?;
        let whole = std::fs::read(fixture("smtpd.log"))?;
        for (program, suffix) in COMPRESSORS {
            let log = compressed(&directory, "whole", &whole, program, suffix)?;
            assert_eq!(bans(&log)?, recorded()?, "{program}");
            let log = compressed(&directory, program, text.as_bytes(), program, suffix)?;
            assert_eq!(watcher(&["match", "--json"], &log)?.yes()?.said, means, "{program}");
        }
        anyhow::Ok(())
    };
    check().unwrap();
}

#[test]
fn standard_input_may_be_compressed_too() {
    let check = || {
        let directory = tempfile::tempdir()?;
        let (text, means) = beginning(&directory)?;
        for (program, suffix) in COMPRESSORS {
            let log = compressed(&directory, program, text.as_bytes(), program, suffix)?;
            let mut command = bound(ours("postern-watcher")?);
            let output = command.args(["match", "--json", "-"]).stdin(std::fs::File::open(log)?).output()?;
            assert_eq!(String::from_utf8_lossy(&output.stdout), means, "{program}");
        }
        anyhow::Ok(())
    };
    check().unwrap();
}

#[test]
fn a_directory_of_rotated_logs_is_read_in_the_order_of_time() {
    let check = || {
        let directory = tempfile::tempdir()?;
        let text = std::fs::read_to_string(fixture("smtpd.log"))?;
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let quarter = lines.len() / 4;
        let part = |number: usize| {
            let end = if number == 3 { lines.len() } else { (number + 1) * quarter };
            lines.get(number * quarter..end).map(<[&str]>::concat).unwrap_or_default()
        };
        // The names are in another order than the times.
        compressed(&directory, "smtpd.log.3", part(0).as_bytes(), "gzip", "gz")?;
        compressed(&directory, "smtpd.log.2", part(1).as_bytes(), "zstd", "zst")?;
        compressed(&directory, "smtpd.log.1", part(2).as_bytes(), "xz", "xz")?;
        std::fs::write(directory.path().join("smtpd.log"), part(3))?;
        assert_eq!(bans(directory.path())?, recorded()?);
        anyhow::Ok(())
    };
    check().unwrap();
}

#[test]
fn a_directory_without_a_log_is_an_error_that_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let answer = watcher(&["replay"], directory.path()).unwrap().is(2).unwrap();
    assert!(answer.cried.contains("there is no log in this directory"), "{}", answer.cried);
}

/// What `replay` writes to a terminal that it believes to have.
fn on_a_terminal(log: &Path, environment: &str) -> Result<String> {
    let watcher = ours("postern-watcher")?;
    let line = format!("{environment} {} replay {}", watcher.display(), log.display());
    done(bound("script").env("TERM", "xterm").args(["--quiet", "--return", "--command", &line, "/dev/null"]))
}

#[test]
fn a_long_replay_shows_how_far_it_is_on_a_terminal_alone() {
    let check = || {
        let directory = tempfile::tempdir()?;
        let log = directory.path().join("long.log");
        std::fs::write(&log, "# nothing\n".repeat(20_000))?;
        let said = on_a_terminal(&log, "env -u NO_COLOR")?;
        assert!(said.contains("lines/s") && said.contains("to go"), "{said:?}");
        let said = on_a_terminal(&log, "NO_COLOR=1")?;
        assert!(!said.contains("lines/s") && said.contains("bans"), "{said:?}");
        let answer = watcher(&["replay"], &log)?.yes()?;
        assert_eq!(answer.cried, "");
        assert!(!answer.said.contains("lines/s"));
        anyhow::Ok(())
    };
    check().unwrap();
}
