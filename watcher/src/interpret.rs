//! From a line to events: the envelope is opened, the record read, the session's address found, the rules asked.
//!
//! Pure: the same lines give the same events, in any chunking, live or replayed.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::{Offset, TimeZone};
use logline::{SessionId, Tcpserver, Timestamp};

use crate::connections::{Claim, Connections};
use crate::envelope::stamp::{Calendar, Stamp};
use crate::envelope::{Around, Envelope, EnvelopeKind, Opened};
use crate::event::{Event, Kind};
use crate::fact::View;
use crate::filter::{Filter, Rule};
use crate::messages::Step;

#[cfg(test)]
mod equality;
mod facts;
mod origin;
mod parts;
mod patterns;
mod reader;
#[cfg(test)]
mod reference;
mod repeats;
mod sessions;
mod sieve;
#[cfg(test)]
mod tests;

use facts::Place;
use origin::{Gate, Origin, Trust};
use parts::{Part, Parts};
use patterns::{Found, Shapes};
pub(crate) use reader::{Reader, Scratch, Sight};
use reader::{Said, Stated, What};
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
    /// What a line says by itself.
    reader: Arc<Reader>,
    scratch: Scratch,
    /// Who is connected.
    pub connections: Connections,
    /// What the line that was read last says of a message's way, for who follows it.
    pub step: Option<Step>,
    course: Course,
}

/// What the lines before a line tell about it.
#[derive(Debug)]
struct Course {
    calendar: Calendar,
    /// Among which lines connections are told of.
    gate: Gate,
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

/// Where a line came from, and when.
#[derive(Clone, Copy)]
struct Line<'a> {
    bytes: &'a [u8],
    arrival: Timestamp,
    /// A stamp that is later says nothing.
    latest: Option<Timestamp>,
    /// Its envelope, where it was opened elsewhere.
    sent: Option<Opened<'a>>,
}

impl Interpreter {
    /// Reads with these filters; stamps in local time are in `zone`.
    pub fn new(filters: impl IntoIterator<Item = Arc<Filter>>, zone: TimeZone) -> Self {
        Interpreter::of(Arc::new(Reader::of(filters.into_iter().collect())), zone)
    }

    fn of(reader: Arc<Reader>, zone: TimeZone) -> Self {
        Interpreter {
            reader,
            scratch: Scratch::default(),
            connections: Connections::default(),
            step: None,
            course: Course {
                calendar: Calendar::new(zone),
                gate: Gate::default(),
                previous: None,
                last: Last::default(),
                parts: Parts::default(),
                sessions: Sessions::default(),
            },
        }
    }

    /// The same sessions, and the same place in the log, under other filters.
    pub fn with_filters(self, filters: impl IntoIterator<Item = Arc<Filter>>, zone: TimeZone) -> Self {
        let Interpreter { connections, course, .. } = self;
        let course = Course { calendar: Calendar::new(zone.clone()), ..course };
        Interpreter { connections, course, ..Interpreter::new(filters, zone) }
    }

    /// Another log, read with the same filters.
    #[must_use]
    pub fn another(&self, zone: TimeZone) -> Self {
        Interpreter::of(Arc::clone(&self.reader), zone)
    }

    /// Forgets all that was read: what comes next is another log.
    pub fn forget(&mut self) {
        let Interpreter { connections, step, course, .. } = self;
        (*connections, *step) = (Connections::default(), None);
        let Course { calendar: _, gate, previous, last, parts, sessions } = course;
        (*gate, *previous, *last) = (Gate::default(), None, Last::default());
        (*parts, *sessions) = (Parts::default(), Sessions::default());
    }

    /// Reads one line and gives its events to `sink`, each with the rule that made it.
    pub fn read(&mut self, line: &[u8], arrival: Timestamp, sink: &mut Sink<'_>) -> Reading {
        self.read_until(Line { bytes: line, arrival, latest: None, sent: None }, sink)
    }

    /// As [`Interpreter::read`], for a line that came in just now: a stamp that is further ahead than [`AHEAD_MAX`] is
    /// replaced by the arrival. One that is far behind is not: the line may have been on its way, or in a file that was
    /// moved here, for so long, and its offence is as old as it says.
    pub fn read_live(&mut self, line: &[u8], arrival: Timestamp, sink: &mut Sink<'_>) -> Reading {
        let latest = Some(arrival + AHEAD_MAX);
        self.read_until(Line { bytes: line, arrival, latest, sent: None }, sink)
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
        self.read_until(Line { bytes: line, arrival, latest, sent: Some(envelope.opened()) }, sink)
    }

