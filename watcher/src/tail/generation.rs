//! One open file: how it is read on, and how it is noticed that its content was taken away under the reader.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use memchr::memrchr;
use rustix::fs::{Mode, OFlags, SeekFrom};

use crate::tail::cursor::{self, Cursor, FileId};
use crate::tail::head::Head;
use crate::tail::notify::WatchId;
use crate::tail::packed::{Chunk, Form, Packed};
use crate::tail::splitter::{LINE_BYTES_MAX, LineSplitter, RawLine};

/// A deleted file to which nobody had written for so long before it was deleted has no writer any more.
const WRITER_GONE_AFTER: Duration = Duration::from_secs(600);

/// A file of a log: the one that is written to, or one that it was renamed to.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) id: FileId,
    pub(crate) path: PathBuf,
    /// `None` of a compressed file: it does not grow.
    pub(crate) watch: Option<WatchId>,
    /// Whether there may be bytes that have not been read.
    pub(crate) unread: bool,
    /// Whether the last that was heard of a writer is that it closed the file.
    pub(crate) closed: bool,
    /// Whether it was truncated since it was opened.
    truncated: bool,
    /// When it had last been written to, before it was read the last time.
    modified_ns: i64,
    body: Body,
    head: Head,
    splitter: LineSplitter,
}

/// What the log stands in.
#[derive(Debug)]
enum Body {
    Plain(File),
    Packed(Packed),
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
    /// The file ended before the place from which it was to be read.
    Short,
}

