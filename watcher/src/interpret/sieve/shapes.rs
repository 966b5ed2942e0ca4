//! Patterns made simple: each matches what it matched before, and perhaps more.
//!
//! A run of at most so many bytes becomes one without an end, because counting takes a state for each number; assertions
//! inside a pattern always hold; what asks for Unicode is any text.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, HirKind, Repetition};

use crate::filter::bytes::ByteSet;

/// A repetition that must come so often is written out up to here.
const WRITTEN_OUT_MAX: u32 = 16;

/// A repetition that may come so often is written out.
const COUNTED_MAX: u32 = 3;

/// A run of nearly any bytes is counted as far as this: else it would keep its pattern in the race to the message's end.
const COUNTED_WIDE_MAX: u32 = 48;

/// Such a run has at least so many different bytes.
const WIDE: u32 = 128;

/// Several simple patterns.
#[derive(Debug)]
pub(in crate::interpret) struct Simple {
    places: Vec<Place>,
    start: Vec<u32>,
    /// Bytes that no pattern tells apart have the same class.
    classes: Box<[u8; 256]>,
    stride: usize,
}

#[derive(Debug)]
struct Place {
    pattern: u32,
    what: What,
}

#[derive(Debug)]
enum What {
    /// One of these bytes, and on.
    Bytes(ByteSet, u32),
    /// Any of these ways.
    Ways(Vec<u32>),
    /// The message ends here.
    Accept,
    /// Whatever comes, until the message ends.
    Rest,
}

impl Simple {
    /// These patterns; one that is none has every message's shape.
    pub(in crate::interpret) fn of(patterns: &[&str]) -> Self {
        let mut builder = Builder { places: Vec::new(), pattern: 0 };
        let mut starts = Vec::new();
        for (pattern, text) in (0..).zip(patterns) {
            builder.pattern = pattern;
            let accept = builder.add(What::Accept);
            let parsed = ParserBuilder::new().unicode(false).utf8(false).build().parse(text);
            starts.push(match parsed {
                Ok(hir) => builder.build(&hir, accept),
                Err(_) => builder.rest(),
            });
        }
        let places = builder.places;
        let (classes, count) = classes(&places);
        let mut simple = Simple { places, start: Vec::new(), classes, stride: count.next_power_of_two() };
        simple.start = simple.closed(starts);
        simple
    }

    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    /// Where in the rows of all states a byte's entry stands, for the state whose row begins at `row`.
    #[inline]
    pub(super) fn place(&self, row: u32, byte: u8) -> usize {
        let class = self.classes.get(usize::from(byte)).copied().unwrap_or_default();
        row as usize + usize::from(class)
    }

    pub(super) fn start(&self) -> Vec<u32> {
        self.start.clone()
    }

    /// Where a message may be after one more byte.
    pub(super) fn after(&self, places: &[u32], byte: u8) -> Vec<u32> {
        let on = places.iter().filter_map(|at| match &self.state(*at)?.what {
            What::Bytes(bytes, next) => bytes.has(byte).then_some(*next),
            What::Rest => Some(*at),
            What::Ways(_) | What::Accept => None,
        });
        self.closed(on.collect())
    }

    /// The patterns that are at these places.
    pub(super) fn patterns(&self, places: &[u32]) -> Vec<u32> {
        distinct(places.iter().filter_map(|at| Some(self.state(*at)?.pattern)))
    }

    /// Those that may end there.
    pub(super) fn ended(&self, places: &[u32]) -> Vec<u32> {
        let ends = |place: &&Place| matches!(place.what, What::Accept | What::Rest);
        distinct(places.iter().filter_map(|at| self.state(*at)).filter(ends).map(|place| place.pattern))
    }

    /// Whether the first of them takes whatever comes, so that more bytes tell nothing.
    pub(super) fn is_told(&self, patterns: &[u32], places: &[u32]) -> bool {
        let is_rest =
            |place: &Place| patterns.first() == Some(&place.pattern) && matches!(place.what, What::Rest);
        places.iter().filter_map(|at| self.state(*at)).any(is_rest)
    }

    fn state(&self, at: u32) -> Option<&Place> {
        self.places.get(usize::try_from(at).ok()?)
    }

