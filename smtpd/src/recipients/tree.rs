//! Mailboxes as directories: `example.org/alice/Maildir` below some root, as vpopmail has them.

use std::io;
use std::path::{Path, PathBuf};

use crate::mailbox::Mailbox;
use crate::recipients::with_extensions;
use crate::users::Name;

/// A tree of mailboxes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    root: PathBuf,
    /// What stands below the root, with `{domain}` and `{user}` in it.
    path: String,
}

impl Tree {
    /// The tree below `root`.
    pub fn new(root: PathBuf, path: &str) -> Self {
        Tree { root, path: path.to_owned() }
    }

    /// The mailbox of a recipient: its own, or that of the name before its extension.
    ///
    /// # Errors
    /// Where a directory cannot be looked at.
    pub fn home(&self, mailbox: &Mailbox) -> io::Result<Option<PathBuf>> {
        // Only what is a name can stand in a path, so none leads out of the tree.
        let Ok(name) = mailbox.local().parse::<Name>() else {
            return Ok(None);
        };
        let domain = mailbox.domain_key();
        for user in with_extensions(name.local()).filter(|user| !user.is_empty()) {
            let home = self.root.join(self.path.replace("{domain}", &domain).replace("{user}", user));
            if is_directory(&home)? {
                return Ok(Some(home));
            }
        }
        Ok(None)
    }
}

pub(super) fn is_directory(path: &Path) -> io::Result<bool> {
    exists(path, std::fs::Metadata::is_dir)
}

pub(super) fn exists(path: &Path, is_right: impl Fn(&std::fs::Metadata) -> bool) -> io::Result<bool> {
    match std::fs::metadata(path) {
        Ok(file) => Ok(is_right(&file)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
