//! Reading the database: once at the start, and beside the writer for whoever asks.

mod record;

use std::path::Path;

use logline::{SessionId, Timestamp};
use rusqlite::{Connection, OpenFlags, Row, params};
use serde::de::DeserializeOwned;

use crate::engine::{End, Evidence, Lease, MEMORY};
use crate::store::{Saved, StoreError};
use crate::subject::Subject;

pub use record::RecordFilter;

/// A second, read-only way into the database, which neither waits for the writer nor holds it up.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    path: std::path::PathBuf,
}

/// A ban as it was saved.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredBan {
    /// Whom.
    pub subject: Subject,
    /// How.
    pub lease: Lease,
    /// When and why it was over; none where it ends by itself in the future.
    pub ended: Option<(Timestamp, End)>,
    /// The lines that led to it.
    pub evidence: Vec<Evidence>,
}

impl Reader {
    /// Opens the database beside its writer.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(path: &Path) -> Result<Reader, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)
            .map_err(|source| StoreError::Database { path: path.to_owned(), source })?;
        Ok(Reader { connection, path: path.to_owned() })
    }

    /// The newest bans of these subjects, the newest first, at most `limit`.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn bans(&self, subjects: &[Subject], limit: u32) -> Result<Vec<StoredBan>, StoreError> {
        let read = || self.read(subjects, limit);
        read().map_err(|source| StoreError::Database { path: self.path.clone(), source })
    }

    fn read(&self, subjects: &[Subject], limit: u32) -> rusqlite::Result<Vec<StoredBan>> {
        let mut found = Vec::new();
        let mut bans = self.connection.prepare_cached(
            "SELECT subject, jail, mode, start, until, before, ports, reason, ended, why, id FROM ban
             WHERE subject = ?1 ORDER BY id DESC LIMIT ?2",
        )?;
        for subject in subjects {
            let rows = bans.query_map(params![subject.to_string(), limit], stored)?;
            for row in rows {
                let (mut ban, id) = row?;
                ban.evidence = self.evidence(id)?;
                found.push(ban);
            }
        }
        found.sort_by_key(|ban| std::cmp::Reverse(ban.lease.from));
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    fn evidence(&self, ban: i64) -> rusqlite::Result<Vec<Evidence>> {
        let mut lines =
            self.connection.prepare_cached("SELECT at, line FROM evidence WHERE ban = ?1 ORDER BY n")?;
        let line = |row: &Row<'_>| Ok(Evidence { at: Timestamp::from_nanos(row.get(0)?), line: row.get(1)? });
        lines.query_map([ban], line)?.collect()
    }
}

pub(super) fn saved(connection: &Connection) -> rusqlite::Result<Saved> {
    let mut saved = Saved::default();
    let now = Timestamp::from(std::time::SystemTime::now());
    let mut bans = connection.prepare(
        "SELECT subject, jail, mode, start, until, before, ports, reason FROM ban
         WHERE (ended IS NULL OR why = '\"expired\"') AND until > ?1 ORDER BY id",
    )?;
    for row in bans.query_map([(now - MEMORY).nanos()], ban)? {
        saved.bans.push(row?);
    }
    let mut counters = connection.prepare("SELECT key, hits FROM counter")?;
    for row in counters.query_map([], |row| Ok((json(row, 0)?, json(row, 1)?)))? {
        saved.counters.push(row?);
    }
    let mut state = connection.prepare("SELECT key, value FROM state")?;
    for row in state.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))? {
        saved.state.push(row?);
    }
    let mut sessions = connection.prepare("SELECT source, pid, session FROM session")?;
    for row in sessions.query_map([], |row| Ok((row.get(0)?, SessionId(row.get(1)?), json(row, 2)?)))? {
        saved.sessions.push(row?);
    }
    let mut cursors = connection.prepare("SELECT source, position FROM cursor ORDER BY source, n")?;
    for row in cursors.query_map([], |row| Ok((row.get(0)?, json(row, 1)?)))? {
        saved.cursors.push(row?);
    }
    Ok(saved)
}

/// A ban without its evidence, and its number.
fn stored(row: &Row<'_>) -> rusqlite::Result<(StoredBan, i64)> {
    let (subject, lease) = ban(row)?;
    let ended = row.get::<_, Option<i64>>(8)?.map(Timestamp::from_nanos);
    let why = row.get::<_, Option<String>>(9)?.map(|_| json(row, 9)).transpose()?;
    Ok((StoredBan { subject, lease, ended: ended.zip(why), evidence: Vec::new() }, row.get(10)?))
}

fn ban(row: &Row<'_>) -> rusqlite::Result<(Subject, Lease)> {
    let subject: String = row.get(0)?;
    let subject = subject.parse().map_err(|error: String| malformed(0, error.into()))?;
    let jail: String = row.get(1)?;
    let lease = Lease {
        jail: jail.into(),
        mode: json(row, 2)?,
        from: Timestamp::from_nanos(row.get(3)?),
        until: Timestamp::from_nanos(row.get(4)?),
        before: row.get(5)?,
        ports: json(row, 6)?,
        reason: row.get(7)?,
    };
    Ok((subject, lease))
}

fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| malformed(column, error.into()))
}

fn malformed(column: usize, error: Box<dyn std::error::Error + Send + Sync>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error)
}
