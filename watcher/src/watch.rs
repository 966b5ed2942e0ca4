//! The pure middle in one piece: lines of several sources in, bans out. `run` drives it by the clock, `replay` by the
//! stamps of the lines.

use logline::Timestamp;

use crate::engine::{Engine, Input, Output};
use crate::envelope::Envelope;
use crate::envelope::EnvelopeKind;
use crate::event::{Event, Kind};
use crate::fail2ban::Foreign;
use crate::fail2ban::foreign::Line;
use crate::feed::Sent;
use crate::filter::Rule;
use crate::interpret::{AHEAD_MAX, Interpreter, Meaning, Reading, Sight};
use crate::messages::Messages;
use crate::replay::Judge;
use crate::twins::Twins;

#[cfg(test)]
mod tests;

/// Interpreters, one a source, before one engine.
#[derive(Debug)]
pub struct Watch {
    /// One for each source, in the order of the configuration.
    pub interpreters: Vec<Interpreter>,
    /// fail2ban's filters for each source, in the same order; a source beyond them has none.
    pub foreign: Vec<Foreign>,
    /// What they report to.
    pub engine: Engine,
    /// Which messages came from whom.
    pub messages: Messages,
    /// What one log told and another one will tell again.
    twins: Twins,
    /// What became of the lines: one counter for each arrow of the way.
    pub counts: Counts,
    /// Who judges the bans, in a replay.
    pub judge: Option<Box<Judge>>,
}

/// Who tells the time while a line is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Now {
    /// The clock, as it stood when the line arrived.
    Clock(Timestamp),
    /// The lines themselves; this is the latest stamp so far.
    Lines(Timestamp),
}

impl Now {
    /// The time of a line that has no stamp.
    fn arrival(self) -> Timestamp {
        match self {
            Now::Clock(now) | Now::Lines(now) => now,
        }
    }

    /// The time at which an event of that stamp is handled.
    fn at(self, stamp: Timestamp) -> Timestamp {
        match self {
            Now::Clock(now) => now,
            Now::Lines(latest) => latest.max(stamp),
        }
    }
}

/// How many lines and events there were, since the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// By source: what its lines meant.
    pub sources: Vec<SourceCounts>,
    /// By kind, in the order of [`Kind::ALL`].
    pub events: [u64; Kind::ALL.len()],
}

/// What the lines of a source meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceCounts {
    /// All of them.
    pub lines: u64,
    /// Known to no grammar and no pattern.
    pub unknown: u64,
    /// About a client that nobody can tell for certain.
    pub ambiguous: u64,
    /// Said before by another line.
    pub repeated: u64,
    /// Stamped so much later than they arrived that the arrival stands for the stamp.
    pub ahead: u64,
    /// When the last one was written.
    pub last: Option<Timestamp>,
    /// The envelope it came in.
    pub envelope: Option<EnvelopeKind>,
    /// How old it was when it was read.
    pub lag: std::time::Duration,
}

/// A line as it came.
enum Raw<'r> {
    Line(&'r [u8]),
    Sent(&'r Sent<'r>),
    /// One that a thread of its own looked at.
    Looked(Sight<'r>, &'r [u8]),
}

impl<'r> Raw<'r> {
    /// The line, and the envelope that it was sent in.
    fn parts(&self) -> (&'r [u8], Option<&'r Envelope<'r>>) {
        match self {
            Raw::Line(line) | Raw::Looked(_, line) => (line, None),
            Raw::Sent(sent) => (sent.line, Some(&sent.envelope)),
        }
    }
}

