//! The settings: what `smtpd.toml` may say, with every default in one place.
//!
//! | key | default | meaning |
//! |---|---|---|
//! | `hostname` | the system's | the name in greeting, Received fields and bounces |
//! | `domains` | `[hostname]` | domains whose mail is delivered here |
//! | `state` | `/var/lib/postern` | directory of queue and keys |
//! | `rules` | none | tcpserver's rules, as text or as cdb, for `run`: who may connect, and what is special about whom |
//! | `words` | none | a file of what the watcher asks to do about whom |
//! | `control` | `/var/qmail/control` | qmail's control files, for what these settings do not say; `off`: none |
//! | `defaulthost` | the first of `domains` | the domain of a login and of a postmaster without one |
//! | `smtpgreeting` | `hostname` | what greeting and farewell begin with |
//! | `rcpthosts` | `[]` | domains for which mail is taken and that are not delivered here; `.example.org` is all below |
//! | `morercpthosts` | none | a cdb of more such domains |
//! | `localiphost` | none | the domain of recipients at one of our addresses, `user@[192.0.2.1]` |
//! | `moreipme` | `[]` | addresses that are ours, behind a translation |
//! | `badhelo`, `badmailfrom`, `badrcptto` | `[]` | names, senders and recipients that are refused: addresses, `@domain`, wildcards, expressions, `!` |
//! | `badhelonorelay`, `badmailfromnorelay`, `badrcpttonorelay` | `[]` | the same, but not of clients that may relay |
//! | `badmailfromto` | `[]` | `SENDER RECIPIENT`: entries as above, and who may not write to whom by them |
//! | `relaymailfrom` | `[]` | senders from whom mail is taken for anywhere, whoever the client is: an open relay |
//! | `rejectrelaytest` | `false` | refuses recipients with `!`, `%` or `@` in the local part |
//! | `rejectnullsenders` | `false` | refuses bounces for now (421) |
//! | `[[recipients]] kind` | none | who knows recipients: `users`, `any`, `validrcptto`, `users-cdb`, `maildirs`, `sqlite`, `command`, `forward` |
//! | `[[recipients]] domains` | all | of which domains; those of one domain are asked in this order |
//! | `[[recipients]] file` | none | of `validrcptto` and `sqlite`; of `users-cdb`: `/var/qmail/users/cdb` |
//! | `[[recipients]] cdb` | none | of `validrcptto`: more of the same |
//! | `[[recipients]] root`, `path` | none, `{domain}/{user}/Maildir` | of `maildirs` |
//! | `[[recipients]] query` | none | of `sqlite`: gives a row for the address `?1`, in lower case |
//! | `[[recipients]] command` | none | of `command`: program and arguments |
//! | `[[recipients]] relayed` | `false` | it is asked about recipients elsewhere, too, of clients that may relay |
//! | `[[recipients]] host` | none | of `forward`: `HOST:PORT` |
//! | `spfbehavior` | 0 | SPF: 0 asks nobody, 1 writes the header, 2 puts off where nobody answers, 3 refuses fail, 4 softfail, 5 neutral, 6 none |
//! | `[[rhsbl]] zone`, `action`, `codes`, `text` | as of `[[dnsbl]]` | a list of domains that is asked about the sender's |
//! | `[rates] per_address` | 0 | connections a minute of an IPv4 address or IPv6 /64; 0: any number |
//! | `[rates] per_network` | 0 | the same of an IPv4 /24 or IPv6 /48 |
//! | `[karma] strikes` | 0 | bad sessions of a client that never had a good one, after which its mail is put off; 0: never |
//! | `[karma] negative` | 2 | points that make a session bad |
//! | `[karma] penalty` | `24h` | how long, the first time; each more bad session adds as much |
//! | `[karma] forget` | `60d` | how long a client is remembered |
//! | `[karma] points` | see [`Deed`](crate::karma::Deed) | what each deed is worth, as in `{ pregreet = -3, message = 1 }` |
//! | `[karma] refuse` | `mail` | when a client with a bad karma is refused: `mail`, or `connection` |
//! | `[naughty] refuse` | `soon` | when a client is refused of which something bad is known: `soon`, `rcpt`, `data` |
//! | `[greylist] delay` | `0s` | how long a client that was never here is put off; `0s`: not at all |
//! | `[greylist] window` | `200m` | how long after that it may come again and be known |
//! | `[greylist] known` | `36d` | how long it is known after it last came |
//! | `[load] max` | none | load of the last minute above which strangers' mail is put off |
//! | `[greet] delay` | `0s` | how long a client on port 25 waits for its greeting |
//! | `[greet] early` | `reject` | what becomes of one that does not: `reject` (554), or `ignore` |
//! | `[helo] policy` | `off` | what a client may call itself: `off`, `lenient`, `rfc`, `strict` |
//! | `[client] name` | `off` | what name a client's address must have: `off`, `exists`, `confirmed`, `own` |
//! | `[sender] domain` | `false` | the sender's domain must take mail |
//! | `[recipient] domain` | `false` | the domain of a recipient elsewhere must take mail |
//! | `[recipient] quota_percent_max` | 100 | how full a mailbox may be to take mail, in hundredths of its quota; 0: any |
//! | `[received] hide_clients` | `false` | Received says nothing of the address and names of who has logged in or may relay |
//! | `[received] local_time` | `false` | its date is of the system's zone, else UTC |
//! | `[plugins] connection`, `helo`, `mail`, `rcpt`, `data`, `auth` | `[]` | programs that are asked then, as in qmail-spp: a path and arguments each |
//! | `[bounces] one_recipient` | `false` | a bounce has one recipient |
//! | `[limits] bad_recipients_max` | 0 | bad recipients after which a session is closed (421); 0: none |
//! | `[limits] session_recipients_max` | 0 | recipients of a session; 0: any number |
//! | `[limits] session_bad_recipients_max` | 0 | bad recipients of a session, after which it gets no more (550); 0: any number |
//! | `[limits] one_bad_recipient_spoils` | `false` | a message with a bad recipient is refused for all |
//! | `queue` | our own, in `state` | a program that takes all messages instead: qmail-queue or what stands in its place |
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
//! | `[[tls.host]] name`, `certificate`, `key` | none | what a client is shown that asks for this name, `*.` in front for one label of any text |
//! | `[tls] clients_ca` | none | PEM: who signs the certificates of clients that are known |
//! | `[tls] clients` | `[]` | mail addresses whose owners may relay when they show such a certificate |
//! | `[auth] mechanisms` | `["login", "plain"]` | how to log in; also `scram-sha-256`, `scram-sha-256-plus`, `cram-md5` |
//! | `[auth] in_clear` | `false` | offers AUTH without TLS too |
//! | `[auth] required` | `false` | MAIL needs a login on every service |
//! | `[auth] own_sender` | `false` | who has logged in sends as itself or as nobody |
//! | `[auth] checkpassword` | none | a program that checks passwords, and what it runs |
//! | `[auth] vpopmail` | none | the directory of vpopmail's domains |
//! | `[auth] dovecot` | none | the socket of Dovecot's authentication server |
//! | `[log] file` | standard output | the journal; opened again on SIGHUP |
//! | `[log] socket` | none | a Unix datagram socket that gets each line too; sessions never wait for whoever reads it |
//! | `[log] format` | `qmail` | `qmail` or `json` |
//! | `[log] stamp` | `tai64n` in a file | `tai64n` or `none`, which is the default of standard output |
//! | `[limits] message_bytes_max` | 25 000 000 | bytes of a message |
//! | `[limits] recipients_max` | 100 | recipients of a message |
//! | `[limits] connections_max` | 1000 | open connections |
//! | `[limits] connections_per_address_max` | 50 | of these from one IPv4 address or one IPv6 /64 |
//! | `[limits] connections_per_network_max` | 0 | of these from one IPv4 /24 or IPv6 /48; 0: any number |
//! | `[limits] unrecognized_max` | 0 | unknown commands after which a session is closed; 0: any number |
//! | `[limits] errors_max` | 10 | errors after which a session is closed |
//! | `[limits] errors_undelayed` | 3 | errors that are answered at once |
//! | `[limits] error_pause` | `1s` | what each error after those costs |
//! | `[limits] command_bytes_max` | 2048 | bytes of a command line |
//! | `[limits] address_bytes_max` | 320 | bytes of an address |
//! | `[limits] local_part_bytes_max` | 255 | bytes of its local part |
//! | `[limits] domain_bytes_max` | 255 | bytes of its domain |
//! | `[limits] forbidden_commands` | `CONNECT`, `GET`, … | commands of other protocols, which end the session |
//! | `[limits] letters_first` | `false` | a command that begins with no letter ends it, too |
//! | `[limits] line_bytes_max` | 0 | bytes of a line of a message; 0 for any |
//! | `[limits] deferred_recipients_max` | 1000 | recipients that were put off without a message |
//! | `[limits] idle_commands_max` | 100 | commands without a message |
//! | `[limits] hops_max` | 100 | hops of a message |
//! | `[limits] bare_newline` | `refuse` | `end-line`: a line feed alone ends a line, and never a message |
//! | `[limits] handshake_timeout` | `1m` | longest handshake |
//! | `[limits] crowded_timeout` | `10s` | longest wait of who comes while more than three quarters of `connections_max` are taken; `0s`: as usual |
//! | `[limits] data_bytes_per_second_min` | 100 | what a message has to come at, on average |
//! | `[limits] command_timeout` | `5m` | longest wait for a command |
//! | `[limits] data_timeout` | `5m` | longest wait for a piece of a message |
//! | `[limits] queue_messages_max` | 100 000 | messages in the queue after which no more are taken |
//! | `[dns] servers` | those of /etc/resolv.conf | name servers, `ADDRESS` or `ADDRESS:PORT` |
//! | `virtualdomains` | `[]` | `DOMAIN:NAME` is delivered here; `USER@DOMAIN:NAME` and, for all below, `.DOMAIN:NAME` are NAME's mail, as `NAME-USER` |
//! | `smtproutes` | `[]` | `DOMAIN:HOST:PORT`: the host that takes a domain's mail; `.DOMAIN` is all below, nothing is all |
//! | `policy` | `[]` | eMPF's rules of who may write to whom, as in qmail's `control/policy` |
//! | `spfrules`, `spfguess` | none | mechanisms of SPF that are put before the end of each domain's record, and that stand for a domain without one |
//! | `spfexp` | none | what who is refused by SPF is told where the domain has no words of its own, with SPF's macros |
//! | `[remote] smarthost` | none | `HOST:PORT` that gets all mail for elsewhere, instead of the domain's own hosts |
//! | `[remote] port` | 25 | port of the domain's own hosts |
//! | `[dkim] key` | `dkim.pem` in `state` | RSA key, PEM, made by `postern-smtpd dns`; mail that leaves is signed where it is there |
//! | `[dkim] selector` | `postern` | the key's name; another key needs another |
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

