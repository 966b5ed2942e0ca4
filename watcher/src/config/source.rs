//! `[[source]]`: one thing that is read.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use settings::{DeValue, Mistakes, Table, Value, mismatch};

use crate::config::absolute;
use crate::fail2ban::Imported;
use crate::filter::{Filter, Filters};
use crate::health::Patience;
use crate::journal::Selection;
use crate::syslog::Address;

/// One source of lines.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name in metrics and messages: what it reads.
    pub name: String,
    /// Where the lines come from.
    pub origin: Origin,
    /// `filter`: what the lines may mean; every filter unless some are named.
    pub filters: Vec<Arc<Filter>>,
    /// `[[source.fail2ban]]`: filters of fail2ban that read it too.
    pub fail2ban: Vec<Imported>,
    /// `timezone`: of stamps in local time; the system's unless named.
    pub zone: TimeZone,
    /// `silent_after`: how long it may say nothing; learned unless a duration or `"off"` is given.
    pub patience: Patience,
}

/// Where lines come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `file`: a file, a glob, or a multilog directory.
    File(PathBuf),
    /// `journal`, `unit`, `identifier`: what matches in the systemd journal; `journal_directory`: the directory of another
    /// journal's files.
    Journal(Selection),
    /// `syslog`: a Unix socket, or `udp://` or `tcp://` and an address, that syslog is sent to.
    Syslog(Address),
    /// `stdin`: standard input.
    Input,
}

pub(super) fn read(table: &Table<'_>, filters: Option<&Filters>, mistakes: &mut Mistakes) -> Option<Source> {
    let origins = [
        table.path("file").map(absolute).map(Origin::File),
        journal(table).map(Origin::Journal),
        syslog(table).map(Origin::Syslog),
        input(table),
    ];
    let of_the_journal = ["journal", "unit", "identifier"].map(|key| table.contains(key)).contains(&true);
    let others = ["file", "syslog", "stdin"].iter().filter(|key| table.contains(key)).count();
    if others + usize::from(of_the_journal) != 1 {
        table.mistake_at_table(
            "a source is one of `file`, `syslog`, `stdin` and the journal (`journal`, `unit`, `identifier`)",
        );
    }
    let patience = match table.get::<SilentAfter>("silent_after") {
        None => Patience::Learned,
        Some(SilentAfter(patience)) => patience,
    };
    let named = table.get::<Vec<String>>("filter");
    let zone = match table.get::<String>("timezone") {
        None => Some(TimeZone::system()),
        Some(name) => TimeZone::get(&name)
            .inspect_err(|_| {
                table.mistake("timezone", format!("{name:?} is no time zone, as \"Europe/Rome\" is one"));
            })
            .ok(),
    };
    let filters = filters.and_then(|all| {
        let chosen = match named {
            None => Ok(all.clone()),
            Some(names) => all.only(&names),
        };
        chosen
            .inspect_err(|name| {
                let known = all.names().join(", ");
                table.mistake("filter", format!("there is no filter `{name}`; there are: {known}"));
            })
            .ok()
    });
    let origin = origins.into_iter().flatten().next();
    let sent = !table.contains("file");
    let imported = table.tables("fail2ban");
    let local = zone.clone().unwrap_or(TimeZone::UTC);
    let fail2ban =
        imported.iter().filter_map(|table| imported_filter(table, &local, sent, mistakes)).collect();
    let origin = origin?;
    Some(Source {
        name: origin.to_string(),
        origin,
        filters: filters?.iter().cloned().collect(),
        fail2ban,
        zone: zone?,
        patience,
    })
}

/// `[[source.fail2ban]]`: `filter` is the file, `name` how its failures are called, `set` its parameters.
fn imported_filter(
    table: &Table<'_>,
    zone: &TimeZone,
    sent: bool,
    mistakes: &mut Mistakes,
) -> Option<Imported> {
    let file = table.path("filter").map(absolute);
    let name = table.get::<String>("name");
    let set = if table.contains("set") { table.string_map("set") } else { Vec::new() };
    let Some(file) = file else {
        table.mistake("filter", "the file of a filter, as \"/etc/fail2ban/filter.d/sshd.conf\"");
        return None;
    };
    let stem = || file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let name = name.or_else(stem).unwrap_or_default();
    let imported = Imported::load(&name, &file, &set, zone, sent);
    imported.map_err(|found| mistakes.merge(Err(found))).ok()
}

fn input(table: &Table<'_>) -> Option<Origin> {
    match table.get::<bool>("stdin")? {
        true => Some(Origin::Input),
        false => {
            table.mistake("stdin", "is `true` for the source that is standard input, and absent otherwise");
            None
        }
    }
}

