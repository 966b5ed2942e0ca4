//! `match --fail2ban`: what each line is to a filter of fail2ban.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use jiff::tz::TimeZone;
use logline::{Text, Timestamp};
use serde_json::{Map, Value, json};

use super::rfc3339;
use crate::fail2ban::{Definition, Disk, Filter, Found, Outcome, Reading, Rules};

/// A filter, and how it is told.
pub(super) struct Teller {
    filter: Filter,
    name: String,
    json: bool,
    now: Timestamp,
}

impl Teller {
    /// Reads with the filter `file` and these parameters.
    pub(super) fn new(
        file: &Path,
        set: &[(String, String)],
        json: bool,
        now: Timestamp,
    ) -> anyhow::Result<Self> {
        let definition = Definition::read(&Disk, file, set)?;
        let name = definition.name.clone();
        let filter = Filter::new(Arc::new(Rules::new(&definition, TimeZone::system())?));
        Ok(Teller { filter, name, json, now })
    }

    /// One line: a JSON object or a sentence.
    pub(super) fn tell(&mut self, out: &mut dyn Write, number: u64, line: &[u8]) -> io::Result<()> {
        let mut told: Option<(Outcome, Map<String, Value>)> = None;
        let name = &self.name;
        let reading = self.filter.line(line, self.now, &mut |found| {
            let counts = found.outcome == Outcome::Counted;
            if told.as_ref().is_none_or(|(before, _)| counts && *before != Outcome::Counted) {
                told = Some((found.outcome, view(found, name)));
            }
        });
        let line = Text::from(line).readable().to_string();
        let outcome = told.as_ref().map(|(outcome, _)| *outcome);
        let mut object = told.map_or_else(super::nothing, |(_, object)| object);
        if !self.json {
            let what = sentence(&object, outcome, reading);
            return writeln!(out, "{number}: {what}\n    {line}");
        }
        object.insert("n".into(), number.into());
        object.insert("line".into(), line.into());
        object.insert("matched".into(), (outcome == Some(Outcome::Counted)).into());
        object.insert("outcome".into(), word(outcome, reading).into());
        object.insert("time".into(), reading.at.map_or(Value::Null, |stamp| rfc3339(stamp.at, stamp.offset)));
        writeln!(out, "{}", ascii(&Value::Object(object)))
    }

    /// How many patterns gave up.
    pub(super) fn refused(&self) -> u64 {
        self.filter.refused
    }
}

fn view(found: &Found<'_>, name: &str) -> Map<String, Value> {
    let Found { rule, outcome, failure, .. } = found;
    let groups = failure.groups.iter().filter(|(name, _)| !name.starts_with("skiplines"));
    let mut fields: Map<String, Value> =
        groups.map(|(name, text)| (name.to_string(), text.as_str().into())).collect();
    let address = failure.address();
    if let Some(id) = failure.id().filter(|_| address.is_none()) {
        fields.insert("host".into(), id.into());
    }
    fields.insert("attempts".into(), failure.lines.into());
    if !failure.users.is_empty() {
        fields.insert("users".into(), failure.users.iter().map(String::as_str).collect());
    }
    let kind = (*outcome == Outcome::Counted).then_some("failure");
    let user = failure.groups.get("user");
    let object = json!({
        "address": address.map(|address| address.to_string()),
        "user": user,
        "kind": kind,
        "rule": format!("{name}:{rule}"),
        "fields": fields,
    });
    if let Value::Object(object) = object { object } else { super::nothing() }
}

fn word(outcome: Option<Outcome>, reading: Reading) -> &'static str {
    match outcome {
        Some(Outcome::Counted) => "failure",
        Some(Outcome::Context) => "context",
        Some(Outcome::Pending) => "pending",
        None if reading.ignored => "ignored",
        None => "nothing",
    }
}

/// JSON in which every character that is no ASCII is escaped: what a client sent is all there, and no terminal obeys it.
fn ascii(value: &Value) -> String {
    let mut out = String::new();
    for c in value.to_string().chars() {
        if c.is_ascii() && c != '\x7f' {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    }
    out
}

fn sentence(object: &Map<String, Value>, outcome: Option<Outcome>, reading: Reading) -> String {
    let readable = |value: &Value| Some(Text::from(value.as_str()?).readable().to_string());
    let text = |key: &str| object.get(key).and_then(readable).unwrap_or_else(|| "-".to_owned());
    let host = object.get("fields").and_then(|fields| fields.get("host")).and_then(readable);
    let who = host.unwrap_or_else(|| text("address"));
    match outcome {
        Some(Outcome::Counted) => format!("failure {who} user {} ({})", text("user"), text("rule")),
        Some(Outcome::Context) => format!("no failure by itself ({})", text("rule")),
        Some(Outcome::Pending) => {
            format!("a failure when a later line says whose it is ({})", text("rule"))
        }
        None if reading.ignored => "to be ignored".to_owned(),
        None => "nothing".to_owned(),
    }
}
