//! Several files as one: `X.conf`, `X.d/*.conf`, `X.local`, `X.d/*.local` and what each includes, a later one before an
//! earlier one; and the values in them, interpolated.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use settings::{Mistake, Mistakes};

use crate::fail2ban::ini::{self, Entry, Ini, Section};

/// So many files may come together.
const FILES_MAX: usize = 1000;

/// Files may include each other so deep.
const INCLUDES_MAX: usize = 50;

/// Interpolations may lie in each other so deep, as in Python.
const DEPTH_MAX: usize = 10;

/// No value is longer: a file of ten lines can ask for a value of ten terabytes.
const VALUE_BYTES_MAX: usize = 1 << 20;

/// Values that are given from outside and go before those of the files; the names are in lower case.
pub type Variables = BTreeMap<String, String>;

/// Where files come from.
pub trait Tree {
    /// The text of a file; none where there is no such file.
    fn read(&self, path: &Path) -> Option<io::Result<String>>;
    /// The files of a directory whose names end so, in their order.
    fn list(&self, directory: &Path, extension: &str) -> Vec<PathBuf>;
}

/// The file system.
#[derive(Clone, Copy, Debug)]
pub struct Disk;

impl Tree for Disk {
    fn read(&self, path: &Path) -> Option<io::Result<String>> {
        match std::fs::read(path) {
            Ok(bytes) => Some(Ok(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some(Err(error)),
        }
    }

    fn list(&self, directory: &Path, extension: &str) -> Vec<PathBuf> {
        // A directory that is not there, or cannot be read, has no files in it; fail2ban sees none either.
        let entries = std::fs::read_dir(directory).into_iter().flatten();
        let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
        let mut files: Vec<PathBuf> =
            paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
        files.sort();
        files
    }
}

/// Files laid over each other.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    defaults: Section,
    sections: indexmap::IndexMap<String, Section>,
    /// What a section said before a later file said otherwise: `%(known/name)s`.
    known: indexmap::IndexMap<String, Section>,
    /// Every file that was read, in the order in which they were laid.
    pub files: Vec<PathBuf>,
}

impl Layers {
    /// Reads `base.conf` and everything that changes it.
    ///
    /// # Errors
    /// There is no such file, one cannot be read, or every mistake in them.
    pub fn read(tree: &dyn Tree, base: &Path) -> Result<Layers, Mistakes> {
        let with = |extension: &str| {
            let mut path = base.as_os_str().to_owned();
            path.push(extension);
            PathBuf::from(path)
        };
        let beside = with(".d");
        let mut wanted = vec![with(".conf")];
        wanted.extend(tree.list(&beside, "conf"));
        wanted.push(with(".local"));
        wanted.extend(tree.list(&beside, "local"));
        let mut reading = Reading { tree, layers: Layers::default(), mistakes: Mistakes::new() };
        for path in &wanted {
            reading.with_local(path, &wanted, &[]);
        }
        let Reading { layers, mut mistakes, .. } = reading;
        if layers.files.is_empty() && mistakes.is_empty() {
            mistakes.merge(Err(absent(&with(".conf"))));
        }
        mistakes.into_result(layers)
    }

    fn lay(&mut self, ini: Ini) {
        self.defaults.extend(ini.defaults);
        for (name, mut section) in ini.sections {
            let name = match name.split_once('?') {
                // A conditional section is its options, each under that condition.
                Some((plain, condition)) => {
                    let renamed = |(option, entry)| (format!("{option}?{condition}"), entry);
                    section = section.into_iter().map(renamed).collect();
                    plain.to_owned()
                }
                None => name,
            };
            match self.sections.get_mut(&name) {
                None => {
                    self.sections.insert(name, section);
                }
                Some(laid) => {
                    let known = self.known.entry(name).or_default();
                    for option in section.keys() {
                        if let Some(entry) = laid.get(option) {
                            known.insert(option.clone(), entry.clone());
                        }
                    }
                    laid.extend(section);
                }
            }
        }
    }

    /// The names of the sections, in their order.
    pub fn sections(&self) -> impl Iterator<Item = &str> {
        self.sections.keys().map(String::as_str)
    }

    /// The options that a section has of its own.
    pub fn options(&self, section: &str) -> impl Iterator<Item = &str> {
        self.sections.get(section).into_iter().flat_map(|section| section.keys().map(String::as_str))
    }

