//! `match`: a line at a time, what it means.

use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use jiff::tz::{Offset, TimeZone};
use logline::Timestamp;
use serde_json::{Map, Value, json};
use settings::Document;

use crate::event::Event;
use crate::filter::Filters;
use crate::interpret::{Interpreter, Meaning, Reading};
use crate::replay;
use crate::tail::{decompressed, read_lines};

/// `match`: what each line means.
#[derive(Debug, clap::Args)]
pub struct Match {
    /// This filter alone, by name or as a file; every shipped one where none is named.
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// A log, plain or compressed, a directory of logs, or - for standard input.
    #[arg(value_name = "LOG")]
    log: PathBuf,
}

impl Match {
    /// Does it.
    ///
    /// # Errors
    /// There is no such filter or log.
    pub fn run(self) -> anyhow::Result<()> {
        let filters = self.filters()?;
        let mut interpreter = Interpreter::new(filters.iter().cloned(), TimeZone::system());
        let mut out = io::BufWriter::new(io::stdout().lock());
        let mut number = 0u64;
        let now = Timestamp::from(std::time::SystemTime::now());
        let mut told = Ok(());
        // Who types lines wants to read what each means before typing the next.
        let is_typed = self.log == Path::new("-") && io::stdin().is_terminal();
        let mut tell = |line: &[u8]| {
            number += 1;
            if told.is_ok() {
                told = tell(&mut out, self.json, number, line, &mut interpreter, now);
            }
            if told.is_ok() && is_typed {
                told = out.flush();
            }
        };
        if self.log == Path::new("-") {
            read_lines(decompressed(io::stdin().lock())?, |line| tell(line.bytes))?;
        } else {
            replay::lines_of(&self.log, &mut tell)?;
        }
        told?;
        Ok(out.flush()?)
    }

    fn filters(&self) -> anyhow::Result<Filters> {
        let Some(name) = &self.filter else { return Ok(Filters::shipped()?) };
        let path = Path::new(name);
        if path.extension().is_some_and(|extension| extension == "toml") {
            let document = Document::read(path).with_context(|| format!("cannot read the filter {name}"))?;
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("filter").to_owned();
            return Ok(Filters::single(&stem, document)?);
        }
        let shipped = Filters::shipped()?;
        match shipped.only(std::slice::from_ref(name)) {
            Ok(filters) => Ok(filters),
            Err(unknown) => {
                bail!("there is no filter `{unknown}`; there are: {}", shipped.names().join(", "))
            }
        }
    }
}

/// One line: a JSON object or a sentence.
fn tell(
    out: &mut dyn Write,
    json: bool,
    number: u64,
    line: &[u8],
    interpreter: &mut Interpreter,
    now: Timestamp,
) -> io::Result<()> {
    let mut events = Vec::new();
    let reading = interpreter.read(line, now, &mut |event, rule| events.push(view(event, &rule.name)));
    let mut event = if events.is_empty() { nothing() } else { events.swap_remove(0) };
    event.insert("n".into(), number.into());
    event.insert("line".into(), logline::Text::from(line).readable().to_string().into());
    event.insert("matched".into(), matches!(reading.meaning, Meaning::Events(_)).into());
    event.insert("envelope".into(), json!(reading.envelope));
    event.insert("time".into(), time(&reading));
    if json {
        return writeln!(out, "{}", Value::Object(event));
    }
    let what = match reading.meaning {
        Meaning::Unknown => "unknown".to_owned(),
        Meaning::Nothing => "understood, no event".to_owned(),
        Meaning::Ambiguous => "ambiguous: nobody can tell whose it is".to_owned(),
        Meaning::Repeated => "repeats what its session said".to_owned(),
        Meaning::Part => "part of a line that goes on".to_owned(),
        Meaning::Events(_) => words(&event),
    };
    let line = event.get("line").and_then(Value::as_str).unwrap_or_default();
    writeln!(out, "{number}: {what}; envelope {}\n    {line}", reading.envelope.name())
}

fn words(event: &Map<String, Value>) -> String {
    let text = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or("-").to_owned();
    format!("{} {} user {} ({})", text("kind"), text("address"), text("user"), text("rule"))
}

/// The line's own time, with its zone; none where it has none.
fn time(reading: &Reading) -> Value {
    let zone = reading.offset.map_or_else(TimeZone::system, TimeZone::fixed);
    let at =
        reading.stamped.then(|| jiff::Timestamp::from_nanosecond(reading.at.nanos().into()).ok()).flatten();
    at.map_or(Value::Null, |at| {
        let offset = zone.to_offset(at);
        if offset == Offset::UTC {
            at.to_string().into()
        } else {
            at.display_with_offset(offset).to_string().into()
        }
    })
}

fn view(event: &Event<'_>, rule: &str) -> Map<String, Value> {
    let field =
        |(name, text): &(&str, logline::Text<'_>)| ((*name).to_owned(), text.readable().to_string().into());
    let fields: Map<String, Value> =
        event.fields.iter().filter(|(_, text)| !text.is_empty()).map(field).collect();
    let Value::Object(view) = json!({
        "address": event.address.map(|address| address.to_string()),
        "user": fields.get("user").cloned(),
        "kind": event.kind,
        "rule": rule,
        "fields": fields,
    }) else {
        return nothing();
    };
    view
}

fn nothing() -> Map<String, Value> {
    ["address", "user", "kind", "rule"]
        .into_iter()
        .map(|key| (key.to_owned(), Value::Null))
        .chain([("fields".to_owned(), Value::Object(Map::new()))])
        .collect()
}
