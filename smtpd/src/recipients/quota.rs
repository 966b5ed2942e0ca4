//! Whether a mailbox is full, by the file `maildirsize` that vpopmail and Courier keep in a Maildir: its first line is the
//! quota, `10485760S,1000C`, and every other one what came or went since, `SIZE COUNT`.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Longest file that is read; whoever delivers begins it anew at 5,120 bytes.
const BYTES_MAX: u64 = 16 * 1024;

/// How much of its quota a mailbox may have used up to take mail, in hundredths; 0 for any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaPercent(pub u32);

impl Default for QuotaPercent {
    fn default() -> Self {
        QuotaPercent(100)
    }
}

/// Whether nothing more fits into a Maildir. One without a quota is never full.
///
/// # Errors
/// Where the file is there and cannot be read.
pub(super) fn is_full(maildir: &Path, percent: QuotaPercent) -> io::Result<bool> {
    if percent.0 == 0 {
        return Ok(false);
    }
    let mut text = String::new();
    match File::open(maildir.join("maildirsize")) {
        Ok(file) => drop(file.take(BYTES_MAX).read_to_string(&mut text)?),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(false);
        }
        Err(error) => return Err(error),
    }
    Ok(judge(&text, percent))
}

fn judge(text: &str, QuotaPercent(percent): QuotaPercent) -> bool {
    let mut lines = text.lines();
    let quota = lines.next().unwrap_or_default();
    let limit = |unit: char| {
        let part = quota.split(',').find_map(|part| part.strip_suffix(unit));
        part.and_then(|number| number.parse::<i64>().ok()).filter(|limit| *limit > 0)
    };
    let (mut bytes, mut count) = (0_i64, 0_i64);
    for line in lines {
        let mut numbers = line.split_whitespace().map(|number| number.parse::<i64>().unwrap_or(0));
        bytes = bytes.saturating_add(numbers.next().unwrap_or(0));
        count = count.saturating_add(numbers.next().unwrap_or(0));
    }
    let is_over = |used: i64, limit: i64| i128::from(used) * 100 >= i128::from(limit) * i128::from(percent);
    limit('S').is_some_and(|limit| is_over(bytes, limit))
        || limit('C').is_some_and(|limit| is_over(count, limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_is_full_when_either_limit_is_reached() {
        for (text, full) in [
            ("", false),
            ("1000S,10C\n", false),
            ("1000S,10C\n999 9\n", false),
            ("1000S,10C\n600 3\n400 1\n", true),
            ("1000S,10C\n600 3\n400 1\n-300 -1\n", false),
            ("1000S,10C\n1 10\n", true),
            ("10C\n5 9\n7 1\n", true),
            ("0S\n5 9\n", false),
            ("nonsense\nx y\n", false),
        ] {
            assert_eq!(judge(text, QuotaPercent::default()), full, "{text:?}");
        }
        assert!(judge("1000S\n900 1\n", QuotaPercent(90)) && !judge("1000S\n899 1\n", QuotaPercent(90)));
    }
}
