//! A mail server's host, with everything on it: two configurations, the daemons, a firewall.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use logline::Timestamp;
use tempfile::TempDir;

use crate::banctl::{Answer, Ban};
use crate::http;
use crate::network::{Network, SERVER, SERVER6};
use crate::process::{Running, bound, ours};
use crate::wait;

/// Where the watcher's metrics and health are.
pub const WATCHER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9826);
/// Where the mail server's are.
pub const SMTPD: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9825);

/// Who has a mailbox, and with which password.
pub const USERS: [(&str, &str); 2] = [("alice", "correct horse"), ("bob", "battery staple")];

/// Passwords that nobody has.
pub const WRONG: [&str; 6] = ["123456", "password", "qwerty", "letmein", "dragon", "iloveyou"];

/// One host and the other, with all files in a directory that goes with this value.
#[derive(Debug)]
pub struct Site {
    directory: TempDir,
    /// The clients' host.
    pub network: Network,
}

impl Site {
    /// Lays the network and writes both configurations; starts nothing.
    ///
    /// # Errors
    /// This process is not inside a namespace of its own, or something is not installed.
    pub fn new() -> Result<Site> {
        let directory = tempfile::Builder::new().prefix("postern-").tempdir()?;
        let network = Network::lay(directory.path())?;
        let site = Site { directory, network };
        site.write("smtpd.toml", &smtpd_toml())?;
        site.write("watcher.toml", WATCHER_TOML)?;
        Ok(site)
    }

    /// A new host with both daemons ready.
    ///
    /// # Errors
    /// One of them does not start.
    pub fn running() -> Result<(Site, Running, Running)> {
        let site = Site::new()?;
        let smtpd = site.start_smtpd()?;
        let watcher = site.start_watcher()?;
        Ok((site, smtpd, watcher))
    }

    /// A file of this host.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file of this host, and the directories above it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path(name);
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Appends lines to a file of this host, as a program that logs does.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn append(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut file = std::fs::File::options().create(true).append(true).open(self.path(name))?;
        Ok(file.write_all(bytes)?)
    }

    /// Replaces a piece of a file of this host.
    ///
    /// # Errors
    /// The piece is not there.
    pub fn change(&self, name: &str, from: &str, to: &str) -> Result<()> {
        let text = std::fs::read_to_string(self.path(name))?;
        ensure!(text.contains(from), "no {from:?} in {name}:\n{text}");
        self.write(name, &text.replacen(from, to, 1))
    }

