//! From a pattern to its steps.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Hir, HirKind, Look};

use super::{ByteSet, Class, First, Next, Run, Stage, Step, Walk, Way};

/// A pattern that needs more steps than this is not walked.
const STEPS_MAX: usize = 2048;

/// What a step leads to is followed through so many others; beyond, it may be anything.
const FOLLOWED_MAX: usize = 128;

impl Walk {
    /// None for a pattern that cannot be walked: with Unicode classes, word boundaries, or repetitions of nothing.
    pub(in crate::filter) fn of(pattern: &str) -> Option<Self> {
        let hir = ParserBuilder::new().unicode(false).utf8(false).build().parse(pattern).ok()?;
        let mut walk = Walk { steps: Vec::new(), slots: 0 };
        walk.add(&hir)?;
        walk.push(Step::Done)?;
        walk.pass_over();
        for at in 0..walk.steps.len() {
            walk.look_ahead(at);
        }
        Some(walk)
    }

    fn push(&mut self, step: Step) -> Option<usize> {
        self.steps.push(Stage { step, then: self.steps.len() + 1 });
        (self.steps.len() <= STEPS_MAX).then_some(self.steps.len() - 1)
    }

    fn step(&self, at: usize) -> Option<&Step> {
        self.steps.get(at).map(|stage| &stage.step)
    }

    fn put(&mut self, at: usize, step: Step) -> Option<()> {
        self.steps.get_mut(at)?.step = step;
        Some(())
    }

    /// Lets each step lead to one at which there is something to do.
    fn pass_over(&mut self) {
        for at in 0..self.steps.len() {
            let end = |mut to: usize| {
                while let Some(Stage { step: Step::Pass, then }) = self.steps.get(to) {
                    to = *then;
                }
                to
            };
            let then = self.steps.get(at).map(|stage| end(stage.then));
            let ways = match self.step(at) {
                Some(Step::Split(ways)) => Some(ways.iter().map(|way| end(way.to)).collect::<Vec<_>>()),
                _ => None,
            };
            if let (Some(stage), Some(then)) = (self.steps.get_mut(at), then) {
                stage.then = then;
            }
            if let Some(ways) = ways {
                self.put(at, split_between(&ways));
            }
        }
    }

    fn add(&mut self, hir: &Hir) -> Option<()> {
        match hir.kind() {
            HirKind::Empty => {}
            HirKind::Look(Look::Start) => drop(self.push(Step::Begin)?),
            HirKind::Look(Look::End) => drop(self.push(Step::End)?),
            HirKind::Look(_) => return None,
            HirKind::Literal(literal) => drop(self.push(Step::Text(literal.0.clone()))?),
            HirKind::Class(_) => self.run(Run::of(hir)?)?,
            HirKind::Capture(capture) => {
                let slot = 2 * usize::try_from(capture.index).ok()?;
                self.slots = self.slots.max(slot + 2);
                if let Some(run) = Run::of(&capture.sub) {
                    return self.run(Run { group: Some(slot), ..run });
                }
                self.push(Step::Save(slot))?;
                self.add(&capture.sub)?;
                self.push(Step::Save(slot + 1))?;
            }
            HirKind::Concat(subs) => subs.iter().try_for_each(|sub| self.add(sub))?,
            HirKind::Alternation(subs) => self.either(subs)?,
            HirKind::Repetition(repetition) => match Run::of(hir) {
                Some(run) => self.run(run)?,
                None => {
                    let max = repetition.max.map(|max| max as usize);
                    self.again(&repetition.sub, repetition.min as usize, max, repetition.greedy)?;
                }
            },
        }
        Some(())
    }

    fn run(&mut self, run: Run) -> Option<()> {
        self.push(Step::Run(Box::new(run)))?;
        Some(())
    }

    fn either(&mut self, subs: &[Hir]) -> Option<()> {
        let split = self.push(Step::Pass)?;
        let (mut ways, mut ends) = (Vec::new(), Vec::new());
        for sub in subs {
            ways.push(self.steps.len());
            self.add(sub)?;
            ends.push(self.push(Step::Pass)?);
        }
        let out = self.steps.len();
        self.put(split, split_between(&ways))?;
        ends.into_iter().try_for_each(|end| self.steps.get_mut(end).map(|stage| stage.then = out))
    }

    fn again(&mut self, sub: &Hir, min: usize, max: Option<usize>, greedy: bool) -> Option<()> {
        // What matches nothing could be repeated for ever.
        if max.is_none() && sub.properties().minimum_len().is_none_or(|length| length == 0) {
            return None;
        }
        for _ in 0..min {
            self.add(sub)?;
        }
        let way =
            |inside, outside| split_between(&if greedy { [inside, outside] } else { [outside, inside] });
        let Some(max) = max else {
            let split = self.push(Step::Pass)?;
            self.add(sub)?;
            let last = self.push(Step::Pass)?;
            self.steps.get_mut(last)?.then = split;
            return self.put(split, way(split + 1, self.steps.len()));
        };
        let mut splits = Vec::new();
        for _ in min..max {
            splits.push(self.push(Step::Pass)?);
            self.add(sub)?;
        }
        let out = self.steps.len();
        splits.into_iter().try_for_each(|at| self.put(at, way(at + 1, out)))
    }

