//! Looking at what is there: which file has the log's name, which had it before, and whether what was read from them
//! is still in them.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::PathBuf;

use crate::tail::cursor::FileId;
use crate::tail::family::{Family, Kin, Likeness, Rank};
use crate::tail::generation;
use crate::tail::notify::Owner;
use crate::tail::packed::Form;
use crate::tail::pattern::CURRENT;
use crate::tail::sibling::{Listing, Sibling};
use crate::tail::stats::Loss;
use crate::tail::way::{End, Spot, Way};

use super::{Desk, History, Naming, Stream};

/// Fates of files that are no longer found are forgotten when there are more than so many. Not at once: a directory
/// that is read while names change in it may not show a file that is there.
const FATES_MAX: usize = 1024;

/// How often a directory is listed in one look while its files change faster than it can be listed.
const SURVEYS_MAX: usize = 8;

/// How many looks may be repeated in a row.
const LOOKS_IN_VAIN_MAX: u32 = 64;

/// What the output of a processor is called until multilog has removed `previous` and given it a stamp.
const PROCESSED: &str = "processed";

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

    pub(super) fn sort(&mut self) {
        sort(&mut self.siblings);
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
        let was_processed = self.is_new() && end.spot.directory.join(PROCESSED).exists();
        let Some(mut scene) = self.survey(&end, desk)? else { return Ok(()) };
        self.live = scene.live_id();
        self.is_backlogged = false;
        self.mend(&scene, desk)?;
        self.begin(&end, &mut scene, was_processed)?;
        if !self.look_due {
            self.resume(&scene, desk)?;
            self.resume_missing(&scene, desk)?;
        }
        if !self.look_due {
            self.admit(&scene, desk)?;
        }
        if !self.look_due {
            self.admit_live(&scene, desk)?;
            self.count_gone(desk);
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
        // The directory of a multilog may come, and go, where a file was asked for.
        if self.is_named_alone {
            let is_directory = way.end.as_ref().is_some_and(|end| end.spot.path().is_dir());
            (self.naming, self.history) = if is_directory {
                let further = Way::to(&self.path.join(CURRENT), desk.watches, owner)?;
                way.places.extend(further.places);
                way.end = further.end;
                (Naming::Archives, History::Everything)
            } else {
                (Naming::Rotated, History::Nothing)
            };
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
        sort(&mut listing.siblings);
        listing
    }

    fn open_live(&mut self, end: &End, desk: &mut Desk<'_>) -> io::Result<Option<Found>> {
        let path = end.spot.path();
        let opened = generation::open(&path);
        let is_forbidden = matches!(&opened, Err(error) if error.kind() == io::ErrorKind::PermissionDenied);
        if is_forbidden && !self.is_forbidden {
            desk.lose(Loss::Unreadable, &path);
        }
        self.is_forbidden = is_forbidden;
        match opened {
            Ok(opened) => Ok(opened.map(|(file, metadata)| {
                let sibling = Sibling::new(path, &metadata, Rank::Newest, Some(Form::Plain));
                Found { file, sibling }
            })),
            Err(error) if is_forbidden || error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
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

/// Oldest first, each file once. The name tells, not the birth: a copy is younger than its original, though what it
/// holds is older.
fn sort(siblings: &mut Vec<Sibling>) {
    siblings.sort_by(|a, b| a.rank.cmp(&b.rank).then(a.age_ns.cmp(&b.age_ns)));
    let mut seen = HashSet::with_capacity(siblings.len());
    siblings.retain(|sibling| seen.insert(sibling.id));
    let is_counted = |sibling: &Sibling| matches!(sibling.rank, Rank::Counted(_));
    for counted in siblings.chunk_by_mut(|a, b| is_counted(a) && is_counted(b)) {
        // Some programs count the other way. Then every file came to be, and was last written to, before the one that
        // seems older; of copies that is never true of both.
        if counted.len() > 1 && counted.is_sorted_by(Sibling::is_younger_in_all) {
            counted.reverse();
        }
    }
}
