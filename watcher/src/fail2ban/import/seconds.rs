//! Lengths of time as fail2ban's jails write them: `600`, `1d12h30m`, `6 months`, `24*60*60`, `-1` for ever.

use std::time::Duration;

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// So long.
    For(Duration),
    /// Without an end.
    Ever,
}

/// Every unit with the names it may have, and its seconds. A month is a twelfth of a year, and a year has 365.25 days.
const UNITS: &[(&[&str], u64)] = &[
    (&["s", "ss", "se", "sec", "second", "seconds"], 1),
    (&["m", "mm", "mi", "min", "minute", "minutes"], 60),
    (&["h", "hh", "ho", "hou", "hour", "hours"], 3600),
    (&["d", "dd", "da", "day", "days"], 86_400),
    (&["w", "ww", "we", "wee", "week", "weeks"], 604_800),
    (&["mo", "mon", "month", "months"], 2_629_800),
    (&["y", "yy", "ye", "yea", "year", "years"], 31_557_600),
];

/// Reads a length; none where the text is none.
pub(super) fn read(text: &str) -> Option<Length> {
    let text = text.trim().to_lowercase();
    if text.starts_with('-') {
        return Some(Length::Ever);
    }
    let mut total = 0u64;
    for term in text.split('+').map(str::trim) {
        let mut factors = term.split('*').map(sum);
        let first = factors.next()??;
        let term = factors.try_fold(first, |product, factor| product.checked_mul(factor?))?;
        total = total.checked_add(term)?;
    }
    Some(Length::For(Duration::from_secs(total)))
}

/// Numbers with their units, one after the other; a number alone is of seconds.
fn sum(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut total = 0u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, behind) = rest.split_at_checked(digits)?;
        let behind = behind.trim_start();
        let letters = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at_checked(letters)?;
        let seconds = match unit {
            "" => 1,
            unit => UNITS.iter().find(|(names, _)| names.contains(&unit))?.1,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(seconds)?)?;
        rest = behind.trim_start();
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_sums_and_products() {
        let seconds = |text: &str| match read(text) {
            Some(Length::For(length)) => Some(length.as_secs()),
            Some(Length::Ever) => Some(u64::MAX),
            None => None,
        };
        for (text, expected) in [
            ("600", Some(600)),
            ("10m", Some(600)),
            ("1d12h30m", Some(131_400)),
            ("1h 2m 3s", Some(3723)),
            ("0d 1h 30m", Some(5400)),
            ("1hour+30min", Some(5400)),
            ("6 months", Some(15_778_800)),
            ("1y", Some(31_557_600)),
            ("24*60*60", Some(86_400)),
            ("-1", Some(u64::MAX)),
            ("", None),
            ("m", None),
            ("1x", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
