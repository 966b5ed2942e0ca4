//! Envelope addresses: what stands in the angle brackets of MAIL and RCPT (RFC 5321 §4.1.2).
//!
//! A [`Mailbox`] holds printable text only, so it needs no escaping in a file or towards another server; what does
//! not fit stays bytes and is refused. It may hold more than ASCII (RFC 6531), where the session allows that.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest address taken, as in qmail-smtpd.c:addrparse.
const ADDRESS_BYTES_MAX: usize = 900;

/// Longest domain (RFC 5321 §4.5.3.1.2).
const DOMAIN_BYTES_MAX: usize = 255;

/// A local part and a domain, the quoting taken off; `Display` puts it back where it is needed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mailbox {
    local: String,
    domain: String,
}

/// What the brackets held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `<>`: nobody; the sender of a bounce.
    Null,
    /// A whole address.
    Mailbox(Mailbox),
    /// A local part alone.
    NoDomain(String),
    /// Nothing that could be an address.
    Malformed,
}

impl Mailbox {
    /// An address from its parts; `None` where they cannot be one.
    pub fn new(local: &str, domain: &str) -> Option<Self> {
        let printable = !local.is_empty() && local.chars().all(is_printable);
        let fits = local.len() + domain.len() < ADDRESS_BYTES_MAX;
        (printable && fits && is_domain(domain))
            .then(|| Mailbox { local: local.to_owned(), domain: domain.to_owned() })
    }

    /// What stands before the `@`, as it was given.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// What stands behind the `@`, as it was given.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The domain for comparing: `bücher.example` is `xn--bcher-kva.example`.
    pub fn domain_key(&self) -> String {
        if self.domain.is_ascii() {
            return self.domain.to_ascii_lowercase();
        }
        // `new` took no domain that has no such form.
        idna::domain_to_ascii(&self.domain).unwrap_or_else(|_| self.domain.to_lowercase())
    }

    /// The domain as name servers know it.
    pub fn host(&self) -> String {
        if self.domain.is_ascii() { self.domain.clone() } else { self.domain_key() }
    }

    /// The same address with its domain as name servers know it, so that whoever compares it has one form to look for.
    #[must_use]
    pub fn with_host(self) -> Self {
        Mailbox { domain: self.host(), local: self.local }
    }

    /// Whether a server without SMTPUTF8 can be told this address.
    pub fn is_ascii(&self) -> bool {
        self.local.is_ascii() && self.domain.is_ascii()
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(&self.local) {
            return write!(f, "{}@{}", self.local, self.domain);
        }
        f.write_str("\"")?;
        for c in self.local.chars() {
            if matches!(c, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        write!(f, "\"@{}", self.domain)
    }
}

impl FromStr for Mailbox {
    type Err = NotAMailbox;

    fn from_str(text: &str) -> Result<Self, NotAMailbox> {
        match Address::parse(text.as_bytes()) {
            Address::Mailbox(mailbox) => Ok(mailbox),
            Address::Null | Address::NoDomain(_) | Address::Malformed => Err(NotAMailbox),
        }
    }
}

/// The text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a mail address")]
pub struct NotAMailbox;

impl TryFrom<String> for Mailbox {
    type Error = NotAMailbox;

    fn try_from(text: String) -> Result<Self, NotAMailbox> {
        text.parse()
    }
}

impl From<Mailbox> for String {
    fn from(mailbox: Mailbox) -> String {
        mailbox.to_string()
    }
}

impl Address {
    /// Reads what stood between the brackets. A source route is read over (RFC 5321 appendix C).
    pub fn parse(inner: &[u8]) -> Self {
        if inner.is_empty() {
            return Address::Null;
        }
        if inner.len() > ADDRESS_BYTES_MAX {
            return Address::Malformed;
        }
        let inner = match inner {
            [b'@', ..] => match memchr::memchr(b':', inner).and_then(|colon| inner.get(colon + 1..)) {
                Some(after) => after,
                None => return Address::Malformed,
            },
            inner => inner,
        };
        let Some((local, rest)) = local_part(inner) else {
            return Address::Malformed;
        };
        match rest {
            [] => Address::NoDomain(local),
            [b'@', domain @ ..] => {
                match std::str::from_utf8(domain).ok().and_then(|d| Mailbox::new(&local, d)) {
                    Some(mailbox) => Address::Mailbox(mailbox),
                    None => Address::Malformed,
                }
            }
            _ => Address::Malformed,
        }
    }
}

/// Takes the local part off the front: atoms, quoted strings and escaped bytes, as qmail mixes them.
fn local_part(inner: &[u8]) -> Option<(String, &[u8])> {
    let mut local = Vec::new();
    let mut quoted = false;
    let mut rest = inner;
    loop {
        rest = match (rest, quoted) {
            ([] | [b'@', ..], false) => break,
            ([], true) => return None,
            ([b'"', tail @ ..], _) => {
                quoted = !quoted;
                tail
            }
            ([b'\\', byte @ 0x20..=0x7e, tail @ ..], _) => {
                local.push(*byte);
                tail
            }
            ([byte @ (0x20..=0x7e | 0x80..), tail @ ..], true) if *byte != b'\\' => {
                local.push(*byte);
                tail
            }
            ([byte, tail @ ..], false) if is_atom(*byte) || *byte == b'.' => {
                local.push(*byte);
                tail
            }
            _ => return None,
        };
    }
    let local = String::from_utf8(local).ok()?;
    (!local.is_empty() && local.chars().all(is_printable)).then_some((local, rest))
}

/// `atext` of RFC 5322 §3.2.3, and of RFC 6531 §3.3: every byte of a letter beyond ASCII.
fn is_atom(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte) || !byte.is_ascii()
}

/// What can stand in a header, a file and on a terminal without changing what stands around it: no control, no
/// separator of lines, nothing that reverses the order of letters or is not seen at all.
fn is_printable(c: char) -> bool {
    let unseen = matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
    !c.is_control() && !unseen
}

/// A local part that needs no quotes.
fn is_dot_string(local: &str) -> bool {
    local.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atom))
}

