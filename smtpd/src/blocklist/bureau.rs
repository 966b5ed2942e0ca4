//! The loop around the books: it asks the name servers, tests the zones, and keeps the books on disk.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use logline::Timestamp;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::desk::{Desk, LookUp, Origin, Plan};
use super::health::Sign;
use super::verdicts::Client;
use super::{Action, Blocklist, Finding, SharedBooks, ZoneAnswer, memory};
use crate::clock::now;
use crate::metrics::Metrics;
use crate::names::Names;
use crate::stop::Stop;
use crate::telemetry::Telemetry;

/// How often the books are written down. A crash costs the queries of this time.
const SAVE: Duration = Duration::from_secs(300);

/// How often the metrics are told how the zones stand.
const PUBLISH: Duration = Duration::from_secs(5);

/// How often each zone is tested.
const TEST: Duration = Duration::from_secs(3600);

/// Every working list lists this address (RFC 5782 §5).
const ALWAYS_LISTED: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// No working list lists this one.
const NEVER_LISTED: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Nor this, which is nobody's address: a private list may have the one above, and who has both lists the world.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(240, 0, 0, 1));

/// Queries that a test makes.
const TEST_QUERIES: u64 = 2;

type Key = (usize, Client);

/// Asks blocklists for all sessions.
#[derive(Debug)]
pub struct Bureau {
    lists: Vec<Blocklist>,
    desk: Mutex<Desk>,
    /// Look-ups under way: a client that opens many sessions at once is asked about once.
    asking: Mutex<HashMap<Key, Arc<OnceCell<LookUp>>>>,
    names: Names,
    books: Books,
}

/// Where the books are kept.
#[derive(Debug)]
enum Books {
    /// In this process, and now and then in a file.
    Own(PathBuf),
    /// In a database, by many processes.
    Shared(SharedBooks),
}

impl Bureau {
    /// Takes up the books that lie in `file`.
    pub fn open(lists: &[Blocklist], names: Names, file: PathBuf) -> Self {
        let mut desk = Desk::new(lists);
        if !lists.is_empty() {
            memory::load(&mut desk, now(), &file);
        }
        Bureau::with(lists, names, desk, Books::Own(file))
    }

    /// For one of many processes that share their books.
    pub fn sharing(lists: &[Blocklist], names: Names, books: SharedBooks) -> Self {
        Bureau::with(lists, names, Desk::new(lists), Books::Shared(books))
    }

    fn with(lists: &[Blocklist], names: Names, desk: Desk, books: Books) -> Self {
        for list in lists {
            if let Some(why) = list.dead() {
                tracing::warn!(zone = list.shown_zone(), "this blocklist is no more: {why}; take it out");
            }
        }
        Bureau { lists: lists.to_vec(), desk: Mutex::new(desk), asking: Mutex::default(), names, books }
    }

    /// What a zone says of a client: from the books, or from the zone.
    pub async fn look_up(&self, zone: usize, address: IpAddr) -> LookUp {
        let key = (zone, Client::of(address));
        let (cell, is_first) = match lock(&self.asking).entry(key) {
            Entry::Occupied(entry) => (Arc::clone(entry.get()), false),
            Entry::Vacant(entry) => match self.on_desk(address, |desk, now| desk.plan(now, zone, address)) {
                Plan::Answer(look_up) => return look_up,
                Plan::Ask => (Arc::clone(entry.insert(Arc::default())), true),
            },
        };
        // Whoever is dropped while it waits leaves no entry behind.
        let _under_way = is_first.then(|| UnderWay { bureau: self, key });
        match (cell.get_or_init(|| self.ask(zone, address)).await.clone(), is_first) {
            (LookUp::Found { finding, .. }, false) => LookUp::Found { finding, origin: Origin::Cache },
            (look_up, _) => look_up,
        }
    }

    /// Mail of this client was accepted.
    pub fn accepted(&self, address: IpAddr) {
        self.on_desk(address, |desk, now| desk.accepted(now, address));
    }

    /// Works on the books, as far as they are about a client.
    fn on_desk<T>(&self, client: IpAddr, work: impl FnOnce(&mut Desk, Timestamp) -> T) -> T {
        let (now, mut desk) = (now(), self.desk());
        match &self.books {
            Books::Own(_) => work(&mut desk, now),
            Books::Shared(books) => books.around(&mut desk, now, Client::of(client), |desk| work(desk, now)),
        }
    }

    /// Tests the lists where that is this process's turn, as it is one's of all that share the books in each hour.
    pub async fn test_in_turn(&self) {
        let is_turn = match &self.books {
            Books::Shared(books) if !self.lists.is_empty() => books.takes_test(&self.desk(), now(), TEST),
            Books::Shared(_) | Books::Own(_) => false,
        };
        if is_turn {
            self.test().await;
        }
    }

