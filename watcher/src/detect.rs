//! Which logs of a mail server this machine has, for who has named none; and which of those that are there it is better
//! not to read, because their lines stand in another one too.
//!
//! It looks at names, never at contents, below a root that is an argument; time is one as well.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use logline::Timestamp;
use settings::duration::human;

use crate::config::{Origin, Source};
use crate::filter::Filters;
use crate::journal::Selection;

/// A log that was not written for so long has another in its place, where there is one.
const STALE: Duration = Duration::from_secs(7 * 86_400);

/// Where multilog and svlogd keep their directories; for the star stands the name of a service.
const SHELVES: &[&str] = &[
    "/var/log/qmail/*",
    "/var/log/postern/*",
    "/var/log/*",
    "/var/multilog/*",
    "/service/*/log/main",
    "/etc/service/*/log/main",
    "/var/service/*/log/main",
    "/run/service/*/log/main",
    "/var/qmail/supervise/*/log/main",
    "/var/log/runit/*",
    "/var/log/sv/*",
];

/// On these shelves everything is about mail.
const MAIL_SHELVES: &[&str] = &["/var/log/qmail/*", "/var/log/postern/*"];

/// On the others, what has one of these in its name.
const MAIL_WORDS: &[&str] =
    &["smtp", "qmail", "submission", "pop3", "imap", "vpopmail", "postern", "dovecot", "mail"];

/// And in the names of these the watcher's own words stand, which it does not read.
const OWN_WORDS: &[&str] = &["watcher"];

/// A log that is one file, or the entries of some units in the journal.
struct Kind {
    about: &'static str,
    /// The first that is there is read.
    files: &'static [&'static str],
    /// What stands in these stands in the first as well.
    copies: &'static [&'static str],
    units: &'static [&'static str],
}

const KINDS: &[Kind] = &[
    Kind {
        about: "postern-smtpd",
        files: &["/var/log/postern/smtpd.log"],
        copies: &[],
        units: &["postern-smtpd.service"],
    },
    Kind {
        about: "syslog's mail",
        files: &["/var/log/mail.log", "/var/log/maillog", "/var/log/mail", "/var/log/mail.info"],
        copies: &["/var/log/mail.err", "/var/log/mail.warn", "/var/log/mail.warning"],
        units: &[
            "postfix.service",
            "postfix@-.service",
            "dovecot.service",
            "opensmtpd.service",
            "smtpd.service",
            "sendmail.service",
        ],
    },
    Kind {
        about: "exim",
        files: &[
            "/var/log/exim4/mainlog",
            "/var/log/exim/mainlog",
            "/var/log/exim/main.log",
            "/var/log/exim_mainlog",
        ],
        // Exim's specification, 53: each entry begins with a copy of the line in the main log.
        copies: &[
            "/var/log/exim4/rejectlog",
            "/var/log/exim/rejectlog",
            "/var/log/exim/reject.log",
            "/var/log/exim_rejectlog",
        ],
        units: &["exim4.service", "exim.service"],
    },
    // Where dovecot has its own logs, errors and the rest may be in two files, neither of which holds the other's.
    Kind {
        about: "dovecot",
        files: &["/var/log/dovecot.log", "/var/log/dovecot/dovecot.log"],
        copies: &[],
        units: &[],
    },
    Kind {
        about: "dovecot",
        files: &["/var/log/dovecot-info.log", "/var/log/dovecot/info.log"],
        copies: &[],
        units: &[],
    },
    Kind {
        about: "logins to this machine",
        files: &["/var/log/auth.log", "/var/log/secure"],
        copies: &[],
        units: &["ssh.service", "sshd.service"],
    },
];

/// A log that is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it is.
    pub origin: Origin,
    /// Why.
    pub why: String,
}

/// A log that is there and not to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// What it is.
    pub name: String,
    /// Why not.
    pub why: String,
}

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detected {
    /// What is to be read.
    pub taken: Vec<Found>,
    /// What is not.
    pub passed_over: Vec<PassedOver>,
}

/// Looks below `root`, which is `/` but for tests.
pub fn detect(root: &Path, now: Timestamp) -> Detected {
    let mut search = Search { root, now, known: HashMap::new(), found: Detected::default() };
    for shelf in SHELVES {
        search.shelf(shelf);
    }
    let has_journal = ["/var/log/journal", "/run/log/journal"].iter().any(|path| search.at(path).is_dir());
    for kind in KINDS {
        search.kind(kind, has_journal);
    }
    search.found
}

impl Detected {
    /// What is to be read, as sources.
    pub fn sources(&self, filters: &Filters) -> Vec<Source> {
        self.taken.iter().map(|found| Source::usual(found.origin.clone(), filters)).collect()
    }
}

struct Search<'a> {
    root: &'a Path,
    now: Timestamp,
    /// The files that were found, by device and inode: links and binds give a log several names.
    known: HashMap<(u64, u64), String>,
    found: Detected,
}

