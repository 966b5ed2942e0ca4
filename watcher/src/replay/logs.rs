//! Old logs: plain files, compressed ones, multilog directories with their rotations in order, and directories of any of
//! these.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use logline::Timestamp;

use crate::tail::{LineSplitter, Members, decompressed, is_compressed, possible_bases, read_lines};

/// So much of a log is read at a time.
const BLOCK_BYTES: usize = 256 * 1024;

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the log {}", path.display())]
pub struct LogError {
    path: PathBuf,
    source: io::Error,
}

/// One log, and of which source it is a part: the rotated files of a log are one source, as they are when they are
/// followed. Numbers of sessions mean something within a source alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Log {
    pub(super) path: PathBuf,
    pub(super) source: usize,
}

/// The logs that were named. A directory that is none of multilog's stands for all logs in it: its files, and the multilog
/// directories among its own.
pub(super) fn named(logs: &[PathBuf]) -> Result<Vec<Log>, LogError> {
    let mut all = Vec::new();
    for log in logs {
        let failed = |source| LogError { path: log.clone(), source };
        if !log.is_dir() || is_multilog(log).map_err(failed)? {
            all.push(log.clone());
            continue;
        }
        let within = within(log).map_err(failed)?;
        if within.is_empty() {
            return Err(failed(io::Error::new(io::ErrorKind::NotFound, "there is no log in this directory")));
        }
        all.extend(within);
    }
    let mut sources: Vec<PathBuf> = Vec::new();
    let number = |path: PathBuf| {
        let name = unrotated(&path);
        let source = sources.iter().position(|known| *known == name).unwrap_or_else(|| {
            sources.push(name);
            sources.len() - 1
        });
        Log { path, source }
    };
    Ok(all.into_iter().map(number).collect())
}

/// What a log was called before it was rotated and compressed; of multilog's files, their directory.
fn unrotated(path: &Path) -> PathBuf {
    let Some(name) = path.file_name().filter(|_| !path.is_dir()) else { return path.to_owned() };
    if is_multilogs(name) {
        return path.parent().map(Path::to_owned).unwrap_or_default();
    }
    let plain = if is_compressed(name) { Path::new(name).file_stem().unwrap_or(name) } else { name };
    path.with_file_name(possible_bases(plain).last().unwrap_or(plain))
}

fn within(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut logs = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_hidden && (path.is_file() || path.is_dir() && is_multilog(&path)?) {
            logs.push(path);
        }
    }
    logs.sort();
    Ok(logs)
}

/// Whether multilog or svlogd has written here.
fn is_multilog(directory: &Path) -> io::Result<bool> {
    for entry in std::fs::read_dir(directory)? {
        if is_multilogs(&entry?.file_name()) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_multilogs(name: &OsStr) -> bool {
    name == "current" || name.as_encoded_bytes().starts_with(b"@4")
}

/// When a log was last written.
pub(super) fn written(log: &Path) -> Result<Timestamp, LogError> {
    let modified = std::fs::metadata(log).and_then(|metadata| metadata.modified());
    modified.map(Timestamp::from).map_err(|source| LogError { path: log.to_owned(), source })
}

/// Gives every line of a log, the oldest first. What is read of the files is added to `done_bytes`.
pub(super) fn read(
    log: &Path,
    done_bytes: &Rc<Cell<u64>>,
    sink: &mut dyn FnMut(&[u8]),
) -> Result<(), LogError> {
    let mut read = || {
        let mut members = Members::of(log)?;
        while let Some((_, file)) = members.open_next()? {
            let counted = Counted { file, done_bytes: Rc::clone(done_bytes) };
            read_lines(decompressed(counted)?, |line| sink(line.bytes))?;
        }
        Ok(())
    };
    read().map_err(|source| LogError { path: log.to_owned(), source })
}

/// How many bytes a log has, compressed as it is.
pub(super) fn size_bytes(log: &Path) -> Result<u64, LogError> {
    let members = Members::of(log).map_err(|source| LogError { path: log.to_owned(), source })?;
    Ok(members.size_bytes())
}

/// One log, a line after the other when they are asked for. It holds a block, and the file that it is in.
pub(super) struct Lines {
    path: PathBuf,
    members: Members,
    open: Option<(Box<dyn Read>, LineSplitter)>,
    block: Vec<u8>,
    /// The lines of the block one after the other, where each ends, and which is the next.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    next: usize,
    done_bytes: Rc<Cell<u64>>,
}

impl Lines {
    /// Before the first line. What is read of the files is added to `done_bytes`.
    pub(super) fn of(log: &Path, done_bytes: Rc<Cell<u64>>) -> Result<Self, LogError> {
        let members = Members::of(log).map_err(|source| LogError { path: log.to_owned(), source })?;
        Ok(Lines {
            path: log.to_owned(),
            members,
            open: None,
            block: vec![0; BLOCK_BYTES],
            bytes: Vec::new(),
            ends: Vec::new(),
            next: 0,
            done_bytes,
        })
    }

    /// The line that is next.
    pub(super) fn peek(&mut self) -> Result<Option<&[u8]>, LogError> {
        while self.next == self.ends.len() {
            match self.fill() {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(source) => return Err(LogError { path: self.path.clone(), source }),
            }
        }
        Ok(Some(self.current()))
    }

    /// The line that was looked at; nothing after the last.
    pub(super) fn current(&self) -> &[u8] {
        let start = self.next.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        self.ends.get(self.next).and_then(|end| self.bytes.get(start..*end)).unwrap_or_default()
    }

    /// Goes on to the line after it.
    pub(super) fn pass(&mut self) {
        self.next = self.ends.len().min(self.next + 1);
    }

    /// Reads the next block; false where there is none.
    fn fill(&mut self) -> io::Result<bool> {
        let Lines { bytes, ends, .. } = self;
        bytes.clear();
        ends.clear();
        self.next = 0;
        let Some((from, splitter)) = &mut self.open else {
            let Some((_, file)) = self.members.open_next()? else { return Ok(false) };
            let counted = Counted { file, done_bytes: Rc::clone(&self.done_bytes) };
            self.open = Some((decompressed(counted)?, LineSplitter::at(0)));
            return Ok(true);
        };
        let mut keep = |line: &[u8]| {
            bytes.extend_from_slice(line);
            ends.push(bytes.len());
        };
        match from.read(&mut self.block) {
            Ok(0) => {
                if let Some(line) = splitter.unfinished() {
                    keep(line.bytes);
                }
                self.open = None;
            }
            Ok(count) => {
                splitter.feed(self.block.get(..count).unwrap_or_default(), |line| keep(line.bytes));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(true)
    }
}

/// A file that tells how much of it was read.
struct Counted {
    file: File,
    done_bytes: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.done_bytes.set(self.done_bytes.get() + count as u64);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_files_of_a_log_are_one_source() {
        let names =
            ["a/mail.log.2.gz", "a/mail.log", "a/mail.log-20261120", "a/mail.err", "b/mail.log", "c/current"];
        let paths: Vec<PathBuf> = names.iter().map(PathBuf::from).chain(["c/@4000.s".into()]).collect();
        let sources: Vec<usize> = named(&paths).unwrap().into_iter().map(|log| log.source).collect();
        assert_eq!(sources, [0, 0, 0, 1, 2, 3, 3]);
    }
}
