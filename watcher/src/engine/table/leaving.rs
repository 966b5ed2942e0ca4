//! Who leaves a table: whose window is over, and, where it is full, whoever matters least.

use crate::engine::table::blocks::{LENGTH, handle};
use crate::engine::table::{LENGTH_MASK, Table};

/// So many neighbours are looked at to find the one that goes.
const CANDIDATES: usize = 8;

impl Table {
    /// Removes one of the next few keys: one whose window is over, else the one with the fewest hits, of these the one
    /// that offended least lately. The hand goes round the blocks. Gives the key, and whether the database has it.
    pub(in crate::engine) fn evict(&mut self, now: u64, within: u64) -> Option<(u128, bool)> {
        let mut candidates = [None; CANDIDATES];
        for place in &mut candidates {
            *place = self.next_used();
        }
        let worth = |handle: u32| {
            let (length, last) = self.standing(handle);
            (last + within > now, length, last)
        };
        let poorest = candidates.into_iter().flatten().min_by_key(|handle| worth(*handle))?;
        let key = self.blocks.key(poorest);
        Some((key, self.remove(key)?))
    }

    /// Removes keys whose window is over, a part of the table at a time, and tells which, and whether the database has
    /// them.
    pub(in crate::engine) fn sweep(
        &mut self,
        now: u64,
        within: u64,
        part: usize,
        mut gone: impl FnMut(u128, bool),
    ) {
        for _ in 0..part.min(self.len()) {
            let Some(handle) = self.next_used() else { return };
            let (_, last) = self.standing(handle);
            if last + within <= now {
                let key = self.blocks.key(handle);
                if let Some(stored) = self.remove(key) {
                    gone(key, stored);
                }
            }
        }
    }

    /// Every key, in the order of the blocks.
    pub(in crate::engine) fn keys(&self) -> impl Iterator<Item = u128> + '_ {
        let used = self.blocks.handles().filter(|handle| self.standing(*handle).0 > 0);
        used.map(|handle| self.blocks.key(handle))
    }

    fn next_used(&mut self) -> Option<u32> {
        let (blocks, sizes) = self.blocks.extent();
        for _ in 0..=blocks + sizes {
            let (size, number) = self.hand;
            match self.blocks.made(size) {
                None => self.hand = (0, 0),
                Some(made) if number >= made => self.hand = (size + 1, 0),
                Some(_) => {
                    self.hand.1 += 1;
                    let handle = handle(size, number);
                    if self.standing(handle).0 > 0 {
                        return Some(handle);
                    }
                }
            }
        }
        None
    }

    /// How many hits a block holds, and when the last one was; none where the block is free.
    fn standing(&self, handle: u32) -> (usize, u64) {
        let block = self.blocks.get(handle);
        let &[length, era, ..] = block.get(LENGTH..).unwrap_or_default() else { return (0, 0) };
        let length = (length & LENGTH_MASK) as usize;
        let last = length.checked_sub(1).map(|before| self.head + before * self.width);
        let stamp = last.and_then(|at| block.get(at)).copied().unwrap_or(0);
        (length, (u64::from(era) << 32) | u64::from(stamp))
    }
}
