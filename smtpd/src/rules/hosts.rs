//! Sets of domains as qmail writes them (`rcpthosts`): a name, or a name behind a dot for everything below it.

use std::collections::HashSet;

use crate::cdb::Cdb;
use crate::mailbox::Mailbox;

/// Domains for which mail is taken, whoever delivers it.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    names: HashSet<String>,
    more: Option<Cdb>,
}

impl Hosts {
    /// The entries of a file, and `morercpthosts.cdb` where there is one.
    pub fn new(names: impl IntoIterator<Item = String>, more: Option<Cdb>) -> Self {
        Hosts { names: names.into_iter().map(|name| key(&name)).collect(), more }
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

/// A name as domains are compared, the dot in front of it left where it is.
fn key(name: &str) -> String {
    let (dot, domain) = name.strip_prefix('.').map_or(("", name), |domain| (".", domain));
    let known = Mailbox::new("x", domain).map(|mailbox| mailbox.domain_key());
    format!("{dot}{}", known.unwrap_or_else(|| domain.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_takes_what_stands_below() {
        let hosts = ["Example.org", ".example.net", "BÜCHER.example", ".köln.example"];
        let hosts = Hosts::new(hosts.map(str::to_owned), None);
        for (domain, taken) in [
            ("example.org", true),
            ("sub.example.org", false),
            ("example.net", false),
            ("sub.example.net", true),
            ("a.b.example.net", true),
            ("xexample.net", false),
            ("xn--bcher-kva.example", true),
            ("mail.xn--kln-sna.example", true),
            ("org", false),
            ("", false),
        ] {
            assert_eq!(hosts.have(domain), taken, "{domain}");
        }
    }
}
