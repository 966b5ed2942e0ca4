//! Long lines that splogger cut into parts are put together again.
//!
//! A part that is as long as splogger's buffer is not read until the next one has come: where it was cut is the client's
//! choice, and half an address is another address.

use logline::Timestamp;

use crate::envelope::stamp::Stamp;
use crate::envelope::{EnvelopeKind, Opened, SPLOGGER_TEXT_BYTES};
use crate::tail::LINE_BYTES_MAX;

/// The line whose rest is to come.
#[derive(Debug, Default)]
pub(super) struct Parts {
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    time: Option<Timestamp>,
    program: Option<Vec<u8>>,
    whole: Whole,
}

/// All parts of a line, with the envelope of the first.
#[derive(Debug)]
pub(super) struct Whole {
    line: Vec<u8>,
    message_at: usize,
}

/// What a line is among the parts of another.
#[derive(Debug)]
pub(super) enum Part {
    /// There is more to come.
    More,
    /// It is the last one.
    Last(Whole),
    /// It goes on from a line that nobody has.
    Lost,
}

impl Whole {
    pub(super) fn line(&self) -> &[u8] {
        &self.line
    }

    pub(super) fn message(&self) -> &[u8] {
        self.line.get(self.message_at..).unwrap_or_default()
    }
}

impl Parts {
    /// Whether a line is a part of a longer one.
    pub(super) fn concerns(opened: &Opened<'_>) -> bool {
        opened.kind == EnvelopeKind::Splogger && (opened.continues || is_full(opened))
    }

    /// Takes a part in. A beginning that another beginning follows is forgotten: at most one line is held, of at most
    /// [`LINE_BYTES_MAX`].
    pub(super) fn take(&mut self, part: &Opened<'_>, line: &[u8]) -> Part {
        if !part.continues {
            let text = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
            let whole = Whole { message_at: text.len() - part.message.len(), line: text };
            let program = part.program.map(<[u8]>::to_vec);
            self.held = Some(Held { time: time(part), program, whole });
            return Part::More;
        }
        let Some(mut held) = self.held.take_if(|held| held.goes_on_in(part)) else { return Part::Lost };
        if held.whole.line.len() + part.message.len() > LINE_BYTES_MAX {
            return Part::Lost;
        }
        held.whole.line.extend_from_slice(part.message);
        if is_full(part) {
            self.held = Some(held);
            return Part::More;
        }
        Part::Last(held.whole)
    }
}

impl Held {
    fn goes_on_in(&self, part: &Opened<'_>) -> bool {
        self.time == time(part) && self.program.as_deref() == part.program
    }
}

fn is_full(part: &Opened<'_>) -> bool {
    part.message.len() >= SPLOGGER_TEXT_BYTES
}

/// splogger's own stamp, which all parts of a line have.
fn time(part: &Opened<'_>) -> Option<Timestamp> {
    match part.stamp {
        Stamp::Instant(time) => Some(time),
        Stamp::None | Stamp::Local(_) | Stamp::Yearless(_) => None,
    }
}
