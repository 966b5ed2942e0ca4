//! Finds the groups of a pattern by walking over a message, as Perl does: what is preferred is tried first, and where it
//! leads nowhere the walk goes back. A message that an automaton has found to fit seldom makes it go back far; one that is
//! made to do so is left after so many steps to an engine whose time is linear in any case.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// A pattern that needs more steps than this is not walked.
const STEPS_MAX: usize = 2048;

/// So many bytes are looked at for each byte of the message, at most.
const LOOKS_MAX: usize = 16;

/// A pattern as steps.
#[derive(Debug)]
pub(super) struct Walk {
    steps: Vec<Step>,
    slots: usize,
}

#[derive(Debug)]
enum Step {
    /// The message begins here.
    Begin,
    /// The message ends here.
    End,
    /// This text.
    Text(Box<[u8]>),
    /// As many bytes of a class as there are, or as few, where the walk can go on behind them.
    Run {
        class: Box<[bool; 256]>,
        min: usize,
        max: usize,
        greedy: bool,
        next: Next,
    },
    /// A group begins or ends here.
    Save(usize),
    /// Here, or else there.
    Split(usize, usize),
    Jump(usize),
    Done,
}

/// What must follow a run.
#[derive(Clone, Copy, Debug)]
enum Next {
    Byte(u8),
    End,
    Anything,
}

/// Memory to walk with, used again for each message.
#[derive(Debug, Default)]
pub(super) struct Trail {
    slots: Vec<Option<usize>>,
    back: Vec<Back>,
    looks: usize,
}

/// Where to go back to.
#[derive(Clone, Copy, Debug)]
enum Back {
    /// That step, at that place.
    To(usize, usize),
    /// The run at that step; its end may be between these.
    Run(usize, usize, usize),
    /// A group is where it was before.
    Slot(usize, Option<usize>),
}

/// How a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Found,
    Not,
    /// It would take too long.
    Left,
}

impl Trail {
    /// Where a group begins and ends.
    pub(super) fn group(&self, index: usize) -> Option<(usize, usize)> {
        let slot = |at: usize| self.slots.get(at).copied().flatten();
        Some((slot(2 * index)?, slot(2 * index + 1)?))
    }
}

impl Walk {
    /// None for a pattern that cannot be walked: with Unicode classes, word boundaries, or repetitions of nothing.
    pub(super) fn of(pattern: &str) -> Option<Self> {
        let hir = ParserBuilder::new().unicode(false).utf8(false).build().parse(pattern).ok()?;
        let mut walk = Walk { steps: Vec::new(), slots: 0 };
        walk.add(&hir)?;
        walk.push(Step::Done)?;
        for at in 0..walk.steps.len() {
            let follows = walk.follows(at + 1);
            if let Some(Step::Run { next, .. }) = walk.steps.get_mut(at) {
                *next = follows;
            }
        }
        Some(walk)
    }

    fn push(&mut self, step: Step) -> Option<usize> {
        self.steps.push(step);
        (self.steps.len() <= STEPS_MAX).then_some(self.steps.len() - 1)
    }

    fn add(&mut self, hir: &Hir) -> Option<()> {
        match hir.kind() {
            HirKind::Empty => {}
            HirKind::Look(Look::Start) => drop(self.push(Step::Begin)?),
            HirKind::Look(Look::End) => drop(self.push(Step::End)?),
            HirKind::Look(_) => return None,
            HirKind::Literal(literal) => drop(self.push(Step::Text(literal.0.clone()))?),
            HirKind::Class(_) => self.run(hir, 1, 1, true)?,
            HirKind::Capture(capture) => {
                let slot = 2 * usize::try_from(capture.index).ok()?;
                self.slots = self.slots.max(slot + 2);
                self.push(Step::Save(slot))?;
                self.add(&capture.sub)?;
                self.push(Step::Save(slot + 1))?;
            }
            HirKind::Concat(subs) => subs.iter().try_for_each(|sub| self.add(sub))?,
            HirKind::Alternation(subs) => self.either(subs)?,
            HirKind::Repetition(repetition) => {
                let max = repetition.max.map_or(usize::MAX, |max| max as usize);
                let (min, greedy) = (repetition.min as usize, repetition.greedy);
                if is_byte(&repetition.sub) {
                    self.run(&repetition.sub, min, max, greedy)?;
                } else {
                    self.again(&repetition.sub, min, repetition.max.map(|max| max as usize), greedy)?;
                }
            }
        }
        Some(())
    }

