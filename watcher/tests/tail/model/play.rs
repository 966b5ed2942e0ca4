//! The tailer's side of a program: what came, what must still come, and what nobody can deliver any more.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use watcher::tail::{Cursor, LINE_BYTES_MAX, Line, Start, Stats, Tailer, Target};

use super::files::{Files, LineId, Serial};
use super::{Action, World};
use crate::lab::{SOURCE, read_to_the_end};

pub(super) struct Play {
    world: World,
    files: Files,
    tailer: Option<Tailer>,
    cursors: Vec<Cursor>,
    /// How often each line came, not counting what an end undid.
    delivered: BTreeMap<LineId, u32>,
    since_save: Vec<LineId>,
    /// Lines that nobody can deliver any more, or of which nobody can tell that they are new.
    excused: BTreeSet<LineId>,
    /// Files that were rotated before the log was first followed, or had no name when the tailer ended.
    out_of_reach: BTreeSet<Serial>,
    /// Files of which something had been read when the cursors were saved.
    begun_at_save: BTreeSet<Serial>,
    /// What was in files that were truncated since, and which file it was.
    copied_since_save: Vec<(Serial, Vec<LineId>)>,
    /// What was in files that were truncated since, and is nowhere else.
    truncated_since_save: Vec<LineId>,
    /// Logs of which copies were made that the tailer has not seen.
    copied_since_read: BTreeSet<usize>,
    last: BTreeMap<usize, LineId>,
    is_order_known: bool,
    /// Whether something was taken away, so that a loss may be counted.
    may_lose: bool,
}

impl Play {
    pub(super) fn new(world: World) -> Play {
        let mut play = Play {
            world,
            files: Files::new(world),
            tailer: None,
            cursors: Vec::new(),
            delivered: BTreeMap::new(),
            since_save: Vec::new(),
            excused: BTreeSet::new(),
            out_of_reach: BTreeSet::new(),
            begun_at_save: BTreeSet::new(),
            copied_since_save: Vec::new(),
            truncated_since_save: Vec::new(),
            copied_since_read: BTreeSet::new(),
            last: BTreeMap::new(),
            is_order_known: true,
            may_lose: false,
        };
        play.run();
        play
    }

    pub(super) fn act(&mut self, action: Action) -> Result<(), TestCaseError> {
        let count = self.files.logs.len();
        match action {
            Action::Write { log, lines } => {
                for _ in 0..lines {
                    self.write(log % count, 0);
                }
            }
            Action::WriteLong { log } => self.write(log % count, LINE_BYTES_MAX),
            Action::WriteHalf { log } => self.files.write_half(log % count),
            Action::TakeBack { log } => self.take_back(log % count),
            Action::Rotate { log } => self.rotate(log % count),
            Action::RotateOften { log, times } => {
                for _ in 0..times {
                    self.write(log % count, 0);
                    self.show_members();
                    self.rotate(log % count);
                }
            }
            Action::Compress { log, nth, packer } => self.files.compress(log % count, nth, packer),
            Action::Prune { log } => self.prune(log % count),
            Action::Read { bytes } => return self.read(Some(bytes)),
            Action::ReadAll => return self.read(None),
            Action::Save => self.save(),
            Action::Stop => {
                self.save();
                self.kill();
            }
            Action::Kill => self.kill(),
            Action::Run => self.run(),
            // Neither multilog nor who switches links does anything of what follows.
            _ if matches!(self.world, World::Archives | World::Switched) => {}
            Action::Reopen { log } => self.files.reopen(log % count),
            Action::CopyAndTruncate { log } => return self.copy_and_truncate(log % count),
            Action::Truncate { log } => return self.truncate(log % count),
            Action::Delete { log } => self.delete(log % count),
            Action::MoveIntoPlace { log, lines } => self.move_into_place(log % count, lines),
        }
        self.show_members();
        Ok(())
    }

    /// All that was written and can be delivered has been delivered once.
    pub(super) fn end(&mut self) -> Result<(), TestCaseError> {
        for log in 0..self.files.logs.len() {
            self.files.drop_half(log);
        }
        self.run();
        self.read(None)?;
        for id in self.files.lines.keys() {
            let count = self.delivered.get(id).copied().unwrap_or(0);
            let is_right = count == 1 || (count == 0 && self.excused.contains(id));
            prop_assert!(is_right, "line {} came {} times", id, count);
        }
        let lost = self.stats().lost;
        prop_assert!(lost.is_empty() || self.may_lose || self.files.was_cut_short, "counted: {:?}", lost);
        Ok(())
    }

