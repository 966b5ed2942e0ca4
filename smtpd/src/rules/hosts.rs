//! Sets of domains as qmail writes them (`rcpthosts`): a name, or a name behind a dot for everything below it.

use std::collections::HashSet;

use crate::cdb::Cdb;

/// Domains for which mail is taken, whoever delivers it.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    names: HashSet<String>,
    more: Option<Cdb>,
}

impl Hosts {
    /// The entries of a file, and `morercpthosts.cdb` where there is one.
    pub fn new(names: impl IntoIterator<Item = String>, more: Option<Cdb>) -> Self {
        Hosts { names: names.into_iter().map(|name| name.to_ascii_lowercase()).collect(), more }
    }

    /// Whether mail for a domain, given in lower case, is taken: itself, or a part of it that begins with a dot, stands
    /// in the set (rcpthosts.c).
    pub fn have(&self, domain: &str) -> bool {
        let parts = domain.match_indices('.').filter_map(|(at, _)| domain.get(at..));
        std::iter::once(domain).chain(parts).any(|part| {
            self.names.contains(part)
                || self.more.as_ref().is_some_and(|more| more.get(part.as_bytes()).is_some())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_takes_what_stands_below() {
        let hosts = Hosts::new(["Example.org".to_owned(), ".example.net".to_owned()], None);
        for (domain, taken) in [
            ("example.org", true),
            ("sub.example.org", false),
            ("example.net", false),
            ("sub.example.net", true),
            ("a.b.example.net", true),
            ("xexample.net", false),
            ("org", false),
            ("", false),
        ] {
            assert_eq!(hosts.have(domain), taken, "{domain}");
        }
    }
}
