//! `[dkim]`: who signs the mail that leaves.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use settings::{Table, Text};

/// `[dkim] selector`
pub const DKIM_SELECTOR: &str = "postern";

/// `[dkim]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dkim {
    /// `key`
    pub key: PathBuf,
    /// `selector`
    pub selector: String,
}

pub(super) fn dkim(table: &Table<'_>, state: &Path) -> Dkim {
    let selector = table.get::<Text<Selector>>("selector").map(|Text(Selector(name))| name);
    Dkim {
        key: table.path("key").unwrap_or_else(|| state.join("dkim.pem")),
        selector: selector.unwrap_or_else(|| DKIM_SELECTOR.to_owned()),
    }
}

/// One or more labels of a name, `2026.mail` (RFC 6376 §3.1).
struct Selector(String);

impl FromStr for Selector {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const LABEL_BYTES_MAX: usize = 63;
        let is_label = |label: &str| {
            (1..=LABEL_BYTES_MAX).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        match text.split('.').all(is_label) {
            true => Ok(Selector(text.to_owned())),
            false => Err("expected a name of letters, digits and hyphens such as \"mail2026\""),
        }
    }
}
