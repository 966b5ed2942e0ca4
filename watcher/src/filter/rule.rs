//! One rule of a filter: when it applies, and what it makes of a line.

use logline::Text;
use regex::bytes::{CaptureLocations, Regex, RegexBuilder};
use settings::Place;

use crate::event::Kind;
use crate::fact::{Fact, View};
use crate::filter::anchor;

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
    locations: CaptureLocations,
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
        let locations = regex.capture_locations();
        Ok(Pattern { regex, groups, locations })
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

    /// The named groups of a message that has this shape.
    pub fn captures<'p, 'a>(&'p self, message: &'a [u8]) -> Option<Vec<(&'p str, Text<'a>)>> {
        let mut locations = self.locations.clone();
        self.regex.captures_read(&mut locations, message)?;
        let group = |(index, name): &'p (usize, String)| {
            let (start, end) = locations.get(*index)?;
            Some((name.as_str(), Text::from(message.get(start..end)?)))
        };
        Some(self.groups.iter().filter_map(group).collect())
    }
}
