//! A file's first bytes: how a truncated file and the copy that was made of it are known.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// How many bytes of a file's beginning are remembered. Stamps of whole seconds make lines alike: 64 bytes can be
/// equal in two files of one busy second, 256 hold two or three lines.
pub(crate) const HEAD_BYTES_MAX: usize = 256;

/// A file's first bytes, as far as they have been seen.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    bytes: [u8; HEAD_BYTES_MAX],
    length: usize,
}

/// What a cursor keeps of a [`Head`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeadPrint {
    pub(crate) length: u16,
    pub(crate) hash: u64,
}

impl Head {
    /// Nothing seen yet.
    pub(crate) const EMPTY: Head = Head { bytes: [0; HEAD_BYTES_MAX], length: 0 };

    /// The beginning of `file` as it is now.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let mut head = Head::EMPTY;
        while let Some(room) = head.bytes.get_mut(head.length..).filter(|room| !room.is_empty()) {
            let count = file.read_at(room, head.length as u64)?;
            if count == 0 {
                break;
            }
            head.length += count;
        }
        Ok(head)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Looks at `file` again. If it still begins with these bytes, those that have come since are remembered too.
    pub(crate) fn still_begins(&mut self, file: &File) -> io::Result<bool> {
        let now = Head::of(file)?;
        let same = now.bytes().starts_with(self.bytes());
        if same {
            *self = now;
        }
        Ok(same)
    }

    /// Whether this and `other` are equal as far as both go.
    pub(crate) fn agrees_with(&self, other: &Head) -> bool {
        let length = self.length.min(other.length);
        self.bytes.get(..length) == other.bytes.get(..length)
    }

    /// Whether `print` was taken of these bytes or the first of them.
    pub(crate) fn bears(&self, print: HeadPrint) -> bool {
        self.bytes().get(..usize::from(print.length)).is_some_and(|bytes| hash(bytes) == print.hash)
    }

    pub(crate) fn print(&self) -> HeadPrint {
        HeadPrint { length: u16::try_from(self.length).unwrap_or(u16::MAX), hash: hash(self.bytes()) }
    }
}

/// FNV-1a: it is kept on disk, so it must be the same in every version of the program. It resists no attacker, and
/// need not: who can choose a log's first bytes gains a line read twice.
fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
