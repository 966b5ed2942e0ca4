//! What a value of a setting can be.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use crate::place::Lines;
use crate::{Place, duration, nearest};

/// A type that a setting can have.
pub trait Value: Sized {
    /// What is expected, with an example, as it stands after "expected": `a duration such as "10m"`.
    const EXPECTED: &'static str;

    /// Reads a value.
    ///
    /// # Errors
    /// What is wrong and what would be right, for a person; [`mismatch`] makes the sentence for a value of another type.
    fn read(value: &DeValue<'_>) -> Result<Self, String>;

    /// Reads a value and notes each mistake in it at its own place. Only a value made of values needs its own.
    fn read_spanned(value: &Spanned<DeValue<'_>>, faults: &mut Faults<'_>) -> Option<Self> {
        Self::read(value.get_ref()).map_err(|message| faults.note(value, message)).ok()
    }
}

/// The mistakes inside one value, each with its place.
#[derive(Debug)]
pub struct Faults<'d> {
    text: &'d str,
    lines: &'d Lines,
    found: Vec<(Place, String)>,
}

impl<'d> Faults<'d> {
    pub(crate) fn new(text: &'d str, lines: &'d Lines) -> Self {
        Faults { text, lines, found: Vec::new() }
    }

    pub(crate) fn into_found(self) -> Vec<(Place, String)> {
        self.found
    }

    /// Notes a mistake at `value`.
    pub fn note(&mut self, value: &Spanned<DeValue<'_>>, message: impl fmt::Display) {
        self.found.push((self.place(value), message.to_string()));
    }

    /// Where `value` stands.
    pub fn place(&self, value: &Spanned<DeValue<'_>>) -> Place {
        self.lines.place(self.text, value.span().start)
    }
}

/// The sentence for a value of the wrong type: what was expected, and what was found.
pub fn mismatch(expected: &str, value: &DeValue<'_>) -> String {
    format!("expected {expected}, found {}", Found(value))
}

/// Reads one of several names, as an `enum` in a setting is written; a slip is answered with the name it resembles.
///
/// # Errors
/// Names all that are possible.
pub fn one_of<T: Clone>(value: &DeValue<'_>, names: &[(&str, T)]) -> Result<T, String> {
    if let Some((_, found)) = names.iter().find(|(name, _)| value.as_str() == Some(*name)) {
        return Ok(found.clone());
    }
    let all = names.iter().map(|(name, _)| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let guess = value.as_str().and_then(|word| nearest(word, names.iter().map(|(name, _)| *name)));
    let guess = guess.map(|name| format!("; did you mean \"{name}\"?")).unwrap_or_default();
    Err(mismatch(&format!("one of {all}"), value) + &guess)
}

/// How a value is named in a message: long strings are cut, and nothing reaches a terminal unescaped.
struct Found<'v>(&'v DeValue<'v>);

const SHOWN_CHARACTERS_MAX: usize = 60;

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            DeValue::String(text) if text.chars().nth(SHOWN_CHARACTERS_MAX).is_some() => {
                let start: String = text.chars().take(SHOWN_CHARACTERS_MAX).collect();
                write!(f, "a string that begins {start:?}")
            }
            DeValue::String(text) => write!(f, "the string {text:?}"),
            DeValue::Integer(number) => write!(f, "the number {number}"),
            DeValue::Float(number) => write!(f, "the number {number}"),
            DeValue::Boolean(truth) => write!(f, "{truth}"),
            DeValue::Datetime(_) => f.write_str("a date or time"),
            DeValue::Array(_) => f.write_str("a list"),
            DeValue::Table(_) => f.write_str("a table"),
        }
    }
}

pub(crate) fn string<'v>(expected: &str, value: &'v DeValue<'_>) -> Result<&'v str, String> {
    value.as_str().ok_or_else(|| mismatch(expected, value))
}