    /// These places, with all that can be reached from them without a byte.
    fn closed(&self, mut open: Vec<u32>) -> Vec<u32> {
        let (mut places, mut seen) =
            (Vec::new(), std::collections::HashSet::<u32, foldhash::fast::RandomState>::default());
        while let Some(at) = open.pop() {
            if !seen.insert(at) {
                continue;
            }
            match self.state(at).map(|place| &place.what) {
                Some(What::Ways(ways)) => open.extend(ways),
                Some(What::Bytes(..) | What::Accept | What::Rest) => places.push(at),
                None => {}
            }
        }
        places.sort_unstable();
        places
    }
}

fn distinct(patterns: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut patterns: Vec<u32> = patterns.collect();
    patterns.sort_unstable();
    patterns.dedup();
    patterns
}

/// The class of each byte, and how many there are.
fn classes(places: &[Place]) -> (Box<[u8; 256]>, usize) {
    let mut begins = ByteSet::default();
    for place in places {
        if let What::Bytes(bytes, _) = &place.what {
            begins = begins.with(&bytes.borders());
        }
    }
    let (mut classes, mut class) = (Box::new([0; 256]), 0u8);
    for (byte, known) in (0..=255).zip(classes.iter_mut()) {
        class += u8::from(byte > 0 && begins.has(byte));
        *known = class;
    }
    (classes, usize::from(class) + 1)
}

struct Builder {
    places: Vec<Place>,
    pattern: u32,
}

impl Builder {
    fn add(&mut self, what: What) -> u32 {
        self.places.push(Place { pattern: self.pattern, what });
        u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
    }

    fn rest(&mut self) -> u32 {
        self.add(What::Rest)
    }

    /// Adds what matches `hir` and then goes on at `next`; gives its first place.
    fn build(&mut self, hir: &Hir, next: u32) -> u32 {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => next,
            HirKind::Literal(literal) => literal.0.iter().rev().fold(next, |next, byte| {
                let mut bytes = ByteSet::default();
                bytes.add(*byte);
                self.add(What::Bytes(bytes, next))
            }),
            HirKind::Class(_) => match ByteSet::of(hir) {
                Some(bytes) => self.add(What::Bytes(bytes, next)),
                None => self.any(next),
            },
            HirKind::Capture(capture) => self.build(&capture.sub, next),
            HirKind::Concat(subs) => subs.iter().rev().fold(next, |next, sub| self.build(sub, next)),
            HirKind::Alternation(subs) => {
                let ways = subs.iter().map(|sub| self.build(sub, next)).collect();
                self.add(What::Ways(ways))
            }
            HirKind::Repetition(repetition) => self.repetition(repetition, next),
        }
    }

    /// One byte or more, whichever.
    fn any(&mut self, next: u32) -> u32 {
        let again = self.add(What::Ways(vec![next]));
        let once = self.add(What::Bytes(ByteSet::ALL, again));
        self.or(again, once);
        once
    }

    fn repetition(&mut self, repetition: &Repetition, next: u32) -> u32 {
        let Repetition { min, max, sub, .. } = repetition;
        let is_wide = ByteSet::of(sub).is_some_and(|bytes| bytes.len() >= WIDE);
        let counted_max = if is_wide { COUNTED_WIDE_MAX } else { COUNTED_MAX };
        let rest = match max {
            Some(max) if *max <= counted_max => (*min..*max).fold(next, |rest, _| {
                let once = self.build(sub, rest);
                self.add(What::Ways(vec![once, next]))
            }),
            None if is_wide && *min == 0 && self.is_end(next) => self.rest(),
            Some(_) | None => {
                let again = self.add(What::Ways(vec![next]));
                let once = self.build(sub, again);
                self.or(again, once);
                again
            }
        };
        (0..(*min).min(WRITTEN_OUT_MAX)).fold(rest, |rest, _| self.build(sub, rest))
    }

    fn is_end(&self, at: u32) -> bool {
        let place = usize::try_from(at).ok().and_then(|at| self.places.get(at));
        place.is_some_and(|place| matches!(place.what, What::Accept))
    }

    /// Another way on from `at`.
    fn or(&mut self, at: u32, way: u32) {
        let place = usize::try_from(at).ok().and_then(|at| self.places.get_mut(at));
        if let Some(Place { what: What::Ways(ways), .. }) = place {
            ways.push(way);
        }
    }
}
