//! A compact table: for each key a short list of hits, in blocks of fixed size.
//!
//! A million addresses are counted in less than 100 MB: a list lives in one block of `u32` words, in the smallest size
//! that holds it, and the index is four bytes a key beside them. Nothing is allocated for an event but, now and then, a
//! chunk of blocks. The order of the blocks depends on nothing but what was stored before, so that what is evicted is
//! the same in every run, whatever the seed of the hash.

use std::hash::BuildHasher as _;

use hashbrown::HashTable;

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

/// Key, length and flags, era.
const HEADER_WORDS: usize = 6;
const LENGTH: usize = 4;
const LENGTH_MASK: u32 = 0xffff;
const CHANGED: u32 = 1 << 31;

/// Lists up to this length have a block of their own size; each further size is three times the one before.
const SMALLEST: usize = 4;

/// A chunk has about so many words: 256 KiB.
const CHUNK_WORDS: usize = 65_536;

/// A handle is the class of a block and its number.
const CLASS_SHIFT: u32 = 28;
const NUMBER_MASK: u32 = (1 << CLASS_SHIFT) - 1;

/// So many neighbours are looked at to find the one that goes.
const CANDIDATES: usize = 8;

#[derive(Debug)]
pub(super) struct Table {
    shape: Shape,
    index: HashTable<u32>,
    hasher: foldhash::fast::RandomState,
    classes: Vec<Class>,
    /// Where the search for what goes begins.
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
        let words = HEADER_WORDS + if shape.level { 2 } else { 0 };
        let width = 2 + usize::from(shape.value) + usize::from(shape.mark);
        let classes = sizes.map(|hits| Class::new(hits, words + hits * width)).collect();
        let hasher = foldhash::fast::RandomState::default();
        Table { shape, index: HashTable::new(), hasher, classes, hand: (0, 0) }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// The most hits of one key.
    pub(super) fn most(&self) -> usize {
        self.classes.last().map_or(0, |class| class.hits)
    }

    pub(super) fn find(&self, key: u128) -> Option<Handle> {
        let found = self.index.find(self.hasher.hash_one(key), |handle| self.key(*handle) == key);
        found.copied().map(Handle)
    }

    /// Reads a list, the oldest hit first.
    pub(super) fn load(&self, handle: Handle, into: &mut Vec<Hit>) {
        into.clear();
        let block = self.block(handle.0);
        let &[length, era, ..] = block.get(LENGTH..).unwrap_or_default() else { return };
        let length = (length & LENGTH_MASK) as usize;
        let words = block.get(self.head()..).unwrap_or_default();
        for hit in words.chunks_exact(self.width()).take(length) {
            into.push(self.hit(hit));
        }
        // Each stamp is the low half of a time; the last one's high half is known, and the others are less than
        // 2^32 ms older.
        let last = into.last().map_or(0, |hit| (u64::from(era) << 32) | hit.at);
        for hit in into {
            hit.at = last.saturating_sub(u64::from(low(last).wrapping_sub(low(hit.at))));
        }
    }

    /// How full a key's bucket is.
    pub(super) fn level(&self, handle: Handle) -> u64 {
        match self.block(handle.0).get(HEADER_WORDS..HEADER_WORDS + 2) {
            Some(&[high, low]) if self.shape.level => (u64::from(high) << 32) | u64::from(low),
            _ => 0,
        }
    }

