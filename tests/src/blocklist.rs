//! A blocklist of our own: a real rbldnsd on the host, which the mail server asks, with a budget that the watcher keeps.

use anyhow::Result;

use crate::process::{Running, bound};
use crate::site::Site;
use crate::wait;

/// The zone's name.
pub const ZONE: &str = "list.example";

/// Where it answers.
const LISTEN: &str = "127.0.0.1:5300";

/// The budget of the day, as the watcher is told it.
const BUDGET: u32 = 30;

/// Answers as long as it lives.
#[derive(Debug)]
pub struct Blocklist {
    _running: Running,
}

impl Blocklist {
    /// Whether this machine has the server for it.
    pub fn is_installed() -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let usual = ["/usr/sbin", "/usr/local/sbin"].map(std::path::PathBuf::from);
        std::env::split_paths(&path).chain(usual).any(|directory| directory.join("rbldnsd").is_file())
    }

    /// Lists these addresses, and has the daemons of a site that does not run yet ask and count.
    ///
    /// # Errors
    /// rbldnsd does not start.
    pub fn start(site: &Site, listed: &[&str]) -> Result<Blocklist> {
        site.write("zone", &format!(":127.0.0.2:Listed\n127.0.0.2\n{}\n", listed.join("\n")))?;
        let mut rbldnsd = bound("unshare");
        // As root it wants another user to become; in a namespace of its own it is one.
        rbldnsd.args([
            "--user",
            "--map-user=1000",
            "--map-group=1000",
            "rbldnsd",
            "-n",
            "-b",
            &LISTEN.replace(':', "/"),
        ]);
        rbldnsd.arg("-w").arg(site.directory()).arg(format!("{ZONE}:ip4set:zone"));
        let running = Running::start(&mut rbldnsd, &site.path("rbldnsd.err"))?;
        wait::until_true("rbldnsd", || running.said().contains("started"))?;
        let asks =
            format!("[[dnsbl]]\nzone = \"{ZONE}\"\nlimit = 1000\n[dns]\nservers = [\"{LISTEN}\"]\n[log]");
        site.change("smtpd.toml", "[log]", &asks)?;
        let counts = format!("[quota.\"{ZONE}\"]\nlimit = {BUDGET}\n[[source]]");
        site.change("watcher.toml", "[[source]]", &counts)?;
        Ok(Blocklist { _running: running })
    }
}
