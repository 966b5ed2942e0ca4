//! One log: the file that has its name, and the files that had it before, read oldest first.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::ReadFlags;

use crate::tail::Line;
use crate::tail::cursor::{Cursor, FileId};
use crate::tail::family::Family;
use crate::tail::generation::{Generation, Step};
use crate::tail::notify::{Note, Owner, StreamKey, WatchId, Watches};
use crate::tail::pattern::Pattern;
use crate::tail::splitter::RawLine;
use crate::tail::stats::{Loss, Stats};
use crate::tail::way::{End, Place};

mod admission;
mod beginning;
mod compressed;
mod look;
mod truncation;

pub(crate) use beginning::Beginning;

/// Rotated files that have been read are kept open, for writers that have not noticed the rotation. So many of a log.
const ROTATED_OPEN_MAX: usize = 4;

/// At most so many files of one log are open; older ones are read before younger ones are opened.
const GENERATIONS_OPEN_MAX: usize = 64;

/// Files read to their end have a cursor too, if they are hardly older than the youngest file: births are only exact to
/// a tick of the kernel's clock, so later it could not be told that they are not younger.
const TICK_NS: i64 = 1_000_000_000;

/// Of so many files that are no more it is remembered what they held: it may turn up once more, compressed.
const PAST_MAX: usize = 8;

/// One log.
#[derive(Debug)]
pub(crate) struct Stream {
    key: StreamKey,
    path: PathBuf,
    naming: Naming,
    history: History,
    /// Whether a path was asked for that may be a file or a directory.
    is_named_alone: bool,
    /// How to begin; `None` once begun. Where a directory is missing, nothing has begun yet.
    beginning: Option<Beginning>,
    places: Vec<Place>,
    end: Option<End>,
    families: Vec<(PathBuf, Family)>,
    /// Oldest first.
    generations: Vec<Generation>,
    /// What had the log's name at the last look.
    live: Option<FileId>,
    /// The last file that was opened under the log's name.
    last_live: Option<FileId>,
    /// The files of the family that are not open.
    fates: HashMap<FileId, Fate>,
    /// The archives among them, by name.
    settled: HashMap<PathBuf, FileId>,
    /// What the last files held that are no more, oldest first: read to their end, or not found.
    past: VecDeque<Cursor>,
    /// The last cursor, where its file was not found.
    gone: Option<Cursor>,
    /// What was born before this is no generation that was missed.
    floor_ns: i64,
    /// What was last written to before this had been read when the cursors were taken, or was never asked for.
    past_ns: i64,
    /// Whether older files wait to be opened; until then the live one is not read.
    is_backlogged: bool,
    is_forbidden: bool,
    look_due: bool,
    looks_in_vain: u32,
    /// Whether it stands in the queue of those that have something to do.
    pub(crate) is_queued: bool,
}

/// How a log's rotated files are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// After the log.
    Rotated,
    /// After the time (multilog, svlogd).
    Archives,
}

/// Which rotated files are read that were there before the log was first followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum History {
    /// None: the source names one file.
    Nothing,
    /// Those that the pattern matches.
    Matching(Pattern),
    /// All: the source names their directory.
    Everything,
}

/// What is known of a file that is not open.
#[derive(Clone, Debug)]
enum Fate {
    /// A copy of the log, not read.
    Copy,
    /// Read so far, and closed.
    Done(Cursor),
    /// Not to be read.
    Passed,
}

/// What a stream works with and does not own.
pub(crate) struct Desk<'a> {
    pub(crate) watches: &'a mut Watches,
    pub(crate) stats: &'a mut Stats,
    /// Whether another stream of the source has that file.
    pub(crate) is_elsewhere: &'a dyn Fn(FileId) -> bool,
}

impl Desk<'_> {
    fn lose(&mut self, loss: Loss, file: &Path) {
        self.stats.count_in(loss, file);
    }

    fn release(&mut self, watch: Option<WatchId>, key: StreamKey) {
        if let Some(watch) = watch {
            self.watches.release(watch, Owner::Stream(key));
        }
    }
}

