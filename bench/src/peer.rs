//! Debian's fail2ban beside ours: the same lines, its own filter for sshd, its own action for nftables, in the same network
//! namespace.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use e2e::process::{Running, bound, done};
use e2e::wait;
use serde_json::Value;
use tempfile::TempDir;

/// Where Debian puts its filters and actions.
const INSTALLED: &str = "/etc/fail2ban";

/// A jail like those that are measured here: the first failure is one too many.
const JAIL: &str = "[DEFAULT]\nbackend = pyinotify\nusedns = no\nbanaction = nftables[type=allports]\n\
    [bench]\nenabled = true\nfilter = sshd\nmaxretry = 1\nfindtime = 3600\nbantime = 86400\n\
    action = nftables[type=allports, name=bench, protocol=\"tcp,udp\"]\n";

/// A fail2ban that follows a log.
#[derive(Debug)]
pub struct Peer {
    running: Option<Running>,
    directory: TempDir,
}

impl Peer {
    /// A fail2ban that follows this log, and is ready.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub fn start(log: &Path) -> Result<Peer> {
        let directory = tempfile::tempdir()?;
        let path = |name: &str| directory.path().join(name);
        for part in ["filter.d", "action.d"] {
            std::os::unix::fs::symlink(Path::new(INSTALLED).join(part), path(part))?;
        }
        let files = ["fail2ban.log", "fail2ban.sock", "fail2ban.pid", "fail2ban.sqlite3"].map(path);
        let [target, socket, pid, database] = files.each_ref().map(|file| file.display());
        std::fs::write(
            directory.path().join("fail2ban.conf"),
            format!(
                "[Definition]\nloglevel = WARNING\nlogtarget = {target}\nsyslogsocket = auto\nsocket = {socket}\n\
                 pidfile = {pid}\ndbfile = {database}\ndbpurgeage = 1d\ndbmaxmatches = 10\n[Thread]\nstacksize = 0\n"
            ),
        )?;
        std::fs::write(directory.path().join("jail.conf"), format!("{JAIL}logpath = {}\n", log.display()))?;
        let mut peer = Peer { running: None, directory };
        peer.run()?;
        Ok(peer)
    }

    /// Starts it again over what it has saved.
    ///
    /// # Errors
    /// It does not end, or does not start.
    pub fn run(&mut self) -> Result<()> {
        let mut command = bound("/usr/bin/fail2ban-server");
        command.args(["-f", "-c"]).arg(self.directory.path());
        self.running = Some(Running::start(&mut command, &self.path("fail2ban.err"))?);
        wait::until_true("fail2ban to answer", || {
            self.ask(&["status", "bench"]).is_ok_and(|answer| answer.contains("Banned IP list"))
        })
    }

    /// Lets it end in its own way, which takes the bans out of the kernel.
    ///
    /// # Errors
    /// It does not end.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(running) = self.running.take() {
            running.stop()?;
        }
        Ok(())
    }

    /// Bans all of these, by its client.
    ///
    /// # Errors
    /// It refuses.
    pub fn ban(&self, addresses: &[String]) -> Result<()> {
        for some in addresses.chunks(500) {
            let mut words = vec!["set", "bench", "banip"];
            words.extend(some.iter().map(String::as_str));
            self.ask(&words)?;
        }
        Ok(())
    }

    /// Looks again and again until the kernel holds so many of its bans, or it takes too long; how many there are.
    ///
    /// # Errors
    /// `nft` is missing.
    pub fn bans_within(&self, wanted: usize, patience: Duration) -> Result<usize> {
        let start = std::time::Instant::now();
        loop {
            let found = in_kernel()?;
            if found >= wanted || start.elapsed() > patience {
                return Ok(found);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn ask(&self, words: &[&str]) -> Result<String> {
        done(bound("/usr/bin/fail2ban-client").arg("-c").arg(self.directory.path()).args(words))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// How many addresses its set holds: none where there is no set yet.
fn in_kernel() -> Result<usize> {
    let output = std::process::Command::new("nft")
        .args(["-j", "list", "set", "inet", "f2b-table", "addr-set-bench"])
        .output()
        .context("nft")?;
    let Ok(listed) = serde_json::from_slice::<Value>(&output.stdout) else { return Ok(0) };
    let sets = listed.pointer("/nftables").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let elements = sets.iter().filter_map(|entry| entry.pointer("/set/elem")?.as_array());
    Ok(elements.map(Vec::len).sum())
}
