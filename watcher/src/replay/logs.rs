//! Old logs: plain files, compressed ones, and multilog directories with their rotations in order.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use logline::Timestamp;

use crate::tail::LineSplitter;

/// So much is read at once.
const BLOCK_BYTES: usize = 256 << 10;

/// How far the reading has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Bytes of the file that were read, compressed as they are.
    pub read_bytes: u64,
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the log {}", path.display())]
pub struct LogError {
    path: PathBuf,
    source: io::Error,
}

/// When a log was last written.
pub(super) fn written(log: &Path) -> Result<Timestamp, LogError> {
    let modified = std::fs::metadata(log).and_then(|metadata| metadata.modified());
    modified.map(Timestamp::from).map_err(|source| LogError { path: log.to_owned(), source })
}

/// Gives every line of a log, the oldest first.
pub(super) fn read(
    log: &Path,
    sink: &mut dyn FnMut(&[u8]),
    progress: &mut dyn FnMut(Progress),
) -> Result<(), LogError> {
    for path in files(log)? {
        file(&path, sink, progress).map_err(|source| LogError { path: path.clone(), source })?;
    }
    Ok(())
}

/// The file itself; of a multilog directory the archives in the order of their stamps, then `current`.
fn files(log: &Path) -> Result<Vec<PathBuf>, LogError> {
    let failed = |source| LogError { path: log.to_owned(), source };
    if !log.is_dir() {
        return Ok(vec![log.to_owned()]);
    }
    let entries = std::fs::read_dir(log).map_err(failed)?;
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in entries {
        files.push(entry.map_err(failed)?.path());
    }
    files.retain(|path| is_archive(path));
    files.sort();
    let current = log.join("current");
    if current.is_file() {
        files.push(current);
    }
    if files.is_empty() {
        let source =
            io::Error::new(io::ErrorKind::NotFound, "no multilog directory: neither current nor @*.s in it");
        return Err(failed(source));
    }
    Ok(files)
}

/// `@` and 24 hexadecimal digits, then `.s` or `.u`; perhaps compressed. The names sort as the stamps do.
fn is_archive(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some((stamp, rest)) = name.split_at_checked(Timestamp::TAI64N_BYTES) else { return false };
    Timestamp::parse_tai64n(stamp.as_bytes()).is_ok() && (rest.starts_with(".s") || rest.starts_with(".u"))
}

fn file(path: &Path, sink: &mut dyn FnMut(&[u8]), progress: &mut dyn FnMut(Progress)) -> io::Result<()> {
    let counted = Counted { inner: File::open(path)?, read_bytes: 0 };
    let compressed = path.extension().is_some_and(|extension| extension == "gz");
    if compressed {
        // A rotated log may be several gzip members, one after the other.
        lines(flate2::read::MultiGzDecoder::new(counted), sink, |decoder| {
            progress(Progress { read_bytes: decoder.get_ref().read_bytes });
        })
    } else {
        lines(counted, sink, |counted| progress(Progress { read_bytes: counted.read_bytes }))
    }
}

fn lines<R: Read>(mut from: R, sink: &mut dyn FnMut(&[u8]), mut progress: impl FnMut(&R)) -> io::Result<()> {
    let mut block = vec![0; BLOCK_BYTES];
    let mut splitter = LineSplitter::default();
    loop {
        let length = match from.read(&mut block) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        splitter.feed(block.get(..length).unwrap_or_default(), |line| sink(line.bytes));
        progress(&from);
    }
    // An old log is not written any more: what stands after its last line feed is a line too.
    if let Some(line) = splitter.unfinished() {
        sink(line.bytes);
    }
    Ok(())
}

/// Counts what is read through it.
struct Counted {
    inner: File,
    read_bytes: u64,
}

impl Read for Counted {
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(block)?;
        self.read_bytes += length as u64;
        Ok(length)
    }
}
