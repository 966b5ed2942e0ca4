//! What may stand on the command line.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use smtpd::command::Print;
use smtpd::queue::MessageId;
use smtpd::users::Name;

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
    /// Look at the queue and change it
    #[command(subcommand)]
    Queue(QueueCommand),
    /// Look at the users and change them
    #[command(subcommand)]
    User(UserCommand),
    /// Print the records that a domain's owner publishes: MX, SPF, DMARC
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
        shell: clap_complete::Shell,
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

fn message(text: &str) -> Result<MessageId, std::num::ParseIntError> {
    text.parse().map(MessageId)
}

/// What `--json` means.
pub(crate) fn print(json: bool) -> Print {
    if json { Print::Json } else { Print::Text }
}
