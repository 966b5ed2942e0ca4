//! A filter's file, `filters/NAME.toml`, and what is made of it.

use settings::{Document, Located, Table, Text, Value, mismatch};
use toml::de::DeValue;

use crate::event::Kind;
use crate::fact::Fact;
use crate::filter::{
    Condition, Expected, Filter, Matcher, Pattern, PatternProof as Proof, Programs, Rule, Sample,
};
use crate::overlay;

/// Reads a filter; every mistake is noted in `document` at its place, and gives `None` in the end.
///
/// `name` is the file's name without `.toml`.
pub fn load(name: &str, document: &Document) -> Option<Filter> {
    let root = document.root();
    let about = root.require::<String>("about");
    let programs = root.get_or("program", Programs::default());
    let parts = Parts::read(&root);
    let proof = if overlay::is_shipped(document) { Proof::Done } else { Proof::Wanted };
    let rules: Vec<Option<Rule>> = root
        .tables("rule")
        .iter()
        .enumerate()
        .map(|(n, table)| rule(name, n + 1, (&parts, proof), table))
        .collect();
    let samples: Vec<Option<Sample>> = root.tables("sample").iter().map(sample).collect();
    if rules.is_empty() {
        root.mistake_at_table("a filter without a [[rule]] means nothing");
    }
    let rules: Vec<Rule> = rules.into_iter().collect::<Option<_>>()?;
    Some(Filter {
        name: name.to_owned(),
        about: about?,
        file: document.name().to_owned(),
        programs,
        counts_attempts: rules.iter().any(Rule::counts_attempts),
        rules,
        samples: samples.into_iter().collect::<Option<_>>()?,
    })
}

fn rule(filter: &str, number: usize, (parts, proof): (&Parts, Proof), table: &Table<'_>) -> Option<Rule> {
    let kind = table.require::<Means>("kind").map(|Means(kind)| kind);
    let name = table.get::<String>("name").unwrap_or_else(|| format!("{filter}:{number}"));
    let fact = table.get::<Text<Fact>>("fact");
    let conditions = table.map::<OneOf>("where");
    let pattern = table.get::<String>("pattern");
    let matcher = match (table.contains("fact"), table.contains("pattern")) {
        (true, true) => {
            table.mistake("pattern", "a rule has a fact or a pattern, not both");
            None
        }
        (false, false) => {
            table.mistake_at_table("a rule needs a fact or a pattern");
            None
        }
        (true, false) => {
            fact.and_then(|Text(fact)| Some(Matcher::Fact(fact, checked(table, fact, conditions)?)))
        }
        (false, true) => {
            if table.contains("where") {
                table.mistake("where", "`where` is about a fact; a pattern says all itself");
            }
            let compile = |(text, kind): (String, _)| Pattern::new(&parts.put_into(&text)?, kind, proof);
            pattern.zip(kind).map(compile).and_then(|compiled| match compiled {
                Ok(pattern) => Some(Matcher::Pattern(pattern)),
                Err(message) => {
                    table.mistake("pattern", message);
                    None
                }
            })
        }
    };
    Some(Rule { name, kind: kind?, matcher: matcher?, place: table.place("kind") })
}

/// `[parts]`: texts that stand in patterns, and in the parts after them, as `(?&name)`.
struct Parts(Vec<(String, String)>);

impl Parts {
    fn read(root: &Table<'_>) -> Parts {
        let mut parts = Parts(Vec::new());
        for (name, Located { place, value }) in root.map::<Located<String>>("parts") {
            match parts.put_into(&value) {
                Ok(whole) => parts.0.push((name, whole)),
                Err(message) => root.document().mistake_at(place, message),
            }
        }
        parts
    }

    /// The text with the parts in it that it names.
    fn put_into(&self, text: &str) -> Result<String, String> {
        let mut whole = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, named)) = rest.split_once("(?&") {
            let (name, after) = named.split_once(')').unwrap_or((named, ""));
            let Some((_, part)) = self.0.iter().find(|(known, _)| known == name) else {
                return Err(format!("there is no `{name}` in [parts], or it stands further down"));
            };
            if whole.len() + part.len() > PATTERN_BYTES_MAX {
                return Err(format!("with its parts this is longer than {PATTERN_BYTES_MAX} bytes"));
            }
            whole.push_str(before);
            whole.push_str("(?:");
            whole.push_str(part);
            whole.push(')');
            rest = after;
        }
        whole.push_str(rest);
        Ok(whole)
    }
}

/// No pattern is as long. Parts in parts double with each line; sixty of them would fill any memory.
const PATTERN_BYTES_MAX: usize = 1 << 14;

/// A kind, or none for `"nothing"`.
struct Means(Option<Kind>);

impl Value for Means {
    const EXPECTED: &'static str = "an event kind such as \"auth-failed\", or \"nothing\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match value.as_str() {
            Some("nothing") => Ok(Means(None)),
            Some(name) => name.parse().map(|kind| Means(Some(kind))),
            None => Err(mismatch(Self::EXPECTED, value)),
        }
    }
}

/// A condition may only ask for what the fact has.
fn checked(table: &Table<'_>, fact: Fact, conditions: Vec<(String, OneOf)>) -> Option<Vec<Condition>> {
    let condition = |(field, OneOf(values)): (String, OneOf)| {
        let known = fact.fields().iter().find(|known| **known == field);
        if known.is_none() {
            let fields = fact.fields().join(", ");
            let name = fact.name();
            table.mistake("where", format!("a fact `{name}` has no field `{field}`; it has: {fields}"));
        }
        Some(Condition { field: known?, values })
    };
    let conditions: Vec<Option<Condition>> = conditions.into_iter().map(condition).collect();
    conditions.into_iter().collect()
}

fn sample(table: &Table<'_>) -> Option<Sample> {
    let before = table.get_or("before", Vec::new());
    let OneOf(forges) = table.get_or("forges", OneOf(Vec::new()));
    let line = table.require("line");
    let expected = if table.holds_table("is") {
        Some(Expected::Event(table.string_map("is")))
    } else {
        table.require::<Nothing>("is").map(|Nothing| Expected::Nothing)
    };
    Some(Sample { before, line: line?, expected: expected?, forges, place: table.place("line") })
}

/// One string, or a list of which any will do.
struct OneOf(Vec<String>);

impl Value for OneOf {
    const EXPECTED: &'static str = "a string, or a list of strings";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::Array(values) => {
                let text = |v: &toml::Spanned<DeValue<'_>>| v.get_ref().as_str().map(str::to_owned);
                let all: Option<Vec<String>> = values.iter().map(text).collect();
                all.map(OneOf).ok_or_else(|| mismatch(Self::EXPECTED, value))
            }
            value => {
                let one = value.as_str().ok_or_else(|| mismatch(Self::EXPECTED, value))?;
                Ok(OneOf(vec![one.to_owned()]))
            }
        }
    }
}

/// `"nothing"`.
struct Nothing;

impl Value for Nothing {
    const EXPECTED: &'static str = "a table such as { kind = \"auth-failed\" }, or \"nothing\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match value.as_str() {
            Some("nothing") => Ok(Nothing),
            _ => Err(mismatch(Self::EXPECTED, value)),
        }
    }
}
