//! Delivery into a Maildir: written in `tmp`, synced, renamed into `new`, so that a reader never sees half a message.

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::SystemTime;

use crate::durable;
use crate::mailbox::Mailbox;

/// One delivery.
#[derive(Debug)]
pub(super) struct Mail<'a> {
    /// Who sent it; `None` for a bounce.
    pub(super) sender: Option<&'a Mailbox>,
    /// For whom it is.
    pub(super) recipient: &'a Mailbox,
    /// This host, for the file's name.
    pub(super) hostname: &'a str,
    /// The delivery's number, unique in this process.
    pub(super) delivery: u64,
}

impl Mail<'_> {
    /// Copies `text` into the Maildir at `directory`, which is made where it is not there. Blocks.
    pub(super) fn deliver(&self, directory: &Path, text: &mut File) -> io::Result<()> {
        for part in ["tmp", "new", "cur"] {
            DirBuilder::new().recursive(true).mode(0o700).create(directory.join(part))?;
        }
        let name = self.name()?;
        let path = directory.join("tmp").join(&name);
        let size_bytes = match self.write(&path, text) {
            Ok(size_bytes) => size_bytes,
            Err(error) => {
                // The delivery is tried again under another name.
                let _ = fs::remove_file(&path);
                return Err(error);
            }
        };
        // Maildir++ readers take the size from the name.
        let delivered = directory.join("new").join(format!("{name},S={size_bytes}"));
        fs::rename(&path, &delivered)?;
        durable::sync_parent(&delivered)
    }

    /// Nobody else makes this name: no other process has this number now, and this one counts its deliveries.
    fn name(&self) -> io::Result<String> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_err(io::Error::other)?;
        let host = self.hostname.replace(['/', ':', ','], "_");
        let (pid, delivery) = (std::process::id(), self.delivery);
        Ok(format!("{}.M{}P{pid}Q{delivery}.{host}", now.as_secs(), now.subsec_micros()))
    }

    fn write(&self, path: &Path, text: &mut File) -> io::Result<u64> {
        let mut file = BufWriter::new(File::options().write(true).create_new(true).mode(0o600).open(path)?);
        let sender = self.sender.map(ToString::to_string).unwrap_or_default();
        let trace = format!("Return-Path: <{sender}>\nDelivered-To: {}\n", self.recipient);
        file.write_all(trace.as_bytes())?;
        let copied = io::copy(text, &mut file)?;
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(copied + trace.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_found_whole_in_new() {
        let directory = tempfile::tempdir().unwrap();
        let text = directory.path().join("text");
        fs::write(&text, "Subject: x\n\nbody\n").unwrap();
        let maildir = directory.path().join("mail/example.org/alice");
        let recipient = "alice-x@example.org".parse().unwrap();
        for delivery in 1..=2 {
            let mail = Mail { sender: None, recipient: &recipient, hostname: "mx/1", delivery };
            mail.deliver(&maildir, &mut File::open(&text).unwrap()).unwrap();
        }
        let files: Vec<_> =
            fs::read_dir(maildir.join("new")).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(files.len(), 2);
        for file in files {
            let content = fs::read_to_string(&file).unwrap();
            assert_eq!(content, "Return-Path: <>\nDelivered-To: alice-x@example.org\nSubject: x\n\nbody\n");
            assert!(file.to_string_lossy().ends_with(&format!(".mx_1,S={}", content.len())));
        }
        assert_eq!(fs::read_dir(maildir.join("tmp")).unwrap().count(), 0);
    }
}
