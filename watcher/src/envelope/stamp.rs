//! A stamp as it was read, and its place on the time line: the first follows from the line alone, the second may need the
//! zone, the year and the line before.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use logline::Timestamp;

use super::civil::{self, Yearless};
use super::{Around, Envelope, Opened};

const DAY_NANOS: i64 = 24 * 3600 * 1_000_000_000;

/// What a line says about its own time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stamp {
    /// Nothing, or something that names no instant.
    None,
    /// An instant.
    Instant(Timestamp),
    /// A date and a time of day in the zone of the log.
    Local(DateTime),
    /// The same without a year.
    Yearless(Yearless),
}

impl Stamp {
    /// The instant that it names.
    pub(crate) fn instant(self, zone: &TimeZone, around: Around) -> Option<Timestamp> {
        match self {
            Stamp::None => None,
            Stamp::Instant(time) => Some(time),
            Stamp::Local(civil) => civil::instant(civil, zone, around),
            Stamp::Yearless(yearless) => civil::with_nearest_year(yearless, zone, around),
        }
    }
}

/// `Nov 21 12:00:00 `, with the space behind it.
const TRADITIONAL_BYTES: usize = 16;

/// The traditional stamp that was read last: the lines of one second have the same.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Recent(Option<([u8; TRADITIONAL_BYTES], Yearless)>);

impl Recent {
    /// The stamp at the beginning of a line, and what follows its space; none where no such stamp stands there.
    #[inline]
    pub(super) fn month_day_time<'a>(&mut self, line: &'a [u8]) -> Option<(Yearless, &'a [u8])> {
        let (text, rest) = line.split_first_chunk::<TRADITIONAL_BYTES>()?;
        if let Some((known, stamp)) = &self.0
            && known == text
        {
            return Some((*stamp, rest));
        }
        let (stamp, []) = civil::month_day_time(text.strip_suffix(b" ")?)? else { return None };
        self.0 = Some((*text, stamp));
        Some((stamp, rest))
    }
}

/// Places the stamps of one log, one after the other. It gives what one look at each gives; but the lines of a day come
/// together, and in a day without a change of clocks it needs no look at the zone's rules.
#[derive(Clone, Debug)]
pub struct Calendar {
    zone: TimeZone,
    day: Option<Day>,
}

/// A day of 24 hours in which every time of day is one instant.
#[derive(Clone, Copy, Debug)]
struct Day {
    date: Date,
    midnight: Timestamp,
    /// Who looks at the calendar between these finds this day's year in it, in whichever zone.
    year: (Timestamp, Timestamp),
}

impl Calendar {
    /// For stamps in this zone.
    pub fn new(zone: TimeZone) -> Self {
        Calendar { zone, day: None }
    }

    /// Takes the next line out of its envelope.
    pub fn open<'a>(&mut self, line: &'a [u8], around: Around) -> Envelope<'a> {
        let opened = Opened::read(line);
        opened.at(self.instant(opened.stamp, around))
    }

    /// The instant that a stamp names.
    pub(crate) fn instant(&mut self, stamp: Stamp, around: Around) -> Option<Timestamp> {
        match stamp {
            Stamp::None => None,
            Stamp::Instant(time) => Some(time),
            Stamp::Local(civil) => match self.day.filter(|day| day.date == civil.date()) {
                Some(day) => day.at(civil.time()),
                None => {
                    self.day = Day::regular(civil.date(), &self.zone);
                    stamp.instant(&self.zone, around)
                }
            },
            Stamp::Yearless(yearless) => {
                let known = self.day.filter(|day| day.is_meant(yearless, around));
                let near = |time: &Timestamp| civil::is_certain(*time, around);
                let time = known.and_then(|day| day.at(yearless.time()?)).filter(near);
                time.or_else(|| {
                    let time = stamp.instant(&self.zone, around);
                    let date = time.and_then(|time| civil::date(time, &self.zone));
                    self.day = date.and_then(|date| Day::regular(date, &self.zone));
                    time
                })
            }
        }
    }
}

