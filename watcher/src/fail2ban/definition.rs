//! A filter as fail2ban's files and the parameters of a jail say it, before anything in it is compiled.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use settings::{Mistake, Mistakes};

use crate::fail2ban::layers::{Layers, Tree, Variables};
use crate::fail2ban::tags;

/// The options of `[Definition]` that a filter is made of; every other one is there to be taken in by these.
const OPTIONS: &[&str] =
    &["usedns", "prefregex", "ignoreregex", "failregex", "maxlines", "datepattern", "journalmatch"];

/// What a filter says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definition {
    /// The name of its file.
    pub name: String,
    /// What every line must match first, if anything.
    pub prefregex: Option<String>,
    /// Each failure.
    pub failregex: Vec<String>,
    /// What is no failure after all.
    pub ignoreregex: Vec<String>,
    /// How many lines are looked at together.
    pub maxlines: usize,
    /// Where the date stands; none for the default ones.
    pub datepattern: Option<String>,
    /// What the lines are called in the journal.
    pub journalmatch: Vec<String>,
    /// `journal`: the lines carry no date.
    pub logtype: Option<String>,
    /// The zone of stamps that name none.
    pub logtimezone: Option<String>,
    /// `no`: `<HOST>` is no name.
    pub usedns: Option<String>,
    /// Where `failregex` stands, for what is wrong with it.
    pub place: Option<(PathBuf, usize)>,
    /// Every option as it came out, for `%(known/name)s` in a jail.
    pub known: IndexMap<String, String>,
}

impl Definition {
    /// Reads the filter `file` (`…/filter.d/sshd.conf`) and what changes it, with these parameters.
    ///
    /// # Errors
    /// Every mistake, at its file and line.
    pub fn read(
        tree: &dyn Tree,
        file: &Path,
        parameters: &[(String, String)],
    ) -> Result<Definition, Mistakes> {
        let layers = Layers::read(tree, &file.with_extension(""))?;
        let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Definition::of(name, &layers, parameters).map_err(|mistake| (*mistake).into())
    }

    fn of(
        name: String,
        layers: &Layers,
        parameters: &[(String, String)],
    ) -> Result<Definition, Box<Mistake>> {
        let variables: Variables =
            parameters.iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect();
        let mut options = IndexMap::new();
        for option in OPTIONS.iter().filter(|option| !variables.contains_key(**option)) {
            if let Some(value) = layers.get("Definition", option, &variables)? {
                options.insert((*option).to_owned(), value);
            }
        }
        options.extend(variables.clone());
        for option in layers.options("Init") {
            let value = layers.get("Init", option, &Variables::new())?.unwrap_or_default();
            options.entry(option.to_owned()).or_insert_with(|| value.clone());
            options.insert(format!("known/{option}"), value);
        }
        let mut broken = None;
        let mut other = |name: &str| {
            layers.get_named("Definition", name, &variables).unwrap_or_else(|mistake| {
                broken.get_or_insert(mistake);
                None
            })
        };
        let logtype = other("logtype");
        let replaced = tags::replace(&mut options, &mut other);
        if let Some(broken) = broken {
            return Err(broken);
        }
        let entry = layers.entry("Definition", "failregex");
        let mistake = |message: String| match entry {
            Some(entry) => Box::new(entry.mistake(message)),
            None => {
                let file = layers.files.last().cloned().unwrap_or_default();
                Box::new(Mistake { file, line: 1, column: 1, message })
            }
        };
        replaced.map_err(mistake)?;
        let place = entry.map(|entry| (entry.file.to_path_buf(), entry.line));
        let text = |option: &str| options.get(option).cloned().filter(|value| !value.is_empty());
        let lines = |option: &str| -> Vec<String> {
            let value = options.get(option).map(String::as_str).unwrap_or_default();
            value.split('\n').filter(|line| !line.is_empty()).map(str::to_owned).collect()
        };
        let maxlines = match text("maxlines").map(|lines| lines.trim().parse()) {
            None => 1,
            Some(Ok(lines)) if (1..=LINES_MAX).contains(&lines) => lines,
            Some(_) => return Err(mistake(format!("`maxlines` is a number from 1 to {LINES_MAX}"))),
        };
        Ok(Definition {
            name,
            prefregex: text("prefregex"),
            failregex: lines("failregex"),
            ignoreregex: lines("ignoreregex"),
            maxlines,
            datepattern: text("datepattern"),
            journalmatch: lines("journalmatch"),
            logtype: text("logtype").or(logtype),
            logtimezone: text("logtimezone"),
            usedns: text("usedns"),
            place,
            known: options,
        })
    }

    /// A mistake in it, where `failregex` stands.
    pub fn mistake(&self, message: impl Into<String>) -> Mistakes {
        let (file, line) = self.place.clone().unwrap_or_else(|| (PathBuf::from(&self.name), 1));
        Mistake { file, line, column: 1, message: message.into() }.into()
    }
}

/// No filter looks at more lines together: each line is matched against all of them.
const LINES_MAX: usize = 1000;