mod auth;
mod control;
mod dkim;
mod dnsbl;
mod limits;
mod listen;
mod log;
mod network;
mod recipients;
mod rules;
mod tls;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use settings::{Document, Mistakes, Table, Text};

pub use auth::Passwords;
pub use control::CONTROL;
pub use dkim::{DKIM_SELECTOR, Dkim};
pub use dnsbl::{DNSBL_PERIOD, NEIGHBOURS};
pub use limits::{
    COMMAND_TIMEOUT, CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS_MAX, Connections, DATA_TIMEOUT, ERRORS_MAX,
    MESSAGE_BYTES_MAX, RECIPIENTS_MAX,
};
pub use listen::{LISTEN, Listen};
pub use log::{Format, Log, Stamp};
pub use network::{HostPort, REMOTE_PORT, Remote};
pub use recipients::{ASSIGN, RecipientKind, RecipientSource, TREE_PATH, valid_of};
pub use tls::{Tls, TlsHost};

use crate::greylist::GreyTerms;
use crate::karma::KarmaTerms;
use crate::mailbox::Mailbox;
use crate::pace::Rates;
use crate::queue::Program;
use crate::rules::VirtualUsers;
use crate::session::Policy;
use control::Control;
use network::Address;

/// The file that is read where none is named.
pub const FILE: &str = "/etc/postern/smtpd.toml";
/// `state`
pub const STATE: &str = "/var/lib/postern";
/// `users`
pub const USERS: &str = "/etc/postern/users";
/// `metrics`
pub const METRICS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9825);
/// `[limits] queue_messages_max`: each costs some 500 bytes of memory.
pub const QUEUE_MESSAGES_MAX: u32 = 100_000;

