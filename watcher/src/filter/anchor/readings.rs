//! Whether a line can be read in two ways: the automaton walks over all lines twice at once.
//!
//! A pair is the place that each of two readings has come to after the same bytes. A pair in which the readings disagree
//! on where the address stands, and that can still end, is a line with two readings; and how the pair was reached spells
//! that line.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use super::automaton::{Automaton, Bytes, Mark, State, StateId};

/// A pattern that needs more pairs is refused: a minute of proof at start would be no proof at all.
const PAIRS_MAX: usize = 200_000;

/// What was proven.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Proof {
    Holds,
    TooLarge,
    /// This line can be read in two ways.
    TwoReadings(String),
    /// A longer line, cut here, is read in another way.
    Cut(String),
}

/// Where two readings have come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Pair {
    one: StateId,
    other: StateId,
    so_far: SoFar,
}

/// What two readings have said about the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum SoFar {
    Same,
    /// It begins at different places.
    StartsApart,
    /// It begins at one place and ends at two.
    EndsApart,
}

/// A place that is reached without a byte, and which ends of the address were passed on the way.
#[derive(Clone, Copy, Debug)]
struct Reached {
    at: StateId,
    start: bool,
    end: bool,
}

/// Walks until two readings disagree, or there is nothing new.
pub(super) fn prove(automaton: &Automaton, may_be_cut: bool) -> Proof {
    let closures: Vec<Vec<Reached>> =
        (0..automaton.states.len()).map(|state| closure(automaton, state)).collect();
    let alphabet = alphabet(automaton);
    let mut walk = Walk::default();
    walk.meet(&closures, (automaton.start, automaton.start), SoFar::Same, None);
    let mut next = 0;
    while let Some((pair, _)) = walk.pairs.get(next).copied() {
        match (automaton.states.get(pair.one), automaton.states.get(pair.other), pair.so_far) {
            (Some(State::Accept), Some(State::Accept), SoFar::StartsApart | SoFar::EndsApart) => {
                return Proof::TwoReadings(walk.line(next));
            }
            (Some(State::Accept), Some(_), SoFar::StartsApart) if may_be_cut => {
                return Proof::Cut(walk.line(next));
            }
            (Some(State::Bytes(one, one_next)), Some(State::Bytes(other, other_next)), so_far) => {
                for byte in alphabet.iter().copied().filter(|byte| holds(one, *byte) && holds(other, *byte)) {
                    walk.meet(&closures, (*one_next, *other_next), so_far, Some((next, byte)));
                    if walk.pairs.len() > PAIRS_MAX {
                        return Proof::TooLarge;
                    }
                }
            }
            _ => {}
        }
        next += 1;
    }
    Proof::Holds
}

/// The pairs that were reached, in the order of the shortest line to each; how each was reached.
#[derive(Debug, Default)]
struct Walk {
    pairs: Vec<(Pair, Option<(usize, u8)>)>,
    known: HashSet<Pair, foldhash::fast::RandomState>,
}

impl Walk {
    fn meet(
        &mut self,
        closures: &[Vec<Reached>],
        (one, other): (StateId, StateId),
        so_far: SoFar,
        from: Option<(usize, u8)>,
    ) {
        let (Some(ones), Some(others)) = (closures.get(one), closures.get(other)) else { return };
        for one in ones {
            for other in others {
                let so_far = match so_far {
                    SoFar::Same if one.start != other.start => SoFar::StartsApart,
                    SoFar::Same if one.end != other.end => SoFar::EndsApart,
                    SoFar::Same | SoFar::StartsApart | SoFar::EndsApart => so_far,
                };
                let pair = Pair { one: one.at, other: other.at, so_far };
                if self.known.insert(pair) {
                    self.pairs.push((pair, from));
                }
            }
        }
    }

    /// The line that leads to a pair, as a person can read it.
    fn line(&self, mut at: usize) -> String {
        let mut bytes = Vec::new();
        while let Some((_, Some((before, byte)))) = self.pairs.get(at) {
            bytes.push(*byte);
            at = *before;
        }
        bytes.iter().rev().fold(String::new(), |mut line, byte| {
            // Writing to a string cannot fail.
            let _ = match byte {
                b' '..=b'~' => write!(line, "{}", char::from(*byte)),
                byte => write!(line, "\\x{byte:02x}"),
            };
            line
        })
    }
}

fn holds(bytes: &Bytes, byte: u8) -> bool {
    bytes.get(usize::from(byte)).copied().unwrap_or(false)
}

/// Where one can be without reading a byte: at bytes to read, or at the end.
fn closure(automaton: &Automaton, state: StateId) -> Vec<Reached> {
    let mut reached: Vec<Reached> = Vec::new();
    let mut seen: Vec<(StateId, bool, bool)> = Vec::new();
    let mut open = vec![Reached { at: state, start: false, end: false }];
    while let Some(here) = open.pop() {
        let key = (here.at, here.start, here.end);
        if seen.contains(&key) {
            continue;
        }
        seen.push(key);
        match automaton.states.get(here.at) {
            Some(State::Bytes(..) | State::Accept) => reached.push(here),
            Some(State::Ways(ways)) => open.extend(ways.iter().map(|at| Reached { at: *at, ..here })),
            Some(State::Mark(Mark::Start, at)) => open.push(Reached { at: *at, start: true, ..here }),
            Some(State::Mark(Mark::End, at)) => open.push(Reached { at: *at, end: true, ..here }),
            None => {}
        }
    }
    reached
}

/// One byte of each group that no state tells apart; a printable one where there is one.
fn alphabet(automaton: &Automaton) -> Vec<u8> {
    let mut groups: HashMap<Vec<bool>, u8> = HashMap::new();
    let sets: Vec<&Bytes> = {
        let mut sets: Vec<&Bytes> = automaton
            .states
            .iter()
            .filter_map(|state| match state {
                State::Bytes(bytes, _) => Some(&**bytes),
                State::Ways(_) | State::Mark(..) | State::Accept => None,
            })
            .collect();
        sets.sort_unstable();
        sets.dedup();
        sets
    };
    let readable = (b'x'..=b'z').chain(b'1'..=b'9').chain(b' '..=b'~').chain(0..=255);
    for byte in readable {
        groups.entry(sets.iter().map(|set| holds(set, byte)).collect()).or_insert(byte);
    }
    let mut alphabet: Vec<u8> = groups.into_values().collect();
    alphabet.sort_unstable();
    alphabet
}