    fn run(&mut self, hir: &Hir, min: usize, max: usize, greedy: bool) -> Option<()> {
        let mut class = Box::new([false; 256]);
        let mut mark = |from: u8, to: u8| {
            for byte in class.iter_mut().take(usize::from(to) + 1).skip(usize::from(from)) {
                *byte = true;
            }
        };
        match hir.kind() {
            HirKind::Class(Class::Bytes(bytes)) => bytes.iter().for_each(|r| mark(r.start(), r.end())),
            HirKind::Literal(literal) => literal.0.iter().for_each(|byte| mark(*byte, *byte)),
            _ => return None,
        }
        self.push(Step::Run { class, min, max, greedy, next: Next::Anything })?;
        Some(())
    }

    fn either(&mut self, subs: &[Hir]) -> Option<()> {
        let Some((last, firsts)) = subs.split_last() else { return Some(()) };
        let mut ends = Vec::new();
        for sub in firsts {
            let split = self.push(Step::Jump(0))?;
            self.add(sub)?;
            ends.push(self.push(Step::Jump(0))?);
            *self.steps.get_mut(split)? = Step::Split(split + 1, self.steps.len());
        }
        self.add(last)?;
        let out = self.steps.len();
        ends.into_iter().try_for_each(|end| self.steps.get_mut(end).map(|step| *step = Step::Jump(out)))
    }

    fn again(&mut self, sub: &Hir, min: usize, max: Option<usize>, greedy: bool) -> Option<()> {
        // What matches nothing could be repeated for ever.
        if max.is_none() && sub.properties().minimum_len().is_none_or(|length| length == 0) {
            return None;
        }
        for _ in 0..min {
            self.add(sub)?;
        }
        let way = |inside, outside| {
            if greedy { Step::Split(inside, outside) } else { Step::Split(outside, inside) }
        };
        let Some(max) = max else {
            let split = self.push(Step::Jump(0))?;
            self.add(sub)?;
            self.push(Step::Jump(split))?;
            *self.steps.get_mut(split)? = way(split + 1, self.steps.len());
            return Some(());
        };
        let mut splits = Vec::new();
        for _ in min..max {
            splits.push(self.push(Step::Jump(0))?);
            self.add(sub)?;
        }
        let out = self.steps.len();
        splits.into_iter().try_for_each(|at| self.steps.get_mut(at).map(|step| *step = way(at + 1, out)))
    }

    fn follows(&self, mut at: usize) -> Next {
        loop {
            match self.steps.get(at) {
                Some(Step::Save(_)) => at += 1,
                Some(Step::Text(text)) => {
                    return text.first().map_or(Next::Anything, |byte| Next::Byte(*byte));
                }
                Some(Step::End) => return Next::End,
                _ => return Next::Anything,
            }
        }
    }

    /// Walks over a message; where it is found, the trail has its groups.
    pub(super) fn over(&self, text: &[u8], trail: &mut Trail) -> Outcome {
        trail.back.clear();
        trail.slots.clear();
        trail.slots.resize(self.slots, None);
        trail.looks = LOOKS_MAX * (text.len() + LOOKS_MAX);
        let (mut step, mut at) = (0, 0);
        loop {
            let on = match self.steps.get(step) {
                Some(Step::Done) => return Outcome::Found,
                Some(Step::Begin) => (at == 0).then_some((step + 1, at)),
                Some(Step::End) => (at == text.len()).then_some((step + 1, at)),
                Some(Step::Text(wanted)) => {
                    let rest = text.get(at..).unwrap_or_default();
                    rest.starts_with(wanted).then(|| (step + 1, at + wanted.len()))
                }
                Some(Step::Run { class, min, max, .. }) => {
                    let rest = text.get(at..).unwrap_or_default();
                    let held = |byte: &&u8| class.get(usize::from(**byte)).copied().unwrap_or_default();
                    let length = rest.iter().take(*max).take_while(held).count();
                    trail.looks = trail.looks.saturating_sub(length);
                    let (low, high) = (at.saturating_add(*min), at + length);
                    self.end_run(step, low, high, text, trail)
                }
                Some(Step::Save(slot)) => {
                    if let Some(place) = trail.slots.get_mut(*slot) {
                        trail.back.push(Back::Slot(*slot, *place));
                        *place = Some(at);
                    }
                    Some((step + 1, at))
                }
                Some(Step::Split(first, second)) => {
                    trail.back.push(Back::To(*second, at));
                    Some((*first, at))
                }
                Some(Step::Jump(to)) => Some((*to, at)),
                None => None,
            };
            let Some(on) = on.or_else(|| self.back(text, trail)) else {
                return if trail.looks == 0 { Outcome::Left } else { Outcome::Not };
            };
            (step, at) = on;
        }
    }

