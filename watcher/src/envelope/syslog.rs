//! What syslog daemons write: RFC 3164 in its many dialects, RFC 5424, and qmail's splogger within them.

use jiff::tz::Offset;
use logline::Timestamp;

use super::stamp::{Recent, Stamp};
use super::{EnvelopeKind, Opened, bare, civil, iso};

/// The text that splogger gives to syslog at once; the rest of a longer line follows in lines of their own (qmail
/// splogger.c: a buffer of 800 bytes, of which the last is for the NUL).
pub(crate) const SPLOGGER_TEXT_BYTES: usize = 799;

/// `1415185247.952694`, ten digits and six (splogger.c:stamp_make).
const SPLOGGER_STAMP_BYTES: usize = 17;

/// What syslogd writes in place of lines that say the same.
pub(crate) const LAST_MESSAGE: &[u8] = b"last message repeated ";

/// `<22>` before any of the others: as the protocol has it, and files that keep what came over the network.
pub(super) fn with_priority<'a>(line: &'a [u8], recent: &mut Recent) -> Option<Opened<'a>> {
    let end = line.iter().take(5).position(|byte| *byte == b'>')?;
    let digits = line.get(1..end)?;
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let rest = line.get(end + 1..)?;
    if let Some(rest) = rest.strip_prefix(b"1 ") {
        return rfc5424(rest);
    }
    rfc3164(rest, recent).or_else(|| iso(rest).filter(|opened| opened.kind == EnvelopeKind::Rfc3339))
}

/// `Aug 12 11:52:52 host program[pid]: message`.
#[inline]
pub(super) fn rfc3164<'a>(line: &'a [u8], recent: &mut Recent) -> Option<Opened<'a>> {
    let (yearless, rest) = match recent.month_day_time(line) {
        Some(known) => known,
        None => {
            let (yearless, rest) = civil::month_day_time(line)?;
            (yearless, rest.strip_prefix(b" ")?)
        }
    };
    Some(body(EnvelopeKind::Rfc3164, Stamp::Yearless(yearless), rest))
}

/// `2025-01-10T18:56:48.748493+01:00 host program pid msgid [data] message`; `-` stands for what is not known.
fn rfc5424(text: &[u8]) -> Option<Opened<'_>> {
    let (stamp, rest) = word(text)?;
    let (stamp, offset) = match stamp {
        b"-" => (Stamp::None, None),
        stamp => {
            let (civil, zone) = civil::iso_date_time(stamp)?;
            let (offset, rest) = civil::offset(zone)?;
            let offset = offset.filter(|_| rest.is_empty())?;
            (civil::in_zone(civil, offset), Some(offset))
        }
    };
    let (_host, rest) = word(rest)?;
    let (program, rest) = word(rest)?;
    let (pid, rest) = word(rest)?;
    let (_message_id, rest) = word(rest)?;
    let rest = after_structured_data(rest)?;
    let message = rest.strip_prefix(b" ").unwrap_or(rest);
    let message = message.strip_prefix(b"\xef\xbb\xbf").unwrap_or(message);
    let known = Opened {
        stamp,
        program: (program != b"-").then_some(program),
        pid: number(pid),
        ..bare(EnvelopeKind::Rfc5424, message)
    };
    Some(Opened { offset, ..splogger(known) })
}

/// The text up to a space, and what follows the space.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (word, rest) = text.split_at_checked(memchr::memchr(b' ', text)?)?;
    Some((word, rest.get(1..)?))
}

/// What stands behind `-` or `[id name="value" …][…]`; in a value `\` takes its meaning from what follows
/// (RFC 5424 §6.3.3).
fn after_structured_data(text: &[u8]) -> Option<&[u8]> {
    if let Some(rest) = text.strip_prefix(b"-") {
        return Some(rest);
    }
    let (mut quoted, mut escaped, mut open) = (false, false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if open => quoted = !quoted,
            _ if quoted => {}
            b'[' if !open => open = true,
            b']' if open => open = false,
            _ if open => {}
            _ => return text.get(at..).filter(|_| at > 0),
        }
    }
    (!open && !text.is_empty()).then_some(&[])
}

/// `host program[pid]: message`. Where there is no program, all of it is message; but for syslogd's own word on lines
/// that say the same, which stands behind the host.
#[inline]
pub(super) fn body(kind: EnvelopeKind, stamp: Stamp, rest: &[u8]) -> Opened<'_> {
    let unnamed = || Opened { stamp, offset: None, ..bare(kind, rest) };
    let space = first_of([b' '], rest);
    let Some((host, text)) = space.and_then(|space| Some((rest.get(..space)?, rest.get(space + 1..)?)))
    else {
        return unnamed();
    };
    // A program on this machine names no host (syslog(3)); an IPv6 address that ends in a colon has others before it.
    let is_program = host.strip_suffix(b":").is_some_and(|name| !name.contains(&b':'));
    let text = if is_program { rest } else { text };
    match tag(text) {
        Some((program, pid, message)) => {
            let program = Some(program);
            splogger(Opened { kind, stamp, offset: None, program, pid, message, continues: false })
        }
        None if text.starts_with(LAST_MESSAGE) => Opened { message: text, ..unnamed() },
        None => unnamed(),
    }
}

