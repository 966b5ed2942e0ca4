//! Rotated files that were compressed: which of them hold what has not been read.
//!
//! A compressed file is a new file, made at any time; what it is can only be told from what it holds, and from its place
//! among the others. Nothing is looked for before the youngest file that is known: it has been read, or was never asked
//! for.

use std::io;

use crate::tail::head::Head;
use crate::tail::packed::Form;
use crate::tail::sibling::{Opened, Sibling, Verdict};

use super::look::Scene;
use super::{Fate, Stream};

impl Stream {
    /// Which of the files beside the log are older than something that is known: compressed ones among them hold nothing
    /// new. Says the first that may.
    pub(super) fn passed_up_to(&mut self, scene: &Scene) -> io::Result<usize> {
        let is_live_known =
            scene.live_id().is_some_and(|id| self.is_open(id) || self.cursor_of(id).is_some());
        if is_live_known {
            return Ok(scene.siblings.len());
        }
        for (index, sibling) in scene.siblings.iter().enumerate().rev() {
            if !self.is_unknown(sibling) {
                return Ok(index);
            }
            if sibling.is_named_packed()
                && let Some(head) = sibling.head()?
                && self.knows(sibling, &head, scene)?
            {
                self.fates.insert(sibling.id, Fate::Copy);
                return Ok(index);
            }
        }
        Ok(0)
    }

    /// Judges a compressed file that is not known. `None` if it has another name by now.
    pub(super) fn judge_packed(&self, sibling: &Sibling, scene: &Scene) -> io::Result<Option<Verdict>> {
        if sibling.is_from_before(self.past_ns) {
            return Ok(Some(Verdict::Stranger));
        }
        let Some(head) = sibling.head()? else { return Ok(None) };
        // Somebody has begun to compress, or calls something else so.
        if !sibling.holds_packed()? {
            return Ok(Some(Verdict::Undecided));
        }
        let is_known = self.knows(sibling, &head, scene)?;
        Ok(Some(if is_known { Verdict::Copy } else { Verdict::Generation }))
    }

    /// Whether what begins so was read, is being read, or is there uncompressed.
    pub(super) fn knows(&self, sibling: &Sibling, head: &Head, scene: &Scene) -> io::Result<bool> {
        for open in self.generations.iter().filter(|open| open.id != sibling.id) {
            if open.head_now()?.is_as(head) {
                return Ok(true);
            }
        }
        let done = self.fates.values().filter_map(|fate| match fate {
            Fate::Done(cursor) => Some(cursor),
            Fate::Copy | Fate::Passed => None,
        });
        let begun = self.beginning.iter().flat_map(|beginning| &beginning.cursors);
        if self
            .past
            .iter()
            .chain(done)
            .chain(begun)
            .any(|cursor| cursor.head_len > 0 && head.bears(cursor.print()))
        {
            return Ok(true);
        }
        for other in scene.siblings.iter().filter(|other| other.id != sibling.id && !other.is_named_packed())
        {
            if let Opened::File(file, Form::Plain) = other.open()?
                && Head::of(&file)?.is_as(head)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
