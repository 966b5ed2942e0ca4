//! Old logs: plain files, compressed ones, and multilog directories with their rotations in order.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use logline::Timestamp;

use crate::tail::{RawLine, read_all, read_lines};

/// How far the reading has come is told so often.
const PROGRESS_BYTES: u64 = 1 << 20;

/// How far the reading has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Bytes of lines that were read, uncompressed.
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
    let mut done = Progress::default();
    let mut each = |line: RawLine<'_>| {
        let before = done.read_bytes / PROGRESS_BYTES;
        done.read_bytes += line.bytes.len() as u64 + 1;
        sink(line.bytes);
        if done.read_bytes / PROGRESS_BYTES > before {
            progress(done);
        }
    };
    let compressed = log.extension().is_some_and(|extension| extension == "gz");
    let read = if compressed {
        // A rotated log may be several gzip members, one after the other.
        File::open(log).and_then(|file| read_lines(MultiGzDecoder::new(file), each))
    } else {
        read_all(log, &mut |_, line| each(line))
    };
    read.map_err(|source| LogError { path: log.to_owned(), source })
}
