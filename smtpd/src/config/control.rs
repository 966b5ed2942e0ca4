//! qmail's control files (qmail-control(5)): what they say counts where the settings say nothing.
//!
//! A file that is not there says nothing. Lines are read as qmail reads them: blanks at the end go, `#` begins a comment.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use settings::{Mistake, Table};

/// `control`
pub const CONTROL: &str = "/var/qmail/control";

/// The files of one directory, and what is wrong with them.
#[derive(Debug)]
pub(super) struct Control {
    directory: Option<PathBuf>,
    mistakes: RefCell<Vec<Mistake>>,
    /// The files that were looked for, which is what the documentation has to name.
    asked: RefCell<BTreeSet<&'static str>>,
}

impl Control {
    /// The directory that the settings name, or qmail's own. `off` is none.
    pub(super) fn of(root: &Table<'_>) -> Self {
        let named = root.get::<String>("control");
        let directory = match named.as_deref() {
            Some("off") => None,
            Some(path) => Some(root.document().directory().join(path)),
            None => Some(PathBuf::from(CONTROL)),
        };
        if let (Some(_), Some(directory)) = (&named, &directory)
            && !directory.is_dir()
        {
            root.mistake(
                "control",
                "there is no such directory; write \"off\" where there are no control files",
            );
        }
        Control { directory, mistakes: RefCell::default(), asked: RefCell::default() }
    }

    /// Where they are.
    pub(super) fn directory(&self) -> Option<PathBuf> {
        self.directory.clone()
    }

    /// Every file that was looked for, there or not.
    #[cfg(test)]
    pub(super) fn asked(&self) -> BTreeSet<&'static str> {
        self.asked.borrow().clone()
    }

    /// Every mistake that was found.
    pub(super) fn into_mistakes(self) -> Vec<Mistake> {
        self.mistakes.into_inner()
    }

    /// A file's path, where it is there.
    pub(super) fn file(&self, name: &'static str) -> Option<PathBuf> {
        self.asked.borrow_mut().insert(name);
        self.directory.as_ref().map(|directory| directory.join(name)).filter(|path| path.exists())
    }

    /// The first line of a file.
    pub(super) fn line(&self, name: &'static str) -> Option<String> {
        let text = self.text(name)?;
        let line = text.lines().next().unwrap_or_default().trim_end_matches([' ', '\t']);
        (!line.is_empty()).then(|| line.to_owned())
    }

    /// The number in a file.
    pub(super) fn number(&self, name: &'static str) -> Option<u64> {
        let line = self.line(name)?;
        let number = line.parse().ok();
        if number.is_none() {
            self.mistake(name, 1, format!("expected a whole number, found {line:?}"));
        }
        number
    }

    /// A number that fits.
    pub(super) fn number_as<N: TryFrom<u64>>(&self, name: &'static str) -> Option<N> {
        let number = N::try_from(self.number(name)?);
        number.inspect_err(|_| self.mistake(name, 1, "this number is too large".to_owned())).ok()
    }

    /// Whether a file holds a number that is not 0.
    pub(super) fn is_on(&self, name: &'static str) -> Option<bool> {
        self.number(name).map(|number| number != 0)
    }

    /// The lines of a file that say something, each with its number; none where the file is not there.
    pub(super) fn lines(&self, name: &'static str) -> Option<Vec<(usize, String)>> {
        let text = self.text(name)?;
        let lines = text.lines().enumerate().map(|(n, line)| (n + 1, line.trim_end_matches([' ', '\t'])));
        let saying = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        Some(saying.map(|(n, line)| (n, line.to_owned())).collect())
    }

    /// The lines of a file, each read as what it must be.
    pub(super) fn entries<T: FromStr<Err = E>, E: std::fmt::Display>(
        &self,
        name: &'static str,
    ) -> Option<Vec<T>> {
        let lines = self.lines(name)?;
        let read = |(n, line): (usize, String)| {
            line.parse().inspect_err(|error: &E| self.mistake(name, n, error.to_string())).ok()
        };
        Some(lines.into_iter().filter_map(read).collect())
    }

    /// Notes what is wrong in a line of a file.
    pub(super) fn mistake(&self, name: &str, line: usize, message: String) {
        if let Some(directory) = &self.directory {
            self.mistakes.borrow_mut().push(Mistake { file: directory.join(name), line, column: 1, message });
        }
    }

    fn text(&self, name: &'static str) -> Option<String> {
        self.asked.borrow_mut().insert(name);
        let path = self.directory.as_ref()?.join(name);
        match fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                self.mistake(name, 1, format!("cannot read this file: {error}"));
                None
            }
        }
    }
}
