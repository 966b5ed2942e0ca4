//! Reading the database: once at the start, and beside the writer for whoever asks.

mod record;

use std::path::Path;
use std::sync::Arc;

use logline::{SessionId, Timestamp};
use rusqlite::{Connection, OpenFlags, Row, params};
use serde::de::DeserializeOwned;

use crate::connections::Session;
use crate::engine::{Bans, CounterKey, CounterRow, End, Evidence, Lease, MEMORY, REMEMBERED_MAX, Terms};
use crate::store::{Position, Saved, StoreError};
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
            .map_err(|why| StoreError::Database { path: path.to_owned(), why })?;
        Ok(Reader { connection, path: path.to_owned() })
    }

    /// The newest bans of these subjects, the newest first, at most `limit`.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn bans(&self, subjects: &[Subject], limit: u32) -> Result<Vec<StoredBan>, StoreError> {
        let read = || self.read(subjects, limit);
        read().map_err(|why| StoreError::Database { path: self.path.clone(), why })
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

/// All that was saved.
pub(super) fn saved(connection: &Connection) -> rusqlite::Result<Saved> {
    let mut back = Back::new();
    back.expect(connection)?;
    let mut statement = connection.prepare(&back.query())?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        back.take(row)?;
    }
    Ok(Saved {
        bans: back.bans,
        counters: rows(connection, COUNTERS, counter)?,
        state: rows(connection, STATE, state)?,
        sessions: rows(connection, SESSIONS, session)?,
        cursors: rows(connection, CURSORS, cursor)?,
    })
}

