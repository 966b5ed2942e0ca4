//! The settings: what `smtpd.toml` may say, with every default in one place.
//!
//! | key | default | meaning |
//! |---|---|---|
//! | `hostname` | the system's | the name in greeting, Received fields and bounces |
//! | `domains` | `[hostname]` | domains whose mail is delivered here |
//! | `state` | `/var/lib/postern` | directory of queue and keys |
//! | `users` | `/etc/postern/users` | who has a mailbox and a password; written by `user add` |
//! | `maildirs` | `mail` in `state` | alice@example.org's mail is in `example.org/alice/` there |
//! | `metrics` | `127.0.0.1:9825` | where /metrics and /healthz are; `off` for nowhere |
//! | `relay` | `[]` | networks that may send to other hosts without a login |
//! | `[[listen]] address` | `0.0.0.0:25` | address and port |
//! | `[[listen]] service` | `smtp` | `smtp`; `submission`: STARTTLS and AUTH demanded; `smtps`: TLS from the first byte |
//! | `[[listen]] proxy` | `[]` | networks whose connections begin with a PROXY header, v1 or v2 |
//! | `[tls] certificate` | none | PEM chain; the key may stand in the same file |
//! | `[tls] key` | `certificate` | PEM key |
//! | `[tls] self_signed` | `false` | makes both files where they do not exist (then `cert.pem` and `key.pem` in `state`) |
//! | `[log] file` | standard output | the journal; opened again on SIGHUP |
//! | `[log] socket` | none | a Unix datagram socket that gets each line too; sessions never wait for whoever reads it |
//! | `[log] format` | `qmail` | `qmail` or `json` |
//! | `[log] stamp` | `tai64n` in a file | `tai64n` or `none`, which is the default of standard output |
//! | `[limits] message_bytes_max` | 25 000 000 | bytes of a message |
//! | `[limits] recipients_max` | 100 | recipients of a message |
//! | `[limits] connections_max` | 1000 | open connections |
//! | `[limits] connections_per_address_max` | 50 | of these from one IPv4 address or one IPv6 /64 |
//! | `[limits] errors_max` | 10 | errors after which a session is closed |
//! | `[limits] command_timeout` | `5m` | longest wait for a command |
//! | `[limits] data_timeout` | `5m` | longest wait for a piece of a message |
//! | `[limits] queue_messages_max` | 100 000 | messages in the queue after which no more are taken |
//! | `[dns] servers` | those of /etc/resolv.conf | name servers, `ADDRESS` or `ADDRESS:PORT` |
//! | `[remote] smarthost` | none | `HOST:PORT` that gets all mail for elsewhere, instead of the domain's own hosts |
//! | `[remote] port` | 25 | port of the domain's own hosts |
//! | `[[dnsbl]] zone` | none | a DNS blocklist; asked in this order, for recipients that exist, once a session |
//! | `[[dnsbl]] action` | `delay` | `delay`: 451; `reject`: 553 |
//! | `[[dnsbl]] codes` | those known of the zone | what is a listing, and its name: `{ "127.0.0.2" = "sbl" }` |
//! | `[[dnsbl]] text` | the zone's own, which costs a query | what a listed client is told; `%IP%` is its address |
//! | `[[dnsbl]] limit` | none | queries in a period; no more are made, and a client that is not asked about is not listed |
//! | `[[dnsbl]] period` | `24h` | how long a period is |
//! | `[[dnsbl]] reset` | `00:00Z` | time of day, UTC, at which a period begins |
//! | `[[dnsbl]] listed_for` | `24h` | how long a listing is remembered; `0s`: not at all |
//! | `[[dnsbl]] passed_for` | `1h` | how long it is remembered that there was none |
//! | `[[dnsbl]] passed_for_max` | `24h` | each time that it is confirmed it is remembered twice as long, up to this |
//! | `[[dnsbl]] neighbours` | 2 with a limit, else 0 | a newcomer with so many listed neighbours (in its /24 or /48, in a day) is put off with 451 and asked about when it comes again; 0: never |
//! | `[[dnsbl]] known_for` | `24h` | how long a client of which mail was accepted is not asked about |
//! | `survey_every` | 0 | of so many listed clients one is looked up in all lists, to see what each has alone; 0: none |

