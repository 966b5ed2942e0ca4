//! Looking at what is there: which file has the log's name, which had it before, and whether what was read from them
//! is still in them.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::PathBuf;

use crate::tail::Start;
use crate::tail::cursor::{Cursor, FileId};
use crate::tail::family::{Family, Kin, Likeness, Rank};
use crate::tail::generation::{self, Breach, Generation};
use crate::tail::head::{Head, HeadPrint};
use crate::tail::notify::Owner;
use crate::tail::sibling::{self, Live, Sibling, Verdict};
use crate::tail::stats::Loss;
use crate::tail::way::{End, Spot, Way};

use super::{Desk, Fate, GENERATIONS_OPEN_MAX, History, Naming, Stream};

/// Fates of files that are no longer found are forgotten when there are more than so many. Not at once: a directory
/// that is read while names change in it may not show a file that is there.
const FATES_MAX: usize = 1024;

/// The file that has the log's name.
struct Found {
    file: File,
    sibling: Sibling,
}

impl Stream {
    /// Looks again. The siblings are listed before the log itself is opened: so a rotation in between makes the log
    /// younger than its rotated files, never older.
    pub(super) fn look(&mut self, desk: &mut Desk<'_>) -> io::Result<()> {
        self.go_the_way(desk)?;
        let Some(end) = self.end.clone() else { return self.retire(desk) };
        let mut around = self.list();
        self.is_backlogged = false;
        let found = self.open_live(&end, desk)?;
        self.mend(&around, desk)?;
        self.begin(&end, &mut around, found.as_ref(), desk);
        if let Some(found) = &found {
            self.resume_live(found, &around, desk)?;
        }
        self.admit(&around, found.as_ref(), desk)?;
        if let Some(found) = found {
            self.admit_live(found, &around, desk)?;
        }
        if self.beginning.take().is_some_and(|beginning| beginning.cursors.is_empty()) {
            self.pass_over_the_rest(&around);
        }
        self.forget(&around);
        self.retire(desk)
    }

