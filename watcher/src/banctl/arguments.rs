//! What can be typed.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::config::default;
use crate::subject::Subject;

/// Lists, explains, bans, unbans: asks the watcher that runs on this machine.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Arguments {
    /// The watcher's control socket.
    #[arg(long, global = true, value_name = "PATH", default_value = default::SOCKET)]
    pub socket: PathBuf,
    /// JSON instead of words.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// How the watcher is: sources, lag, bans, firewall. Exits 1 while bans are not in force.
    Status,
    /// Who is banned.
    List,
    /// The very lines that led to a ban, and how far from one. Exits 1 when the subject is not banned.
    Why {
        /// An address or a network.
        #[arg(value_name = "ADDR")]
        subject: Subject,
        /// What such an event would be to every jail: `--event auth-failed --field user=alice`. Exits 0.
        #[arg(long, value_name = "KIND")]
        event: Option<String>,
        /// A field of that event.
        #[arg(long = "field", value_name = "NAME=VALUE", requires = "event", value_parser = field)]
        fields: Vec<(String, String)>,
    },
    /// Exemptions by hand: they win over every ban, and lift those that stand.
    #[command(subcommand)]
    Allow(Allow),
    /// Bans or spares those that a jail asks about, because accounts log in from there; without ADDR lists them.
    Confirm {
        /// An address, a network, or -.
        #[arg(value_name = "ADDR|NET|-")]
        whom: Option<Whom>,
        /// They are not to be banned.
        #[arg(long, requires = "whom")]
        no: bool,
    },
    /// The budgets of the DNS blocklists: used, left, when they are spent, what was avoided.
    Quota,
    /// Bans an address, a network, or each line of standard input (-).
    Ban {
        /// An address, a network, or -.
        #[arg(value_name = "ADDR|NET|-")]
        whom: Whom,
        /// For how long.
        #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = settings::duration::parse)]
        length: Duration,
        /// Why, in your words.
        #[arg(long)]
        reason: Option<String>,
        /// As if this jail had.
        #[arg(long)]
        jail: Option<String>,
    },
    /// Lifts bans: of an address, a network, each line of standard input (-), a jail, or all.
    #[command(group = clap::ArgGroup::new("which").required(true).args(["whom", "jail", "all"]))]
    Unban {
        /// An address, a network, or -.
        #[arg(value_name = "ADDR|NET|-")]
        whom: Option<Whom>,
        /// Everybody in this jail.
        #[arg(long)]
        jail: Option<String>,
        /// Everybody.
        #[arg(long)]
        all: bool,
    },
    /// The jails, and how many each keeps out.
    Jails,
    /// Has the watcher read its configuration again; says what came of it.
    Reload,
}

/// What can be done about exemptions.
#[derive(Debug, Subcommand)]
pub enum Allow {
    /// Who is exempt by hand.
    List,
    /// Exempts an address, a network, or each line of standard input (-).
    Add {
        /// An address, a network, or -.
        #[arg(value_name = "ADDR|NET|-")]
        whom: Whom,
        /// For how long; until it is removed, unless told otherwise.
        #[arg(long = "for", value_name = "TIME", value_parser = settings::duration::parse)]
        length: Option<Duration>,
        /// Why, in your words.
        #[arg(long)]
        note: Option<String>,
    },
    /// Takes exemptions back.
    Remove {
        /// An address, a network, or -.
        #[arg(value_name = "ADDR|NET|-")]
        whom: Whom,
    },
}

fn field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a field is NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Whom a command is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// As typed; the watcher says what is wrong with it.
    Subject(String),
    /// Each line of standard input.
    Input,
}

impl std::str::FromStr for Whom {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == "-" { Whom::Input } else { Whom::Subject(text.to_owned()) })
    }
}
