//! One rule of a filter: when it applies, and what it makes of a line.

use std::sync::OnceLock;

use logline::Text;
use regex::bytes::{Regex, RegexBuilder};
use settings::Place;

use crate::event::Kind;
use crate::fact::{Fact, View};
use crate::filter::anchor;
use crate::filter::walk::{Outcome, Trail, Walk};

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
    /// Which of them is the address.
    address: Option<usize>,
    /// The same pattern as a walk that finds its groups. Most are never needed, so it is made for the first line that
    /// has this shape.
    walk: OnceLock<Option<Walk>>,
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
            .map_err(|error| refusal(&error))?;
        let named = regex.capture_names().enumerate();
        let groups: Vec<(usize, String)> =
            named.filter_map(|(index, name)| Some((index, name?.to_owned()))).collect();
        let address = groups.iter().find(|(_, name)| name == ADDRESS).map(|(index, _)| *index);
        Ok(Pattern { regex, groups, address, walk: OnceLock::new() })
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
        let text = |index: usize| place(index).and_then(|(start, end)| message.get(start..end));
        let mut captures = Captures { address: None, fields: Vec::with_capacity(self.groups.len()) };
        for (index, name) in &self.groups {
            let Some(text) = text(*index) else { continue };
            if Some(*index) == self.address {
                captures.address = Some(text);
            } else {
                captures.fields.push((name, Text::from(text)));
            }
        }
        captures
    }

    fn walk(&self) -> Option<&Walk> {
        self.walk.get_or_init(|| Walk::of(self.as_str())).as_ref()
    }
}

/// Why a pattern cannot be used; the library's own words show it over several lines.
fn refusal(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(limit) => format!(
            "this pattern is too large: it takes more than {} KiB of memory once compiled, mostly for repetitions like \
             {{1,500}}; make them shorter, or split it into several rules",
            limit >> 10
        ),
        error => format!("this pattern cannot be used: {error}"),
    }
}

/// Memory to find groups in, used again for each message.
#[derive(Debug, Default)]
pub(crate) struct GroupFinder(Trail);

impl GroupFinder {
    /// What [`Pattern::fits`] says, faster.
    pub(crate) fn fit(&mut self, pattern: &Pattern, message: &[u8]) -> bool {
        match pattern.walk().map_or(Outcome::Left, |walk| walk.over(message, &mut self.0)) {
            Outcome::Found => true,
            Outcome::Not => false,
            Outcome::Left => pattern.fits(message),
        }
    }

    /// What [`Pattern::captures`] gives, faster.
    pub(crate) fn captures<'p, 'a>(
        &mut self,
        pattern: &'p Pattern,
        message: &'a [u8],
    ) -> Option<Captures<'p, 'a>> {
        match pattern.walk().map_or(Outcome::Left, |walk| walk.over(message, &mut self.0)) {
            Outcome::Found => Some(pattern.named(message, |index| self.0.group(index))),
            Outcome::Not => None,
            Outcome::Left => pattern.captures(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use settings::Document;

    use crate::filter::Filters;

    #[test]
    fn a_pattern_that_is_too_large_is_named_with_the_limit() {
        let text = "about = \"x\"\n[[rule]]\nkind = \"failure\"\npattern = '^(?:a{1,500} ){1,500}(?<address>[0-9.]{7,15})$'\n";
        let mistakes = Filters::single("large", Document::parse("large.toml", text)).unwrap_err().to_string();
        for told in ["large.toml:4:", "too large", "1024 KiB", "{1,500}"] {
            assert!(mistakes.contains(told), "{mistakes}");
        }
    }
}
