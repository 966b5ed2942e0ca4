//! All patterns of a source, and which of them a message has the shape of.
//!
//! A line is asked only for the patterns of the program that wrote it. Which of those it can have the shape of is told by
//! its first bytes (`sieve`); most lines have none, and are left at the byte that says so, however many patterns there are.
//! What is left is laid over the message, one after the other, up to the first that fits and decides.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use logline::{Record, Text};

use super::facts::Place;
use super::sieve::{Sieve, Simple};
use crate::event::Kind;
use crate::filter::{Captures, Filter, GroupFinder, Matcher, Pattern, Rule};

/// So many programs' names are kept in mind. Whoever may send to syslog can make up names; they are then forgotten, and
/// looked up again.
const PROGRAMS_MAX: usize = 256;

/// A name that is longer is nobody's, and is looked up each time.
const PROGRAM_BYTES_MAX: usize = 64;

/// The patterns of some filters.
#[derive(Debug)]
pub(super) struct Patterns {
    filters: Vec<Arc<Filter>>,
    /// Where each pattern stands: its filter and its rule.
    places: Vec<Place>,
    /// The patterns together that were needed so far, under the filters that they are of. There are no more than there are
    /// ways in which filters tell programs apart.
    together: Mutex<HashMap<Vec<u32>, Arc<Together>>>,
}

/// What one thread needs to look for patterns.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// The sieves by program; and the one for lines of which nobody knows who wrote them.
    programs: HashMap<Box<[u8]>, usize, foldhash::fast::RandomState>,
    unnamed: Option<Author>,
    recent: Recent,
    runs: Vec<Run>,
    groups: GroupFinder,
}

/// What is known of a program, for one thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct Author {
    run: usize,
    /// Whether its lines are records of which the envelope took the first word for its name.
    pub(super) writes_records: bool,
}

/// Programs that were looked up of late, each where its name's length and ends put it: a few write most of a log.
#[derive(Debug)]
struct Recent([Option<(Box<[u8]>, Author)>; RECENT]);

const RECENT: usize = 64;

#[derive(Debug)]
struct Run {
    together: Arc<Together>,
    sieve: Sieve,
}

