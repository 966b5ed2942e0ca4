//! One open file: how it is read on, and how it is noticed that its content was taken away under the reader.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use memchr::memrchr;
use rustix::fs::{Mode, OFlags, SeekFrom};

use crate::tail::cursor::{Cursor, FileId};
use crate::tail::head::Head;
use crate::tail::notify::WatchId;
use crate::tail::splitter::{LINE_BYTES_MAX, LineSplitter, RawLine};

/// A deleted file to which nobody had written for so long before it was deleted has no writer any more.
const WRITER_GONE_AFTER: Duration = Duration::from_secs(600);

/// A file of a log: the one that is written to, or one that it was renamed to.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) id: FileId,
    pub(crate) path: PathBuf,
    pub(crate) watch: WatchId,
    /// Whether there may be bytes that have not been read.
    pub(crate) unread: bool,
    /// Whether the last that was heard of a writer is that it closed the file.
    pub(crate) closed: bool,
    /// Whether it was truncated since it was opened.
    truncated: bool,
    file: File,
    head: Head,
    splitter: LineSplitter,
}

/// What one step of reading came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many bytes were read.
    Read(usize),
    /// There is no more for now.
    End,
    /// What had been read is no longer in the file.
    Broken,
}

/// How a file no longer holds what was read from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breach {
    /// It begins with something else: truncated, and perhaps written to again.
    Restarted,
    /// It begins as before, but is shorter.
    Shrunk(u64),
}

/// Opens a regular file; `None` for anything else. Never waits, whatever the name turns out to be.
pub(crate) fn open(path: &Path) -> io::Result<Option<(File, Metadata)>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    Ok(metadata.is_file().then_some((file, metadata)))
}

impl Generation {
    /// Reads a file from `offset`, which is the beginning of a line.
    pub(crate) fn new(
        file: File,
        id: FileId,
        path: PathBuf,
        watch: WatchId,
        offset: u64,
    ) -> io::Result<Self> {
        let head = if offset == 0 { Head::EMPTY } else { Head::of(&file)? };
        let splitter = LineSplitter::at(offset);
        Ok(Generation {
            id,
            path,
            watch,
            unread: true,
            closed: false,
            truncated: false,
            file,
            head,
            splitter,
        })
    }

    /// Reads on, at most as much as `buffer` holds.
    pub(crate) fn step(&mut self, buffer: &mut [u8], each: impl FnMut(RawLine<'_>)) -> io::Result<Step> {
        let position = self.splitter.position();
        let count = self.file.read_at(buffer, position)?;
        if count == 0 {
            self.unread = false;
            return Ok(if self.breach()?.is_some() { Step::Broken } else { Step::End });
        }
        // Only now: were the file truncated and written anew between this look and the reading, the bytes would be of
        // another line than the one that they seem to continue.
        if !self.head.still_begins(&self.file)? {
            return Ok(Step::Broken);
        }
        let bytes = buffer.get(..count).unwrap_or_default();
        if position == 0
            && bytes.first() == Some(&0)
            && let Some(text) = self.text_after_hole()?
        {
            self.splitter = LineSplitter::at(text);
            return Ok(Step::Read(0));
        }
        self.unread = count == buffer.len();
        self.splitter.feed(bytes, each);
        Ok(Step::Read(count))
    }

    /// Whether the file still holds what was read from it.
    pub(crate) fn breach(&self) -> io::Result<Option<Breach>> {
        let now = Head::of(&self.file)?;
        let size = self.file.metadata()?.len();
        let is_same = now.agrees_with(&self.head);
        let seen = self.splitter.position().max(self.head.bytes().len() as u64);
        if is_same && size >= seen {
            return Ok(None);
        }
        Ok(Some(if is_same && size > 0 { Breach::Shrunk(size) } else { Breach::Restarted }))
    }

    /// Begins with the file anew.
    pub(crate) fn restart(&mut self) {
        self.truncated = true;
        self.head = Head::EMPTY;
        self.splitter = LineSplitter::at(0);
        self.unread = true;
    }

    /// Goes back to where the line begins that is the last one now, unless it had not come so far.
    pub(crate) fn shrink(&mut self, size: u64) -> io::Result<()> {
        self.head = Head::of(&self.file)?;
        let start = last_line_start(&self.file, size)?.min(self.line_start());
        self.splitter = LineSplitter::at(start);
        self.unread = true;
        Ok(())
    }

    /// What it began with when it was read.
    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    /// Where the line begins that has not been delivered.
    pub(crate) fn line_start(&self) -> u64 {
        self.splitter.line_start()
    }

    /// Whether it has been read into the middle of a line.
    pub(crate) fn is_in_a_line(&self) -> bool {
        self.splitter.position() > self.splitter.line_start()
    }

    /// How many bytes have not been read.
    pub(crate) fn behind_bytes(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len().saturating_sub(self.splitter.position()))
    }

