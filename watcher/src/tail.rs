//! Follows log files through all that is done to them, and gives each of their lines once.
//!
//! Renamed, truncated, deleted and made anew, replaced by another, reached by a link that is switched, rotated twenty
//! times while nobody looked: a file is known by what it is ([`FileId`], and its first bytes), not by its name, and is
//! read to its end before the one that took its place. Positions are [`Cursor`]s, which the caller keeps. What may have
//! been lost and cannot be known is counted ([`Loss`]).
//!
//! What this is not: it has no thread, no clock and no opinion on what a line means. The caller waits until
//! [`Tailer::fd`] is readable and calls [`Tailer::read`]; nothing is polled. Nor does it hear of what another machine
//! writes to a shared file system: the kernel does not tell (inotify(7)).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

mod compression;
mod cursor;
mod family;
mod generation;
mod head;
mod notify;
mod packed;
mod pattern;
mod replay;
mod sibling;
mod source;
mod splitter;
mod stats;
mod stream;
mod way;

pub use compression::decompressed;
pub use cursor::{Cursor, FileId};
pub(crate) use family::{is_compressed, possible_bases};
pub use replay::{Members, read_all, read_lines};
pub use splitter::{LINE_BYTES_MAX, LineSplitter, RawLine};
pub use stats::{Loss, Stats};

use notify::{Heard, Owner, StreamKey, Watches};
use pattern::Pattern;
use source::Source;
use stream::Beginning;

/// How much of one file is read before it is the next one's turn. Larger blocks are not read faster.
const BLOCK_BYTES: usize = 256 * 1024;

/// Follows the logs of any number of sources.
#[derive(Debug)]
pub struct Tailer {
    watches: Watches,
    sources: BTreeMap<SourceId, Source>,
    /// Streams that have something to do, in turn.
    ready: VecDeque<StreamKey>,
    /// Streams that could not do it. They try again when something else happens.
    failed: Vec<StreamKey>,
    /// Sources whose patterns may match something else by now.
    expanding: BTreeSet<SourceId>,
    buffer: Box<[u8]>,
}

/// Which of the caller's sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub u16);

/// What is to be followed. None of it need exist: it is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A directory of multilog or svlogd: the archives in it, and `current`.
    Directory(PathBuf),
    /// One log. If it turns out to be a directory, it is taken as one.
    File(PathBuf),
    /// All files, and multilog directories, that match; those that come later too. `*`, `?` and `[…]` may stand in any
    /// part of the path and match within it.
    Glob(String),
}

/// Where a log is begun that has no cursor. A log that appears later is read from its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// With its first line.
    #[default]
    Beginning,
    /// With the first line that is not yet finished.
    End,
}

/// A complete line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Whose it is.
    pub source: SourceId,
    /// The file it stands in.
    pub file: FileId,
    /// Where it begins in the file.
    pub offset: u64,
    /// The line without its LF; any bytes.
    pub bytes: &'a [u8],
    /// Whether it was longer than [`LINE_BYTES_MAX`], and this is its beginning.
    pub cut: bool,
}

/// Whether there is more to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The budget is spent, and there is more.
    More,
    /// All is read; the next call has nothing to do until [`Tailer::fd`] is readable.
    Idle,
}

impl Target {
    /// What a path from a configuration means: a glob if it holds `*`, `?` or `[`; a directory if it is one or ends in
    /// a slash; else a file.
    pub fn parse(path: &str) -> Target {
        if Pattern::is_in(path.as_bytes()) {
            Target::Glob(path.to_owned())
        } else if path.ends_with('/') || Path::new(path).is_dir() {
            Target::Directory(PathBuf::from(path))
        } else {
            Target::File(PathBuf::from(path))
        }
    }
}

impl Tailer {
    /// A tailer that follows nothing yet.
    ///
    /// # Errors
    /// Where the kernel gives no inotify instance (`fs.inotify.max_user_instances`).
    pub fn new() -> io::Result<Tailer> {
        Ok(Tailer {
            watches: Watches::new()?,
            sources: BTreeMap::new(),
            ready: VecDeque::new(),
            failed: Vec::new(),
            expanding: BTreeSet::new(),
            buffer: vec![0; BLOCK_BYTES].into_boxed_slice(),
        })
    }

    /// Follows `target` as `source`, from where the cursors stand; instead of what was followed as that source before.
    /// What there is to read already is read by the next call of [`Tailer::read`]; no note announces it.
    ///
    /// # Errors
    /// Where the kernel gives no more watches or descriptors. A missing file is no error. What can be followed is
    /// followed, and [`Tailer::read`] tries the rest again.
    pub fn follow(
        &mut self,
        source: SourceId,
        target: Target,
        start: Start,
        cursors: &[Cursor],
    ) -> io::Result<()> {
        self.unfollow(source);
        let beginning = Beginning::new(start, cursors.to_vec());
        let added = Source::new(source, target, beginning, &mut self.watches)?;
        let keys: Vec<_> = added.keys().collect();
        self.sources.insert(source, added);
        self.look(&keys)
    }

