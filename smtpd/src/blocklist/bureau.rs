//! The loop around the books: it asks the name servers, has the zones tested, and keeps the books on disk.

mod trial;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use logline::Timestamp;
use tokio::sync::{Notify, OnceCell};

use super::Blocklist;
use super::budget::Advance;
use super::desk::{Desk, LookUp, Origin, Plan};
use super::shared::SharedBooks;
use super::verdicts::Client;
use crate::clock::now;
use crate::metrics::Metrics;
use crate::names::Names;
use crate::stop::Stop;
use crate::telemetry::Telemetry;

/// The books on disk, below the state directory.
const BOOKS: &str = "dnsbl.db";

/// Where a server kept them before they were shared.
const FORMER_BOOKS: &str = "dnsbl.jsonl";

/// How often a server writes down what is new. A crash costs the queries of this time.
const KEEP: Duration = Duration::from_secs(1);

/// How often the metrics are told how the zones stand.
const PUBLISH: Duration = Duration::from_secs(5);

type Key = (usize, Client);

/// How long the process lives that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// As long as one session, of which there are many at once.
    Session,
    /// For many sessions.
    Server,
}

/// Asks blocklists for all sessions.
#[derive(Debug)]
pub struct Bureau {
    lists: Vec<Blocklist>,
    desk: Mutex<Desk>,
    /// Look-ups under way: a client that opens many sessions at once is asked about once.
    asking: Mutex<HashMap<Key, Arc<OnceCell<LookUp>>>>,
    names: Names,
    books: Option<Books>,
    /// Told when a zone should be tested at once.
    doubt: Notify,
}

/// The books on disk, and how they are used.
#[derive(Debug)]
struct Books {
    /// For what a session waits for.
    at_hand: SharedBooks,
    /// For what no session waits for; a server's alone.
    apart: Option<SharedBooks>,
    /// Each look-up is written down at once, because nobody does it later.
    at_once: AtomicBool,
}

impl Bureau {
    /// Takes up the books that lie in the directory `state`.
    pub fn open(lists: &[Blocklist], names: Names, state: &Path, life: Life) -> Self {
        for list in lists {
            if let Some(why) = list.dead() {
                tracing::warn!(
                    zone = list.shown_zone(),
                    "this blocklist is no more, and is not asked: {why}; take it out"
                );
            }
        }
        let mut desk = Desk::new(lists);
        let books = (!lists.is_empty()).then(|| Books::open(&mut desk, state, life)).flatten();
        Bureau {
            lists: lists.to_vec(),
            desk: Mutex::new(desk),
            asking: Mutex::default(),
            names,
            books,
            doubt: Notify::new(),
        }
    }

