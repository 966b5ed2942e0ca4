//! Gathers what is to be remembered and hands it to the store, in one transaction with the cursors.

mod lines;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::config::{Origin, Source};
use crate::engine::{Ban, Lease, Output};
use crate::store::{BanChange, Batch, Position, SEED, Store};
use crate::subject::Subject;
use crate::watch::Watch;
use lines::{Identity, Lines, identity};

/// So long what happened is gathered before it is written, where there is a ban in it or a source that cannot be read
/// again: a kill loses no more of those.
const GATHER_MIN: Duration = Duration::from_millis(100);

/// Else longer, where writing takes long: what a kill loses is read again, as the cursors are as old as all the rest.
const GATHER_MAX: Duration = Duration::from_secs(2);

/// For so many times as long as the last writing took; what changes often is then written once.
const GATHER_TIMES: u32 = 20;

/// So many bans may wait for the disk with the lines that led to them. Those that come while so many wait are saved
/// without: a storm that the disk cannot keep up with takes some 100 bytes of memory a ban, and not half a kilobyte.
const WITH_LINES_MAX: usize = 100_000;

pub(super) struct Saver {
    store: Store,
    seed: u64,
    pending: Batch,
    lines: Lines,
    due: Option<Instant>,
    gather: Duration,
}

impl Saver {
    pub(super) fn new(store: Store, seed: u64) -> Self {
        let pending = Batch { state: vec![seed_row(seed)], ..Batch::default() };
        Saver { store, seed, pending, lines: Lines::default(), due: None, gather: GATHER_MIN }
    }

    /// Something happened that is to be remembered.
    pub(super) fn touch(&mut self) {
        self.due.get_or_insert_with(|| Instant::now() + self.gather);
    }

    /// Something happened that no line will tell again.
    fn hurry(&mut self) {
        let soon = Instant::now() + GATHER_MIN;
        self.due = Some(self.due.map_or(soon, |due| due.min(soon)));
    }

    /// These things happened to bans.
    pub(super) fn note(&mut self, outputs: impl Iterator<Item = Output>) {
        self.hurry();
        let with_lines = self.pending.bans.len() + self.store.waiting() < WITH_LINES_MAX;
        let Saver { pending, lines, .. } = self;
        pending.bans.extend(outputs.filter_map(|output| match output {
            Output::Banned(ban) if with_lines => {
                lines.keep(&ban);
                Some(BanChange::Made(ban))
            }
            Output::Banned(ban) => Some(BanChange::Made(Ban { evidence: Vec::new(), ..ban })),
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
        self.due.is_some_and(|due| due <= Instant::now()) || self.store.wants_all()
    }

    /// Hands everything over. Where the disk does not keep up, it is kept and goes with the next.
    pub(super) fn save(
        &mut self,
        watch: &mut Watch,
        cursors: Vec<(String, Vec<Position>)>,
        sources: &[Source],
    ) {
        let began = Instant::now();
        if self.store.take_wants_all() {
            self.tell_all(watch);
        }
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
        let can_be_read_again = |source: &Source| match source.origin {
            Origin::File(_) | Origin::Journal(_) => true,
            Origin::Syslog(_) | Origin::Input => false,
        };
        self.gather = if sources.iter().all(can_be_read_again) {
            pause(began.elapsed() + self.store.last_write())
        } else {
            GATHER_MIN
        };
        if let Err(kept) = self.store.write(batch) {
            self.pending = *kept;
            self.touch();
        }
    }

    /// The database is a new one, or could not be written for long: it gets all that is known.
    fn tell_all(&mut self, watch: &mut Watch) {
        tracing::info!("the database can be written again, and gets all that is known");
        let lines = &self.lines;
        let made = |(subject, lease): (&Subject, &Lease)| {
            let evidence = lines.behind(subject, lease);
            BanChange::Made(Ban { subject: subject.clone(), lease: lease.clone(), evidence })
        };
        let bans = std::mem::take(&mut self.pending.bans);
        let known: HashSet<Identity> = bans.iter().filter_map(identity_of).collect();
        // A ban that was just made comes with its lines.
        let rest =
            watch.engine.leases().filter(|(subject, lease)| !known.contains(&identity(subject, lease)));
        self.pending.bans = rest.map(made).collect();
        self.pending.bans.extend(bans);
        self.pending.is_all = true;
        self.pending.state.push(seed_row(self.seed));
        watch.engine.everything_changed();
        watch.interpreters.iter_mut().for_each(|interpreter| interpreter.connections.everything_changed());
    }

    /// Has the store call `done` when all that was handed over is written.
    pub(super) fn flush(&self, done: impl FnOnce() + Send + 'static) {
        self.store.flush(done);
    }

    pub(super) fn failures(&self) -> u64 {
        self.store.failures()
    }
}

fn seed_row(seed: u64) -> (String, Option<String>) {
    (SEED.to_owned(), Some(seed.to_string()))
}

fn identity_of(change: &BanChange) -> Option<Identity> {
    match change {
        BanChange::Made(ban) => Some(identity(&ban.subject, &ban.lease)),
        BanChange::Ended { .. } => None,
    }
}

/// How long to gather before the next writing, where the last one took so long.
fn pause(took: Duration) -> Duration {
    took.saturating_mul(GATHER_TIMES).clamp(GATHER_MIN, GATHER_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writing_takes_a_twentieth_of_the_time_and_never_waits_for_long() {
        let check = |took_ms, expected_ms| {
            assert_eq!(pause(Duration::from_millis(took_ms)), Duration::from_millis(expected_ms));
        };
        check(0, 100);
        check(5, 100);
        check(30, 600);
        check(10_000, 2000);
    }
}