impl Search<'_> {
    /// A path of the machine, below the root.
    fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn shelf(&mut self, shelf: &str) {
        let Some((above, below)) = shelf.split_once("/*") else { return };
        let mut names: Vec<String> = std::fs::read_dir(self.at(above))
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| MAIL_SHELVES.contains(&shelf) || is_about_mail(name))
            .collect();
        names.sort();
        for name in names {
            let path = PathBuf::from(format!("{above}/{name}{below}"));
            if self.at(&path).is_dir() {
                self.directory(&path);
            } else if MAIL_SHELVES.contains(&shelf) && is_plain_log(&name) && self.at(&path).is_file() {
                self.take(&path, &path, "a log of a mail server, by its place and name".to_owned());
            }
        }
    }

    /// A multilog directory, if it is one.
    fn directory(&mut self, path: &Path) {
        if !self.at(path).join("current").is_file() {
            return;
        }
        if OWN_WORDS.iter().any(|word| path.to_string_lossy().contains(word)) {
            self.pass_over(path.display().to_string(), "what the watcher says itself".to_owned());
            return;
        }
        let why = "a directory of multilog or svlogd".to_owned();
        if !self.take(path, &path.join("current"), why) {
            return;
        }
        // A logger may write some of its lines a second time, into a directory within.
        for entry in std::fs::read_dir(self.at(path)).into_iter().flatten().flatten() {
            let within = path.join(entry.file_name());
            if self.at(&within).join("current").is_file() {
                let why = format!("as a rule its lines stand in {} too", path.display());
                self.pass_over(within.display().to_string(), why);
            }
        }
    }

    fn kind(&mut self, kind: &Kind, has_journal: bool) {
        let units = kind.units.iter().filter(|unit| has_journal && self.is_installed(unit));
        let matches: Vec<String> = units.map(|unit| format!("_SYSTEMD_UNIT={unit}")).collect();
        let mut read = None;
        for path in kind.files.iter().map(Path::new) {
            let Ok(metadata) = self.at(path).metadata() else { continue };
            if !metadata.is_file() {
                continue;
            }
            let age = metadata.modified().map(|at| self.now.since(at.into())).unwrap_or_default();
            if let Some(first) = &read {
                self.pass_over(path.display().to_string(), format!("{first} is read, which is for the same"));
            } else if age > STALE && !matches.is_empty() {
                let days = human(Duration::from_secs(age.as_secs() / 86_400 * 86_400));
                let why = format!("it was not written for {days}; the journal has these lines");
                self.pass_over(path.display().to_string(), why);
            } else {
                self.take(path, path, format!("the log of {}", kind.about));
                read = Some(path.display().to_string());
            }
        }
        for path in kind.copies {
            if !self.at(path).is_file() {
                continue;
            }
            match &read {
                Some(whole) => self.pass_over(path.to_string(), format!("its lines stand in {whole} too")),
                None => {
                    let path = Path::new(path);
                    self.take(path, path, format!("the log of {}", kind.about));
                }
            }
        }
        if matches.is_empty() {
            return;
        }
        let origin = Origin::Journal(Selection { matches, directory: None });
        match read {
            Some(file) => self.pass_over(origin.to_string(), format!("its lines stand in {file} too")),
            None => {
                let why = format!("{}, for which there is no file", kind.about);
                self.found.taken.push(Found { origin, why });
            }
        }
    }

    /// Takes a log whose lines stand in `file` now, unless that is known by another name.
    fn take(&mut self, path: &Path, file: &Path, why: String) -> bool {
        let Ok(metadata) = self.at(file).metadata() else { return false };
        let name = path.display().to_string();
        if let Some(other) = self.known.get(&(metadata.dev(), metadata.ino())) {
            if *other == name {
                return false;
            }
            let why = format!("it is another name of {other}");
            self.pass_over(name, why);
            return false;
        }
        self.known.insert((metadata.dev(), metadata.ino()), name);
        self.found.taken.push(Found { origin: Origin::File(path.to_owned()), why });
        true
    }

    fn pass_over(&mut self, name: String, why: String) {
        self.found.passed_over.push(PassedOver { name, why });
    }

    /// Whether systemd has such a unit, or the template of it.
    fn is_installed(&self, unit: &str) -> bool {
        let template = unit.split_once('@').map(|(name, _)| format!("{name}@.service"));
        let file = template.as_deref().unwrap_or(unit);
        ["/etc", "/run", "/usr/lib", "/lib"]
            .iter()
            .any(|above| self.at(format!("{above}/systemd/system/{file}")).is_file())
    }
}

fn is_about_mail(name: &str) -> bool {
    name == "send" || MAIL_WORDS.iter().any(|word| name.contains(word))
}

/// A file that is no rotated one, nor one of multilog's own: `smtpd`, `smtpd.log`.
fn is_plain_log(name: &str) -> bool {
    let name = name.strip_suffix(".log").unwrap_or(name);
    is_about_mail(name) && !name.contains('.')
}

#[cfg(test)]
mod tests;
