//! From a line to events: the envelope is opened, the record read, the session's address found, the rules asked.
//!
//! Pure: the same lines give the same events, in any chunking, live or replayed.

use std::net::IpAddr;
use std::sync::Arc;

use jiff::tz::{Offset, TimeZone};
use logline::{Record, SessionId, Tcpserver, Timestamp};
use regex::bytes::RegexSet;

use crate::connections::{Claim, Connections};
use crate::envelope::{Clock, Envelope, EnvelopeKind, json};
use crate::event::Event;
use crate::fact::View;
use crate::filter::{Filter, Matcher, Rule};

/// What became of a line; each is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// No grammar and no pattern knows it.
    Unknown,
    /// It was understood, and is no event.
    Nothing,
    /// It is an event whose client nobody can tell for certain: never acted on.
    Ambiguous,
    /// It repeats what another line of its session said.
    Repeated,
    /// It is this many events.
    Events(u32),
}

/// What was seen on the way, for who wants to show it.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// What became of the line.
    pub meaning: Meaning,
    /// The envelope it came in.
    pub envelope: EnvelopeKind,
    /// When it was written: its own stamp, or its arrival.
    pub at: Timestamp,
    /// Whether that is its own stamp.
    pub stamped: bool,
    /// How far the stamp's own zone is from UTC, where the stamp says so.
    pub offset: Option<Offset>,
}

/// Reads the lines of one source.
#[derive(Debug)]
pub struct Interpreter {
    filters: Vec<Arc<Filter>>,
    /// The patterns of all filters, to find the few that can match; and where each stands.
    patterns: RegexSet,
    places: Vec<(usize, usize)>,
    clock: Clock,
    /// Who is connected.
    pub connections: Connections,
}

impl Interpreter {
    /// Reads with these filters; stamps in local time are in `zone`.
    pub fn new(filters: impl IntoIterator<Item = Arc<Filter>>, zone: TimeZone) -> Self {
        let filters: Vec<Arc<Filter>> = filters.into_iter().collect();
        let patterns = filters.iter().enumerate().flat_map(|(f, filter)| {
            filter.rules.iter().enumerate().filter_map(move |(r, rule)| match &rule.matcher {
                Matcher::Pattern(pattern) => Some(((f, r), pattern.as_str().to_owned())),
                Matcher::Fact(..) => None,
            })
        });
        let (places, texts): (Vec<_>, Vec<_>) = patterns.unzip();
        let set = regex::bytes::RegexSetBuilder::new(&texts).unicode(false).size_limit(64 << 20).build();
        let patterns =
            set.expect("each pattern was compiled alone, and the set's limit is far above their sum");
        Interpreter { filters, patterns, places, clock: Clock { zone }, connections: Connections::default() }
    }

    /// The same sessions under other filters.
    pub fn with_filters(self, filters: impl IntoIterator<Item = Arc<Filter>>, zone: TimeZone) -> Self {
        Interpreter { connections: self.connections, ..Interpreter::new(filters, zone) }
    }

    /// Reads one line and gives its events to `sink`, each with the rule that made it.
    pub fn read<'a>(
        &mut self,
        line: &'a [u8],
        arrival: Timestamp,
        sink: &mut dyn FnMut(&Event<'_>, &Rule),
    ) -> Reading {
        // A carriage return before the line feed is the writer's line end, not part of what it says.
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some((at, record)) = json::read(text) {
            let meaning = self.record(&record, at, line, sink);
            return Reading {
                meaning,
                envelope: EnvelopeKind::Json,
                at,
                stamped: true,
                offset: Some(Offset::UTC),
            };
        }
        let envelope = Envelope::open(text, &self.clock, arrival);
        self.opened(&envelope, line, arrival, sink)
    }

    /// Reads a message whose envelope was opened where it came from.
    pub fn message<'a>(
        &mut self,
        envelope: &Envelope<'_>,
        line: &'a [u8],
        arrival: Timestamp,
        sink: &mut dyn FnMut(&Event<'_>, &Rule),
    ) -> Reading {
        match json::read(envelope.message) {
            Some((at, record)) => {
                let meaning = self.record(&record, at, line, sink);
                Reading {
                    meaning,
                    envelope: EnvelopeKind::Json,
                    at,
                    stamped: true,
                    offset: Some(Offset::UTC),
                }
            }
            None => self.opened(envelope, line, arrival, sink),
        }
    }

