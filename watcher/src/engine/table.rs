//! A compact table: for each key a short list of hits, in blocks of fixed size.
//!
//! A million addresses are counted in less than 100 MB: a list lives in one block of `u32` words, in the smallest size
//! that holds it, and the index is four bytes a key beside them. Nothing is allocated for an event but, now and then, a
//! chunk of blocks. The order of the blocks depends on nothing but what was stored before, so that what is evicted is
//! the same in every run, whatever the seed of the hash.

mod blocks;
mod leaving;

use std::hash::BuildHasher as _;

use hashbrown::HashTable;

use blocks::{Blocks, HEADER_WORDS, LENGTH, size_of_block};

/// One thing that was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    /// When, in milliseconds since 1970.
    pub(super) at: u64,
    /// Number of its line, modulo 2^24.
    pub(super) line: u32,
    /// How much it counts.
    pub(super) weight: u8,
    /// What makes it different from others, where differences are counted; 0 differs from all.
    pub(super) value: u32,
    /// What it can be taken away by, or told apart by; 0 where there is nothing.
    pub(super) mark: u32,
}

/// What a table keeps of a hit, and of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) value: bool,
    pub(super) mark: bool,
    /// Whether a list has the level of a bucket beside it.
    pub(super) level: bool,
    /// The most hits of one key.
    pub(super) hits: usize,
}

/// The low half of the word behind the key is the length of the list; above it stand two flags.
const LENGTH_MASK: u32 = 0xffff;
/// Something changed since it was asked.
const CHANGED: u32 = 1 << 31;
/// The database has a row of this key.
const STORED: u32 = 1 << 30;

/// Lists up to this length have a block of their own size; each further size is three times the one before.
const SMALLEST: usize = 4;

#[derive(Debug)]
pub(super) struct Table {
    shape: Shape,
    /// Words before the first hit, and words of a hit.
    head: usize,
    width: usize,
    index: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
    blocks: Blocks,
    /// Where the search for what goes begins: a size, and a number.
    hand: (usize, usize),
}

/// Where a key's list stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Handle(u32);

