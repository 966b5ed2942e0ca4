//! vpopmail's domains: where the directory of one is, and where the mailboxes in it are. With many domains or users
//! vpopmail hashes both into directories below; `users/cdb` knows the one, the domain's `vpasswd.cdb` the other.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::cdb::Cdb;
use crate::recipients::tree::is_directory;
use crate::users::Name;

/// The database of a domain's users.
const PASSWORDS: &str = "vpasswd.cdb";

/// The directory of a domain: below the root, or where `users/cdb` has it.
///
/// # Errors
/// Where it cannot be looked at.
pub fn domain_directory(root: Option<&Path>, assign: &Path, domain: &str) -> io::Result<Option<PathBuf>> {
    if let Some(usual) = root.map(|root| root.join(domain))
        && is_directory(&usual)?
    {
        return Ok(Some(usual));
    }
    let cdb = match Cdb::read(assign) {
        Ok(cdb) => cdb,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let entry = cdb.get(format!("!{domain}-").as_bytes());
    Ok(entry
        .and_then(|entry| entry.split(|byte| *byte == 0).nth(3))
        .map(|home| Path::new(OsStr::from_bytes(home)).to_owned()))
}

/// The users of the domain whose directory this is; none where it has no database.
///
/// # Errors
/// Where it cannot be read.
pub fn passwords(directory: &Path) -> io::Result<Option<Cdb>> {
    match Cdb::read(&directory.join(PASSWORDS)) {
        Ok(passwords) => Ok(Some(passwords)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A user's mailbox: where the domain's database has it, or right below the domain's directory.
///
/// # Errors
/// Where it cannot be looked for.
pub fn mailbox(directory: &Path, user: &str) -> io::Result<Option<PathBuf>> {
    // Only what is a name can stand in a path, so none leads out of the directory.
    let Ok(name) = user.parse::<Name>() else {
        return Ok(None);
    };
    let plain = directory.join(name.local()).join("Maildir");
    if is_directory(&plain)? {
        return Ok(Some(plain));
    }
    let Some(passwords) = passwords(directory)? else {
        return Ok(None);
    };
    let entry = passwords.get(name.local().as_bytes());
    let hashed = entry.and_then(|entry| entry.split(|byte| *byte == b':').nth(4));
    let hashed = hashed.filter(|home| home.starts_with(b"/"));
    Ok(hashed.map(|home| Path::new(OsStr::from_bytes(home)).join("Maildir")))
}
