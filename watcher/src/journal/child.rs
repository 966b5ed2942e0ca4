//! The process `journalctl`, read without waiting for it.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::process::{ChildStderr, ChildStdout, Command, Stdio};

use crate::journal::export::{Entry, ExportReader};
use crate::tail::Progress;

/// Where the program may be.
pub(super) const PROGRAMS: [&str; 2] = ["/usr/bin/journalctl", "/bin/journalctl"];

/// So much is read at a time, and so often before it is another source's turn.
const BLOCK_BYTES: usize = 64 * 1024;
const BLOCKS_MAX: usize = 16;

/// So much of what it complains of is kept.
const COMPLAINT_BYTES_MAX: usize = 1024;

/// A child that writes entries until it ends, or this value goes.
#[derive(Debug)]
pub(super) struct Child {
    process: std::process::Child,
    output: ChildStdout,
    errors: ChildStderr,
    complaint: Vec<u8>,
    reader: ExportReader,
    block: Box<[u8]>,
}

impl Child {
    /// Starts it; else says why it cannot be.
    pub(super) fn start(programs: &[PathBuf], arguments: &[OsString]) -> Result<Child, String> {
        let Some(program) = programs.iter().find(|program| program.exists()) else {
            return Err("there is no journalctl here; it belongs to systemd".to_owned());
        };
        let name = program.display();
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let failed = |error: io::Error| format!("cannot run {name}: {error}");
        let mut process = command.spawn().map_err(failed)?;
        let (Some(output), Some(errors)) = (process.stdout.take(), process.stderr.take()) else {
            return Err(format!("cannot run {name}: it has no pipes"));
        };
        let unblocked =
            rustix::io::ioctl_fionbio(&output, true).and_then(|()| rustix::io::ioctl_fionbio(&errors, true));
        let child = Child {
            process,
            output,
            errors,
            complaint: Vec::new(),
            reader: ExportReader::default(),
            block: vec![0; BLOCK_BYTES].into_boxed_slice(),
        };
        unblocked.map_err(|error| failed(error.into()))?;
        Ok(child)
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }

    /// Gives the entries that are there; none at the end.
    pub(super) fn read(&mut self, each: &mut dyn FnMut(&Entry)) -> Option<Progress> {
        self.listen();
        let Child { output, reader, block, .. } = self;
        for _ in 0..BLOCKS_MAX {
            match output.read(block) {
                Ok(0) => return None,
                Ok(count) => reader.feed(block.get(..count).unwrap_or_default(), &mut *each),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Some(Progress::Idle),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        Some(Progress::More)
    }

    /// Why it failed; none where it did not. To be asked when it has closed its output.
    pub(super) fn failure(mut self) -> Option<String> {
        match self.process.wait() {
            Ok(status) if status.success() => None,
            Ok(_) | Err(_) => Some(self.end()),
        }
    }

    /// Ends it, and says how it ended.
    pub(super) fn end(mut self) -> String {
        self.listen();
        let complaint = logline::Text::from(self.complaint.trim_ascii()).readable().to_string();
        let status = self.process.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        if complaint.is_empty() {
            format!("journalctl ended: {status}")
        } else {
            format!("journalctl ended: {status}: {complaint}")
        }
    }

    /// Takes in what it complains of, so that the pipe is never full.
    fn listen(&mut self) {
        let mut said = [0; COMPLAINT_BYTES_MAX];
        while let Ok(count @ 1..) = self.errors.read(&mut said) {
            let room = COMPLAINT_BYTES_MAX.saturating_sub(self.complaint.len());
            self.complaint.extend_from_slice(said.get(..count.min(room)).unwrap_or_default());
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // One that has ended already needs no killing.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
