//! A file's first bytes: how a truncated file and the copy that was made of it are known.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use memchr::memrchr;

use crate::tail::packed::{Form, Unpacking};

/// How many bytes of a file's beginning are remembered. Stamps of whole seconds make lines alike: 64 bytes can be
/// equal in two files of one busy second, 256 hold two or three lines.
pub(crate) const HEAD_BYTES_MAX: usize = 256;

/// A file's first bytes, as far as they have been seen.
///
/// Only whole lines count, unless the first is longer: half a line may be the beginning of many, and its writer may take
/// it back.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    bytes: [u8; HEAD_BYTES_MAX],
    /// How many bytes there are.
    seen: usize,
    /// How many of them count.
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
    pub(crate) const EMPTY: Head = Head { bytes: [0; HEAD_BYTES_MAX], seen: 0, length: 0 };

    /// The beginning of `file` as it is now.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        Head::read(|room, at| file.read_at(room, at))
    }

    /// The beginning of the log that `file` holds. Of a compressed one that is damaged, or not yet whole, as much as
    /// can be read.
    pub(crate) fn within(file: &File, form: Form) -> io::Result<Self> {
        match form {
            Form::Plain => Head::of(file),
            Form::Packed => {
                let mut unpacking = Unpacking::of(file)?;
                Head::read(|room, _| Ok(unpacking.read(room).unwrap_or(0)))
            }
        }
    }

    fn read(mut read: impl FnMut(&mut [u8], u64) -> io::Result<usize>) -> io::Result<Self> {
        let mut head = Head::EMPTY;
        while let Some(room) = head.bytes.get_mut(head.seen..).filter(|room| !room.is_empty()) {
            let count = read(room, head.seen as u64)?;
            if count == 0 {
                break;
            }
            head.seen += count;
        }
        let whole =
            head.bytes.get(..head.seen).and_then(|bytes| memrchr(b'\n', bytes)).map_or(0, |at| at + 1);
        head.length = if head.seen == HEAD_BYTES_MAX { HEAD_BYTES_MAX } else { whole };
        Ok(head)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Whether this and `earlier` are equal in their first bytes, so many of a file.
    pub(crate) fn agrees_up_to(&self, position: u64, earlier: &Head) -> bool {
        let length = usize::try_from(position).unwrap_or(HEAD_BYTES_MAX).min(earlier.length);
        self.seen >= length && self.bytes.get(..length) == earlier.bytes.get(..length)
    }

    /// Whether what begins so may have begun as `earlier` does.
    pub(crate) fn agrees_with(&self, earlier: &Head) -> bool {
        let length = self.seen.min(earlier.length);
        self.bytes.get(..length) == earlier.bytes.get(..length)
    }

    /// Whether both are beginnings of the same: nothing is the beginning of anything.
    pub(crate) fn is_as(&self, other: &Head) -> bool {
        let length = self.length.min(other.length);
        length > 0 && self.bytes.get(..length) == other.bytes.get(..length)
    }

    /// Whether `print` was taken of these bytes or the first of them.
    pub(crate) fn bears(&self, print: HeadPrint) -> bool {
        let bytes = self.bytes.get(..self.seen).and_then(|bytes| bytes.get(..usize::from(print.length)));
        bytes.is_some_and(|bytes| hash(bytes) == print.hash)
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