/// Gives a line to fail2ban's filters too; what they find out about it is added to the reading.
fn hear(
    foreign: &mut Foreign,
    (bytes, sent_in): (&[u8], Option<&Envelope<'_>>),
    now: Now,
    reading: &mut Reading,
    tell: &mut dyn FnMut(&Event<'_>),
) {
    let arrival = now.arrival();
    let latest = match now {
        Now::Clock(clock) => Some(clock + AHEAD_MAX),
        Now::Lines(_) => None,
    };
    let stamped = reading.stamped.then_some(reading.at);
    let line = Line { bytes, stamped, arrival, latest };
    let heard = match sent_in {
        None => foreign.line(line, tell),
        Some(envelope) => foreign.sent(envelope, line, tell),
    };
    if let Some(at) = heard.at.filter(|_| !reading.stamped) {
        (reading.at, reading.stamped) = (at, true);
    }
    reading.meaning = match (reading.meaning, heard.failures) {
        (meaning, 0) => meaning,
        (Meaning::Events(events), failures) => Meaning::Events(events + failures),
        (_, failures) => Meaning::Events(failures),
    };
}

impl Watch {
    /// These interpreters before this engine.
    pub fn new(interpreters: Vec<Interpreter>, engine: Engine) -> Self {
        let sources = vec![SourceCounts::default(); interpreters.len()];
        let counts = Counts { sources, events: [0; Kind::ALL.len()] };
        Watch {
            interpreters,
            foreign: Vec::new(),
            engine,
            messages: Messages::default(),
            twins: Twins::default(),
            counts,
            judge: None,
        }
    }

    /// Takes in one line of a source.
    pub fn line(&mut self, source: usize, line: &[u8], now: Now, out: &mut Vec<Output>) -> Option<Reading> {
        self.take(source, Raw::Line(line), now, out)
    }

    /// Takes in one line of an old log, which was looked at by a thread of its own.
    pub(crate) fn looked(
        &mut self,
        source: usize,
        sight: Sight<'_>,
        line: &[u8],
        latest: Timestamp,
        out: &mut Vec<Output>,
    ) -> Option<Reading> {
        self.take(source, Raw::Looked(sight, line), Now::Lines(latest), out)
    }

    /// Takes in one message whose envelope is open.
    pub fn sent(
        &mut self,
        source: usize,
        sent: &Sent<'_>,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Option<Reading> {
        self.take(source, Raw::Sent(sent), now, out)
    }

    fn take(&mut self, source: usize, raw: Raw<'_>, now: Now, out: &mut Vec<Output>) -> Option<Reading> {
        let Watch { interpreters, foreign, engine, messages, twins, counts, judge } = self;
        let (arrival, mut twice) = (now.arrival(), 0);
        let mut tell = |event: &Event<'_>| {
            if let Some(count) =
                Kind::ALL.iter().position(|k| *k == event.kind).and_then(|i| counts.events.get_mut(i))
            {
                *count += 1;
            }
            engine.handle(now.at(event.at), Input::Event(event), out);
            if let Some(judge) = judge {
                judge.event(event);
            }
        };
        let interpreter = interpreters.get_mut(source)?;
        let mut sink = |event: &Event<'_>, rule: &Rule| {
            if twins.repeats(event, rule) {
                twice += 1;
            } else {
                tell(event);
            }
        };
        let parts = raw.parts();
        let mut reading = match (raw, now) {
            (Raw::Line(line), Now::Clock(_)) => interpreter.read_live(line, arrival, &mut sink),
            (Raw::Line(line), Now::Lines(_)) => interpreter.read(line, arrival, &mut sink),
            (Raw::Sent(sent), _) => interpreter.read_sent(&sent.envelope, sent.line, arrival, &mut sink),
            (Raw::Looked(sight, line), _) => interpreter.settle(sight, line, arrival, &mut sink),
        };
        if let Some(step) = interpreter.step.take() {
            messages.take(step);
        }
        if let Some(foreign) = foreign.get_mut(source) {
            hear(foreign, parts, now, &mut reading, &mut tell);
        }
        let count = counts.sources.get_mut(source)?;
        count.lines += 1;
        count.last = Some(reading.at);
        count.envelope = Some(reading.envelope);
        count.lag = arrival.since(reading.at);
        count.ahead += u64::from(reading.replaced);
        count.repeated += twice;
        match reading.meaning {
            Meaning::Unknown => count.unknown += 1,
            Meaning::Ambiguous => count.ambiguous += 1,
            Meaning::Repeated => count.repeated += 1,
            Meaning::Nothing | Meaning::Part | Meaning::Events(_) => {}
        }
        Some(reading)
    }
}
