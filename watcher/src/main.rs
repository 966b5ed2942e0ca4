//! `postern-watcher`: the daemon, and what can be asked of its engine without one.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use settings::Mistakes;
use watcher::config::Config;
use watcher::{commands, run};

/// Reads mail logs, counts offences by the rules of its jails, and bans offenders in the kernel.
#[derive(Parser)]
#[command(name = "postern-watcher", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The daemon: SIGHUP reads the configuration again, SIGTERM ends it.
    Run(Configured),
    /// Loads everything, proves every filter by its samples, and starts nothing.
    Check(Configured),
    /// Which logs of this machine are read where no source is named, and why; what it prints can be appended to
    /// watcher.toml.
    Detect(commands::Detect),
    /// Who would have been banned by old logs, when and why.
    Replay(commands::Replay),
    /// What old logs tell of a mail server: its flow, what is refused and why, what each blocklist is worth.
    Report(commands::Report),
    /// Carries out the hooks of a watcher that runs, which starts it.
    #[command(hide = true)]
    Hooks,
    /// What each line means.
    Match(commands::Match),
    /// The jails and filters of a fail2ban installation, as configuration of this.
    #[command(name = "import-fail2ban")]
    ImportFail2ban(commands::ImportFail2ban),
    /// Completions for a shell.
    #[command(hide = true)]
    Completions {
        /// Which.
        shell: manual::Shell,
    },
    /// The manual page.
    #[command(hide = true)]
    Man,
}

#[derive(clap::Args)]
struct Configured {
    /// The configuration; /etc/postern/watcher.toml where it exists, the defaults where not.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The configuration is wrong (sysexits.h: EX_CONFIG).
const CONFIG: u8 = 78;

const EXIT_STATUS: &str =
    "0 yes, or done; 1 asked, and the answer is no; 2 it could not be done; 78 the configuration is wrong.";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Command::Run(Configured { config: file }) => {
            commands::log_to_stderr();
            Config::load(file.as_deref())
                .map_err(Into::into)
                .and_then(|config| run::run(file.as_deref(), config))
        }
        Command::Check(Configured { config }) => commands::check(config.as_deref()),
        Command::Detect(detect) => match detect.run() {
            // Asked, and there is none.
            Ok(false) => return ExitCode::FAILURE,
            found => found.map(drop),
        },
        Command::Hooks => {
            commands::log_to_stderr();
            watcher::hooks::run()
        }
        Command::Replay(replay) => replay.run(),
        Command::Report(report) => report.run(),
        Command::Match(lines) => lines.run(),
        Command::ImportFail2ban(import) => import.run(),
        Command::Completions { shell } => print(&manual::completions(Arguments::command(), shell)),
        Command::Man => {
            manual::page(Arguments::command(), EXIT_STATUS).map_err(Into::into).and_then(|page| print(&page))
        }
    };
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    let mut stderr = std::io::stderr();
    if let Some(mistakes) = error.downcast_ref::<Mistakes>() {
        // Nobody can be told that standard error is closed.
        let _ = writeln!(stderr, "{mistakes}");
        return ExitCode::from(CONFIG);
    }
    let _ = writeln!(stderr, "postern-watcher: {error:#}");
    ExitCode::from(2)
}

fn print(text: &[u8]) -> anyhow::Result<()> {
    Ok(std::io::stdout().write_all(text)?)
}
