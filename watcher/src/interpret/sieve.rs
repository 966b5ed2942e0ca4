//! Which of many patterns a message can have the shape of, told from as few of its bytes as will do.
//!
//! The message is read byte by byte until few patterns are left that it can still have the shape of, or none; those are then
//! laid over it by `filter::walk`. What comes out may be too much and is never too little: whoever asks has to try what is
//! left. So the patterns may be made simpler than they are (see [`shapes`]), and a great number of them, with long runs in
//! them, needs few states. Those are made as messages need them, in memory that has a limit.

mod shapes;

use std::collections::HashMap;

use foldhash::fast::RandomState;

pub(super) use shapes::Simple;

/// So many states are kept; beyond, all are forgotten and made anew. Their rows take 2 MiB at most.
const NODES_MAX: usize = 2048;

/// So many places are kept in them, each twice, which is 2 MiB more.
const PLACES_MAX: usize = 1 << 18;

/// So many different sets of patterns, for the same reason.
const LEFT_MAX: usize = 4096;

/// The states that messages have led to so far.
#[derive(Debug, Default)]
pub(super) struct Sieve {
    /// Where a message begins; unknown before the first one.
    start: Entry,
    /// For each state, where each class of bytes leads.
    rows: Vec<Entry>,
    nodes: Vec<Node>,
    /// How many places the states have together.
    places: usize,
    known: HashMap<Place, Entry, RandomState>,
    /// Sets of patterns, the first one first.
    left: Vec<Box<[u32]>>,
    left_known: HashMap<Box<[u32]>, Entry, RandomState>,
}

/// Where a byte leads: to the state whose row begins there, or, with the highest bit, to an end with that set of patterns;
/// 0 where nobody knows yet.
type Entry = u32;

const UNKNOWN: Entry = 0;
const END: Entry = 1 << 31;

/// Where so few are left, no more than [`PATIENCE`] bytes are read to tell them apart: to try them takes less time.
const FEW: usize = 3;
const PATIENCE: u32 = 100;

/// Where in the patterns a message may be, and how many more bytes are read for so few.
type Place = (Box<[u32]>, u32);

#[derive(Debug)]
struct Node {
    place: Place,
    /// The patterns that it has the shape of if it ends here.
    ended: Entry,
}