impl Day {
    fn regular(date: Date, zone: &TimeZone) -> Option<Self> {
        let midnight = |date: Date| {
            let ambiguous = zone.to_ambiguous_timestamp(date.to_datetime(Time::midnight()));
            if ambiguous.is_ambiguous() { None } else { ambiguous.compatible().ok() }
        };
        let (start, end) = (midnight(date)?, midnight(date.tomorrow().ok()?)?);
        if zone.following(start).next().is_some_and(|change| change.timestamp() < end) {
            return None;
        }
        let midnight = civil::timestamp(start)?;
        let is_whole = civil::timestamp(end)?.nanos().checked_sub(midnight.nanos()) == Some(DAY_NANOS);
        let new_year = |year: i16| {
            let date = Date::new(year, 1, 1).ok()?.to_datetime(Time::midnight());
            civil::timestamp(TimeZone::UTC.to_timestamp(date).ok()?)
        };
        // No zone is as far as two days from UTC.
        let margin = std::time::Duration::from_secs(2 * 24 * 3600);
        let year = (new_year(date.year())? + margin, new_year(date.year().checked_add(1)?)? - margin);
        is_whole.then_some(Day { date, midnight, year })
    }

    /// Whether a stamp without a year is tried with this day's year first.
    fn is_meant(&self, stamp: Yearless, around: Around) -> bool {
        stamp.is_of(self.date) && (self.year.0..self.year.1).contains(&around.arrival)
    }

    fn at(&self, time: Time) -> Option<Timestamp> {
        let [hours, minutes, seconds] = [time.hour(), time.minute(), time.second()].map(i64::from);
        let nanos = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000_000;
        let nanos = nanos + i64::from(time.subsec_nanosecond());
        Some(Timestamp::from_nanos(self.midnight.nanos().checked_add(nanos)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::envelope::Opened;

    const ZONES: &[&str] = &[
        "UTC",
        "Europe/Rome",
        "America/New_York",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "America/Sao_Paulo",
        "Africa/Casablanca",
        "Asia/Gaza",
    ];

    /// Instants that matter: now and then, new years, and changes of clocks at every hour of the day.
    fn instant() -> impl Strategy<Value = i64> {
        let near = prop::sample::select(&[
            1_767_225_600i64, // 2026-01-01 00:00Z
            1_774_746_000,    // 2026-03-29 01:00Z, Europe
            1_792_890_000,    // 2026-10-25 01:00Z
            1_772_953_200,    // 2026-03-08 07:00Z, New York
            1_325_239_200,    // 2011-12-30 10:00Z, Apia leaves out a day
            1_541_300_400,    // 2018-11-04 03:00Z, Sao Paulo at midnight
            1_709_164_800,    // 2024-02-29
        ]);
        prop_oneof![
            (near, -3 * 86_400i64..3 * 86_400).prop_map(|(near, off)| near + off),
            0i64..4_000_000_000,
        ]
    }

    proptest! {
        #[test]
        fn a_calendar_places_stamps_as_the_zones_rules_do(
            zone in prop::sample::select(ZONES),
            start in instant(),
            steps in prop::collection::vec((-4000i64..90_000, -4000i64..200_000, 0u8..3), 1..60),
        ) {
            let zone = TimeZone::get(zone).unwrap();
            let mut calendar = Calendar::new(zone.clone());
            let (mut at, mut previous) = (start, None);
            for (step, late, form) in steps {
                at += step;
                let written = jiff::Timestamp::from_second(at).unwrap();
                let form = ["%b %e %H:%M:%S m", "%Y-%m-%d %H:%M:%S.25 m", "%Y-%m-%dT%H:%M:%SZ m"][usize::from(form)];
                let line = zone.to_datetime(written).strftime(form).to_string();
                let stamp = Opened::read(line.as_bytes()).stamp;
                let around = Around { arrival: Timestamp::from_seconds(at + late), previous };
                let placed = stamp.instant(&zone, around);
                prop_assert_eq!(calendar.instant(stamp, around), placed, "{}", line);
                previous = placed.or(previous);
            }
        }
    }
}