impl Value for bool {
    const EXPECTED: &'static str = "true or false";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| mismatch(Self::EXPECTED, value))
    }
}

macro_rules! whole_numbers {
    ($($type:ty: $expected:literal;)*) => {$(
        impl Value for $type {
            const EXPECTED: &'static str = $expected;

            fn read(value: &DeValue<'_>) -> Result<Self, String> {
                let number = value.as_integer();
                number
                    .and_then(|number| <$type>::from_str_radix(number.as_str(), number.radix()).ok())
                    .ok_or_else(|| mismatch(Self::EXPECTED, value))
            }
        }
    )*};
}

whole_numbers! {
    u8: "a whole number from 0 to 255, such as 10";
    u16: "a whole number from 0 to 65535, such as 25";
    u32: "a whole number from 0 to 4294967295, such as 10";
    u64: "a whole number, not negative, such as 10";
    usize: "a whole number, not negative, such as 10";
    i64: "a whole number such as 10 or -10";
}

impl Value for f64 {
    const EXPECTED: &'static str = "a number such as 2.0";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let number = match value {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse::<f64>().ok(),
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => None,
        };
        number.filter(|number| number.is_finite()).ok_or_else(|| mismatch(Self::EXPECTED, value))
    }
}

impl Value for String {
    const EXPECTED: &'static str = "a string such as \"text\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        string(Self::EXPECTED, value).map(str::to_owned)
    }
}

/// As written; [`Table::path`](crate::Table::path) counts a relative one from the file that names it.
impl Value for PathBuf {
    const EXPECTED: &'static str = "a path such as \"/var/log/mail.log\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match string(Self::EXPECTED, value)? {
            path if path.is_empty() || path.contains('\0') => Err(mismatch(Self::EXPECTED, value)),
            path => Ok(PathBuf::from(path)),
        }
    }
}

impl Value for Duration {
    const EXPECTED: &'static str = "a duration such as \"90s\", \"10m\" or \"1h30m\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::String(text) => duration::parse(text),
            DeValue::Integer(number) => duration::parse(number.as_str()),
            _ => return Err(mismatch(Self::EXPECTED, value)),
        }
        .map_err(|error| error.to_string())
    }
}

/// Each bad element is a mistake of its own.
impl<T: Value> Value for Vec<T> {
    const EXPECTED: &'static str = "a list in brackets such as [ … ]";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let elements = value.as_array().ok_or_else(|| mismatch(&list_of::<T>(), value))?;
        elements.iter().map(|element| T::read(element.get_ref())).collect()
    }

    fn read_spanned(value: &Spanned<DeValue<'_>>, faults: &mut Faults<'_>) -> Option<Self> {
        let Some(elements) = value.get_ref().as_array() else {
            faults.note(value, mismatch(&list_of::<T>(), value.get_ref()));
            return None;
        };
        // Read them all before judging, or only the first mistake would be told.
        let read: Vec<_> = elements.iter().map(|element| T::read_spanned(element, faults)).collect();
        read.into_iter().collect()
    }
}

fn list_of<T: Value>() -> String {
    format!("a list in brackets, each element {}", T::EXPECTED)
}

/// A value and where it stands, so that a later mistake about it can be reported there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub place: Place,
}

impl<T: Value> Value for Located<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        T::read(value).map(|value| Located { value, place: Place::START })
    }

    fn read_spanned(value: &Spanned<DeValue<'_>>, faults: &mut Faults<'_>) -> Option<Self> {
        let place = faults.place(value);
        T::read_spanned(value, faults).map(|value| Located { value, place })
    }
}

/// A string that is read by the type's own [`FromStr`]; its error is the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<T>(pub T);

impl<T: FromStr<Err: fmt::Display>> Value for Text<T> {
    const EXPECTED: &'static str = "a string such as \"text\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let text = string(Self::EXPECTED, value)?;
        text.parse().map(Text).map_err(|error| format!("{text:?}: {error}"))
    }
}
