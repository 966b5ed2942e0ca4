//! Old logs from their beginning to their end, for replays and reports: the same lines that following them gives.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::tail::family::Family;
use crate::tail::pattern::CURRENT;
use crate::tail::splitter::{LineSplitter, RawLine};

/// How much is read at a time.
const BLOCK_BYTES: usize = 256 * 1024;

/// Reads a log: a file, or a multilog directory, its archives in the order of their stamps and then `current`. The sink
/// is told which file a line is from.
///
/// A last line without LF is given too: nobody is going to finish it.
///
/// # Errors
/// Where a file cannot be opened or read.
pub fn read_all(path: &Path, sink: &mut dyn FnMut(&Path, RawLine<'_>)) -> io::Result<()> {
    if !path.is_dir() {
        return read_lines(File::open(path)?, |line| sink(path, line));
    }
    // Opened first: a multilog that is at work may rename it while the archives are read.
    let current_path = path.join(CURRENT);
    let current = match File::open(&current_path) {
        Ok(file) => Some(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let current_inode = current.as_ref().map(File::metadata).transpose()?.map(|metadata| metadata.ino());
    let mut is_archived = false;
    for archive in archives(path)? {
        let file = match File::open(&archive) {
            Ok(file) => file,
            // Pruned, or given its stamp, since the directory was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        is_archived |= Some(file.metadata()?.ino()) == current_inode;
        read_lines(file, |line| sink(&archive, line))?;
    }
    match current {
        Some(file) if !is_archived => read_lines(file, |line| sink(&current_path, line)),
        Some(_) | None => Ok(()),
    }
}

/// Reads lines from anything, such as a decompressor, to its end. See [`read_all`].
///
/// # Errors
/// Where reading fails.
pub fn read_lines(mut from: impl Read, mut sink: impl FnMut(RawLine<'_>)) -> io::Result<()> {
    let mut splitter = LineSplitter::at(0);
    let mut buffer = vec![0; BLOCK_BYTES];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => splitter.feed(buffer.get(..count).unwrap_or_default(), &mut sink),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if let Some(line) = splitter.unfinished() {
        sink(line);
    }
    Ok(())
}

/// The archives of a multilog directory, oldest first.
fn archives(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut archives = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if let Some(rank) = Family::Archives.rank(&entry.file_name()) {
            archives.push((rank, entry.path()));
        }
    }
    archives.sort();
    Ok(archives.into_iter().map(|(_, path)| path).collect())
}