    fn read_until(&mut self, line: Line<'_>, sink: &mut Sink<'_>) -> Reading {
        let Interpreter { reader, scratch, connections, step, course } = self;
        let sight = match &line.sent {
            Some(opened) => reader.look_sent(scratch, opened),
            None => reader.look(scratch, line.bytes),
        };
        InOrder { reader, scratch, connections, step, course }.take(sight, line, sink)
    }

    /// What reads lines by themselves, for threads that come back with [`Interpreter::settle`].
    pub(crate) fn reader(&self) -> Arc<Reader> {
        Arc::clone(&self.reader)
    }

    /// The second half of [`Interpreter::read`], for the line that is next in its log: `sight` is what this
    /// interpreter's reader saw in it.
    pub(crate) fn settle(
        &mut self,
        sight: Sight<'_>,
        line: &[u8],
        arrival: Timestamp,
        sink: &mut Sink<'_>,
    ) -> Reading {
        let Interpreter { reader, scratch, connections, step, course } = self;
        let line = Line { bytes: line, arrival, latest: None, sent: None };
        InOrder { reader, scratch, connections, step, course }.take(sight, line, sink)
    }
}

/// The half of reading that goes by the order of the lines: it gives a line its time, its session and its parts.
struct InOrder<'i> {
    reader: &'i Reader,
    scratch: &'i mut Scratch,
    connections: &'i mut Connections,
    step: &'i mut Option<Step>,
    course: &'i mut Course,
}

