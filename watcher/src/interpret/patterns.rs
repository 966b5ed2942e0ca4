//! All patterns of a source, and which of them a message has the shape of.
//!
//! A line is asked only for the patterns of the program that wrote it. Those are one automaton: every pattern begins with
//! `^`, so a message that none of them can match is left at the first byte that says so, however many there are; and every
//! pattern ends with `$`, so that the automaton's last state names the patterns that match. Groups are then looked for in
//! that one message. Its states are made as lines need them, in memory that has a limit.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use logline::Text;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind};

use super::facts::Place;
use crate::filter::{Captures, Filter, GroupFinder, Matcher, Pattern, Rule};

/// The states that an automaton may keep; beyond, it forgets all and begins anew.
const STATES_BYTES_MAX: usize = 4 << 20;

/// So many programs' names are kept in mind. Whoever may send to syslog can make up names; they are then forgotten, and
/// looked up again.
const PROGRAMS_MAX: usize = 256;

/// The patterns of some filters.
#[derive(Debug)]
pub(super) struct Patterns {
    filters: Vec<Arc<Filter>>,
    /// Where each pattern stands: its filter and its rule.
    places: Vec<Place>,
    /// The automata that were needed so far, under the filters whose patterns they hold. There are no more than there are
    /// ways in which a filter tells programs apart.
    automata: Mutex<HashMap<Vec<usize>, Arc<Automaton>>>,
}

/// What one thread needs to look for patterns.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// The automata by program; and the one for lines of which nobody knows who wrote them.
    programs: HashMap<Box<[u8]>, usize, foldhash::fast::RandomState>,
    unnamed: Option<usize>,
    runs: Vec<Run>,
    found: Vec<usize>,
    groups: GroupFinder,
}

#[derive(Debug)]
struct Run {
    automaton: Arc<Automaton>,
    cache: Option<Cache>,
}

/// Several patterns as one.
#[derive(Debug)]
struct Automaton {
    /// Which patterns these are.
    patterns: Vec<usize>,
    /// None where there are none, or where they cannot be one automaton: a pattern that asks for Unicode's word
    /// boundaries. They are then tried one by one.
    dfa: Option<DFA>,
}

/// A message that has the shape of a pattern.
#[derive(Clone, Debug)]
pub(crate) struct Found<'a> {
    pub(crate) place: Place,
    pub(crate) address: Option<IpAddr>,
    pub(crate) fields: Vec<(&'a str, Text<'a>)>,
}

/// The shapes that a message has, the first one first, up to one that decides what it means.
pub(crate) type Shapes<'a> = Vec<Found<'a>>;

impl Patterns {
    pub(super) fn of(filters: Vec<Arc<Filter>>) -> Self {
        let places = filters.iter().enumerate().flat_map(|(f, filter)| {
            let patterns = filter.rules.iter().enumerate();
            patterns.filter(|(_, rule)| matches!(rule.matcher, Matcher::Pattern(_))).map(move |(r, _)| (f, r))
        });
        Patterns { places: places.collect(), filters, automata: Mutex::default() }
    }

    pub(super) fn rule(&self, (filter, rule): Place) -> Option<(&Filter, &Rule)> {
        let filter = self.filters.get(filter)?;
        Some((filter, filter.rules.get(rule)?))
    }

    /// Whether a filter is about the lines of a program.
    pub(super) fn hears(&self, filter: usize, program: Option<&[u8]>) -> bool {
        self.filters.get(filter).is_some_and(|filter| filter.programs.cover(program))
    }

