//! Shipped files, and the administrator's beside the configuration: a file there replaces the shipped one of its name.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use settings::{Document, Mistake, Mistakes};

/// Every document by name: the shipped ones, and each `*.toml` in `directory`. A directory that is not there holds
/// nothing; one that cannot be read is a mistake.
pub fn documents(
    shipped: &[(&str, &str)],
    directory: Option<&Path>,
    mistakes: &mut Mistakes,
) -> BTreeMap<String, Document> {
    let mut documents: BTreeMap<String, Document> = shipped
        .iter()
        .map(|(name, text)| ((*name).to_owned(), Document::parse(format!("{name}{SHIPPED}"), *text)))
        .collect();
    for path in directory.map(|directory| files(directory, mistakes)).unwrap_or_default() {
        let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
        match Document::read(&path) {
            Ok(document) => {
                documents.insert(name.to_owned(), document);
            }
            Err(error) => mistakes.merge(Err(unreadable(&path, &error))),
        }
    }
    documents
}

/// What follows the name of a shipped document; no file in a directory is read whose name ends so.
const SHIPPED: &str = ".toml (shipped)";

/// Whether the document is compiled in, and what it says was proven by the tests.
pub fn is_shipped(document: &Document) -> bool {
    document.name().to_str().is_some_and(|name| name.ends_with(SHIPPED))
}

fn files(directory: &Path, mistakes: &mut Mistakes) -> Vec<std::path::PathBuf> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            mistakes.merge(Err(unreadable(directory, &error)));
            return Vec::new();
        }
    };
    let path = |entry: Result<fs::DirEntry, _>| entry.ok().map(|entry| entry.path());
    let mut files: Vec<_> =
        entries.filter_map(path).filter(|p| p.extension().is_some_and(|e| e == "toml")).collect();
    files.sort();
    files
}

fn unreadable(path: &Path, error: &std::io::Error) -> Mistakes {
    let message = format!("cannot be read: {error}");
    Mistake { file: path.to_owned(), line: 1, column: 1, message }.into()
}
