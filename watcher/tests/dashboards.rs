//! A dashboard, or an alert rule, may use only names that are exported.

use std::collections::BTreeSet;
use std::path::Path;

use regex::Regex;
use watcher::metrics::family;

/// What the exposition adds to a histogram's name.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

fn exported() -> BTreeSet<String> {
    family::ALL.iter().map(|family| family.name.to_owned()).collect()
}

fn used(text: &str) -> BTreeSet<String> {
    let name = Regex::new(r"\bwatcher_[a-z0-9_]+").expect("a constant pattern");
    let plain = |found: &str| {
        PARTS.iter().fold(found, |name, part| name.strip_suffix(part).unwrap_or(name)).to_owned()
    };
    name.find_iter(text).map(|found| plain(found.as_str())).collect()
}

#[test]
fn dashboards_and_rules_use_exported_names_only() {
    let exported = exported();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards");
    for file in ["overview.json", "rules/watcher.yml"] {
        let text = std::fs::read_to_string(root.join(file)).expect("a file of this repository");
        let used = used(&text);
        assert!(!used.is_empty(), "{file}");
        let unknown: Vec<&String> = used.difference(&exported).collect();
        assert!(unknown.is_empty(), "{file} uses {unknown:?}");
    }
}
