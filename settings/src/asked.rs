//! Which keys were asked for, in which table.

use std::collections::{BTreeMap, BTreeSet};

/// The way from the root to a table.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    /// Keys and indices; no two tables have the same.
    path: String,
    /// Keys alone, as a header names them.
    name: String,
}

impl Route {
    pub(crate) fn root() -> Self {
        Route { path: String::new(), name: String::new() }
    }

    pub(crate) fn key(&self, key: &str) -> Self {
        let bare =
            !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        let key = if bare { key.to_owned() } else { format!("{key:?}") };
        let join = |before: &str| if before.is_empty() { key.clone() } else { format!("{before}.{key}") };
        Route { path: join(&self.path), name: join(&self.name) }
    }

    pub(crate) fn element(&self, key: &str, index: usize) -> Self {
        let Route { path, name } = self.key(key);
        Route { path: format!("{path}[{index}]"), name }
    }

    pub(crate) fn path(&self) -> String {
        self.path.clone()
    }

    /// The table's name, as its header has it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where a person writes a key of this table.
    fn title(&self) -> String {
        if self.name.is_empty() {
            return "at the top of the file, before the first [table]".to_owned();
        }
        // Keys with a bracket in them are quoted, so that only an index ends in one.
        if self.path.ends_with(']') { format!("in [[{}]]", self.name) } else { format!("in [{}]", self.name) }
    }
}

/// The tables that were opened, and the keys that were asked for in each.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    tables: BTreeMap<String, Opened>,
}

#[derive(Debug)]
struct Opened {
    title: String,
    keys: BTreeSet<String>,
}

impl Asked {
    /// The table is read from now on, and its unknown keys are mistakes.
    pub(crate) fn open(&mut self, route: &Route) {
        self.opened(route);
    }

    /// The key is known from now on.
    pub(crate) fn key(&mut self, route: &Route, key: &str) {
        self.opened(route).keys.insert(key.to_owned());
    }

    fn opened(&mut self, route: &Route) -> &mut Opened {
        let opened = || Opened { title: route.title(), keys: BTreeSet::new() };
        self.tables.entry(route.path()).or_insert_with(opened)
    }

    /// The keys that were asked for in this table; `None` where nobody opened it.
    pub(crate) fn of(&self, route: &Route) -> Option<&BTreeSet<String>> {
        self.tables.get(&route.path).map(|opened| &opened.keys)
    }

    /// Where `key` would have been understood, if not in `route`.
    pub(crate) fn place_for(&self, key: &str, route: &Route) -> Option<&str> {
        let here = route.title();
        self.tables
            .values()
            .find(|opened| opened.keys.contains(key) && opened.title != here)
            .map(|opened| opened.title.as_str())
    }
}
