//! From a line to events: the envelope is opened, the record read, the session's address found, the rules asked.
//!
//! Pure: the same lines give the same events, in any chunking, live or replayed.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::{Offset, TimeZone};
use logline::{Record, SessionId, Tcpserver, Text, Timestamp};
use regex::bytes::RegexSet;

use crate::connections::{Claim, Connections};
use crate::envelope::{Around, Clock, Envelope, EnvelopeKind, json, second};
use crate::event::{Event, Kind};
use crate::fact::View;
use crate::filter::{Filter, Matcher, Rule};
use crate::messages::Step;

mod origin;
mod parts;
mod repeats;
mod sessions;
#[cfg(test)]
mod tests;

use origin::{Gate, Origin, Trust};
use parts::{Part, Parts};
use repeats::{Last, Repeat};
use sessions::{Name, Sessions};

/// A stamp may be so far ahead of the line's arrival; one that is further says nothing.
pub const AHEAD_MAX: Duration = Duration::from_secs(60);

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
    /// It is part of a line that its logger cut; it means something when the last part is here.
    Part,
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
    /// Whether its stamp was so far ahead of its arrival that the arrival stands for it.
    pub replaced: bool,
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
    /// Among which lines they are told of.
    gate: Gate,
    /// What the line that was read last says of a message's way, for who follows it.
    pub step: Option<Step>,
    /// The stamp of the line before.
    previous: Option<Timestamp>,
    /// The line before, if it came through syslog, and may be repeated.
    last: Last,
    /// A long line of which the rest is to come.
    parts: Parts,
    /// The sessions of programs that are read by pattern.
    sessions: Sessions,
}

