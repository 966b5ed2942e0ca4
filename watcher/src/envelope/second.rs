//! A second envelope inside a line: two lines that a writer glued together, or a client who wrote a line of his own
//! choosing into somebody's log. Nobody can tell which.

use super::{EnvelopeKind, Opened};

/// What looks like a stamp is looked at so often. Nobody writes more of them into one line by chance; a client who does
/// is not to make the line expensive.
const CANDIDATES_MAX: usize = 8;

/// Whether somewhere in `message` an envelope begins whose text `reads` as something.
pub(crate) fn stands_in(message: &[u8], mut reads: impl FnMut(&[u8]) -> bool) -> bool {
    let mut candidates = 0;
    let mut is_one = |start: usize| {
        let Some(inner) = message.get(start..) else { return false };
        let opened = Opened::read(inner);
        if opened.kind == EnvelopeKind::None {
            return false;
        }
        candidates += 1;
        candidates > CANDIDATES_MAX || reads(opened.message)
    };
    // Where stamps may begin: at an `@`, and before the `12:` of a time of day.
    memchr::memchr2_iter(b'@', b':', message).any(|at| match message.get(at..) {
        Some([b'@', b'4', ..]) => is_one(at),
        Some([b':', _, _, b':', ..]) => [BEFORE_TRADITIONAL, BEFORE_ISO]
            .into_iter()
            .any(|before| at.checked_sub(before).is_some_and(&mut is_one)),
        _ => false,
    })
}

/// `Aug 12 11`
const BEFORE_TRADITIONAL: usize = 9;

/// `2025-01-10T18`, and `Tue Nov 21 05`, which has as many.
const BEFORE_ISO: usize = 13;