fn journal(table: &Table<'_>) -> Option<Selection> {
    let directory = table.path("journal_directory").map(absolute);
    let keys = ["journal", "unit", "identifier"];
    let is_meant = keys.iter().any(|key| table.contains(key));
    if directory.is_some() && !is_meant {
        table.mistake("journal_directory", "is for a source with `journal`, `unit` or `identifier`");
    }
    let matches = table.get::<Vec<String>>("journal");
    for term in matches.iter().flatten().filter(|term| !is_match(term)) {
        table
            .mistake("journal", format!("{term:?} is no match, as \"_SYSTEMD_UNIT=dovecot.service\" is one"));
    }
    let names = |key| table.get::<Names>(key).map(|Names(names)| names).unwrap_or_default();
    let (units, identifiers) = (names("unit"), names("identifier"));
    let mut matches = matches.unwrap_or_default();
    if matches.iter().any(|term| term == "+") && !(units.is_empty() && identifiers.is_empty()) {
        table.mistake(
            "journal",
            "with \"+\", write `unit` and `identifier` as matches too: \"_SYSTEMD_UNIT=…\"",
        );
    }
    matches.extend(units.iter().map(|unit| format!("_SYSTEMD_UNIT={}", with_suffix(unit))));
    matches.extend(identifiers.iter().map(|name| format!("SYSLOG_IDENTIFIER={name}")));
    is_meant.then_some(Selection { matches, directory })
}

/// `dovecot` is `dovecot.service`, as systemctl has it.
fn with_suffix(unit: &str) -> String {
    if unit.contains('.') { unit.to_owned() } else { format!("{unit}.service") }
}

/// `FIELD=value`, or the `+` that stands between alternatives; never an option or a path.
fn is_match(term: &str) -> bool {
    let is_name = |name: &str| {
        let is_fit = |byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_');
        !name.is_empty() && name.bytes().all(is_fit)
    };
    term == "+" || term.split_once('=').is_some_and(|(name, value)| is_name(name) && !value.contains('\0'))
}

fn syslog(table: &Table<'_>) -> Option<Address> {
    let named = table.get::<String>("syslog")?;
    let Some((scheme, address)) = named.split_once("://") else {
        return table.path("syslog").map(absolute).map(Address::Socket);
    };
    if scheme == "unix-stream" && !address.is_empty() {
        return Some(Address::Stream(absolute(table.document().directory().join(address))));
    }
    let address = address.parse().inspect_err(|_| {
        let example = "\"udp://127.0.0.1:5514\"";
        table.mistake("syslog", format!("{named:?} has no address and port, as {example} has"));
    });
    match (scheme, address) {
        ("udp", Ok(address)) => Some(Address::Udp(address)),
        ("tcp", Ok(address)) => Some(Address::Tcp(address)),
        (_, Err(_)) => None,
        (_, Ok(_)) => {
            table.mistake(
                "syslog",
                "a path, `unix-stream://` and a path, or `udp://` or `tcp://` and an address",
            );
            None
        }
    }
}

/// One name, or a list of them.
struct Names(Vec<String>);

impl Value for Names {
    const EXPECTED: &'static str = "a name such as \"dovecot\", or a list of names";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let name = |value: &DeValue<'_>| match value.as_str() {
            Some(name) if !name.is_empty() && !name.contains('\0') => Ok(name.to_owned()),
            Some(_) | None => Err(mismatch(Self::EXPECTED, value)),
        };
        match value.as_array() {
            Some(names) => {
                names.iter().map(|value| name(value.get_ref())).collect::<Result<_, _>>().map(Names)
            }
            None => name(value).map(|name| Names(vec![name])),
        }
    }
}

/// How long a source may say nothing.
struct SilentAfter(Patience);

impl Value for SilentAfter {
    const EXPECTED: &'static str = "a duration such as \"30m\", or \"off\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match value.as_str() {
            Some("off") => Ok(SilentAfter(Patience::Endless)),
            _ => Duration::read(value).map(|longest| SilentAfter(Patience::For(longest))),
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::File(path) => write!(f, "{}", path.display()),
            Origin::Journal(Selection { matches, directory }) => {
                write!(f, "journal")?;
                matches.iter().try_for_each(|term| write!(f, " {term}"))?;
                directory.iter().try_for_each(|directory| write!(f, " in {}", directory.display()))
            }
            Origin::Syslog(address) => write!(f, "syslog {address}"),
            Origin::Input => write!(f, "standard input"),
        }
    }
}

impl Origin {
    /// The key that names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Origin::File(_) => "file",
            Origin::Journal(_) => "journal",
            Origin::Syslog(_) => "syslog",
            Origin::Input => "stdin",
        }
    }
}

impl Source {
    /// A source that nobody wrote down: every filter, the system's time zone.
    pub fn usual(origin: Origin, filters: &Filters) -> Source {
        Source {
            name: origin.to_string(),
            origin,
            filters: filters.iter().cloned().collect(),
            fail2ban: Vec::new(),
            zone: TimeZone::system(),
            patience: Patience::Learned,
        }
    }
}