/// Who is told of the events.
type Sink<'s> = dyn FnMut(&Event<'_>, &Rule) + 's;

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
        Interpreter {
            filters,
            patterns,
            places,
            clock: Clock { zone },
            connections: Connections::default(),
            gate: Gate::default(),
            step: None,
            previous: None,
            last: Last::default(),
            parts: Parts::default(),
            sessions: Sessions::default(),
        }
    }

    /// The same sessions, and the same place in the log, under other filters.
    pub fn with_filters(self, filters: impl IntoIterator<Item = Arc<Filter>>, zone: TimeZone) -> Self {
        let Interpreter { connections, gate, previous, last, parts, sessions, .. } = self;
        let new = Interpreter::new(filters, zone);
        Interpreter { connections, gate, previous, last, parts, sessions, ..new }
    }

    /// The same filters, as they would read the first line of another log.
    #[cfg(test)]
    pub(crate) fn forget(&mut self) {
        self.connections = Connections::default();
        self.sessions = Sessions::default();
        self.previous = None;
        self.last = Last::default();
        self.parts = Parts::default();
    }

    /// Reads one line and gives its events to `sink`, each with the rule that made it.
    pub fn read(&mut self, line: &[u8], arrival: Timestamp, sink: &mut Sink<'_>) -> Reading {
        self.read_until(line, arrival, None, sink)
    }

    /// As [`Interpreter::read`], for a line that came in just now: a stamp that is further ahead than [`AHEAD_MAX`] is
    /// replaced by the arrival. One that is far behind is not: the line may have been on its way, or in a file that was
    /// moved here, for so long, and its offence is as old as it says.
    pub fn read_live(&mut self, line: &[u8], arrival: Timestamp, sink: &mut Sink<'_>) -> Reading {
        self.read_until(line, arrival, Some(arrival + AHEAD_MAX), sink)
    }

    fn read_until(
        &mut self,
        line: &[u8],
        arrival: Timestamp,
        latest: Option<Timestamp>,
        sink: &mut Sink<'_>,
    ) -> Reading {
        let is_ahead = |time: Timestamp| latest.is_some_and(|latest| time > latest);
        // A carriage return before the line feed is the writer's line end, not part of what it says.
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some((time, record)) = json::read(text) {
            return self.json(&record, time, line, arrival, latest, sink);
        }
        let envelope = Envelope::open(text, &self.clock, Around { arrival, previous: self.previous });
        if envelope.time.is_some() {
            self.previous = envelope.time.filter(|time| !is_ahead(*time)).or(Some(arrival));
        }
        self.opened(&envelope, line, arrival, latest, sink)
    }

    /// As [`Interpreter::read_live`], for a message whose envelope was opened where it came from.
    pub fn read_sent(
        &mut self,
        envelope: &Envelope<'_>,
        line: &[u8],
        arrival: Timestamp,
        sink: &mut Sink<'_>,
    ) -> Reading {
        let latest = Some(arrival + AHEAD_MAX);
        match json::read(envelope.message) {
            Some((time, record)) => self.json(&record, time, line, arrival, latest, sink),
            None => self.opened(envelope, line, arrival, latest, sink),
        }
    }

    fn json(
        &mut self,
        record: &Record<'_>,
        time: Timestamp,
        line: &[u8],
        arrival: Timestamp,
        latest: Option<Timestamp>,
        sink: &mut Sink<'_>,
    ) -> Reading {
        let replaced = latest.is_some_and(|latest| time > latest);
        let at = if replaced { arrival } else { time };
        let (envelope, offset) = (EnvelopeKind::Json, Some(Offset::UTC));
        let origin = Origin { kind: envelope, program: None };
        let meaning = self.record(&View::of(record), origin, at, line, sink);
        Reading { meaning, envelope, at, stamped: true, replaced, offset }
    }

    fn opened(
        &mut self,
        envelope: &Envelope<'_>,
        line: &[u8],
        arrival: Timestamp,
        latest: Option<Timestamp>,
        sink: &mut Sink<'_>,
    ) -> Reading {
        let replaced = envelope.time.is_some_and(|time| latest.is_some_and(|latest| time > latest));
        let at = envelope.time.filter(|_| !replaced).unwrap_or(arrival);
        let meaning = if envelope.kind.is_syslog() {
            self.syslog(envelope, at, line, sink)
        } else {
            self.last.forget();
            self.message(envelope, at, line, sink)
        };
        let (kind, stamped) = (envelope.kind, envelope.time.is_some());
        Reading { meaning, envelope: kind, at, stamped, replaced, offset: envelope.offset }
    }

    /// A line that a syslog daemon, or splogger, may have cut or stand for several.
    fn syslog(
        &mut self,
        envelope: &Envelope<'_>,
        at: Timestamp,
        line: &[u8],
        sink: &mut Sink<'_>,
    ) -> Meaning {
        match self.parts.take(envelope, line) {
            Part::None => {}
            Part::More => {
                self.last.forget();
                return Meaning::Part;
            }
            Part::Lost => return Meaning::Ambiguous,
            Part::Last(whole) => {
                let message = whole.message();
                return self.message(&Envelope { message, ..*envelope }, at, whole.line(), sink);
            }
        }
        match Repeat::parse(envelope.message) {
            None => {
                self.last.keep(envelope, line);
                self.message(envelope, at, line, sink)
            }
            Some(Repeat::Quoted { times, message }) => {
                self.last.forget();
                let quoted = Envelope { message, ..*envelope };
                self.times(times, |this| this.message(&quoted, at, line, sink))
            }
            Some(Repeat::Last { times }) => {
                // Taken out while it is read again; it may be repeated once more.
                let last = std::mem::take(&mut self.last);
                let meaning = match last.said_by(envelope) {
                    Some(said) => self.times(times, |this| this.message(&said, at, last.line(), sink)),
                    None => Meaning::Ambiguous,
                };
                self.last = last;
                meaning
            }
        }
    }

    fn times(&mut self, times: u32, mut read: impl FnMut(&mut Self) -> Meaning) -> Meaning {
        (0..times).map(|_| read(self)).reduce(Meaning::and).unwrap_or(Meaning::Nothing)
    }

    fn message(
        &mut self,
        envelope: &Envelope<'_>,
        at: Timestamp,
        line: &[u8],
        sink: &mut Sink<'_>,
    ) -> Meaning {
        let named = |program| Record::parse_of(program, envelope.pid.map(SessionId), envelope.message);
        let record = envelope.program.and_then(named).or_else(|| Record::parse(envelope.message));
        let Some(record) = record else {
            return if self.is_doubled(envelope) {
                Meaning::Ambiguous
            } else {
                self.pattern(envelope, at, line, sink)
            };
        };
        // A session's number decides whose a line is, whatever a client has written into it.
        let view = View::of(&record);
        if view.is_doubtful() || (view.pid.is_none() && view.claimed.is_some() && self.is_doubled(envelope)) {
            return Meaning::Ambiguous;
        }
        match self.record(&view, Origin::of(envelope), at, line, sink) {
            // Somebody's own filter may know more of a line of another writer than any rule about its fact.
            Meaning::Nothing if view.is_foreign() && self.is_doubled(envelope) => Meaning::Ambiguous,
            Meaning::Nothing if view.is_foreign() => {
                Meaning::Nothing.and(self.pattern(envelope, at, line, sink))
            }
            meaning => meaning,
        }
    }

    /// Whether a second line, envelope and all, stands in the message of a line that had one.
    fn is_doubled(&self, envelope: &Envelope<'_>) -> bool {
        envelope.kind != EnvelopeKind::None
            && second::stands_in(envelope.message, &self.clock, |inner| {
                Record::parse(inner).is_some() || self.patterns.is_match(inner)
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
        self.step = Step::of(view.record(), &self.connections, at);
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
        let mut meaning = Meaning::Unknown;
        for index in &self.patterns.matches(envelope.message) {
            let Some((filter, rule)) = rule(&self.filters, &self.places, index) else { continue };
            let Matcher::Pattern(pattern) = &rule.matcher else { continue };
            let trust = Origin::of(envelope).trust(filter, &self.gate, &self.connections);
            let Some(trust) = trust else { continue };
            let Some(fields) = pattern.captures(envelope.message) else { continue };
            match pattern_event(&mut self.sessions, (filter, rule), envelope, fields, at, line) {
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
                // The first rule that knows the line decides, also where it says that it is nothing.
                Err(Meaning::Nothing) => return Meaning::Nothing,
                Err(why) => meaning = meaning.and(why),
            }
        }
        meaning
    }
}

fn rule<'f>(
    filters: &'f [Arc<Filter>],
    places: &[(usize, usize)],
    index: usize,
) -> Option<(&'f Filter, &'f Rule)> {
    let (filter, rule) = places.get(index)?;
    let filter = filters.get(*filter)?;
    Some((filter, filter.rules.get(*rule)?))
}

