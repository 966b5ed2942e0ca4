//! What cannot be read as TOML, and how far it spoils the rest.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::de::{DeTable, DeValue, Error};

use crate::Place;
use crate::place::Lines;

/// What is known of the broken parts of a text.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    /// One message a broken line, at its first fault: the faults behind it follow from it.
    pub(crate) mistakes: Vec<(Place, String)>,
    /// The lines that could not be read as they stand. What else is wrong in them follows from that.
    pub(crate) lines: BTreeSet<usize>,
    /// Names that seem to be set in lines that gave no key: they are not missing, they were not understood.
    pub(crate) lost: BTreeSet<String>,
}

/// How often a text is read again for what stands behind a fault that the parser does not get over.
const READINGS_MAX: usize = 64;

impl Damage {
    /// Notes what the parser cannot read in `text`.
    ///
    /// Where the parser would lose its way, as behind a bracket that is not closed, the statement is wiped out and the
    /// text read again, so that the statements behind it are judged for themselves. Nothing moves to another place.
    pub(crate) fn contain(&mut self, text: &mut String, lines: &Lines) {
        for reading in 1..=READINGS_MAX {
            let (tree, mut errors) = DeTable::parse_recoverable(text);
            errors.sort_by_key(start);
            let line = |error: &Error| lines.place(text, start(error)).line;
            let astray = errors.iter().find(|error| reading < READINGS_MAX && !is_got_over(error));
            // What the parser says of a line before it is astray there is as wrong as what it says behind.
            let genuine = |error: &&Error| astray.is_none_or(|astray| line(error) < line(astray));
            for error in errors.iter().take_while(genuine) {
                self.add(lines.place(text, start(error)), explain(error, text));
            }
            let Some(fault) = astray.map(|error| Fault::of(error, text, lines)) else {
                if !self.lines.is_empty() {
                    self.lost.extend(unread(text, lines, tree.get_ref()).flat_map(words));
                }
                return;
            };
            drop(tree);
            self.add(fault.place, fault.message);
            self.lines.extend(fault.lines.clone());
            self.wipe(text, lines, fault.lines);
        }
    }

    /// Notes a fault, unless its line is known to be broken.
    pub(crate) fn add(&mut self, place: Place, message: String) {
        if self.lines.insert(place.line) {
            self.mistakes.push((place, message));
        }
    }

    fn wipe(&mut self, text: &mut String, lines: &Lines, wiped: Range<usize>) {
        for line in wiped {
            self.lost.extend(words(lines.line(text, line)));
            let blank = |byte| if byte == b'\n' { '\n' } else { ' ' };
            let span = lines.span(text, line);
            let blanks: String = text.get(span.clone()).unwrap_or_default().bytes().map(blank).collect();
            text.replace_range(span, &blanks);
        }
    }
}

/// A fault that the parser does not get over.
struct Fault {
    place: Place,
    message: String,
    /// The lines that cannot be read because of it.
    lines: Range<usize>,
}

impl Fault {
    fn of(error: &Error, text: &str, lines: &Lines) -> Fault {
        let offset = start(error);
        let place = lines.place(text, offset);
        let at_end = text.get(offset..).is_none_or(|rest| rest.trim().is_empty());
        if at_end && error.message().contains("multi-line") {
            return Fault::open_quote(text, lines, place.line);
        }
        let before = text.get(lines.span(text, place.line).start..offset).unwrap_or_default();
        let swallowed = !before.contains('=') && Statement::of(lines.line(text, place.line)).is_some();
        if is_in_bracket(error) && (swallowed || at_end) {
            let end = if swallowed { place.line } else { place.line + 1 };
            if let Some(fault) = Fault::open_bracket(text, lines, end) {
                return fault;
            }
        }
        let headless = !is_in_bracket(error) && lines.line(text, place.line).trim_start().starts_with('[');
        let end = if headless { section_end(text, lines, place.line) } else { place.line + 1 };
        Fault { place, message: explain(error, text), lines: place.line..end }
    }

    /// The last text of several lines that begins, and then goes on to the end of the file.
    fn open_quote(text: &str, lines: &Lines, last: usize) -> Fault {
        let quote = text.rfind("'''").max(text.rfind("\"\"\"")).unwrap_or(text.len());
        let place = lines.place(text, quote);
        let message = format!(
            "this text is not closed: {} is missing",
            text.get(quote..quote + 3).unwrap_or("a quote")
        );
        Fault { place, message, lines: place.line..last + 1 }
    }

