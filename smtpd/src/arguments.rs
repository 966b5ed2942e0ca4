//! What may stand on the command line.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use smtpd::command::Print;
use smtpd::queue::MessageId;
use smtpd::users::Name;
use smtpd::words::Asked;

/// An SMTP server that speaks and logs as qmail-smtpd does.
///
/// Exits with 0 for yes or done, 1 for no, 2 where something could not be done, 78 where the configuration is wrong.
#[derive(Debug, Parser)]
#[command(name = "postern-smtpd", version)]
pub(crate) struct Arguments {
    /// The configuration [default: /etc/postern/smtpd.toml]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve until SIGTERM; SIGHUP opens the log and the certificate again
    Run,
    /// Serve one client on standard input and output, under tcpserver, sslserver or inetd, as qmail-smtpd does
    Stdio {
        /// This host's name, then the program that checks passwords and what it runs
        #[arg(value_name = "HOST CHECKPASSWORD PROG", trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Read everything, start nothing, tell what is wrong
    Check,
    /// Ask the server for less than a ban: mail after a login only, or slow answers
    ///
    /// Without a SUBJECT it reads what the watcher tells a hook on standard input.
    Word {
        /// What to ask: auth-only, slow, or none
        #[arg(value_name = "WORD", value_parser = asked)]
        asked: AskedFor,
        /// Addresses and networks
        #[arg(value_name = "SUBJECT", value_parser = subject)]
        subjects: Vec<ipnet::IpNet>,
        /// How long, where the watcher does not say
        #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = duration)]
        lasts: Duration,
    },
    /// Look at the queue and change it
    #[command(subcommand)]
    Queue(QueueCommand),
    /// Look at the users and change them
    #[command(subcommand)]
    User(UserCommand),
    /// Print the records that a domain's owner publishes: MX, SPF, DKIM, DMARC; a key for DKIM is made the first time
    Dns {
        /// The domain
        domain: String,
        /// Look whether they are there; exits with 1 where one is not
        #[arg(long)]
        check: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Ask the blocklists about an address, or, without one, whether they work
    Dnsbl {
        /// The address
        address: Option<IpAddr>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Completions for a shell
    #[command(hide = true)]
    Completions {
        /// Which
        shell: manual::Shell,
    },
    /// The manual page
    #[command(hide = true)]
    Man,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QueueCommand {
    /// Print all messages
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print one message
    Show {
        /// Its number
        #[arg(value_parser = message)]
        id: MessageId,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Try to deliver a message now
    Retry {
        /// Its number
        #[arg(value_parser = message)]
        id: MessageId,
    },
    /// Remove a message without telling its sender
    Remove {
        /// Its number
        #[arg(value_parser = message)]
        id: MessageId,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user, or change its password: one line on standard input
    Add {
        /// A local part, for all domains, or a whole address
        name: Name,
    },
    /// Print all users
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a user; its mail stays
    Remove {
        /// Its name
        name: Name,
    },
}

/// What `word` asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AskedFor(pub(crate) Option<Asked>);

fn asked(text: &str) -> Result<AskedFor, &'static str> {
    match text {
        "none" => Ok(AskedFor(None)),
        text => {
            text.parse().map(|asked| AskedFor(Some(asked))).map_err(|_| "expected auth-only, slow or none")
        }
    }
}

fn subject(text: &str) -> Result<ipnet::IpNet, String> {
    let network = text.parse::<ipnet::IpNet>().map(|network| network.trunc());
    network.or_else(|_| text.parse::<IpAddr>().map(Into::into)).map_err(|error| error.to_string())
}

fn duration(text: &str) -> Result<Duration, String> {
    settings::duration::parse(text).map_err(|error| error.to_string())
}

fn message(text: &str) -> Result<MessageId, &'static str> {
    text.parse().map(MessageId).map_err(|_| "a message has a number; `postern-smtpd queue list` shows it")
}

/// What `--json` means.
pub(crate) fn print(json: bool) -> Print {
    if json { Print::Json } else { Print::Text }
}
