//! The pure middle in one piece: lines of several sources in, bans out. `run` drives it by the clock, `replay` by the
//! stamps of the lines.

use logline::Timestamp;

use crate::engine::{Engine, Input, Output};
use crate::event::{Event, Kind};
use crate::feed::Sent;
use crate::filter::Rule;
use crate::interpret::{Interpreter, Meaning, Reading, Sight};
use crate::messages::Messages;
use crate::twins::Twins;

/// Interpreters, one a source, before one engine.
#[derive(Debug)]
pub struct Watch {
    /// One for each source, in the order of the configuration.
    pub interpreters: Vec<Interpreter>,
    /// What they report to.
    pub engine: Engine,
    /// Which messages came from whom.
    pub messages: Messages,
    /// What one log told and another one will tell again.
    twins: Twins,
    /// What became of the lines: one counter for each arrow of the way.
    pub counts: Counts,
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
    /// How old it was when it was read.
    pub lag: std::time::Duration,
}

impl Watch {
    /// These interpreters before this engine.
    pub fn new(interpreters: Vec<Interpreter>, engine: Engine) -> Self {
        let sources = vec![SourceCounts::default(); interpreters.len()];
        let counts = Counts { sources, events: [0; Kind::ALL.len()] };
        Watch { interpreters, engine, messages: Messages::default(), twins: Twins::default(), counts }
    }

    /// Takes in one line of a source.
    pub fn line(&mut self, source: usize, line: &[u8], now: Now, out: &mut Vec<Output>) -> Option<Reading> {
        self.take(source, now, out, |interpreter, arrival, sink| match now {
            Now::Clock(_) => interpreter.read_live(line, arrival, sink),
            Now::Lines(_) => interpreter.read(line, arrival, sink),
        })
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
        self.take(source, Now::Lines(latest), out, |interpreter, arrival, sink| {
            interpreter.settle(sight, line, arrival, sink)
        })
    }

    /// Takes in one message whose envelope is open.
    pub fn sent(
        &mut self,
        source: usize,
        sent: &Sent<'_>,
        now: Now,
        out: &mut Vec<Output>,
    ) -> Option<Reading> {
        self.take(source, now, out, |interpreter, arrival, sink| {
            interpreter.read_sent(&sent.envelope, sent.line, arrival, sink)
        })
    }

    fn take(
        &mut self,
        source: usize,
        now: Now,
        out: &mut Vec<Output>,
        read: impl FnOnce(&mut Interpreter, Timestamp, &mut dyn FnMut(&Event<'_>, &Rule)) -> Reading,
    ) -> Option<Reading> {
        let Watch { interpreters, engine, messages, twins, counts } = self;
        let (arrival, mut twice) = (now.arrival(), 0);
        let mut sink = |event: &Event<'_>, rule: &Rule| {
            if twins.repeats(event, rule) {
                twice += 1;
                return;
            }
            if let Some(count) =
                Kind::ALL.iter().position(|k| *k == event.kind).and_then(|i| counts.events.get_mut(i))
            {
                *count += 1;
            }
            engine.handle(now.at(event.at), Input::Event(event), out);
        };
        let interpreter = interpreters.get_mut(source)?;
        let reading = read(interpreter, arrival, &mut sink);
        if let Some(step) = interpreter.take_step() {
            messages.take(step);
        }
        let count = counts.sources.get_mut(source)?;
        count.lines += 1;
        count.last = Some(reading.at);
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
