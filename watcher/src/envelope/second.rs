//! A second envelope inside a line: two lines that a writer glued together, or a client who wrote a line of his own
//! choosing into somebody's log. Nobody can tell which.

use super::{EnvelopeKind, Opened};

/// What looks like a stamp is looked at so often. Nobody writes more of them into one line by chance; a client who does
/// is not to make the line expensive.
const CANDIDATES_MAX: usize = 8;

/// Whether somewhere in `message` an envelope begins whose text `reads` as something.
pub(crate) fn stands_in(message: &[u8], mut reads: impl FnMut(&[u8]) -> bool) -> bool {
    let mut candidates = 0;
    for start in beginnings(message) {
        let inner = message.get(start..).unwrap_or_default();
        let opened = Opened::read(inner);
        if opened.kind == EnvelopeKind::None {
            continue;
        }
        candidates += 1;
        if candidates > CANDIDATES_MAX || reads(opened.message) {
            return true;
        }
    }
    false
}

/// Where stamps may begin: at an `@`, and before the `12:` of a time of day.
fn beginnings(message: &[u8]) -> impl Iterator<Item = usize> {
    /// `Aug 12 11`
    const BEFORE_TRADITIONAL: usize = 9;
    /// `2025-01-10T18`
    const BEFORE_ISO: usize = 13;
    memchr::memchr2_iter(b'@', b':', message).flat_map(move |at| {
        let is_time = message.get(at + 3) == Some(&b':');
        let before = |count: usize| at.checked_sub(count).filter(|_| is_time);
        let here = (message.get(at..at + 2) == Some(b"@4")).then_some(at);
        [here, before(BEFORE_TRADITIONAL), before(BEFORE_ISO)].into_iter().flatten()
    })
}
