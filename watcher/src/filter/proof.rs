//! A filter proves itself: each sample is read as a line of a log would be.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use logline::Timestamp;
use settings::Place;

use crate::event::{Event, Kind};
use crate::filter::{Expected, Filter, Matcher, Sample};
use crate::interpret::Interpreter;

/// What the samples of a filter show.
#[derive(Debug, Default)]
pub struct Proof {
    /// What is wrong: samples that do not mean what they must.
    pub failures: Vec<Failure>,
    /// What is not shown: rules without a sample, captures without a forgery.
    pub gaps: Vec<Failure>,
}

/// One thing that is wrong with a filter, at its place. Shown as `FILE:LINE:COL: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The filter's file.
    pub file: PathBuf,
    /// Where in it.
    pub place: Place,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { file, place, message } = self;
        write!(f, "{}:{}:{}: {message}", file.display(), place.line, place.column)
    }
}

/// Reads every sample of a filter.
pub fn prove(filter: &Arc<Filter>) -> Proof {
    let mut proof = Proof::default();
    let mut exercised = BTreeSet::new();
    let mut forged = BTreeSet::new();
    let failure = |place, message| Failure { file: filter.file.clone(), place, message };
    for sample in &filter.samples {
        let found = read(filter, sample, &mut exercised);
        if !is_right(&sample.expected, &found) {
            let message = format!(
                "filter {}: this sample must be {}, and is {}",
                filter.name,
                expected(&sample.expected),
                describe(&found)
            );
            proof.failures.push(failure(sample.place, message));
            continue;
        }
        forged.extend(found.iter().flat_map(forgeries));
        if !sample.forges.is_empty() && foreign(sample).is_empty() {
            let message = "a forgery needs an address in its line that is not the client's".to_owned();
            proof.failures.push(failure(sample.place, message));
            continue;
        }
        forged.extend(sample.forges.iter().cloned());
    }
    for rule in filter.rules.iter().filter(|rule| !exercised.contains(&rule.name)) {
        // A rule that yields nothing is exercised where a sample shows the line to be nothing; that cannot be seen.
        if rule.kind.is_some() {
            let message = format!("no sample exercises the rule {}", rule.name);
            proof.gaps.push(failure(rule.place, message));
        }
    }
    for rule in filter.rules.iter().filter(|rule| rule.kind.is_some_and(is_about_a_client)) {
        let Matcher::Pattern(pattern) = &rule.matcher else { continue };
        for name in pattern.forgeable() {
            if forged.insert(name.clone()) {
                let message = format!(
                    "no sample tries to forge an address with `{name}`: add one, with forges = \"{name}\" where it must \
                     be nothing"
                );
                proof.gaps.push(failure(rule.place, message));
            }
        }
    }
    proof
}

/// What happens in the queue is held against nobody, whatever stands in the line.
fn is_about_a_client(kind: Kind) -> bool {
    !matches!(kind, Kind::Delivered | Kind::Deferred | Kind::Bounced)
}

/// The values of an event under their names, as `is` has them.
type Found = Vec<(String, String)>;

fn is_right(expected: &Expected, found: &[Found]) -> bool {
    match expected {
        Expected::Nothing => found.is_empty(),
        Expected::Event(values) => found.iter().any(|found| values.iter().all(|value| found.contains(value))),
    }
}