/// All settings, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The rules of every session.
    pub policy: Policy,
    /// `control`, where it is there.
    pub control: Option<PathBuf>,
    /// `state`
    pub state: PathBuf,
    /// Who checks passwords.
    pub passwords: Passwords,
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
    /// `[[recipients]]`
    pub recipients: Vec<RecipientSource>,
    /// `[rates]`
    pub rates: Rates,
    /// `[karma]`
    pub karma: KarmaTerms,
    /// `[greylist]`
    pub greylist: GreyTerms,
    /// `[load] max`
    pub load_max: Option<f64>,
    /// `rules`
    pub rules: Option<PathBuf>,
    /// `words`
    pub words: Option<PathBuf>,
    /// `queue`; our own where none is named.
    pub queue: Option<Program>,
    /// `[dns] servers`; those of the system where none are named.
    pub name_servers: Vec<SocketAddr>,
    /// `[remote]`
    pub remote: Remote,
    /// `[dkim]`
    pub dkim: Dkim,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{}:1:1: cannot be read", path.display())]
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
        let control = Control::of(&document.root());
        let config = read(&document.root(), &control);
        let mut mistakes = Mistakes::new();
        mistakes.merge(document.finish());
        mistakes.extend(control.into_mistakes());
        mistakes.into_result(config)
    }
}

