//! qmail's `validrcptto` and `morevalidrcptto.cdb` (qmail-smtpd.c:vrtcheck): addresses, `@domain` for all of a domain, and
//! both with `-` in front for those that do not exist.

use std::collections::HashSet;

use crate::cdb::Cdb;
use crate::mailbox::Mailbox;
use crate::session::RecipientAnswer;

/// Both files.
#[derive(Clone, Debug, Default)]
pub struct ValidList {
    entries: HashSet<String>,
    more: Option<Cdb>,
}

impl ValidList {
    /// The lines of the file, and the cdb where there is one.
    pub fn new(entries: impl IntoIterator<Item = String>, more: Option<Cdb>) -> Self {
        ValidList { entries: entries.into_iter().map(|entry| entry.to_ascii_lowercase()).collect(), more }
    }

    pub(super) fn look_up(&self, mailbox: &Mailbox) -> RecipientAnswer {
        let domain = format!("@{}", mailbox.domain_key());
        let address = format!("{}{domain}", mailbox.local().to_ascii_lowercase());
        // An address counts before its domain.
        if self.has(&address) {
            RecipientAnswer::Valid
        } else if self.has(&format!("-{address}")) {
            RecipientAnswer::NotValid
        } else if self.has(&domain) {
            RecipientAnswer::Valid
        } else {
            RecipientAnswer::NotValid
        }
    }

    fn has(&self, entry: &str) -> bool {
        self.entries.contains(entry)
            || self.more.as_ref().is_some_and(|more| more.get(entry.as_bytes()).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_counts_before_its_domain() {
        let entries = ["Alice@example.org", "@example.net", "-bob@example.net", "-@example.com"];
        let list = ValidList::new(entries.map(str::to_owned), None);
        for (address, valid) in [
            ("ALICE@Example.org", true),
            ("bob@example.org", false),
            ("any@example.net", true),
            ("bob@example.net", false),
            ("any@example.com", false),
            ("any@example.info", false),
        ] {
            let expected = if valid { RecipientAnswer::Valid } else { RecipientAnswer::NotValid };
            assert_eq!(list.look_up(&address.parse().unwrap()), expected, "{address}");
        }
    }
}
