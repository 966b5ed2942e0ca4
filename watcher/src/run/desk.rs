//! Where news goes out: to live views and to hooks. Nobody is waited for.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use logline::Timestamp;

use crate::control::Live;
use crate::engine::Output;
use crate::news::{self, Item, Topic};
use crate::notice::Notice;
use crate::run::hooks::Hooks;

/// Numbers of what happened by hundreds are told so often.
const GATHERED_FOR: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Desk {
    live: Live,
    pub(super) hooks: Hooks,
    /// How often what happened by hundreds, since when numbers were told last.
    gathered: BTreeMap<Topic, u64>,
    due: Option<Instant>,
}

impl Desk {
    pub(super) fn new(live: Live, hooks: Hooks) -> Self {
        Desk { live, hooks, gathered: BTreeMap::new(), due: None }
    }

    /// What the engine said.
    pub(super) fn outputs(&mut self, outputs: &[Output], now: Timestamp) {
        if self.is_heard() {
            news::of_outputs(outputs, now).iter().for_each(|item| self.tell(item));
        }
    }

    /// What the engine said of so many that a number of them is told, soon.
    pub(super) fn gather(&mut self, outputs: &[Output]) {
        for (topic, count) in news::counted(outputs) {
            *self.gathered.entry(topic).or_default() += count;
            self.due.get_or_insert_with(|| Instant::now() + GATHERED_FOR);
        }
    }

    /// When [`Desk::tell_gathered`] has something to tell.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn tell_gathered(&mut self, at: Instant, now: Timestamp) {
        if self.due.is_none_or(|due| due > at) {
            return;
        }
        self.due = None;
        for (topic, count) in std::mem::take(&mut self.gathered) {
            let item = Item::of_many(topic, count, now);
            tracing::info!("{}", item.news.text);
            self.tell(&item);
        }
    }

    /// Something about a source.
    pub(super) fn notice(&mut self, notice: &Notice, now: Timestamp) {
        if self.is_heard() {
            self.tell(&Item::of_notice(notice, now));
        }
    }

    pub(super) fn tell(&mut self, item: &Item) {
        if self.live.is_heard() {
            self.live.tell(&item.news);
        }
        self.hooks.tell(item);
    }

    fn is_heard(&self) -> bool {
        self.live.is_heard() || self.hooks.any()
    }
}
