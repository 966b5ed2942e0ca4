//! Instants, and the TAI64N stamp that multilog puts before a line.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// An instant: nanoseconds since 1970-01-01 00:00:00 UTC, without leap seconds.
///
/// Spans the years 1678 to 2262. Arithmetic saturates at those ends instead of wrapping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

/// Why a stamp could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampError {
    /// Not `@` and 24 hexadecimal digits.
    Shape,
    /// More than 999,999,999 nanoseconds, or a second outside 1678–2262.
    Range,
}

impl fmt::Display for TimestampError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TimestampError::Shape => "a TAI64N stamp is @ and 24 hexadecimal digits",
            TimestampError::Range => "TAI64N stamp out of range",
        })
    }
}

impl std::error::Error for TimestampError {}

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// What multilog adds to Unix seconds: 2^62, and the 10 seconds that daemontools fixes as TAI − UTC
/// (daemontools tai.h:tai_unix). True TAI is 37 s ahead today; every reader of multilog subtracts 10.
const TAI_OFFSET: i64 = (1 << 62) + 10;

impl Timestamp {
    /// Length of a TAI64N stamp: `@` and 24 hexadecimal digits.
    pub const TAI64N_BYTES: usize = 25;

    /// From nanoseconds since the Unix epoch.
    pub const fn from_nanos(nanos: i64) -> Self {
        Timestamp(nanos)
    }

    /// From seconds since the Unix epoch.
    pub const fn from_seconds(seconds: i64) -> Self {
        Timestamp(seconds.saturating_mul(NANOS_PER_SECOND))
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(NANOS_PER_SECOND)
    }

    /// How long after `earlier` this is; zero where it is not.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads `@` and 24 hexadecimal digits at the start of `bytes`.
    ///
    /// # Errors
    /// [`TimestampError`] where no such stamp stands there.
    pub fn parse_tai64n(bytes: &[u8]) -> Result<Self, TimestampError> {
        let Some((b'@', digits)) =
            bytes.get(..Self::TAI64N_BYTES).and_then(<[u8]>::split_first).map(|(f, r)| (*f, r))
        else {
            return Err(TimestampError::Shape);
        };
        let &[high, low, nanos] = digits.as_chunks().0 else { return Err(TimestampError::Shape) };
        let [Some(high), Some(low), Some(nanos)] = [high, low, nanos].map(hex_number) else {
            return Err(TimestampError::Shape);
        };
        let label = u64::from(high) << 32 | u64::from(low);
        let seconds = i64::try_from(label).map_err(|_| TimestampError::Range)?;
        let nanos = i64::from(nanos);
        if nanos >= NANOS_PER_SECOND {
            return Err(TimestampError::Range);
        }
        seconds
            .checked_sub(TAI_OFFSET)
            .and_then(|s| s.checked_mul(NANOS_PER_SECOND))
            .and_then(|n| n.checked_add(nanos))
            .map(Timestamp)
            .ok_or(TimestampError::Range)
    }

    /// The instant as multilog's `t` action writes it.
    pub fn tai64n(self) -> Tai64n {
        Tai64n(self)
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;

    fn add(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Timestamp;

    fn sub(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Timestamp(0) + after,
            Err(before) => Timestamp(0) - before.duration(),
        }
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        match u64::try_from(time.0) {
            Ok(after) => UNIX_EPOCH + Duration::from_nanos(after),
            Err(_) => UNIX_EPOCH - Duration::from_nanos(time.0.unsigned_abs()),
        }
    }
}

/// Writes a [`Timestamp`] as `@` and 24 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug)]
pub struct Tai64n(Timestamp);

impl fmt::Display for Tai64n {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = self.0.seconds() + TAI_OFFSET;
        write!(f, "@{label:016x}{:08x}", self.0.0.rem_euclid(NANOS_PER_SECOND))
    }
}

/// Eight hexadecimal digits, all at once: such a stamp stands before every line of multilog's.
fn hex_number(digits: [u8; 8]) -> Option<u32> {
    const fn each(byte: u8) -> u64 {
        u64::from_le_bytes([byte; 8])
    }
    let text = u64::from_le_bytes(digits);
    // In lower case; a digit, which has that bit already, stays as it is. Not so for a byte above 0x7f, which is none.
    let lower = text | each(0x20);
    // The high bit of each byte where it is at least `from`, for bytes below 0x80: no sum overflows its byte.
    let least = |from: u8| (lower & each(0x7f)) + each(0x80 - from);
    let is_digit = least(b'0') & !least(b'9' + 1);
    let is_letter = least(b'a') & !least(b'f' + 1);
    // Every one a digit or a letter, none above 0x7f, and none that only the change of case made a digit.
    let good = (is_digit & text << 2) | is_letter;
    if good & !text & each(0x80) != each(0x80) {
        return None;
    }
    // A letter is 9 more than its low four bits.
    let values = (lower & each(0x0f)) + 9 * (is_letter >> 7 & each(0x01));
    // The first byte is the highest digit: pairs, then fours, then all eight.
    let values = values.swap_bytes();
    let pairs = (values | values >> 4) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
    u32::try_from((fours | fours >> 16) & 0xffff_ffff).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2022-06-21 20:49:46.647854500Z, as `tai64nlocal` of daemontools 0.76 prints it under TZ=UTC.
    #[test]
    fn a_stamp_of_multilog_is_read_as_tai64nlocal_reads_it() {
        let time = Timestamp::parse_tai64n(b"@4000000062b22ef4269d79a4 status: 0/200").unwrap();
        assert_eq!(time.nanos(), 1_655_844_586_647_854_500);
        assert_eq!(time.tai64n().to_string(), "@4000000062b22ef4269d79a4");
    }

    #[test]
    fn a_stamp_that_is_none_is_refused() {
        for (bytes, error) in [
            (&b"@4000000062b22ef4269d79a"[..], TimestampError::Shape),
            (b"x4000000062b22ef4269d79a4", TimestampError::Shape),
            (b"@4000000062b22efg269d79a4", TimestampError::Shape),
            (b"@4000000062b22ef43b9aca00", TimestampError::Range),
            (b"@ffffffffffffffff00000000", TimestampError::Range),
            (b"@000000000000000000000000", TimestampError::Range),
        ] {
            assert_eq!(Timestamp::parse_tai64n(bytes), Err(error));
        }
    }

    proptest! {
        #[test]
        fn hexadecimal_digits_are_read_as_the_standard_library_reads_them(
            digits in prop::array::uniform8(prop_oneof![8 => prop::sample::select(b"09afAF58".as_slice()), 1 => any::<u8>()]),
        ) {
            let number = std::str::from_utf8(&digits).ok().filter(|text| !text.starts_with('+'));
            let number = number.and_then(|text| u32::from_str_radix(text, 16).ok());
            prop_assert_eq!(hex_number(digits), number);
        }

        #[test]
        fn every_instant_reads_back_equal(nanos: i64) {
            let time = Timestamp::from_nanos(nanos);
            prop_assert_eq!(Timestamp::parse_tai64n(time.tai64n().to_string().as_bytes()), Ok(time));
            prop_assert_eq!(Timestamp::from(SystemTime::from(time)), time);
        }
    }
}
