//! One watcher a database: two would write their cursors over each other's, and lines would be read twice or not at all.
//!
//! The lock stands beside the database and not on it, because SQLite forgets its own locks on a file when any other
//! descriptor of it is closed. The kernel takes it back when the watcher ends, however that comes about.

use std::fs::File;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::StoreError;
use super::file::with;

/// Held as long as this value lives.
#[derive(Debug)]
pub(super) struct Lock {
    /// None where the disk has no room for one, which keeps nobody from banning.
    _file: Option<File>,
}

impl Lock {
    /// Takes it.
    pub(super) fn take(database: &Path) -> Result<Self, StoreError> {
        let Ok(file) = File::options().create(true).append(true).open(with(database, ".lock")) else {
            return Ok(Lock { _file: None });
        };
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => Err(StoreError::InUse(database.to_owned())),
            // A file system without locks has to do without.
            Ok(()) | Err(_) => Ok(Lock { _file: Some(file) }),
        }
    }
}