/// A program's name, its process and what it wrote.
type Tagged<'a> = (&'a [u8], Option<u32>, &'a [u8]);

#[inline]
fn tag(text: &[u8]) -> Option<Tagged<'_>> {
    let end = first_of([b':', b'[', b' '], text)?;
    let (name, rest) = text.split_at_checked(end)?;
    if name.is_empty() {
        return None;
    }
    let rest = match rest {
        [b':', b' ', rest @ ..] => return Some((name, None, rest)),
        [b'[', rest @ ..] => rest,
        _ => return None,
    };
    let (pid, rest) = number_before(rest)?;
    let [b']', b':', b' ', message @ ..] = rest else { return None };
    Some((name, Some(pid), message))
}

/// The number at the beginning of a text, and what follows it. Up to seven digits are read at once: a loop whose length
/// nobody can foresee costs more.
#[inline]
fn number_before(text: &[u8]) -> Option<(u32, &[u8])> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let digits =
        text.first_chunk().map_or(u64::MAX, |digits| u64::from_le_bytes(*digits)) ^ (ONES * u64::from(b'0'));
    // The high bit of what is above 9; a carry changes nothing below the first of them.
    let others = (digits.wrapping_add(ONES * 0x76) | digits) & (ONES << 7);
    let length = others.trailing_zeros() / 8;
    if !(1..8).contains(&length) {
        let length = text.iter().position(|byte| !byte.is_ascii_digit())?;
        let (digits, rest) = text.split_at_checked(length)?;
        return Some((number(digits)?, rest));
    }
    // With zeros before them they are eight: pairs, fours, all.
    let digits = digits << (64 - 8 * length);
    let pairs = (digits.wrapping_mul(10)).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    let all = fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff;
    Some((u32::try_from(all).ok()?, text.get(length as usize..)?))
}

/// Where the first of some bytes stands. Names are short: a search that is made for long texts takes longer to begin than
/// looking at eight bytes at a time.
#[inline]
fn first_of<const N: usize>(wanted: [u8; N], text: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    let (words, rest) = text.as_chunks::<8>();
    let mut before = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        // The lowest bit that is set is that of the first zero byte; above it, a borrow may set others.
        let hits = wanted.iter().fold(0, |hits, byte| {
            let zero = word ^ (ONES * u64::from(*byte));
            hits | zero.wrapping_sub(ONES) & !zero & (ONES << 7)
        });
        if hits != 0 {
            return Some(before + hits.trailing_zeros() as usize / 8);
        }
        before += 8;
    }
    rest.iter().position(|byte| wanted.contains(byte)).map(|at| before + at)
}

fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u32, |number, digit| {
        let digit = Some(digit.wrapping_sub(b'0')).filter(|digit| *digit <= 9)?;
        number.checked_mul(10)?.checked_add(u32::from(digit))
    })
}

/// splogger's own stamp stands at the beginning of the message, where no client's text can stand, and is finer than
/// syslog's: it is the line's time.
#[inline]
fn splogger(opened: Opened<'_>) -> Opened<'_> {
    let (stamp, rest) = match opened.message.split_at_checked(SPLOGGER_STAMP_BYTES) {
        Some((stamp, rest)) if stamp.first().is_some_and(u8::is_ascii_digit) => (stamp, rest),
        _ => return opened,
    };
    let (continues, message) = match rest.split_first() {
        Some((b' ', text)) => (false, text),
        Some((b'+', text)) => (true, text),
        _ => return opened,
    };
    let Some(time) = splogger_stamp(stamp) else { return opened };
    let (kind, offset) = (EnvelopeKind::Splogger, Some(Offset::UTC));
    Opened { kind, stamp: Stamp::Instant(time), offset, message, continues, ..opened }
}

fn splogger_stamp(stamp: &[u8]) -> Option<Timestamp> {
    let (seconds, micros) = (stamp.get(..10)?, stamp.get(10..)?.strip_prefix(b".")?);
    let digits_of = |digits: &[u8]| {
        digits.iter().try_fold(0i64, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
    };
    // Ten digits of seconds reach beyond the years that an instant can have.
    let nanos = digits_of(seconds)?.checked_mul(1_000_000_000)?.checked_add(digits_of(micros)? * 1_000)?;
    Some(Timestamp::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_of_some_bytes_is_the_first(text in prop::collection::vec(prop::sample::select(b":[ ;9Z\\\xba\x00a".as_slice()), 0..40)) {
            let position = text.iter().position(|byte| b":[ ".contains(byte));
            prop_assert_eq!(first_of(*b":[ ", &text), position);
        }

        #[test]
        fn a_number_is_read_as_the_standard_library_reads_it(digits in "[0-9]{0,12}", rest in prop::collection::vec(any::<u8>(), 0..9)) {
            let text = [digits.as_bytes(), b"]", &rest].concat();
            let read = number_before(&text);
            prop_assert_eq!(read.map(|(number, _)| number), digits.parse().ok());
            if let Some((_, after)) = read {
                prop_assert_eq!(after, &text[digits.len()..]);
            }
        }
    }
}