    fn stats(&self) -> Stats {
        self.tailer.as_ref().map(|tailer| tailer.stats(SOURCE)).unwrap_or_default()
    }

    // What happens to files, and which lines it takes out of reach.

    /// What was there, was not read and is gone may have been a whole line, for all that a reader can know: while lines
    /// wait to be read it may be counted.
    fn take_back(&mut self, log: usize) {
        self.files.take_back(log);
        self.files.was_cut_short |= self.files.lines.keys().any(|id| !self.delivered.contains_key(id));
    }

    fn write(&mut self, log: usize, filler: usize) {
        let (serial, id) = self.files.write(log, filler);
        self.written(serial, id);
    }

    fn written(&mut self, serial: Serial, id: LineId) {
        let is_unseen = self.files.is_nameless(serial) && !self.has_begun(serial);
        if is_unseen || self.out_of_reach.contains(&serial) {
            self.excused.insert(id);
        }
    }

    fn rotate(&mut self, log: usize) {
        self.files.rotate(log);
        self.show_members();
    }

    /// Lets the tailer notice a member of a glob. One that comes and goes between two looks is never heard of.
    fn show_members(&mut self) {
        if let Some(tailer) = self.tailer.as_mut().filter(|_| self.world == World::Glob) {
            tailer.read(0, &mut |_| {}).unwrap();
        }
    }

    fn copy_and_truncate(&mut self, log: usize) -> Result<(), TestCaseError> {
        let Some(serial) = self.files.logs[log].live else { return Ok(()) };
        // A line of which one half is in the copy and the other is not is no line.
        if let Some((writes_to, id)) = self.files.finish_half(log) {
            self.written(writes_to, id);
        }
        self.see_before_it_is_emptied(serial)?;
        let held = self.files.copy_and_truncate(log, serial);
        self.copied_since_save.push((serial, held));
        self.copied_since_read.insert(log);
        if self.tailer.is_none() {
            self.excuse_copied();
        }
        Ok(())
    }

    fn truncate(&mut self, log: usize) -> Result<(), TestCaseError> {
        let Some(serial) = self.files.logs[log].live else { return Ok(()) };
        self.may_lose = true;
        self.see_before_it_is_emptied(serial)?;
        self.files.drop_half(log);
        let held = self.files.truncate(log, serial);
        self.excuse(&held);
        if self.tailer.is_some() {
            self.truncated_since_save.extend(held);
        }
        Ok(())
    }

    /// A file that was filled and emptied before anybody looked cannot be told from any other.
    fn see_before_it_is_emptied(&mut self, serial: Serial) -> Result<(), TestCaseError> {
        if self.tailer.is_some() && !self.has_begun(serial) { self.read(None) } else { Ok(()) }
    }

    fn delete(&mut self, log: usize) {
        let Some(serial) = self.files.delete(log) else { return };
        self.may_lose = true;
        self.lose_name(serial);
    }

    fn move_into_place(&mut self, log: usize, lines: u8) {
        let (replaced, moved, ids) = self.files.move_into_place(log, lines);
        self.may_lose |= replaced.is_some();
        ids.into_iter().for_each(|id| self.written(moved, id));
        self.show_members();
        if let Some(replaced) = replaced {
            self.lose_name(replaced);
        }
    }

    fn prune(&mut self, log: usize) {
        let Some(serial) = self.files.prune(log) else { return };
        self.may_lose = true;
        if self.copied_since_read.contains(&log) {
            // Without the first copy, the later ones are not known to be copies.
            let rotated: Vec<_> = self.files.logs[log].rotated.iter().map(|rotated| rotated.serial).collect();
            rotated.iter().for_each(|&serial| self.excuse(&self.files.contents[serial].clone()));
        }
        // Whether it had been opened in time is not for the model to know.
        self.put_out_of_reach(serial);
    }

    fn lose_name(&mut self, serial: Serial) {
        // A file that came and went between two looks was never seen.
        if self.tailer.is_none() || !self.has_begun(serial) {
            self.put_out_of_reach(serial);
        }
    }

    // What happens to the tailer.

