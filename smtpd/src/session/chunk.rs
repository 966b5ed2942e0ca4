//! BDAT: a message in chunks that say how long they are (RFC 3030).
//!
//! A chunk that is refused is read all the same: what it holds is a message's text, and would be taken for commands
//! otherwise.

use logline::Timestamp;

use crate::session::body::Progress;
use crate::session::message::{Opening, Reception};
use crate::session::{About, End, Limits, Output, Rejection, Session, State};

/// A chunk that is coming in.
#[derive(Debug)]
pub(super) struct Chunk {
    /// Octets that are still to come.
    left_bytes: u64,
    size_bytes: u64,
    last: bool,
    began: Timestamp,
    heard: Timestamp,
    fate: Fate,
}

/// What a chunk is read for.
#[derive(Debug)]
enum Fate {
    /// It is part of this message.
    Kept(Box<Reception>),
    /// To know where the next command begins.
    Refused(Rejection),
    /// Likewise, of a message that is refused for what was found out about its client.
    Blamed,
}

impl Chunk {
    /// When the chunk is given up, and why.
    pub(super) fn deadline(&self, limits: &Limits) -> (Timestamp, Rejection) {
        let read = self.size_bytes.saturating_sub(self.left_bytes);
        limits.data_deadline(self.began, self.heard, read)
    }
}

impl Session {
    pub(super) fn bdat(&mut self, now: Timestamp, size_bytes: u64, last: bool, out: &mut Vec<Output>) {
        let rejection = match &self.transaction {
            None => Some(Rejection::MailFirst),
            Some(transaction) if transaction.recipients.is_empty() => Some(Rejection::RcptFirst),
            Some(_) => self.is_spoilt().then_some(Rejection::Spoilt),
        };
        let opening = Opening::Chunk { size_bytes, last };
        match (rejection, self.chunks.take()) {
            (None, _) if self.is_blamed() => self.begin_chunk(now, opening, Fate::Blamed),
            (Some(rejection), _) => self.begin_chunk(now, opening, Fate::Refused(rejection)),
            (None, Some(reception)) => self.begin_chunk(now, opening, Fate::Kept(reception)),
            (None, None) => self.open_message(now, opening, out),
        }
    }

    /// The queue has a place for the message, or has none.
    pub(super) fn chunk_opened(
        &mut self,
        now: Timestamp,
        opening: Opening,
        reception: Result<Box<Reception>, Rejection>,
    ) {
        self.begin_chunk(now, opening, reception.map_or_else(Fate::Refused, Fate::Kept));
    }

    fn begin_chunk(&mut self, now: Timestamp, opening: Opening, fate: Fate) {
        let (size_bytes, last) = match opening {
            Opening::Data => (0, true),
            Opening::Chunk { size_bytes, last } => (size_bytes, last),
        };
        let chunk = Chunk { left_bytes: size_bytes, size_bytes, last, began: now, heard: now, fate };
        self.state = State::Chunk(Box::new(chunk));
    }

    /// Reads what there is of the chunk; false when that is all for now.
    pub(super) fn read_chunk(&mut self, now: Timestamp, out: &mut Vec<Output>) -> bool {
        let State::Chunk(mut chunk) = std::mem::replace(&mut self.state, State::Command) else {
            return false;
        };
        if chunk.left_bytes > 0 && self.pending.is_empty() {
            self.state = State::Chunk(chunk);
            return false;
        }
        chunk.heard = now;
        let unread = self.pending.unread();
        let length = usize::try_from(chunk.left_bytes).unwrap_or(usize::MAX).min(unread.len());
        let piece = unread.get(..length).unwrap_or_default();
        let mut message = Vec::new();
        let mut is_broken = false;
        if let Fate::Kept(reception) = &mut chunk.fate {
            is_broken = reception.body_mut().read_chunk(piece, &mut message) == Progress::BareNewline;
        }
        self.pending.consume(length);
        chunk.left_bytes = chunk.left_bytes.saturating_sub(length as u64);
        if let Fate::Kept(reception) = &mut chunk.fate {
            self.keep(reception, message, out);
        }
        if is_broken {
            chunk.fate = self.broken(chunk.fate, out);
        }
        if chunk.left_bytes > 0 {
            self.state = State::Chunk(chunk);
            return false;
        }
        self.chunk_is_whole(*chunk, out);
        true
    }

    /// The message is dropped at once; the client hears of it behind the chunk.
    fn broken(&mut self, fate: Fate, out: &mut Vec<Output>) -> Fate {
        if let Fate::Kept(reception) = fate {
            self.discard(&reception, out);
        }
        Fate::Refused(Rejection::BareNewline)
    }

    fn chunk_is_whole(&mut self, chunk: Chunk, out: &mut Vec<Output>) {
        let mut reception = match chunk.fate {
            Fate::Kept(reception) => reception,
            Fate::Refused(rejection) => {
                self.transaction = None;
                return self.refuse(rejection, About::Session, out);
            }
            Fate::Blamed => {
                self.refuses_blamed(out);
                return;
            }
        };
        if let Some(rejection) = reception.objection(&self.policy.limits) {
            return self.drop_message(&reception, rejection, out);
        }
        if !chunk.last {
            self.chunks = Some(reception);
            return self.say(250, "2.0.0", &format!("{} octets received", chunk.size_bytes), out);
        }
        let mut message = Vec::new();
        if reception.body_mut().end_chunks(&mut message) == Progress::BareNewline {
            return self.drop_message(&reception, Rejection::BareNewline, out);
        }
        self.keep(&mut reception, message, out);
        self.message_is_whole(reception, out);
    }

    /// Nobody knows where the next command begins.
    pub(super) fn lost_in_chunks(&mut self, out: &mut Vec<Output>) {
        self.refuse(Rejection::ChunkSize, About::Session, out);
        self.close(End::GaveUp, out);
    }
}
