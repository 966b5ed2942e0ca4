//! Finds the groups of a pattern by walking over a message, as Perl does: what is preferred is tried first, and where it
//! leads nowhere the walk goes back. It seldom has to: where the next byte tells which way leads on, no other is tried.
//! A message that makes it go back often is left after so many steps to an engine whose time is linear in any case.

mod build;
#[cfg(test)]
mod tests;

use super::bytes::ByteSet;

/// So many bytes are looked at for each byte of the message, at most.
const LOOKS_MAX: usize = 16;

/// A pattern as steps.
#[derive(Debug)]
pub(super) struct Walk {
    steps: Vec<Stage>,
    slots: usize,
}

/// A step, and the one behind it.
#[derive(Debug)]
struct Stage {
    step: Step,
    then: usize,
}

#[derive(Debug)]
enum Step {
    /// The message begins here.
    Begin,
    /// The message ends here.
    End,
    /// This text.
    Text(Box<[u8]>),
    /// Bytes of a class.
    Run(Box<Run>),
    /// A group begins or ends here.
    Save(usize),
    /// Any of these ways, the preferred one first.
    Split(Box<[Way]>),
    /// Nothing; it stands where another step has yet to say what is behind it.
    Pass,
    Done,
}

/// As many bytes of a class as there are, or as few, where the walk can go on behind them.
#[derive(Debug)]
struct Run {
    /// The group that they are, by its first slot.
    group: Option<usize>,
    class: Class,
    min: usize,
    max: usize,
    greedy: bool,
    next: Next,
}

/// The bytes of a run.
#[derive(Debug)]
enum Class {
    Any,
    AllBut(u8),
    /// Those that are marked: asked byte for byte, for which a table is faster than a set.
    Of(Box<[bool; 256]>),
}

/// What must follow a run.
#[derive(Debug)]
enum Next {
    /// Nothing that begins with a byte of the run: it ends where its bytes end, or nowhere.
    Another,
    /// This text.
    Text(Box<[u8]>),
    End,
    /// Something that begins so.
    Some(First),
}

/// A step, and what a message can go on with there.
#[derive(Clone, Debug)]
struct Way {
    to: usize,
    first: First,
    /// All of the text that must come first.
    text: Box<[u8]>,
}

/// The bytes that may come first, and whether the message may end.
#[derive(Clone, Copy, Debug, Default)]
struct First {
    bytes: ByteSet,
    end: bool,
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

    /// Notes where a group was, for when the walk goes back behind here.
    fn keep(&mut self, slot: usize) {
        if !self.back.is_empty() {
            let before = self.slots.get(slot).copied().flatten();
            self.back.push(Back::Slot(slot, before));
        }
    }

    fn save(&mut self, slot: usize, at: usize) {
        self.keep(slot);
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(at);
        }
    }

    /// The preferred way on; the others that a byte leaves open are kept for later.
    fn choose(&mut self, ways: &[Way], rest: &[u8], at: usize) -> Option<usize> {
        // A loop comes here each time it goes round.
        self.looks = self.looks.saturating_sub(1);
        let byte = rest.first();
        let mut open = ways.iter().filter(|way| way.first.may_be(byte) && begins(rest, &way.text));
        let preferred = open.next()?;
        for way in open.rev() {
            self.back.push(Back::To(way.to, at));
        }
        Some(preferred.to)
    }
}

