//! How clients behaved before: who was never anything but bad is put off for a while (qpsmtpd's karma).
//!
//! A session that ends badly is an offence; a client that has committed several, and never sent a message that was taken,
//! pays for each more with one more time of penalty. Whoever has a good session to show, or logs in, never pays.

mod points;

use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use logline::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

pub use points::{Deed, Points};

/// Clients that are remembered; those that were seen last stay.
const CLIENTS_MAX: u32 = 1_000_000;

/// After so many sessions that were written down those who are over go, and those who are too many.
const TIDY_AFTER: u32 = 20_000;

/// What makes a session an offence, and what offences cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KarmaTerms {
    /// Offences after which a client pays; 0 for never.
    pub strikes: u32,
    /// So many points below zero make a session an offence.
    pub negative: u32,
    /// What the first offence after that costs.
    pub penalty: Duration,
    /// How long a client is remembered.
    pub forget: Duration,
}

impl Default for KarmaTerms {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 3600);
        KarmaTerms { strikes: 0, negative: 2, penalty: day, forget: 60 * day }
    }
}

/// What is remembered of one client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Sessions that were good.
    pub good: u32,
    /// Sessions that were offences.
    pub bad: u32,
    /// Until when it is put off, in seconds since 1970.
    pub until: i64,
}

impl History {
    /// What a session makes of it that ended with so many points.
    #[must_use]
    pub fn after(self, terms: &KarmaTerms, now: Timestamp, points: i32) -> Self {
        let negative = i32::try_from(terms.negative).unwrap_or(i32::MAX).max(1);
        if points > 0 {
            return History { good: self.good.saturating_add(1), until: 0, ..self };
        }
        if points > -negative {
            return self;
        }
        let bad = self.bad.saturating_add(1);
        let over =
            if terms.strikes == 0 || self.good > 0 { 0 } else { (bad + 1).saturating_sub(terms.strikes) };
        let until = if over == 0 { self.until } else { (now + terms.penalty.saturating_mul(over)).seconds() };
        History { bad, until, ..self }
    }
}

/// The memory: a database that all sessions and processes share.
#[derive(Clone, Debug)]
pub struct Karma {
    terms: KarmaTerms,
    memory: Arc<Mutex<Memory>>,
}

#[derive(Debug)]
struct Memory {
    database: Connection,
    /// Sessions that were written down since it was tidied.
    written: u32,
}