/// What can be read of a damaged file: of each table the rows before the first that cannot be had, without those that
/// make no sense.
pub(super) fn salvaged(connection: &Connection) -> Saved {
    fn readable<T>(
        connection: &Connection,
        sql: &str,
        mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Vec<T> {
        let mut found = Vec::new();
        let Ok(mut statement) = connection.prepare(sql) else { return found };
        let Ok(mut rows) = statement.query([]) else { return found };
        while let Ok(Some(row)) = rows.next() {
            found.extend(read(row));
        }
        found
    }
    let mut back = Back::new();
    // What makes no sense is left out, and so is all behind what cannot be read.
    let _: Vec<()> = readable(connection, &back.query(), |row| back.take(row));
    Saved {
        bans: back.bans,
        counters: readable(connection, COUNTERS, counter),
        state: readable(connection, STATE, state),
        sessions: readable(connection, SESSIONS, session),
        cursors: readable(connection, CURSORS, cursor),
    }
}

/// Bans as they come back, row by row: nothing is kept of them but what the engine keeps.
struct Back {
    now: Timestamp,
    bans: Bans,
    known: Known,
}

impl Back {
    fn new() -> Back {
        Back {
            now: Timestamp::from(std::time::SystemTime::now()),
            bans: Bans::default(),
            known: Known::default(),
        }
    }

    /// Makes room for all that may come, so that nothing grows by copying.
    fn expect(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let count: i64 = connection.query_row("SELECT count(*) FROM ban", [], |row| row.get(0))?;
        self.bans.expect(usize::try_from(count).unwrap_or(0).min(REMEMBERED_MAX));
        Ok(())
    }

    /// Bans in force, former ones that make a later one longer, and, marked, those that were lifted; in the order in
    /// which they were made, which is that of the file.
    fn query(&self) -> String {
        let since = self.now - MEMORY;
        format!(
            "SELECT subject, jail, mode, start, until, before, ports, reason,
                    coalesce(why <> '\"expired\"', 0)
             FROM ban WHERE +until > {} ORDER BY id",
            since.nanos()
        )
    }

    /// A ban that was lifted is gone, and what it had taken the place of with it: the engine forgot that too.
    fn take(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        let (subject, lease) = self.known.ban(row)?;
        if row.get(8)? {
            self.bans.strike(&subject, &lease.jail);
        } else {
            self.bans.restore(self.now, subject, lease);
        }
        Ok(())
    }
}

const COUNTERS: &str = "SELECT key, hits FROM counter";
const STATE: &str = "SELECT key, value FROM state";
const SESSIONS: &str = "SELECT source, pid, session FROM session";
const CURSORS: &str = "SELECT source, position FROM cursor ORDER BY source, n";

fn rows<T>(
    connection: &Connection,
    sql: &str,
    mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare(sql)?.query_map([], |row| read(row))?.collect()
}

fn counter(row: &Row<'_>) -> rusqlite::Result<(CounterKey, CounterRow)> {
    Ok((json(row, 0)?, json(row, 1)?))
}

fn state(row: &Row<'_>) -> rusqlite::Result<(String, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

fn session(row: &Row<'_>) -> rusqlite::Result<(String, SessionId, Session)> {
    Ok((row.get(0)?, SessionId(row.get(1)?), json(row, 2)?))
}

fn cursor(row: &Row<'_>) -> rusqlite::Result<(String, Position)> {
    Ok((row.get(0)?, json(row, 1)?))
}

/// A ban without its evidence, and its number.
fn stored(row: &Row<'_>) -> rusqlite::Result<(StoredBan, i64)> {
    let (subject, lease) = ban(row)?;
    let ended = row.get::<_, Option<i64>>(8)?.map(Timestamp::from_nanos);
    let why = row.get::<_, Option<String>>(9)?.map(|_| json(row, 9)).transpose()?;
    Ok((StoredBan { subject, lease, ended: ended.zip(why), evidence: Vec::new() }, row.get(10)?))
}

fn ban(row: &Row<'_>) -> rusqlite::Result<(Subject, Lease)> {
    Known::default().ban(row)
}

/// So many different terms are known at a time.
const TERMS_MAX: usize = 64;

/// The terms that the rows of many bans have in common: each is read once.
#[derive(Default)]
struct Known(Vec<(Written, Arc<Terms>)>);

/// Jail, mode, ports and reason as they stand in a row.
struct Written {
    jail: String,
    mode: String,
    ports: String,
    reason: Option<String>,
}

impl Known {
    fn ban(&mut self, row: &Row<'_>) -> rusqlite::Result<(Subject, Lease)> {
        let subject: Subject = text(row, 0)?.parse().map_err(|error: String| malformed(0, error.into()))?;
        let lease = Lease {
            from: Timestamp::from_nanos(row.get(3)?),
            until: Timestamp::from_nanos(row.get(4)?),
            terms: self.terms(row)?,
            before: row.get(5)?,
        };
        Ok((subject, lease))
    }

    fn terms(&mut self, row: &Row<'_>) -> rusqlite::Result<Arc<Terms>> {
        let (jail, mode, ports) = (text(row, 1)?, text(row, 2)?, text(row, 6)?);
        let reason = match row.get_ref(7)? {
            rusqlite::types::ValueRef::Null => None,
            _ => Some(text(row, 7)?),
        };
        let is_same = |(known, _): &(Written, _)| {
            known.jail == jail
                && known.mode == mode
                && known.ports == ports
                && known.reason.as_deref() == reason
        };
        if let Some(at) = self.0.iter().position(is_same) {
            // Those that are met often come to stand in front.
            self.0.swap(at, at / 2);
            if let Some((_, terms)) = self.0.get(at / 2) {
                return Ok(Arc::clone(terms));
            }
        }
        let terms = Arc::new(Terms {
            jail: jail.into(),
            mode: json(row, 2)?,
            ports: json(row, 6)?,
            reason: reason.map(str::to_owned),
        });
        let written = Written {
            jail: jail.to_owned(),
            mode: mode.to_owned(),
            ports: ports.to_owned(),
            reason: terms.reason.clone(),
        };
        self.0.truncate(TERMS_MAX - 1);
        self.0.push((written, Arc::clone(&terms)));
        Ok(terms)
    }
}

/// A text, where it stands.
fn text<'r>(row: &'r Row<'_>, column: usize) -> rusqlite::Result<&'r str> {
    row.get_ref(column)?.as_str().map_err(|error| malformed(column, error.into()))
}

fn json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    serde_json::from_str(text(row, column)?).map_err(|error| malformed(column, error.into()))
}

fn malformed(column: usize, error: Box<dyn std::error::Error + Send + Sync>) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error)
}
