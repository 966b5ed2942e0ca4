//! Bytes into lines, for live files and old ones alike. Pure: it knows offsets, not files.

use memchr::{memchr, memchr_iter};

/// The longest line that is delivered whole. A client decides how long many a line is, so there is an end to it: of a
/// longer one the first 64 KiB are delivered, flagged, and the rest is skipped.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// What is kept of the memory of an unfinished line once the line is finished.
const HELD_BYTES_KEPT: usize = 4 * 1024;

/// One line as it stands in a file: without its LF, otherwise untouched (a CR before the LF stays).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawLine<'a> {
    /// Where the line begins.
    pub offset: u64,
    /// Its bytes; any bytes.
    pub bytes: &'a [u8],
    /// Whether it was longer than [`LINE_BYTES_MAX`], and this is its beginning.
    pub cut: bool,
}

/// Splits a stream of bytes into lines, however the stream is cut into chunks.
///
/// A line is delivered when its LF has been seen, never before: a writer may be in the middle of it. Whole lines are
/// slices of the chunk; only a line that crosses chunks is copied, and of it no more than [`LINE_BYTES_MAX`].
#[derive(Clone, Debug, Default)]
pub struct LineSplitter {
    held: Vec<u8>,
    line_start: u64,
    position: u64,
}

impl LineSplitter {
    /// A splitter for a stream whose first chunk begins at `offset`, which is the beginning of a line.
    pub fn at(offset: u64) -> Self {
        LineSplitter { held: Vec::new(), line_start: offset, position: offset }
    }

    /// Where the line begins that is not finished yet: from here a later reader delivers nothing twice.
    pub fn line_start(&self) -> u64 {
        self.line_start
    }

    /// Where the next chunk begins.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Takes the next chunk and gives each line that it finishes.
    pub fn feed(&mut self, chunk: &[u8], mut each: impl FnMut(RawLine<'_>)) {
        let mut rest = chunk;
        if self.position > self.line_start {
            let Some((end, after)) = split_line(rest) else {
                self.hold(rest);
                return;
            };
            self.hold(end);
            each(self.held_line());
            self.end_held_line();
            rest = after;
        }
        let mut start = 0;
        for end in memchr_iter(b'\n', rest) {
            let line = rest.get(start..end).unwrap_or_default();
            each(cut_to_size(self.position, line));
            start = end + 1;
            self.position += line.len() as u64 + 1;
        }
        self.line_start = self.position;
        self.hold(rest.get(start..).unwrap_or_default());
    }

    /// The line that has no LF yet. At the end of a file that nobody writes to any more, it is a line.
    pub fn unfinished(&self) -> Option<RawLine<'_>> {
        (self.position > self.line_start).then(|| self.held_line())
    }

    fn held_line(&self) -> RawLine<'_> {
        let length = self.position - self.line_start;
        RawLine { offset: self.line_start, bytes: &self.held, cut: length > LINE_BYTES_MAX as u64 }
    }

    fn end_held_line(&mut self) {
        self.position += 1;
        self.line_start = self.position;
        self.held.clear();
        self.held.shrink_to(HELD_BYTES_KEPT);
    }

    fn hold(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES_MAX.saturating_sub(self.held.len());
        self.held.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        self.position += bytes.len() as u64;
    }
}

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (line, after) = bytes.split_at_checked(memchr(b'\n', bytes)?)?;
    Some((line, after.get(1..)?))
}

fn cut_to_size(offset: u64, line: &[u8]) -> RawLine<'_> {
    match line.get(..LINE_BYTES_MAX) {
        Some(beginning) => RawLine { offset, bytes: beginning, cut: line.len() > LINE_BYTES_MAX },
        None => RawLine { offset, bytes: line, cut: false },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Owned = (u64, Vec<u8>, bool);

    fn split(chunks: &[&[u8]]) -> (Vec<Owned>, Option<Owned>) {
        let mut splitter = LineSplitter::at(0);
        let mut lines = Vec::new();
        for chunk in chunks {
            splitter.feed(chunk, |line| lines.push((line.offset, line.bytes.to_vec(), line.cut)));
        }
        let rest = splitter.unfinished().map(|line| (line.offset, line.bytes.to_vec(), line.cut));
        (lines, rest)
    }

    #[track_caller]
    fn check(chunks: &[&str], lines: &[(u64, &str)], rest: Option<(u64, &str)>) {
        let chunks: Vec<_> = chunks.iter().map(|chunk| chunk.as_bytes()).collect();
        let owned = |(offset, text): &(u64, &str)| (*offset, text.as_bytes().to_vec(), false);
        assert_eq!(split(&chunks), (lines.iter().map(owned).collect(), rest.as_ref().map(owned)));
    }

    #[test]
    fn a_line_is_delivered_with_its_lf_and_not_before() {
        check(&["one\ntwo"], &[(0, "one")], Some((4, "two")));
        check(&["one\ntwo", "\n"], &[(0, "one"), (4, "two")], None);
        check(&["o", "n", "", "e", "\n\nx\n"], &[(0, "one"), (4, ""), (5, "x")], None);
    }

    #[test]
    fn nothing_but_the_lf_is_taken_from_a_line() {
        check(&["a\r\n \0\t\n"], &[(0, "a\r"), (3, " \0\t")], None);
    }

    #[test]
    fn a_line_of_64_kib_is_whole_and_a_longer_one_is_cut() {
        for (length, cut) in
            [(LINE_BYTES_MAX - 1, false), (LINE_BYTES_MAX, false), (LINE_BYTES_MAX + 1, true)]
        {
            let mut text = vec![b'x'; length];
            text.extend_from_slice(b"\nnext\n");
            let expected = vec![
                (0, vec![b'x'; length.min(LINE_BYTES_MAX)], cut),
                (length as u64 + 1, b"next".to_vec(), false),
            ];
            assert_eq!(split(&[&text]), (expected.clone(), None));
            assert_eq!(split(&text.chunks(1000).collect::<Vec<_>>()), (expected, None));
        }
    }

    #[test]
    fn memory_is_bounded_by_the_longest_line_that_is_delivered() {
        let mut splitter = LineSplitter::at(0);
        for _ in 0..1000 {
            splitter.feed(&[b'x'; 10_000], |_| unreachable!("no LF was fed"));
        }
        assert!(splitter.held.capacity() <= 2 * LINE_BYTES_MAX);
        splitter.feed(b"\n", |line| assert!(line.cut));
        assert!(splitter.held.capacity() <= HELD_BYTES_KEPT);
        assert_eq!(splitter.line_start(), 10_000_001);
    }

    proptest! {
        #[test]
        fn chunking_makes_no_difference(
            text in prop::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200),
            size in 1usize..40,
        ) {
            prop_assert_eq!(split(&text.chunks(size).collect::<Vec<_>>()), split(&[&text]));
        }
    }
}
