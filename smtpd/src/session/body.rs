//! The message after DATA: where it ends, with its dots and line ends undone.
//!
//! Only CR LF . CR LF ends it. A CR or an LF alone is refused, because two servers that disagree about it let a client
//! smuggle one message inside another (CVE-2023-51764, -51765, -51766). Where a lone LF is taken for a line's end, it
//! begins no line that could end the message: what follows it is text, a dot too.
//!
//! The chunks of BDAT say themselves how long they are; their line ends are held to the same rule.

/// What becomes of a line feed that stands alone. A carriage return that does is always refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BareNewline {
    /// 451, and the connection ends: qmail's way.
    Refused,
    /// It ends a line, as qmail's `liberal-lf` patch has it.
    EndsLine,
}

/// Reads the bytes of one message.
#[derive(Debug)]
pub(super) struct Body {
    seen: Seen,
    size_bytes: u64,
    line_bytes: u64,
    bare: BareNewline,
    longest_line_bytes: u64,
}

/// The end of what has been read, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// CR LF, or nothing at all.
    LineStart,
    /// CR LF .
    Dot,
    /// CR LF . CR
    DotCr,
    /// Anything else.
    Text,
    /// CR after text, or after CR LF.
    Cr,
}

/// How far reading got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// All bytes are read, the end did not come.
    More,
    /// The end came after so many bytes.
    End { consumed: usize },
    /// A CR or an LF stands alone.
    BareNewline,
}

impl Body {
    pub(super) fn new(bare: BareNewline) -> Self {
        Body { seen: Seen::LineStart, size_bytes: 0, line_bytes: 0, bare, longest_line_bytes: 0 }
    }

    /// Length of the message so far as SIZE counts it: line ends are two bytes, stuffed dots none (RFC 1870 §4).
    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The longest line so far, its end included.
    pub(super) fn longest_line_bytes(&self) -> u64 {
        self.longest_line_bytes.max(self.line_bytes)
    }

    /// Reads on and appends the message to `message`, each line ended by LF as it is stored.
    pub(super) fn read(&mut self, bytes: &[u8], message: &mut Vec<u8>) -> Progress {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            at += 1;
            self.seen = match (self.seen, byte) {
                (Seen::DotCr, b'\n') => return Progress::End { consumed: at },
                (Seen::Cr, b'\n') => {
                    self.end_line(message);
                    Seen::LineStart
                }
                (Seen::LineStart | Seen::Dot | Seen::Text, b'\n') if self.bare == BareNewline::EndsLine => {
                    self.end_line(message);
                    Seen::Text
                }
                (Seen::LineStart, b'.') => Seen::Dot,
                (Seen::Dot, b'\r') => Seen::DotCr,
                (Seen::LineStart | Seen::Text, b'\r') => Seen::Cr,
                (Seen::Cr | Seen::DotCr, _) | (_, b'\n') => return Progress::BareNewline,
                (Seen::LineStart | Seen::Dot | Seen::Text, _) => {
                    let text = text(bytes.get(at - 1..).unwrap_or_default());
                    at += text.len() - 1;
                    self.keep(text, text.len() as u64, message);
                    Seen::Text
                }
            };
        }
        Progress::More
    }

    /// Reads a piece of a chunk, in which a dot is a dot.
    pub(super) fn read_chunk(&mut self, bytes: &[u8], message: &mut Vec<u8>) -> Progress {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            at += 1;
            self.seen = match (self.seen, byte) {
                (Seen::Cr, b'\n') => {
                    self.end_line(message);
                    Seen::LineStart
                }
                (Seen::Cr, _) => return Progress::BareNewline,
                (_, b'\r') => Seen::Cr,
                (_, b'\n') if self.bare == BareNewline::EndsLine => {
                    self.end_line(message);
                    Seen::LineStart
                }
                (_, b'\n') => return Progress::BareNewline,
                (_, _) => {
                    let text = text(bytes.get(at - 1..).unwrap_or_default());
                    at += text.len() - 1;
                    self.keep(text, text.len() as u64, message);
                    Seen::Text
                }
            };
        }
        Progress::More
    }

    /// The last chunk is over: its last line is ended where the client did not.
    pub(super) fn end_chunks(&mut self, message: &mut Vec<u8>) -> Progress {
        match self.seen {
            Seen::Cr => Progress::BareNewline,
            Seen::LineStart => Progress::End { consumed: 0 },
            Seen::Dot | Seen::DotCr | Seen::Text => {
                self.end_line(message);
                Progress::End { consumed: 0 }
            }
        }
    }

    fn end_line(&mut self, message: &mut Vec<u8>) {
        self.keep(b"\n", 2, message);
        self.longest_line_bytes = self.longest_line_bytes();
        self.line_bytes = 0;
    }

    fn keep(&mut self, text: &[u8], size_bytes: u64, message: &mut Vec<u8>) {
        message.extend_from_slice(text);
        self.size_bytes = self.size_bytes.saturating_add(size_bytes);
        self.line_bytes = self.line_bytes.saturating_add(size_bytes);
    }
}