    /// Starts the mail server with its users, and waits until it is ready.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_smtpd(&self) -> Result<Running> {
        self.add_users()?;
        let mut command = bound(ours("postern-smtpd")?);
        command.args(["run", "--config"]).arg(self.path("smtpd.toml"));
        let mut smtpd = Running::start(&mut command, &self.path("smtpd.err"))?;
        healthy(&mut smtpd, SMTPD)?;
        Ok(smtpd)
    }

    /// Starts the watcher, and waits until it is ready.
    ///
    /// # Errors
    /// It does not start.
    pub fn start_watcher(&self) -> Result<Running> {
        let mut watcher = self.launch_watcher(&[])?;
        healthy(&mut watcher, WATCHER)?;
        Ok(watcher)
    }

    /// Starts the watcher with a pipe as its standard input, and waits until it is ready.
    ///
    /// # Errors
    /// It does not start.
    pub fn feed_watcher(&self) -> Result<(Running, std::process::ChildStdin)> {
        let mut command = bound(ours("postern-watcher")?);
        command.args(["run", "--config"]).arg(self.path("watcher.toml"));
        let (mut watcher, stdin) = Running::fed(&mut command, &self.path("watcher.err"))?;
        healthy(&mut watcher, WATCHER)?;
        Ok((watcher, stdin))
    }

    /// Starts the watcher through setpriv with these options, and does not wait.
    ///
    /// # Errors
    /// It cannot be run.
    pub fn launch_watcher(&self, setpriv: &[&str]) -> Result<Running> {
        let mut command = bound("setpriv");
        command.args(setpriv).arg("--").arg(ours("postern-watcher")?);
        command.args(["run", "--config"]).arg(self.path("watcher.toml"));
        Running::start(&mut command, &self.path("watcher.err"))
    }

    /// Gives every user of [`USERS`] a mailbox and a password, as the administrator does it.
    ///
    /// # Errors
    /// The command says no.
    pub fn add_users(&self) -> Result<()> {
        for (name, password) in USERS {
            let mut command = bound(ours("postern-smtpd")?);
            command.args(["user", "add", "--config"]).arg(self.path("smtpd.toml")).arg(name);
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn()?;
            writeln!(child.stdin.take().context("a pipe to it")?, "{password}")?;
            let output = child.wait_with_output()?;
            ensure!(output.status.success(), "user add: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// What `banctl` answers to these words.
    ///
    /// # Errors
    /// It cannot be run.
    pub fn banctl(&self, words: &str) -> Result<Answer> {
        let mut command = bound(ours("banctl")?);
        command.arg("--socket").arg(self.path("watcher.sock")).args(words.split_whitespace());
        Answer::of(&mut command)
    }

    /// What `postern-watcher` answers to these words.
    ///
    /// # Errors
    /// It cannot be run.
    pub fn watcher(&self, words: &str) -> Result<Answer> {
        let mut command = bound(ours("postern-watcher")?);
        Answer::of(command.current_dir(self.directory.path()).args(words.split_whitespace()))
    }

    /// The bans in force, as the watcher lists them.
    ///
    /// # Errors
    /// It does not answer.
    pub fn bans(&self) -> Result<BTreeSet<Ban>> {
        Ban::list(&self.banctl("list --json")?.yes()?.json()?)
    }

    /// Who is banned, as the watcher lists them.
    ///
    /// # Errors
    /// It does not answer.
    pub fn banned(&self) -> Result<BTreeSet<String>> {
        Ok(self.bans()?.into_iter().map(|ban| ban.subject).collect())
    }

    /// Waits until somebody is banned.
    ///
    /// # Errors
    /// He never is.
    pub fn await_ban(&self, subject: &str) -> Result<()> {
        wait::until_true(&format!("a ban of {subject}"), || {
            self.banned().is_ok_and(|banned| banned.contains(subject))
        })
    }

    /// Waits until the watcher has read the line that is the log's last now.
    ///
    /// # Errors
    /// It never has.
    pub fn await_read(&self) -> Result<()> {
        let log = self.log()?;
        let (last, _) =
            log.trim_end().rsplit('\n').next().and_then(|line| line.split_once(' ')).context("a stamp")?;
        let written = Timestamp::parse_tai64n(last.as_bytes()).context("the stamp of the last line")?;
        wait::until_true("the watcher to read the whole log", || {
            self.last_read().is_ok_and(|read| read >= i128::from(written.nanos()))
        })
    }

    /// The stamp of the line that the watcher read last.
    ///
    /// # Errors
    /// It has read none.
    pub(crate) fn last_read(&self) -> Result<i128> {
        let status = self.banctl("status --json")?.json()?;
        let last =
            status.pointer("/sources/0/last").and_then(serde_json::Value::as_str).context("no line yet")?;
        Ok(last.parse::<jiff::Timestamp>()?.as_nanosecond())
    }

    /// The mail server's log.
    ///
    /// # Errors
    /// There is none.
    pub fn log(&self) -> Result<String> {
        std::fs::read_to_string(self.path("smtpd.log")).context("the log of smtpd")
    }

    /// Every message in the mailbox of a user: its file, and its text.
    ///
    /// # Errors
    /// The mailbox cannot be read.
    pub fn mails(&self, user: &str) -> Result<Vec<(PathBuf, String)>> {
        let new = self.path("mail/example.org").join(user).join("new");
        if !new.exists() {
            return Ok(Vec::new());
        }
        let mail = |entry: std::io::Result<std::fs::DirEntry>| {
            let path = entry?.path();
            let text = std::fs::read_to_string(&path)?;
            Ok((path, text))
        };
        std::fs::read_dir(new)?.map(mail).collect()
    }

    /// Where everything lies.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// Waits until a daemon says that it is well.
pub(crate) fn healthy(daemon: &mut Running, address: SocketAddr) -> Result<()> {
    wait::until("a daemon to be ready", || match http::get(address, "/healthz") {
        Ok((200, _)) => Some(true),
        Ok(_) | Err(_) if daemon.is_running() => None,
        Ok(_) | Err(_) => Some(false),
    })?
    .then_some(())
    .with_context(|| format!("it ended by itself:\n{}", daemon.said()))
}

fn smtpd_toml() -> String {
    let listener = |address: &str, service: &str| {
        format!("[[listen]]\naddress = \"{address}\"\nservice = \"{service}\"\n")
    };
    [
        SMTPD_TOML.to_owned(),
        listener(&format!("{SERVER}:25"), "smtp"),
        listener(&format!("[{SERVER6}]:25"), "smtp"),
        listener(&format!("{SERVER}:587"), "submission"),
        listener(&format!("[{SERVER6}]:587"), "submission"),
    ]
    .concat()
}

const SMTPD_TOML: &str = r#"
hostname = "mx.example.org"
domains  = ["example.org"]
state    = "state"
users    = "users"
maildirs = "mail"
metrics  = "127.0.0.1:9825"
[tls]
self_signed = true
[log]
file = "smtpd.log"
"#;

const WATCHER_TOML: &str = r#"
firewall = "nftables"
database = "watcher.db"
socket   = "watcher.sock"
listen   = "127.0.0.1:9826"
[[source]]
file = "smtpd.log"
"#;