impl Meaning {
    /// What two rules together make of a line.
    fn and(self, other: Meaning) -> Meaning {
        match (self, other) {
            (Meaning::Events(a), Meaning::Events(b)) => Meaning::Events(a + b),
            (Meaning::Events(n), _) | (_, Meaning::Events(n)) => Meaning::Events(n),
            (Meaning::Repeated, _) | (_, Meaning::Repeated) => Meaning::Repeated,
            (Meaning::Part, _) | (_, Meaning::Part) => Meaning::Part,
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
    trust: Trust,
    at: Timestamp,
    line: &'e [u8],
) -> Result<Event<'e>, Meaning> {
    let kind = rule.kind.ok_or(Meaning::Nothing)?;
    let address = match (view.pid, view.claimed) {
        // A line of the queue is about nobody at the gate.
        (None, None) => None,
        (pid, Some(claimed))
            if trust == Trust::Line && view.proves_itself() && !connections.denies(pid, claimed) =>
        {
            Some(claimed.to_canonical())
        }
        (pid, claimed) => Some(client(connections, pid, claimed)?),
    };
    if let Some(pid) = view.pid.or_else(|| connections.latest_of(address?))
        && connections.repeats(pid, kind, view.fact)
    {
        return Err(Meaning::Repeated);
    }
    let fields = view.fact.fields().iter().filter_map(|name| Some((*name, view.field(name)?))).collect();
    Ok(Event { kind, at, address, weight: 1, fields, line })
}

/// The event that a rule makes of what its pattern captured, or why there is none.
fn pattern_event<'e>(
    sessions: &mut Sessions,
    (filter, rule): (&'e Filter, &Rule),
    envelope: &Envelope<'_>,
    mut fields: Vec<(&'e str, Text<'e>)>,
    at: Timestamp,
    line: &'e [u8],
) -> Result<Event<'e>, Meaning> {
    let kind = rule.kind.ok_or(Meaning::Nothing)?;
    let claimed = fields.iter().position(|(name, _)| *name == "address").map(|at| fields.swap_remove(at).1);
    let session = fields.iter().find(|(name, _)| *name == "session");
    let session = session.and_then(|(_, text)| Name::captured(&filter.name, text.bytes()));
    let address = match (claimed, &session) {
        // What stands where an address should and is none is another line than it looked.
        (Some(text), _) => Some(read_address(text.bytes()).ok_or(Meaning::Unknown)?),
        (None, Some(session)) => Some(sessions.client(session).ok_or(Meaning::Ambiguous)?),
        (None, None) => None,
    };
    let weight = Event::weight_of(&fields);
    let mut event = Event { kind, at, address, weight, fields, line };
    match (kind, &session, address) {
        (Kind::Connect, Some(session), Some(address)) => sessions.open(session.clone(), address),
        (Kind::Disconnect, Some(session), _) => sessions.close(session),
        _ => {}
    }
    let process = || Some(Name::of_process(&filter.name, envelope.program, envelope.pid?, address?));
    if filter.counts_attempts
        && let Some(name) = session.or_else(process)
    {
        event.weight = sessions.news(name, &event);
        if event.weight == 0 {
            return Err(Meaning::Repeated);
        }
    }
    Ok(event)
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
