//! A time zone that keeps in mind the day that was asked for last. The stamps of a log lie close together: nearly all of
//! them are placed by an addition, and the zone's table is asked once a day.

use std::cell::Cell;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousTimestamp, Offset, TimeZone};
use logline::Timestamp;

/// A zone, and what was asked of it last.
#[derive(Clone, Debug)]
pub(super) struct Zone {
    zone: TimeZone,
    /// Changes no answer, only how fast it comes.
    last: Cell<Option<Day>>,
}

/// A day in a zone.
#[derive(Clone, Copy, Debug)]
struct Day {
    date: Date,
    /// The second since 1970 at which it begins; none where the clocks change on it.
    start: Option<i64>,
}

const DAY_SECONDS: i64 = 86_400;

impl Zone {
    pub(super) fn new(zone: TimeZone) -> Self {
        Zone { zone, last: Cell::new(None) }
    }

    /// The instant of a local time on a day on which the clocks do not change. Of other days, [`Zone::ambiguous`] tells.
    #[inline]
    pub(super) fn plain_instant(&self, civil: DateTime) -> Option<Timestamp> {
        let day = self.last.get().filter(|day| day.date == civil.date());
        let start = day.unwrap_or_else(|| self.look_up(civil.date())).start?;
        let clock =
            i64::from(civil.hour()) * 3600 + i64::from(civil.minute()) * 60 + i64::from(civil.second());
        let nanos = (start + clock).checked_mul(1_000_000_000)?;
        nanos.checked_add(civil.subsec_nanosecond().into()).map(Timestamp::from_nanos)
    }

    /// The instants of a local time, be there one, two or none.
    pub(super) fn ambiguous(&self, civil: DateTime) -> AmbiguousTimestamp {
        self.zone.to_ambiguous_timestamp(civil)
    }

    /// The year in which an instant is here.
    pub(super) fn year(&self, at: Timestamp) -> Option<i16> {
        if let Some(Day { date, start: Some(start) }) = self.last.get()
            && (start..start + DAY_SECONDS).contains(&at.seconds())
        {
            return Some(date.year());
        }
        let at = jiff::Timestamp::from_nanosecond(at.nanos().into()).ok()?;
        Some(self.zone.to_datetime(at).year())
    }

    #[cold]
    fn look_up(&self, date: Date) -> Day {
        let day = Day { date, start: self.start(date) };
        self.last.set(Some(day));
        day
    }

    /// When a day begins on which every time of day is there, and once. A time that is there twice, or not at all, lies
    /// at an end of the day if no change lies within it.
    fn start(&self, date: Date) -> Option<i64> {
        let instant = |time| self.zone.to_ambiguous_timestamp(date.to_datetime(time)).unambiguous().ok();
        let (first, last) = (instant(Time::midnight())?, instant(Time::MAX)?);
        let changes = self.zone.following(first).next().is_some_and(|change| change.timestamp() <= last);
        (!changes).then_some(first.as_second())
    }
}

/// The instant of a time that is so far ahead of UTC, for which `utc` is asked.
pub(super) fn instant_at(civil: DateTime, offset: Offset, utc: &Zone) -> Option<Timestamp> {
    let ahead = i64::from(offset.seconds()) * 1_000_000_000;
    utc.plain_instant(civil)?.nanos().checked_sub(ahead).map(Timestamp::from_nanos)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::*;

    const ZONES: [&str; 9] = [
        "UTC",
        "Europe/Rome",
        "America/New_York",
        "America/Sao_Paulo",
        "Australia/Lord_Howe",
        "Asia/Beirut",
        "Pacific/Apia",
        "Africa/Casablanca",
        "America/St_Johns",
    ];

    /// 1900 to 2200: also before the first change and after the last that is in a table.
    fn civil() -> impl Strategy<Value = DateTime> {
        let instant = (-2_208_988_800i64..7_258_118_400, 0i32..1_000_000_000);
        instant.prop_map(|(second, nanos)| {
            TimeZone::UTC.to_datetime(jiff::Timestamp::new(second, nanos).unwrap())
        })
    }

    fn timestamp(instant: jiff::Timestamp) -> Timestamp {
        Timestamp::from_nanos(i64::try_from(instant.as_nanosecond()).unwrap())
    }

    proptest! {
        /// Times that lie close together, as in a log, and times around changes.
        #[test]
        fn what_is_kept_in_mind_changes_no_answer(
            name in prop::sample::select(&ZONES[..]),
            start in civil(),
            steps in prop::collection::vec(prop_oneof![-7200i64..7200, -200_000i64..200_000], 1..60),
        ) {
            let known = TimeZone::get(name).unwrap();
            let zone = Zone::new(known.clone());
            let change = known.following(known.to_timestamp(start).unwrap()).next();
            let change = change.map(|change| known.to_datetime(change.timestamp()));
            for mut at in [start, change.unwrap_or(start)] {
                for step in &steps {
                    at = at.saturating_add(SignedDuration::from_secs(*step));
                    if let Some(instant) = zone.plain_instant(at) {
                        let only = known.to_ambiguous_timestamp(at).unambiguous().ok();
                        prop_assert_eq!(Some(instant), only.map(timestamp), "{}", at);
                    }
                    let there = known.to_timestamp(at).unwrap();
                    prop_assert_eq!(zone.year(timestamp(there)), Some(known.to_datetime(there).year()));
                }
            }
        }

        #[test]
        fn a_fixed_offset_is_an_addition(civil in civil(), offset in -86_400i32..86_400) {
            let offset = Offset::from_seconds(offset).unwrap();
            let instant = instant_at(civil, offset, &Zone::new(TimeZone::UTC));
            prop_assert_eq!(instant, Some(timestamp(offset.to_timestamp(civil).unwrap())));
        }
    }

    #[test]
    fn a_day_is_plain_but_where_the_clocks_change() {
        let zone = Zone::new(TimeZone::get("Europe/Rome").unwrap());
        let noons =
            (1..=365).filter_map(|day| Date::new(2026, 1, 1).ok()?.with().day_of_year(day).build().ok());
        let changes: Vec<_> = noons
            .filter(|day| zone.plain_instant(day.at(12, 0, 0, 0)).is_none())
            .map(|day| day.to_string())
            .collect();
        assert_eq!(changes, ["2026-03-29", "2026-10-25"]);
    }

    #[test]
    fn a_time_that_is_out_of_range_has_no_instant() {
        let civil = jiff::civil::date(2262, 4, 12).at(0, 0, 0, 0);
        assert_eq!(Zone::new(TimeZone::UTC).plain_instant(civil), None);
    }
}
