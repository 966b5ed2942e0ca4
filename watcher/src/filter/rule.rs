//! One rule of a filter: when it applies, and what it makes of a line.

use std::sync::OnceLock;

use logline::Text;
use regex::bytes::{Regex, RegexBuilder};
use regex_automata::dfa::onepass;
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};
use settings::Place;

use crate::event::Kind;
use crate::fact::{Fact, View};
use crate::filter::anchor;

/// The group that every pattern has.
const ADDRESS: &str = "address";

/// A compiled pattern may take this much memory, and its lazy automaton as much again.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// One thing that a line can mean.
#[derive(Debug)]
pub struct Rule {
    /// `FILTER:N`, N counting the rules of the file from 1, or the name the rule gives itself.
    pub name: String,
    /// What happened, where it matches; none where the line is known and is no event.
    pub kind: Option<Kind>,
    /// When it matches.
    pub matcher: Matcher,
    /// Where it stands in its file.
    pub place: Place,
}

impl Rule {
    /// Whether a line can tell of several failed logins at once.
    pub fn counts_attempts(&self) -> bool {
        match &self.matcher {
            Matcher::Pattern(pattern) => pattern.groups().any(|name| name == "attempts"),
            Matcher::Fact(..) => false,
        }
    }
}

/// When a rule matches.
#[derive(Debug)]
pub enum Matcher {
    /// The line states this fact, and its fields have these values.
    Fact(Fact, Vec<Condition>),
    /// The message has this shape.
    Pattern(Pattern),
}

/// A field and the values it may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The field's name.
    pub field: &'static str,
    /// Any of these.
    pub values: Vec<String>,
}

impl Condition {
    /// True where the field has one of the values.
    pub fn holds(&self, view: &View<'_, '_>) -> bool {
        view.field(self.field).is_some_and(|value| self.values.iter().any(|v| v.as_bytes() == value.bytes()))
    }
}

/// Whether a pattern has to be proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatternProof {
    /// It is somebody's who may be wrong.
    Wanted,
    /// It is shipped, and a test has proven it; proving hundreds takes a second that a start can do without.
    Done,
}

/// An anchored regular expression whose named groups are fields.
#[derive(Debug)]
pub struct Pattern {
    regex: Regex,
    /// Index and name of each named group.
    groups: Vec<(usize, String)>,
    /// The same pattern as an automaton that finds its groups in one pass; none where it is not of that kind. Most are
    /// never needed, so it is built for the first line that is.
    one_pass: OnceLock<Option<Box<onepass::DFA>>>,
}

/// What the named groups of a pattern hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captures<'p, 'a> {
    /// What stands where the address should; none where the pattern has no address.
    pub address: Option<&'a [u8]>,
    /// The other groups that are there.
    pub fields: Vec<(&'p str, Text<'a>)>,
}

impl Pattern {
    /// Compiles a pattern that says where the line begins, where it ends and where in it the address stands, or the
    /// session. Only what happens to a message in the queue is about no client.
    ///
    /// # Errors
    /// One sentence: a syntax error, no anchor, no address, or client text that could stand in for the address.
    pub fn new(text: &str, kind: Option<Kind>, proof: PatternProof) -> Result<Self, String> {
        if proof == PatternProof::Wanted {
            anchor::check(text, kind)?;
        }
        let regex = RegexBuilder::new(text)
            .unicode(false)
            .size_limit(PATTERN_BYTES_MAX)
            .dfa_size_limit(PATTERN_BYTES_MAX)
            .build()
            .map_err(|error| format!("this pattern cannot be used: {error}"))?;
        let named = regex.capture_names().enumerate();
        let groups = named.filter_map(|(index, name)| Some((index, name?.to_owned()))).collect();
        Ok(Pattern { regex, groups, one_pass: OnceLock::new() })
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        self.regex.as_str()
    }

    /// The names of its groups.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(|(_, name)| name.as_str())
    }

    /// The names of its groups that a client could write an address into.
    pub fn forgeable(&self) -> Vec<String> {
        anchor::forgeable(self.as_str())
    }

    /// Whether a message has this shape.
    pub fn fits(&self, message: &[u8]) -> bool {
        self.regex.is_match(message)
    }

    /// The named groups of a message that has this shape.
    pub fn captures<'p, 'a>(&'p self, message: &'a [u8]) -> Option<Captures<'p, 'a>> {
        let mut locations = self.regex.capture_locations();
        self.regex.captures_read(&mut locations, message)?;
        Some(self.named(message, |index| locations.get(index)))
    }

    fn named<'p, 'a>(
        &'p self,
        message: &'a [u8],
        place: impl Fn(usize) -> Option<(usize, usize)>,
    ) -> Captures<'p, 'a> {
        let mut captures = Captures { address: None, fields: Vec::with_capacity(self.groups.len()) };
        for (index, name) in &self.groups {
            let Some(text) = place(*index).and_then(|(start, end)| message.get(start..end)) else { continue };
            if name == ADDRESS {
                captures.address = Some(text);
            } else {
                captures.fields.push((name, Text::from(text)));
            }
        }
        captures
    }

    fn one_pass(&self) -> Option<&onepass::DFA> {
        let build = || {
            onepass::DFA::builder()
                .syntax(syntax::Config::new().unicode(false).utf8(false))
                .thompson(thompson::Config::new().utf8(false))
                .configure(onepass::DFA::config().size_limit(Some(PATTERN_BYTES_MAX)))
                .build(self.as_str())
                .ok()
                .map(Box::new)
        };
        self.one_pass.get_or_init(build).as_deref()
    }
}

/// Memory to find groups in, used again for each message.
#[derive(Debug, Default)]
pub(crate) struct GroupFinder {
    cache: Option<onepass::Cache>,
    slots: Vec<Option<NonMaxUsize>>,
}

impl GroupFinder {
    /// What [`Pattern::captures`] gives, faster.
    pub(crate) fn captures<'p, 'a>(
        &mut self,
        pattern: &'p Pattern,
        message: &'a [u8],
    ) -> Option<Captures<'p, 'a>> {
        let Some(dfa) = pattern.one_pass() else { return pattern.captures(message) };
        let cache = self.cache.get_or_insert_with(|| dfa.create_cache());
        cache.reset(dfa);
        self.slots.clear();
        self.slots.resize(dfa.get_nfa().group_info().slot_len(), None);
        let input = Input::new(message).anchored(Anchored::Yes);
        match dfa.try_search_slots(cache, &input, &mut self.slots) {
            Ok(found) => found?,
            Err(_) => return pattern.captures(message),
        };
        let slot = |at: usize| Some(self.slots.get(at).copied()??.get());
        Some(pattern.named(message, |index| Some((slot(2 * index)?, slot(2 * index + 1)?))))
    }
}
