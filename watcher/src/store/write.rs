//! A batch, written in one transaction.

use std::fmt::Write as _;
use std::sync::Arc;

use logline::{SessionId, Timestamp};
use rusqlite::{CachedStatement, Connection, Transaction, params};

use crate::connections::Session;
use crate::engine::{Ban, CounterKey, CounterRow, Terms};
use crate::store::{BanChange, Batch, Position};

/// Writes all of it, or nothing.
pub(super) fn write(connection: &mut Connection, batch: &Batch) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    if !batch.bans.is_empty() {
        let mut bans = Bans::prepare(&transaction)?;
        batch.bans.iter().try_for_each(|change| bans.write(change))?;
    }
    counters(&transaction, &batch.counters)?;
    state(&transaction, &batch.state)?;
    sessions(&transaction, &batch.sessions)?;
    cursors(&transaction, &batch.cursors)?;
    transaction.commit()
}

/// Removes bans that ended before then, with their evidence, so many at most; how many.
pub(super) fn purge(connection: &mut Connection, before: Timestamp, most: u32) -> rusqlite::Result<usize> {
    const OLD: &str = "SELECT id FROM ban WHERE until < ?1 ORDER BY until LIMIT ?2";
    let transaction = connection.transaction()?;
    let which = params![before.nanos(), most];
    transaction.prepare_cached(&format!("DELETE FROM evidence WHERE ban IN ({OLD})"))?.execute(which)?;
    let gone = transaction.prepare_cached(&format!("DELETE FROM ban WHERE id IN ({OLD})"))?.execute(which)?;
    transaction.commit()?;
    Ok(gone)
}

/// The statements for bans, and what is put into them again and again.
struct Bans<'t> {
    transaction: &'t Transaction<'t>,
    meets: CachedStatement<'t>,
    insert: CachedStatement<'t>,
    line: CachedStatement<'t>,
    end: CachedStatement<'t>,
    subject: String,
    terms: Option<Words>,
}

/// Terms, and their mode and ports in words.
struct Words {
    of: Arc<Terms>,
    mode: String,
    ports: String,
}

