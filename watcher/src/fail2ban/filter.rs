//! A filter at work: lines in, failures out. It does what fail2ban's own does, in the same order, and nothing else: it
//! looks up no name, reads no clock and bans nobody.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use logline::Timestamp;
use regex::{RegexSet, RegexSetBuilder};
use settings::Mistakes;

use crate::fail2ban::date::{self, Detector, Stamp};
use crate::fail2ban::definition::Definition;
use crate::fail2ban::pattern::{Groups, IDENTITIES, Match, Pattern};
use crate::fail2ban::session::{Failure, Sessions};

/// A line without a date belongs to the one before it, when that is not older than this.
const FRESH: Duration = Duration::from_secs(60);

/// No more of a line is looked at: what comes behind it is what a client wrote.
pub const LINE_BYTES_MAX: usize = 16 * 1024;

/// All patterns of a filter together may take so much memory; their common lazy automaton so much.
const SET_BYTES_MAX: usize = 64 << 20;
const SET_CACHE_BYTES_MAX: usize = 8 << 20;

/// What a line is to a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A failure that counts.
    Counted,
    /// It says what its session is like, and counts when a failure follows.
    Context,
    /// A failure, of which a later line will say whose it is.
    Pending,
}

/// One pattern that matched.
#[derive(Clone, Copy, Debug)]
pub struct Found<'f> {
    /// Which one: its place in the filter, from 1.
    pub rule: usize,
    /// What the line is.
    pub outcome: Outcome,
    /// What it says.
    pub failure: &'f Failure,
    /// When it was written; none where neither it nor the line before it says.
    pub at: Option<Stamp>,
}

/// What became of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// When it was written; none where neither it nor the line before it says.
    pub at: Option<Stamp>,
    /// Whether a pattern of `ignoreregex` matched.
    pub ignored: bool,
}

/// Who is told what was found.
pub type Sink<'s> = dyn FnMut(&Found<'_>) + 's;

/// What a filter looks for, compiled; never changed, and shared by all who read with it.
#[derive(Debug)]
pub struct Rules {
    /// The name of the filter's file.
    pub name: String,
    /// None where the lines carry no date.
    detector: Option<Detector>,
    prefix: Option<Pattern>,
    failures: Vec<Pattern>,
    /// The same in the linear-time engine, all at once: the few that can match are asked one after the other.
    candidates: Option<RegexSet>,
    ignored: Vec<Pattern>,
    lines_max: usize,
}

/// One filter and what it remembers of the lines so far.
#[derive(Debug)]
pub struct Filter {
    rules: Arc<Rules>,
    /// Patterns that gave up for having taken too many steps; each was a line that did not match.
    pub refused: u64,
    /// Whether every pattern is tried where one matched, as the tests of fail2ban's own suite do.
    pub tries_all: bool,
    detector: Option<Detector>,
    buffer: Vec<String>,
    last: Option<Stamp>,
    sessions: Sessions,
}

impl Rules {
    /// Compiles a filter. Stamps that name no zone are in `zone`, unless the filter says otherwise.
    ///
    /// # Errors
    /// What is no pattern, at the place of its option.
    pub fn new(definition: &Definition, zone: TimeZone) -> Result<Rules, Mistakes> {
        let Definition { name, prefregex, failregex, ignoreregex, maxlines, .. } = definition;
        let names = definition.usedns.as_deref() != Some("no");
        let mut mistakes = Mistakes::new();
        let mut compile = |option: &str, text: &String, multiline: bool| {
            let noted = |why| mistakes.merge(Err(definition.mistake(format!("{option} `{text}`: {why}"))));
            Pattern::new(text, names, multiline).map_err(noted).ok()
        };
        let prefix = prefregex.as_ref().and_then(|text| compile("prefregex", text, false));
        let multiline = *maxlines > 1;
        let failures: Vec<Pattern> =
            failregex.iter().filter_map(|text| compile("failregex", text, multiline)).collect();
        let ignored: Vec<Pattern> =
            ignoreregex.iter().filter_map(|text| compile("ignoreregex", text, false)).collect();
        let says_whom =
            |pattern: &Pattern| pattern.has("mlfid") || IDENTITIES.iter().any(|id| pattern.has(id));
        let prefix_says = prefix.as_ref().is_some_and(says_whom);
        for pattern in failures.iter().filter(|pattern| !prefix_says && !says_whom(pattern)) {
            let why = format!("failregex `{}` does not say who failed: <HOST> is missing", pattern.text);
            mistakes.merge(Err(definition.mistake(why)));
        }
        let zone = definition.logtimezone.as_deref().map_or(Ok(zone), date::fixed_zone);
        let detector = zone.and_then(|zone| match definition.logtype.as_deref() {
            Some("journal") => Ok(None),
            _ => Detector::new(definition.datepattern.as_deref(), zone).map(Some),
        });
        let detector = detector.map_err(|why| mistakes.merge(Err(definition.mistake(why)))).ok();
        let candidates = if multiline { None } else { candidates(&failures) };
        mistakes.into_result(Rules {
            name: name.clone(),
            detector: detector.flatten(),
            prefix,
            failures,
            candidates,
            ignored,
            lines_max: *maxlines,
        })
    }

