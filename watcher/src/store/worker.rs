//! The thread that writes.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use logline::Timestamp;
use rusqlite::{Connection, Transaction, params};

use crate::engine::{Ban, MEMORY};
use crate::store::file::{self, Opened};
use crate::store::{BanChange, Batch, Saved, StoreError};

/// So many batches may wait for a slow disk; then whoever brings the next one keeps it and adds to it.
const WAITING_MAX: usize = 64;

/// So many batches are kept while the database refuses them; then the oldest is given up, and counted.
const REFUSED_MAX: usize = 1024;

/// A refused batch is tried again so often.
const RETRY: Duration = Duration::from_secs(1);

/// A ban is kept, with its evidence, for so long after its end.
const KEPT: Duration = MEMORY;

/// What is too old is looked for so often …
const PURGE_EVERY: Duration = Duration::from_secs(600);

/// … and so many bans of it go at once, so that nobody waits long.
const PURGED_AT_ONCE: u32 = 2000;

enum Order {
    Write(Batch),
    /// Answer when all before it is written.
    Flush(Box<dyn FnOnce() + Send>),
}

/// The way to the thread that writes. Dropping it writes what is left and ends the thread.
#[derive(Debug)]
pub struct Store {
    orders: Option<SyncSender<Order>>,
    thread: Option<JoinHandle<()>>,
    failures: Arc<AtomicU64>,
    /// How long the last batch took to write, in microseconds.
    took: Arc<AtomicU64>,
    wants_all: Arc<AtomicBool>,
    path: PathBuf,
}

impl Store {
    /// Opens the database, making it where it is absent, and gives what was saved in it. A damaged one is moved aside,
    /// and what can be read of it is given; where the disk is full, it is opened later.
    ///
    /// # Errors
    /// The database can never be used: it is a newer version's, or stands where it may not be written.
    pub fn open(path: &Path) -> Result<(Store, Saved), StoreError> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)
                .map_err(|source| StoreError::Directory { path: path.to_owned(), source })?;
        }
        let Opened { connection, saved, renewed } = file::open(path)?;
        let (orders, received) = sync_channel(WAITING_MAX);
        let failures = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&failures);
        let took = Arc::new(AtomicU64::new(0));
        let wants_all = Arc::new(AtomicBool::new(false));
        let worker = Worker {
            path: path.to_owned(),
            connection,
            is_incomplete: renewed,
            wants_all: Arc::clone(&wants_all),
            refused: VecDeque::new(),
            failures: counted,
            took: Arc::clone(&took),
            purged: None,
        };
        let work = move || worker.run(&received);
        let thread = std::thread::Builder::new().name("store".into()).spawn(work).ok();
        Ok((Store { orders: Some(orders), thread, failures, took, wants_all, path: path.to_owned() }, saved))
    }

    /// Hands a batch over. Gives it back where the disk does not keep up: the next one is then to hold both.
    ///
    /// # Errors
    /// The batch itself.
    pub fn write(&self, batch: Batch) -> Result<(), Box<Batch>> {
        let Some(orders) = &self.orders else { return Err(Box::new(batch)) };
        match orders.try_send(Order::Write(batch)) {
            Ok(()) => Ok(()),
            Err(
                TrySendError::Full(Order::Write(batch)) | TrySendError::Disconnected(Order::Write(batch)),
            ) => Err(Box::new(batch)),
            Err(TrySendError::Full(Order::Flush(_)) | TrySendError::Disconnected(Order::Flush(_))) => Ok(()),
        }
    }

    /// Has `done` called when all that was handed over is written.
    pub fn flush(&self, done: impl FnOnce() + Send + 'static) {
        if let Some(orders) = &self.orders {
            // Behind so many batches nobody should wait; who asked sees that there will be no answer.
            let _ = orders.try_send(Order::Flush(Box::new(done)));
        }
    }

    /// How often the database refused a batch.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// How long the last batch took to write.
    pub fn last_write(&self) -> Duration {
        Duration::from_micros(self.took.load(Ordering::Relaxed))
    }

    /// Whether the database lacks what it was given: the next batch is to hold everything.
    pub fn wants_all(&self) -> bool {
        self.wants_all.load(Ordering::Acquire)
    }

    /// The same, and from now on it holds all that is written.
    pub fn take_wants_all(&self) -> bool {
        self.wants_all.swap(false, Ordering::AcqRel)
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so itself.
            let _ = thread.join();
        }
    }
}