    /// The preferred end of a run between two places, both included, behind which the walk can go on.
    fn end_run(
        &self,
        step: usize,
        low: usize,
        high: usize,
        text: &[u8],
        trail: &mut Trail,
    ) -> Option<(usize, usize)> {
        let Some(Step::Run { greedy, next, .. }) = self.steps.get(step) else { return None };
        let room = text.get(low..text.len().min(high + 1)).filter(|_| low <= high)?;
        let end = match next {
            Next::Anything => Some(if *greedy { high } else { low }),
            Next::End => (high == text.len()).then_some(high),
            Next::Byte(byte) if *greedy => memchr::memrchr(*byte, room).map(|found| low + found),
            Next::Byte(byte) => memchr::memchr(*byte, room).map(|found| low + found),
        }?;
        trail.looks = trail.looks.saturating_sub(if *greedy { high - end } else { end - low });
        let rest = if *greedy { (low, end.checked_sub(1)) } else { (end + 1, Some(high)) };
        if let (low, Some(high)) = rest
            && low <= high
        {
            trail.back.push(Back::Run(step, low, high));
        }
        Some((step + 1, end))
    }

    /// Goes back to where something else can be tried.
    fn back(&self, text: &[u8], trail: &mut Trail) -> Option<(usize, usize)> {
        loop {
            trail.looks = trail.looks.saturating_sub(1);
            if trail.looks == 0 {
                return None;
            }
            match trail.back.pop()? {
                Back::To(step, at) => return Some((step, at)),
                Back::Run(step, low, high) => {
                    if let Some(on) = self.end_run(step, low, high, text, trail) {
                        return Some(on);
                    }
                }
                Back::Slot(slot, before) => {
                    if let Some(place) = trail.slots.get_mut(slot) {
                        *place = before;
                    }
                }
            }
        }
    }
}

/// Whether it is one byte, of a class or a certain one.
fn is_byte(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Class(Class::Bytes(_)) => true,
        HirKind::Literal(literal) => literal.0.len() == 1,
        HirKind::Class(Class::Unicode(_))
        | HirKind::Empty
        | HirKind::Look(_)
        | HirKind::Repetition(_)
        | HirKind::Capture(_)
        | HirKind::Concat(_)
        | HirKind::Alternation(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::bytes::RegexBuilder;

    use super::*;

    /// The walk finds the groups that the regular expression has.
    #[track_caller]
    fn check(pattern: &str, text: &[u8]) {
        let regex = RegexBuilder::new(pattern).unicode(false).build().unwrap();
        let walk = Walk::of(pattern).unwrap();
        let mut trail = Trail::default();
        let outcome = walk.over(text, &mut trail);
        if outcome == Outcome::Left {
            return;
        }
        let found = regex.captures(text);
        assert_eq!(outcome == Outcome::Found, found.is_some(), "{pattern} {}", text.escape_ascii());
        let Some(captures) = found else { return };
        for index in 1..regex.captures_len() {
            let group = captures.get(index).map(|group| (group.start(), group.end()));
            assert_eq!(trail.group(index), group, "group {index} of {pattern} in {}", text.escape_ascii());
        }
    }

    const PATTERNS: &[&str] = &[
        r"^(\S+)\[([a0-9.:]+)\]: (\S+) (.*)$",
        r"^(a|ab)(c|bcd)(d*)$",
        r"^(a*?)(a*)(b{1,2}?)(.*)$",
        r"^((?:a|b )*)(a)?(.*?)( b)?$",
        r"^(?:(a)|b(c)?){1,3}([^ ]*)$",
        r"^([ab]*)(a+)(b|$)(.*)$",
        r"^(.*): (a.*)?(: )?(.*)$",
    ];

    proptest! {
        #[test]
        fn a_walk_finds_the_groups_of_the_regular_expression(text in "[ab:c .\\[\\]]{0,14}") {
            PATTERNS.iter().for_each(|pattern| check(pattern, text.as_bytes()));
        }
    }

    #[test]
    fn a_walk_that_goes_back_too_often_is_left() {
        for pattern in [r"^(a*)(a*)(a*)(a*)(a*)b$", r"^(?:a|aa|aaa)*(.*)(.*)(.*)[ab]c$"] {
            let walk = Walk::of(pattern).unwrap();
            assert_eq!(walk.over(&[b'a'; 5000], &mut Trail::default()), Outcome::Left, "{pattern}");
        }
    }

    #[test]
    fn what_cannot_be_walked_is_refused() {
        for pattern in [r"^(?u:\w)$", r"^\ba$", r"^(a*)*$", r"^(?:ab){3000}$"] {
            assert!(Walk::of(pattern).is_none(), "{pattern}");
        }
    }
}
