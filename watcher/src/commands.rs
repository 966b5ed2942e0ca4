//! What `postern-watcher` does without a daemon: check, replay, match.

mod lines;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use indicatif::{HumanFloatCount, ProgressBar, ProgressStyle};
use settings::{Mistake, Mistakes};
use tracing_subscriber::EnvFilter;

use crate::config::Config;
use crate::filter::{self, Failure, Proof};
use crate::replay::{self, Progress};

pub use lines::Match;

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
    let (jails, filters) = (config.jails.iter().count(), config.filters.names().len());
    writeln!(
        io::stdout(),
        "the configuration is right: {jails} jails, {filters} filters, {rules} rules proven by {samples} samples"
    )?;
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
    /// Logs, in any order: plain or compressed files (gzip, xz, zstd, bzip2), multilog directories.
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
        let bar = bar();
        let outcome = replay::replay(&config, &self.logs, &mut |progress| show(&bar, progress))?;
        bar.finish_and_clear();
        let mut out = io::stdout().lock();
        match self.format {
            Format::Text => write!(out, "{}", replay::text(&outcome))?,
            Format::Json => writeln!(out, "{:#}", replay::json(&outcome))?,
        }
        Ok(())
    }
}

/// How far a long replay has come; on a terminal only.
fn bar() -> ProgressBar {
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
