//! Looking at what is there: which file has the log's name, which had it before, and whether what was read from them
//! is still in them.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::PathBuf;

use crate::tail::cursor::{Cursor, FileId};
use crate::tail::family::{Family, Kin, Likeness, Rank};
use crate::tail::generation::{self, Breach, Generation};
use crate::tail::head::Head;
use crate::tail::notify::Owner;
use crate::tail::sibling::{Displaced, Listing, Live, Opened, Sibling, Verdict};
use crate::tail::stats::Loss;
use crate::tail::way::{End, Spot, Way};

use super::{Desk, Fate, GENERATIONS_OPEN_MAX, History, Naming, Stream};

/// Fates of files that are no longer found are forgotten when there are more than so many. Not at once: a directory
/// that is read while names change in it may not show a file that is there.
const FATES_MAX: usize = 1024;

/// How often a directory is listed in one look while its files change faster than it can be listed.
const SURVEYS_MAX: usize = 8;

/// How many looks may be repeated in a row.
const LOOKS_IN_VAIN_MAX: u32 = 64;

/// What was found in one look.
pub(super) struct Scene {
    /// The family of the log, oldest first.
    pub(super) siblings: Vec<Sibling>,
    /// The file that has the log's name.
    pub(super) live: Option<Found>,
}

/// An open file, and what it is.
pub(super) struct Found {
    pub(super) file: File,
    pub(super) sibling: Sibling,
}

impl Scene {
    pub(super) fn live_id(&self) -> Option<FileId> {
        self.live.as_ref().map(|found| found.sibling.id)
    }

    pub(super) fn sort(&mut self, naming: Naming) {
        sort(&mut self.siblings, naming);
    }
}

impl Stream {
    /// Looks again. If names change while they are looked at, another look is due: what could be found is found, but the
    /// log itself is left for later, so that nothing older is missing when it is read.
    pub(super) fn look(&mut self, desk: &mut Desk<'_>) -> io::Result<()> {
        self.look_due = false;
        self.go_the_way(desk)?;
        let Some(end) = self.end.clone() else { return self.retire(desk) };
        // What was written to a file before it was replaced may not have been noted yet when its successor is seen.
        self.generations.iter_mut().for_each(|open| open.unread = true);
        let Some(mut scene) = self.survey(&end, desk)? else { return Ok(()) };
        self.live = scene.live_id();
        self.is_backlogged = false;
        self.mend(&scene, desk)?;
        self.begin(&end, &mut scene, desk)?;
        self.resume(&scene, desk)?;
        if !self.look_due {
            self.admit(&scene, desk)?;
        }
        if !self.look_due {
            self.admit_live(&scene, desk)?;
            self.beginning = None;
            self.looks_in_vain = 0;
        }
        self.settle(&scene);
        self.forget(&scene);
        self.retire(desk)
    }

    /// Asks for another look, because names changed during this one; says whether there will be one. There is an end to
    /// it: some file systems seem to change for ever.
    pub(super) fn looks_once_more(&mut self) -> bool {
        if !self.look_due && self.looks_in_vain < LOOKS_IN_VAIN_MAX {
            self.looks_in_vain += 1;
            self.look_due = true;
        }
        self.look_due
    }

    fn go_the_way(&mut self, desk: &mut Desk<'_>) -> io::Result<()> {
        let owner = Owner::Stream(self.key);
        let mut way = Way::to(&self.path, desk.watches, owner)?;
        let is_named_alone = self.naming == Naming::Rotated && self.history == History::Nothing;
        if is_named_alone && way.end.as_ref().is_some_and(|end| end.spot.path().is_dir()) {
            // The directory of a multilog that had not yet made it when it was asked for.
            self.path.push("current");
            self.naming = Naming::Archives;
            self.history = History::Everything;
            let further = Way::to(&self.path, desk.watches, owner)?;
            way.places.extend(further.places);
            way.end = further.end;
        }
        let before = std::mem::replace(&mut self.places, way.places);
        for place in before {
            desk.watches.release(place.watch, owner);
        }
        self.families = way.end.as_ref().map(|end| families(end, self.naming)).unwrap_or_default();
        self.end = way.end;
        Ok(())
    }

    /// Finds the log and its family. The family is listed before the log is opened: so a rotation in between makes the
    /// log younger than its rotated files, never older. But then files that came between are not in the list; so if the
    /// log is a new one, the family is listed again, until two lists are alike. `None` if they change too fast for that.
    fn survey(&mut self, end: &End, desk: &mut Desk<'_>) -> io::Result<Option<Scene>> {
        let mut before: Option<Scene> = None;
        for _ in 0..SURVEYS_MAX {
            let Listing { siblings, is_blurred } = self.list();
            if is_blurred {
                continue;
            }
            if let Some(scene) = before.take_if(|scene| is_alike(&scene.siblings, &siblings)) {
                return Ok(Some(scene));
            }
            let scene = Scene { siblings, live: self.open_live(end, desk)? };
            if scene.live_id() == self.live {
                return Ok(Some(scene));
            }
            before = Some(scene);
        }
        if self.looks_once_more() {
            return Ok(None);
        }
        let siblings = self.list().siblings;
        Ok(Some(Scene { siblings, live: self.open_live(end, desk)? }))
    }

