//! Compressed rotated files: read forwards only, in little memory, as the logs that they were.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use crate::tail::compression::{self, decompressed};

/// How a file holds its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it is.
    Plain,
    /// Compressed.
    Packed,
}

impl Form {
    /// What the first bytes of `file` say. A name need not: multilog calls what its processor has compressed as it calls
    /// everything.
    pub(crate) fn of(file: &File) -> io::Result<Form> {
        let mut beginning = [0; 8];
        let count = file.read_at(&mut beginning, 0)?;
        let is_packed = compression::is_packed(beginning.get(..count).unwrap_or_default());
        Ok(if is_packed { Form::Packed } else { Form::Plain })
    }
}

/// A compressed file that is being read.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) file: File,
    /// What lies before was read by other means.
    from: u64,
    position: u64,
    state: State,
}

/// Decompressing takes megabytes, so it begins with the first read: many files may wait for their turn.
#[derive(Debug)]
enum State {
    Waiting,
    Reading(Unpacking),
    Ended,
}

/// What one read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chunk {
    /// So many bytes that are not wanted.
    Skipped(usize),
    /// So many bytes that are.
    Read(usize),
    /// There is no more.
    End,
    /// It ended before the first byte that is wanted.
    Short,
}

impl Packed {
    /// The log that `file` holds, from a position on.
    pub(crate) fn new(file: File, from: u64) -> Self {
        Packed { file, from, position: 0, state: State::Waiting }
    }

    /// Reads on. After an error it is at its end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Chunk> {
        let reading = match &mut self.state {
            State::Waiting => {
                let unpacking = Unpacking::of(&self.file).inspect_err(|_| self.state = State::Ended)?;
                self.state = State::Reading(unpacking);
                return Ok(Chunk::Skipped(0));
            }
            State::Reading(reading) => reading,
            State::Ended => return Ok(Chunk::End),
        };
        let unwanted = usize::try_from(self.from.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let room = match unwanted {
            0 => buffer,
            unwanted => buffer.get_mut(..unwanted.min(buffer.len())).unwrap_or_default(),
        };
        match reading.read(room) {
            Ok(0) => {
                self.state = State::Ended;
                Ok(if unwanted > 0 { Chunk::Short } else { Chunk::End })
            }
            Ok(count) => {
                self.position += count as u64;
                Ok(if unwanted > 0 { Chunk::Skipped(count) } else { Chunk::Read(count) })
            }
            Err(error) => {
                self.state = State::Ended;
                Err(error)
            }
        }
    }
}

/// A decompressor over a file, which is read from its beginning whoever else reads it.
pub(crate) struct Unpacking(Box<dyn Read>);

impl Unpacking {
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        Ok(Unpacking(decompressed(FromStart { file: file.try_clone()?, at: 0 })?))
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }
}

impl fmt::Debug for Unpacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unpacking")
    }
}

struct FromStart {
    file: File,
    at: u64,
}

impl Read for FromStart {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}