mod dnsbl;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use settings::{DeValue, Document, Mistakes, Table, Text, Value, mismatch, one_of};

pub use dnsbl::{DNSBL_PERIOD, NEIGHBOURS};

use crate::mailbox::Mailbox;
use crate::session::{Limits, Policy, Service};

/// The file that is read where none is named.
pub const FILE: &str = "/etc/postern/smtpd.toml";
/// `state`
pub const STATE: &str = "/var/lib/postern";
/// `users`
pub const USERS: &str = "/etc/postern/users";
/// `metrics`
pub const METRICS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9825);
/// `[[listen]] address`
pub const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 25);
/// `[limits] message_bytes_max`: what most large hosts take.
pub const MESSAGE_BYTES_MAX: u64 = 25_000_000;
/// `[limits] recipients_max`: the least that RFC 5321 §4.5.3.1.8 allows.
pub const RECIPIENTS_MAX: u32 = 100;
/// `[limits] connections_max`: at some 20 KB of memory each.
pub const CONNECTIONS_MAX: u32 = 1000;
/// `[limits] connections_per_address_max`: Postfix's number; large senders open some twenty.
pub const CONNECTIONS_PER_ADDRESS_MAX: u32 = 50;
/// `[limits] errors_max`: a list server with many dead recipients has made its point by then.
pub const ERRORS_MAX: u32 = 10;
/// `[limits] command_timeout` (RFC 5321 §4.5.3.2.7).
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(300);
/// `[limits] data_timeout`: the RFC's 180 s for a block, and patience.
pub const DATA_TIMEOUT: Duration = Duration::from_secs(300);
/// `[limits] queue_messages_max`: each costs some 500 bytes of memory.
pub const QUEUE_MESSAGES_MAX: u32 = 100_000;
/// `[remote] port`
pub const REMOTE_PORT: u16 = 25;

impl Default for Limits {
    fn default() -> Self {
        Limits {
            recipients_max: RECIPIENTS_MAX as usize,
            message_bytes_max: MESSAGE_BYTES_MAX,
            errors_max: ERRORS_MAX,
            errors_undelayed: 3,
            error_pause: Duration::from_secs(1),
            command_timeout: COMMAND_TIMEOUT,
            data_timeout: DATA_TIMEOUT,
            data_bytes_per_second_min: 100,
            handshake_timeout: Duration::from_secs(60),
            hops_max: 100,
        }
    }
}

/// All settings, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The rules of every session.
    pub policy: Policy,
    /// `state`
    pub state: PathBuf,
    /// `users`
    pub users: PathBuf,
    /// `maildirs`
    pub maildirs: PathBuf,
    /// `metrics`
    pub metrics: Option<SocketAddr>,
    /// `[[listen]]`
    pub listen: Vec<Listen>,
    /// `[tls]`
    pub tls: Option<Tls>,
    /// `[log]`
    pub log: Log,
    /// `connections_…`
    pub connections: Connections,
    /// `queue_messages_max`
    pub queue_messages_max: usize,
    /// `[dns] servers`; those of the system where none are named.
    pub name_servers: Vec<SocketAddr>,
    /// `[remote]`
    pub remote: Remote,
}

/// One `[[listen]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// `address`
    pub address: SocketAddr,
    /// `service`
    pub service: Service,
    /// `proxy`
    pub proxy: Vec<IpNet>,
}

/// `[tls]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// `certificate`
    pub certificate: PathBuf,
    /// `key`
    pub key: PathBuf,
    /// `self_signed`
    pub self_signed: bool,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// `file`
    pub file: Option<PathBuf>,
    /// `format`
    pub format: Format,
    /// `stamp`
    pub stamp: Stamp,
    /// `socket`
    pub socket: Option<PathBuf>,
}

/// How a fact is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// In qmail's words.
    Qmail,
    /// As an object a line.
    Json,
}

