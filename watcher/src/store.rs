//! The memory: bans with their evidence, counters in flight, open sessions and cursors, in one SQLite file.
//!
//! A [`Batch`] is one transaction, so that after a kill the cursor and all that followed from the lines before it agree.
//! The store has a thread of its own: a slow disk delays no ban.

mod carry;
mod file;
mod lock;
mod query;
mod schema;
mod worker;
mod write;

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::PathBuf;

use logline::{SessionId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::connections::Session;
use crate::engine::{Ban, Bans, CounterKey, CounterRow, End};
use crate::jail::JailName;
use crate::subject::Subject;
use crate::tail::Cursor;

pub use query::{Reader, RecordFilter, StoredBan};
pub use worker::Store;

/// Where the engine's seed stands in its state.
pub const SEED: &str = "seed";

/// What is written in one transaction.
#[derive(Debug, Default)]
pub struct Batch {
    /// What happened to bans, in order.
    pub bans: Vec<BanChange>,
    /// Counters that changed; none for one that is gone.
    pub counters: Vec<(CounterKey, Option<CounterRow>)>,
    /// Rows of the engine's state that changed; none for one that is gone.
    pub state: Vec<(String, Option<String>)>,
    /// Sessions that opened or ended, by source.
    pub sessions: Vec<(String, SessionId, Option<Session>)>,
    /// How far each source was read.
    pub cursors: Vec<(String, Vec<Position>)>,
    /// It holds all that is known, for a database that has nothing.
    pub is_all: bool,
}

/// What happened to a ban.
#[derive(Clone, Debug, PartialEq)]
pub enum BanChange {
    /// It was made.
    Made(Ban),
    /// It is over.
    Ended {
        /// Whose.
        subject: Subject,
        /// By which jail.
        jail: JailName,
        /// Why.
        why: End,
        /// When.
        at: Timestamp,
    },
}

/// All that was saved.
#[derive(Debug, Default)]
pub struct Saved {
    /// Bans in force, and former ones that make a later one longer.
    pub bans: Bans,
    /// Counters in flight.
    pub counters: Vec<(CounterKey, CounterRow)>,
    /// The engine's state.
    pub state: Vec<(String, String)>,
    /// Open sessions, by source.
    pub sessions: Vec<(String, SessionId, Session)>,
    /// How far each source was read.
    pub cursors: Vec<(String, Position)>,
}

impl Saved {
    /// True where nothing was saved.
    pub fn is_empty(&self) -> bool {
        let Saved { bans, counters, state, sessions, cursors } = self;
        bans.is_empty()
            && counters.is_empty()
            && state.is_empty()
            && sessions.is_empty()
            && cursors.is_empty()
    }

    /// What the engine's hashes begin with: the one that was saved, or a new one.
    pub fn seed(&self) -> u64 {
        let saved = self.state.iter().find(|(key, _)| key == SEED);
        saved
            .and_then(|(_, seed)| seed.parse().ok())
            .unwrap_or_else(|| RandomState::new().build_hasher().finish())
    }
}

/// How far a source was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Position {
    /// In one of its files.
    File(Cursor),
    /// In the journal.
    Journal(crate::journal::Position),
}

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Its directory cannot be made.
    #[error("cannot make the directory of the database {}", path.display())]
    Directory {
        /// The database.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It cannot be opened or read.
    #[error("cannot use the database {}; may this user write its directory? set another `database`: {why}", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// Why not. No source: its words hold those of its own cause already.
        why: rusqlite::Error,
    },
    /// Another watcher writes it: each would undo what the other does.
    #[error("another watcher uses the database {}; stop it, or set another `database`", .0.display())]
    InUse(PathBuf),
    /// A newer version wrote it.
    #[error("the database {} was written by a newer version (layout {found}, this one knows {known})", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// The layout it has.
        found: i64,
        /// The latest layout that is known.
        known: i64,
    },
}

#[cfg(test)]
mod tests;