/// What stands before the next line end. The first byte is none, so this is never empty.
fn text(bytes: &[u8]) -> &[u8] {
    let end = memchr::memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len());
    bytes.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(input: &[u8], chunk: usize) -> (Progress, Vec<u8>, u64) {
        read_as(BareNewline::Refused, input, chunk)
    }

    fn read_as(bare: BareNewline, input: &[u8], chunk: usize) -> (Progress, Vec<u8>, u64) {
        let mut body = Body::new(bare);
        let mut message = Vec::new();
        let mut before = 0;
        for chunk in input.chunks(chunk.max(1)) {
            match body.read(chunk, &mut message) {
                Progress::More => before += chunk.len(),
                Progress::End { consumed } => {
                    return (Progress::End { consumed: before + consumed }, message, body.size_bytes());
                }
                Progress::BareNewline => return (Progress::BareNewline, message, body.size_bytes()),
            }
        }
        (Progress::More, message, body.size_bytes())
    }

    #[track_caller]
    fn check(input: &[u8], progress: Progress, message: &[u8]) {
        for chunk in 1..=input.len() {
            let (found, bytes, _) = read(input, chunk);
            assert_eq!((found, &bytes[..]), (progress, message), "chunks of {chunk}");
        }
    }

    #[test]
    fn dots_and_line_ends_are_undone() {
        check(b"a\r\n.\r\nQUIT", Progress::End { consumed: 6 }, b"a\n");
        check(b".\r\n", Progress::End { consumed: 3 }, b"");
        check(b"..\r\n...x\r\n.y\r\n.\r\n", Progress::End { consumed: 17 }, b".\n..x\ny\n");
        check(b"\r\n\r\nx.\r\n.\r\n", Progress::End { consumed: 11 }, b"\n\nx.\n");
        check(b"a\0\xff\r\n.\r\n", Progress::End { consumed: 8 }, b"a\0\xff\n");
    }

    /// The sequences of the public smuggling scanners.
    #[test]
    fn nothing_but_crlf_dot_crlf_ends_a_message() {
        for end in [
            &b"\n.\n"[..],
            b"\n.\r",
            b"\r.\n",
            b"\r.\r",
            b"\n.\r\n",
            b"\r\n.\n",
            b"\r.\r\n",
            b"\r\n.\rx",
            b"\r\n\0.\n",
            b"\r\n.\0\n",
            b"\r\n\0.\rx",
            b"\r\n.\r\r\n",
            b"\r\r\n.\r\r\n",
            b"\n\n.\r\n",
        ] {
            let mut input = b"a".to_vec();
            input.extend(end);
            input.extend(b"MAIL FROM:<a@b>\r\n");
            for chunk in 1..=input.len() {
                assert_eq!(read(&input, chunk).0, Progress::BareNewline, "{end:?} in chunks of {chunk}");
            }
        }
        for text in [&b"\r\n\0.\r\n"[..], b"\r\n.\0\r\n", b"\r\n. \r\n"] {
            assert_eq!(read(text, 1).0, Progress::More, "{text:?}");
        }
    }

    /// With every smuggling sequence: a lone LF makes a line, and ends no message.
    #[test]
    fn a_lone_line_feed_that_ends_a_line_ends_no_message() {
        for (sequence, stored) in [
            (&b"\n.\n"[..], &b"a\n.\nb\n"[..]),
            (b"\n.\r\n", b"a\n.\nb\n"),
            (b"\n\n.\r\n", b"a\n\n.\nb\n"),
            (b"\r\n.\n", b"a\n\nb\n"),
        ] {
            let input = [b"a", sequence, b"b\r\n.\r\n"].concat();
            for chunk in 1..=input.len() {
                let (progress, message, _) = read_as(BareNewline::EndsLine, &input, chunk);
                assert_eq!(progress, Progress::End { consumed: input.len() }, "{sequence:?}");
                assert_eq!(message, stored, "{sequence:?}");
            }
        }
        for sequence in [&b"\n.\rx"[..], b"\r.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\rx", b"\r\n.\r\r\n"] {
            let input = [b"a", sequence].concat();
            assert_eq!(read_as(BareNewline::EndsLine, &input, 1).0, Progress::BareNewline, "{sequence:?}");
        }
    }

    #[track_caller]
    fn check_chunk(input: &[u8], expected: Option<&[u8]>) {
        for size in 1..=input.len().max(1) {
            let mut body = Body::new(BareNewline::Refused);
            let mut message = Vec::new();
            let whole =
                input.chunks(size).all(|piece| body.read_chunk(piece, &mut message) == Progress::More);
            let whole = whole && body.end_chunks(&mut message) != Progress::BareNewline;
            assert_eq!(whole.then_some(&message[..]), expected, "pieces of {size}");
        }
    }

    #[test]
    fn in_a_chunk_a_dot_is_a_dot_and_a_line_end_is_two_bytes() {
        check_chunk(b"a\r\n.\r\n..b\r\n", Some(b"a\n.\n..b\n"));
        check_chunk(b"a", Some(b"a\n"));
        check_chunk(b"", Some(b""));
        for wrong in [&b"a\nb\r\n"[..], b"a\rb", b"a\r", b"\r\r\n", b"\n"] {
            check_chunk(wrong, None);
        }
    }

    /// Another's reader (smtp-proto), which is not ours: where the end is, and what the message was.
    fn read_by_another(input: &[u8]) -> Option<(usize, Vec<u8>)> {
        let (mut message, mut bytes) = (Vec::new(), input.iter());
        let ended = smtp_proto::request::receiver::DataReceiver::new().ingest(&mut bytes, &mut message);
        ended.then(|| (input.len() - bytes.as_slice().len(), message))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Where we see the end, so does the other, with the same message before it. Where the other sees an end that
        /// we do not, a CR or an LF stood alone before it, and we refused that.
        #[test]
        fn another_reader_agrees_or_was_fooled(input in "([a.]|\r\n|\r\n\\.|\r|\n){0,12}(\r\n\\.\r\n)?") {
            // The end may stand at the very beginning for us, and not for the other, which never sees that line's start.
            let input = [b"a", input.as_bytes()].concat();
            let (progress, message, _) = read(&input, 1000);
            match (progress, read_by_another(&input)) {
                (Progress::End { consumed }, other) => {
                    let theirs = other.map(|(at, text)| (at, String::from_utf8(text).unwrap().replace("\r\n", "\n")));
                    prop_assert_eq!(theirs, Some((consumed, String::from_utf8(message).unwrap())));
                }
                (Progress::More, other) => prop_assert_eq!(other, None),
                (Progress::BareNewline, _) => {}
            }
        }

        #[test]
        fn any_split_reads_the_same(input in "[a.\r\n]{0,40}", chunk in 1usize..9) {
            for bare in [BareNewline::Refused, BareNewline::EndsLine] {
                prop_assert_eq!(read_as(bare, input.as_bytes(), chunk), read_as(bare, input.as_bytes(), 100));
            }
        }

        #[test]
        fn what_is_stuffed_is_unstuffed(lines in proptest::collection::vec("[a.\\x00]{0,4}", 0..8)) {
            let mut wire = String::new();
            let mut stored = String::new();
            for line in &lines {
                if line.starts_with('.') {
                    wire.push('.');
                }
                wire.push_str(&format!("{line}\r\n"));
                stored.push_str(&format!("{line}\n"));
            }
            wire.push_str(".\r\n");
            let (progress, message, size_bytes) = read(wire.as_bytes(), 3);
            prop_assert_eq!(progress, Progress::End { consumed: wire.len() });
            prop_assert_eq!(size_bytes, (stored.len() + lines.len()) as u64);
            prop_assert_eq!(message, stored.into_bytes());
        }
    }
}
