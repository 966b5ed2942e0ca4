//! Which programs' lines a filter reads.

use settings::{DeValue, Value, mismatch};

/// The programs whose lines a filter reads. None named: those of any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Programs(Vec<String>);

impl Programs {
    /// Whether a line of this program is read. A line whose envelope names no program is everybody's.
    pub fn cover(&self, program: Option<&[u8]>) -> bool {
        let Some(program) = program else { return true };
        self.0.is_empty() || self.0.iter().any(|name| fits(name.as_bytes(), program))
    }

    /// Whether it is said whose lines they are.
    pub fn are_named(&self) -> bool {
        !self.0.is_empty()
    }
}

impl Value for Programs {
    const EXPECTED: &'static str = "a program's name, or a list of names; * stands for any text";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let name = |value: &DeValue<'_>| value.as_str().filter(|name| !name.is_empty()).map(str::to_owned);
        let names: Option<Vec<String>> = match value {
            DeValue::Array(values) => values.iter().map(|value| name(value.get_ref())).collect(),
            value => name(value).map(|name| vec![name]),
        };
        names.map(Programs).ok_or_else(|| mismatch(Self::EXPECTED, value))
    }
}

/// Whether a name is what is written, in which each `*` stands for any text.
fn fits(written: &[u8], name: &[u8]) -> bool {
    let mut parts = written.split(|byte| *byte == b'*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = memchr::memmem::find(rest, part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(written: &str, covered: &[&str], others: &[&str]) {
        for (names, is_covered) in [(covered, true), (others, false)] {
            for name in names {
                assert_eq!(fits(written.as_bytes(), name.as_bytes()), is_covered, "{written} {name}");
            }
        }
    }

    #[test]
    fn a_star_stands_for_any_text() {
        check("vpopmail", &["vpopmail"], &["vpopmail2", "vpop", ""]);
        check("postfix/*", &["postfix/smtpd", "postfix/submission/smtpd"], &["postfix", "postfix-in/smtpd"]);
        check("postfix*/smtpd", &["postfix/smtpd", "postfix-in/smtps/smtpd"], &["postfix/smtp", "smtpd"]);
        check("*imap*", &["imapd", "imap-login", "cyrus/imaps"], &["pop3"]);
        check("a*b*a", &["aba", "axbya"], &["aa", "ab", "abab"]);
        check("*", &["", "x"], &[]);
    }

    #[test]
    fn a_line_without_a_program_is_everybodys() {
        let programs = Programs(vec!["a".to_owned(), "b*".to_owned()]);
        assert!(programs.cover(None) && programs.cover(Some(b"bc")) && !programs.cover(Some(b"c")));
        assert!(Programs::default().cover(Some(b"c")));
    }
}