impl Table {
    pub(super) fn new(shape: Shape) -> Self {
        let most = shape.hits.clamp(1, LENGTH_MASK as usize);
        let sizes = std::iter::successors(Some(SMALLEST), |size| size.checked_mul(3));
        let sizes = sizes.take_while(|size| *size < most).chain([most]);
        let head = HEADER_WORDS + if shape.level { 2 } else { 0 };
        let width = 2 + usize::from(shape.value) + usize::from(shape.mark);
        let blocks = Blocks::new(sizes, head, width);
        let hasher = foldhash::fast::RandomState::default();
        Table { shape, head, width, index: HashTable::new(), hasher, blocks, hand: (0, 0) }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// The most hits of one key.
    pub(super) fn most(&self) -> usize {
        self.blocks.most()
    }

    pub(super) fn find(&self, key: u128) -> Option<Handle> {
        let found = self.index.find(self.hasher.hash_one(key), |handle| self.blocks.key(*handle) == key);
        found.copied().map(Handle)
    }

    /// Reads a list, the oldest hit first.
    pub(super) fn load(&self, handle: Handle, into: &mut Vec<Hit>) {
        into.clear();
        let block = self.blocks.get(handle.0);
        let &[length, era, ..] = block.get(LENGTH..).unwrap_or_default() else { return };
        let length = (length & LENGTH_MASK) as usize;
        let words = block.get(self.head..).unwrap_or_default();
        into.extend(words.chunks_exact(self.width).take(length).map(|hit| self.hit(hit)));
        // Each stamp is the low half of a time; the last one's high half is known, and the others are less than
        // 2^32 ms older.
        let last = into.last().map_or(0, |hit| (u64::from(era) << 32) | hit.at);
        for hit in into {
            hit.at = last.saturating_sub(u64::from(low(last).wrapping_sub(low(hit.at))));
        }
    }

    /// How full a key's bucket is.
    pub(super) fn level(&self, handle: Handle) -> u64 {
        match self.blocks.get(handle.0).get(HEADER_WORDS..HEADER_WORDS + 2) {
            Some(&[high, low]) if self.shape.level => (u64::from(high) << 32) | u64::from(low),
            _ => 0,
        }
    }

    /// Writes a list; an empty one is not kept: that is what [`Table::remove`] is for. Gives whether this is its first
    /// change since it was asked.
    pub(super) fn store(&mut self, key: u128, handle: Option<Handle>, hits: &[Hit], level: u64) -> bool {
        let Some(last) = hits.last() else { return false };
        let wanted = self.blocks.size_for(hits.len());
        let (place, flags) = match handle {
            Some(Handle(old)) if size_of_block(old) >= wanted => (old, self.flags(old)),
            Some(Handle(old)) => {
                let (new, flags) = (self.blocks.take(wanted, key), self.flags(old));
                self.replace(key, new);
                self.blocks.free(old);
                (new, flags)
            }
            None => {
                let new = self.blocks.take(wanted, key);
                let Table { index, hasher, blocks, .. } = self;
                let rehash = |handle: &u32| hasher.hash_one(blocks.key(*handle));
                index.insert_unique(hasher.hash_one(key), new, rehash);
                (new, 0)
            }
        };
        let length = u32::try_from(hits.len()).unwrap_or(LENGTH_MASK) | flags | CHANGED;
        let (head, width, shape) = (self.head, self.width, self.shape);
        let block = self.blocks.get_mut(place);
        if let Some(header) = block.get_mut(LENGTH..HEADER_WORDS) {
            header.copy_from_slice(&[length, low(last.at >> 32)]);
        }
        if shape.level
            && let Some(words) = block.get_mut(HEADER_WORDS..head)
        {
            words.copy_from_slice(&[low(level >> 32), low(level)]);
        }
        let words = block.get_mut(head..).unwrap_or_default();
        for (words, hit) in words.chunks_exact_mut(width).zip(hits) {
            write_hit(words, *hit, shape);
        }
        flags & CHANGED == 0
    }

    /// Removes a key, and gives whether the database has it; none where it was not there.
    pub(super) fn remove(&mut self, key: u128) -> Option<bool> {
        let Table { index, hasher, blocks, .. } = self;
        let found = index.find_entry(hasher.hash_one(key), |handle| blocks.key(*handle) == key);
        let (handle, _) = found.ok()?.remove();
        let stored = self.flags(handle) & STORED != 0;
        self.blocks.free(handle);
        Some(stored)
    }

    /// Its change was taken note of: the next one is its first again. `stored` says whether the database has it now.
    pub(super) fn noted(&mut self, handle: Handle, stored: bool) {
        if let Some(word) = self.blocks.get_mut(handle.0).get_mut(LENGTH) {
            *word = (*word & LENGTH_MASK) | if stored { STORED } else { 0 };
        }
    }

    /// Whether the database has a row of this key.
    pub(super) fn is_stored(&self, handle: Handle) -> bool {
        self.flags(handle.0) & STORED != 0
    }

    /// How much memory it takes, index and all.
    pub(super) fn size_bytes(&self) -> usize {
        self.index.allocation_size() + self.blocks.size_bytes()
    }

    fn hit(&self, words: &[u32]) -> Hit {
        let word = |at: usize| words.get(at).copied().unwrap_or(0);
        let value = if self.shape.value { word(2) } else { 0 };
        let mark = if self.shape.mark { word(2 + usize::from(self.shape.value)) } else { 0 };
        let [weight, ..] = word(1).to_le_bytes();
        Hit { at: u64::from(word(0)), line: word(1) >> 8, weight, value, mark }
    }

    fn flags(&self, handle: u32) -> u32 {
        self.blocks.get(handle).get(LENGTH).map_or(0, |word| word & !LENGTH_MASK)
    }

    fn replace(&mut self, key: u128, new: u32) {
        let Table { index, hasher, blocks, .. } = self;
        let found = index.find_mut(hasher.hash_one(key), |handle| blocks.key(*handle) == key);
        if let Some(handle) = found {
            *handle = new;
        }
    }
}

fn write_hit(words: &mut [u32], hit: Hit, shape: Shape) {
    let all = [low(hit.at), (hit.line << 8) | u32::from(hit.weight)];
    let more = [(shape.value, hit.value), (shape.mark, hit.mark)];
    let more = more.into_iter().filter(|(kept, _)| *kept).map(|(_, word)| word);
    words.iter_mut().zip(all.into_iter().chain(more)).for_each(|(word, new)| *word = new);
}

fn low(number: u64) -> u32 {
    u32::try_from(number & 0xffff_ffff).unwrap_or(0)
}

#[cfg(test)]
mod tests;
