//! `match`: a line at a time, what it means.

mod fail2ban;
mod unknown;

use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use jiff::tz::{Offset, TimeZone};
use logline::Timestamp;
use serde_json::{Map, Value, json};
use settings::Document;

use crate::envelope::{Around, Clock, Envelope};
use crate::event::Event;
use crate::filter::{Filters, Miss, Nearest, Rule};
use crate::interpret::{Interpreter, Meaning, Reading};
use crate::replay;
use crate::tail::{decompressed, read_lines};

use unknown::Unknown;

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
    /// Only the lines that no filter knows, gathered by their shape, and a rule for the most frequent one.
    #[arg(long, conflicts_with = "fail2ban")]
    unknown: bool,
    /// One JSON object a line; with --unknown one for all.
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
        let now = self.now();
        let mut out = self.output();
        let Some(file) = &self.fail2ban else {
            let mut teller = Teller::new(&self.filters()?, self.json, now);
            if self.unknown {
                self.each_line(&mut |_, line| {
                    teller.gather(line);
                    Ok(())
                })?;
                teller.unknown.tell(&mut out, self.json)?;
            } else {
                self.each_line(&mut |number, line| teller.tell(&mut out, number, line))?;
            }
            return Ok(out.flush()?);
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

    /// Standard output. Who types lines wants to read what each means before typing the next.
    fn output(&self) -> Box<dyn Write> {
        let out = io::stdout().lock();
        if self.log == Path::new("-") && io::stdin().is_terminal() {
            Box::new(io::LineWriter::new(out))
        } else {
            Box::new(io::BufWriter::new(out))
        }
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
            read_lines(decompressed(io::stdin().lock())?, |line| tell(line.bytes))?;
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

/// Says what lines mean.
struct Teller {
    interpreter: Interpreter,
    nearest: Nearest,
    unknown: Unknown,
    clock: Clock,
    now: Timestamp,
    json: bool,
    colours: bool,
}

impl Teller {
    fn new(filters: &Filters, json: bool, now: Timestamp) -> Self {
        Teller {
            interpreter: Interpreter::new(filters.iter().cloned(), TimeZone::system()),
            nearest: Nearest::of(filters.iter().cloned()),
            unknown: Unknown::default(),
            clock: Clock { zone: TimeZone::system() },
            now,
            json,
            colours: io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        }
    }

    fn envelope<'l>(&self, line: &'l [u8]) -> Envelope<'l> {
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        Envelope::open(text, &self.clock, Around { arrival: self.now, previous: None })
    }

    /// One line: it is kept where no filter knows it.
    fn gather(&mut self, line: &[u8]) {
        if self.interpreter.read(line, self.now, &mut |_, _| {}).meaning == Meaning::Unknown {
            let envelope = self.envelope(line);
            self.unknown.take(line, &envelope);
        }
    }

    /// One line: a JSON object, or sentences.
    fn tell(&mut self, out: &mut dyn Write, number: u64, line: &[u8]) -> io::Result<()> {
        let mut events = Vec::new();
        let mut sink = |event: &Event<'_>, rule: &Rule| events.push(view(event, &rule.name));
        let reading = self.interpreter.read(line, self.now, &mut sink);
        let mut event = if events.is_empty() { nothing() } else { events.swap_remove(0) };
        let miss = self.miss(line, reading.meaning);
        event.insert("n".into(), number.into());
        event.insert("line".into(), logline::Text::from(line).readable().to_string().into());
        event.insert("matched".into(), matches!(reading.meaning, Meaning::Events(_)).into());
        event.insert("envelope".into(), reading.envelope.name().into());
        event.insert("time".into(), time(&reading));
        event.insert("meaning".into(), word(reading.meaning).into());
        if let Some((column, Miss { rule, expected, .. })) = &miss {
            event.insert("nearest".into(), json!({ "rule": rule, "column": column, "expected": expected }));
        }
        if self.json {
            return writeln!(out, "{}", Value::Object(event));
        }
        let what = match reading.meaning {
            Meaning::Unknown => self.painted("33", "unknown"),
            Meaning::Nothing => "understood, no event".to_owned(),
            Meaning::Ambiguous => self.painted("33", "ambiguous: nobody can tell whose it is"),
            Meaning::Repeated => "repeats what its session said".to_owned(),
            Meaning::Part => "part of a line that goes on".to_owned(),
            Meaning::Events(_) => self.painted("32", &words(&event)),
        };
        writeln!(
            out,
            "{number}: {what}; envelope {}\n    {}",
            reading.envelope.name(),
            event.get("line").and_then(Value::as_str).unwrap_or_default()
        )?;
        if let Some((column, Miss { rule, expected, .. })) = miss {
            writeln!(out, "    nearest: {rule} stopped at column {column}, where it wants {expected:?}")?;
        }
        Ok(())
    }

    /// The rule that came nearest, and the column of the line at which it stopped.
    fn miss(&self, line: &[u8], meaning: Meaning) -> Option<(usize, Miss)> {
        if meaning != Meaning::Unknown {
            return None;
        }
        let envelope = self.envelope(line);
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        let miss = self.nearest.find(envelope.program, envelope.message)?;
        Some((text.len() - envelope.message.len() + miss.bytes + 1, miss))
    }

    fn painted(&self, colour: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// What became of a line, for a program.
fn word(meaning: Meaning) -> &'static str {
    match meaning {
        Meaning::Unknown => "unknown",
        Meaning::Nothing => "nothing",
        Meaning::Ambiguous => "ambiguous",
        Meaning::Repeated => "repeated",
        Meaning::Part => "part",
        Meaning::Events(_) => "event",
    }
}

fn words(event: &Map<String, Value>) -> String {
    let text = |key: &str| event.get(key).and_then(Value::as_str).unwrap_or("-").to_owned();
    let fields = event.get("fields").and_then(Value::as_object).into_iter().flatten();
    let others =
        fields.filter(|(name, _)| *name != "user").fold(String::new(), |mut others, (name, value)| {
            others.push_str(&format!(", {name} {value}"));
            others
        });
    format!("{} {} user {} ({}{others})", text("kind"), text("address"), text("user"), text("rule"))
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
