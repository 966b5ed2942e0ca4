//! The date of a line: which of many ways it is written in, where it stands, and what instant it names.
//!
//! Which way is taken matters twice. It says when a line was written; and the text of the date is cut out of the line
//! before any pattern of a filter sees it. So this decides as fail2ban does, down to the order in which ways are tried:
//! the one that was found last comes first, one that stands further on in a line than usual is doubted, and ways that hit
//! often move to the front.

mod field;
mod moment;
mod program;
mod syntax;
mod template;
#[cfg(test)]
mod tests;
mod zone;

use std::ops::Range;
use std::time::Duration;

use jiff::tz::{Offset, TimeZone};
use logline::Timestamp;

pub use moment::Stamp;
use program::Scratch;
use template::Template;

/// A way that was not seen for so long makes room for one that is.
const UNUSED: Duration = Duration::from_secs(300);

/// Where a line's date stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The text of the date; empty where a pattern says that there is none.
    pub text: Range<usize>,
    /// What it names; none where it names no instant: 30 February.
    pub stamp: Option<Stamp>,
}

/// The zone that `logtimezone` names: an offset, or an abbreviation that stands for one.
///
/// # Errors
/// One sentence.
pub fn fixed_zone(name: &str) -> Result<TimeZone, String> {
    let minutes = zone::minutes(name).and_then(|minutes| Offset::from_seconds(minutes.checked_mul(60)?).ok());
    minutes.map(TimeZone::fixed).ok_or_else(|| format!("`{name}` is no time zone, as `UTC+0200` is one"))
}

/// Finds the dates of a log's lines.
#[derive(Clone, Debug)]
pub struct Detector {
    ways: Vec<Way>,
    zone: TimeZone,
    /// Which way was found last, and where.
    last: Option<usize>,
    last_start: Edge,
    last_end: Edge,
    /// The first way that was never found.
    first_unused: usize,
    scratch: Scratch,
    spare: Scratch,
    known: Known,
}

/// The date that was read last: on a busy day the lines of a second share it.
#[derive(Clone, Debug, Default)]
struct Known {
    text: Vec<u8>,
    stamp: Option<Stamp>,
    arrival: Timestamp,
}

/// For so long the same text is the same instant, also where it does not say the year.
const KNOWN: Duration = Duration::from_secs(1);

/// A place in a line, and the bytes before and behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Edge {
    at: usize,
    before: Option<u8>,
    behind: Option<u8>,
}

#[derive(Clone, Debug)]
struct Way {
    template: Template,
    hits: u32,
    last_used: Timestamp,
    /// Where in the line it stood last.
    distance: usize,
}

/// A way that fits, and where.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    way: usize,
    start: usize,
    end: usize,
}

impl Detector {
    /// Finds dates as `datepattern` says: a pattern a line, or `{DEFAULT}`, `{^LN-BEG}`, `{NONE}`; the default ones where
    /// there is none. Stamps that name no zone are in `zone`.
    ///
    /// # Errors
    /// One sentence: what is wrong with a pattern.
    pub fn new(patterns: Option<&str>, zone: TimeZone) -> Result<Detector, String> {
        let mut templates: Vec<Template> = Vec::new();
        let mut add = |template: Template| {
            if !templates.iter().any(|known| known.name == template.name) {
                templates.push(template);
            }
        };
        let lines = patterns.unwrap_or("{DEFAULT}").lines().map(str::trim).filter(|line| !line.is_empty());
        for line in lines {
            match line.to_ascii_uppercase().as_str() {
                "{DEFAULT}" => template::defaults()?.into_iter().for_each(&mut add),
                "{^LN-BEG}" => {
                    template::defaults()?
                        .into_iter()
                        .filter(|template| template.is_at_start)
                        .for_each(&mut add);
                }
                "{NONE}" => add(Template::new("{UNB}^")?),
                upper if upper.contains("{DATE}") => template::around(line)?.into_iter().for_each(&mut add),
                _ => add(Template::new(line)?),
            }
        }
        let never = Timestamp::from_nanos(0);
        let way = |template| Way { template, hits: 0, last_used: never, distance: usize::MAX };
        let edge = |at| Edge { at, before: None, behind: None };
        Ok(Detector {
            ways: templates.into_iter().map(way).collect(),
            zone,
            last: None,
            last_start: edge(1),
            last_end: edge(usize::MAX),
            first_unused: 0,
            scratch: Scratch::default(),
            spare: Scratch::default(),
            known: Known::default(),
        })
    }

    /// The date of a line; none where there is none.
    pub fn find(&mut self, line: &[u8], arrival: Timestamp) -> Option<Found> {
        let (tried, fits) = self.again(line);
        let candidate = match fits {
            Ok(candidate) => Some(candidate),
            Err(reserve) => self.search(line, tried, reserve),
        }?;
        let Candidate { way: index, start, end } = candidate;
        let text = self.scratch.group(1).map_or(0..0, |(start, end)| start..end);
        let way = self.ways.get_mut(index)?;
        let whole = line.get(start..end).unwrap_or_default();
        let known = &mut self.known;
        let is_known = self.last == Some(index)
            && known.text == whole
            && known.arrival <= arrival
            && arrival.since(known.arrival) < KNOWN;
        if !is_known {
            known.text.clear();
            known.text.extend_from_slice(whole);
            known.arrival = arrival;
            known.stamp = way.template.stamp(line, &self.scratch, arrival, &self.zone);
        }
        let stamp = known.stamp.filter(|_| !text.is_empty());
        way.hits = way.hits.saturating_add(1);
        way.last_used = arrival;
        way.distance = start;
        if self.first_unused == index {
            self.first_unused += 1;
        }
        self.last_start = Edge::of(line, start);
        self.last_end = Edge::of(line, end);
        self.last = Some(if index > 0 && self.last != Some(index) { self.moved(index) } else { index });
        Some(Found { text, stamp })
    }

