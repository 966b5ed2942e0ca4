//! What cannot be read as TOML, and what was lost thereby.

use std::collections::BTreeSet;

use toml::de::{DeTable, DeValue, Error};

use crate::Place;
use crate::place::Lines;

/// What remains to be known of a syntactically broken file once its readable part is a tree.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    /// One message a broken line, at its first fault: the faults behind it follow from it.
    pub(crate) mistakes: Vec<(Place, String)>,
    /// The lines that could not be read as they stand. What else is wrong in them follows from that.
    pub(crate) lines: BTreeSet<usize>,
    /// Names that seem to be set in lines that gave no key: they are not missing, they were not understood.
    pub(crate) lost: BTreeSet<String>,
}

impl Damage {
    /// Notes what the parser could not read.
    pub(crate) fn add_errors(&mut self, text: &str, lines: &Lines, tree: &DeTable<'_>, errors: &[Error]) {
        let mut places: Vec<_> = errors.iter().map(|error| (place(text, lines, error), error)).collect();
        places.sort_by_key(|(place, _)| *place);
        for (place, error) in places {
            self.add(place, explain(text, error));
        }
        if !self.lines.is_empty() {
            self.lost = lost(text, lines, tree);
        }
    }

    /// Notes a fault, unless its line is known to be broken.
    pub(crate) fn add(&mut self, place: Place, message: String) {
        if self.lines.insert(place.line) {
            self.mistakes.push((place, message));
        }
    }
}

fn place(text: &str, lines: &Lines, error: &Error) -> Place {
    lines.place(text, &error.span().unwrap_or(0..0))
}

/// The parser's words, and where a likely slip is known, what to write instead.
fn explain(text: &str, error: &Error) -> String {
    let message = error.message().strip_suffix(", expected nothing").unwrap_or(error.message());
    if message.starts_with("string values must be quoted") {
        return match error.span().and_then(|span| text.get(span)) {
            None | Some("") => "a value is missing after `=`".to_owned(),
            Some(word) => format!("text must be quoted: write {word:?}"),
        };
    }
    let number = ["invalid float", "invalid integer", "invalid boolean", "invalid date", "invalid time"];
    let hint =
        if number.iter().any(|start| message.starts_with(start)) { "; text must be quoted" } else { "" };
    format!("{message}{hint}")
}

/// The first word of each line that gave no key.
fn lost(text: &str, lines: &Lines, tree: &DeTable<'_>) -> BTreeSet<String> {
    let mut read = BTreeSet::new();
    lines_with_keys(text, lines, tree, &mut read);
    let unread = text.lines().enumerate().filter(|(index, _)| !read.contains(&(index + 1)));
    unread.flat_map(|(_, line)| words(line)).map(str::to_owned).collect()
}

fn lines_with_keys(text: &str, lines: &Lines, table: &DeTable<'_>, read: &mut BTreeSet<usize>) {
    for (key, value) in table {
        read.insert(lines.place(text, &key.span()).line);
        match value.get_ref() {
            DeValue::Table(table) => lines_with_keys(text, lines, table, read),
            DeValue::Array(elements) => {
                for table in elements.iter().filter_map(|element| element.get_ref().as_table()) {
                    lines_with_keys(text, lines, table, read);
                }
            }
            _ => {}
        }
    }
}

/// The parts of the dotted name at the start of a line.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let name = line.trim_start_matches([' ', '\t', '[']);
    let end = name.find(|c: char| !(c.is_alphanumeric() || "_-.\"'".contains(c))).unwrap_or(name.len());
    name.get(..end).unwrap_or_default().split('.').map(|word| word.trim_matches(['"', '\'']))
}
