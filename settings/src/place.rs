//! Where something stands in a text.

use std::ops::Range;

/// A line and a column, both counted from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
}

impl Place {
    /// The beginning of a file.
    pub const START: Place = Place { line: 1, column: 1 };
}

/// The byte offsets at which lines begin, so that a place is found without reading the text again.
#[derive(Debug)]
pub(crate) struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    pub(crate) fn of(text: &str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Lines { starts }
    }

    /// The place of a byte. One beyond the text, or inside a character, is brought back to the nearest before it.
    pub(crate) fn place(&self, text: &str, offset: usize) -> Place {
        let offset = text.floor_char_boundary(offset);
        let line = self.starts.partition_point(|&start| start <= offset);
        let start = self.span(text, line).start;
        let column = text.get(start..offset).map_or(0, |before| before.chars().count()) + 1;
        Place { line, column }
    }

    /// The bytes of a line, its line feed included.
    pub(crate) fn span(&self, text: &str, line: usize) -> Range<usize> {
        let start = |line: usize| line.checked_sub(1).and_then(|index| self.starts.get(index)).copied();
        start(line).unwrap_or(0)..start(line + 1).unwrap_or(text.len())
    }

    /// A line, its line feed included.
    pub(crate) fn line<'t>(&self, text: &'t str, line: usize) -> &'t str {
        text.get(self.span(text, line)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, offset: usize, line: usize, column: usize) {
        assert_eq!(Lines::of(text).place(text, offset), Place { line, column });
    }

    #[test]
    fn columns_count_characters_and_lines_count_from_one() {
        check("", 0, 1, 1);
        check("ab\ncd", 0, 1, 1);
        check("ab\ncd", 2, 1, 3);
        check("ab\ncd", 3, 2, 1);
        check("é = è", 6, 1, 5);
        check("é", 1, 1, 1);
        check("ab\n", 99, 2, 1);
    }
}