impl Walk {
    /// Walks over a message; where it is found, the trail has its groups.
    pub(super) fn over(&self, text: &[u8], trail: &mut Trail) -> Outcome {
        trail.back.clear();
        trail.slots.clear();
        trail.slots.resize(self.slots, None);
        trail.looks = LOOKS_MAX * (text.len() + LOOKS_MAX);
        let (mut step, mut at) = (0, 0);
        loop {
            let rest = text.get(at..).unwrap_or_default();
            let Some(Stage { step: here, then }) = self.steps.get(step) else { return Outcome::Left };
            let on = match here {
                Step::Text(wanted) => begins(rest, wanted).then_some((*then, at + wanted.len())),
                Step::Run(run) => {
                    let length = run.class.length(rest.get(..run.max).unwrap_or(rest));
                    trail.looks = trail.looks.saturating_sub(length);
                    if let Some(slot) = run.group {
                        trail.keep(slot + 1);
                        trail.save(slot, at);
                    }
                    let end = run.end(step, at.saturating_add(run.min), at + length, text, trail);
                    end.map(|end| (*then, end))
                }
                Step::Save(slot) => {
                    trail.save(*slot, at);
                    Some((*then, at))
                }
                Step::Split(ways) => trail.choose(ways, rest, at).map(|to| (to, at)),
                Step::Pass => Some((*then, at)),
                Step::Begin => (at == 0).then_some((*then, at)),
                Step::End => rest.is_empty().then_some((*then, at)),
                Step::Done => return Outcome::Found,
            };
            if let Some(on) = on {
                (step, at) = on;
                continue;
            }
            let Some(on) = self.back(text, trail) else {
                return if trail.looks == 0 { Outcome::Left } else { Outcome::Not };
            };
            (step, at) = on;
        }
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
                    if let Some(Stage { step: Step::Run(run), then }) = self.steps.get(step)
                        && let Some(end) = run.end(step, low, high, text, trail)
                    {
                        return Some((*then, end));
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

impl Run {
    /// The preferred end of the run between two places, both included, behind which the walk can go on.
    #[inline]
    fn end(&self, step: usize, low: usize, high: usize, text: &[u8], trail: &mut Trail) -> Option<usize> {
        if low > high {
            return None;
        }
        match &self.next {
            Next::Another => Some(self.ended(high, trail)),
            Next::End => (high == text.len()).then(|| self.ended(high, trail)),
            Next::Text(wanted) => self.end_at(step, low, high, self.before(wanted, low, high, text), trail),
            Next::Some(first) => {
                self.end_at(step, low, high, self.before_some(first, low, high, text), trail)
            }
        }
    }

    /// Ends the run there, and keeps the places that are left for later.
    fn end_at(
        &self,
        step: usize,
        low: usize,
        high: usize,
        end: Option<usize>,
        trail: &mut Trail,
    ) -> Option<usize> {
        let Some(end) = end else {
            trail.looks = trail.looks.saturating_sub(high - low);
            return None;
        };
        trail.looks = trail.looks.saturating_sub(if self.greedy { high - end } else { end - low });
        let rest = if self.greedy { (low, end.checked_sub(1)) } else { (end + 1, Some(high)) };
        if let (low, Some(high)) = rest
            && low <= high
        {
            trail.back.push(Back::Run(step, low, high));
        }
        Some(self.ended(end, trail))
    }

    /// The run ends here. Where its group ended before was noted when it began.
    fn ended(&self, end: usize, trail: &mut Trail) -> usize {
        if let Some(slot) = self.group
            && let Some(place) = trail.slots.get_mut(slot + 1)
        {
            *place = Some(end);
        }
        end
    }

    /// The preferred place between two at which something may begin.
    fn before_some(&self, first: &First, low: usize, high: usize, text: &[u8]) -> Option<usize> {
        let begins = |at: &usize| first.may_be(text.get(*at));
        if self.greedy { (low..=high).rev().find(begins) } else { (low..=high).find(begins) }
    }

    /// The preferred place between two at which a text stands.
    fn before(&self, wanted: &[u8], low: usize, high: usize, text: &[u8]) -> Option<usize> {
        let first = *wanted.first()?;
        let room = text.get(low..text.len().min(high + 1))?;
        let stands = |at: &usize| text.get(*at..).is_some_and(|rest| begins(rest, wanted));
        if self.greedy {
            memchr::memrchr_iter(first, room).map(|found| low + found).find(stands)
        } else {
            memchr::memchr_iter(first, room).map(|found| low + found).find(stands)
        }
    }
}

impl Class {
    /// How many bytes of this class stand at the beginning.
    fn length(&self, text: &[u8]) -> usize {
        match self {
            Class::Any => text.len(),
            Class::AllBut(other) => memchr::memchr(*other, text).unwrap_or(text.len()),
            Class::Of(marks) => {
                let is_other = |byte: &u8| !marks.get(usize::from(*byte)).copied().unwrap_or_default();
                text.iter().position(is_other).unwrap_or(text.len())
            }
        }
    }
}

impl First {
    /// Whether a message may go on with this byte, or end.
    fn may_be(&self, byte: Option<&u8>) -> bool {
        byte.map_or(self.end, |byte| self.bytes.has(*byte))
    }

    fn or(self, other: First) -> First {
        First { bytes: self.bytes.with(&other.bytes), end: self.end || other.end }
    }
}

/// Whether a text begins with another: mostly a few bytes, for which calling the function that compares many takes longer
/// than comparing them, the last ones twice.
#[inline]
fn begins(text: &[u8], wanted: &[u8]) -> bool {
    let Some(text) = text.get(..wanted.len()) else { return false };
    if let (Some(a), Some(b)) = (text.last_chunk::<8>(), wanted.last_chunk::<8>()) {
        let pairs = text.as_chunks::<8>().0.iter().zip(wanted.as_chunks::<8>().0);
        return a == b && pairs.into_iter().all(|(a, b)| a == b);
    }
    if let (Some(a), Some(b)) = (text.last_chunk::<4>(), wanted.last_chunk::<4>()) {
        return a == b && text.first_chunk::<4>() == wanted.first_chunk::<4>();
    }
    text.iter().zip(wanted).all(|(a, b)| a == b)
}