/// Host labels, or an address in square brackets.
fn is_domain(domain: &str) -> bool {
    if let Some(literal) = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return match literal.strip_prefix("IPv6:") {
            Some(six) => six.parse::<Ipv6Addr>().is_ok(),
            None => literal.parse::<Ipv4Addr>().is_ok(),
        };
    }
    if domain.is_ascii() {
        return is_host(domain);
    }
    domain.len() <= DOMAIN_BYTES_MAX
        && domain.chars().all(is_printable)
        && idna::domain_to_ascii_strict(domain).is_ok_and(|ascii| is_host(&ascii))
}

fn is_host(domain: &str) -> bool {
    domain.len() <= DOMAIN_BYTES_MAX
        && domain.split('.').all(|label| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(inner: &str, expected: &str) {
        let found = match Address::parse(inner.as_bytes()) {
            Address::Null => "null".to_owned(),
            Address::Mailbox(mailbox) => mailbox.to_string(),
            Address::NoDomain(local) => format!("no domain: {local}"),
            Address::Malformed => "malformed".to_owned(),
        };
        assert_eq!(found, expected, "{inner}");
    }

    #[test]
    fn addresses_are_read_with_their_quoting() {
        check("", "null");
        check("alice@example.org", "alice@example.org");
        check("Alice.B+x@Example.ORG", "Alice.B+x@Example.ORG");
        check(r#""a b"@example.org"#, r#""a b"@example.org"#);
        check(r#""a@b"@example.org"#, r#""a@b"@example.org"#);
        check(r#""plain"@example.org"#, "plain@example.org");
        check(r#""a\"b"@example.org"#, r#""a\"b"@example.org"#);
        check("@relay,@other:alice@example.org", "alice@example.org");
        check("alice@[192.0.2.1]", "alice@[192.0.2.1]");
        check("alice@[IPv6:2001:db8::1]", "alice@[IPv6:2001:db8::1]");
        check("postmaster", "no domain: postmaster");
    }

    #[test]
    fn addresses_beyond_ascii_are_read_and_compared_in_the_form_that_names_have() {
        check("josé@bücher.example", "josé@bücher.example");
        check("\"jo sé\"@example.org", "\"jo sé\"@example.org");
        let key = |inner: &str| inner.parse::<Mailbox>().unwrap().domain_key();
        assert_eq!(key("x@BÜCHER.example"), "xn--bcher-kva.example");
        assert_eq!(key("x@Example.ORG"), "example.org");
        for inner in
            ["a\u{202e}b@example.org", "a\u{85}@example.org", "a\u{200b}@c", "a@b\u{2028}.c", "a@é..c"]
        {
            check(inner, "malformed");
        }
        assert_eq!(Address::parse(b"jos\xe9@example.org"), Address::Malformed);
    }

    #[test]
    fn what_is_no_address_is_malformed() {
        for inner in ["@", "@example.org", "a@", "a@b@c", "a b@c", "a@b..c", "a@b c", "a<b@c", "a\r@b"] {
            check(inner, "malformed");
        }
        for inner in [r#""a@b"#, "a@[192.0.2]", "a@[IPv6:x]", "@a:", "a@-\u{0}", "a\\"] {
            check(inner, "malformed");
        }
        check(&format!("{}@b", "a".repeat(900)), "malformed");
    }

    proptest! {
        #[test]
        fn a_mailbox_reads_back_equal(inner: Vec<u8>, local in "[ -~]{1,20}", domain in "[a-z0-9-]{1,9}(\\.[a-z]{2,3}){0,2}") {
            let parsed = match Address::parse(&inner) {
                Address::Mailbox(mailbox) => Some(mailbox),
                Address::Null | Address::NoDomain(_) | Address::Malformed => None,
            };
            for mailbox in parsed.into_iter().chain(Mailbox::new(&local, &domain)) {
                prop_assert_eq!(mailbox.to_string().parse(), Ok(mailbox));
            }
        }
    }
}
