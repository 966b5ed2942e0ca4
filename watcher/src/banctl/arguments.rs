//! What can be typed.

use std::convert::Infallible;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::default;
use crate::subject::{Network, Subject};

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
    /// Who is banned, the next to end first.
    List(List),
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
    /// Former bans and those in force, the newest first, with their evidence. Exits 1 where there is none.
    History {
        /// An address, a network or user:NAME; of everybody where none is named.
        #[arg(value_name = "ADDR")]
        subject: Option<Subject>,
        /// Of this jail.
        #[arg(long)]
        jail: Option<String>,
        /// Begun no longer ago, or no earlier: `7d`, `2026-11-21`, `2026-11-21T04:07:06Z`.
        #[arg(long, value_name = "TIME", value_parser = since)]
        since: Option<String>,
        /// No more than so many.
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u32,
    },
    /// Asks the kernel itself whether packets of an address are dropped, and by which ban. Exits 1 where they are not.
    Test {
        /// An address.
        #[arg(value_name = "ADDR")]
        address: IpAddr,
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
    /// Bans addresses, networks, or each line of standard input (-) or of a file.
    Ban {
        /// Whom.
        #[command(flatten)]
        whom: Named,
        /// For how long.
        #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = length, allow_hyphen_values = true)]
        length: Duration,
        /// Why, in your words.
        #[arg(long)]
        reason: Option<String>,
        /// As if this jail had.
        #[arg(long)]
        jail: Option<String>,
    },
    /// Lifts bans: of addresses, networks, each line of standard input (-) or of a file, a jail, or all.
    #[command(group = clap::ArgGroup::new("which").required(true).args(["whom", "files", "jail", "all"]).multiple(true))]
    Unban {
        /// An address, a network, or -.
        #[arg(value_name = "ADDR|NET|-", conflicts_with_all = ["jail", "all"])]
        whom: Vec<Whom>,
        /// Each line of this file.
        #[arg(long = "file", value_name = "FILE", conflicts_with_all = ["jail", "all"])]
        files: Vec<PathBuf>,
        /// Everybody in this jail.
        #[arg(long, conflicts_with = "all")]
        jail: Option<String>,
        /// Everybody.
        #[arg(long)]
        all: bool,
    },
    /// The jails, and how many each keeps out.
    Jails,
    /// Bans, jails, sources and what happens, on one screen; lifts and explains bans by key.
    Top,
    /// Has the watcher read its configuration again; says what came of it.
    Reload {
        /// Waits until all bans are in force under it.
        #[arg(long)]
        wait: bool,
    },
    /// The bans in force, as another program reads them.
    Export {
        /// For whom: `nft -f`, a program, a spreadsheet, rbldnsd (as a `combined` zone).
        #[arg(long, value_enum)]
        format: Format,
    },
    /// What a shell needs to complete these commands: `banctl completions bash > /etc/bash_completion.d/banctl`.
    Completions {
        /// Which shell.
        shell: ::manual::Shell,
    },
    /// The manual page: `banctl man | man -l -`.
    Man,
}

/// Which bans are listed, and in what order.
#[derive(Debug, Default, Args)]
pub struct List {
    /// Of this jail; may be given again.
    #[arg(long = "jail", value_name = "JAIL")]
    pub jails: Vec<String>,
    /// That have an address in common with this network.
    #[arg(long, value_name = "NET")]
    pub network: Option<Network>,
    /// Begun no longer ago, or no earlier: `1h`, `2026-11-21`, `2026-11-21T04:07:06Z`.
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Option<String>,
    /// Of jails that ban, or of jails that only watch.
    #[arg(long, value_enum)]
    pub mode: Option<WhichMode>,
    /// In what order.
    #[arg(long, value_enum, default_value = "until")]
    pub sort: Sort,
    /// No more than so many.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Writes a long list at once instead of a page at a time.
    #[arg(long)]
    pub no_pager: bool,
}

impl List {
    /// Whether some bans are left out, however many there are.
    pub(super) fn is_narrow(&self) -> bool {
        !self.jails.is_empty() || self.network.is_some() || self.since.is_some() || self.mode.is_some()
    }
}

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// The next to end first.
    #[default]
    Until,
    /// The newest first.
    Newest,
    /// By address.
    Subject,
    /// By jail, then by address.
    Jail,
}

/// What kind of ban.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WhichMode {
    /// In force.
    Enforce,
    /// Only watched.
    Watch,
}

/// What bans are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A script for `nft -f`: a table of its own, with the time that remains to each ban.
    Nft,
    /// As `list --json`.
    Json,
    /// A line each, with a heading.
    Csv,
    /// A `combined` data set, which a mail server can ask by DNS.
    Rbldnsd,
}

/// Whom a command is about.
#[derive(Debug, Args)]
pub struct Named {
    /// An address, a network, or -.
    #[arg(value_name = "ADDR|NET|-", required_unless_present = "files")]
    pub whom: Vec<Whom>,
    /// Each line of this file.
    #[arg(long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// What can be done about exemptions.
#[derive(Debug, Subcommand)]
pub enum Allow {
    /// Who is exempt by hand.
    List,
    /// Exempts addresses, networks, or each line of standard input (-) or of a file.
    Add {
        /// Whom.
        #[command(flatten)]
        whom: Named,
        /// For how long; until it is removed, unless told otherwise.
        #[arg(long = "for", value_name = "TIME", value_parser = length, allow_hyphen_values = true)]
        length: Option<Duration>,
        /// Why, in your words.
        #[arg(long)]
        note: Option<String>,
    },
    /// Takes exemptions back.
    Remove {
        /// Whom.
        #[command(flatten)]
        whom: Named,
    },
}

/// How long something holds from now on.
fn length(text: &str) -> Result<Duration, String> {
    match settings::duration::parse(text) {
        Ok(Duration::ZERO) => Err("nothing holds for no time: write \"10m\", \"1h\" or \"30d\"".to_owned()),
        Ok(length) => Ok(length),
        Err(error) => Err(error.to_string()),
    }
}

/// A time in the past, as RFC 3339: so long ago, a day or a time of this machine's zone, or RFC 3339 itself.
fn since(text: &str) -> Result<String, String> {
    let now = jiff::Timestamp::now();
    if let Ok(ago) = settings::duration::parse(text) {
        let then = jiff::SignedDuration::try_from(ago).ok().and_then(|ago| now.checked_sub(ago).ok());
        return then.map(|then| then.to_string()).ok_or_else(|| "that is too long ago".to_owned());
    }
    let at = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let civil = text.parse::<jiff::civil::DateTime>().ok()?;
        civil.to_zoned(jiff::tz::TimeZone::system()).ok().map(|zoned| zoned.timestamp())
    });
    at.map(|at| at.to_string()).ok_or_else(|| {
        "how long ago, as 1h or 7d, or when: 2026-11-21, 2026-11-21T04:07, 2026-11-21T04:07:06Z".to_owned()
    })
}

fn field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a field is NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// One of those that a command is about.
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
