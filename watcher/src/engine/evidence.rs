//! The lines that a ban will show. They are kept apart from the counters, in one ring with one bound, so that a flood of
//! offenders cannot make the counters large. Keeping a line copies it and allocates nothing but, now and then, a chunk.

use std::collections::VecDeque;

use logline::Timestamp;
use serde::{Deserialize, Serialize};

/// A line is kept up to this length.
pub const LINE_BYTES_MAX: usize = 1024;

/// All kept lines together take no more than this. The oldest go first; the line that leads to a ban is always there.
pub const EVIDENCE_BYTES_MAX: usize = 64 << 20;

/// Lines stand in chunks of this size.
const CHUNK_BITS: u32 = 20;
const CHUNK_BYTES: usize = 1 << CHUNK_BITS;

/// The length of a line, in the lowest bits of its place.
const LENGTH_BITS: u32 = 16;

/// The numbers of lines go round at this power of two; no more than that many are ever there.
const NUMBER_BITS: u32 = 24;

/// One line that led to a ban.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// When it was written.
    pub at: Timestamp,
    /// The line, envelope and all, escaped for a terminal.
    pub line: String,
}

/// The newest lines, each under a number.
#[derive(Debug, Default)]
pub(super) struct EvidenceLog {
    lines: VecDeque<Line>,
    /// Number of the first line that is still here.
    first: u64,
    /// The bytes, the oldest chunk first, and its number.
    chunks: VecDeque<Vec<u8>>,
    first_chunk: u64,
    /// The chunk that went last: the next one has its memory, which is there already.
    spare: Vec<u8>,
    size_bytes: usize,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    at: Timestamp,
    place: Place,
}

/// The number of a chunk, where the line begins in it, and its length.
#[derive(Clone, Copy, Debug)]
struct Place(u64);

impl Place {
    fn new(chunk: u64, start: usize, length: usize) -> Place {
        let within = (chunk << CHUNK_BITS) | start as u64;
        Place((within << LENGTH_BITS) | length as u64)
    }

    fn chunk(self) -> u64 {
        self.0 >> (CHUNK_BITS + LENGTH_BITS)
    }

    fn range(self) -> std::ops::Range<usize> {
        let part = |number: u64, bits: u32| usize::try_from(number & ((1 << bits) - 1)).unwrap_or(0);
        let start = part(self.0 >> LENGTH_BITS, CHUNK_BITS);
        start..start + part(self.0, LENGTH_BITS)
    }
}

impl EvidenceLog {
    /// Keeps a line and gives its number, modulo 2^24.
    pub(super) fn keep(&mut self, at: Timestamp, line: &[u8]) -> u32 {
        let line = line.get(..LINE_BYTES_MAX).unwrap_or(line);
        if self.chunks.back().is_none_or(|chunk| chunk.len() + line.len() > CHUNK_BYTES) {
            self.next_chunk();
        }
        let newest = self.first_chunk + self.chunks.len().saturating_sub(1) as u64;
        let Some(chunk) = self.chunks.back_mut() else { return 0 };
        let place = Place::new(newest, chunk.len(), line.len());
        chunk.extend_from_slice(line);
        self.lines.push_back(Line { at, place });
        self.size_bytes += size_of::<Line>();
        while self.size_bytes > EVIDENCE_BYTES_MAX {
            self.drop_chunk();
        }
        number(self.first + self.lines.len() as u64 - 1)
    }

    /// The line of this number that was written at this millisecond; none where it had to go.
    pub(super) fn get(&self, wanted: u32, at_ms: u64) -> Option<Evidence> {
        let back = wanted.wrapping_sub(number(self.first)) & number(u64::MAX);
        let line = self.lines.get(usize::try_from(back).ok()?)?;
        let chunk =
            self.chunks.get(usize::try_from(line.place.chunk().checked_sub(self.first_chunk)?).ok()?)?;
        let bytes = chunk.get(line.place.range())?;
        let same = super::millis(line.at) == at_ms;
        same.then(|| Evidence { at: line.at, line: logline::Text::from(bytes).readable().to_string() })
    }

    fn next_chunk(&mut self) {
        // One that is not full can be another line longer than the ring allows; the oldest makes room before.
        while !self.chunks.is_empty() && self.size_bytes + CHUNK_BYTES > EVIDENCE_BYTES_MAX {
            self.drop_chunk();
        }
        let mut chunk = std::mem::take(&mut self.spare);
        chunk.clear();
        // It allocates nothing where there was a spare one.
        chunk.reserve_exact(CHUNK_BYTES);
        self.chunks.push_back(chunk);
        self.size_bytes += CHUNK_BYTES;
    }

    fn drop_chunk(&mut self) {
        let Some(chunk) = self.chunks.pop_front() else { return };
        self.spare = chunk;
        self.size_bytes -= CHUNK_BYTES;
        let gone = self.first_chunk;
        self.first_chunk += 1;
        while self.lines.pop_front_if(|line| line.place.chunk() == gone).is_some() {
            self.size_bytes -= size_of::<Line>();
            self.first += 1;
        }
    }
}

fn number(count: u64) -> u32 {
    u32::try_from(count & ((1 << NUMBER_BITS) - 1)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_lines_go_first() {
        let mut log = EvidenceLog::default();
        let at = Timestamp::from_seconds(1);
        let first = log.keep(at, b"first");
        assert_eq!(log.get(first, 1000).unwrap().line, "first");
        let line = [b'x'; 4 * LINE_BYTES_MAX];
        let mut last = first;
        for _ in 0..=EVIDENCE_BYTES_MAX / LINE_BYTES_MAX {
            last = log.keep(at, &line);
        }
        assert_eq!(log.get(first, 1000), None);
        assert_eq!(log.get(last, 1000).unwrap().line.len(), LINE_BYTES_MAX);
        assert!(log.size_bytes <= EVIDENCE_BYTES_MAX);
    }

    #[test]
    fn empty_lines_are_bounded_too_and_a_line_of_another_time_is_another_line() {
        let mut log = EvidenceLog::default();
        for second in 0..4_000_000 {
            log.keep(Timestamp::from_seconds(second), b"");
        }
        assert!(log.size_bytes <= EVIDENCE_BYTES_MAX);
        let last = log.keep(Timestamp::from_seconds(9), b"last");
        assert_eq!(log.get(last, 8000), None);
        assert_eq!(log.get(last, 9000).unwrap().line, "last");
    }
}
