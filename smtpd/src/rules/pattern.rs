//! What a list forbids: `badhelo`, `badmailfrom`, `badrcptto`, as qmail's qregex patch has them.
//!
//! | entry | forbids |
//! |---|---|
//! | `spam@example.net`, `ylmf-pc` | exactly this, in any case |
//! | `@example.net` | every address of the domain |
//! | `*@*.example.net` | what fits: `*` is any text, `?` any character |
//! | `^.*@.*\.example$` | what the regular expression finds |
//! | `!…` | everything that the rest does not forbid |

use regex::bytes::{Regex, RegexBuilder};

/// Memory that one compiled expression may take.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// One list.
#[derive(Clone, Debug, Default)]
pub struct Patterns(Vec<Pattern>);

/// One entry.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    is_negated: bool,
    shape: Shape,
}

#[derive(Clone, Debug)]
enum Shape {
    /// The whole, in lower case.
    Whole(Vec<u8>),
    /// The end from the `@` on, in lower case.
    Domain(Vec<u8>),
    /// Linear in time, whatever the client sends.
    Regex(Regex),
}

impl Pattern {
    /// Reads an entry.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (is_negated, rest) = match text.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if rest.is_empty() {
            return Err("an entry must hold an address, a name or a pattern".to_owned());
        }
        let shape = if is_plain(rest) {
            let lower = rest.to_ascii_lowercase().into_bytes();
            if rest.starts_with('@') { Shape::Domain(lower) } else { Shape::Whole(lower) }
        } else if is_wildcard(rest) {
            Shape::Regex(compile(&expression_of(rest))?)
        } else {
            Shape::Regex(compile(rest)?)
        };
        Ok(Pattern { text: text.to_owned(), is_negated, shape })
    }

    /// Whether it forbids `value`.
    pub(super) fn forbids(&self, value: &[u8]) -> bool {
        let fits = match &self.shape {
            Shape::Whole(whole) => value.eq_ignore_ascii_case(whole),
            Shape::Domain(domain) => memchr::memrchr(b'@', value)
                .and_then(|at| value.get(at..))
                .is_some_and(|end| end.eq_ignore_ascii_case(domain)),
            Shape::Regex(regex) => regex.is_match(value),
        };
        fits != self.is_negated
    }
}

impl std::str::FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Pattern::parse(text)
    }
}

impl Patterns {
    /// A list of entries.
    pub fn new(patterns: Vec<Pattern>) -> Self {
        Patterns(patterns)
    }

    /// The first entry that forbids `value`, as it was written.
    pub fn forbidding(&self, value: &[u8]) -> Option<&str> {
        self.0.iter().find(|pattern| pattern.forbids(value)).map(|pattern| pattern.text.as_str())
    }

    /// Whether it forbids nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Nothing in it means anything but itself; `+` and `.` stand in addresses.
fn is_plain(text: &str) -> bool {
    !text.bytes().any(|byte| b"*?^$[](){}|\\".contains(&byte))
}

/// Only `*` and `?` mean something, and not as in an expression, where they stand behind something, mostly a dot.
fn is_wildcard(text: &str) -> bool {
    let is_expression = text.contains(".*") || text.contains(".?");
    !text.bytes().any(|byte| b"^$[](){}|\\".contains(&byte)) && (text.starts_with('*') || !is_expression)
}

/// What a wildcard finds, as an expression.
pub(super) fn expression_of(wildcard: &str) -> String {
    let part = |c: char| match c {
        '*' => ".*".to_owned(),
        '?' => ".".to_owned(),
        c => regex::escape(&c.to_string()),
    };
    format!("^(?s-u:{})$", wildcard.chars().map(part).collect::<String>())
}

/// Compiles an expression whose time is linear and whose memory has a limit.
pub(super) fn compile(expression: &str) -> Result<Regex, String> {
    RegexBuilder::new(expression)
        .case_insensitive(true)
        .unicode(false)
        .size_limit(REGEX_BYTES_MAX)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "this pattern is too large".to_owned(),
            // The library draws a picture over several lines; the last one says it.
            error => {
                let text = error.to_string();
                let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
                format!("this is no regular expression: {why}")
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(entry: &str, forbidden: &[&str], allowed: &[&str]) {
        let patterns = Patterns::new(vec![Pattern::parse(entry).unwrap()]);
        for value in forbidden {
            assert_eq!(patterns.forbidding(value.as_bytes()), Some(entry), "{entry} {value}");
        }
        for value in allowed {
            assert_eq!(patterns.forbidding(value.as_bytes()), None, "{entry} {value}");
        }
    }

    #[test]
    fn an_entry_forbids_what_it_says() {
        check(
            "spam@example.net",
            &["spam@example.net", "SPAM@Example.Net"],
            &["xspam@example.net", "spam@exampleXnet"],
        );
        check("user+tag@example.net", &["user+tag@example.net"], &["user@example.net"]);
        check("@example.net", &["a@example.net", "b@EXAMPLE.net"], &["a@sub.example.net", "example.net"]);
        check("ylmf-pc", &["ylmf-pc", "YLMF-PC"], &["ylmf-pc2"]);
        check("*@*.example.net", &["a@b.example.net"], &["a@example.net", "a@b.example.net.org"]);
        check("user?@example.net", &["user1@example.net"], &["user@example.net", "user12@example.net"]);
        check("*.dyn.*", &["1-2-3.dyn.example.net", "\u{ff}.dyn.x"], &["dyn.example"]);
        check(r"^[0-9.]+$", &["192.0.2.7"], &["a192.0.2.7"]);
        check(r".*@example\.(net|com)$", &["x@example.com"], &["x@example.org"]);
        check("%", &["%"], &["a%b@example.net"]);
        check("!@example.org", &["a@example.net"], &["a@example.org"]);
        check(r"!\.", &["localhost"], &["mx.example.org"]);
    }

    #[test]
    fn what_is_no_entry_is_told() {
        for (entry, why) in [
            ("", "an entry must hold an address, a name or a pattern"),
            ("!", "an entry must hold an address, a name or a pattern"),
            ("(a", "this is no regular expression: unclosed group"),
            ("(a{1000}){1000}", "this pattern is too large"),
        ] {
            assert_eq!(Pattern::parse(entry).unwrap_err(), why, "{entry}");
        }
    }
}
