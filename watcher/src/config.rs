//! `watcher.toml`: what was written, checked, as the watcher runs on it. Every key stands here with its default.

mod exempt;
mod firewall;
mod hook;
mod page;
mod source;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use settings::{Document, Mistake, Mistakes, Table, TimeOfDay, Value, one_of};
use toml::de::DeValue;

pub use firewall::{FirewallKind, OnStop};
pub use page::Token;
pub use source::{Origin, Source};

use crate::filter::Filters;
use crate::hooks::Hook;
use crate::jail::Jails;
use crate::quota::answer::without_key;
use crate::quota::{Counted, Quota};
use crate::subject::Network;

/// Where a file or a key is absent.
pub mod default {
    /// The configuration itself; without it the defaults hold.
    pub const CONFIG: &str = "/etc/postern/watcher.toml";
    /// `database`
    pub const DATABASE: &str = "/var/lib/postern/watcher.db";
    /// `socket`: banctl's way in.
    pub const SOCKET: &str = "/run/postern/watcher.sock";
    /// `listen`: metrics and health.
    pub const LISTEN: std::net::SocketAddr =
        std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9826);
    /// `exempt.private`
    pub const PRIVATE: bool = true;
    /// `exempt.sessions`
    pub const SESSIONS: bool = true;
    /// `sandbox`
    pub const SANDBOX: bool = true;
    /// `counters_max`
    pub const COUNTERS_MAX: usize = crate::engine::COUNTERS_MAX;
    /// `quota.*.period`
    pub const PERIOD: std::time::Duration = std::time::Duration::from_secs(86_400);
}

/// Settings that were checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file they came from; none where there was none.
    pub file: Option<PathBuf>,
    /// `firewall`: `"nftables"` (the default), `"dry-run"`, `"command"`.
    pub firewall: FirewallKind,
    /// `on_stop`: what becomes of the bans when the watcher is stopped.
    pub on_stop: OnStop,
    /// `sandbox`: whether the watcher gives up the rights that it does not need.
    pub sandbox: bool,
    /// `database`: the SQLite file.
    pub database: PathBuf,
    /// `socket`: where banctl knocks.
    pub socket: PathBuf,
    /// `words`: the file in which a mail server is asked for something short of a ban.
    pub words: Option<PathBuf>,
    /// `listen`: where `/metrics` and `/healthz` are.
    pub listen: SocketAddr,
    /// `page.token_file`: who knows it may lift a ban from the page; nobody may without.
    pub page_token: Option<Token>,
    /// `jails`: all that are shipped or stand in `jails/`, unless some are named.
    pub jails: Jails,
    /// The filters that are shipped or stand in `filters/`.
    pub filters: Filters,
    /// `exempt.networks`: never banned.
    pub exempt: Vec<Network>,
    /// `exempt.files`: what stands in these files, a network a line.
    pub exempt_listed: Vec<Network>,
    /// `exempt.hosts`: host names, whose addresses are looked up while the watcher runs.
    pub exempt_hosts: Vec<String>,
    /// `exempt.sessions`: nor is the address from which somebody is logged in to this machine.
    pub exempt_sessions: bool,
    /// `exempt.private`: nor are RFC 1918, CGNAT and ULA addresses.
    pub private: bool,
    /// `[[source]]`: what is read.
    pub sources: Vec<Source>,
    /// `[[hook]]`: what is done outside when something happens.
    pub hooks: Vec<Hook>,
    /// `[quota."ZONE"]`: budgets of DNS blocklists.
    pub quotas: Vec<Quota>,
    /// `counters_max`: the most offenders that are counted at a time, over all jails.
    pub counters_max: usize,
}

impl Config {
    /// Reads `path`; without one, `/etc/postern/watcher.toml` where it exists, and the defaults where it does not.
    ///
    /// # Errors
    /// Every mistake in it and in the filters and jails beside it.
    pub fn load(path: Option<&Path>) -> Result<Config, Mistakes> {
        let usual = Path::new(default::CONFIG);
        let document = match path.or_else(|| usual.exists().then_some(usual)) {
            Some(path) => Document::read(path).map_err(|error| {
                let message = format!("cannot be read: {error}");
                Mistake { file: path.to_owned(), line: 1, column: 1, message }
            })?,
            None => Document::parse("", ""),
        };
        let file = path.or_else(|| usual.exists().then_some(usual)).map(Path::to_owned);
        Config::from_document(file, document)
    }

    /// Reads settings from a text, with the shipped filters and jails; `name` is the file that mistakes name.
    ///
    /// # Errors
    /// Every mistake.
    pub fn parse(name: &str, text: &str) -> Result<Config, Mistakes> {
        Config::from_document(None, Document::parse(name, text))
    }

