//! TOML settings whose every mistake is reported at its place.
//!
//! A program reads what it needs from a [`Document`], key by key; the document collects what is wrong (syntax, types,
//! ranges, missing and unknown keys, and what the program itself finds) and [`Document::finish`] gives it all at once,
//! each as `FILE:LINE:COL: message`. There is no serde between the text and the program, because serde stops at the
//! first mistake and knows no place.
//!
//! ```
//! use std::time::Duration;
//! let document = settings::Document::parse("jail.toml", "threshold = 5\nwithin = 10\nabuot = \"x\"\n");
//! let root = document.root();
//! let (threshold, within) = (root.require::<u32>("threshold"), root.require::<Duration>("within"));
//! let about = root.get_or("about", String::new());
//! assert_eq!((threshold, within, about.as_str()), (Some(5), None, ""));
//! assert_eq!(
//!     document.finish().unwrap_err().to_string(),
//!     "jail.toml:2:10: a duration needs a unit: write \"10s\" for seconds, or \"10m\", \"1h\", \"30d\"\n\
//!      jail.toml:3:1: unknown key `abuot`; did you mean `about`?"
//! );
//! ```
//!
//! Ask for every key of a table before leaving it with `?`: a key that nobody asked for is reported as unknown.

mod asked;
mod document;
pub mod duration;
mod mistake;
mod nearest;
mod network;
mod place;
mod syntax;
mod table;
mod time_of_day;
mod unknown;
mod value;

pub use document::Document;
pub use mistake::{Mistake, Mistakes};
pub use nearest::nearest;
pub use place::Place;
pub use table::Table;
pub use time_of_day::TimeOfDay;
pub use toml::Spanned;
pub use toml::de::DeValue;
pub use value::{Faults, Located, Text, Value, mismatch, one_of};
