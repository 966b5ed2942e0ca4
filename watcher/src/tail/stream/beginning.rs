//! The first look: what is old, and where the files of the cursors are now.

use std::io;

use crate::tail::Start;
use crate::tail::cursor::{Cursor, FileId};
use crate::tail::generation::Generation;
use crate::tail::head::Head;
use crate::tail::packed::Form;
use crate::tail::sibling::{self, Displaced, Opened, Sibling};
use crate::tail::stats::Loss;
use crate::tail::way::End;

use super::look::Scene;
use super::{Desk, Fate, History, Stream};

/// How a log is begun with.
#[derive(Clone, Debug)]
pub(crate) struct Beginning {
    pub(crate) start: Start,
    pub(crate) cursors: Vec<Cursor>,
    /// Whether the files of the cursors have been searched for. A look may have to be repeated.
    is_searched: bool,
}

impl Beginning {
    pub(crate) fn new(start: Start, cursors: Vec<Cursor>) -> Self {
        Beginning { start, cursors, is_searched: false }
    }
}

impl Stream {
    /// On the first look, decides what is old, and finds the files that are called otherwise by now.
    /// `was_processed` says whether multilog's processor was at work before.
    pub(super) fn begin(&mut self, end: &End, scene: &mut Scene, was_processed: bool) -> io::Result<()> {
        let Some(Beginning { start, cursors, is_searched }) = self.beginning.clone() else { return Ok(()) };
        if cursors.is_empty() {
            return self.pass_over_the_past(start, &scene.siblings);
        }
        let is_here = |cursor: &Cursor, scene: &Scene| {
            let live = scene.live.iter().map(|found| &found.sibling);
            live.chain(&scene.siblings).any(|sibling| cursor.is_in(sibling.id))
        };
        for cursor in &cursors {
            if !is_here(cursor, scene) {
                let there = cursor.path.parent().and_then(|directory| sibling::find(directory, cursor));
                let here = || sibling::find(&end.spot.directory, cursor);
                scene.siblings.extend(there.or_else(here));
            }
        }
        scene.sort();
        if is_searched {
            return Ok(());
        }
        let is_missing = |cursor: &Cursor| !cursor.is_over && !is_here(cursor, scene);
        if was_processed && cursors.iter().any(is_missing) && self.looks_once_more() {
            // It is on its way from one name to the other.
            return Ok(());
        }
        let last = cursors.last();
        for cursor in &cursors {
            let is_here = is_here(cursor, scene);
            if is_here && cursor.is_over {
                self.fates.insert(cursor.file(), Fate::Done(cursor.clone()));
            }
            let is_found = is_here || (!cursor.is_over && self.adopt_copy(cursor, &scene.siblings)?);
            if cursor.is_over || !is_found {
                self.remember(cursor.clone());
            }
            // Of older files the end had been read, as a rule, and then they are removed, as a rule.
            if !is_found && !cursor.is_over && Some(cursor) == last {
                self.gone = Some(cursor.clone());
            }
        }
        self.past_ns = cursors.iter().map(|cursor| cursor.modified_ns).max().unwrap_or(i64::MIN);
        // A compressed file came to be when it was compressed, which says nothing of the log that it holds.
        let youngest = cursors.iter().filter(|cursor| !cursor.is_packed).max_by_key(|cursor| cursor.born_ns);
        self.floor_ns = match youngest.map(|youngest| youngest.born_ns) {
            None => i64::MIN,
            // Without births, what was written to after all that is known.
            Some(0) => self.youngest_known_ns(&scene.siblings),
            Some(born_ns) => born_ns,
        };
        if let Some(beginning) = &mut self.beginning {
            beginning.is_searched = true;
        }
        Ok(())
    }

    /// Takes up what has a cursor. Before the other files are judged: some may be copies of what was truncated.
    pub(super) fn resume(&mut self, scene: &Scene, desk: &mut Desk<'_>) -> io::Result<()> {
        let live = scene.live.iter().map(|found| &found.sibling);
        for sibling in scene.siblings.iter().chain(live) {
            let Some(cursor) = self.cursor_of(sibling.id).filter(|cursor| !cursor.is_over) else { continue };
            // Between two looks at a log whose names go on changing, a file may have been read to its end.
            if self.has(sibling.id) || (desk.is_elsewhere)(sibling.id) {
                continue;
            }
            match sibling.open()? {
                Opened::File(file, form) => self.take_up((file, form), sibling, Some(cursor), scene, desk)?,
                Opened::Changed => drop(self.looks_once_more()),
                Opened::Forbidden => desk.lose(Loss::Unreadable, &sibling.path),
            }
            if self.look_due {
                // What is younger is not to be read before what could not be opened now.
                return Ok(());
            }
        }
        Ok(())
    }