/// What stands before a line in qmail's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// The time, as multilog writes it.
    Tai64n,
    /// Nothing: who reads the line stamps it.
    None,
}

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// In all.
    pub max: u32,
    /// From one client.
    pub per_address_max: u32,
}

/// `[remote]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// `smarthost`
    pub smarthost: Option<HostPort>,
    /// `port`
    pub port: u16,
}

/// A host, by name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl FromStr for HostPort {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "expected a host and a port such as \"mail.example.net:587\"";
        let (host, port) = text.rsplit_once(':').ok_or(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(wrong);
        }
        Ok(HostPort { host: host.to_owned(), port: port.parse().map_err(|_| wrong)? })
    }
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration {}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// It says what makes no sense.
    #[error("{0}")]
    Wrong(Mistakes),
}

impl Config {
    /// Reads the settings from a file.
    ///
    /// # Errors
    /// [`ConfigError`], with every mistake in the file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let document =
            Document::read(path).map_err(|cause| ConfigError::Unreadable { path: path.to_owned(), cause })?;
        Config::from_document(document).map_err(ConfigError::Wrong)
    }

    /// Reads the settings from a text; `name` is the file that paths count from and mistakes name.
    ///
    /// # Errors
    /// Every mistake.
    pub fn parse(name: &str, text: &str) -> Result<Self, Mistakes> {
        Config::from_document(Document::parse(name, text))
    }

    fn from_document(document: Document) -> Result<Self, Mistakes> {
        let config = read(&document.root());
        document.finish()?;
        Ok(config)
    }
}

fn read(root: &Table<'_>) -> Config {
    let hostname = match root.get::<Text<Domain>>("hostname") {
        Some(Text(Domain(name))) => name,
        None => system_name(),
    };
    let domains = root.get::<Vec<Text<Domain>>>("domains").map_or_else(
        || vec![hostname.to_ascii_lowercase()],
        |domains| domains.into_iter().map(|Text(Domain(name))| name.to_ascii_lowercase()).collect(),
    );
    let state = root.path("state").unwrap_or_else(|| STATE.into());
    let tls = root.table("tls").and_then(|table| tls(&table, &state));
    let limits = root.table_or_empty("limits");
    Config {
        policy: Policy {
            default_domain: domains.first().cloned().unwrap_or_else(|| hostname.clone()),
            domains: domains.into_iter().collect(),
            relay: root.get_or("relay", Vec::new()),
            blocklists: root.tables("dnsbl").iter().filter_map(dnsbl::blocklist).collect(),
            survey_every: root.get_or("survey_every", 0),
            limits: session_limits(&limits),
            hostname,
        },
        users: root.path("users").unwrap_or_else(|| USERS.into()),
        maildirs: root.path("maildirs").unwrap_or_else(|| state.join("mail")),
        metrics: root.get_or("metrics", Address::On(METRICS)).socket(),
        listen: listen(root, tls.is_some()),
        tls,
        log: log(&root.table_or_empty("log")),
        connections: Connections {
            max: limits.get_or("connections_max", CONNECTIONS_MAX),
            per_address_max: limits.get_or("connections_per_address_max", CONNECTIONS_PER_ADDRESS_MAX),
        },
        queue_messages_max: limits.get_or("queue_messages_max", QUEUE_MESSAGES_MAX) as usize,
        name_servers: root
            .table_or_empty("dns")
            .get_or("servers", Vec::<Text<NameServer>>::new())
            .into_iter()
            .map(|Text(NameServer(address))| address)
            .collect(),
        remote: remote(&root.table_or_empty("remote")),
        state,
    }
}

fn session_limits(limits: &Table<'_>) -> Limits {
    Limits {
        recipients_max: limits.get_or("recipients_max", RECIPIENTS_MAX) as usize,
        message_bytes_max: limits.get_or("message_bytes_max", MESSAGE_BYTES_MAX),
        errors_max: limits.get_or("errors_max", ERRORS_MAX),
        command_timeout: limits.get_or("command_timeout", COMMAND_TIMEOUT),
        data_timeout: limits.get_or("data_timeout", DATA_TIMEOUT),
        ..Limits::default()
    }
}

