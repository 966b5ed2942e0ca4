//! Which file it was, and how far it had been read: what survives a restart.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::tail::head::HeadPrint;

/// One file, whatever it is called.
///
/// Device and inode alone are not enough: a deleted file's inode number is given to the next file at once (on ext4 as
/// a rule), and the new file would seem to have been read already. The time of birth tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FileId {
    /// The device.
    pub device: u64,
    /// The inode.
    pub inode: u64,
    /// When the file came to be, in nanoseconds since 1970; 0 where the file system does not tell.
    pub born_ns: i64,
}

impl FileId {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        FileId { device: metadata.dev(), inode: metadata.ino(), born_ns: born_ns(metadata) }
    }
}

/// A position in a file, to be kept by the caller together with what followed from the lines before it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cursor {
    /// Where the file was last seen.
    pub path: PathBuf,
    /// The device.
    pub device: u64,
    /// The inode.
    pub inode: u64,
    /// When the file came to be, in nanoseconds since 1970; 0 where the file system does not tell.
    pub born_ns: i64,
    /// All lines before here were delivered, and none after it.
    pub offset: u64,
    /// How many of the file's first bytes are in `head_hash`.
    pub head_len: u16,
    /// What the file began with. A file that was truncated and written anew keeps its inode, not its beginning.
    pub head_hash: u64,
    /// When the file was last written to, before it was read so far; in nanoseconds since 1970.
    #[serde(default)]
    pub modified_ns: i64,
    /// Whether the file is compressed. Offset and beginning are those of what it holds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_packed: bool,
    /// Whether it was read to its end and nothing is to come: the same content may turn up once more, compressed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_over: bool,
}

impl Cursor {
    /// Behind the end of a file of which nothing is wanted any more.
    pub(crate) fn behind(path: PathBuf, file: FileId, size: u64, print: HeadPrint) -> Self {
        let FileId { device, inode, born_ns } = file;
        Cursor {
            path,
            device,
            inode,
            born_ns,
            offset: size,
            head_len: print.length,
            head_hash: print.hash,
            modified_ns: 0,
            is_packed: false,
            is_over: true,
        }
    }

    /// The file it is a position in.
    pub fn file(&self) -> FileId {
        FileId { device: self.device, inode: self.inode, born_ns: self.born_ns }
    }

    pub(crate) fn print(&self) -> HeadPrint {
        HeadPrint { length: self.head_len, hash: self.head_hash }
    }

    /// Whether this is a position in that file. Device numbers may change when the machine starts anew; a birth to
    /// the nanosecond under the same inode number does not happen twice.
    pub(crate) fn is_in(&self, file: FileId) -> bool {
        self.inode == file.inode
            && self.born_ns == file.born_ns
            && (self.device == file.device || self.born_ns != 0)
    }
}

/// When a file was last written to, in nanoseconds since 1970.
pub(crate) fn modified_ns(metadata: &Metadata) -> i64 {
    metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec())
}

fn born_ns(metadata: &Metadata) -> i64 {
    let Ok(born) = metadata.created() else { return 0 };
    born.duration_since(UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_nanos()).ok()).unwrap_or(0)
}
