//! The command `postern-smtpd`.

mod arguments;

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use smtpd::command::{self, Answer, Failure, Look, StdioArguments, Wish};
use smtpd::config::{Config, ConfigError, FILE};
use smtpd::queue::Order;

use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use arguments::{Arguments, Command, QueueCommand, UserCommand, print};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    diagnose_to_stderr();
    match carry_out(arguments) {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::FAILURE,
        Err(failure) => {
            let code = failure.exit_code();
            match failure {
                // Each line begins with its place, so that editors find it.
                Failure::Config(ConfigError::Wrong(_)) | Failure::Users { .. } => eprintln!("{failure}"),
                failure => eprintln!("postern-smtpd: {:#}", anyhow::Error::from(failure)),
            }
            ExitCode::from(code)
        }
    }
}

fn carry_out(arguments: Arguments) -> Result<Answer, Failure> {
    let path = arguments.config.as_deref();
    let config = || Config::read(path.unwrap_or(Path::new(FILE)));
    match arguments.command {
        Command::Run => command::run(path.unwrap_or(Path::new(FILE))),
        Command::Stdio { arguments } => command::stdio(path, &StdioArguments::new(arguments)),
        Command::Word { asked, subjects, lasts } => {
            command::word(&config()?, &Wish { asked: asked.0, subjects, lasts })
        }
        Command::Check => command::check(&config()?),
        Command::Queue(QueueCommand::List { json }) => command::list(&config()?, print(json)),
        Command::Queue(QueueCommand::Show { id, json }) => command::show(&config()?, id, print(json)),
        Command::Queue(QueueCommand::Retry { id }) => command::order(&config()?, Order::Retry(id)),
        Command::Queue(QueueCommand::Remove { id }) => command::order(&config()?, Order::Remove(id)),
        Command::User(UserCommand::Add { name }) => command::add(&config()?, name),
        Command::User(UserCommand::List { json }) => command::list_users(&config()?, print(json)),
        Command::User(UserCommand::Remove { name }) => command::remove(&config()?, &name),
        Command::Dns { domain, check, json } => {
            let look = if check { Look::Up } else { Look::Away };
            command::dns(&config()?, &domain, look, print(json))
        }
        Command::Dnsbl { address, json } => command::dnsbl(&config()?, address, print(json)),
        Command::Completions { shell } => show(&manual::completions(Arguments::command(), shell)),
        Command::Man => show(&manual::page(Arguments::command(), EXIT_STATUS).map_err(Failure::Terminal)?),
    }
}

const EXIT_STATUS: &str = "0 yes, or done; 1 no; 2 it could not be done; 78 the configuration is wrong.";

fn show(text: &[u8]) -> Result<Answer, Failure> {
    std::io::stdout().write_all(text).map_err(Failure::Terminal)?;
    Ok(Answer::Yes)
}

/// `RUST_LOG` as usual; otherwise what an administrator wants to know.
fn diagnose_to_stderr() {
    let colour =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let levels = EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        // Told on standard error that standard error is gone, a server would panic.
        .log_internal_errors(false);
    let tellable = filter_fn(|metadata| is_tellable(metadata.target()));
    tracing_subscriber::registry().with(layer.with_filter(levels.and(tellable))).init();
}

/// The resolver names what it asks for, in warnings too, and a blocklist's name may hold a customer's key. So no `RUST_LOG`
/// makes it speak but of the system's settings.
fn is_tellable(target: &str) -> bool {
    !target.starts_with("hickory") || target.starts_with("hickory_resolver::system_conf")
}
