//! Where news goes out: to live views and to hooks. Nobody is waited for.

use logline::Timestamp;

use crate::control::Live;
use crate::engine::Output;
use crate::news::{self, Item};
use crate::notice::Notice;
use crate::run::hooks::Hooks;

#[derive(Debug)]
pub(super) struct Desk {
    live: Live,
    pub(super) hooks: Hooks,
}

impl Desk {
    pub(super) fn new(live: Live, hooks: Hooks) -> Self {
        Desk { live, hooks }
    }

    /// What the engine said.
    pub(super) fn outputs(&mut self, outputs: &[Output], now: Timestamp) {
        if self.is_heard() {
            news::of_outputs(outputs, now).iter().for_each(|item| self.tell(item));
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
