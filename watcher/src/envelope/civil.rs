//! Stamps in civil time: read by hand, because they stand before every line, and placed on the time line by jiff.

use std::time::Duration;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use logline::Timestamp;

use super::Around;
use super::stamp::Stamp;

/// A stamp without a year is at most so far ahead of the line's arrival: clocks and zones that are set wrong.
const AHEAD_MAX: Duration = Duration::from_secs(24 * 3600);

const HALF_A_YEAR_NANOS: u64 = 182 * 24 * 3600 * 1_000_000_000;

/// A line that arrives within this after it was written is read as it is written.
const FRESH: Duration = Duration::from_secs(2 * 3600);

/// Lines of several programs in one log may be out of order by less than this; a step back by more is the hour that
/// begins again.
const DISORDER_MAX: Duration = Duration::from_secs(30 * 60);

/// A date and time as written; none where the numbers name no day or time (30 February, 25 o'clock).
pub(crate) type Civil = Option<DateTime>;

/// Month, day and time of day, without a year.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Yearless {
    month: i8,
    day: i8,
    time: Option<Time>,
}

impl Yearless {
    /// The same in a year; none where that year has no such day, or the day no such time.
    pub(super) fn in_year(self, year: i16) -> Civil {
        Some(Date::new(year, self.month, self.day).ok()?.to_datetime(self.time?))
    }

    /// Its time of day; none where there is no such time.
    pub(super) fn time(self) -> Option<Time> {
        self.time
    }

    /// Whether it is the day and month of this date.
    pub(super) fn is_of(self, date: Date) -> bool {
        (self.month, self.day) == (date.month(), date.day())
    }
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

/// Reads `Aug 12 11:52:52`; a day below ten is padded with a space, with a zero, or not at all.
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
    let (tens, ones, rest) = match rest {
        [b' ', b' ', ones, b' ', rest @ ..] | [b' ', ones, b' ', rest @ ..] => (b'0', *ones, rest),
        [b' ', tens, ones, b' ', rest @ ..] => (*tens, *ones, rest),
        _ => return None,
    };
    let day = digits(tens, ones)?;
    let (time, rest) = time_of_day(rest)?;
    Some((Yearless { month, day, time }, rest))
}

/// Reads `Tue Nov 21 05:13:23 2026`, as asctime(3) writes it.
pub(super) fn weekday_date_time_year(line: &[u8]) -> Option<(Civil, &[u8])> {
    let (weekday, rest) = line.split_at_checked(3)?;
    if !matches!(weekday, b"Mon" | b"Tue" | b"Wed" | b"Thu" | b"Fri" | b"Sat" | b"Sun") {
        return None;
    }
    let (stamp, rest) = month_day_time(rest.strip_prefix(b" ")?)?;
    let [b' ', y1, y2, y3, y4, rest @ ..] = rest else { return None };
    let year = i16::from(digits(*y1, *y2)?) * 100 + i16::from(digits(*y3, *y4)?);
    Some((stamp.in_year(year), rest))
}

