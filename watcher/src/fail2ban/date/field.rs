//! The fields of a date: what `%d` and its kin take, read by hand.

/// One field of a date pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// `%Y`: four digits. `%ExY`: of this century.
    Year { of_this_century: bool },
    /// `%y`, `%Exy`: two digits, of this century.
    ShortYear,
    /// `%m`, and `%Exm` that wants two digits.
    Month { two_digits: bool },
    /// `%b`: its short English name.
    MonthName,
    /// `%B`: its English name.
    LongMonthName,
    /// `%d`, and `%Exd` that wants two digits.
    Day { two_digits: bool },
    /// `%j`: of the year.
    YearDay,
    /// `%a`: its short English name.
    WeekdayName,
    /// `%A`: its English name.
    LongWeekdayName,
    /// `%w`: from 0, Sunday.
    Weekday,
    /// `%U`, `%W`: of the year, with the day that begins a week.
    Week { from_monday: bool },
    /// `%H`, `%ExH` that wants two digits, and `%k`, `%Exk` that may have a blank before it.
    Hour { two_digits: bool, blank: bool },
    /// `%I`, and `%l`, `%Exl` that may have a blank before it.
    Hour12 { blank: bool },
    /// `%M`, and `%ExM` that wants two digits.
    Minute { two_digits: bool },
    /// `%S`, and `%ExS` that wants two digits.
    Second { two_digits: bool },
    /// `%f`: up to six digits.
    Fraction,
    /// `%p`: am or pm.
    HalfDay,
    /// `%z`: `Z`, `UTC`, `GMT` or an offset. `%Exz`: any abbreviation, with an offset or without.
    Offset { abbreviated: bool },
    /// `%Z`: `Z`, or three to five letters. `%ExZ`: one letter, or three to five.
    Zone { single: bool },
}

/// The names that a pattern uses for them, with `%` before them; the longer ones first.
const NAMES: &[(&str, Field)] = &[
    ("ExY", Field::Year { of_this_century: true }),
    ("Exy", Field::ShortYear),
    ("Exm", Field::Month { two_digits: true }),
    ("Exd", Field::Day { two_digits: true }),
    ("ExH", Field::Hour { two_digits: true, blank: false }),
    ("Exk", Field::Hour { two_digits: false, blank: true }),
    ("Exl", Field::Hour12 { blank: true }),
    ("ExM", Field::Minute { two_digits: true }),
    ("ExS", Field::Second { two_digits: true }),
    ("Exz", Field::Offset { abbreviated: true }),
    ("ExZ", Field::Zone { single: true }),
    ("Y", Field::Year { of_this_century: false }),
    ("y", Field::ShortYear),
    ("m", Field::Month { two_digits: false }),
    ("b", Field::MonthName),
    ("B", Field::LongMonthName),
    ("d", Field::Day { two_digits: false }),
    ("j", Field::YearDay),
    ("a", Field::WeekdayName),
    ("A", Field::LongWeekdayName),
    ("w", Field::Weekday),
    ("U", Field::Week { from_monday: false }),
    ("W", Field::Week { from_monday: true }),
    ("H", Field::Hour { two_digits: false, blank: false }),
    ("k", Field::Hour { two_digits: false, blank: true }),
    ("I", Field::Hour12 { blank: false }),
    ("l", Field::Hour12 { blank: true }),
    ("M", Field::Minute { two_digits: false }),
    ("S", Field::Second { two_digits: false }),
    ("f", Field::Fraction),
    ("p", Field::HalfDay),
    ("z", Field::Offset { abbreviated: false }),
    ("Z", Field::Zone { single: false }),
];

pub(super) const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// From Monday, as Python counts.
pub(super) const WEEKDAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// Where a field may end, the end that is tried first in the first place.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ends {
    ends: [usize; 6],
    len: usize,
}

impl Ends {
    fn push(&mut self, end: usize) {
        if let Some(slot) = self.ends.get_mut(self.len) {
            *slot = end;
            self.len += 1;
        }
    }

    pub(super) fn as_slice(&self) -> &[usize] {
        self.ends.get(..self.len).unwrap_or_default()
    }
}

impl Field {
    /// The field that a pattern names behind a `%`, and how long the name is.
    pub(super) fn named(text: &str) -> Option<(Field, usize)> {
        let (name, field) = NAMES.iter().find(|(name, _)| text.starts_with(name))?;
        Some((*field, name.len()))
    }

    /// The field that a group of that name is.
    pub(super) fn of_group(name: &str) -> Option<Field> {
        NAMES.iter().find(|(known, _)| *known == name && known.len() == 1).map(|(_, field)| *field)
    }

    /// Whether letters are taken in any case where a pattern has this field.
    pub(super) fn ignores_case(self) -> bool {
        matches!(
            self,
            Field::MonthName
                | Field::LongMonthName
                | Field::WeekdayName
                | Field::LongWeekdayName
                | Field::HalfDay
        )
    }

