//! A file that somebody else replaces: read again after it changed, and only then.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// One file and what was last made of it.
#[derive(Debug)]
pub struct Watched<T> {
    path: PathBuf,
    seen: Mutex<Option<(Version, Arc<T>)>>,
}

/// What changes when the file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    inode: u64,
    modified: (i64, i64),
    size_bytes: u64,
}

impl<T> Watched<T> {
    /// The file at `path`.
    pub fn new(path: &Path) -> Self {
        Watched { path: path.to_owned(), seen: Mutex::new(None) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What stands in it now; `None` where it is not there. What cannot be read leaves what was read before, if anything:
    /// a file is mostly unreadable because it is being replaced.
    ///
    /// # Errors
    /// Where it never could be read.
    pub fn current(&self, read: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<Option<Arc<T>>> {
        // A panic elsewhere leaves an older version, which is read again.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let version = match fs::metadata(&self.path) {
            Ok(file) => Version {
                inode: file.ino(),
                modified: (file.mtime(), file.mtime_nsec()),
                size_bytes: file.size(),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                *seen = None;
                return Ok(None);
            }
            Err(error) => return self.kept(&seen, error),
        };
        if let Some((last, value)) = seen.as_ref()
            && *last == version
        {
            return Ok(Some(Arc::clone(value)));
        }
        match read(&self.path) {
            Ok(value) => {
                let value = Arc::new(value);
                *seen = Some((version, Arc::clone(&value)));
                Ok(Some(value))
            }
            Err(error) => self.kept(&seen, error),
        }
    }

    fn kept(&self, seen: &Option<(Version, Arc<T>)>, error: io::Error) -> io::Result<Option<Arc<T>>> {
        match seen {
            Some((_, value)) => {
                tracing::warn!(file = %self.path.display(), %error, "cannot read this file again; what it said before holds");
                Ok(Some(Arc::clone(value)))
            }
            None => Err(error),
        }
    }
}