fn read(root: &Table<'_>, control: &Control) -> Config {
    let hostname = match root.get::<Text<Domain>>("hostname") {
        Some(Text(Domain(name))) => name,
        None => control.line("me").unwrap_or_else(system_name),
    };
    let own = root.get::<Vec<Text<Domain>>>("domains");
    let own = own.map(|domains| domains.into_iter().map(|Text(Domain(name))| name).collect());
    let virtuals = rules::virtual_lines(root, control);
    let domains: Vec<String> = own
        .or_else(|| rules::domains(control, virtuals.as_deref()))
        .unwrap_or_else(|| vec![hostname.clone()]);
    let domains: Vec<String> = domains.into_iter().map(domain_key).collect();
    let default_domain = rules::domain(root, control, "defaulthost").map(|name| name.to_ascii_lowercase());
    let state = root.path("state").unwrap_or_else(|| STATE.into());
    let tls_table = root.table("tls");
    let tls_clients = match &tls_table {
        Some(table) => tls::clients(table),
        None => tls::clients_of_control(control),
    };
    let (auth, passwords) = auth::auth(&root.table_or_empty("auth"));
    let tls = match tls_table {
        Some(table) => tls::tls(&table, &state),
        None => tls::of_control(control),
    };
    let blocklists = match root.contains("dnsbl") {
        true => dnsbl::blocklists(&root.tables("dnsbl")),
        false => dnsbl::of_control(control),
    };
    let limits = root.table_or_empty("limits");
    let rates = root.table_or_empty("rates");
    let queue = root.path("queue").map(Program);
    let default_domain =
        default_domain.or_else(|| domains.first().cloned()).unwrap_or_else(|| hostname.clone());
    let mut policies = rules::rules(root, control);
    let recipients = recipients::recipients(root, control);
    let greylist = limits::greylist(&root.table_or_empty("greylist"));
    policies.greylists = !greylist.delay.is_zero();
    policies.checks_relayed = recipients.iter().any(|source| source.relayed);
    if queue.is_none() {
        // Behind qmail-queue is a qmail-send that reads these lines itself.
        policies.virtual_users = VirtualUsers::new(virtuals.unwrap_or_default(), &default_domain);
    }
    Config {
        policy: Policy {
            default_domain,
            domains: domains.into_iter().collect(),
            relay: root.get_or("relay", Vec::new()),
            rules: policies,
            blocklists,
            survey_every: root.get_or("survey_every", 0),
            auth,
            tls_clients: tls_clients.into_iter().collect(),
            limits: limits::session(&limits, control),
            hostname,
        },
        control: control.directory(),
        passwords,
        users: root.path("users").unwrap_or_else(|| USERS.into()),
        maildirs: root.path("maildirs").unwrap_or_else(|| state.join("mail")),
        metrics: root.get_or("metrics", Address::On(METRICS)).socket(),
        listen: listen::listen(root, tls.is_some()),
        tls,
        log: log::log(&root.table_or_empty("log")),
        connections: limits::connections(&limits, control),
        recipients,
        rates: Rates {
            per_address: rates.get_or("per_address", 0),
            per_network: rates.get_or("per_network", 0),
        },
        karma: limits::karma(&root.table_or_empty("karma")),
        greylist,
        load_max: root.table_or_empty("load").get("max"),
        rules: root.path("rules"),
        words: root.path("words"),
        queue,
        queue_messages_max: limits.get_or("queue_messages_max", QUEUE_MESSAGES_MAX) as usize,
        name_servers: network::name_servers(root),
        remote: network::remote(root, control),
        dkim: dkim::dkim(&root.table_or_empty("dkim"), &state),
        state,
    }
}

/// What the system calls itself; a host that does not know is nobody's mail exchanger.
fn system_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if Mailbox::new("postmaster", &name).is_some() { name } else { "localhost".to_owned() }
}

/// A domain as addresses are compared by it.
fn domain_key(name: String) -> String {
    Mailbox::new("postmaster", &name).map_or(name, |mailbox| mailbox.domain_key())
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

#[cfg(test)]
mod tests;