fn listen(root: &Table<'_>, tls: bool) -> Vec<Listen> {
    if !root.contains("listen") {
        return vec![Listen { address: LISTEN, service: Service::Smtp, proxy: Vec::new() }];
    }
    let read = |table: Table<'_>| {
        let service = table.get_or("service", Service::Smtp);
        if service != Service::Smtp && !tls {
            table.mistake("service", "this service needs TLS: name a certificate and a key in [tls]");
        }
        let address = table.get_or("address", LISTEN);
        Listen { address, service, proxy: table.get_or("proxy", Vec::new()) }
    };
    root.tables("listen").into_iter().map(read).collect()
}

fn tls(table: &Table<'_>, state: &Path) -> Option<Tls> {
    let self_signed = table.get_or("self_signed", false);
    let (certificate, key) = (table.path("certificate"), table.path("key"));
    let Some(certificate) = certificate.or_else(|| self_signed.then(|| state.join("cert.pem"))) else {
        table.mistake_at_table("certificate is missing: the PEM file of the chain, or self_signed = true");
        return None;
    };
    let beside = if self_signed && !table.contains("certificate") {
        state.join("key.pem")
    } else {
        certificate.clone()
    };
    Some(Tls { key: key.unwrap_or(beside), certificate, self_signed })
}

fn log(table: &Table<'_>) -> Log {
    let file = table.path("file");
    let stamp = if file.is_some() { Stamp::Tai64n } else { Stamp::None };
    Log {
        format: table.get_or("format", Format::Qmail),
        stamp: table.get_or("stamp", stamp),
        socket: table.path("socket"),
        file,
    }
}

fn remote(table: &Table<'_>) -> Remote {
    let smarthost = table.get::<Text<HostPort>>("smarthost").map(|Text(host)| host);
    Remote { smarthost, port: table.get_or("port", REMOTE_PORT) }
}

/// What the system calls itself; a host that does not know is nobody's mail exchanger.
fn system_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if Mailbox::new("postmaster", &name).is_some() { name } else { "localhost".to_owned() }
}

/// A name that can stand behind an `@`.
struct Domain(String);

impl FromStr for Domain {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match Mailbox::new("postmaster", text) {
            Some(_) => Ok(Domain(text.to_owned())),
            None => Err("expected a domain such as \"example.org\""),
        }
    }
}

struct NameServer(SocketAddr);

impl FromStr for NameServer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const PORT: u16 = 53;
        let alone = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, PORT));
        let address = alone.or_else(|_| text.parse::<SocketAddr>());
        address
            .map(NameServer)
            .map_err(|_| "expected an address such as \"192.0.2.53\" or \"127.0.0.1:5353\"")
    }
}

#[derive(Clone, Copy)]
enum Address {
    On(SocketAddr),
    Off,
}

impl Address {
    fn socket(self) -> Option<SocketAddr> {
        match self {
            Address::On(address) => Some(address),
            Address::Off => None,
        }
    }
}

impl Value for Address {
    const EXPECTED: &'static str = "an address and a port such as \"127.0.0.1:9825\", or \"off\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match value.as_str() {
            Some("off") => Ok(Address::Off),
            Some(text) => text.parse().map(Address::On).map_err(|_| mismatch(Self::EXPECTED, value)),
            None => Err(mismatch(Self::EXPECTED, value)),
        }
    }
}

impl Value for Service {
    const EXPECTED: &'static str = "\"smtp\", \"submission\" or \"smtps\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        one_of(
            value,
            &[("smtp", Service::Smtp), ("submission", Service::Submission), ("smtps", Service::Smtps)],
        )
    }
}

impl Value for Format {
    const EXPECTED: &'static str = "\"qmail\" or \"json\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        one_of(value, &[("qmail", Format::Qmail), ("json", Format::Json)])
    }
}

impl Value for Stamp {
    const EXPECTED: &'static str = "\"tai64n\" or \"none\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        one_of(value, &[("tai64n", Stamp::Tai64n), ("none", Stamp::None)])
    }
}

#[cfg(test)]
mod tests;