struct Worker {
    path: PathBuf,
    /// None while the file cannot be opened.
    connection: Option<Connection>,
    /// Whether something that was to be in the file is not: it is asked for once the file is there.
    is_incomplete: bool,
    wants_all: Arc<AtomicBool>,
    refused: VecDeque<Batch>,
    failures: Arc<AtomicU64>,
    took: Arc<AtomicU64>,
    /// When too old bans were looked for last.
    purged: Option<Instant>,
}

impl Worker {
    fn run(mut self, orders: &Receiver<Order>) {
        self.ask_for_all();
        loop {
            let order = if self.refused.is_empty() {
                orders.recv().map_err(|_| true)
            } else {
                use std::sync::mpsc::RecvTimeoutError::{Disconnected, Timeout};
                orders.recv_timeout(RETRY).map_err(|error| match error {
                    Disconnected => true,
                    Timeout => false,
                })
            };
            let ended = match order {
                Ok(Order::Write(batch)) => {
                    self.refused.push_back(batch);
                    false
                }
                Ok(Order::Flush(done)) => {
                    done();
                    continue;
                }
                Err(ended) => ended,
            };
            self.write_all();
            if ended {
                return;
            }
        }
    }

    /// Writes what waits, in order, and stops at the first that is refused.
    fn write_all(&mut self) {
        while let Some(batch) = self.refused.front() {
            let began = Instant::now();
            let written = match &mut self.connection {
                Some(connection) => write(connection, batch),
                None => file::connect(&self.path)
                    .unwrap_or_else(|newer| Err(never(&newer)))
                    .and_then(|new| write(self.connection.insert(new), batch)),
            };
            let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.took.store(took, Ordering::Relaxed);
            match written {
                Ok(()) => drop(self.refused.pop_front()),
                Err(error) => return self.refuse(&error),
            }
        }
        self.ask_for_all();
        self.purge();
    }

    /// What was to be written is tried again, or given up.
    fn refuse(&mut self, error: &rusqlite::Error) {
        let before = self.failures.fetch_add(1, Ordering::Relaxed);
        if file::is_damage(error) {
            self.connection = None;
            self.is_incomplete = true;
            // Where it cannot be moved, it is tried again as it is.
            file::move_aside(&self.path, error);
        } else if before.is_multiple_of(60) {
            tracing::error!("the database refuses what is to be saved; bans go on in memory: {error}");
        }
        if self.refused.len() > REFUSED_MAX {
            self.refused.pop_front();
            self.is_incomplete = true;
        }
    }

    fn ask_for_all(&mut self) {
        if self.connection.is_some() && std::mem::take(&mut self.is_incomplete) {
            self.wants_all.store(true, Ordering::Release);
        }
    }

    fn purge(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        if self.purged.is_none_or(|purged| purged.elapsed() > PURGE_EVERY) {
            let now = Timestamp::from(SystemTime::now());
            match purge(connection, now - KEPT) {
                // There may be more: they go with the next batch.
                Ok(gone) if gone == PURGED_AT_ONCE as usize => {}
                Ok(_) => self.purged = Some(Instant::now()),
                Err(error) => {
                    tracing::warn!("old bans cannot be removed from the database: {error}");
                    self.purged = Some(Instant::now());
                }
            }
        }
    }
}

/// A newer version has taken the file over while we ran.
fn never(newer: &StoreError) -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY);
    rusqlite::Error::SqliteFailure(code, Some(newer.to_string()))
}

/// Removes bans that ended before then, with their evidence; how many.
fn purge(connection: &mut Connection, before: Timestamp) -> rusqlite::Result<usize> {
    const OLD: &str = "SELECT id FROM ban WHERE until < ?1 ORDER BY until LIMIT ?2";
    let transaction = connection.transaction()?;
    let which = params![before.nanos(), PURGED_AT_ONCE];
    transaction.prepare_cached(&format!("DELETE FROM evidence WHERE ban IN ({OLD})"))?.execute(which)?;
    let gone = transaction.prepare_cached(&format!("DELETE FROM ban WHERE id IN ({OLD})"))?.execute(which)?;
    transaction.commit()?;
    Ok(gone)
}

