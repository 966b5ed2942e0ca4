//! Greylisting by address (qpsmtpd's): a newcomer is put off for a while, and whoever comes again is known from then on.
//! What sends junk mostly comes once.

use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use logline::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::karma::client_key;

/// Clients that are remembered; those that came last stay.
const CLIENTS_MAX: u32 = 1_000_000;

/// After so many newcomers those who are over go, and those who are too many.
const TIDY_AFTER: u32 = 20_000;

/// How long a newcomer waits, and how long it is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GreyTerms {
    /// Before this much time it is put off again; zero: nobody is put off.
    pub delay: Duration,
    /// After this much it is a newcomer again.
    pub window: Duration,
    /// So long after it last came it is known.
    pub known: Duration,
}

impl Default for GreyTerms {
    fn default() -> Self {
        let minute = Duration::from_secs(60);
        GreyTerms { delay: Duration::ZERO, window: 200 * minute, known: 36 * 24 * 60 * minute }
    }
}

/// What is remembered of one client, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acquaintance {
    /// When it first came.
    pub first: i64,
    /// Until when it is known; 0 while it is not.
    pub until: i64,
}

impl Acquaintance {
    /// What another visit makes of it, and whether the client is put off.
    pub fn after(before: Option<Self>, terms: &GreyTerms, now: Timestamp) -> (Self, bool) {
        let seconds = now.seconds();
        let newcomer = (Acquaintance { first: seconds, until: 0 }, true);
        let Some(before) = before else {
            return newcomer;
        };
        let length = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        let waited = seconds.saturating_sub(before.first);
        let is_known = before.until > seconds;
        if !is_known && (before.until != 0 || waited >= length(terms.window)) {
            return newcomer;
        }
        if !is_known && waited < length(terms.delay) {
            return (before, true);
        }
        (Acquaintance { until: seconds.saturating_add(length(terms.known)), ..before }, false)
    }
}

/// The memory: a database that all sessions and processes share.
#[derive(Clone, Debug)]
pub struct Greylist {
    terms: GreyTerms,
    memory: Arc<Mutex<Memory>>,
}

#[derive(Debug)]
struct Memory {
    database: Connection,
    /// Since it was tidied.
    newcomers: u32,
}

impl Greylist {
    /// Opens the database, or makes it; who is no newcomer and not known any more is forgotten.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn open(path: &Path, terms: GreyTerms, now: Timestamp) -> rusqlite::Result<Self> {
        let database = Connection::open(path)?;
        database.busy_timeout(Duration::from_millis(200))?;
        // What a crash loses here are the visits of a few clients.
        database.execute_batch(
            "pragma journal_mode = wal; pragma synchronous = off;
             create table if not exists clients (
                 client text primary key, first integer not null, until integer not null
             ) without rowid;",
        )?;
        let mut memory = Memory { database, newcomers: 0 };
        memory.tidy(&terms, now, CLIENTS_MAX)?;
        Ok(Greylist { terms, memory: Arc::new(Mutex::new(memory)) })
    }

    /// Notes a visit; true where the client is put off. One that cannot be looked up is not. Blocks for a moment.
    pub fn puts_off(&self, now: Timestamp, client: IpAddr) -> bool {
        self.visit(now, &client_key(client)).unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot look up whether a client is new");
            false
        })
    }

    fn visit(&self, now: Timestamp, client: &str) -> rusqlite::Result<bool> {
        // A panic elsewhere cannot have left a statement half done: each is one of its own.
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let before = memory
            .database
            .prepare_cached("select first, until from clients where client = ?1")?
            .query_row([client], |row| Ok(Acquaintance { first: row.get(0)?, until: row.get(1)? }))
            .optional()?;
        let (after, is_put_off) = Acquaintance::after(before, &self.terms, now);
        if before != Some(after) {
            memory
                .database
                .prepare_cached("insert or replace into clients (client, first, until) values (?1, ?2, ?3)")?
                .execute(params![client, after.first, after.until])?;
        }
        memory.newcomers += u32::from(before.is_none());
        if memory.newcomers >= TIDY_AFTER {
            memory.tidy(&self.terms, now, CLIENTS_MAX)?;
        }
        Ok(is_put_off)
    }
}

impl Memory {
    /// Forgets who is over, and of more than so many those who came before the others.
    fn tidy(&mut self, terms: &GreyTerms, now: Timestamp, clients_max: u32) -> rusqlite::Result<()> {
        self.newcomers = 0;
        let window = i64::try_from(terms.window.as_secs()).unwrap_or(i64::MAX);
        self.database.execute(
            "delete from clients where (until = 0 and first <= ?1) or (until > 0 and until <= ?2)",
            [now.seconds().saturating_sub(window), now.seconds()],
        )?;
        self.database.execute(
            "delete from clients where client in
                 (select client from clients order by max(first, until) desc limit -1 offset ?1)",
            [clients_max],
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> GreyTerms {
        GreyTerms {
            delay: Duration::from_secs(50),
            window: Duration::from_secs(200),
            known: Duration::from_secs(1000),
        }
    }

    #[test]
    fn a_newcomer_waits_and_who_comes_again_is_known() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("greylist.db");
        let open = |seconds| Greylist::open(&path, terms(), Timestamp::from_seconds(seconds)).unwrap();
        let check = |list: &Greylist, visits: &[(i64, &str, bool)]| {
            for (seconds, client, is_put_off) in visits {
                let found = list.puts_off(Timestamp::from_seconds(*seconds), client.parse().unwrap());
                assert_eq!(found, *is_put_off, "{client} at {seconds}");
            }
        };
        let list = open(0);
        check(&list, &[(0, "192.0.2.7", true), (49, "192.0.2.7", true), (50, "192.0.2.7", false)]);
        check(&list, &[(51, "192.0.2.7", false), (51, "192.0.2.8", true), (52, "2001:db8::1", true)]);
        // Too late, it is new; the /64 of an IPv6 client is one.
        check(&list, &[(251, "192.0.2.8", true), (110, "2001:db8::2", false)]);
        drop(list);
        let list = open(300);
        check(&list, &[(1000, "192.0.2.7", false), (1999, "192.0.2.7", false), (3000, "192.0.2.7", true)]);
    }

    #[test]
    fn of_too_many_those_stay_that_came_last() {
        let directory = tempfile::tempdir().unwrap();
        let now = Timestamp::from_seconds(100);
        let list =
            Greylist::open(&directory.path().join("greylist.db"), terms(), Timestamp::default()).unwrap();
        for n in 0..10 {
            list.puts_off(Timestamp::from_seconds(40 + i64::from(n)), [192, 0, 2, n].into());
        }
        list.memory.lock().unwrap().tidy(&terms(), now, 4).unwrap();
        let knows = |n: u8| !list.puts_off(now, [192, 0, 2, n].into());
        assert_eq!([5, 6, 7, 8, 9].map(knows), [false, true, true, true, true]);
    }
}