fn read(filter: &Arc<Filter>, sample: &Sample, exercised: &mut BTreeSet<String>) -> Vec<Found> {
    let mut interpreter = Interpreter::new(std::iter::once(Arc::clone(filter)), jiff::tz::TimeZone::UTC);
    let now = Timestamp::from_seconds(0);
    for line in &sample.before {
        interpreter.read(line.as_bytes(), now, &mut |_, _| {});
    }
    let mut found = Vec::new();
    interpreter.read(sample.line.as_bytes(), now, &mut |event, rule| {
        exercised.insert(rule.name.clone());
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

/// The fields of an event that hold an address which is not its client's.
fn forgeries(found: &Found) -> Vec<String> {
    let client = found.iter().find(|(name, _)| name == "address").map(|(_, address)| address.as_str());
    let holds_another = |text: &str| addresses(text).iter().any(|address| Some(address.as_str()) != client);
    let fields = found.iter().filter(|(name, _)| name != "address" && name != "kind");
    fields.filter(|(_, text)| holds_another(text)).map(|(name, _)| name.clone()).collect()
}

/// The addresses in a sample's line that it must not mean.
fn foreign(sample: &Sample) -> Vec<String> {
    let mut addresses = addresses(&sample.line);
    if let Expected::Event(values) = &sample.expected {
        addresses.retain(|address| !values.iter().any(|(name, value)| name == "address" && value == address));
    }
    addresses
}

/// Every address that stands in a text.
fn addresses(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_ascii_hexdigit() && c != '.' && c != ':');
    let address = |word: &str| word.trim_matches(':').trim_end_matches('.').parse::<IpAddr>().ok();
    words.filter_map(address).map(|address| address.to_canonical().to_string()).collect()
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
    use crate::filter::{Filters, SHIPPED};

    use super::*;

    #[test]
    fn every_shipped_filter_proves_itself() {
        // Read as a stranger's, so that each pattern is proven too.
        let mut mistakes = settings::Mistakes::new();
        let mut filters = Vec::new();
        for (name, text) in SHIPPED {
            let document = settings::Document::parse(format!("filters/{name}.toml"), *text);
            match Filters::single(name, document) {
                Ok(filter) => filters.extend(filter.iter().cloned()),
                Err(found) => mistakes.merge(Err(found)),
            }
        }
        assert!(mistakes.is_empty(), "{mistakes}");
        let mut told = Vec::new();
        for filter in &filters {
            let Proof { failures, gaps } = prove(filter);
            told.extend(failures.iter().chain(&gaps).map(ToString::to_string));
            if !filter.samples.iter().any(|s| s.expected == Expected::Nothing) {
                told.push(format!("{}: no near miss", filter.name));
            }
        }
        assert!(told.is_empty(), "{}", told.join("\n"));
    }

    #[track_caller]
    fn check(text: &str, failures: &[&str], gaps: &[&str]) {
        let filters = Filters::single("x", settings::Document::parse("x.toml", text)).unwrap();
        let proof = prove(filters.iter().next().unwrap());
        let told = |found: &[Failure]| found.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(told(&proof.failures), failures);
        assert_eq!(told(&proof.gaps), gaps);
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
        check(
            text,
            &[
                r#"x.toml:7:8: filter x: this sample must be kind "auth-failed", address "192.0.2.8", and is kind "auth-failed", address "192.0.2.7""#,
                r#"x.toml:10:8: filter x: this sample must be nothing, and is kind "auth-failed", address "192.0.2.7""#,
            ],
            &[],
        );
    }

    const USER: &str = r#"
about = "x"
[[rule]]
kind = "auth-failed"
pattern = '^bad (?<user>[^ ]*) (?<address>\S+)$'
"#;

    #[test]
    fn what_no_sample_shows_is_a_gap_at_the_rule() {
        let forgery = "x.toml:4:8: no sample tries to forge an address with `user`: add one, with forges = \"user\" \
                       where it must be nothing";
        check(USER, &[], &["x.toml:4:8: no sample exercises the rule x:1", forgery]);
        let honest = "[[sample]]\nline = 'bad bob 192.0.2.7'\nis = { kind = 'auth-failed' }\n";
        check(&format!("{USER}{honest}"), &[], &[forgery]);
    }

    #[test]
    fn a_forgery_is_a_field_with_a_foreign_address_or_says_that_it_is_one() {
        let honest = "[[sample]]\nline = 'bad bob 192.0.2.7'\nis = { kind = 'auth-failed' }\n";
        let shown = "[[sample]]\nline = 'bad 203.0.113.9 192.0.2.7'\nis = { kind = 'auth-failed', address = '192.0.2.7' }\n";
        check(&format!("{USER}{shown}"), &[], &[]);
        let said = "[[sample]]\nforges = 'user'\nline = 'bad x 203.0.113.9 192.0.2.7'\nis = 'nothing'\n";
        check(&format!("{USER}{honest}{said}"), &[], &[]);
        let none = "[[sample]]\nforges = 'user'\nline = 'bad x y z'\nis = 'nothing'\n";
        let failure = "x.toml:11:8: a forgery needs an address in its line that is not the client's";
        let gap = "x.toml:4:8: no sample tries to forge an address with `user`: add one, with forges = \"user\" \
                   where it must be nothing";
        check(&format!("{USER}{honest}{none}"), &[failure], &[gap]);
    }
}
