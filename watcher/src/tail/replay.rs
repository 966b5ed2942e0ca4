//! Old logs from their beginning to their end, for replays and reports: the same lines that following them gives.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::tail::compression::decompressed;
use crate::tail::family::{Family, is_compressed};
use crate::tail::pattern::CURRENT;
use crate::tail::splitter::{LineSplitter, RawLine};

/// How much is read at a time.
const BLOCK_BYTES: usize = 256 * 1024;

/// Reads a log: a file, or a multilog directory, its archives in the order of their stamps and then `current`; any of
/// them compressed. The sink is told which file a line is from.
///
/// A last line without LF is given too: nobody is going to finish it.
///
/// # Errors
/// Where a file cannot be opened or read.
pub fn read_all(path: &Path, sink: &mut dyn FnMut(&Path, RawLine<'_>)) -> io::Result<()> {
    let mut members = Members::of(path)?;
    while let Some((path, file)) = members.open_next()? {
        read_lines(decompressed(file)?, |line| sink(&path, line))?;
    }
    Ok(())
}

/// The files of a log, the oldest first; each is opened when its turn comes.
#[derive(Debug)]
pub struct Members {
    archives: VecDeque<PathBuf>,
    current: Option<(PathBuf, File)>,
    current_inode: Option<u64>,
}

impl Members {
    /// Those of a file, which is one, or of a multilog directory.
    ///
    /// # Errors
    /// Where there is no such log.
    pub fn of(path: &Path) -> io::Result<Self> {
        if !path.is_dir() {
            let current = Some((path.to_owned(), File::open(path)?));
            return Ok(Members { archives: VecDeque::new(), current, current_inode: None });
        }
        // Opened first: a multilog that is at work may rename it while the archives are read.
        let current_path = path.join(CURRENT);
        let current = match File::open(&current_path) {
            Ok(file) => Some((current_path, file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let metadata = current.as_ref().map(|(_, file)| file.metadata()).transpose()?;
        let current_inode = metadata.map(|metadata| metadata.ino());
        Ok(Members { archives: archives(path)?, current, current_inode })
    }

    /// Opens the next one; none after the last.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn open_next(&mut self) -> io::Result<Option<(PathBuf, File)>> {
        while let Some(archive) = self.archives.pop_front() {
            let file = match File::open(&archive) {
                Ok(file) => file,
                // Pruned, or given its stamp, since the directory was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if Some(file.metadata()?.ino()) == self.current_inode {
                self.current = None;
            }
            return Ok(Some((archive, file)));
        }
        Ok(self.current.take())
    }

    /// How many bytes they hold, compressed as they are; nothing is counted for one that cannot be asked.
    pub fn size_bytes(&self) -> u64 {
        let archives = self.archives.iter().filter_map(|path| path.metadata().ok());
        let current = self.current.iter().filter_map(|(_, file)| file.metadata().ok());
        archives.chain(current).map(|metadata| metadata.len()).sum()
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

/// The archives of a multilog directory, oldest first. Of one that is there compressed and not, because somebody is
/// compressing it, the one that is complete is taken.
fn archives(directory: &Path) -> io::Result<VecDeque<PathBuf>> {
    let mut archives = BTreeMap::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_plain = !is_compressed(&name);
        let name = if is_plain { name.as_os_str() } else { Path::new(&name).file_stem().unwrap_or(&name) };
        let Some(rank) = Family::Archives.rank(name) else { continue };
        if is_plain || !archives.contains_key(&rank) {
            archives.insert(rank, entry.path());
        }
    }
    Ok(archives.into_values().collect())
}
