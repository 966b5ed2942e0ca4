//! Another server's reply, read from bytes (RFC 5321 §4.2).

/// Longest reply that is read; a server that says more is not listened to.
const REPLY_BYTES_MAX: usize = 16 * 1024;

/// A whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    /// All lines with their codes, parted by LF.
    pub(super) text: Vec<u8>,
}

/// Why a reply is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotAReply;

impl Reply {
    /// Takes a reply off the front of what came, once it is whole.
    pub(super) fn take(bytes: &mut Vec<u8>) -> Result<Option<Self>, NotAReply> {
        let mut end = 0;
        loop {
            let rest = bytes.get(end..).unwrap_or_default();
            let Some(length) = memchr::memchr(b'\n', rest) else {
                return if bytes.len() > REPLY_BYTES_MAX { Err(NotAReply) } else { Ok(None) };
            };
            let line = rest.get(..length).unwrap_or_default();
            end += length + 1;
            match line {
                [a @ b'2'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9', after @ ..] => {
                    if after.first() == Some(&b'-') {
                        continue;
                    }
                    let code =
                        [a, b, c].into_iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
                    let mut text: Vec<u8> = bytes.drain(..end).filter(|byte| *byte != b'\r').collect();
                    text.pop();
                    return Ok(Some(Reply { code, text }));
                }
                _ => return Err(NotAReply),
            }
        }
    }

    pub(super) fn is_positive(&self) -> bool {
        self.code < 400
    }

    /// Whether the same may succeed later.
    pub(super) fn is_temporary(&self) -> bool {
        (400..500).contains(&self.code)
    }

    /// Whether an EHLO reply offers an extension.
    pub(super) fn offers(&self, extension: &[u8]) -> bool {
        self.text.split(|&b| b == b'\n').skip(1).any(|line| {
            let words = line.get(4..).unwrap_or_default();
            let name = words.split(|&b| b == b' ').next().unwrap_or_default();
            name.eq_ignore_ascii_case(extension)
        })
    }
}

/// A message in the form that another server gets it in: its lines end in CR LF.
#[derive(Debug)]
pub(super) struct WireForm {
    at_line_start: bool,
    /// A dot at the start of a line is doubled, and one alone ends the message (RFC 5321 §4.5.2).
    dots: bool,
}

impl WireForm {
    /// As it goes out after DATA.
    pub(super) fn after_data() -> Self {
        WireForm { at_line_start: true, dots: true }
    }

    /// As the other server has it in the end, which is what is signed.
    pub(super) fn plain() -> Self {
        WireForm { at_line_start: true, dots: false }
    }

    /// Appends the next stored bytes.
    pub(super) fn put(&mut self, stored: &[u8], wire: &mut Vec<u8>) {
        for line in stored.split_inclusive(|&b| b == b'\n') {
            if self.dots && self.at_line_start && line.first() == Some(&b'.') {
                wire.push(b'.');
            }
            match line.strip_suffix(b"\n") {
                Some(text) => {
                    wire.extend_from_slice(text);
                    wire.extend_from_slice(b"\r\n");
                    self.at_line_start = true;
                }
                None => {
                    wire.extend_from_slice(line);
                    self.at_line_start = false;
                }
            }
        }
    }

    /// Appends the end of the message.
    pub(super) fn end(&self, wire: &mut Vec<u8>) {
        if !self.at_line_start {
            wire.extend_from_slice(b"\r\n");
        }
        if self.dots {
            wire.extend_from_slice(b".\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_reply_of_many_lines_is_one() {
        let mut bytes = b"250-mx\r\n250-STARTTLS\r\n250 size 5\r\n221 bye\r\n".to_vec();
        let reply = Reply::take(&mut bytes).unwrap().unwrap();
        assert_eq!((reply.code, reply.text.as_slice()), (250, &b"250-mx\n250-STARTTLS\n250 size 5"[..]));
        assert!(reply.offers(b"STARTTLS") && reply.offers(b"SIZE") && !reply.offers(b"MX"));
        assert_eq!(bytes, b"221 bye\r\n");
        assert_eq!(Reply::take(&mut b"250-a\r\n250".to_vec()), Ok(None));
        assert_eq!(Reply::take(&mut b"HTTP/1.1 200\r\n".to_vec()), Err(NotAReply));
        assert_eq!(Reply::take(&mut vec![b'2'; 20_000]), Err(NotAReply));
    }

    proptest! {
        #[test]
        fn any_split_is_stuffed_the_same(stored in "[a.\n]{0,30}", cut in 0usize..30) {
            let wire = |pieces: &[&[u8]]| {
                let (mut form, mut wire) = (WireForm::after_data(), Vec::new());
                for piece in pieces {
                    form.put(piece, &mut wire);
                }
                form.end(&mut wire);
                wire
            };
            let (a, b) = stored.as_bytes().split_at(cut.min(stored.len()));
            prop_assert_eq!(wire(&[a, b]), wire(&[stored.as_bytes()]));
        }

        #[test]
        fn no_reply_can_panic_it(bytes: Vec<u8>) {
            let mut bytes = bytes;
            let _ = Reply::take(&mut bytes);
        }
    }
}
