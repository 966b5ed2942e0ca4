//! What was truncated: where what it held was copied to, and what of it nobody has.

use std::io;

use crate::tail::generation::{Breach, Generation};
use crate::tail::head::Head;
use crate::tail::sibling::{Displaced, Opened, Sibling};
use crate::tail::stats::Loss;

use super::look::Scene;
use super::{Desk, Fate, Stream};

/// Where the copy of a file is among those beside the log.
enum Copied {
    At(usize),
    Nowhere,
    /// Names changed meanwhile: there is to be another look.
    Unknown,
}

impl Stream {
    /// Finds what was truncated, and where what it held was copied to.
    pub(super) fn mend(&mut self, scene: &Scene, desk: &mut Desk<'_>) -> io::Result<()> {
        let mut at = 0;
        while let Some(generation) = self.generations.get_mut(at) {
            if let Some(breach) = generation.breach()? {
                at += self.mend_one(at, breach, scene, desk)?;
            }
            at += 1;
        }
        Ok(())
    }

    /// Says how many files were put before the one that was truncated.
    fn mend_one(
        &mut self,
        at: usize,
        breach: Breach,
        scene: &Scene,
        desk: &mut Desk<'_>,
    ) -> io::Result<usize> {
        let Some(generation) = self.generations.get_mut(at) else { return Ok(0) };
        if breach == Breach::TakenBack {
            generation.read_line_again()?;
            return Ok(0);
        }
        let (print, offset) = (generation.head().print(), generation.line_start());
        let displaced = Displaced { file: generation.id, print, offset, seen: generation.position() };
        let Some(count) = self.take_copies(at, displaced, scene, desk)? else { return Ok(0) };
        if let Some(generation) = self.generations.get_mut(at + count) {
            match breach {
                // What is left may be a new beginning that is like the old; but then there would be a copy.
                Breach::Shrunk(size) if count == 0 => generation.shrink(size)?,
                Breach::Shrunk(_) | Breach::Restarted | Breach::TakenBack => generation.restart()?,
            }
        }
        Ok(count)
    }

    /// Finds the copy that was made of a file before it was truncated, to be read from where the file had been read;
    /// and the later copies, of what it held since. They are put at `at`; says how many.
    /// `None` if there must be another look first.
    pub(super) fn take_copies(
        &mut self,
        at: usize,
        displaced: Displaced,
        scene: &Scene,
        desk: &mut Desk<'_>,
    ) -> io::Result<Option<usize>> {
        let first = match self.find_copy(displaced, &scene.siblings)? {
            Copied::At(index) => Some(index),
            Copied::Nowhere => None,
            Copied::Unknown => return Ok(None),
        };
        // What is younger than the file is no copy of it; the log itself is younger than all.
        let until = if scene.live_id() == Some(displaced.file) {
            scene.siblings.len()
        } else {
            let own = scene.siblings.iter().position(|sibling| sibling.id == displaced.file);
            own.unwrap_or_else(|| first.map_or(0, |index| index + 1))
        };
        let older = scene.siblings.get(..until).unwrap_or_default();
        let mut copies = Vec::new();
        // Where the first copy is gone, the later ones may still be there.
        let from = first.unwrap_or_else(|| self.known_up_to(older));
        for (index, sibling) in older.iter().enumerate().skip(from) {
            let is_first = Some(index) == first;
            let is_wanted = if is_first {
                !sibling.ends_before(displaced.offset)?
            } else {
                self.may_be_copy_since(sibling, displaced, scene)?
            };
            if !is_wanted {
                continue;
            }
            match sibling.open()? {
                Opened::File(file, form) => {
                    let offset = if is_first { displaced.offset } else { 0 };
                    copies.push(self.generation((file, form), sibling, offset, desk)?);
                }
                Opened::Changed if self.looks_once_more() => {
                    copies.iter().for_each(|copy: &Generation| desk.release(copy.watch, self.key));
                    return Ok(None);
                }
                Opened::Changed => {}
                Opened::Forbidden => desk.lose(Loss::Unreadable, &sibling.path),
            }
        }
        match first.and_then(|index| scene.siblings.get(index)) {
            None => desk.lose(Loss::Truncated, &self.path),
            Some(copy) if copy.ends_before(displaced.seen)? => desk.lose(Loss::Race, &self.path),
            Some(_) => {}
        }
        desk.stats.rotations += 1;
        let count = copies.len();
        self.generations.splice(at..at, copies);
        Ok(Some(count))
    }

    fn find_copy(&mut self, displaced: Displaced, siblings: &[Sibling]) -> io::Result<Copied> {
        // Less than a line many files begin with.
        if displaced.print.length == 0 {
            return Ok(Copied::Nowhere);
        }
        let mut short = Copied::Nowhere;
        for (index, sibling) in siblings.iter().enumerate() {
            let may_be = !self.is_open(sibling.id)
                && self.cursor_of(sibling.id).is_none()
                && matches!(self.fates.get(&sibling.id), None | Some(Fate::Copy));
            if !may_be {
                continue;
            }
            match sibling.is_copy_of(displaced)? {
                Some(true) if sibling.ends_before(displaced.offset)? => short = Copied::At(index),
                Some(true) => return Ok(Copied::At(index)),
                None if self.looks_once_more() => return Ok(Copied::Unknown),
                Some(false) | None => {}
            }
        }
        Ok(short)
    }

    /// Whether a file came to be beside the log after it was truncated: then it holds what the log held meanwhile.
    fn may_be_copy_since(&self, sibling: &Sibling, displaced: Displaced, scene: &Scene) -> io::Result<bool> {
        let is_candidate = self.is_unknown(sibling)
            && sibling.size > 0
            && !sibling.is_from_before(self.past_ns.max(displaced.file.born_ns));
        if !is_candidate {
            return Ok(false);
        }
        let head = sibling.head()?.unwrap_or(Head::EMPTY);
        Ok(!self.knows(sibling, &head, scene)?)
    }

    /// Behind the youngest file beside the log of which it is known what it is.
    fn known_up_to(&self, siblings: &[Sibling]) -> usize {
        siblings.iter().rposition(|sibling| !self.is_unknown(sibling)).map_or(0, |last| last + 1)
    }
}
