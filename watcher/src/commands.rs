//! What `postern-watcher` does without a daemon: check, replay, report, match.

mod detect;
mod import;
mod lines;
mod report;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use indicatif::{HumanFloatCount, ProgressBar, ProgressStyle};
use settings::{Mistake, Mistakes};
use tracing_subscriber::EnvFilter;

use crate::config::Config;
use crate::filter::{self, Failure, Proof};
use crate::quota::Quota;
use crate::replay::{self, Progress};

pub use detect::Detect;
pub use import::ImportFail2ban;
pub use lines::Match;
pub use report::Report;

/// Diagnostics go to standard error; `RUST_LOG` says how much. The journal stamps what it is given: a second stamp inside
/// a line would make a second line of it for whoever reads the journal as we do.
pub fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colours)
        .with_target(false);
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        subscriber.without_time().init();
    } else {
        subscriber.init();
    }
}

/// Loads everything, proves every filter by its samples, and starts nothing.
///
/// # Errors
/// Every mistake, or every sample that means something else than it must.
pub fn check(file: Option<&Path>) -> anyhow::Result<()> {
    let config = Config::load(file)?;
    let mut mistakes = Mistakes::new();
    let (mut rules, mut samples) = (0, 0);
    for filter in config.filters.iter() {
        let Proof { failures, gaps } = filter::prove(filter);
        mistakes.extend(failures.into_iter().map(mistake));
        rules += filter.rules.len();
        samples += filter.samples.len();
        for gap in gaps {
            writeln!(io::stderr(), "warning: {gap}")?;
        }
    }
    mistakes.into_result(())?;
    if config.sources.is_empty() {
        tell_usual_sources()?;
    }
    let (jails, filters) = (config.jails.iter().count(), config.filters.names().len());
    let imported = match config.sources.iter().map(|source| source.fail2ban.len()).sum() {
        0 => String::new(),
        count => format!("; {count} filters of fail2ban"),
    };
    writeln!(
        io::stdout(),
        "the configuration is right: {jails} jails, {filters} filters, {rules} rules proven by {samples} samples{imported}"
    )?;
    Ok(())
}

/// What `run` would read.
fn tell_usual_sources() -> io::Result<()> {
    let found = detect::detect_here();
    let mut out = io::stdout().lock();
    if found.taken.is_empty() {
        writeln!(out, "no source is named, and no log of a mail server was found on this machine")?;
    }
    for taken in found.taken {
        writeln!(out, "no source is named; {} would be read: {}", taken.origin, taken.why)?;
    }
    Ok(())
}

fn mistake(Failure { file, place, message }: Failure) -> Mistake {
    Mistake { file, line: place.line, column: place.column, message }
}

/// How a result is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a person.
    Text,
    /// For a program.
    Json,
    /// A page for a browser.
    Html,
}

/// `replay`: who would have been banned by old logs.
#[derive(Debug, clap::Args)]
pub struct Replay {
    /// The configuration; /etc/postern/watcher.toml where it exists, the defaults where not.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A budget of a blocklist: so many queries of this zone a day.
    #[arg(long = "quota", value_name = "ZONE=N", value_parser = quota)]
    quotas: Vec<(String, u64)>,
    /// Another configuration: ban by ban, what it would do differently.
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// How the result is told.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Logs, in any order: plain or compressed files (gzip, xz, zstd, bzip2), multilog directories, directories of these.
    #[arg(required = true, value_name = "LOG")]
    logs: Vec<PathBuf>,
}

impl Replay {
    /// Does it.
    ///
    /// # Errors
    /// The configuration is wrong, or a log cannot be read.
    pub fn run(self) -> anyhow::Result<()> {
        let config = self.load(self.config.as_deref())?;
        // Both are read before the first log is: a mistake is told at once.
        let other = self.compare.as_deref().map(|file| self.load(Some(file))).transpose()?;
        let bar = bar();
        let mut replay =
            |config: &Config| replay::replay(config, &self.logs, &mut |progress| show(&bar, progress));
        let outcome = replay(&config)?;
        let other = other.as_ref().map(&mut replay).transpose()?;
        bar.finish_and_clear();
        let difference = other.map(|other| replay::Difference::of(&outcome, &other));
        let mut out = io::stdout().lock();
        match (self.format, &difference) {
            (Format::Text, None) => write!(out, "{}", replay::text(&outcome))?,
            (Format::Text, Some(difference)) => write!(out, "{}", difference.text())?,
            (Format::Json, None) => writeln!(out, "{:#}", replay::json(&outcome))?,
            (Format::Json, Some(difference)) => {
                let mut told = replay::json(&outcome);
                if let Some(keys) = told.as_object_mut() {
                    keys.insert("compare".to_owned(), difference.json());
                }
                writeln!(out, "{told:#}")?;
            }
            (Format::Html, difference) => write!(out, "{}", replay::html(&outcome, difference.as_ref()))?,
        }
        Ok(())
    }

    /// A configuration, with the budgets that were typed.
    fn load(&self, file: Option<&Path>) -> anyhow::Result<Config> {
        let mut config = Config::load(file)?;
        for (zone, limit) in &self.quotas {
            match config.quotas.iter_mut().find(|quota| quota.zone == *zone) {
                Some(quota) => quota.limit = *limit,
                None => config.quotas.push(Quota::daily(zone, *limit)),
            }
        }
        Ok(config)
    }
}

fn quota(text: &str) -> Result<(String, u64), String> {
    let (zone, limit) = text.split_once('=').ok_or("a budget is ZONE=N")?;
    let limit = limit.replace('_', "").parse().map_err(|_| "the budget is no whole number")?;
    Ok((zone.to_ascii_lowercase(), limit))
}

/// How far a long replay has come; on a terminal only, and not where `NO_COLOR` asks for plain text.
fn bar() -> ProgressBar {
    if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("[{bar:40}] {bytes} of {total_bytes}, {msg}, {eta} to go");
    let style = style.expect("the template is a constant, and well formed");
    ProgressBar::new(0).with_style(style)
}

fn show(bar: &ProgressBar, progress: Progress) {
    if bar.is_hidden() {
        return;
    }
    bar.set_length(progress.total_bytes);
    let seconds = bar.elapsed().as_secs_f64();
    if seconds > 0.0 {
        #[expect(clippy::cast_precision_loss, reason = "a speed is read by a person, to two digits")]
        let speed = progress.lines as f64 / seconds;
        bar.set_message(format!("{} lines/s", HumanFloatCount(speed.round())));
    }
    bar.set_position(progress.done_bytes);
}
