//! Programs of all that happens to logs, carried out on real files and in a model that knows which lines must come.
//!
//! A program mixes writing, rotating in every way, reading in small pieces, and ends of the tailer, in good order or
//! not. Every line must be delivered once: lost 0, duplicated 0. After an end without saved cursors, the lines since the
//! cursors come again, and no others.
//!
//! The programs of an ordinary run are always the same, so that a red test speaks of the change at hand. With
//! `TAIL_MODEL_PROGRAMS` so many new ones are drawn.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use watcher::tail::{Cursor, LINE_BYTES_MAX, Line, Start, Tailer, Target};

use crate::lab::{SOURCE, read_to_the_end};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum World {
    /// One file.
    File,
    /// A link to a file, in another directory.
    Link,
    /// Two members of a glob.
    Glob,
    /// A multilog directory.
    Archives,
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Write { log: usize, lines: u8 },
    WriteLong { log: usize },
    WriteHalf { log: usize },
    Rotate { log: usize },
    Reopen { log: usize },
    CopyAndTruncate { log: usize },
    Delete { log: usize },
    MoveIntoPlace { log: usize, lines: u8 },
    Prune { log: usize },
    Read { bytes: usize },
    ReadAll,
    Save,
    Stop,
    Kill,
    Run,
}

fn actions() -> impl Strategy<Value = Action> {
    let log = 0..2usize;
    prop_oneof![
        10 => (log.clone(), 1..6u8).prop_map(|(log, lines)| Action::Write { log, lines }),
        1 => log.clone().prop_map(|log| Action::WriteLong { log }),
        3 => log.clone().prop_map(|log| Action::WriteHalf { log }),
        6 => log.clone().prop_map(|log| Action::Rotate { log }),
        4 => log.clone().prop_map(|log| Action::Reopen { log }),
        3 => log.clone().prop_map(|log| Action::CopyAndTruncate { log }),
        2 => log.clone().prop_map(|log| Action::Delete { log }),
        2 => (log.clone(), 0..4u8).prop_map(|(log, lines)| Action::MoveIntoPlace { log, lines }),
        2 => log.prop_map(|log| Action::Prune { log }),
        5 => (1..300usize).prop_map(|bytes| Action::Read { bytes }),
        5 => Just(Action::ReadAll),
        2 => Just(Action::Save),
        2 => Just(Action::Stop),
        2 => Just(Action::Kill),
        3 => Just(Action::Run),
    ]
}

fn worlds() -> impl Strategy<Value = World> {
    prop_oneof![Just(World::File), Just(World::Link), Just(World::Glob), Just(World::Archives)]
}

