//! Reading as it is meant, without any haste: each line is asked for every rule, one after the other, and each stamp goes
//! by the zone's rules. What the interpreter does faster must come to the same.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use jiff::tz::{Offset, TimeZone};
use logline::{Record, SessionId, Tcpserver, Text, Timestamp};
use regex::bytes::{Regex, RegexBuilder};

use super::origin::{Gate, Origin, Trust};
use super::parts::{Part, Parts};
use super::patterns::Found;
use super::repeats::{Last, Repeat};
use super::sessions::Sessions;
use super::{Meaning, Reading, Sink, fact_event, pattern_event};
use crate::connections::{Claim, Connections};
use crate::envelope::{Around, Clock, Envelope, EnvelopeKind, json, second};
use crate::fact::View;
use crate::filter::{Filter, Matcher};

/// Reads the lines of one source, slowly.
pub(super) struct Reference {
    filters: Vec<Arc<Filter>>,
    /// The pattern of each rule of each filter, where it has one.
    patterns: Rc<Vec<Vec<Option<Regex>>>>,
    clock: Clock,
    connections: Connections,
    gate: Gate,
    previous: Option<Timestamp>,
    last: Last,
    parts: Parts,
    sessions: Sessions,
}

impl Reference {
    /// The patterns of these filters, ready for many references.
    pub(super) fn compiled(filters: &[Arc<Filter>]) -> Vec<Vec<Option<Regex>>> {
        let compiled = |matcher: &Matcher| match matcher {
            Matcher::Pattern(pattern) => {
                Some(RegexBuilder::new(pattern.as_str()).unicode(false).build().unwrap())
            }
            Matcher::Fact(..) => None,
        };
        let of = |filter: &Arc<Filter>| filter.rules.iter().map(|rule| compiled(&rule.matcher)).collect();
        filters.iter().map(of).collect()
    }

    pub(super) fn new(filters: Vec<Arc<Filter>>, patterns: Vec<Vec<Option<Regex>>>, zone: TimeZone) -> Self {
        Reference {
            filters,
            patterns: Rc::new(patterns),
            clock: Clock { zone },
            connections: Connections::default(),
            gate: Gate::default(),
            previous: None,
            last: Last::default(),
            parts: Parts::default(),
            sessions: Sessions::default(),
        }
    }

    pub(super) fn read(
        &mut self,
        line: &[u8],
        arrival: Timestamp,
        latest: Option<Timestamp>,
        sink: &mut Sink<'_>,
    ) -> Reading {
        let is_ahead = |time: Timestamp| latest.is_some_and(|latest| time > latest);
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some((time, record)) = json::read(text) {
            let replaced = is_ahead(time);
            let at = if replaced { arrival } else { time };
            let origin = Origin { kind: EnvelopeKind::Json, program: None, pid: None };
            let meaning = self.record(&View::of(&record), origin, at, line, sink);
            let (envelope, offset) = (EnvelopeKind::Json, Some(Offset::UTC));
            return Reading { meaning, envelope, at, stamped: true, replaced, offset };
        }
        let envelope = Envelope::open(text, &self.clock, Around { arrival, previous: self.previous });
        if envelope.time.is_some() {
            self.previous = envelope.time.filter(|time| !is_ahead(*time)).or(Some(arrival));
        }
        let replaced = envelope.time.is_some_and(is_ahead);
        let at = envelope.time.filter(|_| !replaced).unwrap_or(arrival);
        let meaning = if envelope.kind.is_syslog() {
            self.syslog(&envelope, at, line, sink)
        } else {
            self.last.forget();
            self.message(&envelope, at, line, sink)
        };
        let Envelope { kind, time, offset, .. } = envelope;
        Reading { meaning, envelope: kind, at, stamped: time.is_some(), replaced, offset }
    }

    fn syslog(
        &mut self,
        envelope: &Envelope<'_>,
        at: Timestamp,
        line: &[u8],
        sink: &mut Sink<'_>,
    ) -> Meaning {
        let opened = envelope.opened();
        if Parts::concerns(&opened) {
            return match self.parts.take(&opened, line) {
                Part::More => {
                    self.last.forget();
                    Meaning::Part
                }
                Part::Lost => Meaning::Ambiguous,
                Part::Last(whole) => {
                    let message = whole.message();
                    self.message(&Envelope { message, ..*envelope }, at, whole.line(), sink)
                }
            };
        }
        match Repeat::parse(envelope.message) {
            None => {
                self.last.keep(line);
                self.message(envelope, at, line, sink)
            }
            Some(Repeat::Quoted { times, message }) => {
                self.last.forget();
                let quoted = Envelope { message, ..*envelope };
                let meanings = (0..times).map(|_| self.message(&quoted, at, line, sink));
                meanings.reduce(Meaning::and).unwrap_or(Meaning::Nothing)
            }
            Some(Repeat::Last { times }) => {
                let last = std::mem::take(&mut self.last);
                let meaning = match last.said_by(&opened) {
                    Some(said) => {
                        let said = said.at(None);
                        let meanings = (0..times).map(|_| self.message(&said, at, last.line(), sink));
                        meanings.reduce(Meaning::and).unwrap_or(Meaning::Nothing)
                    }
                    None => Meaning::Ambiguous,
                };
                self.last = last;
                meaning
            }
        }
    }