    fn list(&self) -> Listing {
        let mut listing = Listing::default();
        for (directory, family) in &self.families {
            listing.add(directory, family, |path| self.settled.contains_key(path));
        }
        sort(&mut listing.siblings, self.naming);
        listing
    }

    fn open_live(&mut self, end: &End, desk: &mut Desk<'_>) -> io::Result<Option<Found>> {
        let path = end.spot.path();
        let opened = generation::open(&path);
        let is_forbidden = matches!(&opened, Err(error) if error.kind() == io::ErrorKind::PermissionDenied);
        if is_forbidden && !self.is_forbidden {
            desk.stats.count(Loss::Unreadable);
        }
        self.is_forbidden = is_forbidden;
        match opened {
            Ok(opened) => Ok(opened.map(|(file, metadata)| {
                let sibling = Sibling::new(path, &metadata, Rank::Newest);
                Found { file, sibling }
            })),
            Err(error) if is_forbidden || error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Finds what was truncated, and where what it held was copied to.
    fn mend(&mut self, scene: &Scene, desk: &mut Desk<'_>) -> io::Result<()> {
        let mut at = 0;
        while let Some(generation) = self.generations.get(at) {
            if let Some(breach) = generation.breach()? {
                let (print, offset) = (generation.head().print(), generation.line_start());
                let displaced = Displaced { file: generation.id, print, offset };
                let copies = self.take_copies(at, displaced, scene, desk)?;
                at += copies.unwrap_or(0);
                if let Some(generation) = self.generations.get_mut(at) {
                    match (breach, copies) {
                        (_, None) => {}
                        // What is left may be a new beginning that is like the old; but then there would be a copy.
                        (Breach::Shrunk(size), Some(0)) => generation.shrink(size)?,
                        (Breach::Shrunk(_) | Breach::Restarted, Some(_)) => generation.restart(),
                    }
                }
            }
            at += 1;
        }
        Ok(())
    }

    /// Finds the copy that was made of a file before it was truncated, to be read from where the file had been read;
    /// and, where that is the log itself, the later copies, of what it held since. They are put at `at`; says how many.
    /// `None` if there must be another look first.
    fn take_copies(
        &mut self,
        at: usize,
        displaced: Displaced,
        scene: &Scene,
        desk: &mut Desk<'_>,
    ) -> io::Result<Option<usize>> {
        let mut copies = Vec::new();
        for sibling in &scene.siblings {
            let fate = self.fates.get(&sibling.id);
            if self.is_open(sibling.id) || !matches!(fate, None | Some(Fate::Copy)) {
                continue;
            }
            let is_wanted = if copies.is_empty() {
                sibling.is_copy_of(displaced)?
            } else {
                Some(fate.is_none() && sibling.size > 0 && !sibling.is_restored())
            };
            let opened = match is_wanted {
                Some(true) => sibling.open()?,
                Some(false) => continue,
                None => Opened::Changed,
            };
            match opened {
                Opened::File(file) => {
                    let from = if copies.is_empty() { displaced.offset } else { 0 };
                    copies.push(self.generation(file, sibling, from, desk)?);
                }
                Opened::Changed if self.looks_once_more() => {
                    copies.iter().for_each(|copy| desk.watches.release(copy.watch, Owner::Stream(self.key)));
                    return Ok(None);
                }
                Opened::Changed => {}
                Opened::Forbidden => desk.stats.count(Loss::Unreadable),
            }
            if scene.live_id() != Some(displaced.file) {
                break;
            }
        }
        desk.stats.count(if copies.is_empty() { Loss::Truncated } else { Loss::Race });
        desk.stats.rotations += 1;
        let count = copies.len();
        self.generations.splice(at..at, copies);
        Ok(Some(count))
    }

    /// Opens the generations that came and went unseen.
    fn admit(&mut self, scene: &Scene, desk: &mut Desk<'_>) -> io::Result<()> {
        let live = match &scene.live {
            Some(found) => Some(self.live(found)?),
            None => None,
        };
        for sibling in &scene.siblings {
            if let Some(open) = self.generations.iter_mut().find(|open| open.id == sibling.id) {
                open.path.clone_from(&sibling.path);
                continue;
            }
            let is_known = self.fates.contains_key(&sibling.id)
                || scene.live_id() == Some(sibling.id)
                || self.cursor_of(sibling.id).is_some()
                || (desk.is_elsewhere)(sibling.id);
            if is_known {
                continue;
            }
            let verdict = sibling.judge(live.as_ref(), self.floor_ns)?;
            let is_full = self.generations.len() >= GENERATIONS_OPEN_MAX;
            let opened = match verdict {
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
                Opened::File(file) => {
                    desk.stats.rotations += u64::from(self.beginning.is_none());
                    self.take_up(file, sibling, None, scene, desk)?;
                }
                Opened::Changed if self.looks_once_more() => return Ok(()),
                Opened::Changed => {}
                Opened::Forbidden => {
                    desk.stats.count(Loss::Unreadable);
                    self.fates.insert(sibling.id, Fate::Passed);
                }
            }
        }
        Ok(())
    }

    /// Opens the log itself, and puts it last.
    fn admit_live(&mut self, scene: &Scene, desk: &mut Desk<'_>) -> io::Result<()> {
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
            let generation = self.generation(file.try_clone()?, sibling, offset, desk)?;
            self.generations.push(generation);
        } else {
            let cursor = match self.fates.get(&id) {
                Some(Fate::Done(cursor)) => Some(cursor.clone()),
                Some(Fate::Copy | Fate::Passed) | None => None,
            };
            self.take_up(file.try_clone()?, sibling, cursor, scene, desk)?;
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
        file: File,
        sibling: &Sibling,
        cursor: Option<Cursor>,
        scene: &Scene,
        desk: &mut Desk<'_>,
    ) -> io::Result<()> {
        let mut at = self.place_of(sibling, scene);
        let mut offset = 0;
        if let Some(cursor) = cursor {
            let displaced = Displaced { file: sibling.id, print: cursor.print(), offset: cursor.offset };
            let is_same = Head::of(&file)?.bears(displaced.print);
            if is_same && sibling.size >= cursor.offset {
                offset = cursor.offset;
            } else if is_same && sibling.size > 0 {
                desk.stats.count(Loss::Truncated);
                offset = generation::last_line_start(&file, sibling.size)?;
            } else if let Some(count) = self.take_copies(at, displaced, scene, desk)? {
                at += count;
            } else {
                return Ok(());
            }
        }
        let generation = self.generation(file, sibling, offset, desk)?;
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

    fn generation(
        &self,
        file: File,
        sibling: &Sibling,
        offset: u64,
        desk: &mut Desk<'_>,
    ) -> io::Result<Generation> {
        let watch = desk.watches.add_file(&file, Owner::Stream(self.key))?;
        Generation::new(file, sibling.id, sibling.path.clone(), watch, offset)
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

    /// Remembers the archives of which nothing more is wanted, so as not to look at all of them each time. A stamp is
    /// not given twice; of other names the file changes with each rotation.
    fn settle(&mut self, scene: &Scene) {
        if self.naming != Naming::Archives {
            return;
        }
        for sibling in &scene.siblings {
            if matches!(sibling.rank, Rank::Stamped(_)) && self.fates.contains_key(&sibling.id) {
                self.settled.insert(sibling.path.clone(), sibling.id);
            }
        }
    }

    fn forget(&mut self, scene: &Scene) {
        if self.settled.len() > FATES_MAX {
            self.settled.retain(|path, _| path.exists());
        }
        if self.fates.len() > FATES_MAX {
            let listed = scene.siblings.iter().map(|sibling| sibling.id);
            let present: HashSet<_> = listed.chain(self.settled.values().copied()).collect();
            self.fates.retain(|id, _| present.contains(id));
        }
    }
}

/// Where rotated files are looked for: beside the file, and beside each link that leads to it.
fn families(end: &End, naming: Naming) -> Vec<(PathBuf, Family)> {
    let kin = |spot: &Spot, likeness| Family::Rotated(Kin { base: spot.name.clone(), likeness });
    let likeness = if end.links.is_empty() { Likeness::Suffix } else { Likeness::SuffixOrDate };
    let family = match naming {
        Naming::Archives => Family::Archives,
        Naming::Rotated => kin(&end.spot, likeness),
    };
    let of_links = end.links.iter().map(|link| (link.directory.clone(), kin(link, Likeness::Suffix)));
    std::iter::once((end.spot.directory.clone(), family)).chain(of_links).collect()
}

fn is_alike(some: &[Sibling], others: &[Sibling]) -> bool {
    some.iter().map(|sibling| sibling.id).eq(others.iter().map(|sibling| sibling.id))
}

/// Oldest first, each file once. Of archives the stamp in the name is exact.
fn sort(siblings: &mut Vec<Sibling>, naming: Naming) {
    siblings.sort_by(|a, b| {
        let by_rank = a.rank.cmp(&b.rank);
        let by_age = a.age_ns.cmp(&b.age_ns);
        match naming {
            Naming::Archives => by_rank.then(by_age),
            Naming::Rotated => by_age.then(by_rank),
        }
    });
    let mut seen = HashSet::with_capacity(siblings.len());
    siblings.retain(|sibling| seen.insert(sibling.id));
}
