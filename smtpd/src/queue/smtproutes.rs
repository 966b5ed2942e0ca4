//! qmail's `smtproutes`: hosts that take the mail of some domains, whatever name servers say.

use std::collections::HashMap;
use std::str::FromStr;

use crate::config::HostPort;

/// The port of a host that none is named of.
const PORT: u16 = 25;

/// All routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes(HashMap<String, Option<HostPort>>);

/// One line: a domain, or with a dot in front all below it, or nothing for all; and a host, or nothing for the domain's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    domain: String,
    host: Option<HostPort>,
}

/// Where the mail of a domain goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way<'r> {
    /// To this host.
    Via(&'r HostPort),
    /// To the domain's own hosts.
    Direct,
}

impl Routes {
    /// These routes; the first of a domain counts.
    pub fn new(routes: impl IntoIterator<Item = Route>) -> Self {
        let mut all = HashMap::new();
        for Route { domain, host } in routes {
            all.entry(domain).or_insert(host);
        }
        Routes(all)
    }

    /// Where the mail of this very domain goes, or of the narrowest that it is below.
    pub fn of(&self, domain: &str) -> Option<Way<'_>> {
        if self.0.is_empty() {
            return None;
        }
        let domain = domain.to_ascii_lowercase();
        let below = domain.match_indices('.').filter_map(|(at, _)| domain.get(at..));
        std::iter::once(domain.as_str()).chain(below).find_map(|name| self.0.get(name)).map(way)
    }

    /// Where all other mail goes.
    pub fn of_rest(&self) -> Option<Way<'_>> {
        self.0.get("").map(way)
    }
}

fn way(host: &Option<HostPort>) -> Way<'_> {
    host.as_ref().map_or(Way::Direct, Way::Via)
}

impl FromStr for Route {
    type Err = &'static str;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let (domain, rest) = line.split_once(':').ok_or("expected DOMAIN:HOST or DOMAIN:HOST:PORT")?;
        // Behind a space patches of qmail have a login; this server logs in nowhere.
        let rest = rest.split(' ').next().unwrap_or_default();
        let (host, port) = match rest.strip_prefix('[').map(|inner| inner.split_once(']')) {
            Some(Some((address, behind))) => (address, behind.strip_prefix(':')),
            Some(None) => return Err("expected a closing bracket behind the address"),
            None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            None | Some("") => PORT,
            Some(port) => port.parse().map_err(|_| "expected a port behind the host")?,
        };
        let host = (!host.is_empty()).then(|| HostPort { host: host.to_owned(), port });
        Ok(Route { domain: domain.to_ascii_lowercase(), host })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(way: Option<Way<'_>>) -> String {
        match way {
            Some(Way::Via(HostPort { host, port })) => format!("{host} {port}"),
            Some(Way::Direct) => "direct".to_owned(),
            None => "none".to_owned(),
        }
    }

    #[test]
    fn the_narrowest_route_counts_and_an_empty_one_is_the_domains_own_hosts() {
        let lines = [
            "example.net:relay.example.org",
            ".example.net:[192.0.2.1]:26",
            "direct.example.net:",
            "Six.example:[2001:db8::1]",
            ":smarthost.example.org:587 user password",
        ];
        let routes = Routes::new(lines.map(|line| line.parse().unwrap()));
        for (domain, expected) in [
            ("example.net", "relay.example.org 25"),
            ("a.b.Example.NET", "192.0.2.1 26"),
            ("direct.example.net", "direct"),
            ("six.example", "2001:db8::1 25"),
            ("example.com", "none"),
        ] {
            assert_eq!(shown(routes.of(domain)), expected, "{domain}");
        }
        assert_eq!(shown(routes.of_rest()), "smarthost.example.org 587");
        assert_eq!(shown(Routes::default().of_rest()), "none");
    }

    #[test]
    fn what_is_no_route_is_told() {
        for line in ["example.net", "example.net:[192.0.2.1", "example.net:host:smtp"] {
            assert!(line.parse::<Route>().is_err(), "{line}");
        }
    }
}
