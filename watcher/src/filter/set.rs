//! The filters in use: those that are shipped, and those of the administrator before them.

use std::path::Path;
use std::sync::Arc;

use settings::{Document, Mistakes};

use crate::filter::{Filter, file};
use crate::overlay;

/// The shipped filters, compiled in so that one binary runs with no file at all.
pub const SHIPPED: &[(&str, &str)] = &[
    ("courier", include_str!("../../../filters/courier.toml")),
    ("cyrus", include_str!("../../../filters/cyrus.toml")),
    ("dovecot", include_str!("../../../filters/dovecot.toml")),
    ("exim", include_str!("../../../filters/exim.toml")),
    ("haraka", include_str!("../../../filters/haraka.toml")),
    ("opensmtpd", include_str!("../../../filters/opensmtpd.toml")),
    ("postfix", include_str!("../../../filters/postfix.toml")),
    ("qmail", include_str!("../../../filters/qmail.toml")),
    ("qmail-guards", include_str!("../../../filters/qmail-guards.toml")),
    ("qpsmtpd", include_str!("../../../filters/qpsmtpd.toml")),
    ("rblsmtpd", include_str!("../../../filters/rblsmtpd.toml")),
    ("recidive", include_str!("../../../filters/recidive.toml")),
    ("recordio", include_str!("../../../filters/recordio.toml")),
    ("roundcube", include_str!("../../../filters/roundcube.toml")),
    ("rspamd", include_str!("../../../filters/rspamd.toml")),
    ("s-qmail", include_str!("../../../filters/s-qmail.toml")),
    ("sendmail", include_str!("../../../filters/sendmail.toml")),
    ("simscan", include_str!("../../../filters/simscan.toml")),
    ("sogo", include_str!("../../../filters/sogo.toml")),
    ("spamdyke", include_str!("../../../filters/spamdyke.toml")),
    ("sshd", include_str!("../../../filters/sshd.toml")),
    ("stalwart", include_str!("../../../filters/stalwart.toml")),
    ("vpopmail", include_str!("../../../filters/vpopmail.toml")),
];

/// Filters by name, in alphabetical order.
#[derive(Clone, Debug)]
pub struct Filters(Vec<Arc<Filter>>);

impl Filters {
    /// The shipped ones alone.
    ///
    /// # Errors
    /// Mistakes in a shipped filter, which a test forbids.
    pub fn shipped() -> Result<Filters, Mistakes> {
        Filters::read(None)
    }

    /// The shipped ones, each replaced by the file of its name in `directory`, and what else stands there.
    ///
    /// # Errors
    /// Every mistake in every file.
    pub fn read(directory: Option<&Path>) -> Result<Filters, Mistakes> {
        let mut mistakes = Mistakes::new();
        let mut filters = Vec::new();
        for (name, document) in overlay::documents(SHIPPED, directory, &mut mistakes) {
            let filter = file::load(&name, &document);
            match document.finish_with(filter) {
                Ok(filter) => filters.push(Arc::new(filter)),
                Err(found) => mistakes.merge(Err(found)),
            }
        }
        mistakes.into_result(Filters(filters))
    }

    /// One filter that is not in a directory: what `--filter` names, or a test.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn single(name: &str, document: Document) -> Result<Filters, Mistakes> {
        let filter = file::load(name, &document);
        Ok(Filters(vec![Arc::new(document.finish_with(filter)?)]))
    }

    /// These filters alone, in the order of their names; the first that does not exist is the error.
    ///
    /// # Errors
    /// The name that no filter has.
    pub fn only(&self, names: &[String]) -> Result<Filters, String> {
        let named =
            |name: &String| self.0.iter().find(|filter| filter.name == *name).cloned().ok_or(name.clone());
        names.iter().map(named).collect::<Result<_, _>>().map(Filters)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Filter>> {
        self.0.iter()
    }

    /// Their names.
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(|filter| filter.name.as_str()).collect()
    }
}
