//! The books on disk, which all processes of a host share, a server's and sessions' under tcpserver: a client that comes
//! again costs no query whichever of them it meets, and all together spend one budget.
//!
//! What a session needs for a look-up is read and written in one transaction: who counts a query has seen all that were
//! counted before. A server reads of a client what it does not remember itself, takes queries in advance, and writes for
//! many look-ups at once. What two processes find in one network at the same moment may count once. What cannot be read or
//! written costs queries and nothing else.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use logline::Timestamp;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, TransactionBehavior, params};

use super::Listing;
use super::budget::Advance;
use super::desk::{Account, Desk, Page};
use super::former::{self, Entry};
use super::health::Health;
use super::neighbours::{self, Counts};
use super::verdicts::{Client, Said, Verdict};

/// Longest wait for another process. Each is done in less than a millisecond.
const BUSY: Duration = Duration::from_millis(500);

/// Rows that a table keeps when it is tidied, some 30 MB; nine tenths are left of one that has more.
const ROWS_MAX: i64 = 200_000;

/// Clients that a server writes about at once, so that a session waits no longer than for these.
const PAGES_AT_ONCE: usize = 250;

const TABLES: &str = "
    create table if not exists zones (
        zone text primary key, began integer not null, used integer not null,
        silent integer not null, rests integer not null, resting_until integer, tested integer not null
    ) without rowid;
    create table if not exists verdicts (
        zone text not null, client text not null, since integer not null, until integer not null,
        said text not null, text blob not null, codes text not null, primary key (zone, client)
    ) without rowid;
    create index if not exists verdicts_until on verdicts (until);
    create table if not exists networks (
        network text primary key, listed integer not null, clear integer not null, until integer not null
    ) without rowid;
    create index if not exists networks_until on networks (until);
";

/// The database.
#[derive(Debug)]
pub(super) struct SharedBooks {
    database: Mutex<Connection>,
    /// The last use failed, which was told.
    is_broken: AtomicBool,
}

