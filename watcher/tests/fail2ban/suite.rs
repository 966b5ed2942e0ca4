//! fail2ban's own suite as its package has it: filters, logs, and what each line of a log must be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// The filters of the installation.
pub(crate) const FILTERS: &str = "/etc/fail2ban/filter.d";

/// Where the package keeps its tests.
pub(crate) fn tests() -> PathBuf {
    let roots = ["/usr/lib/python3/dist-packages", "/usr/local/lib/python3/dist-packages"];
    let found = roots.iter().map(|root| Path::new(root).join("fail2ban/tests")).find(|path| path.is_dir());
    found.expect("the package fail2ban is installed: see scripts/packages")
}

/// A set of parameters for a filter.
pub(crate) type Parameters = BTreeMap<String, String>;

/// One line of a log.
#[derive(Debug)]
pub(crate) struct Sample {
    /// Where it stands.
    pub(crate) place: String,
    /// The line.
    pub(crate) line: String,
    /// What it must be.
    pub(crate) expected: Map<String, Value>,
    /// With which parameters it is read.
    pub(crate) sets: Vec<Parameters>,
}

impl Sample {
    /// Whether a set of parameters is one that it is meant for.
    pub(crate) fn holds_for(&self, filter: &str, set: &Parameters) -> bool {
        let Some(constraint) = self.expected.get("constraint").and_then(Value::as_str) else { return true };
        condition(constraint, filter, set)
    }
}

/// Every filter that has a log, with the directory its file stands in.
pub(crate) fn filters(directory: &Path, is_wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let names = std::fs::read_dir(directory).unwrap().filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        let name = name.strip_suffix(".conf")?.to_owned();
        (!name.ends_with("common") && is_wanted(&name)).then_some(name)
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// The samples of a filter, in their order.
pub(crate) fn samples(filter: &str) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut logs = vec![filter.to_owned()];
    let mut at = 0;
    let mut common = Map::new();
    let mut sets: Option<Vec<Parameters>> = None;
    while let Some(name) = logs.get(at).cloned() {
        at += 1;
        let text = std::fs::read(tests().join("files/logs").join(&name)).unwrap();
        let text = String::from_utf8_lossy(&text).into_owned();
        let mut lines = text.split('\n').enumerate();
        let mut skipped = false;
        while let Some((number, line)) = lines.next() {
            let place = format!("{name}:{}", number + 1);
            let Some((word, value)) = directive(line) else {
                if !skipped && !line.starts_with('#') && !line.trim().is_empty() {
                    let sets = sets.clone().unwrap_or_else(|| vec![Parameters::new()]);
                    samples.push(Sample { place, line: line.to_owned(), expected: Map::new(), sets });
                }
                continue;
            };
            match (word, value) {
                ("addFILE", Value::String(more)) => logs.push(more),
                ("fileOptions", Value::Object(options)) => common = options,
                ("filterOptions", value) => {
                    let each = if let Value::Array(each) = value { each } else { vec![value] };
                    let (found, is_skipped) = parameters(&each, &common, filter);
                    (sets, skipped) = (Some(found), is_skipped);
                }
                ("failJSON", Value::Object(expected)) => {
                    let (number, line) = lines.next().unwrap();
                    if !skipped {
                        let place = format!("{name}:{}", number + 1);
                        let sets = sets.clone().unwrap_or_else(|| vec![Parameters::new()]);
                        samples.push(Sample { place, line: line.to_owned(), expected, sets });
                    }
                }
                (word, value) => panic!("{place}: {word} with {value}"),
            }
        }
    }
    samples
}

/// `# failJSON: {…}` and its kin.
fn directive(line: &str) -> Option<(&str, Value)> {
    let rest = line.strip_prefix('#')?.trim_start_matches('#');
    let (word, json) = rest.strip_prefix(' ').unwrap_or(rest).split_once(':')?;
    let is_known = ["failJSON", "fileOptions", "filterOptions", "addFILE"].contains(&word);
    is_known.then(|| (word, serde_json::from_str(json).unwrap()))
}

fn parameters(each: &[Value], common: &Map<String, Value>, filter: &str) -> (Vec<Parameters>, bool) {
    let mut sets = Vec::new();
    let mut skipped = false;
    for options in each {
        let mut all = common.clone();
        all.extend(options.as_object().unwrap().clone());
        let text = |(name, value): (&String, &Value)| (name.clone(), value.as_str().unwrap().to_owned());
        let set: Parameters = all.iter().map(text).collect();
        if let Some(wanted) = set.get("test.condition") {
            skipped = !condition(wanted, filter, &set);
        }
        if !skipped {
            sets.push(set);
        }
    }
    (sets, skipped)
}

/// The two kinds of condition that the suite has.
fn condition(text: &str, filter: &str, set: &Parameters) -> bool {
    let value = |text: &str| text.trim().trim_matches('\'').to_owned();
    if let Some((left, right)) = text.split_once("==") {
        return match left.trim() {
            "name" => value(right) == filter,
            "opts.get('mode')" => set.get("mode") == Some(&value(right)),
            other => panic!("a condition on {other}"),
        };
    }
    match text.split_once("!=") {
        Some(("opts.get('mode') ", right)) => set.get("mode") != Some(&value(right)),
        _ => panic!("a condition that is not known: {text}"),
    }
}
