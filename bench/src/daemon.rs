//! The real `postern-watcher run`, and what the kernel says it costs.

use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use e2e::banctl::Answer;
use e2e::process::{Running, bound, ours};
use rustix::time::{ClockId, clock_gettime};
use serde_json::Value;
use tempfile::TempDir;

/// No start takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A watcher with its files in a directory that goes with this value.
#[derive(Debug)]
pub struct Daemon {
    running: Running,
    directory: TempDir,
    /// From its exec to its word that all bans are in force.
    pub started_in: Duration,
}

/// What a thread had used up at some time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    /// Time on a processor.
    pub cpu: Duration,
    /// How often it was put on one.
    pub switches: u64,
}

/// What all threads had used up, by name.
#[derive(Clone, Debug)]
pub struct Usage {
    at: Instant,
    threads: BTreeMap<String, Used>,
}

/// What they used between two times.
#[derive(Clone, Debug)]
pub struct Share {
    /// By thread: hundredths of a core, and switches a second.
    pub threads: BTreeMap<String, (f64, f64)>,
}

impl Daemon {
    /// A watcher that follows what `pattern` names, and is ready.
    ///
    /// # Errors
    /// It is not built, or does not start.
    pub fn start(pattern: &Path) -> Result<Daemon> {
        Daemon::start_over(pattern, "", |_| Ok(()))
    }

    /// The same with these settings besides, in a directory that was made ready before.
    ///
    /// # Errors
    /// It is not built, does not start, or the directory cannot be made ready.
    pub fn start_over(
        pattern: &Path,
        settings: &str,
        prepare: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Daemon> {
        let directory = tempfile::tempdir()?;
        let path = |name: &str| directory.path().join(name);
        let config = format!(
            "database = \"watcher.db\"\nsocket = \"watcher.sock\"\n{settings}\n[[source]]\nfile = \"{}\"\n",
            pattern.display()
        );
        std::fs::write(path("watcher.toml"), config)?;
        prepare(directory.path())?;
        let ready = UnixDatagram::bind(path("ready"))?;
        ready.set_read_timeout(Some(PATIENCE))?;
        let mut command = bound(ours("postern-watcher")?);
        command.args(["run", "--config"]).arg(path("watcher.toml")).env("NOTIFY_SOCKET", path("ready"));
        let start = Instant::now();
        let running = Running::start(&mut command, &path("watcher.err"))?;
        let mut word = [0; 64];
        let length =
            ready.recv(&mut word).with_context(|| format!("it does not start: {}", running.said()))?;
        let started_in = start.elapsed();
        ensure!(word.get(..length).is_some_and(|word| word.starts_with(b"READY=1")), "another word");
        Ok(Daemon { running, directory, started_in })
    }

    /// Its database.
    pub fn database(&self) -> std::path::PathBuf {
        self.directory.path().join("watcher.db")
    }

    /// How long the thread that reads and bans had a processor.
    ///
    /// # Errors
    /// It has ended.
    pub fn main_thread(&self) -> Result<Duration> {
        let id = self.running.id();
        let times = std::fs::read_to_string(format!("/proc/{id}/task/{id}/schedstat"))?;
        Ok(Duration::from_nanos(times.split(' ').next().context("schedstat")?.parse()?))
    }

    /// How many lines it has read.
    ///
    /// # Errors
    /// It does not answer.
    pub fn lines(&self) -> Result<u64> {
        self.status()?.pointer("/sources/0/lines").and_then(Value::as_u64).context("no count of lines")
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// It does not answer.
    pub fn status(&self) -> Result<Value> {
        Answer::of(self.banctl()?.args(["status", "--json"]))?.yes()?.json()
    }

    /// `banctl`, which asks it.
    ///
    /// # Errors
    /// It is not built.
    pub fn banctl(&self) -> Result<Command> {
        let mut command = Command::new(ours("banctl")?);
        command.arg("--socket").arg(self.directory.path().join("watcher.sock"));
        Ok(command)
    }

    /// The most memory that it ever had, in megabytes.
    ///
    /// # Errors
    /// It has ended.
    pub fn peak_megabytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.running.id()))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
        let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes / 1024)
    }

    /// What it has used up.
    ///
    /// # Errors
    /// It has ended.
    pub fn usage(&self) -> Result<Usage> {
        let at = Instant::now();
        let mut threads: BTreeMap<String, Used> = BTreeMap::new();
        for task in std::fs::read_dir(format!("/proc/{}/task", self.running.id()))? {
            let task = task?.path();
            let read = |name: &str| std::fs::read_to_string(task.join(name));
            let cpu_ns = read("schedstat")?.split(' ').next().context("schedstat")?.parse()?;
            let status = read("status")?;
            let switches = status
                .lines()
                .filter_map(|line| line.split_once("ctxt_switches:")?.1.trim().parse::<u64>().ok());
            let used = threads.entry(read("comm")?.trim().to_owned()).or_default();
            used.cpu += Duration::from_nanos(cpu_ns);
            used.switches += switches.sum::<u64>();
        }
        Ok(Usage { at, threads })
    }
}

/// How long this thread was on a processor: on a shared machine that says more than how long it took.
///
/// # Errors
/// The kernel does not tell.
pub fn used() -> Result<Duration> {
    Ok(Duration::try_from(clock_gettime(ClockId::ThreadCPUTime))?)
}

impl Usage {
    /// What was used from then until now.
    pub fn since(&self, before: &Usage) -> Share {
        let seconds = (self.at - before.at).as_secs_f64();
        let share = |(name, used): (&String, &Used)| {
            let old = before.threads.get(name).copied().unwrap_or_default();
            let cpu = used.cpu.saturating_sub(old.cpu).as_secs_f64() / seconds * 100.0;
            (name.clone(), (cpu, used.switches.saturating_sub(old.switches) as f64 / seconds))
        };
        Share { threads: self.threads.iter().map(share).collect() }
    }
}

impl Share {
    /// All threads together.
    pub fn total(&self) -> (f64, f64) {
        self.threads.values().fold((0.0, 0.0), |(cpu, switches), used| (cpu + used.0, switches + used.1))
    }
}
