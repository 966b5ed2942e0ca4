//! A directory with logs in it, and a tailer that follows them.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;
use watcher::tail::{Cursor, Loss, SourceId, Start, Stats, Tailer, Target};

pub(crate) const SOURCE: SourceId = SourceId(7);

pub(crate) struct Lab {
    directory: tempfile::TempDir,
    what: String,
    tailer: Tailer,
    seen: Vec<String>,
}

impl Lab {
    /// Follows `what`, a path or glob within a new directory that `prepare` fills.
    pub(crate) fn new(what: &str, prepare: impl FnOnce(&Path)) -> Lab {
        Lab::starting(what, Start::Beginning, prepare)
    }

    pub(crate) fn starting(what: &str, start: Start, prepare: impl FnOnce(&Path)) -> Lab {
        let directory = tempfile::tempdir().unwrap();
        prepare(directory.path());
        let mut lab = Lab { directory, what: what.into(), tailer: Tailer::new().unwrap(), seen: Vec::new() };
        lab.follow(start, &[]);
        lab
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Opens a log as a writer does.
    pub(crate) fn writer(&self, name: &str) -> File {
        OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        self.writer(name).write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    pub(crate) fn copy_and_truncate(&self, name: &str, copy: &str) {
        fs::copy(self.path(name), self.path(copy)).unwrap();
        self.truncate(name, 0);
    }

    pub(crate) fn truncate(&self, name: &str, size: u64) {
        OpenOptions::new().write(true).open(self.path(name)).unwrap().set_len(size).unwrap();
    }

    /// Reads until the kernel has nothing more to tell, and compares what came since the last time.
    #[track_caller]
    pub(crate) fn expect(&mut self, lines: &[&str]) {
        assert_eq!(self.take(), lines);
    }

    /// Reads until the kernel has nothing more to tell, and gives what came since the last time.
    pub(crate) fn take(&mut self) -> Vec<String> {
        self.read();
        std::mem::take(&mut self.seen)
    }

    /// Reads no more than so much.
    pub(crate) fn read_bytes(&mut self, budget: usize) {
        let Lab { tailer, seen, .. } = self;
        tailer.read(budget, &mut |line| seen.push(String::from_utf8_lossy(line.bytes).into_owned())).unwrap();
    }

    #[track_caller]
    pub(crate) fn expect_losses(&self, losses: &[(Loss, u64)]) {
        assert_eq!(self.stats().lost, losses.iter().copied().collect::<BTreeMap<_, _>>());
    }

    pub(crate) fn stats(&self) -> Stats {
        self.tailer.stats(SOURCE)
    }

    pub(crate) fn cursors(&self) -> Vec<Cursor> {
        self.tailer.cursors(SOURCE)
    }

    /// Ends the program in good order, lets things happen, and starts it again.
    pub(crate) fn while_down(&mut self, happens: impl FnOnce(&Lab)) {
        let cursors = self.cursors();
        self.tailer = Tailer::new().unwrap();
        happens(self);
        // Whoever keeps cursors writes them down: what is not in the text does not survive.
        let text = serde_json::to_string(&cursors).unwrap();
        let cursors: Vec<Cursor> = serde_json::from_str(&text).unwrap();
        self.follow(Start::Beginning, &cursors);
    }

    fn follow(&mut self, start: Start, cursors: &[Cursor]) {
        let what = self.directory.path().join(&self.what);
        let mut what = what.to_str().unwrap().to_owned();
        if self.what.ends_with('/') && !what.ends_with('/') {
            what.push('/');
        }
        self.tailer.follow(SOURCE, Target::parse(&what), start, cursors).unwrap();
    }

    fn read(&mut self) {
        let Lab { tailer, seen, .. } = self;
        read_to_the_end(tailer, &mut |line| seen.push(String::from_utf8_lossy(line.bytes).into_owned()));
    }
}

/// Reads until there is nothing to read and nothing to hear.
pub(crate) fn read_to_the_end(tailer: &mut Tailer, sink: &mut dyn FnMut(watcher::tail::Line<'_>)) {
    loop {
        tailer.read(usize::MAX, sink).unwrap();
        if !is_readable(tailer) {
            return;
        }
    }
}

pub(crate) fn is_readable(tailer: &Tailer) -> bool {
    wait(tailer, 0)
}

/// Waits as a daemon does, for a while.
pub(crate) fn wait(tailer: &Tailer, seconds: i64) -> bool {
    let fd = tailer.fd();
    let mut fds = [PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: seconds, tv_nsec: 0 })).unwrap() > 0
}
