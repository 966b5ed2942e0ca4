//! Long lines that splogger cut into parts are put together again.
//!
//! A part that is as long as splogger's buffer is not read until the next one has come: where it was cut is the client's
//! choice, and half an address is another address.

use logline::Timestamp;

use crate::envelope::{Envelope, EnvelopeKind, SPLOGGER_TEXT_BYTES};
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
    /// It is no part.
    None,
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
    /// Takes the line in, if it is a part. A beginning that another beginning follows is forgotten: at most one line is
    /// held, of at most [`LINE_BYTES_MAX`].
    pub(super) fn take(&mut self, envelope: &Envelope<'_>, line: &[u8]) -> Part {
        if envelope.kind != EnvelopeKind::Splogger {
            return Part::None;
        }
        let is_full = envelope.message.len() >= SPLOGGER_TEXT_BYTES;
        if !envelope.continues {
            if !is_full {
                return Part::None;
            }
            let text = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
            let whole = Whole { message_at: text.len() - envelope.message.len(), line: text };
            let program = envelope.program.map(<[u8]>::to_vec);
            self.held = Some(Held { time: envelope.time, program, whole });
            return Part::More;
        }
        let Some(mut held) = self.held.take_if(|held| held.goes_on_in(envelope)) else { return Part::Lost };
        if held.whole.line.len() + envelope.message.len() > LINE_BYTES_MAX {
            return Part::Lost;
        }
        held.whole.line.extend_from_slice(envelope.message);
        if is_full {
            self.held = Some(held);
            return Part::More;
        }
        Part::Last(held.whole)
    }
}

impl Held {
    fn goes_on_in(&self, part: &Envelope<'_>) -> bool {
        self.time == part.time && self.program.as_deref() == part.program
    }
}
