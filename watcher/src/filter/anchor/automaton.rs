//! A pattern as a small automaton over bytes, in which the two ends of the address are marked.
//!
//! It accepts every line that the pattern matches, and some more: a repetition that may be long is one without an end,
//! and an assertion inside the pattern always holds. What is proven of more lines holds of fewer.

use regex_syntax::hir::{Class, Hir, HirKind, Repetition};

/// A repetition of at most so many is written out; a longer one becomes a loop.
const WRITTEN_OUT_MAX: u32 = 16;

/// More states than any pattern needs that a person can read.
const STATES_MAX: usize = 20_000;

/// The bytes that may stand at one place.
pub(super) type Bytes = [bool; 256];

/// Where in the automaton.
pub(super) type StateId = usize;

#[derive(Clone, Debug)]
pub(super) enum State {
    /// One of these bytes, and on.
    Bytes(Box<Bytes>, StateId),
    /// Any of these ways.
    Ways(Vec<StateId>),
    /// The address begins or ends here.
    Mark(Mark, StateId),
    /// The line ends here.
    Accept,
}

/// An end of the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Start,
    End,
}

#[derive(Debug)]
pub(super) struct Automaton {
    pub(super) states: Vec<State>,
    pub(super) start: StateId,
}

impl Automaton {
    /// The automaton of a pattern in which the group of this name is marked; none where it would be too large.
    pub(super) fn of(hir: &Hir, subject: &str) -> Option<Automaton> {
        let mut builder = Builder { states: vec![State::Accept], subject };
        let start = builder.build(hir, 0)?;
        Some(Automaton { states: builder.states, start })
    }
}

struct Builder<'s> {
    states: Vec<State>,
    subject: &'s str,
}

impl Builder<'_> {
    /// Adds what matches `hir` and then goes on at `next`; gives its first state.
    fn build(&mut self, hir: &Hir, next: StateId) -> Option<StateId> {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => Some(next),
            HirKind::Literal(literal) => literal.0.iter().rev().try_fold(next, |next, byte| {
                let mut bytes = [false; 256];
                mark(&mut bytes, *byte, *byte);
                self.add(State::Bytes(bytes.into(), next))
            }),
            HirKind::Class(_) => self.add(State::Bytes(bytes_of(hir).into(), next)),
            HirKind::Capture(capture) if capture.name.as_deref() == Some(self.subject) => {
                self.subject(&capture.sub, next)
            }
            HirKind::Capture(capture) => self.build(&capture.sub, next),
            HirKind::Concat(subs) => subs.iter().rev().try_fold(next, |next, sub| self.build(sub, next)),
            HirKind::Alternation(subs) => {
                let ways = subs.iter().map(|sub| self.build(sub, next)).collect::<Option<_>>()?;
                self.add(State::Ways(ways))
            }
            HirKind::Repetition(repetition) => self.repetition(repetition, next),
        }
    }

    fn subject(&mut self, sub: &Hir, next: StateId) -> Option<StateId> {
        let end = self.add(State::Mark(Mark::End, next))?;
        let first = if self.subject == "address" { self.address(sub, end)? } else { self.build(sub, end)? };
        self.add(State::Mark(Mark::Start, first))
    }

    /// A text that is no address makes no event, so that only what looks like one counts: digits with dots and colons
    /// between them, of colons at most two together, and at the end a digit or two colons.
    fn address(&mut self, sub: &Hir, end: StateId) -> Option<StateId> {
        let held = bytes_of(sub);
        let within = |wanted: fn(u8) -> bool| {
            let mut bytes = held;
            (0..=255u8).zip(&mut bytes).for_each(|(byte, held)| *held &= wanted(byte));
            Box::new(bytes)
        };
        let (dot, colon) = (within(|byte| byte == b'.'), within(|byte| byte == b':'));
        let digit = within(|byte| byte.is_ascii_hexdigit());
        // Each is where one is after a byte of its kind; `word` is a digit before any dot or colon.
        let [start, word, number, after_dot, after_colon, after_colons] = [
            self.add(State::Ways(Vec::new()))?,
            self.add(State::Ways(Vec::new()))?,
            self.add(State::Ways(vec![end]))?,
            self.add(State::Ways(Vec::new()))?,
            self.add(State::Ways(Vec::new()))?,
            self.add(State::Ways(vec![end]))?,
        ];
        let ways = [
            (start, &digit, word),
            (start, &colon, after_colon),
            (word, &digit, word),
            (word, &dot, after_dot),
            (word, &colon, after_colon),
            (number, &digit, number),
            (number, &dot, after_dot),
            (number, &colon, after_colon),
            (after_dot, &digit, number),
            (after_colon, &digit, number),
            (after_colon, &colon, after_colons),
            (after_colons, &digit, number),
        ];
        for (from, bytes, to) in ways {
            let way = self.add(State::Bytes(bytes.clone(), to))?;
            self.or(from, way);
        }
        Some(start)
    }

    fn repetition(&mut self, repetition: &Repetition, next: StateId) -> Option<StateId> {
        let Repetition { min, max, sub, .. } = repetition;
        let written = (*min).min(WRITTEN_OUT_MAX);
        let rest = match max {
            Some(max) if *max <= WRITTEN_OUT_MAX => (*min..*max).try_fold(next, |rest, _| {
                let once = self.build(sub, rest)?;
                self.add(State::Ways(vec![once, next]))
            })?,
            Some(_) | None => {
                let again = self.add(State::Ways(vec![next]))?;
                let once = self.build(sub, again)?;
                self.or(again, once);
                again
            }
        };
        (0..written).try_fold(rest, |rest, _| self.build(sub, rest))
    }

    fn add(&mut self, state: State) -> Option<StateId> {
        if self.states.len() >= STATES_MAX {
            return None;
        }
        self.states.push(state);
        Some(self.states.len() - 1)
    }

    /// Another way on from `at`.
    fn or(&mut self, at: StateId, way: StateId) {
        if let Some(State::Ways(ways)) = self.states.get_mut(at) {
            ways.push(way);
        }
    }
}

/// Every byte that can stand in what this matches.
pub(super) fn bytes_of(hir: &Hir) -> Bytes {
    let mut bytes = [false; 256];
    held(hir, &mut bytes);
    bytes
}

fn held(hir: &Hir, bytes: &mut Bytes) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => literal.0.iter().for_each(|byte| mark(bytes, *byte, *byte)),
        HirKind::Class(Class::Bytes(class)) => class.iter().for_each(|r| mark(bytes, r.start(), r.end())),
        HirKind::Class(Class::Unicode(_)) => mark(bytes, 0, 255),
        HirKind::Repetition(repetition) => held(&repetition.sub, bytes),
        HirKind::Capture(capture) => held(&capture.sub, bytes),
        HirKind::Concat(subs) | HirKind::Alternation(subs) => subs.iter().for_each(|sub| held(sub, bytes)),
    }
}

fn mark(bytes: &mut Bytes, from: u8, to: u8) {
    for byte in from..=to {
        if let Some(held) = bytes.get_mut(usize::from(byte)) {
            *held = true;
        }
    }
}
