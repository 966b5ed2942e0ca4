//! One way to write a date, and where in a line it may stand.

use jiff::tz::TimeZone;
use logline::Timestamp;

use super::field::Field;
use super::moment::{Fields, Stamp};
use super::program::{Program, Scratch};
use super::syntax::{self, Node, Place, Set};

/// Where a date is bound to.
const UNBOUND: &str = "{UNB}";
const LINE_START: &str = "{^LN-BEG}";

/// One way to write a date.
#[derive(Clone, Debug)]
pub(super) struct Template {
    /// What it was made of.
    pub(super) name: String,
    program: Program,
    meaning: Meaning,
    /// Whether it is bound to the beginning of the line, or to its end.
    pub(super) is_anchored: bool,
    pub(super) is_at_start: bool,
    /// How much more its hits count than those of others.
    pub(super) weight: f64,
}

/// What the text that was found means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// The fields in it say.
    Fields,
    /// This group is seconds since 1970; in a long one, milliseconds or microseconds.
    Epoch { group: usize, long: bool },
    /// `@` and 24 hexadecimal digits.
    Tai64n,
}

/// The default ways, in the order in which they are tried.
const DEFAULTS: &[&str] = &[
    r"%ExY(?P<_sep>[-/.])%m(?P=_sep)%d(?:T|  ?)%H:%M:%S(?:[.,]%f)?(?:\s*%z)?",
    r"(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?",
    r"(?:%a )?%b %d %ExY %k:%M:%S(?:\.%f)?",
    r"%d(?P<_sep>[-/])%m(?P=_sep)(?:%ExY|%Exy) %k:%M:%S",
    r"%d(?P<_sep>[-/])%b(?P=_sep)%ExY[ :]?%H:%M:%S(?:\.%f)?(?: %z)?",
    r"%m/%d/%ExY:%H:%M:%S",
    r"%m-%d-%ExY %k:%M:%S(?:\.%f)?",
    "EPOCH",
    "{^LN-BEG}%H:%M:%S",
    "^<%m/%d/%Exy@%H:%M:%S>",
    r"%Exy%Exm%Exd  ?%H:%M:%S",
    "%b %d, %ExY %I:%M:%S %p",
    "^%b-%d-%Exy %k:%M:%S",
    r"%ExY%Exm%Exd(?:T|  ?)%ExH%ExM%ExS(?:[.,]%f)?(?:\s*%z)?",
    r"(?:%Z )?(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?",
    r"(?:%z )?(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?",
    "TAI64N",
];

/// A date that stands first in its line is found before one that stands elsewhere.
const ANCHORED_WEIGHT: f64 = 100.0;

/// The templates of the default ways: each that is not bound to the beginning of the line also bound to it, those first.
pub(super) fn defaults() -> Result<Vec<Template>, String> {
    let is_bound = |text: &&&str| text.starts_with(LINE_START) || text.starts_with('^');
    let mut templates = Vec::new();
    for text in DEFAULTS.iter().filter(|text| !is_bound(text)) {
        let template = Template::new(&format!("{LINE_START}{text}"))?;
        templates.push(Template { weight: ANCHORED_WEIGHT, ..template });
    }
    for text in DEFAULTS {
        templates.push(Template::new(text)?);
    }
    Ok(templates)
}

/// The default ways in place of `{DATE}` in a pattern.
pub(super) fn around(pattern: &str) -> Result<Vec<Template>, String> {
    let at = |text: &str| text.to_ascii_uppercase().find("{DATE}");
    // Epoch and TAI64N are no patterns, and cannot be put into one.
    let defaults = DEFAULTS.iter().filter(|text| text.contains('%'));
    let put = |text: &&str| {
        let text = text.strip_prefix(LINE_START).unwrap_or(text);
        let mut whole = pattern.to_owned();
        if let Some(start) = at(&whole) {
            whole.replace_range(start..start + "{DATE}".len(), text);
        }
        Template::new(&whole)
    };
    defaults.map(put).collect()
}