    /// How many patterns are for the backtracking engine.
    pub fn backtracking(&self) -> usize {
        let all = self.failures.iter().chain(&self.prefix).chain(&self.ignored);
        all.filter(|pattern| !pattern.is_linear()).count()
    }

    /// A few patterns that ignore are asked before many that find; else only where something was found.
    fn ignores_first(&self) -> bool {
        self.ignored.len() + 2 < self.failures.len()
    }

    fn is_ignored(&self, text: &str, refused: &mut u64) -> bool {
        let text = text.strip_suffix('\n').unwrap_or(text);
        self.ignored.iter().any(|pattern| {
            pattern.is_match(text).unwrap_or_else(|_| {
                *refused += 1;
                false
            })
        })
    }
}

impl Filter {
    /// Before the first line.
    pub fn new(rules: Arc<Rules>) -> Filter {
        Filter {
            detector: rules.detector.clone(),
            rules,
            refused: 0,
            tries_all: false,
            buffer: Vec::new(),
            last: None,
            sessions: Sessions::default(),
        }
    }

    /// The name of the filter's file.
    pub fn name(&self) -> &str {
        &self.rules.name
    }

    /// Goes on where another one of that name left off.
    pub fn succeed(&mut self, before: Filter) {
        let Filter { refused, buffer, last, sessions, .. } = before;
        *self = Filter { refused, buffer, last, sessions, ..Filter::new(Arc::clone(&self.rules)) };
    }

    /// Takes in a line that arrived at `arrival`; its own date is looked for in it.
    pub fn line(&mut self, line: &[u8], arrival: Timestamp, sink: &mut Sink<'_>) -> Reading {
        let text = text_of(line);
        let Some(detector) = &mut self.detector else {
            return self.look(&text, None, arrival, sink);
        };
        let found = detector.find(text.as_bytes(), arrival);
        let last = self.last.filter(|last| last.at + FRESH > arrival);
        let (rest, at) = match found {
            None => (Cow::Borrowed(text.as_ref()), last),
            Some(found) if found.text.is_empty() => (Cow::Borrowed(text.as_ref()), last),
            Some(found) => {
                self.last = found.stamp.or(self.last);
                (without(&text, found.text), found.stamp.or(last))
            }
        };
        self.look(&rest, at, arrival, sink)
    }

    /// Takes in a message whose time is known from where it came: nothing is cut out of it.
    pub fn message(&mut self, message: &[u8], at: Timestamp, sink: &mut Sink<'_>) -> Reading {
        let stamp = Some(Stamp { at, offset: None });
        self.last = stamp;
        self.look(&text_of(message), stamp, at, sink)
    }

    fn look(&mut self, text: &str, at: Option<Stamp>, arrival: Timestamp, sink: &mut Sink<'_>) -> Reading {
        let ignored = if self.rules.lines_max > 1 {
            self.several(text, at, arrival, sink)
        } else {
            self.single(text, at, arrival, sink)
        };
        Reading { at, ignored }
    }

    /// One line by itself. True where it is to be ignored.
    fn single(&mut self, text: &str, at: Option<Stamp>, arrival: Timestamp, sink: &mut Sink<'_>) -> bool {
        let rules = Arc::clone(&self.rules);
        if rules.ignores_first() && rules.is_ignored(text, &mut self.refused) {
            return true;
        }
        let mut before = Groups::new();
        let mut content = None;
        if let Some(prefix) = &rules.prefix {
            let Some(found) = counted(prefix.find(text), &mut self.refused) else { return false };
            before = found.groups;
            content = before.remove("content").filter(|content| !content.is_empty());
        }
        let text = content.as_deref().unwrap_or(text);
        let can_match = rules.candidates.as_ref().map(|candidates| candidates.matches(text));
        for (index, pattern) in rules.failures.iter().enumerate() {
            if can_match.as_ref().is_some_and(|can_match| !can_match.matched(index)) {
                continue;
            }
            let Some(found) = counted(pattern.find(text), &mut self.refused) else { continue };
            let groups = merged(&before, pattern, found);
            if rules.is_ignored(text, &mut self.refused) {
                return true;
            }
            if self.judge(index, groups, 1, at, arrival, sink) && !self.tries_all {
                break;
            }
        }
        false
    }

    /// A line together with those before it that no failure has taken yet.
    fn several(&mut self, line: &str, at: Option<Stamp>, arrival: Timestamp, sink: &mut Sink<'_>) -> bool {
        self.buffer.push(line.to_owned());
        let rules = Arc::clone(&self.rules);
        let excess = self.buffer.len().saturating_sub(rules.lines_max);
        self.buffer.drain(..excess);
        let lines = self.buffer.clone();
        let mut text = joined(&lines);
        if rules.ignores_first() && rules.is_ignored(&text, &mut self.refused) {
            return true;
        }
        let mut before = Groups::new();
        if let Some(prefix) = &rules.prefix {
            let found = prefix.find(text.strip_suffix('\n').unwrap_or(&text));
            let Some(found) = counted(found, &mut self.refused) else { return false };
            before = found.groups;
            if let Some(content) = before.remove("content").filter(|content| !content.is_empty()) {
                text = format!("{content}\n");
                self.buffer = vec![content];
            }
        }
        for (index, pattern) in rules.failures.iter().enumerate() {
            let Some(found) = counted(pattern.find(&text), &mut self.refused) else { continue };
            let (taken, left) = split(&lines, &text, &found);
            let groups = merged(&before, pattern, found);
            self.buffer = left;
            text = joined(&self.buffer);
            if rules.is_ignored(&joined(&taken), &mut self.refused) {
                if self.tries_all {
                    continue;
                }
                return true;
            }
            let count = u32::try_from(taken.len()).unwrap_or(u32::MAX);
            if self.judge(index, groups, count, at, arrival, sink) && !self.tries_all {
                break;
            }
        }
        false
    }

