//! Every example of a configuration is right, and every key that the programs read is documented.

use std::collections::BTreeSet;
use std::path::Path;

use settings::Document;
use watcher::filter::{Filters, prove};
use watcher::jail::Jails;

use crate::board::repository;
use crate::docs::{blocks, pages};

/// Whether a configuration is right but for what this machine lacks: files that it names.
fn is_right(mistakes: &settings::Mistakes) -> bool {
    mistakes
        .iter()
        .all(|mistake| ["cannot be read", "No such file"].iter().any(|words| mistake.message.contains(words)))
}

/// What is wrong with an example, which is read as the file whose words it has.
fn fault(block: &str) -> Option<String> {
    let has = |words: &[&str]| words.iter().any(|word| block.contains(word));
    if has(&["[[rule]]", "[[sample]]"]) {
        return filter_fault(block);
    }
    if has(&["\nthreshold", "[certain]", "[rollup]", "[pressure]"]) {
        return Jails::single("example", &whole_jail(block)).err().map(|wrong| wrong.to_string());
    }
    if has(&["[[listen]]", "[[dnsbl]]", "hostname", "[tls]", "domains", "[log]", "[limits]"]) {
        let wrong = smtpd::config::Config::parse("smtpd.toml", block).err();
        return wrong.filter(|wrong| !is_right(wrong)).map(|wrong| wrong.to_string());
    }
    let wrong = watcher::config::Config::parse("watcher.toml", block).err();
    wrong.filter(|wrong| !is_right(wrong)).map(|wrong| wrong.to_string())
}

/// A filter's samples must be read as it says.
fn filter_fault(block: &str) -> Option<String> {
    let filters = match Filters::single("example", Document::parse("example.toml", block)) {
        Ok(filters) => filters,
        Err(wrong) => return Some(wrong.to_string()),
    };
    let failure = filters.iter().flat_map(|filter| prove(filter).failures).next();
    failure.map(|failure| failure.to_string())
}

/// A piece of a jail, with what a jail must have besides.
fn whole_jail(piece: &str) -> String {
    let root = piece.split("\n[").next().filter(|root| !root.starts_with('[')).unwrap_or_default();
    let missing = |key: &str| !root.lines().any(|line| line.split([' ', '=']).next() == Some(key));
    let kind = if piece.contains("[certain]") { "dnsbl-listed" } else { "auth-failed" };
    let required =
        [("about", "\"\""), ("on", &format!("[\"{kind}\"]")), ("threshold", "5"), ("within", "\"10m\"")];
    let mut whole: String = required
        .iter()
        .filter(|(key, _)| missing(key))
        .map(|(key, value)| format!("{key} = {value}\n"))
        .collect();
    whole.push_str(piece);
    if !piece.contains("[ban]") {
        whole.push_str("[ban]\nfor = \"1h\"\n");
    }
    whole
}

#[test]
fn every_example_of_a_configuration_is_read() {
    let (mut faults, mut count) = (Vec::new(), 0);
    for (file, page) in pages() {
        for block in blocks(&page, "toml") {
            count += 1;
            faults.extend(fault(block).map(|fault| format!("{file}:\n{block}\n{fault}")));
        }
    }
    assert!(count > 12, "examples are found: {count}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn an_example_that_is_wrong_is_found() {
    for wrong in [
        "firewal = \"nftables\"\n",
        "[[listen]]\nadress = \"0.0.0.0:25\"\n",
        "about = \"\"\nthreshold = \"five\"\n",
        "[rollup]\nmembers = 4\nipv5 = 24\n",
        "about = \"\"\n[[rule]]\nkind = \"auth-faild\"\nfact = \"auth\"\n",
        "[[sample]]\nline = \"nothing of the kind\"\nis = { kind = \"spam\", address = \"192.0.2.7\" }\n",
    ] {
        assert!(fault(wrong).is_some(), "{wrong}");
    }
}

#[test]
fn the_packaged_configurations_are_right() {
    for name in ["watcher.toml", "smtpd.toml"] {
        let text = std::fs::read_to_string(repository().join("packaging").join(name)).unwrap();
        if name == "watcher.toml" {
            watcher::config::Config::parse(name, &text).unwrap();
        } else {
            smtpd::config::Config::parse(name, &text).unwrap();
        }
        // What is commented out is right as well: a key that is taken out of its comment works.
        let shown: String = text
            .lines()
            .filter_map(|line| {
                line.strip_prefix("# ").filter(|rest| rest.contains(" = ") || rest.starts_with('['))
            })
            .map(|line| format!("{line}\n"))
            .collect();
        if name == "watcher.toml" {
            watcher::config::Config::parse(name, &shown).unwrap();
        }
    }
}

/// The keys that the code asks for in a file or a directory of it: what stands first in the calls that read one.
fn keys(path: &Path) -> Vec<String> {
    if path.is_dir() {
        let inside = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        return inside.flat_map(|path| keys(&path)).collect();
    }
    const READERS: [&str; 11] = [
        "get",
        "get_or",
        "require",
        "path",
        "table",
        "tables",
        "table_or_empty",
        "map",
        "string_map",
        "secs",
        "count",
    ];
    let code = std::fs::read_to_string(path).unwrap();
    let is_tests = path.file_stem().is_some_and(|stem| stem == "tests");
    let code = if is_tests { "" } else { code.split("#[cfg(test)]").next().unwrap_or_default() };
    let mut found = Vec::new();
    for (at, _) in code.match_indices("(\"") {
        let (before, after) = (code.get(..at).unwrap_or_default(), code.get(at + 2..).unwrap_or_default());
        // A type may stand between the reader and the key: get::<Text<Domain>>("hostname").
        let line = before.rsplit('\n').next().unwrap_or_default();
        let call = line.split("::<").next().filter(|_| line.ends_with('>')).unwrap_or(line);
        let reader = call.rsplit(|c: char| !(c.is_ascii_lowercase() || c == '_')).next().unwrap_or_default();
        let key = after.split('"').next().unwrap_or_default();
        if READERS.contains(&reader) && call.ends_with(&format!(".{reader}")) {
            found.push(key.to_owned());
        }
    }
    found
}

#[test]
fn every_key_that_is_read_is_documented() {
    let files = [
        "watcher/src/config.rs",
        "watcher/src/config",
        "watcher/src/jail",
        "watcher/src/filter/file.rs",
        "smtpd/src/config.rs",
        "smtpd/src/config",
    ];
    let all: String = pages().into_iter().map(|(_, page)| page).collect();
    let words: BTreeSet<&str> = all.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).collect();
    let keys: BTreeSet<String> = files.iter().flat_map(|file| keys(&repository().join(file))).collect();
    assert!(keys.len() > 100, "keys are found: {keys:?}");
    let missing: Vec<&String> = keys.iter().filter(|key| !words.contains(key.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