    fn opened(
        &mut self,
        envelope: &Envelope<'_>,
        line: &[u8],
        arrival: Timestamp,
        sink: &mut dyn FnMut(&Event<'_>, &Rule),
    ) -> Reading {
        let at = envelope.time.unwrap_or(arrival);
        let meaning = match Record::parse(envelope.message) {
            Some(record) => self.record(&record, at, line, sink),
            None => self.pattern(envelope, at, line, sink),
        };
        Reading {
            meaning,
            envelope: envelope.kind,
            at,
            stamped: envelope.time.is_some(),
            offset: envelope.offset,
        }
    }

    fn record(
        &mut self,
        record: &Record<'_>,
        at: Timestamp,
        line: &[u8],
        sink: &mut dyn FnMut(&Event<'_>, &Rule),
    ) -> Meaning {
        let view = View::of(record);
        if let Record::Tcpserver(Tcpserver::Connect { pid, address }) = record {
            self.connections.open(*pid, *address, at);
        }
        let mut meaning = Meaning::Nothing;
        for filter in &self.filters {
            for rule in &filter.rules {
                let Matcher::Fact(fact, conditions) = &rule.matcher else { continue };
                if *fact != view.fact || !conditions.iter().all(|condition| condition.holds(&view)) {
                    continue;
                }
                let found = fact_event(&mut self.connections, rule, &view, at, line);
                if let Ok(event) = &found {
                    sink(event, rule);
                }
                meaning = meaning.and(found.map_or_else(|why| why, |_| Meaning::Events(1)));
            }
        }
        match record {
            Record::Tcpserver(Tcpserver::End { pid, .. }) => self.connections.close(*pid),
            Record::Tcpserver(Tcpserver::Status { open: 0, .. }) => self.connections.close_all(),
            _ => {}
        }
        meaning
    }

    fn pattern(
        &self,
        envelope: &Envelope<'_>,
        at: Timestamp,
        line: &[u8],
        sink: &mut dyn FnMut(&Event<'_>, &Rule),
    ) -> Meaning {
        for index in &self.patterns.matches(envelope.message) {
            let Some((filter, rule)) = self.rule(index) else { continue };
            let Matcher::Pattern(pattern) = &rule.matcher else { continue };
            if let (Some(wanted), Some(program)) = (&filter.program, envelope.program)
                && wanted.as_bytes() != program
            {
                continue;
            }
            let Some(mut fields) = pattern.captures(envelope.message) else { continue };
            let address = fields.iter().position(|(name, _)| *name == "address").and_then(|at| {
                let (_, text) = fields.swap_remove(at);
                read_address(text.bytes())
            });
            let Some(address) = address else { continue };
            sink(&Event { kind: rule.kind, at, address: Some(address), fields, line }, rule);
            return Meaning::Events(1);
        }
        Meaning::Unknown
    }

    fn rule(&self, index: usize) -> Option<(&Filter, &Rule)> {
        let (filter, rule) = self.places.get(index)?;
        let filter = self.filters.get(*filter)?;
        Some((filter, filter.rules.get(*rule)?))
    }
}

impl Meaning {
    /// What two rules together make of a line.
    fn and(self, other: Meaning) -> Meaning {
        match (self, other) {
            (Meaning::Events(a), Meaning::Events(b)) => Meaning::Events(a + b),
            (Meaning::Events(n), _) | (_, Meaning::Events(n)) => Meaning::Events(n),
            (Meaning::Repeated, _) | (_, Meaning::Repeated) => Meaning::Repeated,
            (Meaning::Ambiguous, _) | (_, Meaning::Ambiguous) => Meaning::Ambiguous,
            (Meaning::Nothing, _) | (_, Meaning::Nothing) => Meaning::Nothing,
            (Meaning::Unknown, Meaning::Unknown) => Meaning::Unknown,
        }
    }
}

/// The event that a rule makes of a record, or why there is none.
fn fact_event<'e>(
    connections: &mut Connections,
    rule: &Rule,
    view: &View<'_, 'e>,
    at: Timestamp,
    line: &'e [u8],
) -> Result<Event<'e>, Meaning> {
    let address = match (view.pid, view.claimed) {
        // A line of the queue is about nobody at the gate.
        (None, None) => None,
        (pid, claimed) => Some(client(connections, pid, claimed)?),
    };
    if let Some(pid) = view.pid.or_else(|| connections.latest_of(address?))
        && connections.repeats(pid, rule.kind, view.fact)
    {
        return Err(Meaning::Repeated);
    }
    let fields = view.fact.fields().iter().filter_map(|name| Some((*name, view.field(name)?))).collect();
    Ok(Event { kind: rule.kind, at, address, fields, line })
}

fn client(
    connections: &Connections,
    pid: Option<SessionId>,
    claimed: Option<IpAddr>,
) -> Result<IpAddr, Meaning> {
    match connections.client(pid, claimed) {
        Claim::Confirmed(address) => Ok(address),
        Claim::Ambiguous => Err(Meaning::Ambiguous),
    }
}

fn read_address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    text.parse().ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Filters;

    /// The kinds and clients of the events of a log.
    fn events(log: &[String]) -> Vec<(String, String)> {
        let filters = Filters::shipped().unwrap();
        let mut interpreter = Interpreter::new(filters.iter().cloned(), TimeZone::UTC);
        let mut events = Vec::new();
        for line in log {
            interpreter.read(line.as_bytes(), Timestamp::from_seconds(0), &mut |event, _| {
                events
                    .push((event.kind.to_string(), event.address.map(|a| a.to_string()).unwrap_or_default()));
            });
        }
        events
    }

    #[test]
    fn json_lines_mean_what_the_same_lines_mean_in_words() {
        let words = [
            "tcpserver: pid 9012 from 203.0.113.66",
            "qmail-smtpd[9012]: auth: auth-failed type=login user=<info@example.org> fingerprint=0c4f",
            "tcpserver: end 9012 status 256",
        ];
        let json = words.map(|line| {
            let record = Record::parse(line.as_bytes()).unwrap();
            serde_json::json!({ "time": "2026-11-21T03:00:00.5Z", "record": record }).to_string()
        });
        assert_eq!(events(&json), events(&words.map(str::to_owned)));
        assert_eq!(events(&json).len(), 3);
    }
}