    /// Tries the way that was found last. Gives the way that need not be tried any more; and what was found, or what is
    /// to be taken where nothing better is.
    fn again(&mut self, line: &[u8]) -> (Option<usize>, Result<Candidate, Option<Candidate>>) {
        let Detector { ways, scratch, .. } = self;
        let Some((index, way)) = self.last.and_then(|index| Some((index, ways.get(index)?))) else {
            return (None, Err(None));
        };
        let template = &way.template;
        let same =
            |known: &Edge, found: &Edge, inner: fn(&Edge) -> Option<u8>, outer: fn(&Edge) -> Option<u8>| {
                let is_sign = |byte: Option<u8>| byte.is_some_and(|byte| !byte.is_ascii_alphanumeric());
                outer(known) == outer(found) || inner(known) == inner(found) && is_sign(inner(known))
            };
        let mut tried = None;
        let found = if template.is_anchored {
            tried = Some(index);
            template.find(line, 0, scratch)
        } else {
            let (start, end) = (self.last_start, self.last_end);
            let (start_here, end_here) = (Edge::of(line, start.at), Edge::of(line, end.at));
            if same(&start, &start_here, |e| e.behind, |e| e.before)
                && same(&end, &end_here, |e| e.before, |e| e.behind)
            {
                template.find(line.get(..end.at).unwrap_or(line), start.at, scratch)
            } else {
                tried = Some(index);
                template.find(line, 0, scratch)
            }
        };
        if !found {
            return (tried, Err(None));
        }
        let (start, end) = scratch.group(0).unwrap_or((0, 0));
        let candidate = Candidate { way: index, start, end };
        let sure = self.ways.len() == 1
            || self.ways.get(index).is_some_and(|way| way.template.is_anchored)
            || (start, end) == (self.last_start.at, self.last_end.at);
        if sure {
            return (tried, Ok(candidate));
        }
        std::mem::swap(&mut self.scratch, &mut self.spare);
        (tried, Err(Some(candidate)))
    }

    /// Tries every way in its turn.
    fn search(
        &mut self,
        line: &[u8],
        tried: Option<usize>,
        mut reserve: Option<Candidate>,
    ) -> Option<Candidate> {
        for index in 0..self.ways.len() {
            let Detector { ways, scratch, .. } = self;
            let Some(way) = ways.get(index).filter(|_| tried != Some(index)) else { continue };
            if !way.template.find(line, 0, scratch) {
                continue;
            }
            let (start, end) = scratch.group(0).unwrap_or((0, 0));
            let candidate = Candidate { way: index, start, end };
            let next_is_unused = || ways.get(index + 1).is_some_and(|next| next.hits == 0);
            let sure = index + 1 >= ways.len()
                || way.template.is_anchored
                || start == 0 && way.hits > 0 && next_is_unused();
            // What stands further on than it used to is perhaps no date of the line, but part of what it says.
            let doubted = start > way.distance || start > self.last_start.at;
            if sure || !doubted {
                return Some(candidate);
            }
            if reserve.is_none_or(|reserve| start < reserve.start) {
                reserve = Some(candidate);
                std::mem::swap(&mut self.scratch, &mut self.spare);
            }
        }
        std::mem::swap(&mut self.scratch, &mut self.spare);
        reserve
    }

    /// Moves a way towards the front, where it hits more than those before it; gives its new place.
    fn moved(&mut self, index: usize) -> usize {
        let Some(way) = self.ways.get(index) else { return index };
        let (weight, used) = (way.weight(), way.last_used);
        let moves = |to: usize| {
            let there = self.ways.get(to);
            there.is_some_and(|there| weight > there.weight() || used.since(there.last_used) > UNUSED)
        };
        let far = if self.first_unused < index { self.first_unused } else { index / 2 };
        let near = index.saturating_sub(1);
        let to = match (moves(far), moves(near)) {
            (true, _) => far,
            (false, true) if far != near => near,
            (false, _) => return index,
        };
        let way = self.ways.remove(index);
        self.ways.insert(to, way);
        while self.ways.get(self.first_unused).is_some_and(|way| way.hits > 0) {
            self.first_unused += 1;
        }
        to
    }
}

impl Way {
    /// How often it was found, and how near to the beginning of the line.
    fn weight(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a weight is compared, not counted")]
        let distance = self.distance.max(1) as f64;
        f64::from(self.hits) * self.template.weight / distance
    }
}

impl Edge {
    fn of(line: &[u8], at: usize) -> Self {
        let before = at.checked_sub(1).and_then(|before| line.get(before)).copied();
        Edge { at, before, behind: line.get(at).copied() }
    }
}
