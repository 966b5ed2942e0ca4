//! A date pattern as a small program, and the machine that runs it over a line.
//!
//! The machine tries alternatives in the order in which they are written and goes back where one fails, as Python does:
//! which of two possible dates is found must not differ. Every run has a limit to its steps.

use super::field::{Ends, Field};
use super::syntax::{Node, Place, Set, Tree, is_word};

/// A run gives up after so many steps. The default patterns take some dozens a line.
const STEPS_MAX: u32 = 20_000;

/// So far back is looked for what stands before.
const BEHIND_MAX: usize = 32;

#[derive(Clone, Debug)]
enum Step {
    Set(Set),
    Place(Place),
    Field(Field, usize),
    Again(usize),
    /// Goes on at the first; at the second where that fails.
    Split(usize, usize),
    Jump(usize),
    /// Notes where a group begins (an even slot) or ends.
    Note(usize),
    Look {
        program: Box<Program>,
        behind: bool,
        not: bool,
    },
    Found,
}

/// A pattern that can be run.
#[derive(Clone, Debug)]
pub(super) struct Program {
    steps: Vec<Step>,
    /// The bytes with which a match can begin; none where it can be empty.
    first: Option<Set>,
    /// Whether it can only begin where the line does.
    at_start: bool,
    any_case: bool,
    pub(super) fields: Vec<(Field, usize)>,
    groups: usize,
}

/// Where to go on when what is tried fails.
#[derive(Clone, Copy, Debug)]
enum Back {
    To {
        step: usize,
        at: usize,
    },
    /// The same, and a field ends there.
    Field {
        step: usize,
        at: usize,
        slot: usize,
    },
    Slot {
        slot: usize,
        was: Option<usize>,
    },
}

/// What a run works with; kept between lines.
#[derive(Clone, Debug, Default)]
pub(super) struct Scratch {
    slots: Vec<Option<usize>>,
    back: Vec<Back>,
}

impl Scratch {
    /// From where to where a group stands, after a run that matched; group 0 is the whole.
    pub(super) fn group(&self, group: usize) -> Option<(usize, usize)> {
        let start = self.slots.get(group * 2).copied().flatten()?;
        Some((start, self.slots.get(group * 2 + 1).copied().flatten()?))
    }
}

impl Program {
    pub(super) fn new(tree: &Tree, any_case: bool) -> Self {
        let mut steps = Vec::new();
        emit(&tree.node, any_case, &mut steps);
        steps.push(Step::Found);
        let mut first = Set::default();
        let can_be_empty = starts(&tree.node, &mut first);
        let at_start = begins_at_start(&tree.node);
        Program {
            steps,
            first: (!can_be_empty).then_some(first),
            at_start,
            any_case,
            fields: tree.fields.clone(),
            groups: tree.groups,
        }
    }

    /// Whether it matches in `text`, the first match from `from` on. What stands before `from` is seen, not taken.
    pub(super) fn search(&self, text: &[u8], from: usize, scratch: &mut Scratch) -> bool {
        let mut budget = STEPS_MAX;
        if self.at_start {
            return from == 0 && self.run(text, 0, None, &mut budget, scratch);
        }
        for at in from..=text.len() {
            let fits = match (&self.first, text.get(at)) {
                (None, _) => true,
                (Some(first), Some(byte)) => first.has(*byte),
                (Some(_), None) => false,
            };
            if fits && self.run(text, at, None, &mut budget, scratch) {
                return true;
            }
        }
        false
    }

    /// Whether it matches from `start` on, and up to `until` where that is given.
    fn run(
        &self,
        text: &[u8],
        start: usize,
        until: Option<usize>,
        budget: &mut u32,
        scratch: &mut Scratch,
    ) -> bool {
        scratch.slots.clear();
        scratch.slots.resize(self.groups * 2 + 2, None);
        scratch.back.clear();
        let (mut step, mut at) = (0, start);
        loop {
            let Some(left) = budget.checked_sub(1) else { return false };
            *budget = left;
            let next = match self.steps.get(step) {
                None | Some(Step::Found) if until.is_none_or(|until| until == at) => {
                    set(&mut scratch.slots, 0, Some(start));
                    set(&mut scratch.slots, 1, Some(at));
                    return true;
                }
                None | Some(Step::Found) => None,
                Some(taken) => self.advance(taken, step, at, text, budget, scratch),
            };
            let Some(next) = next.or_else(|| back(scratch)) else { return false };
            (step, at) = next;
        }
    }

