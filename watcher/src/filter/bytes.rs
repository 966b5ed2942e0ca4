//! Sets of bytes, small enough that many fit into a processor's cache.

use regex_syntax::hir::{Class, Hir, HirKind};

/// A set of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ByteSet([u64; 4]);

impl ByteSet {
    pub(crate) const ALL: ByteSet = ByteSet([u64::MAX; 4]);

    /// The bytes that a class or a literal of one byte stands for; none for anything else.
    pub(crate) fn of(hir: &Hir) -> Option<Self> {
        let mut set = ByteSet::default();
        match hir.kind() {
            HirKind::Class(Class::Bytes(bytes)) => {
                bytes.iter().flat_map(|range| range.start()..=range.end()).for_each(|byte| set.add(byte));
            }
            // `a|b` is read as a class of characters, also where nothing asks for any.
            HirKind::Class(Class::Unicode(characters)) if characters.is_ascii() => {
                let ranges = characters.iter().map(|range| (range.start(), range.end()));
                for character in ranges.flat_map(|(start, end)| start..=end) {
                    set.add(u8::try_from(character).ok()?);
                }
            }
            HirKind::Literal(literal) if literal.0.len() == 1 => {
                literal.0.iter().for_each(|byte| set.add(*byte));
            }
            HirKind::Class(Class::Unicode(_))
            | HirKind::Literal(_)
            | HirKind::Empty
            | HirKind::Look(_)
            | HirKind::Repetition(_)
            | HirKind::Capture(_)
            | HirKind::Concat(_)
            | HirKind::Alternation(_) => return None,
        }
        Some(set)
    }

    pub(crate) fn add(&mut self, byte: u8) {
        if let Some(word) = self.0.get_mut(usize::from(byte >> 6)) {
            *word |= 1 << (byte & 63);
        }
    }

    pub(crate) fn has(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte >> 6)).is_some_and(|word| word >> (byte & 63) & 1 == 1)
    }

    pub(crate) fn meets(&self, other: &ByteSet) -> bool {
        self.0.iter().zip(&other.0).any(|(a, b)| a & b != 0)
    }

    pub(crate) fn with(self, other: &ByteSet) -> ByteSet {
        let mut both = self;
        both.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
        both
    }

    /// The bytes of which one is in it and the one before is not, or the other way round.
    pub(crate) fn borders(&self) -> ByteSet {
        let (mut borders, mut carried) = (*self, 0);
        for (border, word) in borders.0.iter_mut().zip(&self.0) {
            *border = word ^ (word << 1 | carried);
            carried = word >> 63;
        }
        borders
    }

    /// The only byte that is not in it.
    pub(crate) fn only_other(&self) -> Option<u8> {
        if self.0.iter().map(|word| word.count_zeros()).sum::<u32>() != 1 {
            return None;
        }
        (0..=255).find(|byte| !self.has(*byte))
    }

    pub(crate) fn len(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_added_and_nothing_else() {
        let mut set = ByteSet::default();
        [0, 63, 64, 200, 255].into_iter().for_each(|byte| set.add(byte));
        let held: Vec<u8> = (0..=255).filter(|byte| set.has(*byte)).collect();
        assert_eq!((held, set.len()), (vec![0, 63, 64, 200, 255], 5));
        let borders = set.borders();
        let borders: Vec<u8> = (1..=255).filter(|byte| borders.has(*byte)).collect();
        assert_eq!(borders, [1, 63, 65, 200, 201, 255]);
        let mut others = ByteSet::default();
        (0..=255).filter(|byte| *byte != b'\n').for_each(|byte| others.add(byte));
        assert_eq!(
            (others.only_other(), set.only_other(), ByteSet::ALL.only_other()),
            (Some(b'\n'), None, None)
        );
        assert!(set.meets(&others) && set.with(&others) == others);
    }
}
