//! The files of a program, what happens to them, and which lines stand in them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::World;
use crate::packing::Packer;

/// What one file holds, through all its names; a copy holds something of its own.
pub(super) type Serial = usize;
pub(super) type LineId = u32;

/// One log.
pub(super) struct Log {
    pub(super) path: PathBuf,
    /// Rotated files that have a name, youngest first.
    pub(super) rotated: Vec<Rotated>,
    pub(super) live: Option<Serial>,
    writer: Option<(File, Serial)>,
    /// The end of a line whose beginning is written, and how long the file was before.
    half: Option<(LineId, Vec<u8>, u64)>,
}

/// A file that was the log once.
pub(super) struct Rotated {
    path: PathBuf,
    pub(super) serial: Serial,
    is_packed: bool,
}

pub(super) struct Files {
    world: World,
    directory: tempfile::TempDir,
    pub(super) logs: Vec<Log>,
    /// How many rotations there were, for names that tell.
    rotations: u32,
    births: BTreeSet<(u64, SystemTime)>,
    /// What each file holds that has come to be.
    pub(super) contents: Vec<Vec<LineId>>,
    pub(super) lines: BTreeMap<LineId, Vec<u8>>,
    next_line: LineId,
    /// Whether a line was begun and never finished.
    pub(super) was_cut_short: bool,
}

