//! Lines of qmail's `virtualdomains` that are about single addresses, or about all domains below one: whose mail it is.
//!
//! `bob@example.net:alice` is alice's, as `alice-bob`; `.lists.example.net:alice` is as `alice-NAME` whatever NAME is
//! there. A line about a whole domain makes that a domain of ours, and is no matter of this.

use std::collections::HashMap;
use std::str::FromStr;

use crate::mailbox::Mailbox;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VirtualLine {
    /// A whole domain is delivered here.
    Domain(String),
    /// An address, or behind a dot all below a domain, and whose it is.
    Users {
        /// In lower case.
        of: String,
        /// The name that is put in front.
        owner: String,
    },
    /// This is not virtual after all; in qmail it takes something out of what another line says.
    Not,
}

/// Whose mail it is.
#[derive(Clone, Debug, Default)]
pub struct VirtualUsers {
    owners: HashMap<String, String>,
    /// The domain in which the owners are.
    host: String,
}

impl FromStr for VirtualLine {
    type Err = &'static str;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let (of, owner) = line.split_once(':').ok_or("expected DOMAIN:NAME or USER@DOMAIN:NAME")?;
        let of = of.to_ascii_lowercase();
        if owner.is_empty() {
            return Ok(VirtualLine::Not);
        }
        let domain = of.rsplit_once('@').map_or(of.as_str(), |(_, domain)| domain);
        if Mailbox::new(owner, domain.trim_start_matches('.')).is_none() {
            return Err("expected a domain such as \"example.org\" and a user's name");
        }
        Ok(match of.contains('@') || of.starts_with('.') {
            true => VirtualLine::Users { of, owner: owner.to_owned() },
            false => VirtualLine::Domain(of),
        })
    }
}

impl VirtualUsers {
    /// Those of these lines, with their owners in the domain `host`; the first line about an address counts.
    pub fn new(lines: impl IntoIterator<Item = VirtualLine>, host: &str) -> Self {
        let mut owners = HashMap::new();
        for line in lines {
            if let VirtualLine::Users { of, owner } = line {
                owners.entry(of).or_insert(owner);
            }
        }
        VirtualUsers { owners, host: host.to_owned() }
    }

    /// An address as its owner has it; none where it is nobody's by these lines.
    pub fn owned(&self, mailbox: &Mailbox) -> Option<Mailbox> {
        if self.owners.is_empty() {
            return None;
        }
        let domain = mailbox.domain_key();
        let whole = format!("{}@{domain}", mailbox.local().to_ascii_lowercase());
        let below = domain.match_indices('.').filter_map(|(at, _)| domain.get(at..));
        let owner = std::iter::once(whole.as_str()).chain(below).find_map(|of| self.owners.get(of))?;
        Mailbox::new(&format!("{owner}-{}", mailbox.local()), &self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_whose_line_names_it_or_a_domain_around_it() {
        let lines =
            ["Bob@example.net:alice", ".lists.example.net:carol", "example.com:dave", "x@example.com:"];
        let users = VirtualUsers::new(lines.map(|line| line.parse().unwrap()), "example.org");
        for (address, owned) in [
            ("bob@Example.NET", Some("alice-bob@example.org")),
            ("eve@example.net", None),
            ("News@a.b.lists.example.net", Some("carol-News@example.org")),
            ("news@lists.example.net", None),
            ("x@example.com", None),
        ] {
            let found = users.owned(&address.parse().unwrap()).map(|mailbox| mailbox.to_string());
            assert_eq!(found.as_deref(), owned, "{address}");
        }
        assert_eq!("Example.com:dave".parse(), Ok(VirtualLine::Domain("example.com".into())));
        assert!("example.com".parse::<VirtualLine>().is_err() && "a b:c".parse::<VirtualLine>().is_err());
    }
}
