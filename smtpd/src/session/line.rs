//! Bytes until they are a line. Bounded: what is too long is skipped to its end and told.

/// Longest line of AUTH and of its answers (RFC 4954 §4).
pub const AUTH_BYTES_MAX: usize = 12_288;

/// What came and was not consumed yet.
#[derive(Debug, Default)]
pub(super) struct Pending {
    bytes: Vec<u8>,
    start: usize,
    skipping: bool,
}

/// One step of reading.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The line is not whole yet.
    Incomplete,
    /// A line, without its end.
    Whole(Vec<u8>),
    /// A line that was too long is over.
    TooLong,
}

/// How long a line may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Command,
    CommandButAuth,
    AuthAnswer,
}

impl Pending {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        // What was consumed goes first: a client that always sends half a command more would grow this otherwise.
        self.forget_consumed();
        self.bytes.reserve_exact(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// Forgets everything, as STARTTLS demands of what came before it.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.start = 0;
    }

    /// A session that waits holds no room for what it once was sent.
    fn release(&mut self) {
        const KEPT_BYTES: usize = 1024;
        self.clear();
        self.bytes.shrink_to(KEPT_BYTES);
    }

    /// Nor does one that waits for the end of a line, but for its beginning.
    fn compact(&mut self) {
        self.forget_consumed();
        self.bytes.shrink_to_fit();
    }

    fn forget_consumed(&mut self) {
        self.bytes.drain(..self.start.min(self.bytes.len()));
        self.start = 0;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.unread().is_empty()
    }

    pub(super) fn unread(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    pub(super) fn consume(&mut self, bytes: usize) {
        self.start = (self.start + bytes).min(self.bytes.len());
    }

    /// Takes the next line. It ends in LF, with one CR before it taken off, as qmail reads commands.
    pub(super) fn line(&mut self, expected: Expected, command_bytes_max: usize) -> Line {
        let unread = self.unread();
        let limit = match expected {
            Expected::AuthAnswer => AUTH_BYTES_MAX,
            Expected::Command if starts_with_auth(unread) => AUTH_BYTES_MAX,
            Expected::Command | Expected::CommandButAuth => command_bytes_max,
        };
        let Some(end) = memchr::memchr(b'\n', unread) else {
            let (is_empty, is_too_long) = (unread.is_empty(), unread.len() > limit);
            self.skipping |= is_too_long;
            if is_empty || self.skipping {
                self.release();
            } else {
                self.compact();
            }
            return Line::Incomplete;
        };
        let line = unread.get(..end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
        self.consume(end + 1);
        if std::mem::take(&mut self.skipping) || end >= limit {
            return Line::TooLong;
        }
        Line::Whole(line)
    }
}

fn starts_with_auth(line: &[u8]) -> bool {
    line.get(..5).is_some_and(|verb| verb.eq_ignore_ascii_case(b"AUTH "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMAND_BYTES_MAX: usize = 2048;

    fn lines(input: &[u8], chunk: usize) -> Vec<Line> {
        let mut pending = Pending::default();
        let mut lines = Vec::new();
        for chunk in input.chunks(chunk) {
            pending.push(chunk);
            loop {
                match pending.line(Expected::Command, COMMAND_BYTES_MAX) {
                    Line::Incomplete => break,
                    line => lines.push(line),
                }
            }
        }
        lines
    }

    #[test]
    fn a_line_is_too_long_wherever_it_is_split() {
        let mut input = b"NOOP\r\n".to_vec();
        for length in [COMMAND_BYTES_MAX - 1, COMMAND_BYTES_MAX, 3 * COMMAND_BYTES_MAX] {
            input.extend(std::iter::repeat_n(b'x', length));
            input.extend(b"\n");
        }
        input.extend(b"AUTH ");
        input.extend(std::iter::repeat_n(b'x', AUTH_BYTES_MAX - 6));
        input.extend(b"\nQUIT\n");
        for chunk in [1, 2, 7, 2047, 2048, 2049, 100_000] {
            let lines = lines(&input, chunk);
            let kinds: Vec<_> = lines.iter().map(|line| matches!(line, Line::Whole(_))).collect();
            assert_eq!(kinds, [true, true, false, false, true, true], "chunks of {chunk}");
        }
    }
}
