//! A time of day.

use std::time::Duration;

use crate::value::{Value, mismatch};
use toml::de::DeValue;

/// A time of day in UTC, as the time since midnight: `"06:30Z"`, with two digits each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOfDay(pub Duration);

impl Value for TimeOfDay {
    const EXPECTED: &'static str = "a time of day in UTC such as \"00:00Z\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_str().and_then(parse).map(TimeOfDay).ok_or_else(|| mismatch(Self::EXPECTED, value))
    }
}

fn parse(text: &str) -> Option<Duration> {
    let (hours, minutes) = text.strip_suffix('Z')?.split_once(':')?;
    let number = |digits: &str, below: u64| {
        let is_plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<u64>().ok().filter(|number| is_plain && *number < below)
    };
    Some(Duration::from_secs(number(hours, 24)? * 3600 + number(minutes, 60)? * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, minutes: Option<u64>) {
        assert_eq!(parse(text), minutes.map(|minutes| Duration::from_secs(minutes * 60)), "{text}");
    }

    #[test]
    fn a_time_of_day_has_one_spelling() {
        check("00:00Z", Some(0));
        check("23:59Z", Some(24 * 60 - 1));
        for wrong in ["24:00Z", "00:60Z", "00:00", "6:30Z", "+6:30Z", "0630Z", "06:30:00Z", ""] {
            check(wrong, None);
        }
    }
}
