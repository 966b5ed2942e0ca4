//! The header of a message, as far as a server looks into it: how many hops it made and what it calls itself.

/// Bytes of a field that are kept; a line may have 998 (RFC 5322 §2.1.1).
const FIELD_BYTES_MAX: usize = 998;

/// Reads a header as it comes in, lines ended by LF.
#[derive(Debug, Default)]
pub struct Header {
    place: Place,
    field: Vec<u8>,
    hops: u32,
    message_id: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// At the first byte of a line.
    #[default]
    LineStart,
    /// Inside a line.
    Line,
    /// Behind the header.
    Body,
}

impl Header {
    /// Reads a whole message.
    pub fn of(message: &[u8]) -> Self {
        let mut header = Header::default();
        header.read(message);
        header.finish();
        header
    }

    /// How many hosts it passed: its Received and Delivered-To fields, which qmail counts alike.
    pub fn hops(&self) -> u32 {
        self.hops
    }

    /// Its own identifier, without the angle brackets.
    pub fn message_id(&self) -> Option<&[u8]> {
        self.message_id.as_deref()
    }

    /// Reads on. Gives the place in `bytes` where the body begins, the empty line included, when it gets there.
    pub fn read(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match (self.place, rest.first()) {
                (Place::Body, _) | (_, None) => return None,
                (Place::LineStart, Some(b'\n')) => {
                    self.finish();
                    return Some(at);
                }
                (Place::LineStart, Some(b' ' | b'\t')) => self.place = Place::Line,
                (Place::LineStart, Some(_)) => {
                    self.end_field();
                    self.place = Place::Line;
                }
                (Place::Line, Some(_)) => {
                    let end = memchr::memchr(b'\n', rest);
                    self.keep(rest.get(..end.unwrap_or(rest.len())).unwrap_or_default());
                    if end.is_some() {
                        self.place = Place::LineStart;
                    }
                    at += end.map_or(rest.len(), |end| end + 1);
                }
            }
        }
        None
    }

    /// The message is over, or its header is.
    pub fn finish(&mut self) {
        self.end_field();
        self.place = Place::Body;
    }

    /// True until the body begins.
    pub fn is_open(&self) -> bool {
        self.place != Place::Body
    }

    fn keep(&mut self, text: &[u8]) {
        let room = FIELD_BYTES_MAX.saturating_sub(self.field.len());
        self.field.extend_from_slice(text.get(..room).unwrap_or(text));
    }

    fn end_field(&mut self) {
        let field = std::mem::take(&mut self.field);
        let Some(colon) = memchr::memchr(b':', &field) else {
            return;
        };
        let (name, value) = field.split_at_checked(colon).unwrap_or((&field, b""));
        let name = name.trim_ascii_end();
        if name.eq_ignore_ascii_case(b"received") || name.eq_ignore_ascii_case(b"delivered-to") {
            self.hops = self.hops.saturating_add(1);
        }
        if self.message_id.is_none() && name.eq_ignore_ascii_case(b"message-id") {
            self.message_id = identifier(value.get(1..).unwrap_or_default());
        }
    }
}

/// What stands in the brackets; without brackets, all of it.
fn identifier(value: &[u8]) -> Option<Vec<u8>> {
    let value = value.trim_ascii();
    let inner = match memchr::memchr(b'<', value).and_then(|open| value.get(open + 1..)) {
        Some(inner) => inner.split(|&b| b == b'>').next().unwrap_or_default(),
        None => value,
    };
    (!inner.is_empty()).then(|| inner.to_vec())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(message: &[u8], chunk: usize) -> (u32, Option<Vec<u8>>, Option<usize>) {
        let mut header = Header::default();
        let mut body = None;
        let mut before = 0;
        for chunk in message.chunks(chunk) {
            body = body.or(header.read(chunk).map(|at| before + at));
            before += chunk.len();
        }
        header.finish();
        (header.hops(), header.message_id().map(<[u8]>::to_vec), body)
    }

    #[track_caller]
    fn check(message: &str, hops: u32, message_id: Option<&str>, body: Option<usize>) {
        let expected = (hops, message_id.map(|id| id.as_bytes().to_vec()), body);
        for chunk in 1..=message.len() {
            assert_eq!(read(message.as_bytes(), chunk), expected, "chunks of {chunk}");
        }
    }

    #[test]
    fn hops_and_identifier_are_found_in_the_header_alone() {
        check(
            "Received: a\n b\nreceived: c\nDelivered-To: d\nSubject: e\n\nReceived: f\n",
            3,
            None,
            Some(54),
        );
        check("Message-ID: <a@b>\n\nMessage-ID: <c@d>\n", 0, Some("a@b"), Some(18));
        check("MESSAGE-ID:\n <a@b> (comment)\nMessage-Id: <c@d>\n", 0, Some("a@b"), None);
        check("Message-ID: bare\n", 0, Some("bare"), None);
        check("Message-ID: <>\n", 0, None, None);
        check("Message-ID: <a b\u{1b}[31m>\n", 0, Some("a b\u{1b}[31m"), None);
        check("\nMessage-ID: <a@b>\n", 0, None, Some(0));
        check(" Received: x\nReceived: y", 1, None, None);
    }

    #[test]
    fn an_endless_field_is_kept_to_its_limit() {
        let header = Header::of(format!("Message-ID: <{}>\n", "a".repeat(1_000_000)).as_bytes());
        assert!(header.message_id().is_some_and(|id| id.len() < FIELD_BYTES_MAX));
    }

    proptest! {
        #[test]
        fn any_split_reads_the_same(message in "([Rr]eceived: a\n|Message-ID: <b>\n|[a\n :]){0,12}", chunk in 1usize..9) {
            prop_assert_eq!(read(message.as_bytes(), chunk), read(message.as_bytes(), 1000));
        }
    }
}