impl Stream {
    pub(crate) fn new(
        key: StreamKey,
        path: PathBuf,
        naming: Naming,
        history: History,
        beginning: Beginning,
    ) -> Self {
        Stream {
            key,
            path,
            is_named_alone: naming == Naming::Rotated && history == History::Nothing,
            naming,
            history,
            beginning: Some(beginning),
            places: Vec::new(),
            end: None,
            families: Vec::new(),
            generations: Vec::new(),
            live: None,
            last_live: None,
            fates: HashMap::new(),
            settled: HashMap::new(),
            past: VecDeque::new(),
            gone: None,
            floor_ns: i64::MIN,
            past_ns: i64::MIN,
            is_backlogged: false,
            is_forbidden: false,
            look_due: true,
            looks_in_vain: 0,
            is_queued: false,
        }
    }

    /// The name that the log has.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it holds that file, or knows that there is nothing more to be read in it.
    pub(crate) fn has(&self, file: FileId) -> bool {
        self.is_open(file) || matches!(self.fates.get(&file), Some(Fate::Done(_)))
    }

    /// Whether it holds no file, and none is in sight.
    pub(crate) fn is_empty(&self) -> bool {
        self.generations.is_empty() && !self.is_new() && !self.look_due
    }

    /// Whether nothing has begun yet.
    pub(crate) fn is_new(&self) -> bool {
        self.beginning.is_some()
    }

    /// Whether there may be something to do.
    pub(crate) fn is_ready(&self) -> bool {
        self.look_due || self.is_backlogged || self.next_unread().is_some()
    }

    /// Takes a note. What follows from it is done at the next turn.
    pub(crate) fn notice(&mut self, note: Note<'_>) {
        const CHANGED: ReadFlags = ReadFlags::ATTRIB
            .union(ReadFlags::MOVE_SELF)
            .union(ReadFlags::DELETE_SELF)
            .union(ReadFlags::UNMOUNT);
        let is_last = self.generations.last().is_some_and(|last| last.watch == Some(note.watch));
        let Some(generation) = self.generations.iter_mut().find(|open| open.watch == Some(note.watch)) else {
            self.look_due |= self.places.iter().any(|place| place.is_touched(note, |name| self.is_kin(name)));
            return;
        };
        if note.flags.contains(ReadFlags::MODIFY) {
            generation.unread = true;
            generation.closed = false;
        }
        if note.flags.contains(ReadFlags::CLOSE_WRITE) {
            generation.closed = true;
            self.look_due |= !is_last || generation.is_deleted().unwrap_or(true);
        }
        self.look_due |= note.flags.intersects(CHANGED);
    }

    /// Notes were lost: everything is looked at again.
    pub(crate) fn look_again(&mut self) {
        self.look_due = true;
        for generation in &mut self.generations {
            generation.unread = true;
        }
    }

