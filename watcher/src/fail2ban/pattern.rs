//! One compiled regular expression of a filter, and what its groups took.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::fail2ban::dialect::{self, Translated};

/// A compiled pattern may take so much memory, and its lazy automaton as much again.
const PATTERN_BYTES_MAX: usize = 16 << 20;

/// A backtracking pattern gives up after so many steps: well under a millisecond. Python would go on for minutes.
const STEPS_MAX: usize = 10_000;

/// The groups that say whom a failure is about, the first one first.
pub const IDENTITIES: &[&str] = &["fid", "ip4", "ip6", "dns"];

/// What the named groups took; a group that took no part is absent.
pub type Groups = BTreeMap<Arc<str>, String>;

/// It would have taken too many steps to say whether a pattern matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pattern gave up")]
pub struct Refused;

/// Where a pattern matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// From where to where.
    pub span: Range<usize>,
    /// What its groups took.
    pub groups: Groups,
}

/// One compiled regular expression.
#[derive(Debug)]
pub struct Pattern {
    /// As the filter's file has it.
    pub text: String,
    engine: Engine,
    /// A pattern of the linear-time engine that matches wherever this one does.
    pub wide: String,
    /// The named groups: where each stands, and how it is called.
    names: Vec<(usize, Arc<str>)>,
    /// `alt_user_1` and its kin: the group, and whose place it takes.
    alternatives: Vec<(Arc<str>, Arc<str>)>,
    /// `tuple_id_1` and its kin: the group, and behind which it is put.
    parts: Vec<(Arc<str>, Arc<str>)>,
}

#[derive(Debug)]
enum Engine {
    /// Linear in the length of the text, whatever stands in it.
    Linear(regex::Regex),
    /// With a limit to its steps; and before it a linear one, that lets through what it can match and little more.
    Backtracking(Box<fancy_regex::Regex>, Option<Box<regex::Regex>>),
}

impl Pattern {
    /// Compiles a pattern as a filter's file has it. With `names` a `<HOST>` may be one; a `multiline` one sees several
    /// lines, each with its line feed.
    ///
    /// # Errors
    /// One sentence: why it is no regular expression.
    pub fn new(text: &str, names: bool, multiline: bool) -> Result<Pattern, String> {
        if text.trim().is_empty() {
            return Err("an empty pattern would match every line".to_owned());
        }
        let expanded = dialect::expand(text, names);
        let translated = dialect::translate(&expanded, multiline);
        let engine = Engine::new(&translated)?;
        let names = engine.names();
        let find = |prefix: &str| -> Vec<(Arc<str>, Arc<str>)> {
            let complex = |(_, name): &(usize, Arc<str>)| {
                let rest = name.strip_prefix(prefix).filter(|rest| !rest.is_empty())?;
                Some((Arc::clone(name), Arc::from(dialect::group(unnumbered(rest)))))
            };
            let mut found: Vec<_> = names.iter().filter_map(complex).collect();
            found.sort();
            found
        };
        let (alternatives, parts) = (find("alt_"), find("tuple_"));
        Ok(Pattern { text: text.to_owned(), engine, wide: translated.wide, names, alternatives, parts })
    }

    /// Whether one of its groups has this name.
    pub fn has(&self, name: &str) -> bool {
        self.names.iter().any(|(_, known)| &**known == name)
    }

    /// The names of its groups.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.names.iter().map(|(_, name)| name)
    }

    /// Whether it is of the linear-time engine.
    pub fn is_linear(&self) -> bool {
        matches!(self.engine, Engine::Linear(_))
    }

    /// Whether it matches.
    ///
    /// # Errors
    /// It would have taken too many steps to say.
    pub fn is_match(&self, text: &str) -> Result<bool, Refused> {
        match &self.engine {
            Engine::Linear(regex) => Ok(regex.is_match(text)),
            Engine::Backtracking(_, Some(guard)) if !guard.is_match(text) => Ok(false),
            Engine::Backtracking(regex, _) => regex.is_match(text).map_err(|_| Refused),
        }
    }

    /// Where it matches first, and what its groups take.
    ///
    /// # Errors
    /// It would have taken too many steps to say.
    pub fn find(&self, text: &str) -> Result<Option<Match>, Refused> {
        let mut groups = Groups::new();
        let span = match &self.engine {
            Engine::Linear(regex) => {
                let Some(found) = regex.captures(text) else { return Ok(None) };
                for (index, name) in &self.names {
                    if let Some(group) = found.get(*index) {
                        groups.insert(Arc::clone(name), group.as_str().to_owned());
                    }
                }
                found.get_match().range()
            }
            Engine::Backtracking(_, Some(guard)) if !guard.is_match(text) => return Ok(None),
            Engine::Backtracking(regex, _) => {
                let Some(found) = regex.captures(text).map_err(|_| Refused)? else { return Ok(None) };
                for (index, name) in &self.names {
                    if let Some(group) = found.get(*index) {
                        groups.insert(Arc::clone(name), group.as_str().to_owned());
                    }
                }
                found.get(0).map_or(0..0, |whole| whole.range())
            }
        };
        self.join(&mut groups);
        Ok(Some(Match { span, groups }))
    }

    fn join(&self, groups: &mut Groups) {
        for (name, target) in &self.alternatives {
            if let Some(value) = groups.get(name).filter(|value| !value.is_empty())
                && groups.get(target).is_none_or(String::is_empty)
            {
                let value = value.clone();
                groups.insert(Arc::clone(target), value);
            }
        }
        for (name, target) in &self.parts {
            if let Some(part) = groups.get(name).cloned() {
                let joined = groups.entry(Arc::clone(target)).or_default();
                if !joined.is_empty() {
                    joined.push(':');
                }
                joined.push_str(&part);
            }
        }
    }
}

