//! A message on its way into the queue.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::header::Header;
use crate::queue::MessageId;
use crate::session::Envelope;

/// What is kept in memory before it goes to disk. Most messages are smaller and are written once, at the end.
const BUFFER_BYTES: usize = 64 * 1024;

/// A message that is coming in. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct Spool {
    pub(super) id: MessageId,
    pub(super) envelope: Envelope,
    pub(super) header: Header,
    pub(super) size_bytes: u64,
    path: PathBuf,
    file: Option<File>,
    buffer: Vec<u8>,
}

impl Spool {
    pub(super) fn new(id: MessageId, envelope: Envelope, path: PathBuf) -> io::Result<Self> {
        let mut buffer = serde_json::to_vec(&envelope)?;
        buffer.push(b'\n');
        Ok(Spool { id, envelope, header: Header::default(), size_bytes: 0, path, file: None, buffer })
    }

    /// The number that the message will have.
    pub fn id(&self) -> MessageId {
        self.id
    }

    /// Takes the next bytes. Does no I/O: [`Spool::flush`] does, when [`Spool::is_full`].
    pub fn append(&mut self, bytes: &[u8]) {
        self.header.read(bytes);
        self.size_bytes = self.size_bytes.saturating_add(bytes.len() as u64);
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether it is time to write.
    pub fn is_full(&self) -> bool {
        self.buffer.len() >= BUFFER_BYTES
    }

    /// Writes what is in memory. Blocks.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub fn flush(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(File::options().write(true).create_new(true).mode(0o600).open(&self.path)?),
        };
        file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// Writes the rest, syncs, and gives the message its final name. Blocks.
    pub(super) fn finish(&mut self, name: &std::path::Path) -> io::Result<()> {
        self.header.finish();
        self.flush()?;
        if let Some(file) = &self.file {
            file.sync_all()?;
        }
        // Another process may have given that name to a message of its own, which must not be lost.
        renameat_with(CWD, &self.path, CWD, name, RenameFlags::NOREPLACE)?;
        self.file = None;
        Ok(())
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if self.file.is_some() {
            // What cannot be removed now is removed at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}