impl Sieve {
    /// The patterns that a message can have the shape of, the first one first.
    pub(super) fn left<'s>(&'s mut self, simple: &Simple, message: &[u8]) -> &'s [u32] {
        if self.start == UNKNOWN {
            self.begin(simple);
        }
        let mut entry = self.start;
        for byte in message {
            if entry & END != 0 {
                return self.end(entry);
            }
            let next = self.rows.get(simple.place(entry, *byte)).copied().unwrap_or(UNKNOWN);
            entry = if next == UNKNOWN { self.lead(simple, entry, *byte) } else { next };
        }
        if entry & END != 0 {
            return self.end(entry);
        }
        let ended = self.node_at(simple, entry).map_or(END, |node| node.ended);
        self.end(ended)
    }

    fn end(&self, entry: Entry) -> &[u32] {
        let left = usize::try_from(entry & !END).ok().and_then(|at| self.left.get(at));
        left.map(|left| &**left).unwrap_or_default()
    }

    fn node_at(&self, simple: &Simple, entry: Entry) -> Option<&Node> {
        self.nodes.get(usize::try_from(entry).ok()? / simple.stride())
    }

    fn begin(&mut self, simple: &Simple) {
        self.rows.clear();
        self.nodes.clear();
        self.places = 0;
        self.known.clear();
        self.left.clear();
        self.left_known.clear();
        // The state that is none, and the empty set.
        self.nodes.push(Node { place: Place::default(), ended: END });
        self.rows.resize(simple.stride(), UNKNOWN);
        self.ending(Vec::new());
        self.start = self.enter(simple, simple.start(), PATIENCE);
    }

    /// Finds out where a byte leads from a state.
    fn lead(&mut self, simple: &Simple, node: Entry, byte: u8) -> Entry {
        let Some(from) = self.node_at(simple, node) else { return END };
        let (places, patience) = (simple.after(&from.place.0, byte), from.place.1);
        if self.nodes.len() >= NODES_MAX || self.places >= PLACES_MAX || self.left.len() >= LEFT_MAX {
            self.begin(simple);
            return self.enter(simple, places, patience);
        }
        let entry = self.enter(simple, places, patience);
        if let Some(known) = self.rows.get_mut(simple.place(node, byte)) {
            *known = entry;
        }
        entry
    }

    /// The entry for a state, which is made where it is new; `patience` is what the one before it had left.
    fn enter(&mut self, simple: &Simple, places: Vec<u32>, patience: u32) -> Entry {
        let left = simple.patterns(&places);
        let patience = if left.len() <= FEW { patience.saturating_sub(1) } else { PATIENCE };
        if left.len() <= 1 || patience == 0 || simple.is_told(&left, &places) {
            return self.ending(left);
        }
        let place = (places.into_boxed_slice(), patience);
        if let Some(known) = self.known.get(&place) {
            return *known;
        }
        let ended = self.ending(simple.ended(&place.0));
        let entry = Entry::try_from(self.rows.len()).unwrap_or(END);
        self.places += place.0.len();
        self.known.insert(place.clone(), entry);
        self.nodes.push(Node { place, ended });
        self.rows.resize(self.rows.len() + simple.stride(), UNKNOWN);
        entry
    }

    fn ending(&mut self, left: Vec<u32>) -> Entry {
        if let Some(known) = self.left_known.get(left.as_slice()) {
            return *known;
        }
        let entry = END | Entry::try_from(self.left.len()).unwrap_or(0);
        let left = left.into_boxed_slice();
        self.left_known.insert(left.clone(), entry);
        self.left.push(left);
        entry
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::bytes::{Regex, RegexBuilder};

    use super::*;

    const PATTERNS: &[&str] = &[
        r"^a{2,70}b(?:c|d)*$",
        r"^a.{0,60}b$",
        r"^(?:ab?)+(?-u:\b)c?$",
        r"^.*$",
        r"^(?i:abc)[^ab]{0,3}$",
        r"^(?:a{0,2}|b){3,9}d$",
        r"^(?u:[a-zé]+) b$",
        r"^abc$",
    ];

    fn check(patterns: &[&str], messages: &[String]) {
        let simple = Simple::of(patterns);
        let regex = |text: &&str| RegexBuilder::new(text).unicode(false).build().unwrap();
        let regexes: Vec<Regex> = patterns.iter().map(regex).collect();
        let mut sieve = Sieve::default();
        for message in messages {
            let left = sieve.left(&simple, message.as_bytes());
            assert!(left.is_sorted());
            for (n, regex) in (0..).zip(&regexes) {
                assert!(left.contains(&n) || !regex.is_match(message.as_bytes()), "{regex} {message}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_pattern_that_fits_is_left_out(
            chosen in prop::sample::subsequence(PATTERNS, 1..PATTERNS.len()),
            messages in prop::collection::vec("[abcdé \n]{0,9}|a{60,75}b?", 1..20),
        ) {
            check(&chosen, &messages);
        }
    }

    #[test]
    fn what_begins_otherwise_is_told_at_once() {
        let patterns = ["^connect from [^ ]*$", "^disconnect from [^ ]*$", "^cut$", "^cat$", "^end$"];
        let simple = Simple::of(&patterns);
        let mut sieve = Sieve::default();
        assert_eq!(sieve.left(&simple, b"d"), &[1]);
        assert_eq!(sieve.left(&simple, b"cat"), &[3]);
        assert!(sieve.left(&simple, b"x").is_empty() && sieve.left(&simple, b"").is_empty());
        assert!(Sieve::default().left(&Simple::of(&[]), b"x").is_empty());
    }

    #[test]
    fn no_number_of_messages_makes_it_grow_without_end() {
        // Where each `a` stood among the last twelve bytes matters: that is 4096 states.
        let patterns = [
            "^(?:a|b)*a(?:a|b)(?:a|b)(?:a|b)(?:a|b)(?:a|b)(?:a|b)(?:a|b)(?:a|b)(?:a|b)(?:a|b)(?:a|b)c$",
            "^(?:a|b)*d$",
            "^(?:a|b)*e$",
            "^(?:a|b)*f$",
        ];
        let simple = Simple::of(&patterns);
        let mut sieve = Sieve::default();
        let mut seed = 0x9e37_79b9u64;
        for _ in 0..400 {
            let message: Vec<u8> = (0..100)
                .map(|_| {
                    seed ^= seed << 13;
                    seed ^= seed >> 7;
                    seed ^= seed << 17;
                    if seed & 64 == 0 { b'a' } else { b'b' }
                })
                .collect();
            sieve.left(&simple, &message);
            assert!(sieve.nodes.len() <= NODES_MAX + 1);
            assert_eq!(sieve.left(&simple, b"abad"), &[1]);
        }
    }
}