/// How a file no longer holds what was read from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breach {
    /// It begins with something else: truncated, and perhaps written to again.
    Restarted,
    /// It begins as before, but is shorter.
    Shrunk(u64),
    /// All lines that were delivered are there, but not the beginning of the next: its writer took it back, as many do
    /// when the disk is full.
    TakenBack,
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
        form: Form,
        id: FileId,
        path: PathBuf,
        watch: Option<WatchId>,
        offset: u64,
    ) -> io::Result<Self> {
        let head = Head::within(&file, form)?;
        let modified_ns = match form {
            Form::Plain => 0,
            Form::Packed => cursor::modified_ns(&file.metadata()?),
        };
        let body = match form {
            Form::Plain => Body::Plain(file),
            Form::Packed => Body::Packed(Packed::new(file, offset)),
        };
        let splitter = LineSplitter::at(offset);
        Ok(Generation {
            id,
            path,
            watch,
            unread: true,
            closed: false,
            truncated: false,
            modified_ns,
            body,
            head,
            splitter,
        })
    }

    /// Reads on, at most as much as `buffer` holds.
    pub(crate) fn step(&mut self, buffer: &mut [u8], each: impl FnMut(RawLine<'_>)) -> io::Result<Step> {
        let Body::Packed(packed) = &mut self.body else { return self.step_plain(buffer, each) };
        match packed.read(buffer)? {
            Chunk::Skipped(count) => Ok(Step::Read(count)),
            Chunk::Read(count) => {
                self.splitter.feed(buffer.get(..count).unwrap_or_default(), each);
                Ok(Step::Read(count))
            }
            Chunk::End => {
                self.unread = false;
                Ok(Step::End)
            }
            Chunk::Short => {
                self.unread = false;
                Ok(Step::Short)
            }
        }
    }

    fn step_plain(&mut self, buffer: &mut [u8], each: impl FnMut(RawLine<'_>)) -> io::Result<Step> {
        let position = self.splitter.position();
        let modified_ns = cursor::modified_ns(&self.file().metadata()?);
        let count = self.file().read_at(buffer, position)?;
        if count == 0 {
            self.unread = false;
            if self.breach()?.is_some() {
                return Ok(Step::Broken);
            }
            if self.has_unfinished()? {
                return Ok(Step::End);
            }
            self.read_line_again()?;
            return Ok(Step::Read(0));
        }
        // Only now: were the file truncated and written anew between this look and the reading, the bytes would be of
        // another line than the one that they seem to continue.
        let now = Head::of(self.file())?;
        if !now.bytes().starts_with(self.head.bytes()) {
            return Ok(Step::Broken);
        }
        self.head = now;
        self.modified_ns = modified_ns;
        if !self.has_unfinished()? {
            self.read_line_again()?;
            return Ok(Step::Read(0));
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

    /// Whether the file still holds what was read from it; if it does, learns what it begins with by now.
    pub(crate) fn breach(&mut self) -> io::Result<Option<Breach>> {
        let Body::Plain(file) = &self.body else { return Ok(None) };
        let now = Head::of(file)?;
        let size = file.metadata()?.len();
        let is_same = now.agrees_with(&self.head);
        let seen = self.splitter.position().max(self.head.bytes().len() as u64);
        if is_same && size >= seen {
            self.head = now;
            return Ok(None);
        }
        let start = self.line_start();
        if start > 0 && size >= start && now.agrees_up_to(start, &self.head) {
            return Ok(Some(Breach::TakenBack));
        }
        Ok(Some(if is_same && size > 0 { Breach::Shrunk(size) } else { Breach::Restarted }))
    }

    /// Whether the beginning of the line that is not finished still stands in the file. There may be something else in
    /// its place by now, and as long.
    fn has_unfinished(&self) -> io::Result<bool> {
        let mut now = [0; 64];
        let Some(line) = self.splitter.unfinished().filter(|line| !line.cut) else { return Ok(true) };
        let from = line.bytes.len().saturating_sub(now.len());
        let held = line.bytes.get(from..).unwrap_or_default();
        let now = now.get_mut(..held.len()).unwrap_or_default();
        match self.file().read_exact_at(now, line.offset + from as u64) {
            Ok(()) => Ok(now == held),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads the line anew that is not finished.
    pub(crate) fn read_line_again(&mut self) -> io::Result<()> {
        self.head = Head::of(self.file())?;
        self.splitter = LineSplitter::at(self.line_start());
        self.unread = true;
        Ok(())
    }

    /// Begins with the file anew.
    pub(crate) fn restart(&mut self) -> io::Result<()> {
        self.truncated = true;
        self.head = Head::of(self.file())?;
        self.splitter = LineSplitter::at(0);
        self.unread = true;
        Ok(())
    }

    /// Goes back to where the line begins that is the last one now, unless it had not come so far.
    pub(crate) fn shrink(&mut self, size: u64) -> io::Result<()> {
        self.head = Head::of(self.file())?;
        let start = last_line_start(self.file(), size)?.min(self.line_start());
        self.splitter = LineSplitter::at(start);
        self.unread = true;
        Ok(())
    }

    /// What it began with when it was read.
    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    /// What it begins with now; of a compressed file, what it holds.
    pub(crate) fn head_now(&self) -> io::Result<Head> {
        match &self.body {
            Body::Plain(file) => Head::of(file),
            Body::Packed(_) => Ok(self.head.clone()),
        }
    }

    /// Where the line begins that has not been delivered.
    pub(crate) fn line_start(&self) -> u64 {
        self.splitter.line_start()
    }

    /// Whether it has been read into the middle of a line.
    pub(crate) fn is_in_a_line(&self) -> bool {
        self.splitter.position() > self.splitter.line_start()
    }

    /// Up to where it has been seen, the unfinished line included.
    pub(crate) fn position(&self) -> u64 {
        self.splitter.position()
    }

    /// How many bytes have not been read. Of a compressed file, how many it has.
    pub(crate) fn behind_bytes(&self) -> u64 {
        let size = || self.file().metadata().map_or(0, |metadata| metadata.len());
        match &self.body {
            Body::Plain(_) => size().saturating_sub(self.splitter.position()),
            Body::Packed(_) if self.unread => size(),
            Body::Packed(_) => 0,
        }
    }

    /// Whether the file has no name any more.
    pub(crate) fn is_deleted(&self) -> io::Result<bool> {
        Ok(self.file().metadata()?.nlink() == 0)
    }

    /// Whether no more is to be expected of a file that was compressed or deleted. While it is held open it takes up disk space, so
    /// it must be let go; but not while a writer has it open too. With several writers this is a guess: the first that
    /// closes it may not be the last.
    pub(crate) fn is_finished(&self) -> io::Result<bool> {
        if self.is_packed() {
            return Ok(!self.unread);
        }
        let metadata = self.file().metadata()?;
        let rested = metadata.ctime().saturating_sub(metadata.mtime());
        let has_rested = u64::try_from(rested).is_ok_and(|seconds| seconds >= WRITER_GONE_AFTER.as_secs());
        Ok(metadata.nlink() == 0 && !self.unread && (self.closed || has_rested))
    }

    /// Learns where the file is now. A log may have been renamed into another directory (logrotate's `olddir`), of
    /// which no note comes.
    pub(crate) fn find_path(&mut self) {
        let link = format!("/proc/self/fd/{}", self.file().as_raw_fd());
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
            modified_ns: self.modified_ns,
            is_packed: self.is_packed(),
            is_over: false,
        }
    }

    pub(crate) fn is_packed(&self) -> bool {
        matches!(self.body, Body::Packed(_))
    }

    fn file(&self) -> &File {
        match &self.body {
            Body::Plain(file) => file,
            Body::Packed(packed) => &packed.file,
        }
    }

    /// A writer that does not append goes on where it was when its file is truncated, and leaves a hole before. The
    /// first line begins after the hole. Zeros that a writer wrote are no hole.
    fn text_after_hole(&self) -> io::Result<Option<u64>> {
        // Where the file system knows no holes, there is data from the beginning.
        let mut position = rustix::fs::seek(self.file(), SeekFrom::Data(0)).unwrap_or(0);
        if position == 0 && !self.truncated {
            return Ok(None);
        }
        let mut buffer = [0; 4096];
        loop {
            let count = self.file().read_at(&mut buffer, position)?;
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