impl Template {
    /// A way to write a date, as a filter's `datepattern` has it.
    pub(super) fn new(pattern: &str) -> Result<Template, String> {
        let upper = pattern.to_ascii_uppercase();
        let keyword = upper.strip_prefix(LINE_START).or_else(|| upper.strip_prefix('^')).unwrap_or(&upper);
        let bound = keyword.len() < upper.len();
        match keyword {
            "EPOCH" | "LEPOCH" => return epoch(pattern, bound, keyword == "LEPOCH"),
            "TAI64N" => {
                let text = if bound { r"{^LN-BEG}@[0-9a-f]{24}" } else { r"**@[0-9a-f]{24}" };
                let template = Template::pattern(pattern, text, false)?;
                return Ok(Template { meaning: Meaning::Tai64n, ..template });
            }
            _ => {}
        }
        for (word, long) in [("{LEPOCH}", true), ("{EPOCH}", false)] {
            if let Some(at) = upper.find(word) {
                let mut text = pattern.to_owned();
                text.replace_range(at..at + word.len(), &format!("({})", seconds(long)));
                let template = Template::pattern(pattern, &format!("({text})"), false)?;
                return Ok(Template { meaning: Meaning::Epoch { group: 2, long }, ..template });
            }
        }
        Template::pattern(pattern, pattern, pattern.contains('%'))
    }

    fn pattern(name: &str, text: &str, is_dated: bool) -> Result<Template, String> {
        let (text, unbound) = text.strip_prefix(UNBOUND).map_or((text, false), |text| (text, true));
        let (text, line_start) = match text.strip_prefix(LINE_START) {
            Some(text) if !unbound => (text, true),
            _ => (text, false),
        };
        let mut text = text.trim();
        let mut any_case = is_dated && names_letters(text);
        for flags in ["(?i)", "(?iu)", "(?u)"] {
            if let Some(rest) = text.strip_prefix(flags) {
                text = rest;
                any_case |= flags.contains('i');
            }
        }
        let inner = text.trim_start_matches('(');
        let bound_begin = inner.starts_with('^')
            || inner.starts_with("**")
            || inner.starts_with("?:^") && inner.len() < text.len();
        let bound_end = ends_bound(text);
        let is_at_start = line_start && !bound_begin
            || text.starts_with('^')
            || text.strip_prefix('(').is_some_and(|text| {
                text.strip_prefix("?:")
                    .unwrap_or(text)
                    .strip_prefix('^')
                    .is_some_and(|rest| !rest.starts_with('|'))
            });
        let is_at_end = (text.ends_with('$') || text.ends_with("$)"))
            && !text.trim_end_matches(')').trim_end_matches('$').ends_with(['\\', '|']);
        let is_grouped = is_grouped(text);
        let text = unstarred(text);
        let wrapped;
        let text = if is_grouped {
            text.as_str()
        } else {
            let (start, inner) = text.strip_prefix('^').map_or(("", text.as_str()), |inner| ("^", inner));
            let (inner, end) = inner.strip_suffix('$').map_or((inner, ""), |inner| (inner, "$"));
            wrapped = format!("{start}({inner}){end}");
            &wrapped
        };
        let mut tree = syntax::read(text, any_case).map_err(|why| format!("datepattern `{name}`: {why}"))?;
        let mut nodes = Vec::new();
        if !unbound && !bound_begin {
            if line_start {
                let node = Box::new(Node::Set(Set::of(|byte| !syntax::is_word(byte))));
                nodes.push(Node::Place(Place::Start));
                nodes.push(Node::Repeat { node, least: 0, most: Some(2), greedy: true });
            } else {
                nodes.push(Node::Place(Place::DateStart));
            }
        }
        nodes.push(tree.node);
        if !unbound && !bound_end {
            nodes.push(Node::Place(Place::DateEnd));
        }
        tree.node = Node::Sequence(nodes);
        Ok(Template {
            name: name.to_owned(),
            program: Program::new(&tree, any_case),
            meaning: Meaning::Fields,
            is_anchored: is_at_start || is_at_end,
            is_at_start,
            weight: 1.0,
        })
    }

    /// Looks for the date in `text`, from `from` on. Where it stands is then in `scratch`.
    pub(super) fn find(&self, text: &[u8], from: usize, scratch: &mut Scratch) -> bool {
        self.program.search(text, from, scratch)
    }

