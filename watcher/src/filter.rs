//! Filters: what the lines of one program mean. Data, each with the samples that prove it.

use std::path::PathBuf;

use settings::Place;

mod anchor;
pub(crate) mod bytes;
mod file;
#[cfg(test)]
mod forgery;
mod programs;
mod proof;
mod rule;
mod set;
mod walk;

pub use anchor::{Miss, Nearest};
pub use file::load;
pub use programs::Programs;
pub use proof::{Failure, Proof, prove};
pub(crate) use rule::GroupFinder;
pub use rule::{Captures, Condition, Matcher, Pattern, PatternProof, Rule};
pub use set::{Filters, SHIPPED};

/// One filter as it was read and checked.
#[derive(Debug)]
pub struct Filter {
    /// Its name: that of its file.
    pub name: String,
    /// One sentence for a person.
    pub about: String,
    /// The file it stands in, as a person would name it.
    pub file: PathBuf,
    /// The programs whose lines these are, where the envelope names one; a line of another program is passed over.
    pub programs: Programs,
    /// Whether a line may tell of several failed logins at once, so that those told one by one have to be remembered.
    pub counts_attempts: bool,
    /// What a line can mean, in the order of the file.
    pub rules: Vec<Rule>,
    /// What proves it.
    pub samples: Vec<Sample>,
}

/// A line and what it must mean.
#[derive(Debug)]
pub struct Sample {
    /// Lines that come first: the connection that a line without an address belongs to.
    pub before: Vec<String>,
    /// The line.
    pub line: String,
    /// What it must mean.
    pub expected: Expected,
    /// The captures with which it tries to pass a foreign address for the client's.
    pub forges: Vec<String>,
    /// Where it stands in its file, for whoever mends it.
    pub place: Place,
}

/// What a sample must mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing at all.
    Nothing,
    /// An event with these values: `kind`, `address`, and any field.
    Event(Vec<(String, String)>),
}
