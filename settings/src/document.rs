//! One file: its text as a tree, what was asked of it, and what is wrong with it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use self_cell::self_cell;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::asked::{Asked, Route};
use crate::place::Lines;
use crate::syntax::Damage;
use crate::value::Faults;
use crate::{Mistake, Mistakes, Place, Table, Value, unknown};

/// One parsed TOML file with its name and text. It collects what is wrong with the file until [`Document::finish`].
///
/// A file with syntax errors is read as far as it can be, so that what else is wrong is told too.
#[derive(Debug)]
pub struct Document {
    name: PathBuf,
    source: Source,
    lines: Lines,
    damage: Damage,
    notes: RefCell<Notes>,
}

self_cell!(
    /// The text and the tree that borrows from it.
    struct Source {
        owner: String,
        #[covariant]
        dependent: Tree,
    }
    impl { Debug }
);

#[derive(Debug)]
struct Tree<'t> {
    root: DeTable<'t>,
}

/// What was asked and what was found wrong, while a document is read.
#[derive(Debug, Default)]
struct Notes {
    asked: Asked,
    blamed: BTreeSet<Subject>,
    mistakes: Vec<(Place, String)>,
}

/// What a mistake is about. One subject is blamed once: a second mistake there mostly follows from the first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    /// A key of the table at this path.
    Key(String, String),
    /// A value that has a place of its own.
    Value(Place),
    /// A table as a whole, and what is said of it.
    Table(String, String),
}

impl Document {
    /// Reads a file. Bytes that are no UTF-8 are mistakes in the file like any other.
    ///
    /// # Errors
    /// Those of opening and reading the file; the path is not in them.
    pub fn read(path: &Path) -> Result<Document, io::Error> {
        Ok(Document::from_bytes(path, &std::fs::read(path)?))
    }

    /// Reads the bytes of a file. Those that are no UTF-8 are mistakes.
    pub fn from_bytes(name: impl Into<PathBuf>, bytes: &[u8]) -> Document {
        // Editors hide the byte order mark that some of them write; it would shift the columns of the first line.
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        let mut text = String::with_capacity(bytes.len());
        let mut invalid = Vec::new();
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            if !chunk.invalid().is_empty() {
                invalid.push(text.len());
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        Document::new(name.into(), text, &invalid)
    }

    /// Reads a text. What cannot be read as TOML is a mistake, told by [`Document::finish`].
    pub fn parse(name: impl Into<PathBuf>, text: impl Into<String>) -> Document {
        Document::from_bytes(name, text.into().as_bytes())
    }

    fn new(name: PathBuf, mut text: String, invalid: &[usize]) -> Document {
        let lines = Lines::of(&text);
        let mut damage = Damage::default();
        for &offset in invalid {
            damage.add(lines.place(&text, offset), "the file must be UTF-8; here it is not".to_owned());
        }
        damage.contain(&mut text, &lines);
        let source = Source::new(text, |text| Tree { root: DeTable::parse_recoverable(text).0.into_inner() });
        Document { name, source, lines, damage, notes: RefCell::default() }
    }

    /// The table that the whole file is.
    pub fn root(&self) -> Table<'_> {
        Table::new(self, Some(self.tree()), Route::root(), Place::START)
    }

    /// The file's name, as the person gave it.
    pub fn name(&self) -> &Path {
        &self.name
    }

    /// The directory that relative paths in the file count from.
    pub fn directory(&self) -> &Path {
        match self.name.parent() {
            Some(directory) if directory != Path::new("") => directory,
            Some(_) | None => Path::new("."),
        }
    }

    /// A semantic mistake in what stands at a place that was kept. In a line that cannot be read, only that is told.
    pub fn mistake_at(&self, place: Place, message: impl fmt::Display) {
        if !self.damage.lines.contains(&place.line) {
            self.note(Subject::Value(place), place, message.to_string());
        }
    }

    /// Tells whether the file is right. Keys that no one asked for are mistakes too.
    ///
    /// # Errors
    /// Every mistake, in the order of the file.
    pub fn finish(self) -> Result<(), Mistakes> {
        let unknown = self.unknown_keys();
        let Document { name, damage, notes, .. } = self;
        let all = damage.mistakes.into_iter().chain(notes.into_inner().mistakes).chain(unknown);
        let mistakes: Mistakes = all
            .map(|(Place { line, column }, message)| Mistake { file: name.clone(), line, column, message })
            .collect();
        mistakes.into_result(())
    }

    /// What was made of the file, where it is right.
    ///
    /// # Errors
    /// Every mistake; `None` is for a value that could not be made because of one.
    pub fn finish_with<T>(self, value: Option<T>) -> Result<T, Mistakes> {
        let file = self.name.clone();
        self.finish()?;
        value.ok_or_else(|| {
            let message = "these settings cannot be used".to_owned();
            Mistake { file, line: Place::START.line, column: Place::START.column, message }.into()
        })
    }

    fn unknown_keys(&self) -> Vec<(Place, String)> {
        let mut unknown = Vec::new();
        unknown::keys(self.tree(), &self.notes.borrow().asked, &mut |span, message| {
            let place = self.place(&span);
            if !self.damage.lines.contains(&place.line) {
                unknown.push((place, message));
            }
        });
        unknown
    }

    fn tree(&self) -> &DeTable<'_> {
        &self.source.borrow_dependent().root
    }
}

/// What a [`Table`] needs of its document.
impl Document {
    pub(crate) fn place(&self, span: &Range<usize>) -> Place {
        self.lines.place(self.source.borrow_owner(), span.start)
    }

    pub(crate) fn opened(&self, route: &Route) {
        self.notes.borrow_mut().asked.open(route);
    }

    pub(crate) fn asked(&self, route: &Route, key: &str) {
        self.notes.borrow_mut().asked.key(route, key);
    }

    /// Reads the value of `key`, and notes what is wrong with it.
    pub(crate) fn value<T: Value>(
        &self,
        route: &Route,
        key: &str,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<T> {
        let mut faults = Faults::new(self.source.borrow_owner(), &self.lines);
        let read = T::read_spanned(value, &mut faults);
        self.mistakes_in(route, key, faults.into_found());
        read
    }

    /// Notes what is wrong in the value of a key, unless something was before.
    pub(crate) fn mistakes_in(&self, route: &Route, key: &str, found: Vec<(Place, String)>) {
        let subject = Subject::Key(route.path(), key.to_owned());
        if !found.is_empty() && self.notes.borrow_mut().blamed.insert(subject) {
            for (place, message) in found {
                self.mistake_at(place, message);
            }
        }
    }

    /// Notes a mistake about a key that is not there, unless it may stand in a line that could not be read.
    pub(crate) fn mistake_without(&self, route: &Route, key: &str, place: Place, message: String) {
        if !self.damage.lost.contains(key) {
            self.note(Subject::Key(route.path(), key.to_owned()), place, message);
        }
    }

    pub(crate) fn mistake_about(&self, route: &Route, place: Place, message: String) {
        self.note(Subject::Table(route.path(), message.clone()), place, message);
    }

    fn note(&self, subject: Subject, place: Place, message: String) {
        let mut notes = self.notes.borrow_mut();
        if notes.blamed.insert(subject) {
            notes.mistakes.push((place, message));
        }
    }
}
