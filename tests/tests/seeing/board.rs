//! Dashboards as they are shipped.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// The directory of this repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// One dashboard.
#[derive(Debug)]
pub(crate) struct Board {
    pub(crate) name: String,
    pub(crate) json: Value,
}

/// One panel of it that asks something.
#[derive(Debug)]
pub(crate) struct Panel<'b> {
    pub(crate) title: &'b str,
    pub(crate) description: &'b str,
    pub(crate) json: &'b Value,
}

impl Board {
    /// All that are shipped.
    pub(crate) fn all() -> Result<Vec<Board>> {
        let mut boards = Vec::new();
        for entry in std::fs::read_dir(repository().join("dashboards"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let json = serde_json::from_slice(&std::fs::read(&path)?).with_context(|| name.clone())?;
                boards.push(Board { name, json });
            }
        }
        boards.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(boards)
    }

    /// Its panels, without the rows.
    pub(crate) fn panels(&self) -> impl Iterator<Item = Panel<'_>> {
        let panels = self.json["panels"].as_array().into_iter().flatten();
        panels.filter(|panel| panel["type"] != "row").map(|json| Panel {
            title: json["title"].as_str().unwrap_or_default(),
            description: json["description"].as_str().unwrap_or_default(),
            json,
        })
    }

    /// Its variables but the data source.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &Value> {
        let variables = self.json["templating"]["list"].as_array().into_iter().flatten();
        variables.filter(|variable| variable["type"] == "query")
    }
}

impl Panel<'_> {
    /// What it asks.
    pub(crate) fn targets(&self) -> impl Iterator<Item = &Value> {
        self.json["targets"].as_array().into_iter().flatten()
    }
}

/// A text of the JSON.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
