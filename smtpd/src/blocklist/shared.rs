//! The books of processes that live for one session each: a database that all of them read and write, so that a client
//! that comes again costs no query whichever of them it meets, and all together spend one budget.
//!
//! What one look-up needs is read and written in one transaction: who counts a query has seen all that were counted
//! before. What cannot be read or written costs queries and nothing else.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use logline::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::Listing;
use super::desk::Desk;
use super::health::Health;
use super::neighbours::Counts;
use super::verdicts::{Client, Said, Verdict};

/// Longest wait for another process. Each is done in less than a millisecond.
const BUSY: Duration = Duration::from_millis(500);

/// Rows that a table keeps when it is tidied, some 30 MB; nine tenths are left of one that has more.
const ROWS_MAX: i64 = 200_000;

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
pub struct SharedBooks(Mutex<Connection>);

impl SharedBooks {
    /// Opens the database, or makes it.
    ///
    /// # Errors
    /// Where it cannot be used.
    pub fn open(path: &Path) -> rusqlite::Result<Self> {
        let database = Connection::open(path)?;
        database.busy_timeout(BUSY)?;
        // What a crash loses is asked again.
        database.execute_batch("pragma journal_mode = wal; pragma synchronous = off;")?;
        database.execute_batch(TABLES)?;
        Ok(SharedBooks(Mutex::new(database)))
    }

    /// Does some work on the books as far as they are about one client, and keeps what it changed. Without the database
    /// it works on what this process knows.
    pub(super) fn around<T>(
        &self,
        desk: &mut Desk,
        now: Timestamp,
        client: Client,
        work: impl FnOnce(&mut Desk) -> T,
    ) -> T {
        let told =
            |error: &rusqlite::Error| tracing::warn!(%error, "cannot use the shared books of blocklists");
        let mut database = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = database.transaction_with_behavior(TransactionBehavior::Immediate);
        let Ok(transaction) = begun.inspect_err(told) else { return work(desk) };
        if let Err(error) = load(&transaction, desk, client) {
            told(&error);
        }
        let done = work(desk);
        if let Err(error) = store(&transaction, desk, now, client).and_then(|()| transaction.commit()) {
            told(&error);
        }
        done
    }

