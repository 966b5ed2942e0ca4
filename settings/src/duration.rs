//! Lengths of time as people write them: `90s`, `10m`, `1h30m`, `30d`.

use std::fmt;
use std::time::Duration;

/// Nothing in a setting is longer: 100 years. Larger ones overflow the clocks they are added to.
pub const MAX: Duration = Duration::from_secs(36_500 * 86_400);

/// From the longest to the shortest, the order in which they are written.
const UNITS: [(&str, Duration); 8] = [
    ("w", Duration::from_secs(604_800)),
    ("d", Duration::from_secs(86_400)),
    ("h", Duration::from_secs(3600)),
    ("m", Duration::from_secs(60)),
    ("s", Duration::from_secs(1)),
    ("ms", Duration::from_millis(1)),
    ("us", Duration::from_micros(1)),
    ("ns", Duration::from_nanos(1)),
];

/// Why a text is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// A number stands without a unit.
    #[error("a duration needs a unit: write \"{0}s\" for seconds, or \"10m\", \"1h\", \"30d\"")]
    NoUnit(String),
    /// The text is not numbers and units.
    #[error("{0:?} is no duration: write whole numbers with units, such as \"90s\", \"10m\" or \"1h30m\"")]
    Shape(String),
    /// A unit that is none of ours.
    #[error("{0:?} is no unit of time: use w, d, h, m, s or ms")]
    Unit(String),
    /// A unit stands twice, or after a shorter one.
    #[error("the units of {0:?} must go from the longest to the shortest, each once")]
    Order(String),
    /// More than [`MAX`].
    #[error("{0:?} is too long: the longest duration is \"{max}\"", max = human(MAX))]
    TooLong(String),
}

/// Reads whole numbers with units, the longest unit first: `90s`, `10m`, `1h30m`, `500ms`.
///
/// # Errors
/// [`DurationError`] says what is wrong with the text.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let shape = || DurationError::Shape(text.to_owned());
    let mut total = Duration::ZERO;
    let mut rest = text;
    let mut units = UNITS.iter();
    while !rest.is_empty() || units.len() == UNITS.len() {
        let (digits, after) = split(rest, |c| c.is_ascii_digit());
        let (unit, after) = split(after, |c| c.is_alphabetic() || c == '\u{b5}');
        rest = after;
        match (digits, unit) {
            ("", _) => return Err(shape()),
            (_, "") if rest.is_empty() => return Err(DurationError::NoUnit(digits.to_owned())),
            (_, "") => return Err(shape()),
            (_, _) if !UNITS.iter().any(|(name, _)| *name == unit) => {
                return Err(DurationError::Unit(unit.to_owned()));
            }
            (_, _) => {}
        }
        // What the iterator has passed is longer than the unit before.
        let Some((_, length)) = units.find(|(name, _)| *name == unit) else {
            return Err(DurationError::Order(text.to_owned()));
        };
        total = add(total, digits, *length).ok_or_else(|| DurationError::TooLong(text.to_owned()))?;
    }
    Ok(total)
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

/// The sum, where it is no more than [`MAX`]. 2^32 of any unit but the smallest three are beyond it, and those three
/// have no use for more either.
fn add(total: Duration, digits: &str, unit: Duration) -> Option<Duration> {
    let part = unit.checked_mul(digits.parse().ok()?)?;
    total.checked_add(part).filter(|&sum| sum <= MAX)
}

/// Writes a duration as [`parse`] reads it, as short as it can be: `1h`, `10m`, `1d12h`; never in weeks.
pub fn human(duration: Duration) -> impl fmt::Display + Copy {
    Human(duration)
}

#[derive(Clone, Copy)]
struct Human(Duration);

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_zero() {
            return f.write_str("0s");
        }
        let mut rest = self.0.as_nanos();
        for (name, unit) in UNITS.iter().skip(1) {
            let count = rest / unit.as_nanos();
            rest %= unit.as_nanos();
            if count > 0 {
                write!(f, "{count}{name}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<Duration, &str>) {
        assert_eq!(parse(text).map_err(|e| e.to_string()), expected.map_err(str::to_owned));
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        check("90s", Ok(Duration::from_secs(90)));
        check("10m", Ok(Duration::from_secs(600)));
        check("24h", Ok(Duration::from_secs(86_400)));
        check("30d", Ok(Duration::from_secs(2_592_000)));
        check("1w", Ok(Duration::from_secs(604_800)));
        check("1h30m", Ok(Duration::from_secs(5400)));
        check("500ms", Ok(Duration::from_millis(500)));
        check("0s", Ok(Duration::ZERO));
    }

    #[test]
    fn what_is_no_duration_is_refused_with_the_way_to_write_it() {
        check("600", Err("a duration needs a unit: write \"600s\" for seconds, or \"10m\", \"1h\", \"30d\""));
        check(
            "",
            Err("\"\" is no duration: write whole numbers with units, such as \"90s\", \"10m\" or \"1h30m\""),
        );
        check(
            "-1h",
            Err(
                "\"-1h\" is no duration: write whole numbers with units, such as \"90s\", \"10m\" or \"1h30m\"",
            ),
        );
        check(
            "1.5h",
            Err(
                "\"1.5h\" is no duration: write whole numbers with units, such as \"90s\", \"10m\" or \"1h30m\"",
            ),
        );
        check(
            "3 hours",
            Err(
                "\"3 hours\" is no duration: write whole numbers with units, such as \"90s\", \"10m\" or \"1h30m\"",
            ),
        );
        check("3hours", Err("\"hours\" is no unit of time: use w, d, h, m, s or ms"));
        check("30m1h", Err("the units of \"30m1h\" must go from the longest to the shortest, each once"));
        check("1h1h", Err("the units of \"1h1h\" must go from the longest to the shortest, each once"));
        check("9999999999d", Err("\"9999999999d\" is too long: the longest duration is \"36500d\""));
        check("4000000w", Err("\"4000000w\" is too long: the longest duration is \"36500d\""));
    }

    #[test]
    fn a_duration_is_shown_as_short_as_it_can_be() {
        for (seconds, text) in
            [(3600, "1h"), (600, "10m"), (129_600, "1d12h"), (2_592_000, "30d"), (61, "1m1s"), (0, "0s")]
        {
            assert_eq!(human(Duration::from_secs(seconds)).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back_equal(seconds in 0..=MAX.as_secs() - 1, nanos in 0..1_000_000_000u32) {
            let duration = Duration::new(seconds, nanos);
            prop_assert_eq!(parse(&human(duration).to_string()), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in "([0-9]{0,25}[a-zµé .-]{0,3}){0,4}") {
            if let Ok(duration) = parse(&text) {
                prop_assert!(duration <= MAX);
            }
        }
    }
}
