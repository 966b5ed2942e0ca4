//! fail2ban's filters, as its own files have them: read, compiled and run, unchanged.
//!
//! The way of a line: its [`date`] is found and cut out → the prefix, then the patterns of the [`filter`] → the
//! [`session`] it belongs to → a failure. Everything here is pure: files come through [`layers::Tree`], time is an
//! argument. What the files say is in [`ini`], [`layers`], [`tags`] and [`definition`]; how Python's regular expressions
//! become Rust's in [`dialect`] and [`pattern`]. Only [`foreign`] knows
//! the watcher: it makes events of the failures.

pub mod date;
pub mod definition;
pub mod dialect;
pub mod filter;
pub mod foreign;
pub mod import;
pub mod ini;
pub mod layers;
pub mod options;
pub mod pattern;
pub mod session;
pub mod tags;

pub use definition::Definition;
pub use filter::{Filter, Found, Outcome, Reading, Rules};
pub use foreign::{Foreign, Imported};
pub use layers::{Disk, Layers, Tree};
