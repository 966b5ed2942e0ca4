//! `[[source]]`: one thing that is read.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::tz::TimeZone;
use settings::Table;

use crate::config::absolute;
use crate::filter::{Filter, Filters};

/// One source of lines.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name in metrics and messages: what it reads.
    pub name: String,
    /// Where the lines come from.
    pub origin: Origin,
    /// `filter`: what the lines may mean; every filter unless some are named.
    pub filters: Vec<Arc<Filter>>,
    /// `timezone`: of stamps in local time; the system's unless named.
    pub zone: TimeZone,
}

/// Where lines come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `file`: a file, a glob, or a multilog directory.
    File(PathBuf),
    /// `journal`: matches of the systemd journal.
    Journal(Vec<String>),
    /// `syslog`: a Unix datagram socket that syslog lines are sent to.
    Syslog(PathBuf),
}

pub(super) fn read(table: &Table<'_>, filters: Option<&Filters>) -> Option<Source> {
    let origins = [
        table.path("file").map(absolute).map(Origin::File),
        table.get::<Vec<String>>("journal").map(Origin::Journal),
        table.path("syslog").map(absolute).map(Origin::Syslog),
    ];
    let given = ["file", "journal", "syslog"].iter().filter(|key| table.contains(key)).count();
    if given != 1 {
        table.mistake_at_table("a source is one of `file`, `journal` or `syslog`");
    }
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
    let origin = origins.into_iter().flatten().next()?;
    Some(Source {
        name: origin.to_string(),
        origin,
        filters: filters?.iter().cloned().collect(),
        zone: zone?,
    })
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::File(path) => write!(f, "{}", path.display()),
            Origin::Journal(matches) => write!(f, "journal {}", matches.join(" ")),
            Origin::Syslog(path) => write!(f, "syslog {}", path.display()),
        }
    }
}

impl Source {
    /// The logs that a mail server usually has, as far as they stand on this machine; read where no source is named.
    pub fn usual(filters: &Filters) -> Vec<Source> {
        const USUAL: &[&str] = &[
            "/var/log/qmail/smtpd",
            "/var/log/qmail/smtpsd",
            "/var/log/qmail/submission",
            "/var/log/postern/smtpd/current",
            "/var/log/mail.log",
            "/var/log/maillog",
        ];
        let source = |path: &PathBuf| Source {
            name: path.display().to_string(),
            origin: Origin::File(path.clone()),
            filters: filters.iter().cloned().collect(),
            zone: TimeZone::system(),
        };
        USUAL.iter().map(PathBuf::from).filter(|path| path.exists()).map(|path| source(&path)).collect()
    }
}