    /// The patterns of this program's that the message has the shape of.
    pub(super) fn find<'a>(
        &'a self,
        search: &mut Search,
        program: Option<&[u8]>,
        message: &'a [u8],
    ) -> Shapes<'a> {
        let run = self.run_of(search, program);
        self.search(search, run, message);
        let mut shapes = Shapes::new();
        for index in &search.found {
            let Some((place, pattern)) = self.pattern(*index) else { continue };
            if self.rule(place).is_some_and(|(_, rule)| rule.kind.is_none()) {
                shapes.push(Found { place, address: None, fields: Vec::new() });
                break;
            }
            let Some(Captures { address, fields }) = search.groups.captures(pattern, message) else {
                continue;
            };
            let address = match address.map(read_address) {
                // What stands where an address should and is none is another line than it looked.
                Some(None) => continue,
                address => address.flatten(),
            };
            let is_open = self.goes_by_session(place, address, &fields);
            shapes.push(Found { place, address, fields });
            if !is_open {
                break;
            }
        }
        shapes
    }

    /// Whether what a shape means depends on what its session said before.
    fn goes_by_session(&self, place: Place, address: Option<IpAddr>, fields: &[(&str, Text<'_>)]) -> bool {
        let counts = self.rule(place).is_some_and(|(filter, _)| filter.counts_attempts);
        counts || (address.is_none() && fields.iter().any(|(name, _)| *name == "session"))
    }

    /// Whether the message has the shape of any pattern, whoever wrote it.
    pub(super) fn knows(&self, search: &mut Search, message: &[u8]) -> bool {
        let run = self.run_of(search, None);
        self.search(search, run, message);
        !search.found.is_empty()
    }

    fn pattern(&self, index: usize) -> Option<(Place, &Pattern)> {
        let place = *self.places.get(index)?;
        match &self.rule(place)?.1.matcher {
            Matcher::Pattern(pattern) => Some((place, pattern)),
            Matcher::Fact(..) => None,
        }
    }

    /// Which of the thread's automata is the one for this program.
    fn run_of(&self, search: &mut Search, program: Option<&[u8]>) -> usize {
        let known = match program {
            Some(program) => search.programs.get(program).copied(),
            None => search.unnamed,
        };
        known.unwrap_or_else(|| {
            let automaton = self.automaton(program);
            let place = search.runs.iter().position(|run| Arc::ptr_eq(&run.automaton, &automaton));
            let run = place.unwrap_or_else(|| {
                let cache = automaton.dfa.as_ref().map(DFA::create_cache);
                search.runs.push(Run { automaton, cache });
                search.runs.len() - 1
            });
            match program {
                None => search.unnamed = Some(run),
                Some(program) => {
                    if search.programs.len() >= PROGRAMS_MAX {
                        search.programs.clear();
                    }
                    search.programs.insert(program.into(), run);
                }
            }
            run
        })
    }

    fn automaton(&self, program: Option<&[u8]>) -> Arc<Automaton> {
        let filters: Vec<usize> =
            (0..self.filters.len()).filter(|filter| self.hears(*filter, program)).collect();
        // What was built is whole, whoever panicked while he held the lock.
        let mut automata = self.automata.lock().unwrap_or_else(PoisonError::into_inner);
        let automaton = automata.entry(filters).or_insert_with_key(|filters| {
            let of_these = |index: &usize| self.places.get(*index).is_some_and(|(f, _)| filters.contains(f));
            Arc::new(self.build((0..self.places.len()).filter(of_these).collect()))
        });
        Arc::clone(automaton)
    }

    fn build(&self, patterns: Vec<usize>) -> Automaton {
        let texts: Vec<&str> =
            patterns.iter().filter_map(|index| Some(self.pattern(*index)?.1.as_str())).collect();
        let dfa = DFA::builder()
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .thompson(thompson::Config::new().utf8(false).which_captures(WhichCaptures::None))
            .configure(
                DFA::config()
                    .match_kind(MatchKind::All)
                    .cache_capacity(STATES_BYTES_MAX)
                    .skip_cache_capacity_check(true),
            )
            .build_many(&texts);
        Automaton { dfa: dfa.ok().filter(|_| !texts.is_empty()), patterns }
    }

    /// Notes in `search.found` which patterns the message has the shape of, the first one first.
    fn search(&self, search: &mut Search, run: usize, message: &[u8]) {
        search.found.clear();
        let Some(Run { automaton, cache }) = search.runs.get_mut(run) else { return };
        let whole = automaton.dfa.as_ref().zip(cache.as_mut());
        let run = whole
            .and_then(|(dfa, cache)| matches(dfa, cache, message, &automaton.patterns, &mut search.found));
        if run.is_none() {
            search.found.clear();
            let fits = |index: &usize| self.pattern(*index).is_some_and(|(_, pattern)| pattern.fits(message));
            search.found.extend(automaton.patterns.iter().copied().filter(fits));
        }
    }
}

/// Runs an automaton over a message; none where it gives up.
fn matches(
    dfa: &DFA,
    cache: &mut Cache,
    message: &[u8],
    patterns: &[usize],
    found: &mut Vec<usize>,
) -> Option<()> {
    let mut state = dfa.start_state_forward(cache, &Input::new(message).anchored(Anchored::Yes)).ok()?;
    for byte in message {
        state = dfa.next_state(cache, state, *byte).ok()?;
        if state.is_tagged() {
            if state.is_dead() {
                return Some(());
            }
            if state.is_quit() {
                return None;
            }
        }
    }
    let state = dfa.next_eoi_state(cache, state).ok()?;
    if state.is_match() {
        let ids = (0..dfa.match_len(cache, state)).map(|at| dfa.match_pattern(cache, state, at).as_usize());
        found.extend(ids.filter_map(|id| patterns.get(id).copied()));
        found.sort_unstable();
    }
    Some(())
}

fn read_address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    text.parse().ok().map(|address: IpAddr| address.to_canonical())
}
