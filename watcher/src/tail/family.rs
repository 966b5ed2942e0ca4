//! Which names beside a log are its rotated generations, and which is older. Names only; whether such a file is still
//! to be read is decided elsewhere.

use std::cmp::Reverse;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// The names that a log's rotated files have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// multilog's and svlogd's: `@` and a stamp, and `previous` for a moment.
    Archives,
    /// logrotate's, newsyslog's, savelog's, cronolog's …: the log's own name with something added.
    Rotated(Kin),
}

/// The name that others are measured by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kin {
    pub(crate) base: OsString,
    pub(crate) likeness: Likeness,
}

/// When a name is like the base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Likeness {
    /// `mail.log.1`, `mail.log-20240812`, `mail-20240812.log`.
    Suffix,
    /// Also, where a symbolic link leads to a file with a date in its name, the files with other dates.
    SuffixOrDate,
}

/// The order of rotated files whose births cannot be told apart: the older is the smaller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// The name says nothing.
    Unknown,
    /// A date or a stamp: the larger is the younger.
    Stamped(Vec<u8>),
    /// A number that grows with each rotation.
    Counted(Reverse<u32>),
    /// Just moved out of the way.
    Newest,
}

impl Family {
    /// Where `name` stands in the family, if it belongs to it. A compressed file stands where it stood before.
    pub(crate) fn rank(&self, name: &OsStr) -> Option<Rank> {
        let name = plain_name(name).unwrap_or(name).as_bytes();
        match self {
            Family::Archives => archive_rank(name),
            Family::Rotated(kin) => kin.rank(name),
        }
    }
}

impl Kin {
    fn rank(&self, name: &[u8]) -> Option<Rank> {
        let base = self.base.as_bytes();
        if name == base {
            return None;
        }
        if let Some(rank) = suffix_of(base, name).or_else(|| infix_of(base, name)).and_then(suffix_rank) {
            return Some(rank);
        }
        match self.likeness {
            Likeness::Suffix => None,
            Likeness::SuffixOrDate => same_but_for_date(base, name).then(|| Rank::Stamped(name.to_vec())),
        }
    }
}

/// The name that a file had before it was compressed, if its name says that it is, in a way that can be read.
pub(crate) fn plain_name(name: &OsStr) -> Option<&OsStr> {
    const ENDINGS: &[&[u8]] = &[b".gz", b".xz", b".bz2", b".zst"];
    let name = name.as_bytes();
    let plain = ENDINGS.iter().find_map(|ending| name.strip_suffix(*ending))?;
    Some(OsStr::from_bytes(plain)).filter(|plain| !plain.is_empty())
}

/// Whether the name says that the file is compressed: such a file is no log by itself.
pub(crate) fn is_compressed(name: &OsStr) -> bool {
    const ENDINGS: &[&[u8]] = &[b".gz", b".xz", b".bz2", b".zst", b".lz4", b".lzma", b".Z", b".zip"];
    ENDINGS.iter().any(|ending| name.as_bytes().ends_with(ending))
}

/// The names of which `name` may be a rotated file by its suffix, longest first.
pub(crate) fn possible_bases(name: &OsStr) -> impl Iterator<Item = &OsStr> {
    let name = plain_name(name).unwrap_or(name).as_bytes();
    (1..name.len()).rev().filter_map(move |at| {
        let (base, suffix) = name.split_at_checked(at)?;
        suffix_rank(suffix).map(|_| OsStr::from_bytes(base))
    })
}

/// multilog: `@`, 24 hexadecimal digits, `.s` (finished) or `.u` (the writer was killed); svlogd has the same.
/// `previous` is what `current` is called until it has got its stamp.
fn archive_rank(name: &[u8]) -> Option<Rank> {
    if name == b"previous" {
        return Some(Rank::Newest);
    }
    let stamp = name.strip_prefix(b"@")?;
    let digits = stamp.strip_suffix(b".s").or_else(|| stamp.strip_suffix(b".u"))?;
    let is_stamp = digits.len() == 24 && digits.iter().all(u8::is_ascii_hexdigit);
    is_stamp.then(|| Rank::Stamped(digits.to_vec()))
}

fn suffix_of<'a>(base: &[u8], name: &'a [u8]) -> Option<&'a [u8]> {
    name.strip_prefix(base)
}

/// What stands between `mail` and `.log` in `mail-20240812.log`.
fn infix_of<'a>(base: &[u8], name: &'a [u8]) -> Option<&'a [u8]> {
    let dot = base.iter().rposition(|&byte| byte == b'.').filter(|&at| at > 0)?;
    let (stem, extension) = base.split_at_checked(dot)?;
    name.strip_prefix(stem)?.strip_suffix(extension)
}

