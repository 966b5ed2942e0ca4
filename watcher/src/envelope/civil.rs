//! Stamps in civil time: read by hand, because they stand before every line, and placed on the time line by jiff.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use logline::Timestamp;

/// A date and time as written; none where the numbers name no day or time (30 February, 25 o'clock).
pub(super) type Civil = Option<DateTime>;

/// Month, day and time of day, without a year.
#[derive(Clone, Copy, Debug)]
pub(super) struct Yearless {
    month: i8,
    day: i8,
    time: Option<Time>,
}

/// Reads `2023-06-28 16:17:26.501278543` (the byte between date and time may be a space, `T` or `_`).
pub(super) fn iso_date_time(line: &[u8]) -> Option<(Civil, &[u8])> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b' ' | b'T' | b'_', rest @ ..] = line else {
        return None;
    };
    let year = i16::from(digits(*y1, *y2)?) * 100 + i16::from(digits(*y3, *y4)?);
    let (month, day) = (digits(*m1, *m2)?, digits(*d1, *d2)?);
    let (time, rest) = time_of_day(rest)?;
    let date = Date::new(year, month, day).ok();
    Some((date.zip(time).map(|(date, time)| date.to_datetime(time)), rest))
}

/// Reads `Aug 12 11:52:52`; a day below ten is padded with a space.
pub(super) fn month_day_time(line: &[u8]) -> Option<(Yearless, &[u8])> {
    let (month, rest) = line.split_at_checked(3)?;
    let month = match month {
        b"Jan" => 1,
        b"Feb" => 2,
        b"Mar" => 3,
        b"Apr" => 4,
        b"May" => 5,
        b"Jun" => 6,
        b"Jul" => 7,
        b"Aug" => 8,
        b"Sep" => 9,
        b"Oct" => 10,
        b"Nov" => 11,
        b"Dec" => 12,
        _ => return None,
    };
    let [b' ', tens, ones, b' ', rest @ ..] = rest else { return None };
    let day = digits(if *tens == b' ' { b'0' } else { *tens }, *ones)?;
    let (time, rest) = time_of_day(rest)?;
    Some((Yearless { month, day, time }, rest))
}

/// Reads `11:52:52` and a fraction of up to nine digits.
fn time_of_day(text: &[u8]) -> Option<(Option<Time>, &[u8])> {
    let [h1, h2, b':', m1, m2, b':', s1, s2, rest @ ..] = text else { return None };
    let (hour, minute, second) = (digits(*h1, *h2)?, digits(*m1, *m2)?, digits(*s1, *s2)?);
    let (nanos, rest) = match rest.strip_prefix(b".") {
        Some(fraction) => {
            let length = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
            if length == 0 || length > 9 {
                return None;
            }
            let (read, rest) = fraction.split_at_checked(length)?;
            let padded = read.iter().chain(std::iter::repeat_n(&b'0', 9 - length));
            (padded.fold(0i32, |n, digit| n * 10 + i32::from(digit - b'0')), rest)
        }
        None => (0, text.get(8..)?),
    };
    Some((Time::new(hour, minute, second, nanos).ok(), rest))
}

/// Reads `Z`, `+01:00` or `+0100`; none where the stamp has no zone.
pub(super) fn offset(text: &[u8]) -> Option<(Option<Offset>, &[u8])> {
    let (sign, rest) = match text.split_first()? {
        (b'Z', rest) => return Some((Some(Offset::UTC), rest)),
        (b'+', rest) => (1, rest),
        (b'-', rest) => (-1, rest),
        _ => return Some((None, text)),
    };
    let (hours, minutes, rest) = match rest {
        [h1, h2, b':', m1, m2, rest @ ..] | [h1, h2, m1, m2, rest @ ..] => {
            (digits(*h1, *h2)?, digits(*m1, *m2)?, rest)
        }
        _ => return None,
    };
    let seconds = sign * (i32::from(hours) * 3600 + i32::from(minutes) * 60);
    Some((Some(Offset::from_seconds(seconds).ok()?), rest))
}

/// The instant of a local time. In the hour that a clock change repeats it is the first, in the hour that it skips the
/// time is shifted forward.
pub(super) fn instant(civil: Civil, zone: &TimeZone) -> Option<Timestamp> {
    let nanos = zone.to_timestamp(civil?).ok()?.as_nanosecond();
    Some(Timestamp::from_nanos(i64::try_from(nanos).ok()?))
}

/// The instant of a yearless stamp: of this year, the last and the next, the one nearest to `near`.
pub(super) fn with_nearest_year(stamp: Yearless, zone: &TimeZone, near: Timestamp) -> Option<Timestamp> {
    let here = jiff::Timestamp::from_nanosecond(near.nanos().into()).ok()?;
    let year = zone.to_datetime(here).year();
    (year.saturating_sub(1)..=year.saturating_add(1))
        .filter_map(|year| {
            let date = Date::new(year, stamp.month, stamp.day).ok()?;
            instant(Some(date.to_datetime(stamp.time?)), zone)
        })
        .min_by_key(|time| time.nanos().abs_diff(near.nanos()))
}

fn digits(tens: u8, ones: u8) -> Option<i8> {
    if !tens.is_ascii_digit() || !ones.is_ascii_digit() {
        return None;
    }
    i8::try_from((tens - b'0') * 10 + (ones - b'0')).ok()
}
