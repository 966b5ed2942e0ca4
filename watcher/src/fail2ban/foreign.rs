//! fail2ban's filters where the watcher reads: a source's lines become events of kind `failure`.

use std::path::Path;
use std::sync::Arc;

use jiff::tz::TimeZone;
use logline::{Text, Timestamp};
use settings::Mistakes;

use crate::envelope::Envelope;
use crate::event::{Event, Kind};
use crate::fail2ban::definition::Definition;
use crate::fail2ban::filter::{Filter, Found, Outcome, Reading, Rules};
use crate::fail2ban::layers::Disk;

/// The field of a failure that says which filter it is of.
pub const FILTER: &str = "filter";

/// A filter that a source reads with, as `[[source.fail2ban]]` names it.
#[derive(Clone, Debug)]
pub struct Imported {
    /// How its failures are called: a jail counts those of the name it gives.
    pub name: Arc<str>,
    /// For the source's own lines.
    rules: Arc<Rules>,
    /// For the lines of a file, as a replay reads them: they have dates.
    of_files: Arc<Rules>,
}

impl Imported {
    /// Reads and compiles it. Lines that are `sent` come without a date; those of a file have one.
    ///
    /// # Errors
    /// Every mistake in its files.
    pub fn load(
        name: &str,
        file: &Path,
        set: &[(String, String)],
        zone: &TimeZone,
        sent: bool,
    ) -> Result<Imported, Mistakes> {
        let compile = |set: &[(String, String)]| {
            let rules = Rules::new(&Definition::read(&Disk, file, set)?, zone.clone())?;
            Ok::<_, Mistakes>(Arc::new(rules))
        };
        let of_files = compile(set)?;
        let says = set.iter().any(|(key, _)| key == "logtype");
        let rules = if sent && !says {
            let journal = ("logtype".to_owned(), "journal".to_owned());
            compile(&[set, &[journal]].concat())?
        } else {
            Arc::clone(&of_files)
        };
        Ok(Imported { name: name.into(), rules, of_files })
    }

    /// The same filter for the lines of a file.
    pub fn of_files(&self) -> Imported {
        Imported { rules: Arc::clone(&self.of_files), ..self.clone() }
    }
}

/// A line, its time, and its time by the clock.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The line itself.
    pub bytes: &'a [u8],
    /// When it was written, where its envelope says so.
    pub stamped: Option<Timestamp>,
    /// When it came.
    pub arrival: Timestamp,
    /// A stamp that is later says nothing.
    pub latest: Option<Timestamp>,
}

/// What the filters made of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// How many failures that count.
    pub failures: u32,
    /// When it was written, by the date that a filter found in it.
    pub at: Option<Timestamp>,
}

/// The filters of a source at work.
#[derive(Debug, Default)]
pub struct Foreign(Vec<(Arc<str>, Filter)>);

/// Who is told of the events.
type Sink<'s> = dyn FnMut(&Event<'_>) + 's;

impl Foreign {
    /// Before the first line.
    pub fn new<'i>(filters: impl IntoIterator<Item = &'i Imported>) -> Self {
        let filter =
            |imported: &Imported| (Arc::clone(&imported.name), Filter::new(Arc::clone(&imported.rules)));
        Foreign(filters.into_iter().map(filter).collect())
    }

    /// Each filter goes on where the one of its name left off.
    pub fn succeed(&mut self, before: Foreign) {
        for (name, old) in before.0 {
            if let Some((_, new)) = self.0.iter_mut().find(|(known, _)| *known == name) {
                new.succeed(old);
            }
        }
    }

    /// How often a pattern gave up.
    pub fn refused(&self) -> u64 {
        self.0.iter().map(|(_, filter)| filter.refused).sum()
    }

    /// Takes in a line of a file.
    pub fn line(&mut self, line: Line<'_>, sink: &mut Sink<'_>) -> Heard {
        self.each(line, sink, |filter, told| filter.line(line.bytes, line.arrival, told))
    }

    /// Takes in a message whose envelope is open: it is put before the filter as the journal of fail2ban puts it.
    pub fn sent(&mut self, envelope: &Envelope<'_>, line: Line<'_>, sink: &mut Sink<'_>) -> Heard {
        if self.0.is_empty() {
            return Heard::default();
        }
        let mut message = Vec::with_capacity(envelope.message.len() + 40);
        if let Some(program) = envelope.program {
            message.extend_from_slice(program);
            message.extend(envelope.pid.map(|pid| format!("[{pid}]")).unwrap_or_default().bytes());
            message.extend_from_slice(b": ");
        }
        message.extend_from_slice(envelope.message);
        let at = line.stamped.unwrap_or(line.arrival);
        self.each(line, sink, |filter, told| filter.message(&message, at, told))
    }

    fn each(
        &mut self,
        line: Line<'_>,
        sink: &mut Sink<'_>,
        mut read: impl FnMut(&mut Filter, &mut dyn FnMut(&Found<'_>)) -> Reading,
    ) -> Heard {
        let mut heard = Heard::default();
        for (name, filter) in &mut self.0 {
            let mut told = |found: &Found<'_>| {
                if found.outcome != Outcome::Counted {
                    return;
                }
                let at = line.stamped.or_else(|| line.believed(found.at?.at)).unwrap_or(line.arrival);
                heard.failures += 1;
                sink(&event(name, found, at, line.bytes));
            };
            let reading = read(filter, &mut told);
            heard.at = heard.at.or_else(|| line.believed(reading.at?.at));
        }
        heard
    }
}

impl Line<'_> {
    /// A stamp, unless it is of the future.
    fn believed(&self, at: Timestamp) -> Option<Timestamp> {
        self.latest.is_none_or(|latest| at <= latest).then_some(at)
    }
}

fn event<'e>(name: &'e str, found: &'e Found<'_>, at: Timestamp, line: &'e [u8]) -> Event<'e> {
    let failure = found.failure;
    let address = failure.address();
    let mut fields: Vec<(&str, Text<'_>)> = vec![(FILTER, Text::from(name))];
    // A group cannot take the place of the filter's name.
    let groups = failure.groups.iter().filter(|(group, _)| &***group != FILTER);
    fields.extend(groups.map(|(group, text)| (&**group, Text::from(text.as_str()))));
    if let Some(id) = failure.id().filter(|_| address.is_none()) {
        fields.push(("host", Text::from(id)));
    }
    Event { kind: Kind::Failure, at, address, weight: 1, fields, line }
}

#[cfg(test)]
mod tests;