    /// Follows a source no more.
    pub fn unfollow(&mut self, source: SourceId) {
        if let Some(mut gone) = self.sources.remove(&source) {
            gone.leave(&mut self.watches);
        }
        self.ready.retain(|key| key.source != source);
        self.failed.retain(|key| key.source != source);
    }

    /// Becomes readable when there may be something to read.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.watches.fd()
    }

    /// Reads what there is, at most `budget_bytes` of it, and gives each complete line to `sink`: those of one file in
    /// order, those of a rotated file before those of its successor, files of different logs by turns.
    ///
    /// # Errors
    /// Where the kernel gives no more watches or descriptors. What can be read has been read then, and the next call
    /// tries again.
    pub fn read(&mut self, budget_bytes: usize, sink: &mut dyn FnMut(Line<'_>)) -> io::Result<Progress> {
        self.listen()?;
        // One log's trouble is told of, and keeps nobody from reading the others.
        let mut trouble = Ok(Progress::Idle);
        for source in std::mem::take(&mut self.expanding) {
            if let Err(error) = self.expand(source) {
                self.expanding.insert(source);
                trouble = Err(error);
            }
        }
        for key in std::mem::take(&mut self.failed) {
            self.enqueue(key);
        }
        let mut left = budget_bytes;
        while let Some(key) = self.ready.pop_front() {
            if left == 0 {
                self.ready.push_front(key);
                return Ok(Progress::More);
            }
            match self.turn(key, left, sink) {
                Ok(count) => left = left.saturating_sub(count),
                Err(error) => trouble = Err(error),
            }
        }
        trouble
    }

    /// The positions after the last line of each file that was given to the sink. To be kept together with what
    /// followed from those lines: then no line counts twice, and none is lost, whenever the program ends.
    pub fn cursors(&self, source: SourceId) -> Vec<Cursor> {
        self.sources.get(&source).map(Source::cursors).unwrap_or_default()
    }

    /// How a source stands.
    pub fn stats(&self, source: SourceId) -> Stats {
        self.sources.get(&source).map(Source::stats).unwrap_or_default()
    }

    /// Takes the kernel's notes, and finds out who has something to do.
    fn listen(&mut self) -> io::Result<()> {
        let Tailer { watches, sources, ready, expanding, .. } = self;
        watches.listen(|heard| match heard {
            Heard::Note(Owner::Stream(key), note) => {
                if let Some(stream) = sources.get_mut(&key.source).and_then(|source| source.stream(key.slot))
                {
                    stream.notice(note);
                    if stream.is_ready() && !std::mem::replace(&mut stream.is_queued, true) {
                        ready.push_back(key);
                    }
                }
            }
            Heard::Note(Owner::Pattern(id), note) => {
                if let Some(source) = sources.get_mut(&id)
                    && source.is_expanded_by(note)
                {
                    expanding.insert(id);
                }
            }
            Heard::Overflow => {
                sources.values_mut().for_each(Source::look_again);
                expanding.extend(sources.keys());
                ready.clear();
                ready.extend(sources.values().flat_map(Source::keys));
            }
        })
    }

    fn expand(&mut self, id: SourceId) -> io::Result<()> {
        let Some(source) = self.sources.get_mut(&id) else { return Ok(()) };
        source.expand(&mut self.watches)?;
        let keys: Vec<_> = source.keys().collect();
        self.look(&keys)
    }

    /// Finds the files of streams that are new, and where their ends are.
    fn look(&mut self, keys: &[StreamKey]) -> io::Result<()> {
        let mut outcome = Ok(());
        for &key in keys {
            let stream = self.sources.get_mut(&key.source).and_then(|source| source.stream(key.slot));
            if stream.is_some_and(|stream| stream.is_new()) {
                // There is no room to read anything.
                outcome = self.turn(key, 0, &mut |_| {}).and(outcome);
            }
        }
        outcome
    }

    fn enqueue(&mut self, key: StreamKey) {
        let stream = self.sources.get_mut(&key.source).and_then(|source| source.stream(key.slot));
        if let Some(stream) = stream
            && stream.is_ready()
            && !std::mem::replace(&mut stream.is_queued, true)
        {
            self.ready.push_back(key);
        }
    }

    fn turn(&mut self, key: StreamKey, room: usize, sink: &mut dyn FnMut(Line<'_>)) -> io::Result<usize> {
        let Some(source) = self.sources.get_mut(&key.source) else { return Ok(0) };
        if let Some(stream) = source.stream(key.slot) {
            stream.is_queued = false;
        }
        let buffer = self.buffer.get_mut(..room.min(BLOCK_BYTES)).unwrap_or_default();
        let outcome = source.turn(key.slot, &mut self.watches, buffer, sink);
        match outcome {
            Ok(_) => self.enqueue(key),
            Err(_) => self.failed.push(key),
        }
        outcome
    }
}