    /// The last statement that begins before the line `end`, in which a bracket was left open.
    fn open_bracket(text: &str, lines: &Lines, end: usize) -> Option<Fault> {
        let is_key = |line: &usize| Statement::of(lines.line(text, *line)) == Some(Statement::Key);
        let line = (1..end).rev().find(is_key)?;
        let span = lines.span(text, line);
        let bracket = span.start + text.get(span)?.find(['[', '{'])?;
        let message = match text.get(bracket..)?.starts_with('[') {
            true => "this list is not closed: `]` is missing",
            false => "this table is not closed: `}` is missing",
        };
        Some(Fault { place: lines.place(text, bracket), message: message.to_owned(), lines: line..end })
    }
}

/// What a line seems to begin.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Statement {
    Key,
    Header,
}

impl Statement {
    fn of(line: &str) -> Option<Statement> {
        let header = line.trim_start().trim_start_matches('[');
        if header.len() < line.trim_start().len() {
            return header.starts_with(|c: char| c.is_alphabetic() || c == '_').then_some(Statement::Header);
        }
        let (name, rest) = name(line);
        (!name.is_empty() && rest.trim_start().starts_with('=')).then_some(Statement::Key)
    }
}

/// Without its header the keys of a section are nobody's, up to the next header.
fn section_end(text: &str, lines: &Lines, header: usize) -> usize {
    let count = text.lines().count();
    let is_header = |line: &usize| Statement::of(lines.line(text, *line)) == Some(Statement::Header);
    (header + 1..=count).find(is_header).unwrap_or(count + 1)
}

fn start(error: &Error) -> usize {
    error.span().map_or(0, |span| span.start)
}

/// Whether the parser finds the next statement after such an error. What is not known here leads it astray.
fn is_got_over(error: &Error) -> bool {
    const VALUES: [&str; 14] = [
        "string values must be quoted",
        "duplicate key",
        "cannot extend",
        "invalid basic string",
        "invalid literal string",
        "invalid boolean",
        "invalid integer",
        "invalid float",
        "invalid date",
        "invalid time",
        "missing escaped value",
        "redundant",
        "unexpected leading zero",
        "unexpected sign",
    ];
    VALUES.iter().any(|start| error.message().starts_with(start))
}

fn is_in_bracket(error: &Error) -> bool {
    ["array", "inline table", "key-value"].iter().any(|part| error.message().contains(part))
}

/// The parser's words, and where a likely slip is known, what to write instead.
fn explain(error: &Error, text: &str) -> String {
    let span = error.span().and_then(|span| text.get(span)).unwrap_or_default();
    let message = error.message().strip_suffix(", expected nothing").unwrap_or(error.message());
    let is = |start: &str| message.starts_with(start);
    if is("string values must be quoted") && span.is_empty() {
        "a value is missing after `=`".to_owned()
    } else if is("string values must be quoted") {
        format!("text must be quoted: write {span:?}")
    } else if is("duplicate key") {
        format!("`{}` is set twice", span.escape_debug())
    } else if ["invalid boolean", "invalid integer", "invalid float", "invalid date", "invalid time"]
        .into_iter()
        .any(is)
    {
        format!("{message}; text must be quoted")
    } else {
        message.to_owned()
    }
}

/// The lines that gave no key.
fn unread<'t>(text: &'t str, lines: &Lines, tree: &DeTable<'_>) -> impl Iterator<Item = &'t str> {
    let mut read = BTreeSet::new();
    lines_with_keys(text, lines, tree, &mut read);
    text.lines().enumerate().filter(move |(index, _)| !read.contains(&(index + 1))).map(|(_, line)| line)
}

fn lines_with_keys(text: &str, lines: &Lines, table: &DeTable<'_>, read: &mut BTreeSet<usize>) {
    for (key, value) in table {
        read.insert(lines.place(text, key.span().start).line);
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

/// The parts of the name at the start of a line.
fn words(line: &str) -> impl Iterator<Item = String> {
    name(line)
        .0
        .split('.')
        .map(|word| word.trim_matches(['"', '\'']).to_owned())
        .collect::<Vec<_>>()
        .into_iter()
}

/// The dotted name at the start of a line or of a header, and what follows it.
fn name(line: &str) -> (&str, &str) {
    let name = line.trim_start_matches([' ', '\t', '[']);
    name.split_at(name.find(|c: char| !(c.is_alphanumeric() || "_-.\"'".contains(c))).unwrap_or(name.len()))
}