    fn message(
        &mut self,
        envelope: &Envelope<'_>,
        at: Timestamp,
        line: &[u8],
        sink: &mut Sink<'_>,
    ) -> Meaning {
        let patterns = Rc::clone(&self.patterns);
        let is_doubled = || {
            let fits = |inner: &[u8]| patterns.iter().flatten().flatten().any(|p| p.is_match(inner));
            envelope.kind != EnvelopeKind::None
                && second::stands_in(envelope.message, |inner| Record::parse(inner).is_some() || fits(inner))
        };
        let origin = Origin { kind: envelope.kind, program: envelope.program, pid: envelope.pid };
        let named = |program| Record::parse_of(program, envelope.pid.map(SessionId), envelope.message);
        let record = envelope.program.and_then(named).or_else(|| Record::parse(envelope.message));
        let Some(record) = record else {
            let doubled = is_doubled();
            return if doubled { Meaning::Ambiguous } else { self.pattern(envelope, at, line, sink) };
        };
        let view = View::of(&record);
        if view.is_doubtful() || (view.pid.is_none() && view.claimed.is_some() && is_doubled()) {
            return Meaning::Ambiguous;
        }
        if view.is_foreign() && !self.is_ruled(&view, envelope.program) && is_doubled() {
            return Meaning::Ambiguous;
        }
        match self.record(&view, origin, at, line, sink) {
            Meaning::Nothing if view.is_foreign() => {
                Meaning::Nothing.and(self.pattern(envelope, at, line, sink))
            }
            meaning => meaning,
        }
    }

    /// Whether a rule is about this.
    fn is_ruled(&self, view: &View<'_, '_>, program: Option<&[u8]>) -> bool {
        let mut heard = self.filters.iter().filter(|filter| filter.programs.cover(program));
        heard.any(|filter| {
            filter.rules.iter().any(|rule| match &rule.matcher {
                Matcher::Fact(fact, conditions) => {
                    *fact == view.fact && conditions.iter().all(|condition| condition.holds(view))
                }
                Matcher::Pattern(_) => false,
            })
        })
    }

    fn record(
        &mut self,
        view: &View<'_, '_>,
        origin: Origin<'_>,
        at: Timestamp,
        line: &[u8],
        sink: &mut Sink<'_>,
    ) -> Meaning {
        let connection = view.connection();
        if let Some(Tcpserver::Connect { pid, address }) = connection.map(|connection| connection.said) {
            self.gate.stands_in(origin);
            if connection.is_some_and(|connection| connection.tells_ends) {
                self.connections.open(*pid, *address, at);
            } else {
                self.connections.open_without_end(*pid, *address, at);
            }
        }
        let mut meaning = Meaning::Nothing;
        for filter in &self.filters {
            let Some(trust) = origin.trust(filter, &self.gate, &self.connections) else { continue };
            for rule in &filter.rules {
                let Matcher::Fact(fact, conditions) = &rule.matcher else { continue };
                if *fact != view.fact || !conditions.iter().all(|condition| condition.holds(view)) {
                    continue;
                }
                let found = fact_event(&mut self.connections, rule, view, trust, at, line);
                if let Ok(event) = &found {
                    sink(event, rule);
                }
                meaning = meaning.and(found.map_or_else(|why| why, |_| Meaning::Events(1)));
            }
        }
        match connection.map(|connection| connection.said) {
            Some(Tcpserver::End { pid, .. }) => self.connections.close(*pid),
            Some(Tcpserver::Status { open: 0, .. }) => self.connections.close_all(),
            _ => {}
        }
        meaning
    }

    fn pattern(
        &mut self,
        envelope: &Envelope<'_>,
        at: Timestamp,
        line: &[u8],
        sink: &mut Sink<'_>,
    ) -> Meaning {
        let origin = Origin { kind: envelope.kind, program: envelope.program, pid: envelope.pid };
        let mut meaning = Meaning::Unknown;
        for (filter, patterns) in self.filters.iter().zip(self.patterns.iter()) {
            let Some(trust) = origin.trust(filter, &self.gate, &self.connections) else { continue };
            for (rule, pattern) in filter.rules.iter().zip(patterns) {
                let Some(captures) = pattern.as_ref().and_then(|p| p.captures(envelope.message)) else {
                    continue;
                };
                let address = captures.name("address").map(|address| {
                    let address = std::str::from_utf8(address.as_bytes()).ok()?;
                    address.parse().ok().map(|address: IpAddr| address.to_canonical())
                });
                let names = pattern.iter().flat_map(|pattern| pattern.capture_names().flatten());
                let fields = names
                    .filter(|name| *name != "address")
                    .filter_map(|name| Some((name, Text::from(captures.name(name)?.as_bytes()))));
                // What stands where an address should and is none is another line than it looked.
                if address == Some(None) && rule.kind.is_some() {
                    continue;
                }
                let found = Found { place: (0, 0), address: address.flatten(), fields: fields.collect() };
                match pattern_event(&mut self.sessions, (filter, rule), origin, found, at, line) {
                    Ok(event) => {
                        if trust == Trust::Connected
                            && event.address.is_some()
                            && self.connections.client(None, event.address) == Claim::Ambiguous
                        {
                            return Meaning::Ambiguous;
                        }
                        sink(&event, rule);
                        return Meaning::Events(1);
                    }
                    Err(Meaning::Nothing) => return Meaning::Nothing,
                    Err(why) => meaning = meaning.and(why),
                }
            }
        }
        meaning
    }
}
