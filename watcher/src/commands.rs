//! What `postern-watcher` does without a daemon: check, replay, match.

mod lines;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use crate::config::Config;
use crate::filter;
use crate::replay::{self, Progress};

pub use lines::Match;

/// Diagnostics go to standard error; `RUST_LOG` says how much.
pub fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colours)
        .with_target(false)
        .init();
}

/// Loads everything, proves every filter by its samples, and starts nothing.
///
/// # Errors
/// Every mistake, or every sample that means something else than it must.
pub fn check(file: Option<&Path>) -> anyhow::Result<()> {
    let config = Config::load(file)?;
    let mut failures = Vec::new();
    let (mut rules, mut samples) = (0, 0);
    for filter in config.filters.iter() {
        let (failed, idle) = filter::prove(filter);
        failures.extend(failed.iter().map(ToString::to_string));
        rules += filter.rules.len();
        samples += filter.samples.len();
        for rule in idle {
            writeln!(io::stderr(), "warning: filter {}: no sample exercises the rule {rule}", filter.name)?;
        }
    }
    if !failures.is_empty() {
        bail!("{}", failures.join("\n"));
    }
    let (jails, filters) = (config.jails.iter().count(), config.filters.names().len());
    writeln!(
        io::stdout(),
        "the configuration is right: {jails} jails, {filters} filters, {rules} rules proven by {samples} samples"
    )?;
    Ok(())
}

/// How a result is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a person.
    Text,
    /// For a program.
    Json,
}

/// `replay`: who would have been banned by old logs.
#[derive(Debug, clap::Args)]
pub struct Replay {
    /// The configuration; /etc/postern/watcher.toml where it exists, the defaults where not.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How the result is told.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Logs, oldest first: plain files, .gz, multilog directories.
    #[arg(required = true, value_name = "LOG")]
    logs: Vec<PathBuf>,
}

impl Replay {
    /// Does it.
    ///
    /// # Errors
    /// The configuration is wrong, or a log cannot be read.
    pub fn run(self) -> anyhow::Result<()> {
        let config = Config::load(self.config.as_deref())?;
        let mut bar = Bar::new();
        let outcome = replay::replay(&config, &self.logs, &mut |progress| bar.show(progress))?;
        bar.clear();
        let mut out = io::stdout().lock();
        match self.format {
            Format::Text => write!(out, "{}", replay::text(&outcome))?,
            Format::Json => writeln!(out, "{:#}", replay::json(&outcome))?,
        }
        Ok(())
    }
}

/// How far a long replay has come; on a terminal only.
struct Bar {
    shown: Option<std::time::Instant>,
    terminal: bool,
}

/// A person cannot read faster than this.
const BAR_EVERY: std::time::Duration = std::time::Duration::from_millis(200);

impl Bar {
    fn new() -> Self {
        Bar { shown: None, terminal: io::stderr().is_terminal() }
    }

    fn show(&mut self, progress: Progress) {
        if self.terminal && self.shown.is_none_or(|shown| shown.elapsed() > BAR_EVERY) {
            self.shown = Some(std::time::Instant::now());
            // A terminal that went away needs no bar.
            let _ = write!(io::stderr(), "\r{} MB read", progress.read_bytes / 1_000_000);
        }
    }

    fn clear(&self) {
        if self.shown.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
