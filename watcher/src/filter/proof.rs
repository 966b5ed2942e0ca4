//! A filter proves itself: each sample is read as a line of a log would be.

use std::fmt;
use std::sync::Arc;

use logline::Timestamp;

use crate::event::Event;
use crate::filter::{Expected, Filter, Sample};
use crate::interpret::Interpreter;

/// A sample that did not mean what it must.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The filter.
    pub filter: String,
    /// The sample's line in its file.
    pub place: usize,
    /// What it must mean.
    pub expected: String,
    /// What it means.
    pub found: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { filter, place, expected, found } = self;
        write!(f, "filter {filter}: the sample at line {place} must be {expected}, and is {found}")
    }
}

/// Reads every sample of a filter; gives what failed, and the rules that no sample exercises.
pub fn prove(filter: &Arc<Filter>) -> (Vec<Failure>, Vec<String>) {
    let mut failures = Vec::new();
    let mut exercised = Vec::new();
    for sample in &filter.samples {
        let found = read(filter, sample, &mut exercised);
        let right = match &sample.expected {
            Expected::Nothing => found.is_empty(),
            Expected::Event(values) => {
                found.iter().any(|found| values.iter().all(|value| found.contains(value)))
            }
        };
        if !right {
            failures.push(Failure {
                filter: filter.name.clone(),
                place: sample.place,
                expected: expected(&sample.expected),
                found: describe(&found),
            });
        }
    }
    let idle =
        filter.rules.iter().map(|rule| rule.name.clone()).filter(|name| !exercised.contains(name)).collect();
    (failures, idle)
}

/// The values of an event under their names, as `is` has them.
type Found = Vec<(String, String)>;

fn read(filter: &Arc<Filter>, sample: &Sample, exercised: &mut Vec<String>) -> Vec<Found> {
    let mut interpreter = Interpreter::new(std::iter::once(Arc::clone(filter)), jiff::tz::TimeZone::UTC);
    let now = Timestamp::from_seconds(0);
    for line in &sample.before {
        interpreter.read(line.as_bytes(), now, &mut |_, _| {});
    }
    let mut found = Vec::new();
    interpreter.read(sample.line.as_bytes(), now, &mut |event, rule| {
        exercised.push(rule.name.clone());
        found.push(values(event));
    });
    found
}

fn values(event: &Event<'_>) -> Found {
    let mut found = vec![("kind".to_owned(), event.kind.to_string())];
    found.extend(event.address.map(|address| ("address".to_owned(), address.to_string())));
    found.extend(event.fields.iter().map(|(name, text)| ((*name).to_owned(), text.readable().to_string())));
    found
}

fn expected(expected: &Expected) -> String {
    match expected {
        Expected::Nothing => "nothing".to_owned(),
        Expected::Event(values) => describe(std::slice::from_ref(values)),
    }
}

fn describe(found: &[Found]) -> String {
    let event =
        |values: &Found| values.iter().map(|(n, v)| format!("{n} {v:?}")).collect::<Vec<_>>().join(", ");
    if found.is_empty() {
        "nothing".to_owned()
    } else {
        found.iter().map(event).collect::<Vec<_>>().join(" and ")
    }
}

#[cfg(test)]
mod tests {
    use crate::filter::Filters;

    use super::*;

    #[test]
    fn every_shipped_filter_proves_itself() {
        for filter in Filters::shipped().unwrap().iter() {
            let (failures, idle) = prove(filter);
            let failures: Vec<String> = failures.iter().map(ToString::to_string).collect();
            assert!(failures.is_empty(), "{}", failures.join("\n"));
            assert!(idle.is_empty(), "{}: no sample exercises {}", filter.name, idle.join(", "));
            assert!(
                filter.samples.iter().any(|s| s.expected == Expected::Nothing),
                "{}: no near miss",
                filter.name
            );
        }
    }

    #[test]
    fn a_sample_that_means_something_else_is_named() {
        let text = r#"
about = "x"
[[rule]]
kind = "auth-failed"
pattern = '^bad (?<address>\S+)$'
[[sample]]
line = "bad 192.0.2.7"
is = { kind = "auth-failed", address = "192.0.2.8" }
[[sample]]
line = "bad 192.0.2.7"
is = "nothing"
"#;
        let filters = Filters::single("x", settings::Document::parse("x.toml", text)).unwrap();
        let (failures, idle) = prove(filters.iter().next().unwrap());
        let told: Vec<String> = failures.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                r#"filter x: the sample at line 7 must be kind "auth-failed", address "192.0.2.8", and is kind "auth-failed", address "192.0.2.7""#,
                r#"filter x: the sample at line 10 must be nothing, and is kind "auth-failed", address "192.0.2.7""#,
            ]
        );
        assert!(idle.is_empty());
    }
}
