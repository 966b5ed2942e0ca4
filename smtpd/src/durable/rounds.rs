//! One sync for many: whoever asks while a directory is being synced shares the next sync with all others who do.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A directory whose names are made durable in rounds.
#[derive(Debug)]
pub struct Rounds {
    directory: PathBuf,
    state: Mutex<State>,
    is_over: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The last round that began; its number is its place.
    begun: u64,
    /// The last round that is over.
    over: u64,
    is_running: bool,
    /// No round up to this one is known to have succeeded. Who was in a good one before a bad one and wakes late is told
    /// that it failed: what was safe is then done again, which harms nobody.
    failed_through: u64,
}

impl Rounds {
    /// The rounds of `directory`.
    pub fn new(directory: &Path) -> Self {
        Rounds { directory: directory.to_owned(), state: Mutex::default(), is_over: Condvar::new() }
    }

    /// Makes durable all names that stand in the directory now. Blocks.
    ///
    /// # Errors
    /// Where the directory cannot be opened or synced.
    pub fn sync(&self) -> io::Result<()> {
        self.sync_by(|| File::open(&self.directory)?.sync_all())
    }

    fn sync_by(&self, sync: impl Fn() -> io::Result<()>) -> io::Result<()> {
        let mut state = self.lock();
        // A round that runs already may have begun before the name was there.
        let mine = state.begun + 1;
        while state.over < mine {
            if state.is_running {
                state = self.is_over.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.is_running = true;
            state.begun += 1;
            let round = state.begun;
            drop(state);
            let synced = sync();
            state = self.lock();
            state.is_running = false;
            state.over = round;
            self.is_over.notify_all();
            if let Err(error) = synced {
                state.failed_through = round;
                return Err(error);
            }
        }
        if mine <= state.failed_through {
            return Err(io::Error::other("the sync that others waited for failed"));
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic is done while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn whoever_asks_is_answered_by_a_sync_that_began_later_and_shares_it() {
        const THREADS: u32 = 16;
        const EACH: u32 = 50;
        let rounds = Rounds::new(Path::new("."));
        let (begun, ended) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        let before = begun.load(Ordering::SeqCst);
                        let sync = || {
                            begun.fetch_add(1, Ordering::SeqCst);
                            std::thread::yield_now();
                            ended.fetch_add(1, Ordering::SeqCst);
                            Ok(())
                        };
                        rounds.sync_by(sync).unwrap();
                        assert!(
                            ended.load(Ordering::SeqCst) > before,
                            "a sync that began earlier was enough"
                        );
                    }
                });
            }
        });
        assert!(begun.load(Ordering::SeqCst) <= THREADS * EACH);
    }

    #[test]
    fn all_who_shared_a_sync_hear_that_it_failed() {
        let rounds = Rounds::new(Path::new("."));
        let failing = || Err(io::Error::other("no"));
        assert!(rounds.sync_by(failing).is_err());
        assert!(rounds.sync_by(|| Ok(())).is_ok());
        let directory = tempfile::tempdir().unwrap();
        Rounds::new(directory.path()).sync().unwrap();
        assert!(Rounds::new(&directory.path().join("none")).sync().is_err());
    }
}
