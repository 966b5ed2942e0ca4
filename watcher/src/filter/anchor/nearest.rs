//! The rule that came nearest to a line that none matches, and where it stopped.

use std::sync::Arc;

use super::automaton::{Automaton, State, StateId};
use crate::filter::{Filter, Matcher};

/// A line is followed no further; nobody reads on to find a mistake.
const FOLLOWED_BYTES_MAX: usize = 4096;

/// So much of what was expected is told.
const EXPECTED_BYTES_MAX: usize = 24;

/// The patterns of some filters, to be laid over lines.
#[derive(Debug)]
pub struct Nearest {
    filters: Vec<Arc<Filter>>,
    /// Filter, rule and what the rule's pattern is as an automaton.
    patterns: Vec<(usize, usize, Automaton)>,
}

/// How far the nearest rule followed a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miss {
    /// The rule's name.
    pub rule: String,
    /// So many bytes of the message it followed.
    pub bytes: usize,
    /// What it wanted then: a text, or the end of the line.
    pub expected: String,
}

impl Nearest {
    /// Takes the patterns of these filters.
    pub fn of(filters: impl IntoIterator<Item = Arc<Filter>>) -> Self {
        let filters: Vec<Arc<Filter>> = filters.into_iter().collect();
        let mut patterns = Vec::new();
        for (f, filter) in filters.iter().enumerate() {
            for (r, rule) in filter.rules.iter().enumerate() {
                let Matcher::Pattern(pattern) = &rule.matcher else { continue };
                let hir = super::parse(pattern.as_str()).ok();
                // What is known and means nothing is no near miss of anything.
                let automaton =
                    hir.filter(|_| rule.kind.is_some()).and_then(|hir| Automaton::of(&hir, "address"));
                patterns.extend(automaton.map(|automaton| (f, r, automaton)));
            }
        }
        Nearest { filters, patterns }
    }

    /// The pattern of this program's that follows the message furthest; none where none follows its first byte.
    pub fn find(&self, program: Option<&[u8]>, message: &[u8]) -> Option<Miss> {
        let mut best: Option<(usize, usize)> = None;
        for (at, (filter, _, automaton)) in self.patterns.iter().enumerate() {
            if !self.filters.get(*filter)?.programs.cover(program) {
                continue;
            }
            let (bytes, _) = follow(automaton, message);
            if bytes > best.map_or(0, |(bytes, _)| bytes) {
                best = Some((bytes, at));
            }
        }
        let (bytes, at) = best?;
        let (filter, rule, automaton) = self.patterns.get(at)?;
        let rule = self.filters.get(*filter)?.rules.get(*rule)?.name.clone();
        let (_, live) = follow(automaton, message);
        Some(Miss { rule, bytes, expected: expected(automaton, &live) })
    }
}

/// How many bytes an automaton follows, and where it then is.
fn follow(automaton: &Automaton, message: &[u8]) -> (usize, Vec<StateId>) {
    let mut live = closure(automaton, [automaton.start]);
    for (at, byte) in message.iter().take(FOLLOWED_BYTES_MAX).enumerate() {
        let next = live.iter().filter_map(|state| match automaton.states.get(*state) {
            Some(State::Bytes(bytes, next)) if bytes.get(usize::from(*byte)) == Some(&true) => Some(*next),
            _ => None,
        });
        let next = closure(automaton, next.collect::<Vec<_>>());
        if next.is_empty() {
            return (at, live);
        }
        live = next;
    }
    (message.len().min(FOLLOWED_BYTES_MAX), live)
}

fn closure(automaton: &Automaton, from: impl IntoIterator<Item = StateId>) -> Vec<StateId> {
    let mut seen = foldhash::HashSet::default();
    let mut open: Vec<StateId> = from.into_iter().collect();
    let mut live = Vec::new();
    while let Some(state) = open.pop() {
        if !seen.insert(state) {
            continue;
        }
        match automaton.states.get(state) {
            Some(State::Bytes(..) | State::Accept) => live.push(state),
            Some(State::Ways(ways)) => open.extend(ways),
            Some(State::Mark(_, next)) => open.push(*next),
            None => {}
        }
    }
    live
}

/// What the first of these places wants: the text that must follow, or that the line ends.
fn expected(automaton: &Automaton, live: &[StateId]) -> String {
    let texts = live.iter().map(|state| {
        let (mut text, mut at) = (String::new(), *state);
        loop {
            match automaton.states.get(at) {
                Some(State::Bytes(bytes, next)) => match only(bytes.as_slice()) {
                    Some(byte) if text.len() < EXPECTED_BYTES_MAX => {
                        text.push(char::from(byte));
                        at = *next;
                    }
                    Some(_) | None => return text,
                },
                Some(State::Mark(_, next)) => at = *next,
                Some(State::Accept) if text.is_empty() => return "the end of the line".to_owned(),
                Some(State::Accept | State::Ways(_)) | None => return text,
            }
        }
    });
    texts
        .max_by_key(String::len)
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| "something else".to_owned())
}

/// The one byte of a set that holds one.
fn only(bytes: &[bool]) -> Option<u8> {
    let shown = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    let mut held = (0..=255u8).zip(bytes).filter(|(byte, held)| **held && shown(*byte));
    let (byte, _) = held.next()?;
    held.next().is_none().then_some(byte)
}

#[cfg(test)]
mod tests {
    use settings::Document;

    use super::*;
    use crate::filter::Filters;

    #[track_caller]
    fn check(message: &str, found: Option<(&str, usize, &str)>) {
        let text = r#"
about = "x"
program = "p"
[[rule]]
name = "first"
kind = "auth-failed"
pattern = '^login failed for (?<user>[^ ]*) from (?<address>[0-9.]+)$'
[[rule]]
name = "second"
kind = "auth-failed"
pattern = '^login refused: (?<address>[0-9.]+)$'
"#;
        let filters = Filters::single("x", Document::parse("x.toml", text)).unwrap();
        let nearest = Nearest::of(filters.iter().cloned());
        let miss = nearest.find(Some(b"p"), message.as_bytes());
        let told = miss.as_ref().map(|miss| (miss.rule.as_str(), miss.bytes, miss.expected.as_str()));
        assert_eq!(told, found);
        assert_eq!(nearest.find(Some(b"q"), message.as_bytes()), None);
    }

    #[test]
    fn the_rule_that_follows_a_line_furthest_says_where_it_stopped() {
        check("login failed for bob at 192.0.2.7", Some(("first", 21, "from ")));
        check("login refused by 192.0.2.7", Some(("second", 13, ": ")));
        check("login failed for bob from 192.0.2.7 again", Some(("first", 35, "the end of the line")));
        check("something else", None);
    }
}
