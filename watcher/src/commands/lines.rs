//! `match`: a line at a time, what it means.

mod fail2ban;

use std::io::{self, BufRead as _, BufReader, Write};
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

/// `match`: what each line means.
#[derive(Debug, clap::Args)]
pub struct Match {
    /// This filter alone, by name or as a file; every shipped one where none is named.
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
    /// A filter of fail2ban instead, as it stands in its directory: /etc/fail2ban/filter.d/sshd.conf.
    #[arg(long, value_name = "FILE", conflicts_with = "filter")]
    fail2ban: Option<PathBuf>,
    /// A parameter of that filter, as a jail would give it: mode=aggressive, logtype=journal.
    #[arg(long, value_name = "KEY=VALUE", requires = "fail2ban", value_parser = parameter)]
    set: Vec<(String, String)>,
    /// What time it is, for stamps that name no year: 2005-08-14T12:00:00+02:00. By default when the log was last written.
    #[arg(long, value_name = "TIME")]
    now: Option<jiff::Timestamp>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// A log, or - for standard input.
    #[arg(value_name = "LOG")]
    log: PathBuf,
}

impl Match {
    /// Does it.
    ///
    /// # Errors
    /// There is no such filter or log.
    pub fn run(self) -> anyhow::Result<()> {
        let now = self.now();
        let mut out = io::BufWriter::new(io::stdout().lock());
        let Some(file) = &self.fail2ban else {
            let filters = self.filters()?;
            let mut interpreter = Interpreter::new(filters.iter().cloned(), TimeZone::system());
            return self.each_line(&mut |number, line| {
                tell(&mut out, self.json, number, line, &mut interpreter, now)
            });
        };
        let mut teller = fail2ban::Teller::new(file, &self.set, self.json, now)?;
        self.each_line(&mut |number, line| teller.tell(&mut out, number, line))?;
        if teller.refused() > 0 {
            let refused = teller.refused();
            writeln!(
                io::stderr(),
                "warning: {refused} times a pattern gave up for having taken too many steps"
            )?;
        }
        Ok(out.flush()?)
    }

    /// Gives each line of the log and its number, from 1.
    fn each_line(&self, each: &mut dyn FnMut(u64, &[u8]) -> io::Result<()>) -> anyhow::Result<()> {
        let mut number = 0u64;
        let mut told = Ok(());
        let mut tell = |line: &[u8]| {
            number += 1;
            if told.is_ok() {
                told = each(number, line);
            }
        };
        if self.log == Path::new("-") {
            let mut input = BufReader::new(io::stdin().lock());
            let mut line = Vec::new();
            while input.read_until(b'\n', &mut line)? > 0 {
                tell(line.strip_suffix(b"\n").unwrap_or(&line));
                line.clear();
            }
        } else {
            replay::lines_of(&self.log, &mut tell)?;
        }
        Ok(told?)
    }

    /// What the year is of a stamp that does not say.
    fn now(&self) -> Timestamp {
        let now = Timestamp::from(std::time::SystemTime::now());
        if let Some(given) = self.now {
            return i64::try_from(given.as_nanosecond()).map_or(now, Timestamp::from_nanos);
        }
        let written = std::fs::metadata(&self.log).and_then(|metadata| metadata.modified());
        written.map_or(now, |written| now.min(written.into()))
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
    writeln!(out, "{number}: {what}\n    {}", event.get("line").and_then(Value::as_str).unwrap_or_default())
}

fn words(event: &Map<String, Value>) -> String {
    let text = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or("-").to_owned();
    format!("{} {} user {} ({})", text("kind"), text("address"), text("user"), text("rule"))
}

/// The line's own time, with its zone; none where it has none.
fn time(reading: &Reading) -> Value {
    if reading.stamped { rfc3339(reading.at, reading.offset) } else { Value::Null }
}

/// RFC 3339, in the zone that is so far from UTC, or in that of the machine.
fn rfc3339(at: Timestamp, offset: Option<Offset>) -> Value {
    let zone = offset.map_or_else(TimeZone::system, TimeZone::fixed);
    let Ok(at) = jiff::Timestamp::from_nanosecond(at.nanos().into()) else { return Value::Null };
    match zone.to_offset(at) {
        Offset::UTC => at.to_string().into(),
        offset => at.display_with_offset(offset).to_string().into(),
    }
}

/// `KEY=VALUE`.
fn parameter(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a parameter is KEY=VALUE, as mode=aggressive")?;
    Ok((key.trim().to_owned(), value.to_owned()))
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
