//! The message after DATA: where it ends, with its dots and line ends undone.
//!
//! Only CR LF . CR LF ends it. A CR or an LF alone is refused, because two servers that disagree about it let a client
//! smuggle one message inside another (CVE-2023-51764, -51765, -51766).

/// Reads the bytes of one message.
#[derive(Debug)]
pub(super) struct Body {
    seen: Seen,
    size_bytes: u64,
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
    pub(super) fn new() -> Self {
        Body { seen: Seen::LineStart, size_bytes: 0 }
    }

    /// Length of the message so far as SIZE counts it: line ends are two bytes, stuffed dots none (RFC 1870 §4).
    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Reads on and appends the message to `message`, each line ended by LF as it is stored.
    pub(super) fn read(&mut self, bytes: &[u8], message: &mut Vec<u8>) -> Progress {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            at += 1;
            self.seen = match (self.seen, byte) {
                (Seen::DotCr, b'\n') => return Progress::End { consumed: at },
                (Seen::Cr, b'\n') => {
                    self.keep(b"\n", 2, message);
                    Seen::LineStart
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

    fn keep(&mut self, text: &[u8], size_bytes: u64, message: &mut Vec<u8>) {
        message.extend_from_slice(text);
        self.size_bytes = self.size_bytes.saturating_add(size_bytes);
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
        let mut body = Body::new();
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

    proptest! {
        #[test]
        fn any_split_reads_the_same(input in "[a.\r\n]{0,40}", chunk in 1usize..9) {
            prop_assert_eq!(read(input.as_bytes(), chunk), read(input.as_bytes(), 100));
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
