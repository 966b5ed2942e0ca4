//! From the fields of a date to an instant: a year that is not named is this one or the last, a day that is not named
//! is today or yesterday.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use logline::Timestamp;

use super::field::{Field, MONTHS, WEEKDAYS};
use super::zone;

/// What a stamp says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The instant.
    pub at: Timestamp,
    /// How far its own zone is from UTC; none where it is in local time.
    pub offset: Option<Offset>,
}

/// The fields as they were read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fields {
    year: Option<i16>,
    month: Option<i8>,
    day: Option<i8>,
    year_day: Option<i16>,
    /// From Monday.
    weekday: Option<i16>,
    /// Of the year, and whether it begins with Monday.
    week: Option<(i16, bool)>,
    hour: i8,
    is_hour_12: bool,
    is_afternoon: bool,
    minute: i8,
    second: i8,
    /// Minutes east of UTC.
    zone: Option<i32>,
}

impl Fields {
    /// Takes in the text of one field; none where it means nothing.
    pub(super) fn set(&mut self, field: Field, text: &[u8]) -> Option<()> {
        let small = || number(text).and_then(|number| i8::try_from(number).ok());
        match field {
            Field::Year { .. } => self.year = Some(number(text)?),
            // A short year is of this century, as fail2ban has it.
            Field::ShortYear => self.year = Some(number(text)? + 2000),
            Field::Month { .. } => self.month = small(),
            Field::MonthName | Field::LongMonthName => {
                self.month = i8::try_from(place(&MONTHS, text)? + 1).ok();
            }
            Field::Day { .. } => self.day = small(),
            Field::YearDay => self.year_day = number(text),
            Field::WeekdayName | Field::LongWeekdayName => {
                self.weekday = i16::try_from(place(&WEEKDAYS, text)?).ok();
            }
            // Sunday is 0 in the text.
            Field::Weekday => self.weekday = Some((number(text)? + 6) % 7),
            Field::Week { from_monday } => self.week = Some((number(text)?, from_monday)),
            Field::Hour { .. } => self.hour = small()?,
            Field::Hour12 { .. } => (self.hour, self.is_hour_12) = (small()?, true),
            Field::HalfDay => self.is_afternoon = matches!(text.first(), Some(b'p' | b'P')),
            Field::Minute { .. } => self.minute = small()?,
            Field::Second { .. } => self.second = small()?,
            // fail2ban counts whole seconds; so does what is compared with it.
            Field::Fraction => {}
            Field::Offset { .. } | Field::Zone { .. } => {
                self.zone = Some(zone::minutes(std::str::from_utf8(text).ok()?)?);
            }
        }
        Some(())
    }

    /// The instant; none where the fields name none: 30 February, 25 o'clock.
    pub(super) fn stamp(mut self, arrival: Timestamp, zone: &TimeZone) -> Option<Stamp> {
        if self.is_hour_12 {
            self.hour = self.hour % 12 + if self.is_afternoon { 12 } else { 0 };
            if self.hour > 23 {
                return None;
            }
        }
        let now = || -> Option<DateTime> {
            let arrival = jiff::Timestamp::from_nanosecond(arrival.nanos().into()).ok()?;
            Some(zone.to_datetime(arrival))
        };
        let year = match self.year {
            Some(0) => return None,
            Some(year) => year,
            None => now()?.year(),
        };
        let (date, is_today) = match (self.date_in(year)?, self.month, self.day) {
            (Some(date), ..) => (date, false),
            (None, None, None) => (now()?.date(), true),
            (None, ..) => return None,
        };
        let time = Time::new(self.hour, self.minute, self.second, 0).ok()?;
        let mut local = DateTime::from_parts(date, time);
        let offset = match self.zone {
            Some(minutes) => Some(Offset::from_seconds(minutes.checked_mul(60)?).ok()?),
            None => None,
        };
        if let Some(offset) = offset {
            local = local.checked_sub(jiff::Span::new().seconds(i64::from(offset.seconds()))).ok()?;
        }
        if is_today && local > now()? {
            // A line that was written just before midnight.
            local = local.checked_sub(jiff::Span::new().days(1)).ok()?;
        }
        if self.year.is_none() && local > now()?.checked_add(jiff::Span::new().days(1)).ok()? {
            let (month, day) = (date.month(), date.day());
            local = DateTime::from_parts(Date::new(year - 1, month, day).ok()?, local.time());
        }
        let at = match offset {
            Some(_) => Offset::UTC.to_timestamp(local).ok()?,
            None => instant(local, zone)?,
        };
        // Beyond the year 2262 there is no instant here.
        let nanos = at.as_second().checked_mul(1_000_000_000)?;
        Some(Stamp { at: Timestamp::from_nanos(nanos), offset })
    }

    /// The day that is named in a year; none in it where none is.
    fn date_in(&self, year: i16) -> Option<Option<Date>> {
        if let (Some(month), Some(day)) = (self.month, self.day) {
            return Some(Some(Date::new(year, month, day).ok()?));
        }
        let first = Date::new(year, 1, 1).ok()?;
        let year_day = self.year_day.or_else(|| {
            let ((week, from_monday), weekday) = (self.week?, self.weekday?);
            let begins = if from_monday { 0 } else { 6 };
            let before = (i16::from(first.weekday().to_monday_zero_offset()) - begins).rem_euclid(7);
            let weekday = (weekday - begins).rem_euclid(7);
            // Days before the first Monday, or Sunday, are in week 0.
            let full = (7 - before) % 7;
            Some(if week == 0 { 1 + weekday - before } else { 1 + full + 7 * (week - 1) + weekday })
        });
        let Some(year_day) = year_day else { return Some(None) };
        Some(Some(first.checked_add(jiff::Span::new().days(i64::from(year_day) - 1)).ok()?))
    }
}

/// Of two instants with the same reading, the earlier one.
fn instant(local: DateTime, zone: &TimeZone) -> Option<jiff::Timestamp> {
    let offset = match zone.to_ambiguous_timestamp(local).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset,
        AmbiguousOffset::Gap { before, .. } => before,
        AmbiguousOffset::Fold { before, .. } => before,
    };
    offset.to_timestamp(local).ok()
}

fn number(text: &[u8]) -> Option<i16> {
    let text = text.strip_prefix(b" ").unwrap_or(text);
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Where a name, or its first three letters, stands in the list.
fn place(names: &[&str], text: &[u8]) -> Option<usize> {
    let is_it = |name: &&str| {
        let name = name.as_bytes();
        name.eq_ignore_ascii_case(text) || name.get(..3).is_some_and(|short| short.eq_ignore_ascii_case(text))
    };
    names.iter().position(is_it)
}
