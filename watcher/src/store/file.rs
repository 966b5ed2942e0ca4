//! The database file: opened; or, where it is damaged, moved aside, with all that can still be read of it; or left for
//! later, where the disk has no room for it. Nothing of that keeps anybody from being banned.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::store::{Saved, StoreError, query, schema};

/// What a damaged file is called from then on; one is kept.
const ASIDE: &str = ".damaged";

/// What SQLite keeps beside its file.
const BESIDE: [&str; 3] = ["", "-wal", "-shm"];

/// What came of opening the file.
pub(super) struct Opened {
    /// The way to write; none while there is none.
    pub(super) connection: Option<Connection>,
    pub(super) saved: Saved,
    /// Whether the file is a new one in the place of a damaged one: what was saved is to be saved again.
    pub(super) renewed: bool,
}

/// Opens the file, making it where it is absent.
pub(super) fn open(path: &Path) -> Result<Opened, StoreError> {
    let failed = |why| StoreError::Database { path: path.to_owned(), why };
    let error = match connect(path)?.and_then(|connection| Ok((query::saved(&connection)?, connection))) {
        Ok((saved, connection)) => return Ok(Opened { connection: Some(connection), saved, renewed: false }),
        Err(error) => error,
    };
    if is_damage(&error) {
        let saved = salvage(path);
        move_aside(path, &error);
        let connection = connect(path)?.inspect_err(|error| complain(path, error)).ok();
        return Ok(Opened { connection, saved, renewed: true });
    }
    if is_passing(&error) || !has_room_beside(path) {
        complain(path, &error);
        return Ok(Opened { connection: None, saved: salvage(path), renewed: false });
    }
    Err(failed(error))
}

/// A connection to the file with its layout up to date; the inner error is what SQLite says.
pub(super) fn connect(path: &Path) -> Result<rusqlite::Result<Connection>, StoreError> {
    let prepared = Connection::open(path).and_then(|mut connection| {
        let found = schema::prepare(&mut connection)?;
        Ok((connection, found))
    });
    match prepared {
        Ok((connection, Ok(()))) => Ok(Ok(connection)),
        Ok((_, Err(found))) => Err(StoreError::Newer { path: path.to_owned(), found, known: schema::LAYOUT }),
        Err(error) => Ok(Err(error)),
    }
}

/// Whether the file is none that can be gone on with.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqliteFailure(cause, _) => {
            // A table or a column that the layout has and the file has not is an `Unknown` error.
            matches!(cause.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown)
        }
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::Utf8Error(..) => true,
        _ => false,
    }
}

/// Moves the file out of the way, so that a new one can be made.
pub(super) fn move_aside(path: &Path, error: &rusqlite::Error) {
    let aside = aside(path);
    tracing::error!(
        "the database {} is damaged, and goes on as {}; a new one is made: {error}",
        path.display(),
        aside.display()
    );
    for end in BESIDE {
        let (from, to) = (with(path, end), with(&aside, end));
        // What is left of a former one belongs to another file.
        let _ = std::fs::remove_file(&to);
        if let Err(error) = std::fs::rename(&from, &to)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::error!("cannot move {} to {}: {error}", from.display(), to.display());
        }
    }
}

/// Whether it is the disk that has no room, or does not work now.
fn is_passing(error: &rusqlite::Error) -> bool {
    let rusqlite::Error::SqliteFailure(cause, _) = error else { return false };
    matches!(cause.code, ErrorCode::DiskFull | ErrorCode::SystemIoFailure)
}

/// Whether a file can be made in that directory; SQLite does not say why it cannot.
fn has_room_beside(path: &Path) -> bool {
    let probe = with(path, ".room");
    let made = std::fs::File::create(&probe);
    let is_full = made.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::StorageFull);
    if made.is_ok() {
        // It was made to see whether it can be.
        let _ = std::fs::remove_file(&probe);
    }
    !is_full
}

/// What can be read of a file that cannot be written or is damaged.
fn salvage(path: &Path) -> Saved {
    let mut found = readable(path).map(|connection| query::salvaged(&connection));
    found.find(|saved| !saved.is_empty()).unwrap_or_default()
}

/// Ways to read a file that cannot be written or is damaged, the best first.
pub(super) fn readable(path: &Path) -> impl Iterator<Item = Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let plain = {
        let path = path.to_owned();
        move || Connection::open_with_flags(path, flags)
    };
    // The log beside the file, or the memory to read it with, may be what is in the way.
    let uri = format!("file:{}?immutable=1", percent(path));
    let alone = move || Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI);
    std::iter::once_with(plain).chain(std::iter::once_with(alone)).filter_map(Result::ok)
}

/// Where a damaged file goes.
pub(super) fn aside(path: &Path) -> PathBuf {
    with(path, ASIDE)
}

fn complain(path: &Path, error: &rusqlite::Error) {
    tracing::error!(
        "the database {} cannot be written now; bans go on in memory, and it is tried again: {error}",
        path.display()
    );
}

pub(super) fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

/// A path as it stands in an address.
fn percent(path: &Path) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt as _;
    path.as_os_str().as_bytes().iter().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(byte) {
            text.push(char::from(*byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}
