//! Where the lists of a table stand: blocks of a few fixed sizes, in chunks. A list that grows moves to a larger block;
//! what it leaves is used again, the block that was freed last first.

/// Key, length and flags, era.
pub(super) const HEADER_WORDS: usize = 6;

/// Where the length stands in a block, behind the key.
pub(super) const LENGTH: usize = 4;

/// A chunk has about so many words: 256 KiB.
const CHUNK_WORDS: usize = 65_536;

/// Words in a line of the processor's cache. The block of a list of the smallest size is in one.
const LINE_WORDS: usize = 16;

/// A handle is the class of a block and its number.
const CLASS_SHIFT: u32 = 28;
const NUMBER_MASK: u32 = (1 << CLASS_SHIFT) - 1;

/// Blocks of every size, the smallest first.
#[derive(Debug)]
pub(super) struct Blocks(Vec<Class>);

impl Blocks {
    /// For lists of so many hits at most, each size in the order given, each hit being so many words.
    pub(super) fn new(sizes: impl Iterator<Item = usize>, head: usize, width: usize) -> Self {
        Blocks(sizes.map(|hits| Class::new(hits, head + hits * width)).collect())
    }

    /// The most hits that a block can hold.
    pub(super) fn most(&self) -> usize {
        self.0.last().map_or(0, |class| class.hits)
    }

    /// The smallest size for so many hits.
    pub(super) fn size_for(&self, hits: usize) -> usize {
        self.0.iter().position(|class| hits <= class.hits).unwrap_or_default()
    }

    /// A block of this size for this key, empty.
    pub(super) fn take(&mut self, size: usize, key: u128) -> u32 {
        let number = self.0.get_mut(size).map_or(0, Class::take);
        let handle = handle(size, number);
        if let Some(head) = self.get_mut(handle).first_chunk_mut::<HEADER_WORDS>() {
            let [a, b, c, d] = split(key);
            *head = [a, b, c, d, 0, 0];
        }
        handle
    }

    /// Gives a block back.
    pub(super) fn free(&mut self, handle: u32) {
        if let Some(length) = self.get_mut(handle).get_mut(LENGTH) {
            *length = 0;
        }
        if let Some(class) = self.0.get_mut(size_of_block(handle)) {
            class.free.push(handle & NUMBER_MASK);
        }
    }

    pub(super) fn get(&self, handle: u32) -> &[u32] {
        let class = self.0.get(size_of_block(handle));
        class.map(|class| class.block((handle & NUMBER_MASK) as usize)).unwrap_or_default()
    }

    pub(super) fn get_mut(&mut self, handle: u32) -> &mut [u32] {
        let class = self.0.get_mut(size_of_block(handle));
        class.map(|class| class.block_mut((handle & NUMBER_MASK) as usize)).unwrap_or_default()
    }

    pub(super) fn key(&self, handle: u32) -> u128 {
        let Some([a, b, c, d]) = self.get(handle).first_chunk::<LENGTH>() else { return 0 };
        [*a, *b, *c, *d].into_iter().fold(0, |key, word| (key << 32) | u128::from(word))
    }

    /// How many blocks of this size were ever made; none where there is no such size.
    pub(super) fn made(&self, size: usize) -> Option<usize> {
        self.0.get(size).map(|class| class.made)
    }

    /// How many blocks were ever made, and of how many sizes.
    pub(super) fn extent(&self) -> (usize, usize) {
        (self.0.iter().map(|class| class.made).sum(), self.0.len())
    }

    /// Every block that was ever made, free ones too.
    pub(super) fn handles(&self) -> impl Iterator<Item = u32> + '_ {
        let classes = self.0.iter().enumerate();
        classes.flat_map(|(size, class)| (0..class.made).map(move |number| handle(size, number)))
    }

    pub(super) fn size_bytes(&self) -> usize {
        let words = |class: &Class| class.chunks.iter().map(|chunk| chunk.words.len()).sum::<usize>();
        self.0.iter().map(|class| (words(class) + class.free.capacity()) * size_of::<u32>()).sum()
    }
}

/// Blocks of one size.
#[derive(Debug)]
struct Class {
    hits: usize,
    words: usize,
    /// A chunk has two to this power blocks.
    shift: u32,
    chunks: Vec<Chunk>,
    made: usize,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Chunk {
    words: Box<[u32]>,
    /// Where the first block begins: at a line of the cache.
    start: usize,
}

impl Class {
    fn new(hits: usize, words: usize) -> Self {
        let words = if words <= LINE_WORDS { LINE_WORDS } else { words };
        let shift = (CHUNK_WORDS / words).max(1).ilog2();
        Class { hits, words, shift, chunks: Vec::new(), made: 0, free: Vec::new() }
    }

    /// The number of a block that is free.
    fn take(&mut self) -> usize {
        if let Some(number) = self.free.pop() {
            return number as usize;
        }
        if self.made == self.chunks.len() << self.shift {
            let words: Box<[u32]> = vec![0; (self.words << self.shift) + LINE_WORDS].into();
            let start = words.as_ptr().align_offset(LINE_WORDS * size_of::<u32>()).min(LINE_WORDS);
            self.chunks.push(Chunk { words, start });
        }
        self.made += 1;
        self.made - 1
    }

    fn block(&self, number: usize) -> &[u32] {
        let Some(Chunk { words, start }) = self.chunks.get(number >> self.shift) else { return &[] };
        let start = start + (number & ((1 << self.shift) - 1)) * self.words;
        words.get(start..start + self.words).unwrap_or_default()
    }

    fn block_mut(&mut self, number: usize) -> &mut [u32] {
        let Some(Chunk { words, start }) = self.chunks.get_mut(number >> self.shift) else { return &mut [] };
        let start = *start + (number & ((1 << self.shift) - 1)) * self.words;
        words.get_mut(start..start + self.words).unwrap_or_default()
    }
}

pub(super) fn handle(size: usize, number: usize) -> u32 {
    (u32::try_from(size).unwrap_or(0) << CLASS_SHIFT) | (u32::try_from(number).unwrap_or(0) & NUMBER_MASK)
}

/// Which of the sizes a block has.
pub(super) fn size_of_block(handle: u32) -> usize {
    (handle >> CLASS_SHIFT) as usize
}

fn split(key: u128) -> [u32; LENGTH] {
    let word = |shift: u32| u32::try_from((key >> shift) & 0xffff_ffff).unwrap_or(0);
    [word(96), word(64), word(32), word(0)]
}