    /// Writes a list; an empty one removes the key. Gives whether this is its first change since it was saved.
    pub(super) fn store(&mut self, key: u128, handle: Option<Handle>, hits: &[Hit], level: u64) -> bool {
        let Some(last) = hits.last() else {
            return handle.is_some() && self.remove(key);
        };
        let wanted = self.classes.iter().position(|class| hits.len() <= class.hits).unwrap_or_default();
        let block = match handle {
            Some(Handle(old)) if class_of(old) >= wanted => old,
            Some(Handle(old)) => {
                let new = self.allocate(wanted, key);
                let flags = self.block(old).get(LENGTH).map_or(0, |word| word & CHANGED);
                self.write(new, LENGTH, &[flags]);
                self.replace(key, new);
                self.free(old);
                new
            }
            None => {
                let new = self.allocate(wanted, key);
                let Table { index, hasher, classes, .. } = self;
                let rehash = |handle: &u32| hasher.hash_one(key_at(classes, *handle));
                index.insert_unique(hasher.hash_one(key), new, rehash);
                new
            }
        };
        let first = self.block(block).get(LENGTH).is_none_or(|word| word & CHANGED == 0);
        let length = u32::try_from(hits.len()).unwrap_or(LENGTH_MASK) | CHANGED;
        self.write(block, LENGTH, &[length, low(last.at >> 32)]);
        if self.shape.level {
            self.write(block, HEADER_WORDS, &[low(level >> 32), low(level)]);
        }
        let (head, width, shape) = (self.head(), self.width(), self.shape);
        let words = self.block_mut(block).get_mut(head..).unwrap_or_default();
        for (words, hit) in words.chunks_exact_mut(width).zip(hits) {
            let all = [low(hit.at), (hit.line << 8) | u32::from(hit.weight)];
            let more = [(shape.value, hit.value), (shape.mark, hit.mark)];
            let more = more.into_iter().filter(|(kept, _)| *kept).map(|(_, word)| word);
            words.iter_mut().zip(all.into_iter().chain(more)).for_each(|(word, new)| *word = new);
        }
        first
    }

    /// Removes a key; false where it was not there.
    pub(super) fn remove(&mut self, key: u128) -> bool {
        let Table { index, hasher, classes, .. } = self;
        let found = index.find_entry(hasher.hash_one(key), |handle| key_at(classes, *handle) == key);
        let Ok(entry) = found else { return false };
        let (handle, _) = entry.remove();
        self.free(handle);
        true
    }

    /// The next change of this key is its first again.
    pub(super) fn saved(&mut self, handle: Handle) {
        let flags = self.block(handle.0).get(LENGTH).map_or(0, |word| word & !CHANGED);
        self.write(handle.0, LENGTH, &[flags]);
    }

    /// Removes one of the next few keys: one whose window is over, else the one with the fewest hits, of these the one
    /// that offended least lately. The hand goes round the blocks.
    pub(super) fn evict(&mut self, now: u64, within: u64) -> Option<u128> {
        let mut candidates = [None; CANDIDATES];
        for place in &mut candidates {
            *place = self.next_used();
        }
        let worth = |handle: u32| {
            let (length, last) = self.standing(handle);
            (last + within > now, length, last)
        };
        let poorest = candidates.into_iter().flatten().min_by_key(|handle| worth(*handle))?;
        let key = self.key(poorest);
        self.remove(key);
        Some(key)
    }

    /// Removes keys whose window is over, a part of the table at a time, and tells which.
    pub(super) fn sweep(&mut self, now: u64, within: u64, part: usize, mut gone: impl FnMut(u128)) {
        for _ in 0..part.min(self.len()) {
            let Some(handle) = self.next_used() else { return };
            let (_, last) = self.standing(handle);
            if last + within <= now {
                let key = self.key(handle);
                self.remove(key);
                gone(key);
            }
        }
    }

