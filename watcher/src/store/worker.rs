//! The thread that writes.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use logline::Timestamp;
use rusqlite::Connection;

use crate::engine::MEMORY;
use crate::store::carry::carry_lines;
use crate::store::file::{self, Opened};
use crate::store::lock::Lock;
use crate::store::write::{purge, write};
use crate::store::{Batch, Saved, StoreError};

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
    /// How many changes of bans were handed over and are not written yet.
    waiting: Arc<AtomicUsize>,
    path: PathBuf,
    _lock: Lock,
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
        let lock = Lock::take(path)?;
        let Opened { connection, saved, renewed } = file::open(path)?;
        let (orders, received) = sync_channel(WAITING_MAX);
        let failures = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&failures);
        let took = Arc::new(AtomicU64::new(0));
        let wants_all = Arc::new(AtomicBool::new(false));
        let waiting = Arc::new(AtomicUsize::new(0));
        let worker = Worker {
            waiting: Arc::clone(&waiting),
            path: path.to_owned(),
            connection,
            is_incomplete: renewed,
            damaged: renewed.then(|| file::aside(path)),
            wants_all: Arc::clone(&wants_all),
            refused: VecDeque::new(),
            failures: counted,
            took: Arc::clone(&took),
            purged: None,
        };
        let work = move || worker.run(&received);
        let thread = std::thread::Builder::new().name("store".into()).spawn(work).ok();
        let (orders, path) = (Some(orders), path.to_owned());
        Ok((Store { orders, thread, failures, took, wants_all, waiting, path, _lock: lock }, saved))
    }

    /// Hands a batch over. Gives it back where the disk does not keep up: the next one is then to hold both.
    ///
    /// # Errors
    /// The batch itself.
    pub fn write(&self, batch: Batch) -> Result<(), Box<Batch>> {
        let Some(orders) = &self.orders else { return Err(Box::new(batch)) };
        let bans = batch.bans.len();
        self.waiting.fetch_add(bans, Ordering::Relaxed);
        match orders.try_send(Order::Write(batch)) {
            Ok(()) => Ok(()),
            Err(
                TrySendError::Full(Order::Write(batch)) | TrySendError::Disconnected(Order::Write(batch)),
            ) => {
                self.waiting.fetch_sub(bans, Ordering::Relaxed);
                Err(Box::new(batch))
            }
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

    /// How many changes of bans were handed over and are not written yet.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
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
    waiting: Arc<AtomicUsize>,
    /// None while the file cannot be opened.
    connection: Option<Connection>,
    /// Whether something that was to be in the file is not: it is asked for once the file is there.
    is_incomplete: bool,
    /// The file that this one took the place of: what lines it has are carried over once the bans are there.
    damaged: Option<PathBuf>,
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
                Ok(()) => {
                    let is_all = batch.is_all;
                    self.done_with_first();
                    if is_all
                        && let (Some(connection), Some(damaged)) = (&mut self.connection, self.damaged.take())
                    {
                        carry_lines(connection, &damaged);
                    }
                }
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
            self.damaged = Some(file::aside(&self.path));
        } else if before.is_multiple_of(60) {
            tracing::error!("the database refuses what is to be saved; bans go on in memory: {error}");
        }
        if self.refused.len() > REFUSED_MAX {
            self.done_with_first();
            self.is_incomplete = true;
        }
    }

    /// The first batch is written, or given up.
    fn done_with_first(&mut self) {
        let bans = self.refused.pop_front().map_or(0, |batch| batch.bans.len());
        self.waiting.fetch_sub(bans, Ordering::Relaxed);
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
            match purge(connection, now - KEPT, PURGED_AT_ONCE) {
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