    /// One step: where to go on, and how far the line was taken.
    fn advance(
        &self,
        taken: &Step,
        step: usize,
        at: usize,
        text: &[u8],
        budget: &mut u32,
        scratch: &mut Scratch,
    ) -> Option<(usize, usize)> {
        match taken {
            Step::Set(set) => set.has(*text.get(at)?).then_some((step + 1, at + 1)),
            Step::Place(place) => is_place(*place, text, at).then_some((step + 1, at)),
            Step::Field(field, group) => {
                let ends: Ends = field.ends(text, at, self.any_case);
                let (first, others) = ends.as_slice().split_first()?;
                note(scratch, group * 2, at);
                for end in others.iter().rev() {
                    scratch.back.push(Back::Field { step: step + 1, at: *end, slot: group * 2 + 1 });
                }
                note(scratch, group * 2 + 1, *first);
                Some((step + 1, *first))
            }
            Step::Again(group) => {
                let (start, end) = scratch.group(*group)?;
                let taken = text.get(start..end)?;
                let here = text.get(at..at + taken.len())?;
                let same = here == taken || self.any_case && here.eq_ignore_ascii_case(taken);
                same.then_some((step + 1, at + taken.len()))
            }
            Step::Split(first, second) => {
                scratch.back.push(Back::To { step: *second, at });
                Some((*first, at))
            }
            Step::Jump(to) => Some((*to, at)),
            Step::Note(slot) => {
                note(scratch, *slot, at);
                Some((step + 1, at))
            }
            Step::Look { program, behind, not } => {
                let mut inner = Scratch::default();
                let found = if *behind {
                    let least = at.saturating_sub(BEHIND_MAX);
                    (least..=at).any(|from| program.run(text, from, Some(at), budget, &mut inner))
                } else {
                    program.run(text, at, None, budget, &mut inner)
                };
                (found != *not).then_some((step + 1, at))
            }
            Step::Found => None,
        }
    }
}

/// Undoes what was noted since the last choice, and makes the next one.
fn back(scratch: &mut Scratch) -> Option<(usize, usize)> {
    loop {
        match scratch.back.pop()? {
            Back::Slot { slot, was } => set(&mut scratch.slots, slot, was),
            Back::To { step, at } => return Some((step, at)),
            Back::Field { step, at, slot } => {
                note(scratch, slot, at);
                return Some((step, at));
            }
        }
    }
}

fn set(slots: &mut [Option<usize>], slot: usize, value: Option<usize>) {
    if let Some(place) = slots.get_mut(slot) {
        *place = value;
    }
}

fn note(scratch: &mut Scratch, slot: usize, at: usize) {
    let was = scratch.slots.get(slot).copied().flatten();
    scratch.back.push(Back::Slot { slot, was });
    set(&mut scratch.slots, slot, Some(at));
}

fn is_place(place: Place, text: &[u8], at: usize) -> bool {
    let word = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(|byte| is_word(*byte));
    let edge = || word(at.checked_sub(1)) != word(Some(at));
    match place {
        Place::Start => at == 0,
        Place::End => at == text.len(),
        Place::Edge => edge(),
        Place::NoEdge => !edge(),
        Place::DateStart => at == 0 || edge() || text.get(at).is_some_and(|byte| !is_word(*byte)),
        Place::DateEnd => edge() || text.get(at).is_none_or(|byte| !is_word(*byte)),
    }
}

