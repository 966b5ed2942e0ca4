//! Gathers what is to be remembered and hands it to the store, in one transaction with the cursors.

use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use crate::config::Source;
use crate::engine::Output;
use crate::store::{BanChange, Batch, Position, SEED, Store};
use crate::watch::Watch;

/// So long what happened is gathered before it is written: a kill loses no more, and what it loses is read again.
const GATHER: Duration = Duration::from_millis(100);

pub(super) struct Saver {
    store: Store,
    pending: Batch,
    due: Option<Instant>,
}

impl Saver {
    pub(super) fn new(store: Store, seed: u64) -> Self {
        let state = vec![(SEED.to_owned(), Some(seed.to_string()))];
        Saver { store, pending: Batch { state, ..Batch::default() }, due: None }
    }

    /// Something happened that is to be remembered.
    pub(super) fn touch(&mut self) {
        self.due.get_or_insert_with(|| Instant::now() + GATHER);
    }

    /// These things happened to bans.
    pub(super) fn note(&mut self, outputs: Vec<Output>) {
        self.touch();
        self.pending.bans.extend(outputs.into_iter().filter_map(|output| match output {
            Output::Banned(ban) => Some(BanChange::Made(ban)),
            Output::Ended { subject, jail, why, at } => Some(BanChange::Ended { subject, jail, why, at }),
            Output::Enforce { .. }
            | Output::Admit { .. }
            | Output::Spared { .. }
            | Output::Asked(_)
            | Output::Allowed { .. }
            | Output::Disallowed { .. }
            | Output::Zone(_) => None,
        }));
    }

    /// When [`Saver::save`] is to be called.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn is_due(&self) -> bool {
        self.due.is_some_and(|due| due <= Instant::now())
    }

    /// Hands everything over. Where the disk does not keep up, it is kept and goes with the next.
    pub(super) fn save(
        &mut self,
        watch: &mut Watch,
        cursors: Vec<(String, Vec<Position>)>,
        sources: &[Source],
    ) {
        let mut batch = std::mem::take(&mut self.pending);
        batch.counters.extend(watch.engine.take_counter_changes());
        batch.state.extend(watch.engine.take_state_changes());
        for (source, interpreter) in sources.iter().zip(&mut watch.interpreters) {
            let changes = interpreter.connections.take_changes();
            batch
                .sessions
                .extend(changes.into_iter().map(|(pid, session)| (source.name.clone(), pid, session)));
        }
        batch.cursors = cursors;
        self.due = None;
        if let Err(kept) = self.store.write(batch) {
            self.pending = *kept;
            self.touch();
        }
    }

    /// Asks the store to answer when all that was handed over is written.
    pub(super) fn flush(&self, done: SyncSender<()>) {
        self.store.flush(done);
    }

    pub(super) fn failures(&self) -> u64 {
        self.store.failures()
    }
}
