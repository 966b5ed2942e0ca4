//! From the regular expressions of fail2ban's filters to those of Rust: its tags are put out, and Python's syntax is
//! written the way the engines here read it.

/// A pattern in the syntax of the engines here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translated {
    /// The same pattern. It may hold what only a backtracking engine knows.
    pub exact: String,
    /// A pattern of the linear-time engine that matches wherever the exact one does, and perhaps elsewhere.
    pub wide: String,
    /// Whether the two differ.
    pub is_exact: bool,
}

const IP4: &str = r"(?:::f{4,6}:)?(?P<ip4>(?:\d{1,3}\.){3}\d{1,3})";
/// fail2ban's own says behind the last alternative that a colon stands before it, which it always does.
const IP6: &str = r"(?P<ip6>(?:[0-9a-fA-F]{1,4}::?|::){1,7}(?:[0-9a-fA-F]{1,4}|:))";
const DNS: &str = r"(?P<dns>[\w\-.^_]*\w)";
const CIDR: &str = r"(?P<cidr>\d+)";

/// Puts out fail2ban's tags: `<HOST>`, `<F-USER>…</F-USER>`, `<SKIPLINES>` and their kin. With `names`, a host may be one.
pub fn expand(pattern: &str, names: bool) -> String {
    let mut out = String::with_capacity(pattern.len() * 2);
    let mut open: Vec<String> = Vec::new();
    let mut skips = 0;
    let mut rest = pattern;
    while let Some(at) = rest.find('<') {
        let (before, tagged) = rest.split_at(at);
        out.push_str(before);
        let Some((tag, length)) = tag(tagged) else {
            out.push('<');
            rest = tagged.get(1..).unwrap_or_default();
            continue;
        };
        match replacement(tag, names, &mut open, &mut skips) {
            Some(text) => out.push_str(&text),
            None => out.push_str(tagged.get(..length).unwrap_or_default()),
        }
        rest = tagged.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// The tag that stands at the beginning, without its brackets, and its length with them.
fn tag(text: &str) -> Option<(&str, usize)> {
    let (tag, _) = text.strip_prefix('<')?.split_once('>')?;
    let name = tag.strip_prefix('/').unwrap_or(tag);
    let name = name.strip_suffix('/').unwrap_or(name);
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'));
    is_name.then_some((tag, tag.len() + 2))
}

fn replacement(tag: &str, names: bool, open: &mut Vec<String>, skips: &mut u32) -> Option<String> {
    let address = || format!(r"\[?(?:{IP4}|{IP6})\]?");
    let text = match tag {
        "HOST" if names => format!("(?:{}|{DNS})", address()),
        "HOST" | "ADDR" | "F-ADDR/" => address(),
        "IP4" | "F-IP4/" => IP4.to_owned(),
        "IP6" | "F-IP6/" => IP6.to_owned(),
        "DNS" | "F-DNS/" => DNS.to_owned(),
        "CIDR" | "F-CIDR/" => CIDR.to_owned(),
        "SUBNET" | "F-SUBNET/" => format!(r"\[?(?:{IP4}|{IP6})(?:/{CIDR})?\]?"),
        "F-ID/" => r"(?P<fid>\S+)".to_owned(),
        "F-PORT/" => r"(?P<fport>\w+)".to_owned(),
        "SKIPLINES" => {
            *skips += 1;
            format!(r"\n(?P<skiplines{}>(?:(?:.*\n)*?))", *skips - 1)
        }
        _ => {
            let is_own = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
            let (closes, name) = tag.strip_prefix('/').map_or((false, tag), |name| (true, name));
            let name = name.strip_prefix("F-").filter(|name| !name.is_empty() && name.chars().all(is_own))?;
            if closes {
                return open.iter().any(|opened| opened == name).then(|| ")".to_owned());
            }
            open.push(name.to_owned());
            format!("(?P<{}>", group(name))
        }
    };
    Some(text)
}

/// The name of the group of `<F-NAME>`.
pub fn group(name: &str) -> String {
    match name.to_lowercase().as_str() {
        "id" => "fid".to_owned(),
        "port" => "fport".to_owned(),
        name => name.to_owned(),
    }
}

/// Translates a pattern whose tags were put out.
pub fn translate(pattern: &str, multiline: bool) -> Translated {
    let mut writer =
        Writer { rest: pattern, exact: String::new(), wide: String::new(), dropped: None, depth: 0 };
    if multiline {
        writer.both("(?m)");
    }
    while writer.step() {}
    let Writer { exact, wide, .. } = writer;
    let is_exact = exact == wide;
    Translated { exact, wide, is_exact }
}

struct Writer<'p> {
    rest: &'p str,
    exact: String,
    wide: String,
    /// The depth of the group that the wide pattern leaves out, while it is read.
    dropped: Option<u32>,
    depth: u32,
}

impl<'p> Writer<'p> {
    fn both(&mut self, text: &str) {
        self.exact.push_str(text);
        if self.dropped.is_none() {
            self.wide.push_str(text);
        }
    }

    fn take(&mut self, bytes: usize) -> &'p str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn take_char(&mut self) -> &'p str {
        let bytes = self.rest.chars().next().map_or(0, char::len_utf8);
        self.take(bytes)
    }

    /// One element of the pattern; false at its end.
    fn step(&mut self) -> bool {
        let Some(first) = self.rest.chars().next() else { return false };
        match first {
            '\\' => self.escape(),
            '[' => self.class(),
            '(' => self.open(),
            ')' => {
                self.take(1);
                self.exact.push(')');
                if self.dropped.is_none() {
                    self.wide.push(')');
                } else if self.dropped == Some(self.depth) {
                    self.dropped = None;
                }
                self.depth = self.depth.saturating_sub(1);
            }
            '{' => self.brace(),
            '}' => {
                self.take(1);
                self.both(r"\}");
            }
            _ => {
                let text = self.take_char();
                self.both(text);
            }
        }
        true
    }

    fn escape(&mut self) {
        self.take(1);
        let escaped = self.take_char();
        match escaped.chars().next() {
            None => self.both(r"\\"),
            Some('Z') => self.both(r"\z"),
            Some('0') => self.both(r"\x00"),
            Some(digit @ '1'..='9') => self.backreference(&format!("\\{digit}")),
            Some(c) if c.is_ascii_alphanumeric() => self.both(&format!("\\{c}")),
            Some(c) => self.both(&literal(c)),
        }
    }

    /// What was matched before, once more; the linear engine takes anything for it.
    fn backreference(&mut self, text: &str) {
        self.exact.push_str(text);
        if self.dropped.is_none() {
            self.wide.push_str("(?s:.*)");
        }
    }

    fn brace(&mut self) {
        self.take(1);
        let counted = self.rest.split_once('}').filter(|(inner, _)| is_count(inner));
        let Some((inner, _)) = counted else { return self.both(r"\{") };
        self.take(inner.len() + 1);
        let least = if inner.starts_with(',') { "0" } else { "" };
        self.both(&format!("{{{least}{inner}}}"));
    }

    fn open(&mut self) {
        self.take(1);
        self.depth += 1;
        // `((?i)x)` and `(?:(?i)x)` are fail2ban's ways to write `(?i:x)`.
        let inner = self.rest.strip_prefix("?:").unwrap_or(self.rest);
        if let Some(flags) = inner.strip_prefix("(?").and_then(flags) {
            self.take(self.rest.len() - inner.len() + "(?)".len() + flags.len());
            return self.both(&format!("(?{}:", known(flags)));
        }
        let Some(special) = self.rest.strip_prefix('?') else { return self.both("(") };
        if special.starts_with('#') {
            let end = self.rest.find(')').map_or(self.rest.len(), |at| at + 1);
            self.take(end);
            self.depth -= 1;
        } else if let Some((name, _)) = special.strip_prefix("P=").and_then(|name| name.split_once(')')) {
            self.take("?P=".len() + name.len() + 1);
            self.depth -= 1;
            self.backreference(&format!("(?P={name})"));
        } else if let Some((name, _)) = special.strip_prefix('(').and_then(|name| name.split_once(')')) {
            self.take("?()".len() + name.len());
            self.exact.push_str(&format!("(?(<{name}>)"));
            if self.dropped.is_none() {
                self.wide.push_str("(?:");
            }
        } else if ["=", "!", "<=", "<!"].iter().any(|look| special.starts_with(look)) {
            self.exact.push('(');
            self.dropped.get_or_insert(self.depth);
        } else if let Some(flags) = flags(special) {
            self.take(1 + flags.len() + 1);
            self.depth -= 1;
            self.both(&match known(flags) {
                flags if flags.is_empty() => flags,
                flags => format!("(?{flags})"),
            });
        } else if special.starts_with('>') {
            self.take(2);
            self.exact.push_str("(?>");
            if self.dropped.is_none() {
                self.wide.push_str("(?:");
            }
        } else {
            self.both("(");
        }
    }

    fn class(&mut self) {
        self.take(1);
        self.both("[");
        if self.rest.starts_with('^') {
            self.take(1);
            self.both("^");
        }
        let mut first = true;
        while let Some(c) = self.rest.chars().next() {
            match c {
                ']' if !first => {
                    self.take(1);
                    self.both("]");
                    return;
                }
                '\\' => {
                    self.take(1);
                    let escaped = self.take_char();
                    match escaped.chars().next() {
                        Some('b') => self.both(r"\x08"),
                        Some('0') => self.both(r"\x00"),
                        Some(c) if c.is_ascii_alphanumeric() => self.both(&format!("\\{c}")),
                        Some(c) => self.both(&format!("{}", In(c))),
                        None => self.both(r"\\"),
                    }
                }
                // A hyphen before a hyphen, or in the first place, is one; elsewhere it spans a range.
                '-' if first => {
                    self.take(1);
                    self.both(r"\-");
                }
                '-' => {
                    self.take(1);
                    self.both("-");
                    if self.rest.starts_with('-') {
                        self.take(1);
                        self.both(r"\-");
                    }
                }
                '[' | ']' | '&' | '~' => {
                    self.take(1);
                    self.both(&format!("\\{c}"));
                }
                _ => {
                    let text = self.take_char();
                    self.both(text);
                }
            }
            first = false;
        }
    }
}

/// One character in a class.
struct In(char);

impl std::fmt::Display for In {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            c @ ('[' | ']' | '^' | '-' | '\\' | '&' | '~') => write!(f, "\\{c}"),
            c => write!(f, "{c}"),
        }
    }
}

