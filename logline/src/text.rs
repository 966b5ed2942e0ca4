//! Bytes that somebody else chose, and the one place where they are escaped.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes from outside: a HELO name, an address, a user name, a header.
///
/// They may be anything, including NUL, line feeds and terminal escapes. Writing them goes through [`Text::escaped`],
/// which has no mode that turns it off; reading them goes through [`Text::unescape`].
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text<'a>(Cow<'a, [u8]>);

impl<'a> Text<'a> {
    /// The bytes as the client sent them.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// True for no byte at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same bytes, owned.
    pub fn into_owned(self) -> Text<'static> {
        Text(Cow::Owned(self.0.into_owned()))
    }

    /// The bytes as a line may hold them: each byte that is a space, a control, above 0x7e, a backslash or one of
    /// `delimiters` becomes `\xHH`.
    pub fn escaped<'t>(&'t self, delimiters: &'t [u8]) -> Escaped<'t> {
        Escaped { bytes: &self.0, delimiters, spaces: Spaces::Escaped }
    }

    /// The bytes for a person's terminal or a JSON string: as [`Text::escaped`], but spaces stay.
    pub fn readable(&self) -> Escaped<'_> {
        Escaped { bytes: &self.0, delimiters: b"", spaces: Spaces::Kept }
    }

    /// Reads a field of a line back. A backslash that begins no `\xHH` stands for itself, as other writers mean it.
    pub fn unescape(field: &'a [u8]) -> Self {
        if memchr::memchr(b'\\', field).is_none() {
            return Text(Cow::Borrowed(field));
        }
        let mut bytes = Vec::with_capacity(field.len());
        let mut rest = field;
        while let Some((&first, tail)) = rest.split_first() {
            match rest {
                [b'\\', b'x', high, low, after @ ..] => match (hex(*high), hex(*low)) {
                    (Some(high), Some(low)) => {
                        bytes.push(high << 4 | low);
                        rest = after;
                        continue;
                    }
                    _ => bytes.push(first),
                },
                _ => bytes.push(first),
            }
            rest = tail;
        }
        Text(Cow::Owned(bytes))
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.readable())
    }
}

impl<'a, B: ?Sized + AsRef<[u8]>> From<&'a B> for Text<'a> {
    fn from(bytes: &'a B) -> Self {
        Text(Cow::Borrowed(bytes.as_ref()))
    }
}

impl From<Vec<u8>> for Text<'static> {
    fn from(bytes: Vec<u8>) -> Self {
        Text(Cow::Owned(bytes))
    }
}

impl From<String> for Text<'static> {
    fn from(text: String) -> Self {
        Text(Cow::Owned(text.into_bytes()))
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.readable())
    }
}

impl<'de> Deserialize<'de> for Text<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'_, str>::deserialize(deserializer)?;
        Ok(Text::unescape(text.as_bytes()).into_owned())
    }
}

/// Escaped bytes on their way into a line; made by [`Text::escaped`] and [`Text::readable`].
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'t> {
    bytes: &'t [u8],
    delimiters: &'t [u8],
    spaces: Spaces,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Spaces {
    Escaped,
    Kept,
}

impl Escaped<'_> {
    /// How many bytes pass before the first that does not.
    fn passing(&self, bytes: &[u8]) -> usize {
        /// So many bytes are looked at together.
        const BLOCK: usize = 16;
        let all_pass = |block: &&[u8]| block.iter().fold(true, |all, byte| all & self.passes(*byte));
        let whole = bytes.chunks_exact(BLOCK).take_while(all_pass).count() * BLOCK;
        let rest = bytes.get(whole..).unwrap_or_default();
        whole + rest.iter().position(|byte| !self.passes(*byte)).unwrap_or(rest.len())
    }

    fn passes(&self, byte: u8) -> bool {
        match byte {
            b'\\' => false,
            b' ' => self.spaces == Spaces::Kept,
            0x21..=0x7e => !self.delimiters.contains(&byte),
            _ => false,
        }
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.bytes;
        while let Some(&first) = rest.first() {
            // Most of a line passes, and goes out in one piece.
            let passing = self.passing(rest);
            let (plain, after) = rest.split_at(passing.max(1));
            match std::str::from_utf8(plain) {
                Ok(plain) if passing > 0 => f.write_str(plain)?,
                Ok(_) | Err(_) => write!(f, "\\x{first:02x}")?,
            }
            rest = after;
        }
        Ok(())
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_bytes_and_delimiters_are_escaped() {
        let text = Text::from("a b\n\x1b[31m\\x41|é");
        assert_eq!(text.escaped(b"|").to_string(), r"a\x20b\x0a\x1b[31m\x5cx41\x7c\xc3\xa9");
        assert_eq!(text.readable().to_string(), r"a b\x0a\x1b[31m\x5cx41|\xc3\xa9");
    }

    #[test]
    fn a_lone_backslash_of_another_writer_stands_for_itself() {
        assert_eq!(Text::unescape(br"a\xzzb\x4\"), Text::from(br"a\xzzb\x4\"));
    }

    proptest! {
        #[test]
        fn escaped_bytes_read_back_equal(bytes: Vec<u8>, delimiters in "[|<>:=,/]{0,4}") {
            let text = Text::from(bytes.clone());
            let line = text.escaped(delimiters.as_bytes()).to_string();
            prop_assert!(line.bytes().all(|b| (0x21..=0x7e).contains(&b) && !delimiters.as_bytes().contains(&b)));
            let read = Text::unescape(line.as_bytes());
            prop_assert_eq!(read.bytes(), &bytes[..]);
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(serde_json::from_str::<Text<'_>>(&json).unwrap(), text);
        }
    }
}