fn emit(node: &Node, any_case: bool, steps: &mut Vec<Step>) {
    match node {
        Node::Set(set) => steps.push(Step::Set(*set)),
        Node::Place(place) => steps.push(Step::Place(*place)),
        Node::Field(field, group) => steps.push(Step::Field(*field, *group)),
        Node::Again(group) => steps.push(Step::Again(*group)),
        Node::Sequence(nodes) => nodes.iter().for_each(|node| emit(node, any_case, steps)),
        Node::Group(group, node) => {
            steps.push(Step::Note(group * 2));
            emit(node, any_case, steps);
            steps.push(Step::Note(group * 2 + 1));
        }
        Node::Either(branches) => {
            let mut jumps = Vec::new();
            for (index, branch) in branches.iter().enumerate() {
                let is_last = index + 1 == branches.len();
                let split = steps.len();
                if !is_last {
                    steps.push(Step::Split(split + 1, 0));
                }
                emit(branch, any_case, steps);
                if !is_last {
                    jumps.push(steps.len());
                    steps.push(Step::Jump(0));
                    let next = steps.len();
                    patch(steps, split, Step::Split(split + 1, next));
                }
            }
            let end = steps.len();
            jumps.into_iter().for_each(|jump| patch(steps, jump, Step::Jump(end)));
        }
        Node::Repeat { node, least, most, greedy } => {
            (0..*least).for_each(|_| emit(node, any_case, steps));
            let split = |here: usize, out: usize| {
                if *greedy { Step::Split(here + 1, out) } else { Step::Split(out, here + 1) }
            };
            match most {
                None => {
                    let here = steps.len();
                    steps.push(Step::Jump(0));
                    emit(node, any_case, steps);
                    steps.push(Step::Jump(here));
                    let out = steps.len();
                    patch(steps, here, split(here, out));
                }
                Some(most) => {
                    let mut splits = Vec::new();
                    for _ in *least..*most {
                        splits.push(steps.len());
                        steps.push(Step::Jump(0));
                        emit(node, any_case, steps);
                    }
                    let out = steps.len();
                    splits.into_iter().for_each(|here| patch(steps, here, split(here, out)));
                }
            }
        }
        Node::Look { node, behind, not } => {
            let tree = Tree { node: (**node).clone(), fields: Vec::new(), groups: LOOK_GROUPS };
            let program = Box::new(Program::new(&tree, any_case));
            steps.push(Step::Look { program, behind: *behind, not: *not });
        }
    }
}

/// Groups in what is only looked at are noted for itself alone.
const LOOK_GROUPS: usize = 16;

fn patch(steps: &mut [Step], at: usize, step: Step) {
    if let Some(place) = steps.get_mut(at) {
        *place = step;
    }
}

/// Adds the bytes with which it can begin; true where it can be empty.
fn starts(node: &Node, first: &mut Set) -> bool {
    match node {
        Node::Set(set) => {
            first.join(set);
            false
        }
        Node::Place(_) | Node::Look { .. } => true,
        Node::Again(_) => {
            first.join(&Set::all());
            true
        }
        Node::Field(field, _) => {
            let byte = |byte: u8| match field {
                Field::MonthName | Field::LongMonthName => b"JFMASONDjfmasond".contains(&byte),
                Field::WeekdayName | Field::LongWeekdayName => b"MTWFSmtwfs".contains(&byte),
                Field::HalfDay => b"APap".contains(&byte),
                Field::Zone { .. } => byte.is_ascii_alphabetic(),
                Field::Offset { .. } => byte.is_ascii_alphabetic() || byte == b'+' || byte == b'-',
                Field::Day { .. } | Field::Hour { .. } | Field::Hour12 { .. } => {
                    byte.is_ascii_digit() || byte == b' '
                }
                _ => byte.is_ascii_digit(),
            };
            first.join(&Set::of(byte));
            false
        }
        Node::Sequence(nodes) => nodes.iter().all(|node| starts(node, first)),
        // Every branch adds its bytes, also behind one that can be empty.
        Node::Either(branches) => branches.iter().filter(|branch| starts(branch, first)).count() > 0,
        Node::Repeat { node, least, .. } => starts(node, first) || *least == 0,
        Node::Group(_, node) => starts(node, first),
    }
}

/// Whether it can match at the beginning of the line alone.
fn begins_at_start(node: &Node) -> bool {
    match node {
        Node::Place(Place::Start) => true,
        Node::Sequence(nodes) => nodes.first().is_some_and(begins_at_start),
        Node::Either(branches) => branches.iter().all(begins_at_start),
        Node::Group(_, node) => begins_at_start(node),
        Node::Repeat { node, least, .. } => *least > 0 && begins_at_start(node),
        Node::Set(_) | Node::Place(_) | Node::Field(..) | Node::Again(_) | Node::Look { .. } => false,
    }
}