#[test]
fn every_line_is_delivered_once_whatever_happens() {
    let wanted = std::env::var("TAIL_MODEL_PROGRAMS").ok();
    let cases = wanted.as_ref().map_or(200, |number| number.parse().unwrap());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = match wanted {
        Some(_) => TestRunner::new(config),
        None => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    };
    let programs = (worlds(), prop::collection::vec(actions(), 1..60));
    runner
        .run(&programs, |(world, program)| {
            let mut play = Play::new(world);
            for action in program {
                play.act(action)?;
            }
            play.end()
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

/// A file, through all its names.
type Serial = usize;
type LineId = u32;

/// One log as the model sees it.
struct Log {
    path: PathBuf,
    /// Rotated files that have a name, youngest first.
    rotated: Vec<(PathBuf, Serial)>,
    live: Option<Serial>,
    writer: Option<(File, Serial)>,
    /// The end of a line whose beginning is written.
    half: Option<(LineId, Vec<u8>)>,
}

struct Play {
    world: World,
    directory: tempfile::TempDir,
    logs: Vec<Log>,
    tailer: Option<Tailer>,
    cursors: Vec<Cursor>,
    archives: u32,
    births: BTreeSet<(u64, SystemTime)>,
    /// What each file holds that has come to be; a copy is a file too.
    contents: Vec<Vec<LineId>>,
    lines: BTreeMap<LineId, Vec<u8>>,
    next_line: LineId,
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
    /// Logs of which copies were made that the tailer has not seen. If the log is then replaced too, a copy cannot be
    /// told from a log that came between, and is read in the place of one.
    copied_since_read: BTreeSet<usize>,
    /// Logs of which copies were ever made.
    copied: BTreeSet<usize>,
    last: BTreeMap<usize, LineId>,
    is_order_known: bool,
    is_order_lost_by_end: bool,
}

impl Play {
    fn new(world: World) -> Play {
        let directory = tempfile::tempdir().unwrap();
        let names: &[&str] = match world {
            World::File => &["log"],
            World::Link => &["real/log"],
            World::Glob => &["one.log", "two.log"],
            World::Archives => &["logs/current"],
        };
        let log = |name: &&str| Log {
            path: directory.path().join(name),
            rotated: Vec::new(),
            live: None,
            writer: None,
            half: None,
        };
        let logs: Vec<_> = names.iter().map(log).collect();
        fs::create_dir_all(logs[0].path.parent().unwrap()).unwrap();
        if world == World::Link {
            symlink("real/log", directory.path().join("log")).unwrap();
        }
        let mut play = Play {
            world,
            directory,
            logs,
            tailer: None,
            cursors: Vec::new(),
            archives: 0,
            births: BTreeSet::new(),
            contents: Vec::new(),
            lines: BTreeMap::new(),
            next_line: 0,
            delivered: BTreeMap::new(),
            since_save: Vec::new(),
            excused: BTreeSet::new(),
            out_of_reach: BTreeSet::new(),
            begun_at_save: BTreeSet::new(),
            copied_since_save: Vec::new(),
            copied_since_read: BTreeSet::new(),
            copied: BTreeSet::new(),
            last: BTreeMap::new(),
            is_order_known: true,
            is_order_lost_by_end: false,
        };
        play.run();
        play
    }

    fn act(&mut self, action: Action) -> Result<(), TestCaseError> {
        let count = self.logs.len();
        match action {
            Action::Write { log, lines } => {
                for _ in 0..lines {
                    self.write(log % count, 0);
                }
            }
            Action::WriteLong { log } => self.write(log % count, LINE_BYTES_MAX),
            Action::WriteHalf { log } => self.write_half(log % count),
            Action::Rotate { log } if self.world == World::Archives => self.archive(log % count),
            Action::Rotate { log } => self.rotate(log % count),
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
            // multilog does nothing of what follows.
            _ if self.world == World::Archives => {}
            Action::Reopen { log } => self.reopen(log % count),
            Action::CopyAndTruncate { log } => return self.copy_and_truncate(log % count),
            Action::Delete { log } => self.delete(log % count),
            Action::MoveIntoPlace { log, lines } => self.move_into_place(log % count, lines),
        }
        Ok(())
    }

    /// All that was written and can be delivered has been delivered once.
    fn end(&mut self) -> Result<(), TestCaseError> {
        for log in 0..self.logs.len() {
            self.drop_half(log);
        }
        self.run();
        self.read(None)?;
        for id in self.lines.keys() {
            let count = self.delivered.get(id).copied().unwrap_or(0);
            let is_right = count == 1 || (count == 0 && self.excused.contains(id));
            prop_assert!(is_right, "line {} came {} times, in {:?}", id, count, self.world);
        }
        Ok(())
    }

    // What writers do.

    fn write(&mut self, log: usize, filler: usize) {
        let (id, text) = match self.logs[log].half.take() {
            Some(half) => half,
            None => self.new_line(log, filler),
        };
        self.append(log, &text);
        let serial = self.logs[log].writer.as_ref().unwrap().1;
        self.written(serial, id);
    }

    fn written(&mut self, serial: Serial, id: LineId) {
        self.contents[serial].push(id);
        let is_unseen = self.is_nameless(serial) && !self.has_begun(serial);
        if is_unseen || self.out_of_reach.contains(&serial) {
            self.excused.insert(id);
        }
    }

    fn write_half(&mut self, log: usize) {
        if self.logs[log].half.is_some() {
            return;
        }
        let (id, mut text) = self.new_line(log, 0);
        let rest = text.split_off(text.len() / 2);
        self.append(log, &text);
        self.logs[log].half = Some((id, rest));
    }

    fn new_line(&mut self, log: usize, filler: usize) -> (LineId, Vec<u8>) {
        let id = self.next_line;
        self.next_line += 1;
        let mut text = format!("{log}:{id}:").into_bytes();
        let odd = [b'x', 0, 0xff, b'\r', b' '][id as usize % 5];
        text.extend(std::iter::repeat_n(odd, filler + id as usize % 40));
        self.lines.insert(id, text.clone());
        text.push(b'\n');
        (id, text)
    }

    fn append(&mut self, log: usize, text: &[u8]) {
        if self.logs[log].writer.is_none() {
            self.reopen(log);
        }
        self.logs[log].writer.as_mut().unwrap().0.write_all(text).unwrap();
    }

    /// What is half written stays so.
    fn drop_half(&mut self, log: usize) {
        if let Some((id, _)) = self.logs[log].half.take() {
            self.lines.remove(&id);
        }
    }

    // What happens to files.

    fn reopen(&mut self, log: usize) {
        let writes_to = self.logs[log].writer.as_ref().map(|&(_, serial)| serial);
        if writes_to.is_some() && writes_to == self.logs[log].live {
            return;
        }
        self.drop_half(log);
        let path = self.logs[log].path.clone();
        let serial = match self.logs[log].live {
            Some(serial) => serial,
            None => self.create(&path),
        };
        self.logs[log].live = Some(serial);
        self.show_member();
        let file = OpenOptions::new().append(true).open(path).unwrap();
        self.logs[log].writer = Some((file, serial));
    }

    /// Makes an empty file. No two have one inode and one birth: that takes a file which lives shorter than a tick of
    /// the kernel's clock.
    fn create(&mut self, path: &Path) -> Serial {
        loop {
            let metadata = File::create_new(path).unwrap().metadata().unwrap();
            if self.births.insert((metadata.ino(), metadata.created().unwrap())) {
                self.contents.push(Vec::new());
                return self.contents.len() - 1;
            }
            fs::remove_file(path).unwrap();
        }
    }

    /// Lets the tailer notice a member of a glob. One that comes and goes between two looks is never heard of.
    fn show_member(&mut self) {
        if let Some(tailer) = self.tailer.as_mut().filter(|_| self.world == World::Glob) {
            tailer.read(0, &mut |_| {}).unwrap();
        }
    }

    /// Makes room for `.1`.
    fn shift(&mut self, log: usize) -> PathBuf {
        let base = self.logs[log].path.clone();
        let numbered = |number: usize| PathBuf::from(format!("{}.{number}", base.display()));
        let count = self.logs[log].rotated.len();
        for at in (0..count).rev() {
            let to = numbered(at + 2);
            fs::rename(&self.logs[log].rotated[at].0, &to).unwrap();
            self.logs[log].rotated[at].0 = to;
        }
        numbered(1)
    }

    fn rotate(&mut self, log: usize) {
        let Some(serial) = self.logs[log].live else { return };
        self.replace_after_copies(log);
        let to = self.shift(log);
        fs::rename(&self.logs[log].path, &to).unwrap();
        self.logs[log].rotated.insert(0, (to, serial));
        self.logs[log].live = None;
    }

    fn archive(&mut self, log: usize) {
        let Some(serial) = self.logs[log].live else { return };
        self.archives += 1;
        let directory = self.directory.path().join("logs");
        let (previous, archive) =
            (directory.join("previous"), directory.join(format!("@40000000{:08x}00000000.s", self.archives)));
        fs::rename(&self.logs[log].path, &previous).unwrap();
        self.logs[log].live = None;
        self.reopen(log);
        fs::hard_link(&previous, &archive).unwrap();
        fs::remove_file(&previous).unwrap();
        self.logs[log].rotated.insert(0, (archive, serial));
    }

    /// A copy is younger than its original, though what it holds is older. The tailer knows as long as the original has
    /// the log's name, and as long as it runs.
    fn replace_after_copies(&mut self, log: usize) {
        self.is_order_known &= !self.copied_since_read.contains(&log);
        self.is_order_lost_by_end |= self.copied.contains(&log);
    }

    fn copy_and_truncate(&mut self, log: usize) -> Result<(), TestCaseError> {
        let Some(serial) = self.logs[log].live else { return Ok(()) };
        if let Some((id, rest)) = self.logs[log].half.take() {
            // A line of which one half is in the copy and the other is not is no line.
            self.append(log, &rest);
            let writes_to = self.logs[log].writer.as_ref().unwrap().1;
            self.written(writes_to, id);
        }
        // A file that was filled, copied and emptied before anybody looked cannot be told from any other.
        if self.tailer.is_some() && !self.has_begun(serial) {
            self.read(None)?;
        }
        let to = self.shift(log);
        let copy = self.create(&to);
        let path = self.logs[log].path.clone();
        fs::copy(&path, &to).unwrap();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
        let held = std::mem::take(&mut self.contents[serial]);
        self.contents[copy] = held.clone();
        self.logs[log].rotated.insert(0, (to, copy));
        self.copied_since_save.push((serial, held));
        self.copied_since_read.insert(log);
        self.copied.insert(log);
        if self.tailer.is_none() {
            self.excuse_copied();
        }
        Ok(())
    }

    fn delete(&mut self, log: usize) {
        let Some(serial) = self.logs[log].live.take() else { return };
        self.replace_after_copies(log);
        fs::remove_file(&self.logs[log].path).unwrap();
        self.lose_name(serial);
    }

    fn move_into_place(&mut self, log: usize, lines: u8) {
        self.replace_after_copies(log);
        let prepared = self.directory.path().join("prepared");
        let serial = self.create(&prepared);
        let replaced = self.logs[log].live.replace(serial);
        self.drop_half(log);
        let file = OpenOptions::new().append(true).open(&prepared).unwrap();
        self.logs[log].writer = Some((file, serial));
        for _ in 0..lines {
            self.write(log, 0);
        }
        fs::rename(prepared, &self.logs[log].path).unwrap();
        self.show_member();
        if let Some(replaced) = replaced {
            self.lose_name(replaced);
        }
    }

    fn prune(&mut self, log: usize) {
        let Some((path, serial)) = self.logs[log].rotated.pop() else { return };
        fs::remove_file(path).unwrap();
        if self.copied_since_read.contains(&log) {
            // Without the first copy, the later ones are not known to be copies.
            let rotated: Vec<_> = self.logs[log].rotated.iter().map(|&(_, serial)| serial).collect();
            rotated.iter().for_each(|&serial| self.excuse(&self.contents[serial].clone()));
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
            World::File | World::Link => Target::File(self.directory.path().join("log")),
            World::Glob => Target::Glob(self.directory.path().join("*.log").to_str().unwrap().to_owned()),
            World::Archives => Target::Directory(self.directory.path().join("logs")),
        };
        self.excuse_the_past();
        let mut tailer = Tailer::new().unwrap();
        tailer.follow(SOURCE, target, Start::Beginning, &self.cursors).unwrap();
        self.tailer = Some(tailer);
        self.last.clear();
    }

    /// Of a log without a cursor, what had been rotated before is not asked for; of a directory it is.
    fn excuse_the_past(&mut self) {
        for log in 0..self.logs.len() {
            let path = self.logs[log].path.to_str().unwrap();
            let has_cursor =
                self.cursors.iter().any(|cursor| cursor.path.to_str().unwrap().starts_with(path));
            if !has_cursor && self.world != World::Archives {
                let rotated: Vec<_> = self.logs[log].rotated.iter().map(|&(_, serial)| serial).collect();
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
        let whole = &self.lines[&id];
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
        self.begun_at_save = (0..self.contents.len()).filter(|&serial| self.has_begun(serial)).collect();
    }

    fn kill(&mut self) {
        if self.tailer.take().is_none() {
            return;
        }
        self.is_order_known &= !self.is_order_lost_by_end;
        for id in std::mem::take(&mut self.since_save) {
            self.delivered.remove(&id);
        }
        for serial in 0..self.contents.len() {
            if self.is_nameless(serial) {
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
        self.excuse(&self.contents[serial].clone());
        self.out_of_reach.insert(serial);
    }

    fn excuse(&mut self, ids: &[LineId]) {
        let missing = ids.iter().filter(|id| !self.delivered.contains_key(id));
        self.excused.extend(missing);
    }

    /// Whether something of what the file holds has been delivered.
    fn has_begun(&self, serial: Serial) -> bool {
        self.contents[serial].iter().any(|id| self.delivered.contains_key(id))
    }

    fn is_nameless(&self, serial: Serial) -> bool {
        !self
            .logs
            .iter()
            .any(|log| log.live == Some(serial) || log.rotated.iter().any(|&(_, rotated)| rotated == serial))
    }
}
