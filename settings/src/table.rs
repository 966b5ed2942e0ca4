//! One table of a document, read key by key.

use std::fmt;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::asked::Route;
use crate::value::mismatch;
use crate::{Document, Place, Value};

/// One table of a [`Document`]: the whole file, `[tls]`, one of `[[listen]]`, or `{ … }`.
///
/// Asking for a key makes it known; what is wrong with its value goes to the document.
#[derive(Debug)]
pub struct Table<'d> {
    document: &'d Document,
    /// `None` for a table that is not written, which reads as an empty one.
    table: Option<&'d DeTable<'d>>,
    route: Route,
    place: Place,
}

impl<'d> Table<'d> {
    pub(crate) fn new(
        document: &'d Document,
        table: Option<&'d DeTable<'d>>,
        route: Route,
        place: Place,
    ) -> Table<'d> {
        document.opened(&route);
        Table { document, table, route, place }
    }

    /// The value of `key`; `None` where it is absent, or wrong, which is a mistake.
    pub fn get<T: Value>(&self, key: &str) -> Option<T> {
        self.document.value(&self.route, key, self.value(key)?)
    }

    /// The value of `key`, whose absence is a mistake too.
    pub fn require<T: Value>(&self, key: &str) -> Option<T> {
        if !self.contains(key) {
            self.missing(key, T::EXPECTED);
        }
        self.get(key)
    }

    /// The value of `key`, or `default` where it is absent or wrong; the latter is a mistake.
    pub fn get_or<T: Value>(&self, key: &str, default: T) -> T {
        self.get(key).unwrap_or(default)
    }

    /// The path that `key` holds; a relative one counts from the file that names it.
    pub fn path(&self, key: &str) -> Option<PathBuf> {
        let path: PathBuf = self.get(key)?;
        Some(self.document.name().parent().map_or(path.clone(), |directory| directory.join(path)))
    }

    /// The table that `key` holds; `None` where it is absent, or no table, which is a mistake.
    pub fn table(&self, key: &str) -> Option<Table<'d>> {
        let value = self.value(key)?;
        let table = value.get_ref().as_table();
        if table.is_none() {
            let header = format!("a table: [{}]", self.route.key(key).name());
            self.mistake(key, mismatch(&header, value.get_ref()));
        }
        Some(self.inner(table?, self.route.key(key), value))
    }

    /// The table that `key` holds; an absent one reads as an empty one, for a table in which every key has a default.
    pub fn table_or_empty(&self, key: &str) -> Table<'d> {
        let empty = || Table::new(self.document, None, self.route.key(key), self.place);
        self.table(key).unwrap_or_else(empty)
    }

    /// The tables of a list, in their order: every `[[key]]`.
    pub fn tables(&self, key: &str) -> Vec<Table<'d>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let Some(elements) = value.get_ref().as_array() else {
            let header = format!("a list of tables: [[{}]]", self.route.key(key).name());
            self.mistake(key, mismatch(&header, value.get_ref()));
            return Vec::new();
        };
        let table_at = |(index, element): (usize, &'d Spanned<DeValue<'d>>)| {
            let table = element.get_ref().as_table();
            if table.is_none() {
                let message = mismatch("a table such as { key = 1 }", element.get_ref());
                self.document.mistake_at(self.document.place(&element.span()), message);
            }
            Some(self.inner(table?, self.route.element(key, index), element))
        };
        elements.iter().enumerate().filter_map(table_at).collect()
    }

    /// Every key of this table and the table that it holds, in the order of the file: `[quota."zone"]`.
    pub fn entries(&self) -> Vec<(String, Table<'d>)> {
        self.keys().into_iter().filter_map(|key| self.table(&key).map(|table| (key, table))).collect()
    }

    /// Every key of the table that `key` holds, and its string: `codes = { "127.0.0.2" = "sbl" }`.
    pub fn string_map(&self, key: &str) -> Vec<(String, String)> {
        self.map(key)
    }

    /// Every key of the table that `key` holds, and its value, in the order of the file.
    ///
    /// With `T` a [`Located`](crate::Located), a later mistake about an entry can be told at its place.
    pub fn map<T: Value>(&self, key: &str) -> Vec<(String, T)> {
        let Some(table) = self.table(key) else { return Vec::new() };
        table.keys().into_iter().filter_map(|key| table.require(&key).map(|value| (key, value))).collect()
    }

    /// Whether `key` is set. It is known from now on, whatever it holds.
    pub fn contains(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// Whether `key` holds a table, for a key that may hold something else too.
    pub fn holds_table(&self, key: &str) -> bool {
        self.value(key).is_some_and(|value| value.get_ref().is_table())
    }

    /// The keys that are set, in the order of the file. None of them is known for being named here.
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<_> = self.table.into_iter().flatten().map(|(key, _)| key).collect();
        keys.sort_by_key(|key| key.span().start);
        keys.into_iter().map(|key| key.get_ref().clone().into_owned()).collect()
    }

    /// Where the value of `key` stands; the table's place where it is absent.
    pub fn place(&self, key: &str) -> Place {
        self.value(key).map_or(self.place, |value| self.document.place(&value.span()))
    }

    /// Where this table stands: its header or its brace.
    pub fn table_place(&self) -> Place {
        self.place
    }

    /// The document that this is a table of.
    pub fn document(&self) -> &'d Document {
        self.document
    }

    /// A semantic mistake at the value of `key`, or at the table where the key is absent.
    pub fn mistake(&self, key: &str, message: impl fmt::Display) {
        let message = message.to_string();
        if self.contains(key) {
            self.document.mistakes_in(&self.route, key, vec![(self.place(key), message)]);
        } else {
            self.document.mistake_without(&self.route, key, self.place, message);
        }
    }

    /// A semantic mistake about the table as a whole.
    pub fn mistake_at_table(&self, message: impl fmt::Display) {
        self.document.mistake_about(&self.route, self.place, message.to_string());
    }

    fn missing(&self, key: &str, expected: &str) {
        self.mistake(key, format!("`{}` is missing; expected {expected}", key.escape_debug()));
    }

    /// The one place where a key is looked up, so that none is looked up without becoming known.
    fn value(&self, key: &str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.document.asked(&self.route, key);
        self.table?.get(key)
    }

    fn inner(&self, table: &'d DeTable<'d>, route: Route, value: &Spanned<DeValue<'d>>) -> Table<'d> {
        Table::new(self.document, Some(table), route, self.document.place(&value.span()))
    }
}