    /// What a zone says of a client: from the books, or from the zone.
    pub async fn look_up(&self, zone: usize, address: IpAddr) -> LookUp {
        if self.lists.get(zone).is_none_or(|list| list.dead().is_some()) {
            return LookUp::Resting;
        }
        let key = (zone, Client::of(address));
        let (cell, is_first) = match lock(&self.asking).entry(key) {
            Entry::Occupied(entry) => (Arc::clone(entry.get()), false),
            Entry::Vacant(entry) => match self.plan(zone, address) {
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

    fn plan(&self, zone: usize, address: IpAddr) -> Plan {
        if let Some(books) = self.books.as_ref().filter(|books| !books.are_at_once()) {
            let (now, client, mut desk) = (now(), Client::of(address), self.desk());
            if !desk.remembers(now, zone, client) {
                books.at_hand.recall(&mut desk, client);
            }
            if !desk.remembers(now, zone, client) && desk.is_short(now, zone) {
                books.at_hand.settle(&mut desk, now, Advance::Taken);
            }
            return desk.plan(now, zone, address);
        }
        self.on_desk(address, |desk, now| desk.plan(now, zone, address))
    }

    /// Works on the books, as far as they are about a client.
    fn on_desk<T>(&self, client: IpAddr, work: impl FnOnce(&mut Desk, Timestamp) -> T) -> T {
        let (now, mut desk) = (now(), self.desk());
        match self.books.as_ref().filter(|books| books.are_at_once()) {
            Some(books) => books.at_hand.around(&mut desk, now, Client::of(client), |desk| work(desk, now)),
            None => work(&mut desk, now),
        }
    }

    /// The books, to look into.
    pub(crate) fn desk(&self) -> MutexGuard<'_, Desk> {
        lock(&self.desk)
    }

    async fn ask(&self, zone: usize, address: IpAddr) -> LookUp {
        let Some(list) = self.lists.get(zone) else { return LookUp::Resting };
        let answer = self.names.blocklist(&list.query(address), |codes| list.wants_text(codes)).await;
        let (look_up, is_in_doubt) = self.on_desk(address, |desk, now| {
            (desk.answered(now, zone, address, &answer), desk.is_in_doubt(now))
        });
        if is_in_doubt {
            self.doubt.notify_one();
        }
        look_up
    }

    /// Tests, publishes and writes until the server stops.
    pub async fn run(self: Arc<Self>, telemetry: Arc<Telemetry>, mut stop: Stop) {
        if self.lists.is_empty() {
            return;
        }
        tokio::select! {
            () = stop.requested() => {}
            () = self.test_for_ever(trial::TEST) => {}
            () = self.publish_for_ever(telemetry.metrics()) => {}
            () = self.keep_for_ever() => {}
        }
        self.close().await;
    }

    async fn publish_for_ever(&self, metrics: &Metrics) {
        let mut tick = tokio::time::interval(PUBLISH);
        loop {
            tick.tick().await;
            self.publish(metrics);
        }
    }

    async fn keep_for_ever(self: &Arc<Self>) {
        loop {
            tokio::time::sleep(KEEP).await;
            if self.desk().has_news() {
                self.write_down(Advance::Taken).await;
            }
        }
    }

    fn publish(&self, metrics: &Metrics) {
        let (now, desk) = (now(), self.desk());
        for (zone, budget, is_well) in desk.zones(now) {
            metrics.blocklist(zone, budget.used().1, budget.limit().map(|limit| limit.queries), is_well);
        }
        metrics.blocklist_verdicts(desk.remembered());
    }

    /// Gives back what was taken in advance and writes all down. From then on each look-up is written at once: sessions
    /// that are open still may make some.
    pub(crate) async fn close(self: &Arc<Self>) {
        if let Some(books) = &self.books {
            books.at_once.store(true, Ordering::Relaxed);
        }
        self.write_down(Advance::None).await;
    }

    async fn write_down(self: &Arc<Self>, advance: Advance) {
        let bureau = Arc::clone(self);
        // A panic is told where it happens; what was not written costs queries.
        let _ = tokio::task::spawn_blocking(move || bureau.write_down_now(advance)).await;
    }

    fn write_down_now(&self, advance: Advance) {
        let Some(books) = self.books.as_ref().and_then(|books| books.apart.as_ref()) else { return };
        let news = {
            let mut desk = self.desk();
            books.settle(&mut desk, now(), advance);
            desk.news()
        };
        books.write(&news);
    }
}

impl Books {
    /// Without them a process asks for itself.
    fn open(desk: &mut Desk, state: &Path, life: Life) -> Option<Self> {
        let path = state.join(BOOKS);
        let at_hand = opened(&path)?;
        at_hand.take_in(&state.join(FORMER_BOOKS));
        let apart = match life {
            // Most sessions end before they have a question.
            Life::Session => None,
            Life::Server => {
                at_hand.settle(desk, now(), Advance::None);
                Some(opened(&path)?)
            }
        };
        Some(Books { at_hand, at_once: AtomicBool::new(apart.is_none()), apart })
    }

    fn are_at_once(&self) -> bool {
        self.at_once.load(Ordering::Relaxed)
    }
}

fn opened(path: &Path) -> Option<SharedBooks> {
    let opened = SharedBooks::open(path).inspect_err(|error| {
        tracing::error!(path = %path.display(), %error, "what blocklists say is neither kept nor shared");
    });
    opened.ok()
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
