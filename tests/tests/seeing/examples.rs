//! Every example of a configuration is right, and every key that the programs read is documented.

use std::collections::BTreeSet;
use std::path::Path;

use e2e::process::{bound, done};
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
    if has(&["[[listen]]", "[[dnsbl]]", "hostname", "[tls]", "domains", "[log]", "[limits]", "[plugins]"]) {
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
fn every_example_of_json_and_of_prometheus_settings_is_read() {
    let (mut json, mut yaml) = (0, 0);
    for (file, page) in pages() {
        for block in blocks(&page, "json") {
            json += 1;
            let read = serde_json::from_str::<serde_json::Value>(block);
            assert!(read.is_ok(), "{file}: {block}: {read:?}");
        }
        for block in blocks(&page, "yaml") {
            yaml += 1;
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("prometheus.yml");
            // The rules are found where they are here.
            let rules = repository().join("dashboards/rules").canonicalize().unwrap();
            let block = block.replace("/usr/share/doc/postern/dashboards/rules", rules.to_str().unwrap());
            std::fs::write(&path, block).unwrap();
            done(bound("promtool").args(["check", "config"]).arg(&path)).unwrap();
        }
    }
    assert!(json > 0 && yaml > 0, "examples are found: {json}, {yaml}");
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

/// The code of a file, or of all files of a directory, without its tests.
fn for_each_file(path: &Path, look: &mut impl FnMut(&str)) {
    if path.is_dir() {
        let inside = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        inside.for_each(|path| for_each_file(&path, look));
    } else if path.file_stem().is_none_or(|stem| stem != "tests") {
        let code = std::fs::read_to_string(path).unwrap();
        look(code.split("#[cfg(test)]").next().unwrap_or_default());
    }
}

/// The keys that the code asks for in a file or a directory of it: what stands first in the calls that read one.
fn keys(path: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for_each_file(path, &mut |code| found.extend(keys_of(code)));
    found
}

fn keys_of(code: &str) -> Vec<String> {
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

/// Where the configuration is read.
const CODE: [&str; 6] = [
    "watcher/src/config.rs",
    "watcher/src/config",
    "watcher/src/jail",
    "watcher/src/filter/file.rs",
    "smtpd/src/config.rs",
    "smtpd/src/config",
];

/// Every key that the code reads in a file of the configuration.
pub(crate) fn all_keys() -> BTreeSet<String> {
    CODE.iter().flat_map(|file| keys(&repository().join(file))).collect()
}

/// What may be a key: the short texts in the code that reads the configuration, but for tests.
fn readable_names() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in CODE {
        for_each_file(&repository().join(file), &mut |code| {
            // What stands between two literals is code, and holds more than letters.
            let literals = code.split('"');
            let is_name = |text: &&str| {
                !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            };
            found.extend(literals.filter(is_name).map(str::to_owned));
        });
    }
    found
}

/// The words of a page, among which a key must stand.
fn words(page: &str) -> BTreeSet<&str> {
    page.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).collect()
}

#[test]
fn every_key_that_is_read_is_documented() {
    let all: String = pages().into_iter().map(|(_, page)| page).collect();
    let (words, keys) = (words(&all), all_keys());
    assert!(keys.len() > 100, "keys are found: {keys:?}");
    let missing: Vec<&String> = keys.iter().filter(|key| !words.contains(key.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(!words.contains("counters_most"), "a key that nobody reads is no word of the pages");
}

/// A row of a table of keys: what stands in its cell for the key, and in that for the default.
type Row<'p> = (&'p str, Option<&'p str>);

/// The rows of the tables with a column called `key`.
fn key_rows(page: &str) -> Vec<Row<'_>> {
    let cells = |line: &'_ str| -> Vec<(usize, usize)> {
        // A bar between backticks is written `\\|`, and does not end a cell.
        let bars: Vec<usize> = line
            .match_indices('|')
            .filter(|(at, _)| !line.get(..*at).unwrap_or_default().ends_with('\\'))
            .map(|(at, _)| at)
            .collect();
        bars.windows(2).map(|pair| (pair[0] + 1, pair[1])).collect()
    };
    let cell = |line: &'_ str, at: Option<usize>| -> Option<(usize, usize)> { cells(line).get(at?).copied() };
    let mut rows = Vec::new();
    let (mut key, mut default) = (None, None);
    let mut before = "";
    for line in page.lines() {
        if line.starts_with("|---") {
            let named =
                |name: &str| cells(before).iter().position(|(from, to)| before[*from..*to].trim() == name);
            (key, default) = (named("key"), named("default"));
        } else if !line.starts_with('|') {
            (key, default) = (None, None);
        } else if let Some((from, to)) = cell(line, key) {
            rows.push((line[from..to].trim(), cell(line, default).map(|(from, to)| line[from..to].trim())));
        }
        before = line;
    }
    rows
}

/// The names in a cell: `` `[[source]] file`, `exempt.networks` `` are `source`, `file`, `exempt`, `networks`.
fn names(cell: &str) -> impl Iterator<Item = &str> {
    let pieces = cell.split('`').skip(1).step_by(2).filter(|piece| !piece.contains('='));
    // Behind a quote stand names of the user's own: `[quota."ZONE"]`.
    let own = |piece| str::split(piece, '"').next().unwrap_or_default();
    let all =
        pieces.flat_map(move |piece| own(piece).split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')));
    all.filter(|name| !name.is_empty())
}

#[test]
fn every_key_that_is_documented_is_read_and_has_its_default() {
    let (keys, mut faults, mut count) = (readable_names(), Vec::new(), 0);
    for (file, page) in pages() {
        for (cell, default) in key_rows(&page) {
            count += 1;
            faults.extend(
                names(cell).filter(|name| !keys.contains(*name)).map(|name| format!("{file}: {name}")),
            );
            if default == Some("") {
                faults.push(format!("{file}: {cell} has no default"));
            }
        }
    }
    assert!(count > 100, "rows are found: {count}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_key_that_nobody_reads_is_found() {
    let page = "| key | default | |\n|---|---|---|\n| `[[source]] fil`, `exempt.networks` | | a \\| b |\n";
    assert_eq!(key_rows(page), [("`[[source]] fil`, `exempt.networks`", Some(""))]);
    let unknown: Vec<&str> =
        names("`[[source]] fil`, `exempt.networks`").filter(|n| !readable_names().contains(*n)).collect();
    assert_eq!(unknown, ["fil"]);
}