impl SharedBooks {
    /// Opens the database, or makes it. One that is damaged is put aside.
    pub(super) fn open(path: &Path) -> rusqlite::Result<Self> {
        let database = match connect(path) {
            Err(error)
                if matches!(
                    error.sqlite_error_code(),
                    Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt)
                ) =>
            {
                tracing::error!(path = %path.display(), %error, "what blocklists said is forgotten");
                put_aside(path);
                connect(path)?
            }
            opened => opened?,
        };
        Ok(SharedBooks { database: Mutex::new(database), is_broken: AtomicBool::new(false) })
    }

    /// Takes in the file of a former version, if there is one.
    pub(super) fn take_in(&self, path: &Path) {
        if !path.exists() {
            return;
        }
        let taken = self.change(|database| {
            // Whoever comes second finds no file.
            let Ok(Some(entries)) = former::read(path).inspect_err(|error| {
                tracing::warn!(path = %path.display(), %error, "what blocklists said is forgotten");
            }) else {
                return Ok(());
            };
            for entry in entries {
                match entry {
                    Entry::Spent { zone, began, used } => add_used(database, &zone, began, used)?,
                    Entry::Page(page) => write_page(database, &page)?,
                }
            }
            if let Err(error) = fs::remove_file(path) {
                tracing::warn!(path = %path.display(), %error, "cannot remove the former books of blocklists");
            }
            Ok(())
        });
        self.told(taken);
    }

    /// Does some work on a session's books as far as they are about one client, and keeps what it changed. Without the
    /// database it works on what this process knows.
    pub(super) fn around<T>(
        &self,
        desk: &mut Desk,
        now: Timestamp,
        client: Client,
        work: impl FnOnce(&mut Desk) -> T,
    ) -> T {
        let mut database = self.lock();
        let transaction = match database.transaction_with_behavior(TransactionBehavior::Immediate) {
            Ok(transaction) => transaction,
            Err(error) => {
                self.told(Err(error));
                return work(desk);
            }
        };
        let read = read_page(&transaction, &desk.names(), client).map(|page| desk.learn(page));
        self.told(read.and_then(|()| settle(&transaction, desk, now, Advance::None)));
        let done = work(desk);
        let written = settle(&transaction, desk, now, Advance::None)
            .and_then(|()| desk.news().iter().try_for_each(|page| write_page(&transaction, page)))
            .and_then(|()| transaction.commit());
        self.told(written);
        done
    }

    /// Reads what stands about a client. It waits for nobody who writes.
    pub(super) fn recall(&self, desk: &mut Desk, client: Client) {
        let read = read_page(&self.lock(), &desk.names(), client);
        self.told(read.map(|page| desk.learn(page)));
    }

    /// Settles the accounts of all zones.
    pub(super) fn settle(&self, desk: &mut Desk, now: Timestamp, advance: Advance) {
        self.told(self.change(|database| settle(database, desk, now, advance)));
    }

    /// Writes about clients.
    pub(super) fn write(&self, pages: &[Page]) {
        let mut chunks = pages.chunks(PAGES_AT_ONCE);
        let write = |chunk: &[Page]| {
            self.change(|database| chunk.iter().try_for_each(|page| write_page(database, page)))
        };
        self.told(chunks.try_for_each(write));
    }

    /// Forgets all listings by one zone.
    pub(super) fn forget_listings(&self, zone: &str) {
        self.told(self.change(|database| {
            database.execute("delete from verdicts where zone = ?1 and said = 'listed'", [zone]).map(drop)
        }));
    }

    /// Whether this process is the one that tests the lists now, as one does in each such time; who is, tidies up too.
    pub(super) fn takes_test(&self, zones: &[String], now: Timestamp, every: Duration) -> bool {
        let due = now.seconds() - i64::try_from(every.as_secs()).unwrap_or(i64::MAX);
        let taken = self.change(|database| {
            let mut taken = 0;
            for zone in zones {
                database
                    .execute("insert or ignore into zones values (?1, 0, 0, 0, 0, null, 0)", params![zone])?;
                taken += database.execute(
                    "update zones set tested = ?2 where zone = ?1 and tested <= ?3",
                    params![zone, now.seconds(), due],
                )?;
            }
            if taken > 0 {
                tidy(database, now)?;
            }
            Ok(taken > 0)
        });
        let is_turn = taken.as_ref().is_ok_and(|taken| *taken);
        self.told(taken.map(drop));
        is_turn
    }

    fn change<T>(&self, change: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> rusqlite::Result<T> {
        let mut database = self.lock();
        let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let changed = change(&transaction)?;
        transaction.commit()?;
        Ok(changed)
    }

    /// Trouble is told once until it is over: a full disk would fill the log as well.
    fn told(&self, done: rusqlite::Result<()>) {
        match done {
            Ok(()) => self.is_broken.store(false, Ordering::Relaxed),
            Err(error) if !self.is_broken.swap(true, Ordering::Relaxed) => {
                tracing::warn!(%error, "cannot use the shared books of blocklists");
            }
            Err(_) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A transaction that a panic cut off is rolled back.
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let database = Connection::open(path)?;
    database.busy_timeout(BUSY)?;
    // No session waits for a disk. What dies with a process is written; what dies with the host is asked again.
    database.execute_batch("pragma journal_mode = wal; pragma synchronous = off;")?;
    database.execute_batch(TABLES)?;
    Ok(database)
}

fn put_aside(path: &Path) {
    let beside = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        name
    };
    for end in ["-wal", "-shm"] {
        // It belongs to what is put aside, and mostly there is none.
        let _ = fs::remove_file(beside(end));
    }
    match fs::rename(path, beside(".damaged")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "cannot put a damaged file aside");
        }
        Ok(()) | Err(_) => {}
    }
}

/// Forgets what is over, and of what is too much that which is over first.
fn tidy(database: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    for table in ["verdicts", "networks"] {
        database.execute(&format!("delete from {table} where until <= ?1"), [now.seconds()])?;
        let rows: i64 = database.query_row(&format!("select count(*) from {table}"), [], |row| row.get(0))?;
        if rows > ROWS_MAX {
            let kept = ROWS_MAX / 10 * 9;
            let oldest = format!("select until from {table} order by until desc limit 1 offset ?1");
            let oldest: Option<i64> = database.query_row(&oldest, [kept], |row| row.get(0)).optional()?;
            database.execute(&format!("delete from {table} where until <= ?1"), [oldest])?;
        }
    }
    Ok(())
}

