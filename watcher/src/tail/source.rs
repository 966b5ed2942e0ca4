//! What one source names: a file, a directory, or all that a pattern matches.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use crate::tail::cursor::Cursor;
use crate::tail::family::{self, Family, Kin, Likeness};
use crate::tail::notify::{Note, Owner, StreamKey, Watches};
use crate::tail::pattern::{CURRENT, Pattern};
use crate::tail::stats::Stats;
use crate::tail::stream::{Beginning, Desk, History, Naming, Stream};
use crate::tail::way::Place;
use crate::tail::{Line, SourceId, Start, Target};

/// One source and its streams.
#[derive(Debug)]
pub(crate) struct Source {
    id: SourceId,
    members: Option<Members>,
    /// A slot is empty while its stream has its turn, and when its stream is gone.
    streams: Vec<Option<Stream>>,
    stats: Stats,
}

/// The members of a pattern.
#[derive(Debug)]
struct Members {
    pattern: Pattern,
    places: Vec<Place>,
}

impl Source {
    pub(crate) fn new(
        id: SourceId,
        target: Target,
        beginning: Beginning,
        watches: &mut Watches,
    ) -> io::Result<Self> {
        let mut source = Source { id, members: None, streams: Vec::new(), stats: Stats::default() };
        match target {
            Target::File(path) => {
                let path = std::path::absolute(path)?;
                source.add(path, History::Nothing, beginning);
            }
            Target::Directory(path) => {
                let path = std::path::absolute(path)?.join(CURRENT);
                source.add(path, History::Everything, beginning);
            }
            Target::Glob(text) => {
                let pattern = Pattern::new(&std::path::absolute(text)?);
                source.members = Some(Members { pattern, places: Vec::new() });
                source.begin_with_members(beginning, watches)?;
            }
        }
        Ok(source)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = StreamKey> {
        let id = self.id;
        (0..self.streams.len()).map(move |slot| StreamKey { source: id, slot })
    }

    /// The stream of a slot, unless it is gone.
    pub(crate) fn stream(&mut self, slot: usize) -> Option<&mut Stream> {
        self.streams.get_mut(slot)?.as_mut()
    }

    /// Whether a note says that the pattern may match something else by now.
    pub(crate) fn is_expanded_by(&self, note: Note<'_>) -> bool {
        let Some(members) = &self.members else { return false };
        members.places.iter().any(|place| place.is_touched(note, |_| false))
    }

    /// Notes were lost: every stream has something to do.
    pub(crate) fn look_again(&mut self) {
        for stream in self.streams.iter_mut().flatten() {
            stream.look_again();
            stream.is_queued = true;
        }
    }

    /// Finds new members, and forgets those that are gone.
    pub(crate) fn expand(&mut self, watches: &mut Watches) -> io::Result<()> {
        if self.members.is_none() {
            return Ok(());
        }
        let paths = logs(self.find_members(watches)?);
        for slot in &mut self.streams {
            let is_gone = |stream: &Stream| stream.is_empty() && !paths.contains(stream.path());
            if slot.as_ref().is_some_and(is_gone)
                && let Some(mut stream) = slot.take()
            {
                stream.leave(watches);
            }
        }
        for path in paths {
            if !self.streams.iter().flatten().any(|stream| stream.path() == path) {
                self.add_member(path, Beginning::new(Start::Beginning, Vec::new()));
            }
        }
        Ok(())
    }

    /// Gives one stream its turn.
    pub(crate) fn turn(
        &mut self,
        slot: usize,
        watches: &mut Watches,
        buffer: &mut [u8],
        sink: &mut dyn FnMut(Line<'_>),
    ) -> io::Result<usize> {
        let Some(mut stream) = self.streams.get_mut(slot).and_then(Option::take) else { return Ok(0) };
        let others = &self.streams;
        let is_elsewhere = |file| others.iter().flatten().any(|other| other.has(file));
        let mut desk = Desk { watches, stats: &mut self.stats, is_elsewhere: &is_elsewhere };
        let outcome = stream.turn(&mut desk, buffer, sink);
        if let Some(place) = self.streams.get_mut(slot) {
            *place = Some(stream);
        }
        outcome
    }

    pub(crate) fn cursors(&self) -> Vec<Cursor> {
        self.streams.iter().flatten().flat_map(Stream::cursors).collect()
    }

    pub(crate) fn stats(&self) -> Stats {
        let streams = || self.streams.iter().flatten();
        let mut stats = self.stats.clone();
        stats.behind_bytes = streams().map(Stream::behind_bytes).sum();
        stats.files = streams().map(Stream::files).sum();
        stats.current = streams().filter_map(Stream::current).next_back().map(Path::to_owned);
        stats
    }

    /// Gives all watches back.
    pub(crate) fn leave(&mut self, watches: &mut Watches) {
        for place in self.members.iter_mut().flat_map(|members| members.places.drain(..)) {
            watches.release(place.watch, Owner::Pattern(self.id));
        }
        for stream in self.streams.iter_mut().flatten() {
            stream.leave(watches);
        }
    }

    /// The members that are there, and those that were there when the cursors were taken: what was renamed since is
    /// found from the name it had.
    fn begin_with_members(&mut self, beginning: Beginning, watches: &mut Watches) -> io::Result<()> {
        let mut paths = self.find_members(watches)?;
        let Some(pattern) = self.members.as_ref().map(|members| members.pattern.clone()) else {
            return Ok(());
        };
        paths.extend(beginning.cursors.iter().filter_map(|cursor| log_of(&cursor.path, &pattern)));
        let start = if beginning.cursors.is_empty() { beginning.start } else { Start::Beginning };
        let mut left = beginning.cursors;
        let mut shares: Vec<_> = logs(paths).into_iter().map(|path| (path, Vec::new())).collect();
        for (path, share) in &mut shares {
            share.extend(left.extract_if(.., |cursor| is_of_log(&cursor.path, path)));
        }
        // Files that were renamed beyond recognition belong to some log; which one is of no consequence.
        match shares.first_mut() {
            Some((_, share)) => share.append(&mut left),
            None => shares.extend(left.into_iter().map(|cursor| (cursor.path.clone(), vec![cursor]))),
        }
        for (path, cursors) in shares {
            self.add_member(path, Beginning::new(start, cursors));
        }
        Ok(())
    }

    fn find_members(&mut self, watches: &mut Watches) -> io::Result<Vec<PathBuf>> {
        let Some(members) = &mut self.members else { return Ok(Vec::new()) };
        let owner = Owner::Pattern(self.id);
        let expansion = members.pattern.expand(watches, owner)?;
        for place in std::mem::replace(&mut members.places, expansion.places) {
            watches.release(place.watch, owner);
        }
        Ok(expansion.files)
    }

    fn add_member(&mut self, path: PathBuf, beginning: Beginning) {
        let Some(members) = &self.members else { return };
        let pattern = &members.pattern;
        let history = if pattern.matches_directory_of(&path) {
            History::Everything
        } else {
            History::Matching(pattern.clone())
        };
        self.add(path, history, beginning);
    }

    fn add(&mut self, path: PathBuf, history: History, beginning: Beginning) {
        let naming = naming(&path);
        let slot = self.streams.iter().position(Option::is_none).unwrap_or(self.streams.len());
        let key = StreamKey { source: self.id, slot };
        let stream = Some(Stream::new(key, path, naming, history, beginning));
        match self.streams.get_mut(slot) {
            Some(place) => *place = stream,
            None => self.streams.push(stream),
        }
    }
}

fn naming(path: &Path) -> Naming {
    if path.file_name().is_some_and(|name| name == CURRENT) { Naming::Archives } else { Naming::Rotated }
}

/// The files that are logs, and not rotated files of another.
fn logs(files: Vec<PathBuf>) -> BTreeSet<PathBuf> {
    let files: BTreeSet<_> = files.into_iter().collect();
    let is_rotated = |path: &Path| {
        path.file_name().is_some_and(|name| {
            family::possible_bases(name).any(|base| files.contains(&path.with_file_name(base)))
        })
    };
    let is_log =
        |path: &&PathBuf| !path.file_name().is_some_and(family::is_compressed) && !is_rotated(path.as_path());
    files.iter().filter(is_log).cloned().collect()
}

/// The log of a pattern to which the file of a cursor belongs by its name.
fn log_of(path: &Path, pattern: &Pattern) -> Option<PathBuf> {
    if pattern.matches_file(path) {
        return Some(path.to_owned());
    }
    let name = path.file_name()?;
    family::possible_bases(name)
        .map(|base| path.with_file_name(base))
        .chain(std::iter::once(path.with_file_name(CURRENT)))
        .find(|base| pattern.matches_file(base))
}

fn is_of_log(path: &Path, log: &Path) -> bool {
    let (Some(name), Some(base)) = (path.file_name(), log.file_name()) else { return false };
    let family = match naming(log) {
        Naming::Archives => Family::Archives,
        Naming::Rotated => Family::Rotated(Kin { base: base.to_owned(), likeness: Likeness::Suffix }),
    };
    path == log || (path.parent() == log.parent() && family.rank(name).is_some())
}