    fn run(&mut self) {
        if self.tailer.is_some() {
            return;
        }
        let target = match self.world {
            World::File | World::Dated | World::Link | World::Switched => {
                Target::File(self.files.path().join("log"))
            }
            World::Glob => Target::Glob(self.files.path().join("*.log").to_str().unwrap().to_owned()),
            World::Archives => Target::Directory(self.files.path().join("logs")),
        };
        self.excuse_the_past();
        let mut tailer = Tailer::new().unwrap();
        tailer.follow(SOURCE, target, Start::Beginning, &self.cursors).unwrap();
        self.tailer = Some(tailer);
        self.last.clear();
    }

    /// Of a log without a cursor, what had been rotated before is not asked for; of a directory it is.
    fn excuse_the_past(&mut self) {
        for log in 0..self.files.logs.len() {
            let path = self.files.logs[log].path.to_str().unwrap();
            let has_cursor = self.world == World::Switched && !self.cursors.is_empty()
                || self.cursors.iter().any(|cursor| cursor.path.to_str().unwrap().starts_with(path));
            if !has_cursor && self.world != World::Archives {
                let rotated: Vec<_> =
                    self.files.logs[log].rotated.iter().map(|rotated| rotated.serial).collect();
                rotated.iter().for_each(|&serial| self.put_out_of_reach(serial));
            }
        }
    }

    fn read(&mut self, bytes: Option<usize>) -> Result<(), TestCaseError> {
        let Some(mut tailer) = self.tailer.take() else { return Ok(()) };
        self.copied_since_read.clear();
        let mut outcome = Ok(());
        let mut sink = |line: Line<'_>| {
            if outcome.is_ok() {
                outcome = self.deliver(line);
            }
        };
        match bytes {
            Some(bytes) => drop(tailer.read(bytes, &mut sink).unwrap()),
            None => read_to_the_end(&mut tailer, &mut sink),
        }
        self.tailer = Some(tailer);
        outcome
    }

    fn deliver(&mut self, line: Line<'_>) -> Result<(), TestCaseError> {
        let text = String::from_utf8_lossy(line.bytes);
        let mut fields = text.split(':').map(str::parse::<u32>);
        let (Some(Ok(log)), Some(Ok(id))) = (fields.next(), fields.next()) else {
            return Err(TestCaseError::fail(format!("no line that was written: {text:?}")));
        };
        let whole = &self.files.lines[&id];
        prop_assert_eq!(line.cut, whole.len() > LINE_BYTES_MAX);
        prop_assert_eq!(line.bytes, &whole[..whole.len().min(LINE_BYTES_MAX)]);
        let last = self.last.insert(log as usize, id);
        prop_assert!(last < Some(id) || !self.is_order_known, "line {} came after line {:?}", id, last);
        let count = self.delivered.entry(id).or_default();
        *count += 1;
        prop_assert_eq!(*count, 1, "line {} came again", id);
        self.since_save.push(id);
        Ok(())
    }

    fn save(&mut self) {
        let Some(tailer) = &self.tailer else { return };
        self.cursors = tailer.cursors(SOURCE);
        self.since_save.clear();
        self.copied_since_save.clear();
        self.truncated_since_save.clear();
        self.begun_at_save =
            (0..self.files.contents.len()).filter(|&serial| self.has_begun(serial)).collect();
    }

    fn kill(&mut self) {
        if self.tailer.take().is_none() {
            return;
        }
        for id in std::mem::take(&mut self.since_save) {
            self.delivered.remove(&id);
        }
        let truncated = std::mem::take(&mut self.truncated_since_save);
        self.excuse(&truncated);
        for serial in 0..self.files.contents.len() {
            if self.files.is_nameless(serial) {
                self.put_out_of_reach(serial);
            }
        }
        self.excuse_copied();
    }

    /// After an end, a copy is only known by what its original began with when the cursors were saved. If it is read all
    /// the same, as a file like any other, it is younger than the original, though what it holds is older.
    fn excuse_copied(&mut self) {
        for (serial, ids) in std::mem::take(&mut self.copied_since_save) {
            if !self.begun_at_save.contains(&serial) {
                self.excuse(&ids);
                self.is_order_known = false;
            }
        }
    }

    fn put_out_of_reach(&mut self, serial: Serial) {
        self.excuse(&self.files.contents[serial].clone());
        self.out_of_reach.insert(serial);
    }

    fn excuse(&mut self, ids: &[LineId]) {
        let missing = ids.iter().filter(|id| !self.delivered.contains_key(id));
        self.excused.extend(missing);
    }

    /// Whether something of what the file holds has been delivered.
    fn has_begun(&self, serial: Serial) -> bool {
        self.files.contents[serial].iter().any(|id| self.delivered.contains_key(id))
    }
}
