//! `[log]`: where the journal goes, and in which words.

use std::path::PathBuf;

use settings::{DeValue, Table, Value, one_of};

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

pub(super) fn log(table: &Table<'_>) -> Log {
    let file = table.path("file");
    let stamp = if file.is_some() { Stamp::Tai64n } else { Stamp::None };
    Log {
        format: table.get_or("format", Format::Qmail),
        stamp: table.get_or("stamp", stamp),
        socket: table.path("socket"),
        file,
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