impl<'t> Bans<'t> {
    fn prepare(transaction: &'t Transaction<'t>) -> rusqlite::Result<Self> {
        let prepare = |sql| transaction.prepare_cached(sql);
        Ok(Bans {
            transaction,
            meets: prepare(
                "SELECT 1 FROM ban WHERE subject = ?1 AND jail = ?2 AND (ended IS NULL OR start = ?3)",
            )?,
            insert: prepare(
                "INSERT INTO ban (subject, jail, mode, start, until, before, ports, reason)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?,
            line: prepare("INSERT INTO evidence (ban, n, at, line) VALUES (?1, ?2, ?3, ?4)")?,
            end: prepare(
                "UPDATE ban SET ended = ?1, why = ?2 WHERE subject = ?3 AND jail = ?4 AND ended IS NULL",
            )?,
            subject: String::new(),
            terms: None,
        })
    }

    fn write(&mut self, change: &BanChange) -> rusqlite::Result<()> {
        self.subject.clear();
        let subject = match change {
            BanChange::Made(ban) => &ban.subject,
            BanChange::Ended { subject, .. } => subject,
        };
        // A string takes whatever is written to it.
        let _ = write!(self.subject, "{subject}");
        match change {
            BanChange::Made(ban) => self.made(ban),
            BanChange::Ended { jail, why, at, .. } => {
                self.end.execute(params![at.nanos(), text(why), self.subject, &**jail]).map(drop)
            }
        }
    }

    /// Nearly every ban is the first of its jail and subject: one look tells that nothing is in its way.
    fn made(&mut self, ban: &Ban) -> rusqlite::Result<()> {
        let Ban { lease, evidence, .. } = ban;
        let (start, until) = (lease.from.nanos(), lease.until.nanos());
        if self.meets.exists(params![self.subject, &*lease.jail, start])? {
            self.make_way(&lease.jail, start)?;
        }
        let words = match self.terms.take().filter(|words| Arc::ptr_eq(&words.of, &lease.terms)) {
            Some(words) => words,
            None => {
                Words { of: Arc::clone(&lease.terms), mode: text(&lease.mode), ports: text(&lease.ports) }
            }
        };
        let (mode, ports) = (&words.mode, &words.ports);
        let (jail, reason) = (&*lease.jail, &lease.reason);
        self.insert.execute(params![self.subject, jail, mode, start, until, lease.before, ports, reason])?;
        self.terms = Some(words);
        let id = self.transaction.last_insert_rowid();
        for (n, evidence) in (0i64..).zip(evidence) {
            self.line.execute(params![id, n, evidence.at.nanos(), evidence.line])?;
        }
        Ok(())
    }

    /// One ban of a jail and a subject is in force at a time: what was there before ended with it. A ban that a second
    /// reading of the same lines makes again is the one that is there.
    fn make_way(&self, jail: &str, start: i64) -> rusqlite::Result<()> {
        for sql in [
            "DELETE FROM evidence WHERE ban IN (SELECT id FROM ban WHERE subject = ?1 AND jail = ?2 AND start = ?3)",
            "DELETE FROM ban WHERE subject = ?1 AND jail = ?2 AND start = ?3",
            "UPDATE ban SET ended = min(until, ?3), why = '\"expired\"' WHERE subject = ?1 AND jail = ?2 AND ended IS NULL",
        ] {
            self.transaction.prepare_cached(sql)?.execute(params![self.subject, jail, start])?;
        }
        Ok(())
    }
}

fn counters(
    transaction: &Transaction<'_>,
    rows: &[(CounterKey, Option<CounterRow>)],
) -> rusqlite::Result<()> {
    for (key, row) in rows {
        match row {
            Some(row) => transaction
                .prepare_cached("INSERT OR REPLACE INTO counter (key, hits) VALUES (?1, ?2)")?
                .execute(params![text(key), text(row)])?,
            None => transaction.prepare_cached("DELETE FROM counter WHERE key = ?1")?.execute([text(key)])?,
        };
    }
    Ok(())
}

fn state(transaction: &Transaction<'_>, rows: &[(String, Option<String>)]) -> rusqlite::Result<()> {
    for (key, row) in rows {
        match row {
            Some(row) => transaction
                .prepare_cached("INSERT OR REPLACE INTO state (key, value) VALUES (?1, ?2)")?
                .execute([key, row])?,
            None => transaction.prepare_cached("DELETE FROM state WHERE key = ?1")?.execute([key])?,
        };
    }
    Ok(())
}

fn sessions(
    transaction: &Transaction<'_>,
    rows: &[(String, SessionId, Option<Session>)],
) -> rusqlite::Result<()> {
    for (source, pid, session) in rows {
        match session {
            Some(session) => transaction
                .prepare_cached("INSERT OR REPLACE INTO session (source, pid, session) VALUES (?1, ?2, ?3)")?
                .execute(params![source, pid.0, text(session)])?,
            None => transaction
                .prepare_cached("DELETE FROM session WHERE source = ?1 AND pid = ?2")?
                .execute(params![source, pid.0])?,
        };
    }
    Ok(())
}

fn cursors(transaction: &Transaction<'_>, rows: &[(String, Vec<Position>)]) -> rusqlite::Result<()> {
    for (source, positions) in rows {
        transaction.prepare_cached("DELETE FROM cursor WHERE source = ?1")?.execute([source])?;
        let mut insert =
            transaction.prepare_cached("INSERT INTO cursor (source, n, position) VALUES (?1, ?2, ?3)")?;
        for (n, position) in (0i64..).zip(positions) {
            insert.execute(params![source, n, text(position)])?;
        }
    }
    Ok(())
}

/// Our own types always have a JSON form.
fn text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value)
        .expect("types of this crate serialise: no map keys but strings, no failing impls")
}
