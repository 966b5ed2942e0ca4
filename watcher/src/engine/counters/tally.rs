//! The tables of one jail: who offends, and which networks have members that were banned.

use crate::engine::counters::What;
use crate::engine::table::{Shape, Table};
use crate::jail::{Jail, Method};

/// A bucket shows no more lines than this.
const BUCKET_LINES_MAX: usize = 16;

/// The tables of one jail.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) offences: Counted,
    pub(super) members: Counted,
}

#[derive(Debug)]
pub(super) struct Counted {
    pub(super) table: Table,
    /// Keys that changed since it was asked.
    pub(super) changed: Vec<u128>,
    /// Keys of which the database has a row that is to go.
    pub(super) gone: Vec<u128>,
}

impl Tally {
    pub(super) fn new(jail: &Jail) -> Self {
        // Without fingerprints a campaign needs twice as many.
        let times = if jail.campaign.is_empty() { jail.patience } else { jail.patience.max(2.0) };
        let thresholds = jail.windows().map(|window| f64::from(window.threshold) * times);
        let most = thresholds.fold(1.0, f64::max).ceil().clamp(1.0, 65_535.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 1 and 65,535, as the line above says"
        )]
        // A campaign goes on while it is too large, so that what makes it too large is kept with it.
        let below = if jail.campaign.is_empty() { (most as usize - 1).max(1) } else { most as usize };
        let level = jail.method == Method::Bucket;
        // Twice what the windows need, for lines that come in out of order.
        let hits = if level { below.min(BUCKET_LINES_MAX) } else { 2 * below };
        let (value, mark) = (jail.counts_differences(), jail.marks());
        let members = jail.rollup.members.max(2) as usize - 1;
        Tally {
            offences: Counted::new(Shape { value, mark, level, hits }),
            members: Counted::new(Shape { value: true, mark: false, level: false, hits: members }),
        }
    }

    pub(super) fn of(&self, what: What) -> &Counted {
        match what {
            What::Offence => &self.offences,
            What::Member => &self.members,
        }
    }

    pub(super) fn of_mut(&mut self, what: What) -> &mut Counted {
        match what {
            What::Offence => &mut self.offences,
            What::Member => &mut self.members,
        }
    }
}

impl Counted {
    pub(super) fn new(shape: Shape) -> Self {
        Counted { table: Table::new(shape), changed: Vec::new(), gone: Vec::new() }
    }

    pub(super) fn remove(&mut self, key: u128, saving: bool) -> bool {
        let Some(stored) = self.table.remove(key) else { return false };
        if stored && saving {
            self.gone.push(key);
        }
        true
    }
}
