//! What one line says by itself, whatever came before it. It may be asked from several threads, in any order.

use std::sync::Arc;

use jiff::tz::Offset;
use logline::{Record, SessionId, Tcpserver};

use super::facts::{FactRules, Held, Place};
use super::parts::Parts;
use super::patterns::{Patterns, Search, Shapes};
use super::repeats::Repeat;
use crate::envelope::stamp::{Recent, Stamp};
use crate::envelope::{EnvelopeKind, Opened, json, second};
use crate::fact::View;
use crate::filter::{Filter, Rule};
use crate::messages::Step;

/// Filters, made ready to be asked.
#[derive(Debug)]
pub(crate) struct Reader {
    facts: FactRules,
    patterns: Patterns,
}

/// What one thread needs to read: memory that is used again for each line.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    search: Search,
    recent: Recent,
}

/// A line as it was read, without what only the lines before it can tell.
#[derive(Debug)]
pub(crate) struct Sight<'a> {
    pub(crate) kind: EnvelopeKind,
    pub(crate) program: Option<&'a [u8]>,
    pub(crate) pid: Option<u32>,
    pub(crate) stamp: Stamp,
    pub(crate) offset: Option<Offset>,
    pub(crate) what: What<'a>,
}

/// What a line is.
#[derive(Debug)]
pub(crate) enum What<'a> {
    /// It says all itself.
    Said(Said<'a>),
    /// It is a part of a longer line, or repeats another.
    Belongs(Box<Opened<'a>>),
}

/// What a message says.
#[derive(Clone, Debug)]
pub(crate) enum Said<'a> {
    /// No grammar and no pattern knows it.
    Unknown,
    /// It was understood, and nobody wants to know.
    Nothing,
    /// A second line stands in it.
    Doubled,
    /// It states a fact that changes the table of sessions, or that a rule is about.
    Fact(Box<Stated<'a>>),
    /// It has the shape of a pattern, or of several.
    Shape(Shapes<'a>),
}

/// A fact and what follows from it.
#[derive(Clone, Debug)]
pub(crate) struct Stated<'a> {
    pub(crate) record: Record<'a>,
    /// The rules that hold for it.
    pub(crate) held: Held,
    /// Where none does: the shapes that it has beside.
    pub(crate) shapes: Shapes<'a>,
}

impl Reader {
    pub(crate) fn of(filters: Vec<Arc<Filter>>) -> Self {
        Reader { facts: FactRules::of(&filters), patterns: Patterns::of(filters) }
    }

    /// The rule that stands there, and its filter.
    pub(crate) fn rule(&self, place: Place) -> Option<(&Filter, &Rule)> {
        self.patterns.rule(place)
    }

    /// Reads a line of a log.
    pub(crate) fn look<'a>(&'a self, scratch: &mut Scratch, line: &'a [u8]) -> Sight<'a> {
        // A carriage return before the line feed is the writer's line end, not part of what it says.
        let text = line.strip_suffix(b"\r").unwrap_or(line);
        self.json(text).unwrap_or_else(|| {
            let opened = Opened::read_after(text, &mut scratch.recent);
            self.look_into(scratch, &opened)
        })
    }

    /// Reads a message whose envelope was opened where it came from.
    pub(crate) fn look_sent<'a>(&'a self, scratch: &mut Scratch, opened: &Opened<'a>) -> Sight<'a> {
        self.json(opened.message).unwrap_or_else(|| self.look_into(scratch, opened))
    }

    /// A line of postern-smtpd's JSON format.
    fn json<'a>(&'a self, text: &'a [u8]) -> Option<Sight<'a>> {
        let (time, record) = json::read(text)?;
        let (kind, stamp, offset) = (EnvelopeKind::Json, Stamp::Instant(time), Some(Offset::UTC));
        let what = What::Said(self.state(record, None, Shapes::new));
        Some(Sight { kind, program: None, pid: None, stamp, offset, what })
    }

    /// Reads a line that is out of its envelope.
    #[inline]
    fn look_into<'a>(&'a self, scratch: &mut Scratch, opened: &Opened<'a>) -> Sight<'a> {
        let Opened { kind, program, pid, stamp, offset, .. } = *opened;
        let belongs =
            kind.is_syslog() && (Parts::concerns(opened) || Repeat::parse(opened.message).is_some());
        let what =
            if belongs { What::Belongs(Box::new(*opened)) } else { What::Said(self.say(scratch, opened)) };
        Sight { kind, program, pid, stamp, offset, what }
    }

    /// What a message says.
    pub(crate) fn say<'a>(&'a self, scratch: &mut Scratch, opened: &Opened<'a>) -> Said<'a> {
        let Opened { program, pid, message, .. } = *opened;
        let author = self.patterns.author(&mut scratch.search, program);
        let named = |program| Record::parse_of(program, pid.map(SessionId), message);
        let record = program.filter(|_| author.writes_records).and_then(named);
        match record.or_else(|| Record::parse(message)) {
            Some(record) => self.say_stated(scratch, opened, record),
            None if self.is_doubled(scratch, opened) => Said::Doubled,
            None => {
                let shapes = self.patterns.find(&mut scratch.search, author, message);
                if shapes.is_empty() { Said::Unknown } else { Said::Shape(shapes) }
            }
        }
    }

    /// What a message says that states something.
    fn say_stated<'a>(&'a self, scratch: &mut Scratch, opened: &Opened<'a>, record: Record<'a>) -> Said<'a> {
        let Opened { program, message, .. } = *opened;
        // A session's number decides whose a line is, whatever a client has written into it.
        let view = View::of(&record);
        if view.is_doubtful()
            || (view.pid.is_none() && view.claimed.is_some() && self.is_doubled(scratch, opened))
        {
            return Said::Doubled;
        }
        let is_foreign = view.is_foreign();
        let said = self.state(record, program, || {
            let author = self.patterns.author(&mut scratch.search, program);
            self.patterns.find(&mut scratch.search, author, message)
        });
        let is_ruled = matches!(&said, Said::Fact(stated) if !stated.held.is_empty());
        if is_foreign && !is_ruled && self.is_doubled(scratch, opened) { Said::Doubled } else { said }
    }

    /// What a record says; where no rule is about it, somebody's own filter may know more of a line of another writer.
    fn state<'a>(
        &'a self,
        record: Record<'a>,
        program: Option<&[u8]>,
        shapes: impl FnOnce() -> Shapes<'a>,
    ) -> Said<'a> {
        let view = View::of(&record);
        let held = self.facts.held(&view, |filter| self.patterns.hears(filter, program));
        let shapes = if held.is_empty() && view.is_foreign() { shapes() } else { Shapes::new() };
        let connects = match view.connection().map(|connection| connection.said) {
            Some(Tcpserver::Connect { .. } | Tcpserver::End { .. } | Tcpserver::Status { open: 0, .. }) => {
                true
            }
            Some(Tcpserver::Status { .. } | Tcpserver::Ok(_) | Tcpserver::Deny(_)) | None => false,
        };
        if held.is_empty() && shapes.is_empty() && !connects && !Step::is_in(&record) {
            return Said::Nothing;
        }
        Said::Fact(Box::new(Stated { record, held, shapes }))
    }

    /// Whether a second line, envelope and all, stands in the message of a line that had one.
    fn is_doubled(&self, scratch: &mut Scratch, opened: &Opened<'_>) -> bool {
        opened.kind != EnvelopeKind::None
            && second::stands_in(opened.message, |inner| {
                Record::parse(inner).is_some() || self.patterns.knows(&mut scratch.search, inner)
            })
    }
}