impl Karma {
    /// Opens the database, or makes it; who was not seen for long is forgotten.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn open(path: &Path, terms: KarmaTerms, now: Timestamp) -> rusqlite::Result<Self> {
        let database = Connection::open(path)?;
        database.busy_timeout(Duration::from_millis(200))?;
        // What a crash loses here is the memory of a few sessions.
        database.execute_batch(
            "pragma journal_mode = wal; pragma synchronous = off;
             create table if not exists clients (
                 client text primary key, good integer not null, bad integer not null, until integer not null,
                 seen integer not null
             ) without rowid;
             create index if not exists clients_seen on clients (seen);",
        )?;
        let mut memory = Memory { database, written: 0 };
        memory.tidy(&terms, now, CLIENTS_MAX)?;
        Ok(Karma { terms, memory: Arc::new(Mutex::new(memory)) })
    }

    /// Whether a client is put off now. One that cannot be looked up is not.
    pub fn is_put_off(&self, now: Timestamp, client: IpAddr) -> bool {
        match history(&self.lock().database, &client_key(client)) {
            Ok(history) => history.until > now.seconds(),
            Err(error) => {
                tracing::warn!(%error, "cannot look up a client's karma");
                false
            }
        }
    }

    /// A session has ended with so many points. Blocks for a moment.
    pub fn ended(&self, now: Timestamp, client: IpAddr, points: i32) {
        if let Err(error) = self.note(now, &client_key(client), points) {
            tracing::warn!(%error, "cannot write down a client's karma");
        }
    }

    fn note(&self, now: Timestamp, client: &str, points: i32) -> rusqlite::Result<()> {
        let mut memory = self.lock();
        let before = history(&memory.database, client)?;
        let after = before.after(&self.terms, now, points);
        if before != after {
            memory
                .database
                .prepare_cached("insert or replace into clients (client, good, bad, until, seen) values (?1, ?2, ?3, ?4, ?5)")?
                .execute(params![client, after.good, after.bad, after.until, now.seconds()])?;
            memory.written += 1;
        }
        if memory.written >= TIDY_AFTER {
            memory.tidy(&self.terms, now, CLIENTS_MAX)?;
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Memory> {
        // A panic elsewhere cannot have left a statement half done: each is one of its own.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    /// Forgets who was not seen for long, and of more than so many those who were not seen for longest.
    fn tidy(&mut self, terms: &KarmaTerms, now: Timestamp, clients_max: u32) -> rusqlite::Result<()> {
        self.written = 0;
        let oldest = now.seconds() - i64::try_from(terms.forget.as_secs()).unwrap_or(i64::MAX);
        self.database.execute("delete from clients where seen < ?1", [oldest])?;
        self.database.execute(
            "delete from clients where client in (select client from clients order by seen desc limit -1 offset ?1)",
            [clients_max],
        )?;
        Ok(())
    }
}

fn history(database: &Connection, client: &str) -> rusqlite::Result<History> {
    let found = database
        .prepare_cached("select good, bad, until from clients where client = ?1")?
        .query_row([client], |row| Ok(History { good: row.get(0)?, bad: row.get(1)?, until: row.get(2)? }))
        .optional()?;
    Ok(found.unwrap_or_default())
}

/// One client: an IPv4 address, or the /64 that one subscriber of IPv6 has at least.
pub(crate) fn client_key(client: IpAddr) -> String {
    match client {
        IpAddr::V4(client) => client.to_string(),
        IpAddr::V6(client) => Ipv6Addr::from_bits(client.to_bits() & !u128::from(u64::MAX)).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    fn terms() -> KarmaTerms {
        KarmaTerms {
            strikes: 3,
            penalty: Duration::from_secs(100),
            forget: Duration::from_secs(1000),
            ..KarmaTerms::default()
        }
    }

    #[test]
    fn who_was_never_good_pays_more_for_each_offence() {
        let at = |seconds: i64| Timestamp::from_seconds(seconds);
        let offence = |history: History, seconds: i64| history.after(&terms(), at(seconds), -2);
        let second = offence(offence(History::default(), 0), 0);
        assert_eq!((second.bad, second.until), (2, 0));
        let third = offence(second, 10);
        assert_eq!(third.until, 110);
        assert_eq!(offence(third, 200).until, 400);
        assert_eq!(third.after(&terms(), at(10), -1), third, "one slip is no offence");
        let reformed = third.after(&terms(), at(10), 1);
        assert_eq!((reformed.good, reformed.until), (1, 0));
        assert_eq!(offence(offence(reformed, 20), 20).until, 0, "who has been good does not pay");
        let off = KarmaTerms::default();
        assert_eq!(History { bad: 100, ..History::default() }.after(&off, at(0), -9).until, 0);
    }

    #[test]
    fn a_client_is_remembered_over_restarts_and_forgotten_in_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("karma.db");
        let open = |seconds| Karma::open(&path, terms(), Timestamp::from_seconds(seconds)).unwrap();
        let karma = open(0);
        for _ in 0..3 {
            assert!(!karma.is_put_off(Timestamp::from_seconds(0), CLIENT));
            karma.ended(Timestamp::from_seconds(0), CLIENT, -5);
        }
        drop(karma);
        let karma = open(50);
        assert!(karma.is_put_off(Timestamp::from_seconds(50), CLIENT));
        assert!(!karma.is_put_off(Timestamp::from_seconds(100), CLIENT));
        assert!(!karma.is_put_off(Timestamp::from_seconds(50), "192.0.2.8".parse().unwrap()));
        let karma = open(2000);
        assert_eq!(history(&karma.lock().database, &client_key(CLIENT)).unwrap(), History::default());
        assert_eq!(client_key("2001:db8::1".parse().unwrap()), client_key("2001:db8::2".parse().unwrap()));
    }

    #[test]
    fn of_too_many_those_stay_that_were_seen_last() {
        let directory = tempfile::tempdir().unwrap();
        let karma = Karma::open(&directory.path().join("karma.db"), terms(), Timestamp::default()).unwrap();
        let client = |n: u8| IpAddr::from([192, 0, 2, n]);
        (0..10).for_each(|n| karma.ended(Timestamp::from_seconds(i64::from(n)), client(n), -5));
        karma.lock().tidy(&terms(), Timestamp::from_seconds(10), 4).unwrap();
        let knows = |n: u8| history(&karma.lock().database, &client_key(client(n))).unwrap().bad > 0;
        assert_eq!([5, 6, 9].map(knows), [false, true, true]);
    }
}