/// Counts queries that somebody counted apart.
fn add_used(database: &Connection, zone: &str, began: Timestamp, used: u64) -> rusqlite::Result<()> {
    let used = i64::try_from(used).unwrap_or(i64::MAX);
    database.execute(
        "insert into zones values (?1, ?2, ?3, 0, 0, null, 0) on conflict (zone) do update set
         used = case when began = ?2 then used + ?3 when began < ?2 then ?3 else used end, began = max(began, ?2)",
        params![zone, began.seconds(), used],
    )?;
    Ok(())
}

fn settle(database: &Connection, desk: &mut Desk, now: Timestamp, advance: Advance) -> rusqlite::Result<()> {
    for (index, zone) in desk.names().iter().enumerate() {
        let booked = database
            .prepare_cached("select began, used, silent, rests, resting_until from zones where zone = ?1")?
            .query_row([zone], |row| {
                let until: Option<i64> = row.get(4)?;
                let health = Health::restored(row.get(2)?, row.get(3)?, until.map(Timestamp::from_seconds));
                let used = u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0);
                Ok(Account { began: Timestamp::from_seconds(row.get(0)?), used, health })
            })
            .optional()?;
        let Some(account) = desk.settle(now, index, booked, advance) else { continue };
        if booked == Some(account) {
            continue;
        }
        let Account { began, used, health } = account;
        let used = i64::try_from(used).unwrap_or(i64::MAX);
        let (silent, rests, until) = health.parts();
        database
            .prepare_cached(
                "insert into zones values (?1, ?2, ?3, ?4, ?5, ?6, 0) on conflict (zone) do update set
                 began = ?2, used = ?3, silent = ?4, rests = ?5, resting_until = ?6",
            )?
            .execute(params![zone, began.seconds(), used, silent, rests, until.map(Timestamp::seconds)])?;
    }
    Ok(())
}

fn read_page(database: &Connection, zones: &[String], client: Client) -> rusqlite::Result<Page> {
    let at = Timestamp::from_seconds;
    let mut verdicts = Vec::new();
    for zone in zones {
        let found = database
            .prepare_cached(
                "select since, until, said, text, codes from verdicts where zone = ?1 and client = ?2",
            )?
            .query_row(params![zone, client.address().to_string()], |row| {
                let (since, until) = (at(row.get(0)?), at(row.get(1)?));
                let (said, text, codes): (String, Vec<u8>, String) = (row.get(2)?, row.get(3)?, row.get(4)?);
                Ok(said_of(&said, text, &codes).map(|said| Verdict { said, since, until }))
            })
            .optional()?
            .flatten();
        verdicts.extend(found.map(|verdict| (zone.clone(), verdict)));
    }
    let neighbours = database
        .prepare_cached("select listed, clear, until from networks where network = ?1")?
        .query_row([neighbours::network(client).to_string()], |row| {
            Ok(Counts { listed: row.get(0)?, clear: row.get(1)?, until: at(row.get(2)?) })
        })
        .optional()?;
    Ok(Page { client, verdicts, neighbours })
}

fn write_page(database: &Connection, page: &Page) -> rusqlite::Result<()> {
    for (zone, verdict) in &page.verdicts {
        let (said, text, codes) = words_of(&verdict.said);
        database
            .prepare_cached("insert or replace into verdicts values (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
            .execute(params![
                zone,
                page.client.address().to_string(),
                verdict.since.seconds(),
                verdict.until.seconds(),
                said,
                text,
                codes
            ])?;
    }
    if let Some(Counts { listed, clear, until }) = page.neighbours {
        let network = neighbours::network(page.client).to_string();
        database
            .prepare_cached("insert or replace into networks values (?1, ?2, ?3, ?4)")?
            .execute(params![network, listed, clear, until.seconds()])?;
    }
    Ok(())
}

fn words_of(said: &Said) -> (&'static str, &[u8], String) {
    match said {
        Said::PutOff => ("put-off", b"", String::new()),
        Said::Clear => ("clear", b"", String::new()),
        Said::Known => ("known", b"", String::new()),
        Said::Listed(Listing { text, codes }) => {
            let codes = codes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            ("listed", text, codes)
        }
    }
}

fn said_of(word: &str, text: Vec<u8>, codes: &str) -> Option<Said> {
    match word {
        "put-off" => Some(Said::PutOff),
        "clear" => Some(Said::Clear),
        "known" => Some(Said::Known),
        "listed" => {
            let codes = codes.split_whitespace().filter_map(|code| code.parse().ok()).collect();
            Some(Said::Listed(Listing { text, codes }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
