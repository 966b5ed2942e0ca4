//! Syslog over a stream, RFC 6587: where one message ends and the next begins. Pure.

use crate::tail::{LINE_BYTES_MAX, LineSplitter};

/// No sender means so long a message.
const FRAME_BYTES_MAX: usize = 1 << 20;

/// The most digits of a length that is still believed.
const DIGITS_MAX: usize = 7;

/// Finds the messages in a stream. The first byte decides between the two ways for good: a line feed inside a message
/// cannot switch a sender of lines to counted octets.
#[derive(Debug, Default)]
pub struct Framing {
    way: Way,
}

#[derive(Debug, Default)]
enum Way {
    /// Nothing came yet.
    #[default]
    Unknown,
    /// A message ends at a line feed (RFC 6587 §3.4.2).
    Lines(LineSplitter),
    /// A message comes after its length (RFC 6587 §3.4.1).
    Counted(Counted),
}

#[derive(Debug, Default)]
struct Counted {
    digits: Vec<u8>,
    /// How much of the message is to come; none while its length is read.
    left: Option<usize>,
    held: Vec<u8>,
    is_cut: bool,
}

/// What comes is no syslog: the rest of the stream means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoFrame;

impl Framing {
    /// Takes the next chunk and gives each message that it finishes, and whether only its beginning is there.
    ///
    /// # Errors
    /// A length that is none; the stream is of no more use.
    pub fn feed(&mut self, chunk: &[u8], each: &mut dyn FnMut(&[u8], bool)) -> Result<(), NoFrame> {
        if let (Way::Unknown, Some(first)) = (&self.way, chunk.first()) {
            self.way = match first {
                b'1'..=b'9' => Way::Counted(Counted::default()),
                _ => Way::Lines(LineSplitter::at(0)),
            };
        }
        match &mut self.way {
            Way::Unknown => Ok(()),
            Way::Lines(splitter) => {
                splitter.feed(chunk, |line| each(line.bytes, line.cut));
                Ok(())
            }
            Way::Counted(counted) => counted.feed(chunk, each),
        }
    }

    /// Whether a message has begun and not ended.
    pub fn is_inside(&self) -> bool {
        match &self.way {
            Way::Unknown => false,
            Way::Lines(splitter) => splitter.unfinished().is_some(),
            Way::Counted(counted) => counted.left.is_some() || !counted.digits.is_empty(),
        }
    }
}

impl Counted {
    fn feed(&mut self, mut rest: &[u8], each: &mut dyn FnMut(&[u8], bool)) -> Result<(), NoFrame> {
        while let Some((first, after)) = rest.split_first() {
            let Some(left) = self.left else {
                self.digit(*first)?;
                rest = after;
                continue;
            };
            let (taken, after) = rest.split_at(left.min(rest.len()));
            let room = LINE_BYTES_MAX.saturating_sub(self.held.len());
            self.is_cut |= taken.len() > room;
            self.held.extend_from_slice(taken.get(..room).unwrap_or(taken));
            rest = after;
            self.left = Some(left - taken.len()).filter(|left| *left > 0);
            if self.left.is_none() {
                each(&std::mem::take(&mut self.held), std::mem::take(&mut self.is_cut));
            }
        }
        Ok(())
    }

    fn digit(&mut self, byte: u8) -> Result<(), NoFrame> {
        match byte {
            b'0'..=b'9' if self.digits.len() < DIGITS_MAX => self.digits.push(byte),
            b' ' => {
                let digits = std::mem::take(&mut self.digits);
                let length = std::str::from_utf8(&digits).ok().and_then(|digits| digits.parse().ok());
                self.left =
                    Some(length.filter(|length| (1..=FRAME_BYTES_MAX).contains(length)).ok_or(NoFrame)?);
            }
            // Some senders end a counted message with a line feed that they did not count.
            b'\n' if self.digits.is_empty() => {}
            _ => return Err(NoFrame),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Messages = Vec<(Vec<u8>, bool)>;

    fn read<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (Messages, Result<(), NoFrame>, bool) {
        let (mut framing, mut messages) = (Framing::default(), Vec::new());
        for chunk in chunks {
            let fed = framing.feed(chunk, &mut |message, cut| messages.push((message.to_vec(), cut)));
            if fed.is_err() {
                return (messages, fed, false);
            }
        }
        (messages, Ok(()), framing.is_inside())
    }

    #[track_caller]
    fn check(stream: &str, expected: &[&str], inside: bool) {
        let expected = expected.iter().map(|message| (message.as_bytes().to_vec(), false)).collect();
        assert_eq!(read([stream.as_bytes()]), (expected, Ok(()), inside));
    }

    #[test]
    fn lines_end_at_line_feeds() {
        check("<13>a\n<13>b\n", &["<13>a", "<13>b"], false);
        check("<13>a\n<13>b", &["<13>a"], true);
    }

    #[test]
    fn counted_octets_may_hold_line_feeds() {
        check("5 <13>a7 <13>b\nc", &["<13>a", "<13>b\nc"], false);
        check("5 <13>a\n5 <13>b\n", &["<13>a", "<13>b"], false);
        check("5 <13>", &[], true);
    }

    #[test]
    fn a_line_feed_in_a_message_does_not_switch_to_counted_octets() {
        check("<13>a\n5 <13>b\n", &["<13>a", "5 <13>b"], false);
    }

    #[test]
    fn a_length_that_is_none_ends_the_stream() {
        for stream in ["5 <13>a<13>b\n", "99999999 x", "12x", "3000000 x"] {
            assert_eq!(read([stream.as_bytes()]).1, Err(NoFrame), "{stream}");
        }
    }

    #[test]
    fn a_message_over_64_kib_is_cut_and_the_next_is_whole() {
        let long = "x".repeat(LINE_BYTES_MAX + 1);
        for stream in [format!("<{long}\nnext\n"), format!("{} <{long}4 next", long.len() + 1)] {
            let (messages, fed, _) = read(stream.as_bytes().chunks(1000));
            assert_eq!(fed, Ok(()));
            assert_eq!(
                messages.iter().map(|(m, cut)| (m.len(), *cut)).collect::<Vec<_>>(),
                [(LINE_BYTES_MAX, true), (4, false)]
            );
        }
    }

    proptest! {
        #[test]
        fn chunking_makes_no_difference(
            stream in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b' '), b'0'..=b'9', any::<u8>()], 0..200),
            size in 1usize..40,
        ) {
            let (whole, parts) = (read([stream.as_slice()]), read(stream.chunks(size)));
            prop_assert_eq!(whole.0, parts.0);
            prop_assert_eq!(whole.1, parts.1);
        }
    }
}