    fn from_document(file: Option<PathBuf>, document: Document) -> Result<Config, Mistakes> {
        let beside = |name: &str| file.as_ref().map(|_| document.directory().join(name));
        let (filters, jails) =
            (Filters::read(beside("filters").as_deref()), Jails::read(beside("jails").as_deref()));
        let root = document.root();
        let firewall = firewall::read(&root);
        let database = absolute(root.path("database").unwrap_or_else(|| default::DATABASE.into()));
        let socket = absolute(root.path("socket").unwrap_or_else(|| default::SOCKET.into()));
        let words = root.path("words").map(absolute);
        let listen = root.get_or("listen", default::LISTEN);
        let page_token = page::token(&root.table_or_empty("page"));
        let chosen = root.get::<Vec<String>>("jails");
        let exempt = root.table_or_empty("exempt");
        let networks = exempt.get_or::<Vec<IpNet>>("networks", Vec::new());
        let private = exempt.get_or("private", default::PRIVATE);
        let exempt_sessions = exempt.get_or("sessions", default::SESSIONS);
        let (exempt_listed, listed_mistakes) = exempt::files(&exempt);
        let exempt_hosts = exempt::hosts(&exempt);
        let known = filters.as_ref().ok();
        let mut mistakes = Mistakes::new();
        let mut sources: Vec<Source> = Vec::new();
        for table in &root.tables("source") {
            let Some(source) = source::read(table, known, &mut mistakes) else { continue };
            if sources.iter().any(|other| other.name == source.name) {
                table.mistake_at_table(format!("another source reads {} already", source.name));
            }
            sources.push(source);
        }
        let quotas = root.table("quota").map(|table| table.entries()).unwrap_or_default();
        let quotas = quotas.into_iter().filter_map(|(zone, table)| quota(&zone, &table)).collect();
        let hooks = hook::all(&root, jails.as_ref().ok());
        let on_stop = root.get_or("on_stop", OnStop::default());
        let sandbox = root.get_or("sandbox", default::SANDBOX);
        let counters_max = root.get_or("counters_max", default::COUNTERS_MAX);
        if counters_max < 1000 {
            root.mistake("counters_max", "at least 1000");
        }
        let jails = jails.map(|all| choose(&root, all, chosen));
        let asking = jails.as_ref().ok().and_then(|jails| jails.iter().find(|jail| jail.word.is_some()));
        if let (Some(jail), None) = (asking, &words) {
            root.mistake_at_table(format!(
                "the jail `{}` asks for a word: set `words` to the file of the mail server's settings",
                jail.name
            ));
        }
        mistakes.merge(document.finish());
        mistakes.merge(listed_mistakes.into_result(()));
        let firewall = firewall.unwrap_or(FirewallKind::DryRun);
        let (filters, jails) = match (filters, jails) {
            (Ok(filters), Ok(jails)) => (filters, jails),
            (filters, jails) => {
                mistakes.merge(filters.map(|_| ()));
                mistakes.merge(jails.map(|_| ()));
                return Err(mistakes);
            }
        };
        let exempt = networks.into_iter().map(Network::from).collect();
        let config = Config {
            file,
            firewall,
            on_stop,
            sandbox,
            database,
            socket,
            words,
            listen,
            page_token,
            jails,
            filters,
            exempt,
            exempt_listed,
            exempt_hosts,
            exempt_sessions,
            private,
            sources,
            hooks,
            quotas,
            counters_max,
        };
        mistakes.into_result(config)
    }
}

/// The path from the root of the file system, so that a source has one name wherever the watcher is started from.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

fn choose(root: &Table<'_>, all: Jails, chosen: Option<Vec<String>>) -> Jails {
    let Some(chosen) = chosen else { return all };
    all.only(&chosen).unwrap_or_else(|unknown| {
        let names: Vec<&str> = all.iter().map(|jail| &*jail.name).collect();
        root.mistake("jails", format!("there is no jail `{unknown}`; there are: {}", names.join(", ")));
        Jails::default()
    })
}

fn quota(zone: &str, table: &Table<'_>) -> Option<Quota> {
    // A list's name may hold a customer's key.
    if !exempt::is_name(zone, b"-_") {
        table.mistake_at_table(format!("{zone:?} is no zone, as \"zen.spamhaus.org\" is one"));
    }
    let limit = table.require::<u64>("limit");
    if limit == Some(0) {
        table.mistake("limit", "at least 1: with 0 the list could never be asked");
    }
    let period = table.get_or("period", default::PERIOD);
    if period.is_zero() {
        table.mistake("period", "longer than nothing, as in \"24h\"");
    }
    let reset = table.get::<TimeOfDay>("reset").map_or(Duration::ZERO, |TimeOfDay(reset)| reset);
    let counted = table.get_or("count", Counted::Queries);
    // Who writes the customer's key that he asks by means the list, and does not want the key in metrics.
    let zone = without_key(&zone.to_ascii_lowercase()).to_owned();
    Some(Quota { zone, limit: limit?, period, reset, counted })
}

impl Value for Counted {
    const EXPECTED: &'static str = "\"queries\" or \"connections\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        one_of(value, &[("queries", Counted::Queries), ("connections", Counted::Connections)])
    }
}

#[cfg(test)]
mod tests;