    /// Every key, in the order of the blocks.
    pub(super) fn keys(&self) -> impl Iterator<Item = u128> + '_ {
        let classes = self.classes.iter().enumerate();
        let handles = classes.flat_map(|(index, class)| (0..class.made).map(move |n| handle(index, n)));
        handles.filter(|handle| self.standing(*handle).0 > 0).map(|handle| self.key(handle))
    }

    /// How much memory it takes, index and all.
    pub(super) fn size_bytes(&self) -> usize {
        let words: usize = self.classes.iter().map(|class| class.chunks.len() * class.chunk_words()).sum();
        let free: usize = self.classes.iter().map(|class| class.free.capacity()).sum();
        self.index.allocation_size() + (words + free) * size_of::<u32>()
    }

    fn next_used(&mut self) -> Option<u32> {
        let blocks: usize = self.classes.iter().map(|class| class.made).sum();
        for _ in 0..=blocks + self.classes.len() {
            let (class, number) = self.hand;
            match self.classes.get(class) {
                None => self.hand = (0, 0),
                Some(found) if number >= found.made => self.hand = (class + 1, 0),
                Some(_) => {
                    self.hand.1 += 1;
                    let handle = handle(class, number);
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
        let block = self.block(handle);
        let &[length, era, ..] = block.get(LENGTH..).unwrap_or_default() else { return (0, 0) };
        let length = (length & LENGTH_MASK) as usize;
        let last = length.checked_sub(1).map(|before| self.head() + before * self.width());
        let stamp = last.and_then(|at| block.get(at)).copied().unwrap_or(0);
        (length, (u64::from(era) << 32) | u64::from(stamp))
    }

    fn hit(&self, words: &[u32]) -> Hit {
        let word = |at: usize| words.get(at).copied().unwrap_or(0);
        let value = if self.shape.value { word(2) } else { 0 };
        let mark = if self.shape.mark { word(2 + usize::from(self.shape.value)) } else { 0 };
        let [weight, ..] = word(1).to_le_bytes();
        Hit { at: u64::from(word(0)), line: word(1) >> 8, weight, value, mark }
    }

    fn head(&self) -> usize {
        HEADER_WORDS + if self.shape.level { 2 } else { 0 }
    }

    fn width(&self) -> usize {
        2 + usize::from(self.shape.value) + usize::from(self.shape.mark)
    }

    fn key(&self, handle: u32) -> u128 {
        key_at(&self.classes, handle)
    }

    fn block(&self, handle: u32) -> &[u32] {
        block_at(&self.classes, handle)
    }

    fn block_mut(&mut self, handle: u32) -> &mut [u32] {
        let class = self.classes.get_mut(class_of(handle));
        class.map(|class| class.block_mut((handle & NUMBER_MASK) as usize)).unwrap_or_default()
    }

    fn write(&mut self, handle: u32, at: usize, words: &[u32]) {
        if let Some(place) = self.block_mut(handle).get_mut(at..at + words.len()) {
            place.copy_from_slice(words);
        }
    }

    fn allocate(&mut self, class: usize, key: u128) -> u32 {
        let number = self.classes.get_mut(class).map_or(0, Class::take);
        let handle = handle(class, number);
        let [a, b, c, d] = split(key);
        self.write(handle, 0, &[a, b, c, d, 0, 0]);
        handle
    }

    fn replace(&mut self, key: u128, new: u32) {
        let Table { index, hasher, classes, .. } = self;
        let found = index.find_mut(hasher.hash_one(key), |handle| key_at(classes, *handle) == key);
        if let Some(handle) = found {
            *handle = new;
        }
    }

    fn free(&mut self, handle: u32) {
        self.write(handle, LENGTH, &[0, 0]);
        if let Some(class) = self.classes.get_mut(class_of(handle)) {
            class.free.push(handle & NUMBER_MASK);
        }
    }
}

/// Blocks of one size.
#[derive(Debug)]
struct Class {
    hits: usize,
    words: usize,
    /// A chunk has two to this power blocks.
    shift: u32,
    chunks: Vec<Box<[u32]>>,
    made: usize,
    free: Vec<u32>,
}

impl Class {
    fn new(hits: usize, words: usize) -> Self {
        let shift = (CHUNK_WORDS / words).max(1).ilog2();
        Class { hits, words, shift, chunks: Vec::new(), made: 0, free: Vec::new() }
    }

    fn chunk_words(&self) -> usize {
        self.words << self.shift
    }

    /// The number of a block that is free.
    fn take(&mut self) -> usize {
        if let Some(number) = self.free.pop() {
            return number as usize;
        }
        if self.made == self.chunks.len() << self.shift {
            self.chunks.push(vec![0; self.chunk_words()].into());
        }
        self.made += 1;
        self.made - 1
    }

    fn block(&self, number: usize) -> &[u32] {
        let chunk = self.chunks.get(number >> self.shift);
        let start = (number & ((1 << self.shift) - 1)) * self.words;
        chunk.and_then(|chunk| chunk.get(start..start + self.words)).unwrap_or_default()
    }

    fn block_mut(&mut self, number: usize) -> &mut [u32] {
        let start = (number & ((1 << self.shift) - 1)) * self.words;
        let chunk = self.chunks.get_mut(number >> self.shift);
        chunk.and_then(|chunk| chunk.get_mut(start..start + self.words)).unwrap_or_default()
    }
}

fn handle(class: usize, number: usize) -> u32 {
    (u32::try_from(class).unwrap_or(0) << CLASS_SHIFT) | (u32::try_from(number).unwrap_or(0) & NUMBER_MASK)
}

fn class_of(handle: u32) -> usize {
    (handle >> CLASS_SHIFT) as usize
}

fn block_at(classes: &[Class], handle: u32) -> &[u32] {
    classes
        .get(class_of(handle))
        .map(|class| class.block((handle & NUMBER_MASK) as usize))
        .unwrap_or_default()
}

fn key_at(classes: &[Class], handle: u32) -> u128 {
    let block = block_at(classes, handle).get(..LENGTH).unwrap_or_default();
    block.iter().fold(0, |key, word| (key << 32) | u128::from(*word))
}

fn split(key: u128) -> [u32; 4] {
    let word = |shift: u32| u32::try_from((key >> shift) & 0xffff_ffff).unwrap_or(0);
    [word(96), word(64), word(32), word(0)]
}

fn low(number: u64) -> u32 {
    u32::try_from(number & 0xffff_ffff).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const SHAPE: Shape = Shape { value: true, mark: true, level: true, hits: 20 };

    fn hit(at: u64) -> Hit {
        let line = u32::try_from(at % 1000).unwrap();
        Hit { at, line, weight: 3, value: line + 1, mark: line + 2 }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Store(u8, Vec<u64>, u64),
        Remove(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        let times = prop::collection::btree_set(1_700_000_000_000u64..1_700_003_000_000, 0..20);
        let times = times.prop_map(|times| times.into_iter().collect());
        prop_oneof![
            4 => (0u8..30, times, any::<u64>()).prop_map(|(key, times, level)| Step::Store(key, times, level)),
            1 => (0u8..30).prop_map(Step::Remove),
        ]
    }

    proptest! {
        #[test]
        fn a_table_keeps_what_a_map_would(steps in prop::collection::vec(step(), 1..120)) {
            let mut table = Table::new(SHAPE);
            let mut model: BTreeMap<u128, (Vec<Hit>, u64)> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Store(key, times, level) => {
                        let key = u128::from(key) << 70;
                        let hits: Vec<Hit> = times.into_iter().map(hit).collect();
                        let found = table.find(key);
                        table.store(key, found, &hits, level);
                        if hits.is_empty() { model.remove(&key); } else { model.insert(key, (hits, level)); }
                    }
                    Step::Remove(key) => {
                        let key = u128::from(key) << 70;
                        prop_assert_eq!(table.remove(key), model.remove(&key).is_some());
                    }
                }
                prop_assert_eq!(table.len(), model.len());
            }
            let mut hits = Vec::new();
            for (key, (expected, level)) in &model {
                let handle = table.find(*key).unwrap();
                table.load(handle, &mut hits);
                prop_assert_eq!(&hits, expected);
                prop_assert_eq!(table.level(handle), *level);
            }
            prop_assert_eq!(table.keys().count(), model.len());
        }
    }

    #[test]
    fn a_stamp_that_runs_over_its_low_half_is_read_back() {
        let mut table = Table::new(SHAPE);
        let over = 400u64 << 32;
        table.store(1, None, &[hit(over - 5), hit(over + 5)], 0);
        let mut hits = Vec::new();
        table.load(table.find(1).unwrap(), &mut hits);
        assert_eq!(hits.iter().map(|hit| hit.at).collect::<Vec<_>>(), [over - 5, over + 5]);
    }

    #[test]
    fn a_million_addresses_take_less_than_100_bytes_each() {
        // The shape of password-guessing: four hits below the fifth, each with a fingerprint and a user.
        let shape = Shape { value: true, mark: true, level: false, hits: 8 };
        for (shape, bytes) in [(shape, 100), (Shape { value: false, mark: false, ..shape }, 70)] {
            let mut table = Table::new(shape);
            let hits: Vec<Hit> = (0..4).map(|n| hit(1_700_000_000_000 + n)).collect();
            for key in 0..1_000_000 {
                table.store(key, None, &hits, 0);
            }
            assert!(table.size_bytes() <= bytes * 1_000_000, "{} bytes", table.size_bytes());
        }
    }
}