    /// What a pattern that matched means. True where that was all.
    fn judge(
        &mut self,
        index: usize,
        groups: Groups,
        lines: u32,
        at: Option<Stamp>,
        arrival: Timestamp,
        sink: &mut Sink<'_>,
    ) -> bool {
        let mut line = Failure::new(groups);
        let rule = index + 1;
        let mut tell = |failure: &Failure, outcome| sink(&Found { rule, outcome, failure, at });
        let Some(id) = line.groups.get("mlfid").cloned() else {
            line.lines = lines;
            tell(&line, if line.is_context() { Outcome::Context } else { Outcome::Counted });
            return true;
        };
        let mut session = self.sessions.merge(&id, line, lines, arrival);
        let outcome = if session.failure.is_context() {
            Outcome::Context
        } else if session.failure.id().is_none() {
            Outcome::Pending
        } else {
            Outcome::Counted
        };
        if session.failure.id().is_none() && (self.tries_all || outcome == Outcome::Pending) {
            session.failure.wait();
        }
        tell(&session.failure, outcome);
        self.sessions.keep(&id, session);
        true
    }
}

/// What a pattern found; one that gave up found nothing, and is counted.
fn counted<T, E>(found: Result<Option<T>, E>, refused: &mut u64) -> Option<T> {
    found.unwrap_or_else(|_| {
        *refused += 1;
        None
    })
}

/// The groups of the prefix, and over them those of the pattern, also where they took nothing.
fn merged(before: &Groups, pattern: &Pattern, found: Match) -> Groups {
    let mut groups = before.clone();
    if !groups.is_empty() {
        pattern.names().for_each(|name| {
            groups.remove(name);
        });
    }
    groups.extend(found.groups);
    groups
}

/// The linear forms of all patterns as one; none where one has none.
fn candidates(patterns: &[Pattern]) -> Option<RegexSet> {
    RegexSetBuilder::new(patterns.iter().map(|pattern| &pattern.wide))
        .size_limit(SET_BYTES_MAX)
        .dfa_size_limit(SET_CACHE_BYTES_MAX)
        .build()
        .ok()
}

/// A line as text: what is no UTF-8 in it is replaced.
fn text_of(line: &[u8]) -> Cow<'_, str> {
    let end = line.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
    String::from_utf8_lossy(line.get(..end.min(LINE_BYTES_MAX)).unwrap_or_default())
}

/// The line without its date.
fn without(text: &str, date: std::ops::Range<usize>) -> Cow<'_, str> {
    match (text.get(..date.start), text.get(date.end..)) {
        (Some(""), Some(rest)) => Cow::Borrowed(rest),
        (Some(before), Some(rest)) => Cow::Owned(format!("{before}{rest}")),
        _ => Cow::Borrowed(text),
    }
}

/// Lines as a pattern over several of them sees them: each with its line feed.
fn joined(lines: &[String]) -> String {
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

/// Which of the lines a match took, and which it left: those around it, and those that `<SKIPLINES>` passed over.
fn split(lines: &[String], text: &str, found: &Match) -> (Vec<String>, Vec<String>) {
    if lines.len() <= 1 {
        return (lines.to_vec(), Vec::new());
    }
    let bytes = text.as_bytes();
    let feeds = |to: usize| bytes.iter().take(to).filter(|byte| **byte == b'\n').count();
    let start = found.span.start;
    let start = bytes.iter().take(start + 1).rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let from = found.span.end.saturating_sub(1);
    let end = bytes.iter().skip(from).position(|byte| *byte == b'\n').map_or(bytes.len(), |at| from + at + 1);
    let (first, last) = (feeds(start).min(lines.len()), feeds(end).min(lines.len()));
    let mut taken = lines.get(first..last.max(first)).unwrap_or_default().to_vec();
    let mut left = lines.get(..first).unwrap_or_default().to_vec();
    let mut from = 0;
    let skipped = (0..).map_while(|n| found.groups.get(format!("skiplines{n}").as_str()));
    for line in skipped.flat_map(|skipped| skipped.lines()) {
        if let Some(at) = taken.iter().skip(from).position(|candidate| candidate == line) {
            left.push(taken.remove(from + at));
            from += at;
        }
    }
    left.extend_from_slice(lines.get(last..).unwrap_or_default());
    (taken, left)
}

#[cfg(test)]
mod tests;