fn suffix_rank(suffix: &[u8]) -> Option<Rank> {
    const WORDS: &[&[u8]] =
        &[b"old", b"prev", b"previous", b"last", b"save", b"saved", b"bak", b"orig", b"rotated"];
    let (separator, body) = suffix.split_first()?;
    if !b".-_~@".contains(separator) {
        return None;
    }
    if suffix == b"~" || WORDS.contains(&body) {
        return Some(Rank::Newest);
    }
    let is_number = !body.is_empty() && body.len() <= 5 && body.iter().all(u8::is_ascii_digit);
    if is_number {
        let number = std::str::from_utf8(body).ok()?.parse().ok()?;
        return Some(Rank::Counted(Reverse(number)));
    }
    let is_date = body.iter().filter(|byte| byte.is_ascii_digit()).count() >= DATE_DIGITS_MIN
        && body.iter().all(|byte| byte.is_ascii_digit() || b"-_.:+TZ".contains(byte));
    is_date.then(|| Rank::Stamped(body.to_vec()))
}

/// No date is told with fewer.
const DATE_DIGITS_MIN: usize = 4;

/// Whether both names are the same but for their digits, and have as many digits as a date has.
fn same_but_for_date(base: &[u8], name: &[u8]) -> bool {
    let blank = |byte: &u8| if byte.is_ascii_digit() { b'0' } else { *byte };
    let digits = base.iter().filter(|byte| byte.is_ascii_digit()).count();
    digits >= DATE_DIGITS_MIN && base.iter().map(blank).eq(name.iter().map(blank))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(family: &Family, oldest_first: &[&str], strangers: &[&str]) {
        let ranks: Vec<_> = oldest_first
            .iter()
            .map(|name| family.rank(OsStr::new(name)).unwrap_or_else(|| panic!("{name} does not belong")))
            .collect();
        assert!(ranks.is_sorted(), "{ranks:?}");
        for name in strangers {
            assert_eq!(family.rank(OsStr::new(name)), None, "{name}");
        }
    }

    fn rotated(base: &str, likeness: Likeness) -> Family {
        Family::Rotated(Kin { base: base.into(), likeness })
    }

    #[test]
    fn numbered_files_are_older_the_higher_the_number() {
        let strangers = [
            "mail.log",
            "mail.log.gz",
            "mail.log.2.Z",
            "mail.log.offset",
            "mail.login.1",
            "mail",
            "mail.log.",
        ];
        check(
            &rotated("mail.log", Likeness::Suffix),
            &["mail.log.10.gz", "mail.log.2.gz", "mail.log.2", "mail.log.1", "mail.log.old"],
            &strangers,
        );
    }

    #[test]
    fn dated_files_are_older_the_lower_the_date() {
        let family = rotated("mail.log", Likeness::Suffix);
        check(&family, &["mail.log-20240811", "mail.log-20240812"], &["mail.log-20240812.zip"]);
        check(&family, &["mail-20240811.log", "mail-20240812.log", "mail.1.log"], &["mail-error.log"]);
        check(&family, &["mail.log.2024-08-11T00:00:00", "mail.log.2024-08-12T00:00:00"], &[]);
    }

    #[test]
    fn a_link_to_a_dated_file_has_the_other_dates_as_kin() {
        let names = ["smtp.2024-08-11.log", "smtp.2024-08-12.log"];
        check(&rotated("smtp.2024-08-13.log", Likeness::SuffixOrDate), &names, &["pop3.2024-08-11.log"]);
        check(&rotated("smtp.2024-08-13.log", Likeness::Suffix), &[], &names);
    }

    #[test]
    fn archives_are_ordered_by_their_stamp_and_previous_is_the_youngest() {
        check(
            &Family::Archives,
            &["@4000000066b9f3a80c3b1f2c.s", "@4000000066b9f3a90c3b1f2c.u", "previous"],
            &["current", "lock", "state", "@4000000066b9f3a80c3b1f2c.t", "@4000.s", "processed"],
        );
    }

    #[test]
    fn a_rotated_name_tells_the_names_it_may_come_from() {
        let bases: Vec<_> = possible_bases(OsStr::new("mail.log-20240812.1")).collect();
        assert_eq!(bases, ["mail.log-20240812", "mail.log"]);
        assert_eq!(possible_bases(OsStr::new("smtp.log")).count(), 0);
    }
}
