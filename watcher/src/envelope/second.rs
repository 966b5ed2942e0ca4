//! A second envelope inside a line: two lines that a writer glued together, or a client who wrote a line of his own
//! choosing into somebody's log. Nobody can tell which.

use super::{EnvelopeKind, Opened};

/// What looks like a stamp is looked at so often. Nobody writes more of them into one line by chance; a client who does
/// is not to make the line expensive.
const CANDIDATES_MAX: usize = 8;

/// Whether somewhere in `message` an envelope begins whose text `reads` as something.
pub(crate) fn stands_in(message: &[u8], mut reads: impl FnMut(&[u8]) -> bool) -> bool {
    if !has_signs(message) {
        return false;
    }
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

/// So many bytes are looked at together, and with each some that stand as far behind it as this.
const TOGETHER: usize = 16;
const BEHIND: usize = 6;
const WINDOW: usize = TOGETHER + BEHIND;

/// Whether an `@4` stands anywhere, or the ` 11:52:` of a time of day, before which every stamp has a space, a `T` or a `_`.
/// Nearly no message holds one, and nearly every one has to be asked: so many bytes are looked at together, without a branch.
fn has_signs(message: &[u8]) -> bool {
    let Some(last) = message.last_chunk() else { return has_sign_within(message) };
    let (mut found, mut rest) = ([0; TOGETHER], message);
    while let Some(window) = rest.first_chunk() {
        mark_signs(&mut found, window);
        rest = rest.get(TOGETHER..).unwrap_or_default();
    }
    mark_signs(&mut found, last);
    found != [0; TOGETHER]
}

#[inline]
fn mark_signs(found: &mut [u8; TOGETHER], window: &[u8; WINDOW]) {
    let from = |start: usize| window.get(start..).and_then(<[u8]>::first_chunk::<TOGETHER>);
    let (Some(a), Some(b), Some(d), Some(g)) = (from(0), from(1), from(3), from(BEHIND)) else { return };
    for ((((found, a), b), d), g) in found.iter_mut().zip(a).zip(b).zip(d).zip(g) {
        let is_time = (*d == b':') & (*g == b':') & ((*a == b' ') | (*a == b'T') | (*a == b'_'));
        *found |= u8::from(is_time) | u8::from((*a == b'@') & (*b == b'4'));
    }
}

/// The same for a message that is shorter than a window.
fn has_sign_within(message: &[u8]) -> bool {
    message
        .windows(BEHIND + 1)
        .any(|bytes| matches!(bytes, [b'@', b'4', ..] | [b' ' | b'T' | b'_', _, _, b':', _, _, b':']))
}

/// `Aug 12 11`
const BEFORE_TRADITIONAL: usize = 9;

/// `2025-01-10T18`, and `Tue Nov 21 05`, which has as many.
const BEFORE_ISO: usize = 13;

#[cfg(test)]
mod tests {
    use super::*;

    const STAMPS: &[&str] = &[
        "@4000000062b22ef4269d79a4 x",
        "Aug 12 11:52:52 mx a[1]: x",
        "<22>Aug 12 11:52:52 mx a[1]: x",
        "2023-06-28 16:17:26.501278543 x",
        "2023-06-28_16:17:26.50127 x",
        "2025-01-10T18:56:48.748493+01:00 mx a: x",
        "<22>1 2025-01-10T18:56:48Z mx a 1 - - x",
        "Tue Nov 21 05:13:23 2026 x",
    ];

    #[test]
    fn a_stamp_is_seen_wherever_it_stands() {
        for stamp in STAMPS {
            for before in 0..40 {
                let message = [&"y".repeat(before), *stamp].concat();
                assert!(stands_in(message.as_bytes(), |inner| inner.ends_with(b"x")), "{message}");
            }
        }
    }

    #[test]
    fn what_is_no_stamp_is_none() {
        for text in
            ["", "a", "MAC=52:54:00:5e:10:8a:fe:54:00:aa:bb:cc:08:00 SRC=192.0.2.7", "at 11:52:52", "a@40"]
        {
            assert!(!stands_in(text.as_bytes(), |_| true), "{text}");
        }
    }
}