    fn go_the_way(&mut self, desk: &mut Desk<'_>) -> io::Result<()> {
        let owner = Owner::Stream(self.key);
        let mut way = Way::to(&self.path, desk.watches, owner)?;
        let names_a_directory = self.naming == Naming::Rotated
            && self.history == History::Nothing
            && way.end.as_ref().is_some_and(|end| end.spot.path().is_dir());
        if names_a_directory {
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

    fn list(&mut self) -> Vec<Sibling> {
        let listed = self.families.iter().flat_map(|(directory, family)| sibling::list(directory, family));
        let mut around: Vec<_> = listed.collect();
        sort(&mut around, self.naming);
        around
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
    fn mend(&mut self, around: &[Sibling], desk: &mut Desk<'_>) -> io::Result<()> {
        let mut at = 0;
        while let Some(generation) = self.generations.get_mut(at) {
            match generation.breach()? {
                None => {}
                Some(Breach::Shrunk(size)) => {
                    desk.stats.count(Loss::Truncated);
                    generation.shrink(size)?;
                }
                Some(Breach::Restarted) => {
                    let (print, offset) = (generation.head().print(), generation.line_start());
                    generation.restart();
                    at += self.take_copies(at, print, offset, around, desk)?;
                }
            }
            at += 1;
        }
        Ok(())
    }

    /// A file was truncated that began with `print` and had been read to `offset`. If it was copied before, the copy is
    /// read from there, and later copies, of what the file held since, from their beginning. They are put at `at`.
    fn take_copies(
        &mut self,
        at: usize,
        print: HeadPrint,
        offset: u64,
        around: &[Sibling],
        desk: &mut Desk<'_>,
    ) -> io::Result<usize> {
        let mut taken = 0;
        for sibling in around {
            let fate = self.fates.get(&sibling.id);
            let is_free = !self.is_open(sibling.id) && matches!(fate, None | Some(Fate::Copy));
            let is_wanted = is_free
                && match taken {
                    0 => sibling.size >= offset && sibling.head()?.bears(print),
                    _ => fate.is_none() && sibling.size > 0 && !sibling.is_restored(),
                };
            if !is_wanted {
                continue;
            }
            if let Some(file) = sibling.open()? {
                let from = if taken == 0 { offset } else { 0 };
                let generation = self.generation(file, sibling, from, desk)?;
                self.generations.insert(at + taken, generation);
                taken += 1;
            }
        }
        desk.stats.count(if taken > 0 { Loss::Race } else { Loss::Truncated });
        desk.stats.rotations += 1;
        Ok(taken)
    }

    /// The first look: decides what is old, and finds the files of cursors that are called otherwise by now.
    fn begin(&mut self, end: &End, around: &mut Vec<Sibling>, found: Option<&Found>, desk: &mut Desk<'_>) {
        let Some(beginning) = &self.beginning else { return };
        let Some(youngest) = beginning.cursors.iter().max_by_key(|cursor| cursor.born_ns) else {
            for sibling in around.iter() {
                let is_past = match (&self.history, beginning.start) {
                    (History::Nothing, _) | (_, Start::End) => true,
                    (History::Everything, Start::Beginning) => false,
                    (History::Matching(pattern), Start::Beginning) => {
                        !sibling.path.file_name().is_some_and(|name| pattern.matches_name(name))
                    }
                };
                if is_past {
                    self.fates.insert(sibling.id, Fate::Passed);
                }
            }
            return;
        };
        let mut is_gone = false;
        for cursor in &beginning.cursors {
            let is_here = found.is_some_and(|found| cursor.is_in(found.sibling.id))
                || around.iter().any(|sibling| cursor.is_in(sibling.id));
            if is_here {
                continue;
            }
            let elsewhere = cursor.path.parent().and_then(|directory| sibling::find(directory, cursor));
            match elsewhere.or_else(|| sibling::find(&end.spot.directory, cursor)) {
                Some(sibling) => around.push(sibling),
                // Of older files the end had been read, as a rule, and then they are removed, as a rule.
                None => is_gone |= cursor == youngest,
            }
        }
        if is_gone {
            desk.stats.count(Loss::Gone);
        }
        sort(around, self.naming);
        let known = around.iter().filter(|sibling| beginning.cursors.iter().any(|c| c.is_in(sibling.id)));
        self.floor_ns = match youngest.born_ns {
            // Without births, what was written to after all that is known.
            0 => known.map(|sibling| sibling.age_ns).max().unwrap_or(i64::MAX),
            born_ns => born_ns,
        };
    }

    /// Takes the log up where its cursor stands. Before its siblings are judged: if it was truncated, they are needed to
    /// find what it held.
    fn resume_live(&mut self, found: &Found, around: &[Sibling], desk: &mut Desk<'_>) -> io::Result<()> {
        let id = found.sibling.id;
        match self.cursor_of(id) {
            Some(cursor) if !self.is_open(id) => {
                let at = self.generations.len();
                self.take_up(at, found.file.try_clone()?, &found.sibling, Some(cursor), around, desk)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Opens the generations that came and went unseen.
    fn admit(&mut self, around: &[Sibling], found: Option<&Found>, desk: &mut Desk<'_>) -> io::Result<()> {
        let live = match found {
            Some(found) => Some(self.live(found)?),
            None => None,
        };
        let live_id = found.map(|found| found.sibling.id);
        for sibling in around {
            if let Some(open) = self.generations.iter_mut().find(|open| open.id == sibling.id) {
                open.path.clone_from(&sibling.path);
                continue;
            }
            let is_known = self.fates.contains_key(&sibling.id) || (desk.is_elsewhere)(sibling.id);
            if is_known || live_id == Some(sibling.id) {
                continue;
            }
            let cursor = self.cursor_of(sibling.id);
            let verdict = match cursor {
                Some(_) => Verdict::Generation,
                None => sibling.judge(live.as_ref(), self.floor_ns)?,
            };
            match verdict {
                Verdict::Generation if cursor.is_none() && self.generations.len() >= GENERATIONS_OPEN_MAX => {
                    self.is_backlogged = true;
                    return Ok(());
                }
                Verdict::Generation => {
                    let Some(file) = sibling.open()? else { continue };
                    desk.stats.rotations += u64::from(self.beginning.is_none());
                    self.take_up(
                        self.place_of(sibling, live_id, around),
                        file,
                        sibling,
                        cursor,
                        around,
                        desk,
                    )?;
                }
                Verdict::Copy => drop(self.fates.insert(sibling.id, Fate::Copy)),
                Verdict::Stranger => drop(self.fates.insert(sibling.id, Fate::Passed)),
                Verdict::Undecided => {}
            }
        }
        Ok(())
    }

    fn admit_live(&mut self, found: Found, around: &[Sibling], desk: &mut Desk<'_>) -> io::Result<()> {
        let Found { file, sibling } = found;
        let id = sibling.id;
        let is_new = self.live != Some(id);
        if let Some(at) = self.generations.iter().position(|open| open.id == id) {
            let mut generation = self.generations.remove(at);
            generation.path = sibling.path;
            self.generations.push(generation);
        } else if (desk.is_elsewhere)(id) {
            return Ok(());
        } else if self.is_to_be_read_from_its_end() {
            let offset = generation::last_line_start(&file, sibling.size)?;
            let generation = self.generation(file, &sibling, offset, desk)?;
            self.generations.push(generation);
        } else {
            let cursor = match self.fates.get(&id) {
                Some(Fate::Done(cursor)) => Some(cursor.clone()),
                Some(Fate::Copy | Fate::Passed) | None => self.cursor_of(id),
            };
            if self.is_backlogged && cursor.is_none() {
                return Ok(());
            }
            self.take_up(self.generations.len(), file, &sibling, cursor, around, desk)?;
            self.fates.remove(&id);
        }
        if is_new && self.live.is_some() {
            desk.stats.rotations += 1;
            for generation in &mut self.generations {
                generation.find_path();
            }
        }
        self.live = Some(id);
        Ok(())
    }

    /// Puts a file at `at`, to be read from its cursor on, if it has one and still holds what it held.
    fn take_up(
        &mut self,
        at: usize,
        file: File,
        sibling: &Sibling,
        cursor: Option<Cursor>,
        around: &[Sibling],
        desk: &mut Desk<'_>,
    ) -> io::Result<()> {
        let mut offset = 0;
        let mut before = 0;
        if let Some(cursor) = cursor {
            let print = HeadPrint { length: cursor.head_len, hash: cursor.head_hash };
            let is_same = Head::of(&file)?.bears(print);
            if is_same && sibling.size >= cursor.offset {
                offset = cursor.offset;
            } else if is_same && sibling.size > 0 {
                desk.stats.count(Loss::Truncated);
                offset = generation::last_line_start(&file, sibling.size)?;
            } else {
                before = self.take_copies(at, print, cursor.offset, around, desk)?;
            }
        }
        let generation = self.generation(file, sibling, offset, desk)?;
        self.generations.insert(at + before, generation);
        Ok(())
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

    /// Where a sibling stands among the open files: before those that are younger, and before the log itself. Files that
    /// are no longer beside the log are older than those that are.
    fn place_of(&self, sibling: &Sibling, live: Option<FileId>, around: &[Sibling]) -> usize {
        let younger: Vec<_> =
            around.iter().skip_while(|other| other.id != sibling.id).map(|s| s.id).collect();
        let is_younger = |open: &Generation| Some(open.id) == live || younger.contains(&open.id);
        self.generations.iter().position(is_younger).unwrap_or(self.generations.len())
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

    fn is_to_be_read_from_its_end(&self) -> bool {
        self.beginning
            .as_ref()
            .is_some_and(|beginning| beginning.start == Start::End && beginning.cursors.is_empty())
    }

    fn cursor_of(&self, file: FileId) -> Option<Cursor> {
        self.beginning.as_ref()?.cursors.iter().find(|cursor| cursor.is_in(file)).cloned()
    }

    /// After a first look without cursors: what lies beside the log and was not taken is older than all that comes.
    fn pass_over_the_rest(&mut self, around: &[Sibling]) {
        if self.history == History::Nothing {
            self.floor_ns = around.iter().map(|sibling| sibling.age_ns).max().unwrap_or(i64::MIN);
        }
    }

    fn forget(&mut self, around: &[Sibling]) {
        if self.fates.len() > FATES_MAX {
            self.fates.retain(|&id, _| around.iter().any(|sibling| sibling.id == id));
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