/// One character that means itself. Python lets every one be escaped; `\<` would be the beginning of a word here.
fn literal(c: char) -> String {
    if regex_syntax::is_meta_character(c) { format!("\\{c}") } else { c.to_string() }
}

/// Whether `3`, `3,`, `,5` or `3,5`.
fn is_count(inner: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    match inner.split_once(',') {
        None => !inner.is_empty() && digits(inner),
        Some((least, most)) => digits(least) && digits(most) && !(least.is_empty() && most.is_empty()),
    }
}

/// The letters of `i)`, where they are flags.
fn flags(text: &str) -> Option<&str> {
    let (flags, _) = text.split_once(')')?;
    (!flags.is_empty() && flags.bytes().all(|flag| flag.is_ascii_lowercase() || flag == b'L'))
        .then_some(flags)
}

/// The flags that mean anything here: text is always Unicode.
fn known(flags: &str) -> String {
    flags.chars().filter(|flag| matches!(flag, 'i' | 'm' | 's' | 'x')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(python: &str, exact: &str, wide: &str) {
        let translated = translate(python, false);
        assert_eq!((translated.exact.as_str(), translated.wide.as_str()), (exact, wide));
    }

    #[track_caller]
    fn same(python: &str, rust: &str) {
        check(python, rust, rust);
        assert!(regex::Regex::new(rust).is_ok(), "{rust}");
    }

    #[test]
    fn an_escaped_angle_is_a_character_and_no_edge_of_a_word() {
        same(r"\<a\>\[\'\/\ ", r"<a>\['/ ");
    }

    #[test]
    fn what_only_rust_knows_in_a_class_is_escaped() {
        same(r"[^[]*[]a][a&&b][+--]", r"[^\[]*[\]a][a\&\&b][+-\-]");
        same(r"[\w\-.^_]*[-a]", r"[\w\-.^_]*[\-a]");
    }

    #[test]
    fn braces_that_count_nothing_are_characters() {
        same(r"{a}[0-9]{,3}b{2}c{2,}d{1,3}{,}", r"\{a\}[0-9]{0,3}b{2}c{2,}d{1,3}\{,\}");
    }

    #[test]
    fn the_end_of_the_text_has_the_small_letter() {
        same(r"\Aa\Z", r"\Aa\z");
    }

    #[test]
    fn flags_hold_where_fail2ban_says() {
        same(r"((?i)a)(?:(?i)b)(?iu)c(?#no)", r"(?i:a)(?i:b)(?i)c");
    }

    #[test]
    fn a_condition_names_its_group_in_brackets() {
        check(r"(?P<a>x)?(?(a)y|z)", r"(?P<a>x)?(?(<a>)y|z)", r"(?P<a>x)?(?:y|z)");
    }

    #[test]
    fn an_escaped_bracket_before_a_group_is_no_condition() {
        same(r"a\(?(?:b)", r"a\(?(?:b)");
        same(r"a\(?(b)", r"a\(?(b)");
    }

    #[test]
    fn the_wide_pattern_leaves_out_what_looks_around_and_back() {
        check(
            r"a(?!b(?:c))d(?<=e)(?P<u>\S+) (?P=u)",
            r"a(?!b(?:c))d(?<=e)(?P<u>\S+) (?P=u)",
            r"ad(?P<u>\S+) (?s:.*)",
        );
    }

    #[test]
    fn many_lines_begin_and_end_at_their_feeds() {
        assert_eq!(translate("^a$", true).exact, "(?m)^a$");
    }

    #[test]
    fn tags_become_groups() {
        assert_eq!(expand("<F-ID>x</F-ID></F-NO><lt><F-USER>", true), "(?P<fid>x)</F-NO><lt>(?P<user>");
        assert!(expand("<HOST>", true).contains("(?P<dns>"));
        assert!(!expand("<HOST>", false).contains("(?P<dns>"));
        assert_eq!(
            expand("a<SKIPLINES>b<SKIPLINES>", true),
            r"a\n(?P<skiplines0>(?:(?:.*\n)*?))b\n(?P<skiplines1>(?:(?:.*\n)*?))"
        );
    }
}
