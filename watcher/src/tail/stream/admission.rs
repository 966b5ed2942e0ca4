//! What is opened: the generations that came and went unseen, and the log itself; and in which order they are read.

use std::collections::HashSet;
use std::fs::File;
use std::io;

use crate::tail::cursor::Cursor;
use crate::tail::generation::{self, Generation};
use crate::tail::head::Head;
use crate::tail::notify::Owner;
use crate::tail::packed::Form;
use crate::tail::sibling::{Displaced, Live, Opened, Sibling, Verdict};
use crate::tail::stats::Loss;

use super::look::{Found, Scene};
use super::{Desk, Fate, GENERATIONS_OPEN_MAX, Stream};

impl Stream {
    /// Opens the generations that came and went unseen.
    pub(super) fn admit(&mut self, scene: &Scene, desk: &mut Desk<'_>) -> io::Result<()> {
        let live = match &scene.live {
            Some(found) => Some(self.live(found)?),
            None => None,
        };
        let passed_up_to = self.passed_up_to(scene)?;
        for (index, sibling) in scene.siblings.iter().enumerate() {
            if let Some(open) = self.generations.iter_mut().find(|open| open.id == sibling.id) {
                open.path.clone_from(&sibling.path);
                continue;
            }
            let is_live = scene.live_id() == Some(sibling.id);
            if is_live || !self.is_unknown(sibling) || (desk.is_elsewhere)(sibling.id) {
                continue;
            }
            let is_full = self.generations.len() >= GENERATIONS_OPEN_MAX;
            let opened = match self.judge(sibling, index < passed_up_to, live.as_ref(), scene)? {
                Some(Verdict::Generation) if is_full => {
                    self.is_backlogged = true;
                    return Ok(());
                }
                Some(Verdict::Generation) => sibling.open()?,
                Some(Verdict::Copy) => {
                    self.fates.insert(sibling.id, Fate::Copy);
                    continue;
                }
                Some(Verdict::Stranger) => {
                    self.fates.insert(sibling.id, Fate::Passed);
                    continue;
                }
                Some(Verdict::Undecided) => continue,
                None => Opened::Changed,
            };
            match opened {
                Opened::File(file, form) => {
                    desk.stats.rotations += u64::from(self.beginning.is_none());
                    self.take_up((file, form), sibling, None, scene, desk)?;
                }
                Opened::Changed if self.looks_once_more() => return Ok(()),
                Opened::Changed => {}
                Opened::Forbidden => {
                    desk.lose(Loss::Unreadable, &sibling.path);
                    self.fates.insert(sibling.id, Fate::Passed);
                }
            }
        }
        Ok(())
    }

    /// Judges a file that is not known. `None` if it has another name by now.
    fn judge(
        &self,
        sibling: &Sibling,
        is_passed: bool,
        live: Option<&Live>,
        scene: &Scene,
    ) -> io::Result<Option<Verdict>> {
        if !sibling.is_packed()? {
            // Without births to go by, the time of the last writing tells; less well, since a writer may be late.
            return if self.floor_ns == i64::MIN && sibling.is_from_before(self.past_ns) {
                Ok(Some(Verdict::Stranger))
            } else {
                sibling.judge(live, self.floor_ns)
            };
        }
        if is_passed && sibling.is_named_packed() {
            return Ok(Some(Verdict::Stranger));
        }
        self.judge_packed(sibling, scene)
    }

