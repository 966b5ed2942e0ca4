//! Where news goes out: to live views and to hooks. Nobody is waited for.

use logline::Timestamp;

use crate::control::Live;
use crate::engine::Output;
use crate::news::{self, Item};
use crate::notice::Notice;

#[derive(Debug)]
pub(super) struct Desk {
    live: Live,
}

impl Desk {
    pub(super) fn new(live: Live) -> Self {
        Desk { live }
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
        self.live.tell(&item.news);
    }

    fn is_heard(&self) -> bool {
        self.live.is_heard()
    }
}
