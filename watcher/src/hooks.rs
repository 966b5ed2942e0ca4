//! Hooks: what is done outside when something happens here: a program is run, a web server is told, a mail is sent.
//!
//! They run in a process of their own, `postern-watcher hooks`, which the watcher starts where hooks are configured. It
//! may not change the firewall, and nothing that it waits for, a program that hangs or a server that does not answer,
//! keeps a ban waiting: the watcher writes what happened into a pipe and forgets it. It is told what to do, as
//! [`ToHooks`], on its standard input, a line of JSON each, and says what came of it, as [`FromHooks`], on its standard
//! output; the end of its input is its end.

mod command;
mod deliver;
mod letter;
mod outbox;
mod process;
mod smtp;
mod webhook;
mod xarf;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::control::api::News;
use crate::event::Kind;
use crate::jail::Jail;
use crate::news::Topic;

pub use process::run;
pub(crate) use webhook::Target;

/// Where a hook does not say.
pub mod default {
    use std::time::Duration;

    use crate::news::Topic;

    /// `on`: what somebody ought to look at.
    pub const ON: &[Topic] = &[
        Topic::Ban,
        Topic::Unban,
        Topic::Asked,
        Topic::QuotaLow,
        Topic::QuotaSpent,
        Topic::ZoneOff,
        Topic::SourceSilent,
        Topic::SourceTrouble,
        Topic::ParsingStopped,
        Topic::LinesLost,
        Topic::ReloadFailed,
        Topic::FirewallRepaired,
    ];
    /// `digest`: at once.
    pub const DIGEST: Duration = Duration::ZERO;
    /// `per_hour`
    pub const PER_HOUR: u32 = 600;
    /// `per_hour` of a mail: more is read by nobody.
    pub const MAILS_PER_HOUR: u32 = 20;
    /// `attempts`
    pub const ATTEMPTS: u32 = 6;
    /// `timeout`
    pub const TIMEOUT: Duration = Duration::from_secs(10);
    /// `authorities`: whom a web server's certificate is to come from.
    pub const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
    /// `sendmail`
    pub const SENDMAIL: [&str; 3] = ["/usr/sbin/sendmail", "-i", "-t"];
}

/// One hook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hook {
    /// `name`: how it is called in logs and in what it sends.
    pub name: String,
    /// `on`: of what kinds of news it hears.
    pub on: Vec<Topic>,
    /// `jails`: of news about bans only of those by these jails; by all where none is named.
    pub jails: Vec<String>,
    /// What it does.
    pub action: Action,
    /// `digest`: so long what happens is gathered before it is sent, as one.
    pub digest: Duration,
    /// `per_hour`: no more deliveries in an hour; what waits is sent together.
    pub per_hour: u32,
    /// `attempts`: so often it is tried.
    pub attempts: u32,
    /// `timeout`: an attempt that takes longer has failed.
    pub timeout: Duration,
}

/// What a hook does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// `command`: this program is run with these arguments, and JSON on its standard input.
    Command(Vec<String>),
    /// `webhook`: JSON is posted there.
    Webhook {
        /// The address, `http` or `https`.
        url: String,
        /// `secret_file`: what signs it.
        secret: Option<Vec<u8>>,
        /// `authorities`: the file of certificates that are trusted.
        authorities: PathBuf,
    },
    /// `[hook.mail]`: a mail is sent.
    Mail(Mail),
}

/// How a mail is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mail {
    /// `from`
    pub from: String,
    /// `to`
    pub to: Vec<String>,
    /// By which way.
    pub way: Way,
    /// `xarf`: each ban is attached as a report in X-ARF.
    pub reports: Option<Reports>,
}

/// How bans are reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reports {
    /// The name of who reports.
    pub reporter: String,
    /// What the bans of each jail are for.
    pub attacks: BTreeMap<String, Attack>,
}

/// What X-ARF has a word for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attack {
    /// Guessing passwords.
    Login,
    /// Trying which recipients there are, or whether mail is relayed.
    Probing,
}

impl Attack {
    /// What a jail bans for, where there is a word for it. What fail2ban's filters find is a guess at a login, as far as
    /// the administrator says so.
    pub fn of(jail: &Jail) -> Option<Attack> {
        let all = |known: &[Kind]| jail.on.iter().all(|kind| known.contains(kind));
        if all(&[Kind::AuthFailed, Kind::Failure]) {
            Some(Attack::Login)
        } else {
            all(&[Kind::RcptUnknown, Kind::RelayDenied]).then_some(Attack::Probing)
        }
    }
}

/// The way of a mail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Way {
    /// `sendmail`: a program that takes a mail on its standard input.
    Sendmail(Vec<String>),
    /// `smtp`: a server that takes it without a password.
    Smtp(String),
}

impl Hook {
    /// Whether it is to hear this.
    pub fn hears(&self, topic: Topic, news: &News) -> bool {
        let jail = || news.jail.as_ref().is_none_or(|jail| self.jails.contains(jail));
        self.on.contains(&topic) && (self.jails.is_empty() || jail())
    }
}

impl Action {
    /// The kinds, as metrics have them.
    pub const KINDS: [&'static str; 3] = ["command", "webhook", "mail"];

    /// Its kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Action::Command(_) => "command",
            Action::Webhook { .. } => "webhook",
            Action::Mail(_) => "mail",
        }
    }
}

/// What the process of the hooks is told.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToHooks {
    /// These hooks from now on.
    Configure(Vec<Hook>),
    /// This happened.
    Tell(Topic, Box<News>),
}

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromHooks {
    /// Something came of an attempt.
    Ended {
        /// The hook's kind.
        kind: String,
        /// What.
        outcome: Outcome,
    },
    /// So much is lost, because there was no room for it.
    Lost(u64),
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was delivered.
    Done,
    /// It was not, and is tried again.
    Failed,
    /// It was not, and that was the last attempt.
    GivenUp,
}

impl Outcome {
    /// The outcomes, as metrics have them.
    pub const ALL: [Outcome; 3] = [Outcome::Done, Outcome::Failed, Outcome::GivenUp];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Failed => "failed",
            Outcome::GivenUp => "given-up",
        }
    }
}

/// What one delivery carries.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Delivery<'d> {
    /// Tells one delivery from another, and an attempt from its repetition.
    pub(crate) id: &'d str,
    /// The hook's name.
    pub(crate) hook: &'d str,
    /// This machine's name.
    pub(crate) host: &'d str,
    /// What happened, the oldest first.
    pub(crate) events: &'d [News],
    /// So much more happened that there was no room for.
    pub(crate) lost: u64,
}