    /// The books, to look into.
    pub(crate) fn desk(&self) -> MutexGuard<'_, Desk> {
        lock(&self.desk)
    }

    async fn ask(&self, zone: usize, address: IpAddr) -> LookUp {
        let Some(list) = self.lists.get(zone) else { return LookUp::Resting };
        let answer = self.names.blocklist(&list.query(address), list.terms().text.is_none()).await;
        self.on_desk(address, |desk, now| desk.answered(now, zone, address, &answer))
    }

    /// Tests, publishes and saves until the server stops.
    pub async fn run(self: Arc<Self>, metrics: Arc<Telemetry>, mut stop: Stop) {
        if self.lists.is_empty() {
            return;
        }
        let (mut test_at, mut save_at) = (Instant::now(), Instant::now() + SAVE);
        let mut publish = tokio::time::interval(PUBLISH);
        loop {
            tokio::select! {
                () = stop.requested() => break,
                _ = publish.tick() => self.publish(metrics.metrics()),
                () = tokio::time::sleep_until(test_at) => {
                    self.test().await;
                    test_at = Instant::now() + TEST;
                }
                () = tokio::time::sleep_until(save_at) => {
                    self.save().await;
                    save_at = Instant::now() + SAVE;
                }
            }
        }
        self.save().await;
    }

    fn publish(&self, metrics: &Metrics) {
        let (now, desk) = (now(), self.desk());
        for (zone, budget, is_well) in desk.zones(now) {
            metrics.blocklist(zone, budget.used().1, budget.limit().map(|limit| limit.queries), is_well);
        }
        metrics.blocklist_verdicts(desk.remembered());
    }

    /// Tests every zone (RFC 5782 §5).
    async fn test(&self) {
        for (index, list) in self.lists.iter().enumerate() {
            self.on_desk(ALWAYS_LISTED, |desk, now| desk.spend(now, index, TEST_QUERIES));
            let ask = async |address| {
                let answer = self.names.blocklist(&list.query(address), false).await;
                let silent = answer == ZoneAnswer::Failed;
                (list.judge(address, &answer), silent)
            };
            let (mut never, always) = (ask(NEVER_LISTED).await, ask(ALWAYS_LISTED).await);
            if let (Finding::Listed(_), _) = never {
                self.on_desk(ALWAYS_LISTED, |desk, now| desk.spend(now, index, 1));
                never = ask(NOBODY).await;
            }
            self.judge_test(index, list, never, always);
        }
    }

    fn judge_test(&self, index: usize, list: &Blocklist, never: (Finding, bool), always: (Finding, bool)) {
        let zone = list.shown_zone();
        let sign = match (never, always) {
            ((_, true), _) | (_, (_, true)) => Sign::Silent,
            ((Finding::Listed(_), _), _) => {
                tracing::error!(zone, "this blocklist lists 127.0.0.1 and 240.0.0.1, that is everybody");
                Sign::Refuses
            }
            // A list of the good may have a code of its own for that, or none.
            (_, (Finding::Error(_) | Finding::Clear, _)) if list.action() == Action::Accept => Sign::Good,
            ((Finding::Error(what), _), _) | (_, (Finding::Error(what), _)) => {
                tracing::error!(zone, %what, "this blocklist answers with an error");
                Sign::Refuses
            }
            (_, (Finding::Clear, _)) => {
                tracing::warn!(zone, "this blocklist does not list 127.0.0.2, which every working one does");
                Sign::Good
            }
            (_, (Finding::Listed(_), _)) => Sign::Good,
        };
        if let Some(rest) = self.on_desk(ALWAYS_LISTED, |desk, now| desk.tested(now, index, sign)) {
            tracing::error!(zone, "it is not asked for {} s", rest.as_secs());
        }
    }

    async fn save(self: &Arc<Self>) {
        let Books::Own(file) = &self.books else { return };
        let (file, bytes) = (file.clone(), self.desk().written(now()));
        let path = file.clone();
        let saved = tokio::task::spawn_blocking(move || memory::store(&bytes, &file)).await;
        if let Ok(Err(error)) = saved {
            tracing::error!(path = %path.display(), %error, "cannot keep what blocklists said");
        }
    }
}

/// A look-up that ends, one way or another.
struct UnderWay<'b> {
    bureau: &'b Bureau,
    key: Key,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        lock(&self.bureau.asking).remove(&self.key);
    }
}

/// A panic elsewhere cannot have left it half changed: it changes only under its own methods.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