    /// Does one thing that is to be done, reading at most what `buffer` holds (if nothing, it only looks); says how much
    /// was read.
    pub(crate) fn turn(
        &mut self,
        desk: &mut Desk<'_>,
        buffer: &mut [u8],
        sink: &mut dyn FnMut(Line<'_>),
    ) -> io::Result<usize> {
        if self.look_due {
            self.look(desk).inspect_err(|_| self.look_due = true)?;
        }
        if buffer.is_empty() {
            return Ok(0);
        }
        let Some(at) = self.next_unread() else {
            self.look_due = self.is_backlogged;
            return Ok(0);
        };
        let is_last = at + 1 == self.generations.len();
        let Some(generation) = self.generations.get_mut(at) else { return Ok(0) };
        let (source, file) = (self.key.source, generation.id);
        let (mut lines, mut cut_lines) = (0, 0);
        let step = generation.step(buffer, |RawLine { offset, bytes, cut }| {
            lines += 1;
            cut_lines += u64::from(cut);
            sink(Line { source, file, offset, bytes, cut });
        });
        desk.stats.lines += lines;
        desk.stats.cut_lines += cut_lines;
        match step {
            Ok(Step::Read(count)) => {
                desk.stats.bytes += count as u64;
                if !is_last && !generation.unread {
                    self.retire(desk)?;
                }
                Ok(count)
            }
            Ok(Step::End) => {
                self.retire(desk)?;
                Ok(0)
            }
            Ok(Step::Broken) => {
                self.look_due = true;
                Ok(0)
            }
            Ok(Step::Short) => {
                desk.lose(Loss::Race, &generation.path);
                self.retire(desk)?;
                Ok(0)
            }
            Err(_) => {
                // Counted instead of returned: it is this file's trouble, and the next note tries again.
                generation.unread = false;
                desk.lose(Loss::Unreadable, &generation.path);
                Ok(0)
            }
        }
    }

    /// The positions from which nothing is lost and nothing read twice.
    pub(crate) fn cursors(&self) -> Vec<Cursor> {
        let youngest = self.generations.iter().map(|open| open.id.born_ns).max().unwrap_or(i64::MIN);
        let done = self.fates.values().filter_map(|fate| match fate {
            Fate::Done(cursor) => Some(cursor).filter(|done| {
                let is_past = self.past.iter().any(|past| past.file() == done.file());
                !is_past && done.born_ns >= youngest.saturating_sub(TICK_NS)
            }),
            Fate::Copy | Fate::Passed => None,
        });
        // Those of files that have not been found yet are kept.
        let begun = self.beginning.iter().flat_map(|beginning| &beginning.cursors);
        let waiting = begun.filter(|cursor| !self.is_known_better(cursor));
        // While older files wait, the live one must not look like the youngest that is known: then those that wait
        // would seem to be known too.
        let is_held_back =
            |open: &&Generation| self.is_backlogged && Some(open.id) == self.live && open.line_start() == 0;
        let open = self.generations.iter().filter(|open| !is_held_back(open)).map(Generation::cursor);
        self.past.iter().chain(done).chain(waiting).cloned().chain(open).collect()
    }

    /// How many bytes are still to be read.
    pub(crate) fn behind_bytes(&self) -> u64 {
        self.generations.iter().map(Generation::behind_bytes).sum()
    }

    /// How many files it holds open.
    pub(crate) fn files(&self) -> usize {
        self.generations.len()
    }

    /// The file that is read last.
    pub(crate) fn current(&self) -> Option<&Path> {
        self.generations.last().map(|open| open.path.as_path())
    }

    /// Gives all watches back.
    pub(crate) fn leave(&mut self, watches: &mut Watches) {
        for place in self.places.drain(..) {
            watches.release(place.watch, Owner::Stream(self.key));
        }
        for watch in self.generations.drain(..).filter_map(|open| open.watch) {
            watches.release(watch, Owner::Stream(self.key));
        }
    }

    fn is_open(&self, file: FileId) -> bool {
        self.generations.iter().any(|open| open.id == file)
    }

    fn next_unread(&self) -> Option<usize> {
        let is_held_back = |open: &Generation| self.is_backlogged && Some(open.id) == self.live;
        self.generations.iter().position(|open| open.unread && !is_held_back(open))
    }

    /// Whether a file of that name may concern the log.
    fn is_kin(&self, name: &OsStr) -> bool {
        let is_log = self.end.as_ref().is_some_and(|end| end.spot.name == name);
        is_log
            || self.path.file_name() == Some(name)
            || self.families.iter().any(|(_, family)| family.rank(name).is_some())
    }

    /// Lets go of files from which nothing more is to be expected.
    fn retire(&mut self, desk: &mut Desk<'_>) -> io::Result<()> {
        let mut younger = self.generations.len();
        let mut at = 0;
        while let Some(generation) = self.generations.get(at) {
            younger -= 1;
            let is_surplus = younger > ROTATED_OPEN_MAX || (self.is_backlogged && younger > 0);
            if generation.unread || !(is_surplus || generation.is_finished()?) {
                at += 1;
                continue;
            }
            let generation = self.generations.remove(at);
            desk.release(generation.watch, self.key);
            if generation.is_in_a_line() {
                desk.lose(Loss::Unfinished, &generation.path);
            }
            let mut cursor = generation.cursor();
            let is_deleted = generation.is_deleted()?;
            if is_deleted || cursor.is_packed {
                cursor.is_over = true;
                self.remember(cursor.clone());
            }
            if !is_deleted {
                self.fates.insert(generation.id, Fate::Done(cursor));
            }
        }
        Ok(())
    }

    /// Whether the file of a cursor that it began with has been taken up since: it is open, or was read to its end.
    fn is_known_better(&self, cursor: &Cursor) -> bool {
        let is_done = |(file, fate): (&FileId, &Fate)| matches!(fate, Fate::Done(_)) && cursor.is_in(*file);
        self.generations.iter().any(|open| cursor.is_in(open.id))
            || self.fates.iter().any(is_done)
            || self.past.iter().any(|past| past.is_over && past.file() == cursor.file())
    }

    /// Keeps in mind what a file held that is no more.
    fn remember(&mut self, cursor: Cursor) {
        self.past.retain(|past| past.file() != cursor.file());
        if self.past.len() >= PAST_MAX {
            self.past.pop_front();
        }
        self.past.push_back(cursor);
    }
}