impl Files {
    pub(super) fn new(world: World) -> Files {
        let directory = tempfile::tempdir().unwrap();
        let names: &[&str] = match world {
            World::File | World::Dated => &["log"],
            World::Link => &["real/log"],
            World::Switched => &["real/2024-01-00000.log"],
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
        if matches!(world, World::Link | World::Switched) {
            symlink(names[0], directory.path().join("log")).unwrap();
        }
        Files {
            world,
            directory,
            logs,
            rotations: 0,
            births: BTreeSet::new(),
            contents: Vec::new(),
            lines: BTreeMap::new(),
            next_line: 0,
            was_cut_short: false,
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a line, or the rest of one, and says into which file.
    pub(super) fn write(&mut self, log: usize, filler: usize) -> (Serial, LineId) {
        if let Some(written) = self.finish_half(log) {
            return written;
        }
        let (id, text) = self.new_line(log, filler);
        let serial = self.append(log, &text);
        self.contents[serial].push(id);
        (serial, id)
    }

    pub(super) fn finish_half(&mut self, log: usize) -> Option<(Serial, LineId)> {
        let (id, rest, _) = self.logs[log].half.take()?;
        let serial = self.append(log, &rest);
        self.contents[serial].push(id);
        Some((serial, id))
    }

    pub(super) fn write_half(&mut self, log: usize) {
        if self.logs[log].half.is_some() {
            return;
        }
        let (id, mut text) = self.new_line(log, 0);
        let rest = text.split_off(text.len() / 2);
        self.open_writer(log);
        let size = self.logs[log].writer.as_ref().unwrap().0.metadata().unwrap().len();
        self.append(log, &text);
        self.logs[log].half = Some((id, rest, size));
    }

    /// Takes the half of a line back.
    pub(super) fn take_back(&mut self, log: usize) {
        let Some((id, _, size)) = self.logs[log].half.take() else { return };
        self.lines.remove(&id);
        self.logs[log].writer.as_ref().unwrap().0.set_len(size).unwrap();
        // Before the first whole line, there is nothing by which the file is known.
        self.was_cut_short |= size == 0;
    }

    /// What is half written stays so.
    pub(super) fn drop_half(&mut self, log: usize) {
        if let Some((id, _, _)) = self.logs[log].half.take() {
            self.lines.remove(&id);
            self.was_cut_short = true;
        }
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

    fn append(&mut self, log: usize, text: &[u8]) -> Serial {
        self.open_writer(log);
        let (file, serial) = self.logs[log].writer.as_mut().unwrap();
        file.write_all(text).unwrap();
        *serial
    }

    fn open_writer(&mut self, log: usize) {
        if self.logs[log].writer.is_none() {
            self.reopen(log);
        }
    }

    /// Lets the writer notice that the log is another file, or none.
    pub(super) fn reopen(&mut self, log: usize) {
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
        let file = OpenOptions::new().append(true).open(path).unwrap();
        self.logs[log].writer = Some((file, serial));
    }

    /// Makes an empty file. No two have one inode and one birth: that takes a file which lives shorter than a tick of
    /// the kernel's clock.
    fn create(&mut self, path: &Path) -> Serial {
        self.create_with(path, || drop(File::create_new(path).unwrap()));
        self.contents.push(Vec::new());
        self.contents.len() - 1
    }

    fn create_with(&mut self, path: &Path, create: impl Fn()) {
        loop {
            create();
            let metadata = fs::metadata(path).unwrap();
            if self.births.insert((metadata.ino(), metadata.created().unwrap())) {
                return;
            }
            fs::remove_file(path).unwrap();
        }
    }

    pub(super) fn rotate(&mut self, log: usize) {
        let Some(serial) = self.logs[log].live else { return };
        if self.world == World::Archives {
            return self.archive(log, serial, None);
        }
        let to = if self.world == World::Switched { self.switch(log) } else { self.make_room(log) };
        if self.world != World::Switched {
            fs::rename(&self.logs[log].path, &to).unwrap();
        }
        self.logs[log].rotated.insert(0, Rotated { path: to, serial, is_packed: false });
        self.logs[log].live = None;
    }

    /// Lets the link lead to the file of the next day; says what that of the last one is called.
    fn switch(&mut self, log: usize) -> PathBuf {
        self.rotations += 1;
        let name = format!("real/2024-01-{:05}.log", self.rotations);
        let (link, new) = (self.path().join("log"), self.path().join("new"));
        symlink(&name, &new).unwrap();
        fs::rename(new, link).unwrap();
        let path = self.path().join(name);
        std::mem::replace(&mut self.logs[log].path, path)
    }

    /// Says what the log is to be called when it is rotated.
    fn make_room(&mut self, log: usize) -> PathBuf {
        self.rotations += 1;
        let base = self.logs[log].path.display().to_string();
        if self.world == World::Dated {
            return PathBuf::from(format!("{base}-{}", 20_240_000 + self.rotations));
        }
        for (at, rotated) in self.logs[log].rotated.iter_mut().enumerate().rev() {
            let packed = rotated.path.extension().filter(|_| rotated.is_packed);
            let ending = packed.map(|ending| format!(".{}", ending.display())).unwrap_or_default();
            let to = PathBuf::from(format!("{base}.{}{ending}", at + 2));
            fs::rename(&rotated.path, &to).unwrap();
            rotated.path = to;
        }
        PathBuf::from(format!("{base}.1"))
    }

    /// What multilog does with a full file, with a processor or without.
    fn archive(&mut self, log: usize, serial: Serial, packer: Option<Packer>) {
        self.rotations += 1;
        let directory = self.path().join("logs");
        let archive = directory.join(format!("@40000000{:08x}00000000.s", self.rotations));
        let [previous, processed] = ["previous", "processed"].map(|name| directory.join(name));
        fs::rename(&self.logs[log].path, &previous).unwrap();
        self.logs[log].live = None;
        self.reopen(log);
        if let Some(packer) = packer {
            let packed = packer.pack(&fs::read(&previous).unwrap());
            self.create_with(&processed, || fs::write(&processed, &packed).unwrap());
            fs::remove_file(&previous).unwrap();
            fs::rename(&processed, &archive).unwrap();
        } else {
            fs::hard_link(&previous, &archive).unwrap();
            fs::remove_file(&previous).unwrap();
        }
        let is_packed = packer.is_some();
        self.logs[log].rotated.insert(0, Rotated { path: archive, serial, is_packed });
    }

    /// Compresses a rotated file; its writer has noticed by then.
    pub(super) fn compress(&mut self, log: usize, nth: usize, packer: Packer) {
        if self.world == World::Archives {
            if let Some(serial) = self.logs[log].live {
                self.archive(log, serial, Some(packer));
            }
            return;
        }
        let Some(rotated) = self.logs[log].rotated.get(nth).filter(|rotated| !rotated.is_packed) else {
            return;
        };
        let (path, serial) = (rotated.path.clone(), rotated.serial);
        if self.logs[log].writer.as_ref().is_some_and(|&(_, writes_to)| writes_to == serial) {
            self.reopen(log);
        }
        let packed = packer.name(&path);
        self.create_with(&packed, || packer.write(&path, &packed));
        fs::remove_file(&path).unwrap();
        let rotated = &mut self.logs[log].rotated[nth];
        (rotated.path, rotated.is_packed) = (packed, true);
    }

    /// Says which lines the log held.
    pub(super) fn copy_and_truncate(&mut self, log: usize, serial: Serial) -> Vec<LineId> {
        let to = self.make_room(log);
        let copy = self.create(&to);
        let path = self.logs[log].path.clone();
        fs::copy(&path, &to).unwrap();
        let held = self.truncate(log, serial);
        self.contents[copy] = held.clone();
        self.logs[log].rotated.insert(0, Rotated { path: to, serial: copy, is_packed: false });
        held
    }

    pub(super) fn truncate(&mut self, log: usize, serial: Serial) -> Vec<LineId> {
        OpenOptions::new().write(true).open(&self.logs[log].path).unwrap().set_len(0).unwrap();
        std::mem::take(&mut self.contents[serial])
    }

    pub(super) fn delete(&mut self, log: usize) -> Option<Serial> {
        let serial = self.logs[log].live.take()?;
        fs::remove_file(&self.logs[log].path).unwrap();
        Some(serial)
    }

    /// Moves a new file into the log's place; says which one it replaced, which it is, and what it holds.
    pub(super) fn move_into_place(&mut self, log: usize, lines: u8) -> (Option<Serial>, Serial, Vec<LineId>) {
        let prepared = self.path().join("prepared");
        let serial = self.create(&prepared);
        self.drop_half(log);
        let replaced = self.logs[log].live.replace(serial);
        let file = OpenOptions::new().append(true).open(&prepared).unwrap();
        self.logs[log].writer = Some((file, serial));
        let ids = (0..lines).map(|_| self.write(log, 0).1).collect();
        fs::rename(prepared, &self.logs[log].path).unwrap();
        (replaced, serial, ids)
    }

    pub(super) fn prune(&mut self, log: usize) -> Option<Serial> {
        let Rotated { path, serial, .. } = self.logs[log].rotated.pop()?;
        fs::remove_file(path).unwrap();
        Some(serial)
    }

    pub(super) fn is_nameless(&self, serial: Serial) -> bool {
        let is_named = |log: &Log| {
            log.live == Some(serial) || log.rotated.iter().any(|rotated| rotated.serial == serial)
        };
        !self.logs.iter().any(is_named)
    }
}
