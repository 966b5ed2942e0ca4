//! The layout of the database, and how an older one becomes it.

use rusqlite::Connection;

/// The layout this version writes; kept in `user_version`.
pub(super) const LAYOUT: i64 = 2;

/// More different statements than are ever used: none is prepared twice.
const STATEMENTS: usize = 32;

/// From an empty file to layout 1.
const FIRST: &str = "
    CREATE TABLE ban (
        id      INTEGER PRIMARY KEY,
        subject TEXT    NOT NULL,
        jail    TEXT    NOT NULL,
        mode    TEXT    NOT NULL,
        start   INTEGER NOT NULL,
        until   INTEGER NOT NULL,
        before  INTEGER NOT NULL,
        ports   TEXT    NOT NULL,
        reason  TEXT,
        ended   INTEGER,
        why     TEXT
    );
    CREATE INDEX ban_subject ON ban (subject, jail);
    CREATE INDEX ban_until ON ban (until);
    CREATE TABLE evidence (
        ban  INTEGER NOT NULL,
        n    INTEGER NOT NULL,
        at   INTEGER NOT NULL,
        line TEXT    NOT NULL,
        PRIMARY KEY (ban, n)
    ) WITHOUT ROWID;
    CREATE TABLE counter (key TEXT PRIMARY KEY, hits TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE session (
        source TEXT NOT NULL, pid INTEGER NOT NULL, session TEXT NOT NULL, PRIMARY KEY (source, pid)
    ) WITHOUT ROWID;
    CREATE TABLE cursor (
        source TEXT NOT NULL, n INTEGER NOT NULL, position TEXT NOT NULL, PRIMARY KEY (source, n)
    ) WITHOUT ROWID;
";

/// From layout 1: state of the engine beside its counters, which have another form.
const SECOND: &str = "
    CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    DELETE FROM counter;
";

/// Opens the way for readers beside the one writer, and brings the layout up to date. Gives the layout found where it
/// is newer than ours.
pub(super) fn prepare(connection: &mut Connection) -> rusqlite::Result<Result<(), i64>> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // The power may fail between a commit and its way to the disk: then the cursor is as old as what followed from it,
    // and the lines are read again. Nothing is half there.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    // What SQLite cannot hold it would write elsewhere, where nothing may be written.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // The index by subject is written all over in a storm of bans: it is to be in memory, as far as 16 MiB go, and is to
    // be brought to its place in the file once for many bans. Both in KiB or pages.
    connection.pragma_update(None, "cache_size", -16 * 1024)?;
    connection.pragma_update(None, "wal_autocheckpoint", 4096)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > LAYOUT {
        return Ok(Err(found));
    }
    if found < LAYOUT {
        let transaction = connection.transaction()?;
        if found == 0 {
            transaction.execute_batch(FIRST)?;
        }
        transaction.execute_batch(SECOND)?;
        transaction.pragma_update(None, "user_version", LAYOUT)?;
        transaction.commit()?;
    }
    Ok(Ok(()))
}