    /// Adds a value that every section has unless it has its own.
    pub fn set_default(&mut self, option: &str, value: &str) {
        let entry = Entry { value: value.to_owned(), file: Arc::from(Path::new("")), line: 1 };
        self.defaults.insert(option.to_owned(), entry);
    }

    /// Adds what a filter says, for `%(known/name)s` in the section of its jail.
    pub fn knows(&mut self, section: &str, option: &str, value: &str) {
        let entry = Entry { value: value.to_owned(), file: Arc::from(Path::new("")), line: 1 };
        if let Some(section) = self.sections.get_mut(section) {
            section.insert(format!("known/{option}"), entry);
        }
    }

    /// Whether a section has the option of its own.
    pub fn has(&self, section: &str, option: &str) -> bool {
        self.sections.get(section).is_some_and(|section| section.contains_key(option))
    }

    /// Where an option stands; none where it is nowhere.
    pub fn entry(&self, section: &str, option: &str) -> Option<&Entry> {
        self.sections.get(section).and_then(|s| s.get(option)).or_else(|| self.defaults.get(option))
    }

    /// The value of an option, everything in it replaced; none where nobody says.
    ///
    /// # Errors
    /// What it asks for does not exist, or asks for itself.
    pub fn get(
        &self,
        section: &str,
        option: &str,
        variables: &Variables,
    ) -> Result<Option<String>, Box<Mistake>> {
        let entry = self.entry(section, option);
        let Some(raw) = variables.get(option).or_else(|| entry.map(|entry| &entry.value)) else {
            return Ok(None);
        };
        let mut value = String::new();
        let scope = Scope { layers: self, section, variables };
        match scope.interpolate(raw, 0, &mut value) {
            Ok(()) => Ok(Some(value)),
            Err(message) => Err(Box::new(match entry {
                Some(entry) => entry.mistake(format!("`{option}`: {message}")),
                None => given(option, &message),
            })),
        }
    }

    /// As [`Layers::get`], for a name that may say its section: `lt_file/__prefix_line`, `known/failregex`.
    ///
    /// # Errors
    /// As those of [`Layers::get`].
    pub fn get_named(
        &self,
        section: &str,
        name: &str,
        variables: &Variables,
    ) -> Result<Option<String>, Box<Mistake>> {
        if let Some((named, option)) = name.split_once('/') {
            let none = Variables::new();
            let known = named.eq_ignore_ascii_case("known");
            if known && let Some(entry) = self.known.get(section).and_then(|known| known.get(option)) {
                let mut value = String::new();
                let scope = Scope { layers: self, section, variables: &none };
                let found = scope.interpolate(&entry.value, 0, &mut value);
                return found.map(|()| Some(value)).map_err(|message| Box::new(entry.mistake(message)));
            }
            let named = if known { section } else { named };
            let exists = self.sections.contains_key(named) || named.eq_ignore_ascii_case("default");
            if exists && let Some(value) = self.get(named, option, &none)? {
                return Ok(Some(value));
            }
        }
        self.get(section, name, variables)
    }
}

/// Where the names in a value are looked for.
struct Scope<'a> {
    layers: &'a Layers,
    section: &'a str,
    variables: &'a Variables,
}

impl Scope<'_> {
    fn interpolate(&self, raw: &str, depth: usize, out: &mut String) -> Result<(), String> {
        if depth >= DEPTH_MAX {
            return Err("the values ask for each other without an end".to_owned());
        }
        let mut rest = raw;
        while let Some((before, after)) = rest.split_once('%') {
            out.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                out.push('%');
                rest = after;
                continue;
            }
            let name = after.strip_prefix('(').and_then(|name| name.split_once(")s"));
            let Some((name, after)) = name.filter(|(name, _)| !name.contains(')')) else {
                return Err("a single % is neither %(name)s nor %%".to_owned());
            };
            let value = self.lookup(name).ok_or_else(|| format!("there is no `{name}` for %({name})s"))?;
            self.interpolate(value, depth + 1, out)?;
            if out.len() > VALUE_BYTES_MAX {
                return Err(format!("it is longer than {VALUE_BYTES_MAX} bytes"));
            }
            rest = after;
        }
        out.push_str(rest);
        Ok(())
    }

    fn lookup(&self, name: &str) -> Option<&str> {
        let name = name.to_lowercase();
        let Layers { defaults, sections, known, .. } = self.layers;
        if name == "__name__" {
            return Some(self.section);
        }
        if let Some(value) = self.variables.get(&name) {
            return Some(value);
        }
        if let Some(entry) = self.layers.entry(self.section, &name) {
            return Some(&entry.value);
        }
        let (section, option) = name.split_once('/')?;
        let own = match section {
            "default" => None,
            "known" => known.get(self.section).and_then(|section| section.get(option)),
            named => {
                let is_it = |(found, _): &(&String, &Section)| found.to_lowercase() == named;
                Some(sections.iter().find(is_it)?.1).and_then(|section| section.get(option))
            }
        };
        own.or_else(|| defaults.get(option)).map(|entry| entry.value.as_str())
    }
}

