//! qmail's `users/cdb` (qmail-users(5), qmail-lspawn.c:nughde_get), and vpopmail's mailboxes, which it leads to.

use std::io;
use std::path::{Path, PathBuf};

use crate::cdb::Cdb;
use crate::mailbox::Mailbox;
use crate::recipients::tree::{exists, is_directory};
use crate::recipients::vpopmail;
use crate::users::Name;

/// The file. It is read at each look-up: `qmail-newu` replaces it, and no server is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assign {
    path: PathBuf,
}

/// Longest `.qmail-default` that is read.
const DOT_QMAIL_BYTES_MAX: u64 = 4096;

/// What vdelivermail is told where it has to bounce what it does not know.
const BOUNCES: &[u8] = b"bounce-no-mailbox";

impl Assign {
    /// The database at `path`.
    pub fn new(path: PathBuf) -> Self {
        Assign { path }
    }

    /// Whether the recipient, or the domain's prefix and the recipient, leads to a mailbox.
    pub(super) fn has(&self, mailbox: &Mailbox) -> io::Result<bool> {
        let Ok(name) = mailbox.local().parse::<Name>() else {
            return Ok(false);
        };
        let cdb = Cdb::read(&self.path)?;
        let virtual_name = format!("{}-{}", mailbox.domain_key(), name.local());
        for local in [name.local(), &virtual_name] {
            if leads_to_mailbox(&cdb, local)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Assign {
    /// The Maildir of a user of vpopmail's; none of whoever has another kind of mailbox.
    pub(super) fn home(&self, mailbox: &Mailbox) -> io::Result<Option<PathBuf>> {
        let directory = vpopmail::domain_directory(None, &self.path, &mailbox.domain_key())?;
        match directory {
            Some(directory) => vpopmail::mailbox(&directory, &mailbox.local().to_ascii_lowercase()),
            None => Ok(None),
        }
    }
}

fn leads_to_mailbox(cdb: &Cdb, local: &str) -> io::Result<bool> {
    let exact = [b"!", local.as_bytes(), b"\0"].concat();
    if cdb.get(&exact).is_some() {
        return Ok(true);
    }
    let wild_ends = cdb.get(b"").unwrap_or_default();
    let key = [b"!", local.as_bytes()].concat();
    for end in (1..=key.len()).rev() {
        let prefix = key.get(..end).unwrap_or_default();
        let may_end = end == 1 || prefix.last().is_some_and(|last| wild_ends.contains(last));
        if let Some(entry) = may_end.then(|| cdb.get(prefix)).flatten() {
            return wild_has(entry, local.get(end - 1..).unwrap_or_default());
        }
    }
    Ok(false)
}

/// An entry for all that begins alike: what stands behind the beginning must have a mailbox or an alias of its own.
fn wild_has(entry: &[u8], rest: &str) -> io::Result<bool> {
    use std::os::unix::ffi::OsStrExt as _;
    let mut fields = entry.split(|byte| *byte == 0).skip(3);
    let (Some(home), Some(dash)) = (fields.next(), fields.next()) else {
        return Ok(false);
    };
    let home = Path::new(std::ffi::OsStr::from_bytes(home));
    let dash = String::from_utf8_lossy(dash).into_owned();
    if rest.is_empty() {
        return is_directory(home);
    }
    let dot_qmail = |extension: &str| home.join(format!(".qmail{dash}{}", extension.replace('.', ":")));
    if vpopmail::mailbox(home, rest)?.is_some() || exists(&dot_qmail(rest), std::fs::Metadata::is_file)? {
        return Ok(true);
    }
    // A list has its own commands behind its name: `.qmail-list-default` takes `list-subscribe` (dot-qmail(5)).
    for (at, _) in rest.match_indices('-').collect::<Vec<_>>().into_iter().rev() {
        let list = rest.get(..at).unwrap_or_default();
        if takes_the_rest(&dot_qmail(&format!("{list}-default")))? {
            return Ok(true);
        }
    }
    takes_the_rest(&dot_qmail("default"))
}

/// Whether a `.qmail-default` delivers what has no mailbox.
fn takes_the_rest(path: &Path) -> io::Result<bool> {
    use std::io::Read as _;
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut text = Vec::new();
    file.take(DOT_QMAIL_BYTES_MAX).read_to_end(&mut text)?;
    Ok(memchr::memmem::find(&text, BOUNCES).is_none())
}
