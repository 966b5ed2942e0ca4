//! `[[recipients]]`: who knows which recipients exist.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use settings::{DeValue, Table, Text, Value, one_of};

use super::control::Control;
use super::network::HostPort;
use crate::cdb::Cdb;

/// `[[recipients]] path`
pub const TREE_PATH: &str = "{domain}/{user}/Maildir";
/// `[[recipients]] file` of `users-cdb`
pub const ASSIGN: &str = "/var/qmail/users/cdb";

/// One `[[recipients]]`.
#[derive(Clone, Debug)]
pub struct RecipientSource {
    /// `domains`
    pub domains: Option<Vec<String>>,
    /// `kind`, with its own keys.
    pub kind: RecipientKind,
    /// `relayed`
    pub relayed: bool,
}

/// What a back end is.
#[derive(Clone, Debug)]
pub enum RecipientKind {
    /// Our own users file.
    Users,
    /// All are taken.
    Any,
    /// `validrcptto`
    List {
        /// The lines of `file`.
        entries: Vec<String>,
        /// `cdb`
        more: Option<Cdb>,
    },
    /// `users-cdb`
    Assign(PathBuf),
    /// `maildirs`
    Tree {
        /// `root`
        root: PathBuf,
        /// `path`
        path: String,
    },
    /// `sqlite`
    Sqlite {
        /// `file`
        file: PathBuf,
        /// `query`
        query: String,
    },
    /// `command`
    Command {
        /// The program.
        program: PathBuf,
        /// Its arguments.
        arguments: Vec<String>,
    },
    /// `forward`
    Forward(HostPort),
}

#[derive(Clone, Copy)]
enum Kind {
    Users,
    Any,
    List,
    Assign,
    Tree,
    Sqlite,
    Command,
    Forward,
}

/// Those of the settings; without any, qmail's `validrcptto` files where they are.
pub(super) fn recipients(root: &Table<'_>, control: &Control) -> Vec<RecipientSource> {
    if root.contains("recipients") {
        return root.tables("recipients").iter().filter_map(source).collect();
    }
    let entries = control.lines("validrcptto");
    let more = control.file("morevalidrcptto.cdb").and_then(|path| {
        let read = Cdb::read(&path);
        read.inspect_err(|error| {
            control.mistake("morevalidrcptto.cdb", 1, format!("cannot read this file: {error}"));
        })
        .ok()
    });
    if entries.is_none() && more.is_none() {
        return Vec::new();
    }
    valid(entries.unwrap_or_default().into_iter().map(|(_, line)| line).collect(), more)
}

/// Those of `validrcptto`; what these do not have, the users file may.
fn valid(entries: Vec<String>, more: Option<Cdb>) -> Vec<RecipientSource> {
    [RecipientKind::List { entries, more }, RecipientKind::Users]
        .map(|kind| RecipientSource { domains: None, kind, relayed: false })
        .into()
}

/// Those of other files in place of `validrcptto` and `morevalidrcptto.cdb`; a file that is not there has none, as in
/// qmail.
///
/// # Errors
/// Where one cannot be read.
pub fn valid_of(list: Option<&Path>, more: Option<&Path>) -> io::Result<Vec<RecipientSource>> {
    let text = list.map(fs::read_to_string).map_or(Ok(None), if_there)?;
    let more = more.map(Cdb::read).map_or(Ok(None), if_there)?;
    if text.is_none() && more.is_none() {
        return Ok(Vec::new());
    }
    Ok(valid(saying(text.as_deref().unwrap_or_default()), more))
}

/// What was read from a file, unless it is not there.
fn if_there<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The lines of a file that say something.
fn saying(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim_end);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

fn source(table: &Table<'_>) -> Option<RecipientSource> {
    let domains = table.get::<Vec<String>>("domains");
    let kind = match table.require::<Kind>("kind")? {
        Kind::Users => RecipientKind::Users,
        Kind::Any => RecipientKind::Any,
        Kind::List => list(table),
        Kind::Assign => RecipientKind::Assign(table.path("file").unwrap_or_else(|| ASSIGN.into())),
        Kind::Tree => {
            let path = table.get_or("path", TREE_PATH.to_owned());
            if !path.contains("{user}") || path.split('/').any(|part| part == "..") {
                table.mistake("path", "expected a path below root with {user} and {domain} in it");
            }
            RecipientKind::Tree { root: required_path(table, "root")?, path }
        }
        Kind::Sqlite => {
            let query = table.require::<String>("query");
            RecipientKind::Sqlite { file: required_path(table, "file")?, query: query? }
        }
        Kind::Command => {
            let mut words = table.require::<Vec<String>>("command")?.into_iter();
            let program = words.next().map(PathBuf::from).filter(|program| program.is_absolute());
            let Some(program) = program else {
                table.mistake("command", "expected a program by its absolute path, and its arguments");
                return None;
            };
            RecipientKind::Command { program, arguments: words.collect() }
        }
        Kind::Forward => {
            let Text(host) = table.require::<Text<HostPort>>("host")?;
            RecipientKind::Forward(host)
        }
    };
    Some(RecipientSource { domains, kind, relayed: table.get_or("relayed", false) })
}

fn required_path(table: &Table<'_>, key: &str) -> Option<PathBuf> {
    let path = table.path(key);
    if path.is_none() && !table.contains(key) {
        table.mistake_at_table(format!("{key} is missing"));
    }
    path
}

fn list(table: &Table<'_>) -> RecipientKind {
    let unreadable = |key: &str, path: &PathBuf, error: io::Error| {
        table.mistake(key, format!("cannot read {}: {error}", path.display()));
    };
    let text = table.path("file").map(|path| {
        fs::read_to_string(&path).unwrap_or_else(|error| {
            unreadable("file", &path, error);
            String::new()
        })
    });
    let more = table
        .path("cdb")
        .and_then(|path| Cdb::read(&path).map_err(|error| unreadable("cdb", &path, error)).ok());
    let entries = saying(text.as_deref().unwrap_or_default());
    if text.is_none() && !table.contains("cdb") {
        table.mistake_at_table("file or cdb is missing: a list of addresses");
    }
    RecipientKind::List { entries, more }
}

impl Value for Kind {
    const EXPECTED: &'static str = "the name of a back end such as \"users\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        one_of(
            value,
            &[
                ("users", Kind::Users),
                ("any", Kind::Any),
                ("validrcptto", Kind::List),
                ("users-cdb", Kind::Assign),
                ("maildirs", Kind::Tree),
                ("sqlite", Kind::Sqlite),
                ("command", Kind::Command),
                ("forward", Kind::Forward),
            ],
        )
    }
}