    /// Opens the log itself, and puts it last.
    pub(super) fn admit_live(&mut self, scene: &Scene, desk: &mut Desk<'_>) -> io::Result<()> {
        let Some(Found { file, sibling }) = &scene.live else { return Ok(()) };
        let id = sibling.id;
        if let Some(at) = self.generations.iter().position(|open| open.id == id) {
            let mut generation = self.generations.remove(at);
            generation.path.clone_from(&sibling.path);
            self.generations.push(generation);
        } else if (desk.is_elsewhere)(id) || self.is_backlogged {
            return Ok(());
        } else if self.begins_at_the_end() {
            let offset = generation::last_line_start(file, sibling.size)?;
            let generation = self.generation((file.try_clone()?, Form::Plain), sibling, offset, desk)?;
            self.generations.push(generation);
        } else {
            let cursor = match self.fates.get(&id) {
                Some(Fate::Done(cursor)) => Some(cursor.clone()),
                Some(Fate::Copy | Fate::Passed) | None => None,
            };
            self.take_up((file.try_clone()?, Form::Plain), sibling, cursor, scene, desk)?;
            self.fates.remove(&id);
        }
        let before = self.last_live.replace(id);
        if before.is_some() && before != Some(id) {
            desk.stats.rotations += 1;
            for generation in &mut self.generations {
                generation.find_path();
            }
        }
        Ok(())
    }

    /// Adds a file, to be read from its cursor on, if it has one and still holds what it held.
    pub(super) fn take_up(
        &mut self,
        (file, form): (File, Form),
        sibling: &Sibling,
        cursor: Option<Cursor>,
        scene: &Scene,
        desk: &mut Desk<'_>,
    ) -> io::Result<()> {
        let mut at = self.place_of(sibling, scene);
        let offset = match cursor {
            None => 0,
            Some(cursor) if form == Form::Packed => cursor.offset,
            Some(cursor) => {
                let displaced = Displaced {
                    file: sibling.id,
                    print: cursor.print(),
                    offset: cursor.offset,
                    seen: cursor.offset,
                };
                let is_same = Head::of(&file)?.bears(displaced.print);
                if is_same && sibling.size >= cursor.offset {
                    cursor.offset
                } else if is_same && sibling.size > 0 {
                    desk.lose(Loss::Truncated, &sibling.path);
                    generation::last_line_start(&file, sibling.size)?
                } else if let Some(count) = self.take_copies(at, displaced, scene, desk)? {
                    at += count;
                    0
                } else {
                    return Ok(());
                }
            }
        };
        let generation = self.generation((file, form), sibling, offset, desk)?;
        self.generations.insert(at, generation);
        Ok(())
    }

    /// Where a file stands among those that are open: before those that are younger, and before the log itself. Files
    /// that are no longer beside the log are older than those that are.
    fn place_of(&self, sibling: &Sibling, scene: &Scene) -> usize {
        let live = scene.live_id();
        if live == Some(sibling.id) {
            return self.generations.len();
        }
        let from_here = scene.siblings.iter().skip_while(|other| other.id != sibling.id);
        let younger: HashSet<_> = from_here.map(|other| other.id).chain(live).collect();
        let place = self.generations.iter().position(|open| younger.contains(&open.id));
        place.unwrap_or(self.generations.len())
    }

    pub(super) fn generation(
        &self,
        (file, form): (File, Form),
        sibling: &Sibling,
        offset: u64,
        desk: &mut Desk<'_>,
    ) -> io::Result<Generation> {
        let watch = match form {
            Form::Plain => Some(desk.watches.add_file(&file, Owner::Stream(self.key))?),
            Form::Packed => None,
        };
        Generation::new(file, form, sibling.id, sibling.path.clone(), watch, offset)
    }

    /// What the siblings are compared with.
    fn live(&self, found: &Found) -> io::Result<Live> {
        let read = self.generations.iter().find(|open| open.id == found.sibling.id).map(Generation::head);
        let head = match read {
            Some(head) if !head.bytes().is_empty() => head.clone(),
            Some(_) | None => Head::of(&found.file)?,
        };
        Ok(Live { age_ns: found.sibling.age_ns, head })
    }

    /// Whether it is not known what a file beside the log is.
    pub(super) fn is_unknown(&self, sibling: &Sibling) -> bool {
        !self.is_open(sibling.id)
            && !self.fates.contains_key(&sibling.id)
            && self.cursor_of(sibling.id).is_none()
    }
}