    /// Whether this process is the one that tests the lists now, as one does in each such time; who is, tidies up too.
    pub(super) fn takes_test(&self, desk: &Desk, now: Timestamp, every: Duration) -> bool {
        let database = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = now.seconds() - i64::try_from(every.as_secs()).unwrap_or(i64::MAX);
        let take = || -> rusqlite::Result<bool> {
            let mut taken = 0;
            for (zone, ..) in desk.zones(now) {
                database
                    .execute("insert or ignore into zones values (?1, 0, 0, 0, 0, null, 0)", params![zone])?;
                taken += database.execute(
                    "update zones set tested = ?2 where zone = ?1 and tested <= ?3",
                    params![zone, now.seconds(), due],
                )?;
            }
            if taken > 0 {
                tidy(&database, now)?;
            }
            Ok(taken > 0)
        };
        take()
            .inspect_err(|error| tracing::warn!(%error, "cannot look when blocklists were tested"))
            .unwrap_or(false)
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

fn load(database: &Transaction<'_>, desk: &mut Desk, client: Client) -> rusqlite::Result<()> {
    let at = Timestamp::from_seconds;
    for (key, zone) in (0_u16..).zip(desk.names()) {
        let mut zones = database
            .prepare_cached("select began, used, silent, rests, resting_until from zones where zone = ?1")?;
        let found = zones
            .query_row([&zone], |row| {
                let until: Option<i64> = row.get(4)?;
                let health = Health::restored(row.get(2)?, row.get(3)?, until.map(at));
                let used = u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0);
                Ok((at(row.get(0)?), used, health))
            })
            .optional()?;
        if let Some((began, used, health)) = found {
            desk.restore_used(&zone, began, used);
            desk.set_health(usize::from(key), health);
        }
        let mut verdicts = database.prepare_cached(
            "select since, until, said, text, codes from verdicts where zone = ?1 and client = ?2",
        )?;
        let found = verdicts
            .query_row(params![zone, client.address().to_string()], |row| {
                let (said, text, codes): (String, Vec<u8>, String) = (row.get(2)?, row.get(3)?, row.get(4)?);
                Ok(said_of(&said, text, &codes)
                    .map(|said| (at(row.get(0).unwrap_or(0)), at(row.get(1).unwrap_or(0)), said)))
            })
            .optional()?
            .flatten();
        if let Some((since, until, said)) = found {
            desk.verdicts.insert(key, client, Verdict { said, since, until });
        }
    }
    let mut networks =
        database.prepare_cached("select listed, clear, until from networks where network = ?1")?;
    let network = super::neighbours::network(client).to_string();
    let found = networks
        .query_row([network], |row| {
            Ok(Counts { listed: row.get(0)?, clear: row.get(1)?, until: at(row.get(2)?) })
        })
        .optional()?;
    if let Some(counts) = found {
        desk.neighbours.restore(client, counts);
    }
    Ok(())
}

fn store(database: &Transaction<'_>, desk: &Desk, now: Timestamp, client: Client) -> rusqlite::Result<()> {
    for ((key, zone), (_, budget, _)) in (0_u16..).zip(desk.names()).zip(desk.zones(now)) {
        let (began, used) = budget.used();
        let used = i64::try_from(used).unwrap_or(i64::MAX);
        let (silent, rests, until) = desk.health(usize::from(key)).parts();
        database
            .prepare_cached(
                "insert into zones values (?1, ?2, ?3, ?4, ?5, ?6, 0) on conflict (zone) do update set
                 began = ?2, used = ?3, silent = ?4, rests = ?5, resting_until = ?6",
            )?
            .execute(params![zone, began.seconds(), used, silent, rests, until.map(Timestamp::seconds)])?;
        let Some(verdict) = desk.verdicts.get(key, client) else { continue };
        let (said, text, codes) = words_of(&verdict.said);
        database
            .prepare_cached("insert or replace into verdicts values (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
            .execute(params![
                zone,
                client.address().to_string(),
                verdict.since.seconds(),
                verdict.until.seconds(),
                said,
                text,
                codes
            ])?;
    }
    if let Some(Counts { listed, clear, until }) = desk.neighbours.counts(client) {
        database.prepare_cached("insert or replace into networks values (?1, ?2, ?3, ?4)")?.execute(
            params![super::neighbours::network(client).to_string(), listed, clear, until.seconds()],
        )?;
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
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::blocklist::desk::{LookUp, Plan};
    use crate::blocklist::{Action, Blocklist, Finding, Limit, Origin, Sign, Terms, ZoneAnswer};

    const NOW: Timestamp = Timestamp::from_seconds(1_795_262_400);

    /// One process of many.
    struct Process(Desk, SharedBooks);

    impl Process {
        fn start(path: &Path, queries: u64) -> Self {
            let (period, reset) = (Duration::from_secs(86_400), Duration::ZERO);
            let limit = Some(Limit { queries, period, reset });
            let terms = Terms { limit, neighbours: 2, text: Some("no".into()), ..Terms::default() };
            let list = Blocklist::new("key.zen.dq.spamhaus.net", Action::Delay, None).with_terms(terms);
            Process(Desk::new(&[list]), SharedBooks::open(path).unwrap())
        }

        fn plan(&mut self, address: IpAddr) -> Plan {
            let Process(desk, books) = self;
            books.around(desk, NOW, Client::of(address), |desk| desk.plan(NOW, 0, address))
        }

        fn answered(&mut self, address: IpAddr, answer: &ZoneAnswer) {
            let Process(desk, books) = self;
            books.around(desk, NOW, Client::of(address), |desk| desk.answered(NOW, 0, address, answer));
        }
    }

    fn listed() -> ZoneAnswer {
        ZoneAnswer::Addresses { codes: vec![[127, 0, 0, 4].into()], text: None }
    }

    #[test]
    fn what_one_process_heard_another_knows() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dnsbl.db");
        let process = || Process::start(&path, 1000);
        let [a, b, c, d]: [IpAddr; 4] = [7, 8, 9, 10].map(|last| [192, 0, 2, last].into());
        assert_eq!(process().plan(a), Plan::Ask);
        process().answered(a, &listed());
        let finding = Finding::Listed(Listing { text: b"no".to_vec(), codes: vec![[127, 0, 0, 4].into()] });
        let expected = LookUp::Found { finding, origin: Origin::Cache };
        assert_eq!(process().plan(a), Plan::Answer(expected));
        // A network is known by what others found in it.
        assert_eq!(process().plan(b), Plan::Ask);
        process().answered(b, &listed());
        assert_eq!(process().plan(c), Plan::Answer(LookUp::PutOff));
        // And a list that refuses is left alone by all.
        process()
            .answered(d, &ZoneAnswer::Addresses { codes: vec![[127, 255, 255, 255].into()], text: None });
        assert_eq!(process().plan([198, 51, 100, 1].into()), Plan::Answer(LookUp::Resting));
        let bytes = std::fs::read(&path).unwrap();
        assert!(memchr::memmem::find(&bytes, b"key.zen").is_none(), "a key is written nowhere");
    }

    #[test]
    fn all_together_spend_one_budget() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dnsbl.db");
        // At noon a tenth and half of the rest may be spent.
        SharedBooks::open(&path).unwrap();
        let asked: usize = std::thread::scope(|scope| {
            let path = &path;
            let threads: Vec<_> = (0..4_u8)
                .map(|n| {
                    scope.spawn(move || {
                        (0..20_u8)
                            .filter(|last| {
                                Process::start(path, 40).plan([10, n, 0, *last].into()) == Plan::Ask
                            })
                            .count()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(asked, 22);
    }

    #[test]
    fn one_of_all_tests_the_lists_and_what_is_over_goes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dnsbl.db");
        let hour = Duration::from_secs(3600);
        let Process(desk, books) = Process::start(&path, 10);
        assert!(books.takes_test(&desk, NOW, hour));
        let Process(mut desk, books) = Process::start(&path, 10);
        assert!(!books.takes_test(&desk, NOW, hour));
        let address = [192, 0, 2, 7].into();
        books.around(&mut desk, NOW, Client::of(address), |desk| desk.answered(NOW, 0, address, &listed()));
        books.around(&mut desk, NOW, Client::of(address), |desk| desk.tested(NOW, 0, Sign::Good));
        let rows = |table: &str| -> i64 {
            let database = books.0.lock().unwrap();
            database.query_row(&format!("select count(*) from {table}"), [], |row| row.get(0)).unwrap()
        };
        assert_eq!((rows("verdicts"), rows("networks")), (1, 1));
        assert!(books.takes_test(&desk, NOW + 25 * hour, hour));
        assert_eq!((rows("verdicts"), rows("networks")), (0, 0));
    }

    #[test]
    fn a_damaged_database_costs_queries_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dnsbl.db");
        let mut process = Process::start(&path, 1000);
        process.1.0.lock().unwrap().execute_batch("drop table verdicts; drop table networks").unwrap();
        let address = [192, 0, 2, 7].into();
        assert_eq!(process.plan(address), Plan::Ask);
        process.answered(address, &listed());
        assert!(matches!(process.plan(address), Plan::Answer(LookUp::Found { .. })), "this process knows it");
    }
}