    /// Takes up what had not been found, and has turned up: by its own name again, or compressed.
    pub(super) fn resume_missing(&mut self, scene: &Scene, desk: &mut Desk<'_>) -> io::Result<()> {
        if self.past.iter().all(|cursor| cursor.is_over) {
            return Ok(());
        }
        for sibling in &scene.siblings {
            if !self.is_unknown(sibling) {
                continue;
            }
            let Opened::File(file, form) = sibling.open()? else { continue };
            let head = match form {
                Form::Plain => Head::EMPTY,
                Form::Packed => Head::within(&file, form)?,
            };
            let is_it = |cursor: &Cursor| {
                let is_held = cursor.head_len > 0 && head.bears(cursor.print());
                !cursor.is_over && (cursor.is_in(sibling.id) || is_held)
            };
            if let Some(at) = self.past.iter().position(is_it)
                && let Some(cursor) = self.past.remove(at)
            {
                self.take_up((file, form), sibling, Some(cursor), scene, desk)?;
            }
        }
        Ok(())
    }

    /// Counts the file of the last cursor as lost if it is gone; unless nothing had been seen of it, and there are
    /// compressed files that have not been read: one of them is it.
    pub(super) fn count_gone(&mut self, desk: &mut Desk<'_>) {
        let Some(gone) = self.gone.take() else { return };
        let is_unread = |open: &Generation| open.is_packed() && open.line_start() == 0;
        if gone.head_len > 0 || !self.generations.iter().any(is_unread) {
            desk.lose(Loss::Gone, &gone.path);
        }
    }

    /// Whether this is the first look at a log of which only what is still to come is wanted.
    pub(super) fn begins_at_the_end(&self) -> bool {
        self.beginning
            .as_ref()
            .is_some_and(|beginning| beginning.start == Start::End && beginning.cursors.is_empty())
    }

    /// Without cursors, the rotated files that are there are not read, unless the source names them too; nor when they
    /// are compressed later.
    fn pass_over_the_past(&mut self, start: Start, siblings: &[Sibling]) -> io::Result<()> {
        for sibling in siblings {
            let is_named = match &self.history {
                History::Nothing => false,
                History::Matching(pattern) => {
                    !sibling.is_named_packed()
                        && sibling.path.file_name().is_some_and(|name| pattern.matches_name(name))
                }
                History::Everything => true,
            };
            if !is_named || start == Start::End {
                self.fates.insert(sibling.id, Fate::Passed);
                if !sibling.is_packed()?
                    && let Some(head) = sibling.head()?.filter(|head| !head.bytes().is_empty())
                {
                    let path = sibling.path.clone();
                    self.remember(Cursor::behind(path, sibling.id, sibling.size, head.print()));
                }
            }
        }
        if self.history == History::Nothing {
            self.floor_ns = siblings.iter().map(|sibling| sibling.age_ns).max().unwrap_or(i64::MIN);
        }
        Ok(())
    }

    /// A file that is gone may have been copied before: a copy begins as it did, and is read from where it had been read.
    fn adopt_copy(&mut self, cursor: &Cursor, siblings: &[Sibling]) -> io::Result<bool> {
        let displaced = Displaced {
            file: cursor.file(),
            print: cursor.print(),
            offset: cursor.offset,
            seen: cursor.offset,
        };
        for sibling in siblings {
            // Of less than a line, too many files are copies.
            let is_candidate = displaced.print.length > 0
                && self.cursor_of(sibling.id).is_none()
                && !sibling.ends_before(displaced.offset)?
                && sibling.is_copy_of(displaced)? == Some(true);
            if is_candidate && let Some(beginning) = &mut self.beginning {
                let FileId { device, inode, born_ns } = sibling.id;
                let is_packed = sibling.is_packed()?;
                beginning.cursors.push(Cursor { device, inode, born_ns, is_packed, ..cursor.clone() });
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn youngest_known_ns(&self, siblings: &[Sibling]) -> i64 {
        let known = siblings.iter().filter(|sibling| self.cursor_of(sibling.id).is_some());
        known.map(|sibling| sibling.age_ns).max().unwrap_or(i64::MAX)
    }

    pub(super) fn cursor_of(&self, file: FileId) -> Option<Cursor> {
        self.beginning.as_ref()?.cursors.iter().find(|cursor| cursor.is_in(file)).cloned()
    }
}
