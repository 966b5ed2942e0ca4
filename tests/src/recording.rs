//! A botnet against the real mail server, watched by the real watcher, with all that was logged and who was banned.
//!
//! The mail server's standard output goes through the real multilog, and the watcher follows its directory while it is
//! rotated: as on a qmail host.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Stdio};

use anyhow::{Context as _, Result, ensure};
use logline::Timestamp;

use crate::banctl::{Answer, Ban};
use crate::network::{SERVER, SERVER6};
use crate::process::{Running, bound, ours};
use crate::site::{SMTPD, Site, healthy};
use crate::wait;

/// The log, as multilog's directory and as one file, and who was banned.
#[derive(Debug)]
pub struct Recording {
    /// multilog's directory, from which nobody reads or writes any more.
    pub directory: PathBuf,
    /// All its lines, the oldest first.
    pub log: Vec<u8>,
    /// What the live watcher listed at the end.
    pub bans: BTreeSet<Ban>,
    /// What became of each client, as it says itself.
    pub clients: String,
}

/// multilog closes a file when it has so many bytes: small enough that this log is rotated many times.
const FILE_BYTES: &str = "s16384";
/// And keeps so many: all of them.
const FILES: &str = "n200";

/// Plays the botnet of this seed on a host where nothing runs yet.
///
/// # Errors
/// Something does not start or does not end, or the watcher missed a line.
pub fn record(site: &Site, seed: u64) -> Result<Recording> {
    let directory = site.path("smtpd");
    site.change("smtpd.toml", "file = \"smtpd.log\"", "")?;
    site.change("watcher.toml", "smtpd.log", "smtpd")?;
    site.add_users()?;
    let (multilog, stdin) = multilog(&directory)?;
    let mut smtpd = start(site, stdin)?;
    healthy(&mut smtpd, SMTPD)?;
    let watcher = site.start_watcher()?;

    let mut botnet = site.network.client("python3");
    botnet.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/botnet.py"));
    let clients = Answer::of(botnet.args([SERVER, SERVER6, &seed.to_string()]))?.yes()?.said;
    swaks(site)?;

    // The end of a session is logged after its client has gone; the last word is the server's own.
    smtpd.stop()?;
    let mut multilog = multilog;
    ensure!(multilog.ended()?.success(), "multilog: {}", multilog.said());
    let log = read(&directory)?;
    await_read(site, &log)?;
    let bans = site.bans()?;
    watcher.stop()?;
    Ok(Recording { directory, log, bans, clients })
}

/// Another client than Python's: a mail from a stranger, and a login that fails.
fn swaks(site: &Site) -> Result<()> {
    let client = |options: &[&str]| {
        let mut swaks = site.network.client("swaks");
        swaks.args([
            "--server",
            SERVER,
            "--local-interface",
            "198.51.100.254",
            "--helo",
            "client.example.net",
        ]);
        Answer::of(swaks.args(["--to", "alice@example.org", "--from", "carol@example.net"]).args(options))
    };
    client(&[])?.yes()?;
    let refused = client(&["--port", "587", "--tls", "--auth-user", "alice", "--auth-password", "wrong"])?;
    ensure!(refused.code != 0, "swaks has logged in with a wrong password");
    Ok(())
}

fn multilog(directory: &Path) -> Result<(Running, ChildStdin)> {
    let mut command = bound("multilog");
    command.args(["t", FILE_BYTES, FILES]).arg(directory);
    Running::fed(&mut command, &directory.with_extension("err"))
}

fn start(site: &Site, log: ChildStdin) -> Result<Running> {
    let mut command = bound(ours("postern-smtpd")?);
    command.args(["run", "--config"]).arg(site.path("smtpd.toml"));
    Running::start_with(&mut command, Stdio::from(log), &site.path("smtpd.err"))
}

/// All lines of a multilog directory: the closed files in the order of their stamps, then the current one.
///
/// # Errors
/// It cannot be read.
pub fn read(directory: &Path) -> Result<Vec<u8>> {
    let mut log = Vec::new();
    for file in files(directory)? {
        log.extend(fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?);
    }
    Ok(log)
}

/// The files of a multilog directory that hold lines, the oldest first.
///
/// # Errors
/// It cannot be read.
pub fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let names = fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<Result<BTreeSet<_>>>()?;
    let closed =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('@'));
    let mut files: Vec<PathBuf> = names.into_iter().filter(closed).collect();
    files.push(directory.join("current"));
    Ok(files)
}

/// Waits until the watcher has read the last of these lines.
fn await_read(site: &Site, log: &[u8]) -> Result<()> {
    let log = String::from_utf8_lossy(log);
    let last = log.lines().last().and_then(|line| line.split(' ').next()).context("an empty log")?;
    let written = Timestamp::parse_tai64n(last.as_bytes()).context("the stamp of the last line")?;
    let read = || site.last_read().is_ok_and(|read| read >= i128::from(written.nanos()));
    wait::until_true("the watcher to read the whole log", read)
}