    /// What the text that was found means; none where it names no instant.
    pub(super) fn stamp(
        &self,
        text: &[u8],
        scratch: &Scratch,
        arrival: Timestamp,
        zone: &TimeZone,
    ) -> Option<Stamp> {
        let group = |group: usize| {
            let (start, end) = scratch.group(group)?;
            text.get(start..end)
        };
        match self.meaning {
            Meaning::Fields => {
                let mut fields = Fields::default();
                for (field, index) in &self.program.fields {
                    if let Some(text) = group(*index) {
                        fields.set(*field, text)?;
                    }
                }
                fields.stamp(arrival, zone)
            }
            Meaning::Epoch { group: index, long } => {
                let at = instant(std::str::from_utf8(group(index)?).ok()?, long)?;
                Some(Stamp { at, offset: None })
            }
            Meaning::Tai64n => {
                // fail2ban reads whole seconds, and takes the label for Unix time.
                let digits = std::str::from_utf8(group(1)?.get(2..17)?).ok()?;
                let seconds = i64::from_str_radix(digits, 16).ok()?;
                Some(Stamp { at: Timestamp::from_seconds(seconds), offset: None })
            }
        }
    }
}

/// The digits of seconds since 1970.
fn seconds(long: bool) -> &'static str {
    if long { r"\d{10,11}(?:\d{3}(?:\.\d{1,6}|\d{3})?)?" } else { r"\d{10,11}\b(?:\.\d{3,6})?" }
}

fn epoch(name: &str, bound: bool, long: bool) -> Result<Template, String> {
    let digits = seconds(long);
    let text = if bound {
        // Within square brackets at the beginning, as nsd has it, the closing one must be there.
        format!(r"{LINE_START}((?<=^\[){digits}(?=\])|(?<!^\[){digits})")
    } else {
        format!(r"**((?:^|(?<=^\[)|(?<=\baudit\()){digits})")
    };
    let template = Template::pattern(name, &text, false)?;
    Ok(Template { meaning: Meaning::Epoch { group: 1, long }, ..template })
}

fn instant(text: &str, long: bool) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let scale: i64 = match (long, text.len()) {
        (true, 16..) if fraction.is_empty() => 1_000,
        (true, 13..) => 1_000_000,
        _ => 1_000_000_000,
    };
    let nanos = whole.parse::<i64>().ok()?.checked_mul(scale)?;
    let part = |(digit, place): (u8, i64)| i64::from(digit - b'0') * place;
    let places = std::iter::successors(Some(scale / 10), |place| Some(place / 10));
    let fraction: i64 = fraction.bytes().filter(u8::is_ascii_digit).zip(places).map(part).sum();
    Some(Timestamp::from_nanos(nanos.checked_add(fraction)?))
}

/// Whether a pattern has a field of letters: it is then read in any case.
fn names_letters(text: &str) -> bool {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('%') {
        if let Some(after) = after.strip_prefix('%') {
            rest = after;
            continue;
        }
        match Field::named(after) {
            Some((field, length)) => {
                if field.ignores_case() {
                    return true;
                }
                rest = after.get(length..).unwrap_or_default();
            }
            None => rest = after,
        }
    }
    false
}

/// Whether a pattern says itself where the date ends.
fn ends_bound(text: &str) -> bool {
    let inner = text.trim_end_matches(')');
    if inner.ends_with("**") && !inner.ends_with(r"\**") {
        return true;
    }
    ["$", "$)", r"\b", r"\s"]
        .iter()
        .any(|end| text.strip_suffix(end).is_some_and(|before| !before.ends_with('\\')))
}

/// Whether a pattern has a plain group of its own, which is then the date.
fn is_grouped(text: &str) -> bool {
    text.match_indices('(').any(|(at, _)| {
        let before = text.get(..at).unwrap_or_default();
        let after = text.get(at + 1..).unwrap_or_default();
        !after.starts_with('?') && !before.ends_with('\\') && !before.ends_with("(?")
    })
}

/// Without the `**` at the beginning and at the end, which say that the date is not bound there.
fn unstarred(text: &str) -> String {
    let opened = text.len() - text.trim_start_matches('(').len();
    let (open, inner) = text.split_at(opened);
    let inner = inner.strip_prefix("**").unwrap_or(inner);
    let closed = inner.trim_end_matches(')').len();
    let (inner, close) = inner.split_at(closed);
    let inner = match inner.strip_suffix("**") {
        Some(before) if !before.ends_with('\\') => before,
        _ => inner,
    };
    format!("{open}{inner}{close}")
}