/// Reads `11:52:52` and a fraction of up to nine digits.
fn time_of_day(text: &[u8]) -> Option<(Option<Time>, &[u8])> {
    let [h1, h2, b':', m1, m2, b':', s1, s2, rest @ ..] = text else { return None };
    let (hour, minute, second) = (digits(*h1, *h2)?, digits(*m1, *m2)?, digits(*s1, *s2)?);
    let (nanos, rest) = match rest.split_first() {
        Some((b'.' | b',', fraction)) => {
            let length = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
            if length == 0 || length > 9 {
                return None;
            }
            let (read, rest) = fraction.split_at_checked(length)?;
            let padded = read.iter().chain(std::iter::repeat_n(&b'0', 9 - length));
            (padded.fold(0i32, |n, digit| n * 10 + i32::from(digit - b'0')), rest)
        }
        _ => (0, rest),
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

/// A time at a fixed distance from UTC, where every time is one instant.
pub(super) fn in_zone(civil: Civil, offset: Offset) -> Stamp {
    let instant = civil.and_then(|civil| timestamp(offset.to_timestamp(civil).ok()?));
    instant.map_or(Stamp::None, Stamp::Instant)
}

/// The instant of a local time. In the hour that a clock change skips, the time is shifted forward; of the two instants
/// in the hour that it repeats, [`later_of_fold`] tells.
pub(super) fn instant(civil: DateTime, zone: &TimeZone, around: Around) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(civil);
    let (first, second) = match ambiguous.offset() {
        AmbiguousOffset::Fold { before, after } => (before, after),
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Gap { .. } => {
            return timestamp(ambiguous.compatible().ok()?);
        }
    };
    let first = timestamp(first.to_timestamp(civil).ok()?)?;
    let second = timestamp(second.to_timestamp(civil).ok()?)?;
    Some(if later_of_fold(first, second, around) { second } else { first })
}

/// Of a repeated hour it is the second one that is not after the line's arrival, and where the line before it was of the
/// second. A line that is read long after it was written goes with the line before alone: the log passes through the
/// hour twice, and forward both times.
fn later_of_fold(first: Timestamp, second: Timestamp, around: Around) -> bool {
    let has_arrived = second <= around.arrival;
    let is_old = around.arrival > second + FRESH;
    match around.previous {
        Some(previous) => first + DISORDER_MAX < previous || (has_arrived && !is_old),
        None => has_arrived,
    }
}

/// An instant of jiff's as one of ours.
pub(super) fn timestamp(instant: jiff::Timestamp) -> Option<Timestamp> {
    Some(Timestamp::from_nanos(i64::try_from(instant.as_nanosecond()).ok()?))
}

/// The instant of a yearless stamp: of the years in which there is such a day, the one nearest to the line's arrival, but
/// none more than a day after it.
pub(super) fn with_nearest_year(stamp: Yearless, zone: &TimeZone, around: Around) -> Option<Timestamp> {
    let this_year = date(around.arrival, zone)?.year();
    let of_year = |year| instant(stamp.in_year(year)?, zone, around);
    let distance = |time: &Timestamp| time.nanos().abs_diff(around.arrival.nanos());
    let possible = |time: &Timestamp| *time <= around.arrival + AHEAD_MAX;
    let near = of_year(this_year).filter(possible);
    if near.is_some_and(|time| is_certain(time, around)) {
        return near;
    }
    [this_year.saturating_sub(1), this_year.saturating_add(1)]
        .into_iter()
        .filter_map(of_year)
        .filter(possible)
        .chain(near)
        .min_by_key(distance)
}

/// Whether a time in the year of the line's arrival is so near to it that no other year can be nearer: by half a year.
pub(super) fn is_certain(time: Timestamp, around: Around) -> bool {
    time <= around.arrival + AHEAD_MAX && time.nanos().abs_diff(around.arrival.nanos()) < HALF_A_YEAR_NANOS
}

/// The day that it is in a zone.
pub(super) fn date(time: Timestamp, zone: &TimeZone) -> Option<Date> {
    let time = jiff::Timestamp::from_nanosecond(time.nanos().into()).ok()?;
    Some(zone.to_datetime(time).date())
}

fn digits(tens: u8, ones: u8) -> Option<i8> {
    if !tens.is_ascii_digit() || !ones.is_ascii_digit() {
        return None;
    }
    i8::try_from((tens - b'0') * 10 + (ones - b'0')).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WEEK_SECONDS: i64 = 7 * 24 * 3600;

    /// Reads a stamp that has its year.
    type Reader = fn(&[u8]) -> Option<(Civil, &[u8])>;

    fn seconds(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().unwrap().as_second()
    }

    /// What a log says about an instant, without a year.
    fn yearless(at: Timestamp, zone: &TimeZone) -> Yearless {
        let civil = zone.to_datetime(jiff::Timestamp::from_nanosecond(at.nanos().into()).unwrap());
        let [stamp, unpadded @ ..] = ["%b %e %H:%M:%S", "%b %-d %H:%M:%S", "%b %d %H:%M:%S"].map(|format| {
            let text = civil.strftime(format).to_string();
            month_day_time(text.as_bytes()).unwrap().0
        });
        for same in unpadded {
            assert_eq!(same.time(), stamp.time());
            assert!(
                (same.month, same.day) == (stamp.month, stamp.day),
                "a day is the same however it is padded"
            );
        }
        stamp
    }

    proptest! {
        #[test]
        fn the_year_is_found_around_new_year(written in -WEEK_SECONDS..WEEK_SECONDS, late in -86_000i64..WEEK_SECONDS) {
            for zone in ["Europe/Rome", "America/New_York", "UTC"] {
                let zone = TimeZone::get(zone).unwrap();
                let at = Timestamp::from_seconds(seconds("2026-01-01T00:00:00Z") + written);
                let around = Around { arrival: Timestamp::from_seconds(at.seconds() + late), previous: None };
                prop_assert_eq!(with_nearest_year(yearless(at, &zone), &zone, around), Some(at));
            }
        }

        /// Every day of twelve years, leap days among them, read up to a month after it was written.
        #[test]
        fn the_year_is_found_on_every_day(day in 0i64..12 * 365, second in 0i64..86_400, late in 0i64..30 * 86_400) {
            for zone in ["Europe/Rome", "America/New_York", "UTC"] {
                let zone = TimeZone::get(zone).unwrap();
                let at = Timestamp::from_seconds(seconds("2019-01-01T00:00:00Z") + day * 86_400 + second);
                let around = Around { arrival: Timestamp::from_seconds(at.seconds() + late), previous: Some(at) };
                prop_assert_eq!(with_nearest_year(yearless(at, &zone), &zone, around), Some(at));
            }
        }

        /// A stamp with its year is what jiff makes of it, in either of its two shapes.
        #[test]
        fn a_stamp_with_a_year_is_read_as_jiff_wrote_it(at in 0i64..4_000_000_000) {
            for zone in ["Europe/Rome", "America/New_York", "UTC"] {
                let zone = TimeZone::get(zone).unwrap();
                let civil = zone.to_datetime(jiff::Timestamp::from_second(at).unwrap());
                for (shape, stamp) in [("%Y-%m-%d %H:%M:%S.%9f", iso_date_time as Reader), ("%a %b %e %H:%M:%S %Y", weekday_date_time_year)] {
                    let text = civil.strftime(shape).to_string();
                    let (read, rest) = stamp(text.as_bytes()).unwrap();
                    prop_assert_eq!((read, rest), (Some(civil), &b""[..]));
                    let at = Timestamp::from_seconds(at);
                    let around = Around { arrival: at, previous: Some(at) };
                    prop_assert_eq!(read.and_then(|read| instant(read, &zone, around)), Some(at));
                }
            }
        }

        /// A live log and a replayed one, a line every few minutes: both are read back through all changes.
        #[test]
        fn a_log_passes_through_a_clock_change(
            start in -WEEK_SECONDS..0,
            steps in proptest::collection::vec(1i64..1200, 200),
            change in proptest::sample::select(&[
                ("Europe/Rome", "2026-03-29T01:00:00Z"),
                ("Europe/Rome", "2026-10-25T01:00:00Z"),
                ("America/New_York", "2026-03-08T07:00:00Z"),
                ("America/New_York", "2026-11-01T06:00:00Z"),
            ][..]),
        ) {
            let zone = TimeZone::get(change.0).unwrap();
            let close_before = start % 7200;
            for start in [start, close_before] {
                let mut at = Timestamp::from_seconds(seconds(change.1) + start);
                let (mut live, mut replayed) = (None, Some(at));
                for step in &steps {
                    at = at + Duration::from_secs(step.unsigned_abs());
                    let stamp = yearless(at, &zone);
                    let around = Around { arrival: at + Duration::from_millis(10), previous: live };
                    live = with_nearest_year(stamp, &zone, around);
                    prop_assert_eq!(live, Some(at));
                    let around = Around { arrival: replayed.unwrap(), previous: replayed };
                    replayed = with_nearest_year(stamp, &zone, around);
                    prop_assert_eq!(replayed, Some(at));
                }
            }
        }

        #[test]
        fn no_yearless_stamp_is_more_than_a_day_ahead(day in 1i8..=31, month in 1i8..=12, near in 0i64..4_000_000_000) {
            let stamp = Yearless { month, day, time: Some(Time::midnight()) };
            let near = Timestamp::from_seconds(near);
            if let Some(time) = with_nearest_year(stamp, &TimeZone::UTC, Around { arrival: near, previous: None }) {
                prop_assert!(time <= near + AHEAD_MAX);
                prop_assert!(near.since(time) < Duration::from_secs(2 * 366 * 24 * 3600));
            }
        }
    }

    #[track_caller]
    fn check(stamp: &str, zone: &str, arrival: &str, previous: Option<&str>, expected: Option<&str>) {
        let zone = TimeZone::get(zone).unwrap();
        let at = |text: &str| Timestamp::from_seconds(seconds(text));
        let around = Around { arrival: at(arrival), previous: previous.map(at) };
        let (stamp, _) = month_day_time(stamp.as_bytes()).unwrap();
        assert_eq!(with_nearest_year(stamp, &zone, around), expected.map(at));
    }

    #[test]
    fn a_leap_day_stands_in_a_leap_year() {
        check("Feb 29 12:00:00", "UTC", "2024-03-01T00:00:00Z", None, Some("2024-02-29T12:00:00Z"));
        check("Feb 29 12:00:00", "UTC", "2025-01-01T00:00:00Z", None, Some("2024-02-29T12:00:00Z"));
        check("Feb 29 12:00:00", "UTC", "2026-03-01T00:00:00Z", None, None);
    }

    #[test]
    fn a_skipped_hour_is_shifted_forward() {
        let arrival = "2026-03-29T12:00:00Z";
        check("Mar 29 02:30:00", "Europe/Rome", arrival, None, Some("2026-03-29T01:30:00Z"));
    }

    #[test]
    fn of_a_repeated_hour_the_arrival_and_the_line_before_tell_which() {
        let stamp = "Oct 25 02:30:00";
        let (first, second) = (Some("2026-10-25T00:30:00Z"), Some("2026-10-25T01:30:00Z"));
        check(stamp, "Europe/Rome", "2026-10-25T00:30:01Z", None, first);
        check(stamp, "Europe/Rome", "2026-10-25T01:30:01Z", None, second);
        let later = "2026-10-26T12:00:00Z";
        check(stamp, "Europe/Rome", later, None, second);
        check(stamp, "Europe/Rome", later, Some("2026-10-25T00:29:00Z"), first);
        check(stamp, "Europe/Rome", later, Some("2026-10-25T01:29:00Z"), second);
    }
}
