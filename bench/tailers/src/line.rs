//! The lines that are played: each has its number and the time of its writing, and is as long as a mail server's.

use rustix::time::{ClockId, clock_gettime};

/// How long a line is, without its line feed.
pub const LENGTH: usize = 99;

/// Where the time begins, behind ten digits and a space.
const TIME: usize = 11;
/// Where the text begins, behind twenty digits and a space.
const TEXT: usize = 32;

/// The `n`th line, written now.
pub fn line(n: u32) -> Vec<u8> {
    let mut line = format!("{n:010} {:020} ", now_ns()).into_bytes();
    line.resize(LENGTH, b'x');
    line.push(b'\n');
    line
}

/// The `n`th line, with a byte that is no text in any encoding of Unicode.
pub fn invalid_line(n: u32) -> Vec<u8> {
    let mut line = line(n);
    if let Some(byte) = line.get_mut(TEXT) {
        *byte = 0xff;
    }
    line
}

/// The number of a line and the time of its writing; none for a fragment.
pub fn read(line: &[u8]) -> Option<(u32, u64)> {
    if line.len() != LENGTH {
        return None;
    }
    let digits = |from: usize, to: usize| std::str::from_utf8(line.get(from..to)?).ok();
    Some((digits(0, TIME - 1)?.parse().ok()?, digits(TIME, TEXT - 1)?.parse().ok()?))
}

/// The time, the same in every process of this machine.
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec * 1_000_000_000 + now.tv_nsec).unwrap_or(0)
}