    /// Where it can end when it begins at `at`.
    pub(super) fn ends(self, text: &[u8], at: usize, any_case: bool) -> Ends {
        let mut ends = Ends::default();
        let rest = text.get(at..).unwrap_or_default();
        let digit = |index: usize| rest.get(index).filter(|b| b.is_ascii_digit()).map(|b| b - b'0');
        let blank = usize::from(rest.first() == Some(&b' '));
        match self {
            Field::Year { of_this_century } => {
                let digits = (digit(0), digit(1), digit(2), digit(3));
                if let (Some(a), Some(b), Some(c), Some(_)) = digits
                    && (!of_this_century || (a == 2 && b == 0 && c <= 3))
                {
                    ends.push(at + 4);
                }
            }
            Field::ShortYear => {
                if digit(0).and(digit(1)).is_some() {
                    ends.push(at + 2);
                }
            }
            Field::Month { two_digits } => number(&mut ends, rest, at, 1, 12, two_digits, false),
            Field::Day { two_digits } => number(&mut ends, rest, at, 1, 31, two_digits, !two_digits),
            Field::Hour { two_digits, blank: false } => number(&mut ends, rest, at, 0, 23, two_digits, false),
            Field::Hour { two_digits, blank: true } => {
                let skipped = rest.get(blank..).unwrap_or_default();
                number(&mut ends, skipped, at + blank, 0, 29, two_digits, false);
            }
            Field::Hour12 { blank: may } => {
                let blank = if may { blank } else { 0 };
                let skipped = rest.get(blank..).unwrap_or_default();
                number(&mut ends, skipped, at + blank, 0, 19, false, false);
            }
            Field::Minute { two_digits } => number(&mut ends, rest, at, 0, 59, two_digits, false),
            Field::Second { two_digits } => number(&mut ends, rest, at, 0, 61, two_digits, false),
            Field::YearDay => (1..=3).rev().for_each(|count| {
                if (0..count).all(|index| digit(index).is_some()) {
                    ends.push(at + count);
                }
            }),
            Field::Week { .. } => number(&mut ends, rest, at, 0, 53, false, false),
            Field::Weekday => {
                if digit(0).is_some_and(|day| day <= 6) {
                    ends.push(at + 1);
                }
            }
            Field::Fraction => {
                let count = (0..6).take_while(|index| digit(*index).is_some()).count();
                (1..=count).rev().for_each(|count| ends.push(at + count));
            }
            Field::HalfDay => {
                if let [b'a' | b'A' | b'p' | b'P', b'm' | b'M', ..] = rest {
                    ends.push(at + 2);
                }
            }
            Field::MonthName => name(&mut ends, rest, at, &MONTHS, Some(3)),
            Field::LongMonthName => name(&mut ends, rest, at, &MONTHS, None),
            Field::WeekdayName => name(&mut ends, rest, at, &WEEKDAYS, Some(3)),
            Field::LongWeekdayName => name(&mut ends, rest, at, &WEEKDAYS, None),
            Field::Zone { single } => zone(&mut ends, rest, at, single, any_case),
            Field::Offset { abbreviated } => offset(&mut ends, rest, at, abbreviated, any_case),
        }
        ends
    }
}

/// A number of two digits, or of one where two are not wanted. `padded`: a blank may stand for the first.
fn number(ends: &mut Ends, rest: &[u8], at: usize, least: u8, most: u8, two_digits: bool, padded: bool) {
    let digit = |index: usize| rest.get(index).filter(|b| b.is_ascii_digit()).map(|b| b - b'0');
    if let (Some(tens), Some(ones)) = (digit(0), digit(1))
        && (least..=most).contains(&(tens * 10 + ones))
    {
        ends.push(at + 2);
    }
    if padded && rest.first() == Some(&b' ') && digit(1).is_some_and(|ones| ones >= least) {
        ends.push(at + 2);
    }
    if !two_digits && digit(0).is_some_and(|ones| ones >= least) {
        ends.push(at + 1);
    }
}

fn name(ends: &mut Ends, rest: &[u8], at: usize, names: &[&str], length: Option<usize>) {
    let is_it = |name: &&str| {
        let name = name.as_bytes().get(..length.unwrap_or(name.len())).unwrap_or_default();
        rest.get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name))
    };
    if let Some(name) = names.iter().find(|name| is_it(name)) {
        ends.push(at + length.unwrap_or(name.len()));
    }
}

/// How many letters stand there, up to five.
fn letters(rest: &[u8], any_case: bool) -> usize {
    let is_letter = |byte: &&u8| byte.is_ascii_uppercase() || any_case && byte.is_ascii_lowercase();
    rest.iter().take(5).take_while(is_letter).count()
}

fn zone(ends: &mut Ends, rest: &[u8], at: usize, single: bool, any_case: bool) {
    let count = letters(rest, any_case);
    let is_zulu = matches!(rest.first(), Some(b'Z')) || any_case && matches!(rest.first(), Some(b'z'));
    if !single && is_zulu {
        ends.push(at + 1);
    }
    (3..=count).rev().for_each(|count| ends.push(at + count));
    if single && count > 0 {
        ends.push(at + 1);
    }
}

fn offset(ends: &mut Ends, rest: &[u8], at: usize, abbreviated: bool, any_case: bool) {
    if abbreviated {
        let mut names = Ends::default();
        zone(&mut names, rest, 0, true, any_case);
        let behind = names.as_slice().iter().copied().chain([0]);
        for name in behind {
            numeric(ends, rest.get(name..).unwrap_or_default(), at + name);
        }
        names.as_slice().iter().for_each(|name| ends.push(at + name));
        return;
    }
    let is = |word: &[u8]| {
        let found = rest.get(..word.len());
        found.is_some_and(|found| found == word || any_case && found.eq_ignore_ascii_case(word))
    };
    for word in [b"Z".as_slice(), b"UTC", b"GMT"] {
        if is(word) {
            ends.push(at + word.len());
        }
    }
    numeric(ends, rest, at);
}

/// `+02`, `+0200` or `+02:00`.
fn numeric(ends: &mut Ends, rest: &[u8], at: usize) {
    let [b'+' | b'-', b'0' | b'1', hours, minutes @ ..] = rest else { return };
    if !hours.is_ascii_digit() {
        return;
    }
    let colon = usize::from(minutes.first() == Some(&b':'));
    if let Some([tens, ones, ..]) = minutes.get(colon..)
        && tens.is_ascii_digit()
        && ones.is_ascii_digit()
    {
        ends.push(at + 5 + colon);
    }
    ends.push(at + 3);
}
