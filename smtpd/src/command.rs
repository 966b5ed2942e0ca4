//! What the program can be told to do; `main` picks one of these.

mod check;
mod dns;
mod dnsbl;
mod queue;
mod reload;
mod run;
mod stdio;
mod user;
mod word;

use std::io::{self, Write as _};
use std::path::PathBuf;

use crate::config::{Config, ConfigError};
use crate::fingerprint;
use crate::queue::{OrderError, StoreError};
use crate::server::BindError;
use crate::tls::TlsError;

pub use check::check;
pub use dns::{Look, dns};
pub use dnsbl::dnsbl;
pub use queue::{list, order, show};
pub use run::run;
pub use stdio::{Arguments as StdioArguments, stdio};
pub use user::{add, list as list_users, remove};
pub use word::{Wish, word};

/// How a question was answered; both are a success of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Yes, or done.
    Yes,
    /// No.
    No,
}

/// How data is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Print {
    /// For a person.
    Text,
    /// For a program.
    Json,
}

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The settings cannot be read or make no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An address is not to be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// There is no TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The queue cannot be used.
    #[error(transparent)]
    Queue(#[from] StoreError),
    /// An order was not carried out.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// A file that is needed cannot be used.
    #[error("cannot use {}: {what}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What it is, and what to do.
        what: &'static str,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The users file has lines that name no user.
    #[error("{}", lines.iter().map(|line| format!("{}:{line}:1: this is no name:hash", path.display())).collect::<Vec<_>>().join("\n"))]
    Users {
        /// Which file.
        path: PathBuf,
        /// Which lines.
        lines: Vec<usize>,
    },
    /// No file of words is named.
    #[error("the settings name no file of words: set `words`, for example to \"/run/postern/words\"")]
    NoWords,
    /// There is no usable name server.
    #[error("cannot use the system's name servers: name some in [dns] servers")]
    Resolver(#[source] hickory_resolver::net::NetError),
    /// A password cannot be hashed.
    #[error("cannot hash a password")]
    Hash(argon2::password_hash::Error),
    /// What was given is no domain.
    #[error("{domain:?} is no domain such as example.org")]
    Domain {
        /// What was given.
        domain: String,
    },
    /// A password was typed in two ways, or not at all.
    #[error("{0}")]
    Password(&'static str),
    /// The program's own set-up failed.
    #[error("cannot start")]
    Start(#[source] io::Error),
    /// Something could not be printed or read.
    #[error("cannot read or print")]
    Terminal(#[source] io::Error),
}

impl Failure {
    /// What the program exits with: 78 for settings that make no sense or cannot be read, 2 for all else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Config(_) | Failure::Users { .. } => 78,
            Failure::Bind(_)
            | Failure::Tls(_)
            | Failure::Queue(_)
            | Failure::Order(_)
            | Failure::File { .. }
            | Failure::NoWords
            | Failure::Resolver(_)
            | Failure::Hash(_)
            | Failure::Domain { .. }
            | Failure::Password(_)
            | Failure::Start(_)
            | Failure::Terminal(_) => 2,
        }
    }
}

/// What is said of a key for signatures that cannot be used.
const DKIM_KEY: &str = "it holds the RSA key, of 2,048 bits or more, that mail is signed with; let this user read it, \
                        or remove it to have `postern-smtpd dns` make another";

fn fingerprint_key(config: &Config) -> Result<fingerprint::Key, Failure> {
    let path = config.state.join("fingerprint.key");
    fingerprint::Key::open(&path).map_err(|cause| Failure::File {
        path,
        what: "it holds the key of the password fingerprints; remove it to have a new one made",
        cause,
    })
}

/// The memory of clients, where it is wanted.
fn karma(config: &Config) -> Result<Option<crate::karma::Karma>, Failure> {
    if config.karma.strikes == 0 {
        return Ok(None);
    }
    let path = config.state.join("karma.db");
    let opened = crate::karma::Karma::open(&path, config.karma, crate::clock::now());
    let what = "it remembers how clients behaved; remove it to begin anew";
    opened.map(Some).map_err(|error| Failure::File { path, what, cause: io::Error::other(error) })
}

fn greylist(config: &Config) -> Result<Option<crate::greylist::Greylist>, Failure> {
    if config.greylist.delay.is_zero() {
        return Ok(None);
    }
    let path = config.state.join("greylist.db");
    let opened = crate::greylist::Greylist::open(&path, config.greylist, crate::clock::now());
    let what = "it remembers which clients came; remove it to begin anew";
    opened.map(Some).map_err(|error| Failure::File { path, what, cause: io::Error::other(error) })
}

fn telemetry(config: &Config) -> Result<crate::telemetry::Telemetry, Failure> {
    crate::telemetry::Telemetry::open(&config.log).map_err(|cause| Failure::File {
        path: config.log.file.clone().unwrap_or_default(),
        what: "it is the log; this user must be able to write it",
        cause,
    })
}

/// Says why the answer is no, to a person.
fn complain(why: &str) {
    // Nobody can be told that standard error is closed.
    let _ = writeln!(io::stderr(), "postern-smtpd: {why}");
}

fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        // `queue list | head` is not an error.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed.map_err(Failure::Terminal),
    }
}

fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::Terminal(error.into()))?;
    print(&format!("{text}\n"))
}