    /// Whether the file has no name any more.
    pub(crate) fn is_deleted(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.nlink() == 0)
    }

    /// Whether no more is to be expected of a file that was deleted. While it is held open it takes up disk space, so
    /// it must be let go; but not while a writer has it open too. With several writers this is a guess: the first that
    /// closes it may not be the last.
    pub(crate) fn is_finished(&self) -> io::Result<bool> {
        let metadata = self.file.metadata()?;
        let rested = metadata.ctime().saturating_sub(metadata.mtime());
        let has_rested = u64::try_from(rested).is_ok_and(|seconds| seconds >= WRITER_GONE_AFTER.as_secs());
        Ok(metadata.nlink() == 0 && !self.unread && (self.closed || has_rested))
    }

    /// Learns where the file is now. A log may have been renamed into another directory (logrotate's `olddir`), of
    /// which no note comes.
    pub(crate) fn find_path(&mut self) {
        let link = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        // A deleted file's old path is as good as any: it is not found there again.
        if let Ok(path) = std::fs::read_link(link)
            && path.is_absolute()
            && path.exists()
        {
            self.path = path;
        }
    }

    /// The position after the last line that was delivered.
    pub(crate) fn cursor(&self) -> Cursor {
        let FileId { device, inode, born_ns } = self.id;
        let head = self.head.print();
        Cursor {
            path: self.path.clone(),
            device,
            inode,
            born_ns,
            offset: self.line_start(),
            head_len: head.length,
            head_hash: head.hash,
        }
    }

    /// A writer that does not append goes on where it was when its file is truncated, and leaves a hole before. The
    /// first line begins after the hole. Zeros that a writer wrote are no hole.
    fn text_after_hole(&self) -> io::Result<Option<u64>> {
        // Where the file system knows no holes, there is data from the beginning.
        let mut position = rustix::fs::seek(&self.file, SeekFrom::Data(0)).unwrap_or(0);
        if position == 0 && !self.truncated {
            return Ok(None);
        }
        let mut buffer = [0; 4096];
        loop {
            let count = self.file.read_at(&mut buffer, position)?;
            let bytes = buffer.get(..count).unwrap_or_default();
            let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
            position += zeros as u64;
            if zeros < count || count == 0 {
                return Ok((position > 0).then_some(position));
            }
        }
    }
}

/// Where the last line of the first `size` bytes begins. A line too long to be found so is taken up in its middle.
pub(crate) fn last_line_start(file: &File, size: u64) -> io::Result<u64> {
    let from = size.saturating_sub(LINE_BYTES_MAX as u64);
    let mut bytes = vec![0; usize::try_from(size - from).unwrap_or(LINE_BYTES_MAX)];
    match file.read_exact_at(&mut bytes, from) {
        // Shorter again: that is for the next look.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(size),
        read => read?,
    }
    Ok(match memrchr(b'\n', &bytes) {
        Some(at) => from + at as u64 + 1,
        None if from == 0 => 0,
        None => size,
    })
}
