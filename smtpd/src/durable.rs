//! Files that survive a crash: written aside, synced, renamed, their directory synced.

mod rounds;

use std::fs::{self, File, Metadata};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

pub use rounds::Rounds;

/// How long another process may make what a directory lacks: two keys, a certificate.
const ALONE_WAIT: Duration = Duration::from_secs(5);

/// How often it is looked whether it is done.
const ALONE_PAUSE: Duration = Duration::from_millis(5);

/// Puts `bytes` at `path`, whole or not at all, readable as `mode` says.
///
/// The file belongs to whoever owned the old one, or owns the directory: what root's command writes, the server must
/// be able to read.
///
/// # Errors
/// Where any step fails; what stood at `path` still stands there then, or the new bytes do.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    replace_like(path, bytes, mode, parent(path))
}

/// As [`replace`], but a new file belongs to whoever owns `like`, if that is there.
///
/// # Errors
/// As [`replace`].
pub fn replace_like(path: &Path, bytes: &[u8], mode: u32, like: &Path) -> io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let aside = Path::new(&aside);
    // One left by a crash may have another mode.
    match fs::remove_file(aside) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = File::options().write(true).create_new(true).mode(mode).open(aside)?;
    if let Ok(owner) = fs::metadata(path).or_else(|_| fs::metadata(like)) {
        give(&file, &owner)?;
    }
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(aside, path)?;
    sync_parent(path)
}

/// Waits until no other process makes what this directory lacks at a first start; while the value lives, none does.
/// Sessions under tcpserver may be the first all at once, and a certificate of one with the key of another serves nobody.
///
/// `None` where that cannot be had, or takes longer than making anything does.
pub fn alone_in(directory: &Path) -> Option<File> {
    fs::create_dir_all(directory).ok()?;
    let directory = File::open(directory).ok()?;
    let until = Instant::now() + ALONE_WAIT;
    while flock(&directory, FlockOperation::NonBlockingLockExclusive).is_err() {
        if Instant::now() >= until {
            return None;
        }
        std::thread::sleep(ALONE_PAUSE);
    }
    Some(directory)
}

/// Makes the names in a file's directory as durable as the file.
///
/// # Errors
/// Where the directory cannot be opened or synced.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    File::open(parent(path))?.sync_all()
}

/// Only root may give files away, and nobody else needs to.
fn give(file: &File, owner: &Metadata) -> io::Result<()> {
    let mine = file.metadata()?;
    if mine.uid() != 0 || (mine.uid(), mine.gid()) == (owner.uid(), owner.gid()) {
        return Ok(());
    }
    match fchown(file, Some(owner.uid()), Some(owner.gid())) {
        // Root of a user namespace in which that owner does not exist: the file stays root's.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::PermissionDenied) =>
        {
            Ok(())
        }
        given => given,
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) | None => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_keeps_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        replace(&path, b"one", 0o600).unwrap();
        let owner = |path: &Path| fs::metadata(path).map(|file| (file.uid(), file.gid())).unwrap();
        assert_eq!(owner(&path), owner(directory.path()));
        // Who is not root cannot give it away, and then it stays what it is.
        let _ = std::os::unix::fs::chown(&path, Some(1234), Some(1234));
        let before = owner(&path);
        replace(&path, b"two", 0o600).unwrap();
        assert_eq!((owner(&path), fs::read(&path).unwrap()), (before, b"two".to_vec()));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