    /// Notes at a step what can follow it.
    fn look_ahead(&mut self, at: usize) {
        let Some(Stage { step, then }) = self.steps.get(at) else { return };
        match step {
            Step::Run(run) => {
                let (class, follows) = (run.class.bytes(), self.first(*then));
                let next =
                    if class.meets(&follows.bytes) { self.next(*then, follows) } else { Next::Another };
                if let Some(Stage { step: Step::Run(run), .. }) = self.steps.get_mut(at) {
                    run.next = next;
                }
            }
            Step::Split(ways) => {
                let ways = ways.iter().map(|way| self.way(way.to)).collect();
                self.put(at, Step::Split(ways));
            }
            Step::Begin | Step::End | Step::Text(_) | Step::Save(_) | Step::Pass | Step::Done => {}
        }
    }

    fn way(&self, to: usize) -> Way {
        let text = match self.step(to) {
            Some(Step::Text(text)) => text.clone(),
            _ => Box::default(),
        };
        Way { to, first: self.first(to), text }
    }

    /// What must follow a run that ends before this step.
    fn next(&self, mut at: usize, follows: First) -> Next {
        loop {
            match self.steps.get(at) {
                Some(Stage { step: Step::Save(_), then }) => at = *then,
                Some(Stage { step: Step::Text(text), .. }) => return Next::Text(text.clone()),
                Some(Stage { step: Step::End, .. }) => return Next::End,
                _ => return Next::Some(follows),
            }
        }
    }

    /// What can come first where a walk goes on at this step.
    fn first(&self, at: usize) -> First {
        let anything = First { bytes: ByteSet::ALL, end: true };
        let (mut first, mut open, mut seen) = (First::default(), vec![at], Vec::new());
        while let Some(at) = open.pop() {
            if seen.contains(&at) {
                continue;
            }
            seen.push(at);
            if seen.len() > FOLLOWED_MAX {
                return anything;
            }
            let Some(Stage { step, then }) = self.steps.get(at) else { return anything };
            match step {
                Step::Begin | Step::Save(_) | Step::Pass => open.push(*then),
                Step::Split(ways) => open.extend(ways.iter().map(|way| way.to)),
                Step::End => first.end = true,
                Step::Text(text) => match text.first() {
                    Some(byte) => first.bytes.add(*byte),
                    None => open.push(*then),
                },
                Step::Run(run) => {
                    if run.max > 0 {
                        first = first.or(First { bytes: run.class.bytes(), end: false });
                    }
                    if run.min == 0 {
                        open.push(*then);
                    }
                }
                Step::Done => return anything,
            }
        }
        first
    }
}

impl Class {
    fn bytes(&self) -> ByteSet {
        match self {
            Class::Any => ByteSet::ALL,
            Class::AllBut(other) => {
                let mut bytes = ByteSet::default();
                (0..=255).filter(|byte| byte != other).for_each(|byte| bytes.add(byte));
                bytes
            }
            Class::Of(marks) => {
                let mut bytes = ByteSet::default();
                (0..=255).zip(marks.iter()).filter(|(_, mark)| **mark).for_each(|(byte, _)| bytes.add(byte));
                bytes
            }
        }
    }
}

impl Run {
    /// What stands for bytes of one class; none for anything else.
    fn of(hir: &Hir) -> Option<Run> {
        let (bytes, min, max, greedy) = match hir.kind() {
            HirKind::Class(_) => (ByteSet::of(hir)?, 1, 1, true),
            HirKind::Repetition(repetition) => {
                let max = repetition.max.map_or(usize::MAX, |max| max as usize);
                (ByteSet::of(&repetition.sub)?, repetition.min as usize, max, repetition.greedy)
            }
            _ => return None,
        };
        let class = match bytes.only_other() {
            _ if bytes == ByteSet::ALL => Class::Any,
            Some(other) => Class::AllBut(other),
            None => {
                let mut marks = Box::new([false; 256]);
                (0..=255).zip(marks.iter_mut()).for_each(|(byte, mark)| *mark = bytes.has(byte));
                Class::Of(marks)
            }
        };
        Some(Run { group: None, class, min, max, greedy, next: Next::Some(First::default()) })
    }
}

/// What can follow is noted when all steps are there.
fn split_between(ways: &[usize]) -> Step {
    Step::Split(
        ways.iter().map(|to| Way { to: *to, first: First::default(), text: Box::default() }).collect(),
    )
}