/// Files being read.
struct Reading<'t> {
    tree: &'t dyn Tree,
    layers: Layers,
    mistakes: Mistakes,
}

impl Reading<'_> {
    /// A file, and the `.local` beside it unless that has its own turn.
    fn with_local(&mut self, path: &Path, turns: &[PathBuf], above: &[PathBuf]) {
        self.file(path, above);
        let local = path.with_extension("local");
        // It may be the very file that includes this one.
        if local != path && !turns.contains(&local) && !above.contains(&local) {
            self.file(&local, above);
        }
    }

    fn file(&mut self, path: &Path, above: &[PathBuf]) {
        let text = match self.tree.read(path) {
            // What does not exist says nothing: `X.local` seldom does.
            None => return,
            Some(Ok(text)) => text,
            Some(Err(error)) => {
                let message = format!("cannot be read: {error}");
                let file = path.to_owned();
                return self.mistakes.merge(Err(Mistake { file, line: 1, column: 1, message }.into()));
            }
        };
        let ini = match ini::parse(path, &text) {
            Ok(ini) => ini,
            Err(mistakes) => return self.mistakes.merge(Err(mistakes)),
        };
        if self.layers.files.len() >= FILES_MAX {
            return;
        }
        if above.len() >= INCLUDES_MAX {
            let message = format!("files include each other more than {INCLUDES_MAX} deep");
            let file = path.to_owned();
            return self.mistakes.merge(Err(Mistake { file, line: 1, column: 1, message }.into()));
        }
        let mut here = above.to_vec();
        here.push(path.to_owned());
        let (before, after) = (self.included(&ini, "before"), self.included(&ini, "after"));
        for file in self.beside(path, &before, &here) {
            self.with_local(&file, &[], &here);
        }
        self.layers.files.push(path.to_owned());
        self.layers.lay(ini);
        for file in self.beside(path, &after, &here) {
            self.with_local(&file, &[], &here);
        }
    }

    /// The files that `[INCLUDES]` names.
    fn included(&mut self, ini: &Ini, option: &str) -> Option<(String, Entry)> {
        let entry = ini.sections.get("INCLUDES")?.get(option)?.clone();
        let mut alone = Layers::default();
        alone.lay(ini.clone());
        match alone.get("INCLUDES", option, &Variables::new()) {
            Ok(value) => Some((value?, entry)),
            Err(mistake) => {
                self.mistakes.merge(Err((*mistake).into()));
                None
            }
        }
    }

    fn beside(&mut self, path: &Path, named: &Option<(String, Entry)>, here: &[PathBuf]) -> Vec<PathBuf> {
        let Some((names, entry)) = named else { return Vec::new() };
        let directory = path.parent().unwrap_or(Path::new(""));
        let mut files = Vec::new();
        for name in names.lines().map(str::trim).filter(|name| !name.is_empty()) {
            let file = directory.join(name);
            if here.contains(&file) {
                continue;
            }
            let is_local = file.extension().is_some_and(|extension| extension == "local");
            if !is_local
                && self.tree.read(&file).is_none()
                && self.tree.read(&file.with_extension("local")).is_none()
            {
                let mistake = entry.mistake(format!("there is no file {}", file.display()));
                self.mistakes.merge(Err(mistake.into()));
            }
            files.push(file);
        }
        files
    }
}

fn absent(path: &Path) -> Mistakes {
    let message = "there is no such file".to_owned();
    Mistake { file: path.to_owned(), line: 1, column: 1, message }.into()
}

fn given(option: &str, message: &str) -> Mistake {
    let file = PathBuf::from(format!("{option}=…"));
    Mistake { file, line: 1, column: 1, message: message.to_owned() }
}

#[cfg(test)]
pub(crate) mod tests;