fn write(connection: &mut Connection, batch: &Batch) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for change in &batch.bans {
        match change {
            BanChange::Made(ban) => insert(&transaction, ban)?,
            BanChange::Ended { subject, jail, why, at } => {
                transaction
                    .prepare_cached("UPDATE ban SET ended = ?1, why = ?2 WHERE subject = ?3 AND jail = ?4 AND ended IS NULL")?
                    .execute(params![at.nanos(), text(why), subject.to_string(), &**jail])?;
            }
        }
    }
    for (key, row) in &batch.counters {
        match row {
            Some(row) => transaction
                .prepare_cached("INSERT OR REPLACE INTO counter (key, hits) VALUES (?1, ?2)")?
                .execute(params![text(key), text(row)])?,
            None => transaction.prepare_cached("DELETE FROM counter WHERE key = ?1")?.execute([text(key)])?,
        };
    }
    for (key, row) in &batch.state {
        match row {
            Some(row) => transaction
                .prepare_cached("INSERT OR REPLACE INTO state (key, value) VALUES (?1, ?2)")?
                .execute([key, row])?,
            None => transaction.prepare_cached("DELETE FROM state WHERE key = ?1")?.execute([key])?,
        };
    }
    for (source, pid, session) in &batch.sessions {
        match session {
            Some(session) => transaction
                .prepare_cached("INSERT OR REPLACE INTO session (source, pid, session) VALUES (?1, ?2, ?3)")?
                .execute(params![source, pid.0, text(session)])?,
            None => transaction
                .prepare_cached("DELETE FROM session WHERE source = ?1 AND pid = ?2")?
                .execute(params![source, pid.0])?,
        };
    }
    for (source, positions) in &batch.cursors {
        transaction.prepare_cached("DELETE FROM cursor WHERE source = ?1")?.execute([source])?;
        let mut insert =
            transaction.prepare_cached("INSERT INTO cursor (source, n, position) VALUES (?1, ?2, ?3)")?;
        for (n, position) in (0i64..).zip(positions) {
            insert.execute(params![source, n, text(position)])?;
        }
    }
    transaction.commit()
}

/// One ban of a jail and a subject is in force at a time: what was there before ended with it. A ban that a second
/// reading of the same lines makes again is the one that is there.
fn insert(transaction: &Transaction<'_>, ban: &Ban) -> rusqlite::Result<()> {
    let Ban { subject, lease, evidence } = ban;
    let subject = subject.to_string();
    let (start, until) = (lease.from.nanos(), lease.until.nanos());
    transaction
        .prepare_cached(
            "DELETE FROM evidence WHERE ban IN (SELECT id FROM ban WHERE subject = ?1 AND jail = ?2 AND start = ?3)",
        )?
        .execute(params![subject, &*lease.jail, start])?;
    transaction
        .prepare_cached("DELETE FROM ban WHERE subject = ?1 AND jail = ?2 AND start = ?3")?
        .execute(params![subject, &*lease.jail, start])?;
    transaction
        .prepare_cached(
            "UPDATE ban SET ended = min(until, ?3), why = '\"expired\"' WHERE subject = ?1 AND jail = ?2 AND ended IS NULL",
        )?
        .execute(params![subject, &*lease.jail, start])?;
    transaction
        .prepare_cached(
            "INSERT INTO ban (subject, jail, mode, start, until, before, ports, reason)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            subject,
            &*lease.jail,
            text(&lease.mode),
            start,
            until,
            lease.before,
            text(&lease.ports),
            lease.reason
        ])?;
    let id = transaction.last_insert_rowid();
    let mut line =
        transaction.prepare_cached("INSERT INTO evidence (ban, n, at, line) VALUES (?1, ?2, ?3, ?4)")?;
    for (n, evidence) in (0i64..).zip(evidence) {
        line.execute(params![id, n, evidence.at.nanos(), evidence.line])?;
    }
    Ok(())
}

/// Our own types always have a JSON form.
fn text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value)
        .expect("types of this crate serialise: no map keys but strings, no failing impls")
}