/// The linear pattern before a backtracking one; none where it is none.
fn guard(wide: &str) -> Option<Box<regex::Regex>> {
    let mut builder = regex::RegexBuilder::new(wide);
    builder.size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX).build().ok().map(Box::new)
}

/// `user` of `user_1`.
fn unnumbered(name: &str) -> &str {
    match name.rsplit_once('_') {
        Some((name, number)) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => name,
    }
}

impl Engine {
    fn new(translated: &Translated) -> Result<Engine, String> {
        if translated.is_exact {
            let built = regex::RegexBuilder::new(&translated.exact)
                .size_limit(PATTERN_BYTES_MAX)
                .dfa_size_limit(PATTERN_BYTES_MAX)
                .build();
            match built {
                Ok(regex) => return Ok(Engine::Linear(regex)),
                Err(regex::Error::CompiledTooBig(_)) => {
                    return Err(format!("it takes more than {PATTERN_BYTES_MAX} bytes of memory"));
                }
                Err(_) => {}
            }
        }
        fancy_regex::RegexBuilder::new(&translated.exact)
            .backtrack_limit(STEPS_MAX)
            .delegate_size_limit(PATTERN_BYTES_MAX)
            .build()
            .map(|regex| Engine::Backtracking(Box::new(regex), guard(&translated.wide)))
            .map_err(|error| error.to_string())
    }

    fn names(&self) -> Vec<(usize, Arc<str>)> {
        let named = |(index, name): (usize, Option<&str>)| Some((index, Arc::from(name?)));
        match self {
            Engine::Linear(regex) => regex.capture_names().enumerate().filter_map(named).collect(),
            Engine::Backtracking(regex, _) => regex.capture_names().enumerate().filter_map(named).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, expected: &[(&str, &str)]) {
        let found = Pattern::new(pattern, true, false).unwrap().find(text).unwrap().unwrap();
        let groups: Vec<(&str, &str)> = found.groups.iter().map(|(n, v)| (&**n, v.as_str())).collect();
        assert_eq!(groups, expected);
    }

    #[test]
    fn an_address_is_an_address_and_a_name_is_a_name() {
        check("^from <HOST>$", "from 192.0.2.7", &[("ip4", "192.0.2.7")]);
        check("^from <HOST>$", "from [::ffff:192.0.2.7]", &[("ip4", "192.0.2.7")]);
        check("^from <HOST>$", "from [2001:db8::]", &[("ip6", "2001:db8::")]);
        check("^from <HOST>$", "from a-b.example", &[("dns", "a-b.example")]);
        check("^<SUBNET>$", "192.0.2.0/24", &[("cidr", "24"), ("ip4", "192.0.2.0")]);
    }

    #[test]
    fn the_first_alternative_that_took_something_fills_the_group() {
        let pattern = "^(?:<F-USER>a+</F-USER>|<F-ALT_USER>b+</F-ALT_USER>|<F-ALT_USER_1>c+</F-ALT_USER_1>)$";
        check(pattern, "bb", &[("alt_user", "bb"), ("user", "bb")]);
        check(pattern, "cc", &[("alt_user_1", "cc"), ("user", "cc")]);
    }

    #[test]
    fn the_parts_of_a_tuple_are_joined() {
        let pattern = "^<F-ID>a</F-ID> <F-TUPLE_ID>b</F-TUPLE_ID> <F-TUPLE_ID_1>c</F-TUPLE_ID_1>$";
        let parts = [("fid", "a:b:c"), ("tuple_id", "b"), ("tuple_id_1", "c")];
        check(pattern, "a b c", &parts);
    }

    #[test]
    fn a_pattern_that_takes_too_many_steps_gives_up() {
        let pattern = Pattern::new(r"^(?P<a>(?:(?:(?!x)\w)+\s*)+): (?P=a)! <HOST>$", true, false).unwrap();
        assert!(!pattern.is_linear());
        assert_eq!(pattern.find(&format!("{}: b! 192.0.2.7", "a".repeat(60))), Err(Refused));
    }
}