impl InOrder<'_> {
    fn take(&mut self, sight: Sight<'_>, line: Line<'_>, sink: &mut Sink<'_>) -> Reading {
        let Sight { kind, program, pid, stamp, offset, what } = sight;
        let Line { arrival, latest, .. } = line;
        let time = self.time(kind, stamp, &line);
        let replaced = time.is_some_and(|time| latest.is_some_and(|latest| time > latest));
        let at = time.filter(|_| !replaced).unwrap_or(arrival);
        let meaning = match what {
            What::Belongs(opened) => self.belonging(&opened, at, &line, sink),
            What::Said(said) => {
                match &line.sent {
                    _ if kind == EnvelopeKind::Json => {}
                    _ if !kind.is_syslog() => self.course.last.forget(),
                    Some(opened) => self.course.last.keep_sent(opened, line.bytes),
                    None => self.course.last.keep(line.bytes),
                }
                self.tell(said, Origin { kind, program, pid }, at, line.bytes, sink)
            }
        };
        Reading { meaning, envelope: kind, at, stamped: time.is_some(), replaced, offset }
    }

    /// The time of a line, which stands for that of the line before when the next one comes.
    fn time(&mut self, kind: EnvelopeKind, stamp: Stamp, line: &Line<'_>) -> Option<Timestamp> {
        let Course { calendar, previous, .. } = &mut self.course;
        let around = Around { arrival: line.arrival, previous: *previous };
        let time = calendar.instant(stamp, around);
        if time.is_some() && kind != EnvelopeKind::Json && line.sent.is_none() {
            let is_ahead = |time: &Timestamp| line.latest.is_some_and(|latest| *time > latest);
            *previous = time.filter(|time| !is_ahead(time)).or(Some(line.arrival));
        }
        time
    }

    /// A line that its logger cut, or that stands for several.
    fn belonging(
        &mut self,
        opened: &Opened<'_>,
        at: Timestamp,
        line: &Line<'_>,
        sink: &mut Sink<'_>,
    ) -> Meaning {
        if Parts::concerns(opened) {
            return match self.course.parts.take(opened, line.bytes) {
                Part::More => {
                    self.course.last.forget();
                    Meaning::Part
                }
                Part::Lost => Meaning::Ambiguous,
                Part::Last(whole) => {
                    let message = whole.message();
                    self.times(1, &Opened { message, ..*opened }, at, whole.line(), sink)
                }
            };
        }
        match Repeat::parse(opened.message) {
            None => Meaning::Unknown,
            Some(Repeat::Quoted { times, message }) => {
                self.course.last.forget();
                self.times(times, &Opened { message, ..*opened }, at, line.bytes, sink)
            }
            Some(Repeat::Last { times }) => {
                // Taken out while it is read again; it may be repeated once more.
                let last = std::mem::take(&mut self.course.last);
                let meaning = match last.said_by(opened) {
                    Some(said) => self.times(times, &said, at, last.line(), sink),
                    None => Meaning::Ambiguous,
                };
                self.course.last = last;
                meaning
            }
        }
    }

    /// A message that came so often.
    fn times(
        &mut self,
        times: u32,
        opened: &Opened<'_>,
        at: Timestamp,
        line: &[u8],
        sink: &mut Sink<'_>,
    ) -> Meaning {
        let said = self.reader.say(self.scratch, opened);
        let origin = Origin { kind: opened.kind, program: opened.program, pid: opened.pid };
        let meanings = (0..times).map(|_| self.tell(said.clone(), origin, at, line, sink));
        meanings.reduce(Meaning::and).unwrap_or(Meaning::Nothing)
    }

    /// Makes events of what a message says.
    fn tell(
        &mut self,
        said: Said<'_>,
        origin: Origin<'_>,
        at: Timestamp,
        line: &[u8],
        sink: &mut Sink<'_>,
    ) -> Meaning {
        match said {
            Said::Unknown => Meaning::Unknown,
            Said::Nothing => Meaning::Nothing,
            Said::Doubled => Meaning::Ambiguous,
            Said::Shape(shapes) => self.shapes(shapes, origin, at, line, sink),
            Said::Fact(stated) => {
                let Stated { record, held, shapes } = *stated;
                let meaning = self.record(&View::of(&record), &held, origin, at, line, sink);
                match meaning {
                    Meaning::Nothing => meaning.and(self.shapes(shapes, origin, at, line, sink)),
                    meaning => meaning,
                }
            }
        }
    }

    fn shapes(
        &mut self,
        shapes: Shapes<'_>,
        origin: Origin<'_>,
        at: Timestamp,
        line: &[u8],
        sink: &mut Sink<'_>,
    ) -> Meaning {
        let mut meaning = Meaning::Unknown;
        for found in shapes {
            let Some((filter, rule)) = self.reader.rule(found.place) else { continue };
            let is_in_gate = origin.is_in_gate(filter, &self.course.gate, self.connections);
            match pattern_event(&mut self.course.sessions, (filter, rule), origin, found, at, line) {
                Ok(event) => {
                    if is_in_gate
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

    fn record(
        &mut self,
        view: &View<'_, '_>,
        held: &[Place],
        origin: Origin<'_>,
        at: Timestamp,
        line: &[u8],
        sink: &mut Sink<'_>,
    ) -> Meaning {
        let connection = view.connection();
        if let Some(Tcpserver::Connect { pid, address }) = connection.map(|connection| connection.said) {
            self.course.gate.stands_in(origin);
            if connection.is_some_and(|connection| connection.tells_ends) {
                self.connections.open(*pid, *address, at);
            } else {
                self.connections.open_without_end(*pid, *address, at);
            }
        }
        let mut meaning = Meaning::Nothing;
        for (filter, rule) in held.iter().filter_map(|place| self.reader.rule(*place)) {
            let Some(trust) = origin.trust(filter, &self.course.gate, self.connections) else { continue };
            let found = fact_event(self.connections, rule, view, trust, at, line);
            if let Ok(event) = &found {
                sink(event, rule);
            }
            meaning = meaning.and(found.map_or_else(|why| why, |_| Meaning::Events(1)));
        }
        *self.step = Step::of(view.record(), self.connections, at);
        match connection.map(|connection| connection.said) {
            Some(Tcpserver::End { pid, .. }) => self.connections.close(*pid),
            Some(Tcpserver::Status { open: 0, .. }) => self.connections.close_all(),
            _ => {}
        }
        meaning
    }
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
    let names = view.fact.fields();
    let mut fields = Vec::with_capacity(names.len());
    fields.extend(names.iter().filter_map(|name| Some((*name, view.field(name)?))));
    Ok(Event { kind, at, address, weight: 1, fields, line })
}

/// The event that a rule makes of what its pattern captured, or why there is none.
fn pattern_event<'e>(
    sessions: &mut Sessions,
    (filter, rule): (&Filter, &Rule),
    origin: Origin<'_>,
    found: Found<'e>,
    at: Timestamp,
    line: &'e [u8],
) -> Result<Event<'e>, Meaning> {
    let kind = rule.kind.ok_or(Meaning::Nothing)?;
    let Found { address, fields, .. } = found;
    let counts = filter.counts_attempts && kind == Kind::AuthFailed;
    // What a session is called matters only where something is to be learnt from it, or for it.
    let session = if counts || address.is_none() || matches!(kind, Kind::Connect | Kind::Disconnect) {
        let session = fields.iter().find(|(name, _)| *name == "session");
        session.and_then(|(_, text)| Name::captured(&filter.name, text.bytes()))
    } else {
        None
    };
    let address = match (address, &session) {
        (None, Some(session)) => Some(sessions.client(session).ok_or(Meaning::Ambiguous)?),
        (address, _) => address,
    };
    let weight = Event::weight_of(&fields);
    let mut event = Event { kind, at, address, weight, fields, line };
    match (kind, &session, address) {
        (Kind::Connect, Some(session), Some(address)) => sessions.open(session.clone(), address),
        (Kind::Disconnect, Some(session), _) => sessions.close(session),
        _ => {}
    }
    let process = || Some(Name::of_process(&filter.name, origin.program, origin.pid?, address?));
    if counts && let Some(name) = session.or_else(process) {
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
