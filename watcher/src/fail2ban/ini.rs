//! One file of fail2ban's configuration: sections of options, as Python's `configparser` reads them with fail2ban's
//! settings. No includes and no interpolation: those are between files.

use std::path::Path;
use std::sync::Arc;

use indexmap::IndexMap;
use indexmap::map::Entry as Slot;
use settings::{Mistake, Mistakes};

/// One option as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its lines, joined; nothing in it is replaced yet.
    pub value: String,
    /// The file it stands in.
    pub file: Arc<Path>,
    /// The line it begins in.
    pub line: usize,
}

impl Entry {
    /// A mistake in this option.
    pub fn mistake(&self, message: impl Into<String>) -> Mistake {
        Mistake { file: self.file.to_path_buf(), line: self.line, column: 1, message: message.into() }
    }
}

/// The options of a section by their names, which are in lower case.
pub type Section = IndexMap<String, Entry>;

/// A file that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ini {
    /// `[DEFAULT]`.
    pub defaults: Section,
    /// The other sections, in their order.
    pub sections: IndexMap<String, Section>,
}

/// Reads a file.
///
/// # Errors
/// Every line that is neither section, option, continuation nor comment, and everything that stands there twice.
pub fn parse(file: &Path, text: &str) -> Result<Ini, Mistakes> {
    let mut reader = Reader {
        file: Arc::from(file),
        ini: Ini::default(),
        section: None,
        option: None,
        indent: 0,
        mistakes: Mistakes::new(),
    };
    for (index, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
        reader.line(index + 1, line);
    }
    let Reader { mut ini, mistakes, .. } = reader;
    let sections = ini.sections.values_mut().chain(std::iter::once(&mut ini.defaults));
    for entry in sections.flat_map(IndexMap::values_mut) {
        entry.value.truncate(entry.value.trim_end().len());
    }
    mistakes.into_result(ini)
}

/// The name of the section whose options stand in every other one.
const DEFAULT: &str = "DEFAULT";

struct Reader {
    file: Arc<Path>,
    ini: Ini,
    section: Option<String>,
    option: Option<String>,
    /// How far the option's own line is indented: what is indented further goes on with it.
    indent: usize,
    mistakes: Mistakes,
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) {
        let content = uncommented(line);
        let text = content.unwrap_or(line).trim();
        if text.is_empty() {
            // A blank line is part of the value it stands in; a comment is not.
            if content.is_none()
                && let Some(entry) = self.current()
            {
                entry.value.push('\n');
            }
            return;
        }
        let indent = line.len() - line.trim_start().len();
        let continues = indent > self.indent;
        if continues && let Some(entry) = self.current() {
            entry.value.push('\n');
            entry.value.push_str(text);
            return;
        }
        self.indent = indent;
        let header = text.strip_prefix('[').and_then(|rest| rest.rsplit_once(']')).map(|(name, _)| name);
        match header.filter(|name| !name.is_empty()) {
            Some(name) => self.header(number, name),
            None => self.option(number, text),
        }
    }

    fn current(&mut self) -> Option<&mut Entry> {
        let (section, option) = (self.section.as_deref()?, self.option.as_deref()?);
        if section == DEFAULT {
            return self.ini.defaults.get_mut(option);
        }
        self.ini.sections.get_mut(section)?.get_mut(option)
    }

    fn header(&mut self, number: usize, name: &str) {
        if name != DEFAULT && self.ini.sections.insert(name.to_owned(), Section::new()).is_some() {
            self.mistake(number, format!("the section [{name}] stands here twice"));
        }
        (self.section, self.option) = (Some(name.to_owned()), None);
    }

    fn option(&mut self, number: usize, text: &str) {
        let Some(section) = self.section.as_deref() else {
            self.mistake(number, "an option before the first [section]");
            return;
        };
        let Some((name, value)) = text.split_once(['=', ':']) else {
            self.mistake(number, "neither a [section], nor an option with its value, nor a comment");
            return;
        };
        let name = name.trim_end().to_lowercase();
        let section = if section == DEFAULT {
            &mut self.ini.defaults
        } else {
            self.ini.sections.entry(section.to_owned()).or_default()
        };
        let entry = Entry { value: value.trim().to_owned(), file: Arc::clone(&self.file), line: number };
        let twice = match section.entry(name.clone()) {
            Slot::Vacant(slot) => {
                slot.insert(entry);
                false
            }
            Slot::Occupied(_) => true,
        };
        if twice {
            self.mistake(number, format!("the option `{name}` stands twice in this section"));
        }
        self.option = Some(name);
    }

    fn mistake(&mut self, line: usize, message: impl Into<String>) {
        let mistake = Mistake { file: self.file.to_path_buf(), line, column: 1, message: message.into() };
        self.mistakes.merge(Err(mistake.into()));
    }
}

/// What stands before a comment; none where there is no comment.
fn uncommented(line: &str) -> Option<&str> {
    if line.trim_start().starts_with(['#', ';']) {
        return Some("");
    }
    let is_first = |(at, _): &(usize, &str)| {
        line.get(..*at).and_then(|before| before.chars().next_back()).is_none_or(char::is_whitespace)
    };
    let (at, _) = line.match_indices(';').find(is_first)?;
    line.get(..at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str, &str)]) {
        let ini = parse(Path::new("x.conf"), text).unwrap();
        let sections = ini.sections.iter().map(|(name, section)| (name.as_str(), section));
        let found: Vec<(&str, &str, &str)> = std::iter::once((DEFAULT, &ini.defaults))
            .chain(sections)
            .flat_map(|(name, section)| {
                section.iter().map(move |(o, e)| (name, o.as_str(), e.value.as_str()))
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn values_go_on_where_lines_are_indented() {
        check(
            "[DEFAULT]\nA = 1\n[Definition]\nfailregex = ^one$\n            ^two$\n\n  # not this\n   ^three;3$ ; nor this\nb: x\n",
            &[
                ("DEFAULT", "a", "1"),
                ("Definition", "failregex", "^one$\n^two$\n\n^three;3$"),
                ("Definition", "b", "x"),
            ],
        );
    }

    #[test]
    fn an_indented_option_after_a_header_is_an_option() {
        check(
            "[a?family=inet6]\n  x = 1\n  y = = 2:3\n",
            &[("a?family=inet6", "x", "1"), ("a?family=inet6", "y", "= 2:3")],
        );
    }

    #[test]
    fn every_mistake_is_told_with_its_line() {
        let mistakes = parse(Path::new("x.conf"), "a = 1\n[x]\nb = 1\nb = 2\nc\n[x]\n").unwrap_err();
        let lines: Vec<usize> = mistakes.iter().map(|mistake| mistake.line).collect();
        assert_eq!(lines, [1, 4, 5, 6], "{mistakes}");
    }
}