/// The patterns of one program's.
#[derive(Debug)]
struct Together {
    /// Which ones these are.
    patterns: Vec<usize>,
    simple: Simple,
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
        let places = (0..).zip(&filters).flat_map(|(f, filter)| {
            let patterns = (0..).zip(&filter.rules);
            patterns.filter(|(_, rule)| matches!(rule.matcher, Matcher::Pattern(_))).map(move |(r, _)| (f, r))
        });
        Patterns { places: places.collect(), filters, together: Mutex::default() }
    }

    pub(super) fn rule(&self, (filter, rule): Place) -> Option<(&Filter, &Rule)> {
        let filter = self.filters.get(usize::try_from(filter).ok()?)?;
        Some((filter, filter.rules.get(usize::try_from(rule).ok()?)?))
    }

    /// Whether a filter is about the lines of a program.
    pub(super) fn hears(&self, filter: u32, program: Option<&[u8]>) -> bool {
        usize::try_from(filter)
            .ok()
            .and_then(|filter| self.filters.get(filter))
            .is_some_and(|filter| filter.programs.cover(program))
    }

    /// The patterns of this program's that the message has the shape of.
    pub(super) fn find<'a>(&'a self, search: &mut Search, author: Author, message: &'a [u8]) -> Shapes<'a> {
        let Search { runs, groups, .. } = search;
        let mut shapes = Shapes::new();
        let Some(Run { together, sieve }) = runs.get_mut(author.run) else { return shapes };
        if together.patterns.is_empty() {
            return shapes;
        }
        for left in sieve.left(&together.simple, message) {
            let Some((place, pattern)) = together.pattern(self, *left) else { continue };
            if self.rule(place).is_some_and(|(_, rule)| rule.kind.is_none()) {
                if groups.fit(pattern, message) {
                    shapes.push(Found { place, address: None, fields: Vec::new() });
                    break;
                }
                continue;
            }
            let Some(Captures { address, fields }) = groups.captures(pattern, message) else { continue };
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
        let has = |name| fields.iter().any(|(known, text)| *known == name && !text.is_empty());
        let is_sum = self.rule(place).is_some_and(|(filter, rule)| {
            filter.counts_attempts && rule.kind == Some(Kind::AuthFailed) && has("attempts")
        });
        is_sum || (address.is_none() && fields.iter().any(|(name, _)| *name == "session"))
    }

    /// Whether the message has the shape of any pattern, whoever wrote it.
    pub(super) fn knows(&self, search: &mut Search, message: &[u8]) -> bool {
        let author = self.author(search, None);
        let Search { runs, groups, .. } = search;
        let Some(Run { together, sieve }) = runs.get_mut(author.run) else { return false };
        let mut left = sieve.left(&together.simple, message).iter();
        left.any(|left| {
            together.pattern(self, *left).is_some_and(|(_, pattern)| groups.fit(pattern, message))
        })
    }

    fn pattern(&self, index: usize) -> Option<(Place, &Pattern)> {
        let place = *self.places.get(index)?;
        match &self.rule(place)?.1.matcher {
            Matcher::Pattern(pattern) => Some((place, pattern)),
            Matcher::Fact(..) => None,
        }
    }

    /// Who writes the lines of this program.
    pub(super) fn author(&self, search: &mut Search, program: Option<&[u8]>) -> Author {
        let known = match program {
            Some(program) => search.recent.of(program),
            None => search.unnamed,
        };
        known.unwrap_or_else(|| {
            let writes_records = program.is_some_and(Record::is_written_by);
            let author = Author { run: self.look_up(search, program), writes_records };
            match program {
                None => search.unnamed = Some(author),
                Some(program) => search.recent.keep(program, author),
            }
            author
        })
    }

    /// Which of the thread's sieves is the one for this program.
    fn look_up(&self, search: &mut Search, program: Option<&[u8]>) -> usize {
        let known = program.and_then(|program| search.programs.get(program).copied());
        known.unwrap_or_else(|| {
            let together = self.together(program);
            let place = search.runs.iter().position(|run| Arc::ptr_eq(&run.together, &together));
            let run = place.unwrap_or_else(|| {
                search.runs.push(Run { together, sieve: Sieve::default() });
                search.runs.len() - 1
            });
            if let Some(program) = program.filter(|program| program.len() <= PROGRAM_BYTES_MAX) {
                if search.programs.len() >= PROGRAMS_MAX {
                    search.programs.clear();
                }
                search.programs.insert(program.into(), run);
            }
            run
        })
    }

    fn together(&self, program: Option<&[u8]>) -> Arc<Together> {
        let filters: Vec<u32> = (0..)
            .zip(&self.filters)
            .filter(|(_, filter)| filter.programs.cover(program))
            .map(|(number, _)| number)
            .collect();
        // What was built is whole, whoever panicked while he held the lock.
        let mut known = self.together.lock().unwrap_or_else(PoisonError::into_inner);
        let together = known.entry(filters).or_insert_with_key(|filters| {
            let of_these = |index: &usize| self.places.get(*index).is_some_and(|(f, _)| filters.contains(f));
            Arc::new(self.build((0..self.places.len()).filter(of_these).collect()))
        });
        Arc::clone(together)
    }

    fn build(&self, patterns: Vec<usize>) -> Together {
        let texts =
            patterns.iter().map(|index| self.pattern(*index).map_or("", |(_, pattern)| pattern.as_str()));
        let simple = Simple::of(&texts.collect::<Vec<&str>>());
        Together { patterns, simple }
    }
}

impl Default for Recent {
    fn default() -> Self {
        Recent([const { None }; RECENT])
    }
}

impl Recent {
    fn of(&self, program: &[u8]) -> Option<Author> {
        let (name, author) = self.0.get(Recent::place(program))?.as_ref()?;
        (**name == *program).then_some(*author)
    }

    fn keep(&mut self, program: &[u8], author: Author) {
        if program.len() > PROGRAM_BYTES_MAX {
            return;
        }
        if let Some(place) = self.0.get_mut(Recent::place(program)) {
            *place = Some((program.into(), author));
        }
    }

    fn place(program: &[u8]) -> usize {
        let byte = |byte: Option<&u8>| byte.copied().map_or(0, usize::from);
        (8 * program.len() + byte(program.first()) + 3 * byte(program.last())) % RECENT
    }
}

impl Together {
    /// One of these patterns by its number, and where it stands.
    fn pattern<'p>(&self, patterns: &'p Patterns, number: u32) -> Option<(Place, &'p Pattern)> {
        patterns.pattern(*self.patterns.get(usize::try_from(number).ok()?)?)
    }
}

fn read_address(text: &[u8]) -> Option<IpAddr> {
    logline::address(text).map(|address| address.to_canonical())
}
