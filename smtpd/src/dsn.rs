//! What a client wants to hear of its message (RFC 3461): said in MAIL and RCPT, kept in the envelope, passed on to a
//! server that offers the same, and answered where there is none.

use serde::{Deserialize, Serialize};

/// Longest ENVID (RFC 3461 §4.4).
const ENVID_BYTES_MAX: usize = 100;

/// Longest ORCPT (RFC 3461 §4.2), its type included.
const ORCPT_BYTES_MAX: usize = 500;

/// What of the message comes back with a report of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Return {
    /// All of it.
    Full,
    /// Its header.
    Headers,
}

/// Of what the sender wants to hear; of nothing at all is `NEVER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notify {
    /// It was delivered.
    pub success: bool,
    /// It cannot be delivered.
    pub failure: bool,
    /// It takes long.
    pub delay: bool,
}

/// What the sender said with one recipient.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// NOTIFY; without it, of failures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
    /// ORCPT, as it came: `rfc822;a+2Bb@example.org`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<String>,
}

/// What the sender said with the message and its recipients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wishes {
    /// RET.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ret: Option<Return>,
    /// ENVID, as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envid: Option<String>,
    /// In the order of the recipients; those that are missing wish nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub each: Vec<Wish>,
}

impl Return {
    /// Reads the value of RET.
    pub fn parse(value: &[u8]) -> Option<Self> {
        match value.to_ascii_uppercase().as_slice() {
            b"FULL" => Some(Return::Full),
            b"HDRS" => Some(Return::Headers),
            _ => None,
        }
    }

    /// The value of RET.
    pub const fn name(self) -> &'static str {
        match self {
            Return::Full => "FULL",
            Return::Headers => "HDRS",
        }
    }
}

impl Notify {
    /// What RFC 3461 §5.2.2 leaves to a sender that says nothing.
    pub const UNSAID: Notify = Notify { success: false, failure: true, delay: false };

    /// Reads the value of NOTIFY.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let mut notify = Notify { success: false, failure: false, delay: false };
        if value.eq_ignore_ascii_case(b"NEVER") {
            return Some(notify);
        }
        for word in value.split(|&b| b == b',') {
            match word.to_ascii_uppercase().as_slice() {
                b"SUCCESS" => notify.success = true,
                b"FAILURE" => notify.failure = true,
                b"DELAY" => notify.delay = true,
                _ => return None,
            }
        }
        Some(notify)
    }
}

impl std::fmt::Display for Notify {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = [(self.success, "SUCCESS"), (self.failure, "FAILURE"), (self.delay, "DELAY")];
        let words: Vec<&str> = words.into_iter().filter_map(|(said, word)| said.then_some(word)).collect();
        f.write_str(if words.is_empty() { "NEVER" } else { "" })?;
        f.write_str(&words.join(","))
    }
}

impl Wish {
    /// Of what the sender is told.
    pub fn notify(&self) -> Notify {
        self.notify.unwrap_or(Notify::UNSAID)
    }

    /// Whether nothing was said.
    pub fn is_none(&self) -> bool {
        self.notify.is_none() && self.original.is_none()
    }
}

impl Wishes {
    /// Whether nothing was said.
    pub fn is_none(&self) -> bool {
        self.ret.is_none() && self.envid.is_none() && self.each.iter().all(Wish::is_none)
    }

    /// What was said with the n-th recipient.
    pub fn of(&self, n: usize) -> Wish {
        self.each.get(n).cloned().unwrap_or_default()
    }

    /// The envelope's own identifier, for a person.
    pub fn envelope_id(&self) -> Option<String> {
        self.envid.as_deref().map(decoded)
    }
}

/// Reads the value of ENVID, which is passed on as it came.
pub fn envid(value: &[u8]) -> Option<String> {
    (value.len() <= ENVID_BYTES_MAX).then(|| xtext(value)).flatten()
}

/// Reads the value of ORCPT, which is passed on as it came.
pub fn original_recipient(value: &[u8]) -> Option<String> {
    let (kind, address) = value.split_at_checked(memchr::memchr(b';', value)?)?;
    let word = !kind.is_empty() && kind.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-');
    if !word || value.len() > ORCPT_BYTES_MAX {
        return None;
    }
    let kind = std::str::from_utf8(kind).ok()?;
    // RFC 6533 §3: a `utf-8` address may stand in its own letters where SMTPUTF8 was said, or as `\x{…}`.
    let address = address.get(1..)?;
    let text = if kind.eq_ignore_ascii_case("utf-8") { unitext(address)? } else { xtext(address)? };
    Some(format!("{kind};{text}"))
}

/// What an xtext or an original recipient says, for a person: nothing in it can end a line.
pub fn decoded(xtext: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = xtext.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let hex = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match (byte, hex.and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
            (b'+', Some(decoded)) => {
                bytes.push(decoded);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => bytes.push(byte),
        }
    }
    bytes.iter().map(|&b| if (0x20..=0x7e).contains(&b) { char::from(b) } else { '?' }).collect()
}

/// Whether a value is `xtext`.
pub(crate) fn is_xtext(value: &[u8]) -> bool {
    xtext(value).is_some()
}

/// `xtext` of RFC 3461 §4: printable, and `+` only before two capital hexadecimal digits.
fn xtext(value: &[u8]) -> Option<String> {
    let mut rest = value;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = match (byte, tail) {
            (b'+', [high, low, tail @ ..]) if is_hex(*high) && is_hex(*low) => tail,
            (b'+' | b'=', _) => return None,
            (0x21..=0x7e, tail) => tail,
            _ => return None,
        };
    }
    (!value.is_empty()).then(|| String::from_utf8_lossy(value).into_owned())
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte)
}

/// `utf-8-addr-xtext` of RFC 6533 §3, as far as a server that only passes it on must look.
fn unitext(value: &[u8]) -> Option<String> {
    let harmless = |b: &u8| matches!(b, 0x21..=0x7e) && !matches!(b, b'+' | b'=');
    (!value.is_empty() && value.iter().all(harmless)).then(|| String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, notify: Option<&str>) {
        assert_eq!(Notify::parse(value.as_bytes()).map(|n| n.to_string()).as_deref(), notify, "{value}");
    }

    #[test]
    fn a_wish_to_be_told_is_read_and_said_again() {
        check("never", Some("NEVER"));
        check("FAILURE,success", Some("SUCCESS,FAILURE"));
        check("DELAY", Some("DELAY"));
        check("NEVER,DELAY", None);
        check("", None);
        check("FAILURE,", None);
    }

    #[test]
    fn what_could_end_a_parameter_or_a_line_is_no_xtext() {
        assert_eq!(envid(b"QQ+2B1").as_deref(), Some("QQ+2B1"));
        for wrong in [&b""[..], b"a+2", b"a+2b", b"a=b", b"a b", b"a\r", b"\xe9", &[b'x'; 101]] {
            assert_eq!(envid(wrong), None, "{wrong:?}");
        }
        assert_eq!(
            original_recipient(b"rfc822;a+2Bb@example.org").as_deref(),
            Some("rfc822;a+2Bb@example.org")
        );
        assert_eq!(
            original_recipient(br"utf-8;\x{E9}@example.org").as_deref(),
            Some(r"utf-8;\x{E9}@example.org")
        );
        for wrong in [&b"a@example.org"[..], b";a", b"rfc 822;a", b"rfc822;", b"rfc822;a\n"] {
            assert_eq!(original_recipient(wrong), None, "{wrong:?}");
        }
        assert_eq!(decoded("rfc822;a+2Bb+0Dc"), "rfc822;a+b?c");
    }
}
