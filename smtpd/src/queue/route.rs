//! Which hosts take the mail of a domain (RFC 5321 §5.1).

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use crate::config::{HostPort, Remote};
use crate::names::{Exchanger, Names, NoAnswer};
use crate::queue::Way;

/// Addresses that are tried for one delivery. More would let one domain hold a slot for hours.
const ADDRESSES_MAX: usize = 10;

/// Finds the hosts of a domain.
#[derive(Debug)]
pub struct Router {
    names: Names,
    remote: Remote,
    hostname: String,
}

/// Why a domain has no hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRoute {
    /// There is no such domain, or no address of a host.
    NoHost,
    /// It says that it takes no mail (RFC 7505).
    NullMx,
    /// It says that this host takes its mail, which this host does not know of.
    Myself,
    /// The name servers did not answer.
    Temporary,
}

impl Router {
    /// A router for the host `hostname`.
    pub fn new(names: Names, remote: &Remote, hostname: &str) -> Self {
        Router { names, remote: remote.clone(), hostname: hostname.to_owned() }
    }

    /// Where mail for `domain` goes, the best place first.
    pub(super) async fn route(&self, domain: &str) -> Result<Vec<SocketAddr>, NoRoute> {
        if let Some(HostPort { host, port }) = self.host_for(domain) {
            return self.addresses(std::slice::from_ref(host), *port).await;
        }
        let port = self.remote.port;
        if let Some(literal) = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let address =
                literal.trim_start_matches("IPv6:").parse::<IpAddr>().map_err(|_| NoRoute::NoHost)?;
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let hosts = match self.names.exchangers(domain).await {
            Ok(exchangers) => choose(exchangers, &self.hostname)?,
            // A domain without MX takes its mail itself.
            Err(NoAnswer::NoRecord) => vec![domain.to_owned()],
            Err(NoAnswer::NoName) => return Err(NoRoute::NoHost),
            Err(NoAnswer::Failed) => return Err(NoRoute::Temporary),
        };
        self.addresses(&hosts, port).await
    }

    /// The host that takes a domain's mail whatever name servers say; what the settings name for all counts before what the
    /// routes do.
    fn host_for(&self, domain: &str) -> Option<&HostPort> {
        let Remote { smarthost, routes, .. } = &self.remote;
        let for_all = || smarthost.as_ref().map(Way::Via).or_else(|| routes.of_rest());
        match routes.of(domain).or_else(for_all) {
            Some(Way::Via(host)) => Some(host),
            Some(Way::Direct) | None => None,
        }
    }

    async fn addresses(&self, hosts: &[String], port: u16) -> Result<Vec<SocketAddr>, NoRoute> {
        let mut addresses = Vec::new();
        let mut seen = HashSet::new();
        let mut failure = NoRoute::NoHost;
        for host in hosts {
            if let Ok(address) = host.parse::<IpAddr>() {
                addresses.push(SocketAddr::new(address, port));
                continue;
            }
            match self.names.addresses(host).await {
                Ok(found) => {
                    let fresh = found.into_iter().filter(|address| seen.insert(*address));
                    addresses.extend(fresh.map(|address| SocketAddr::new(address, port)));
                }
                Err(NoAnswer::NoName | NoAnswer::NoRecord) => {}
                Err(NoAnswer::Failed) => failure = NoRoute::Temporary,
            }
        }
        addresses.truncate(ADDRESSES_MAX);
        if addresses.is_empty() { Err(failure) } else { Ok(addresses) }
    }
}

/// Orders MX records and drops this host and all that are no better, for mail must not go round in circles.
fn choose(mut exchangers: Vec<Exchanger>, hostname: &str) -> Result<Vec<String>, NoRoute> {
    if matches!(exchangers.as_slice(), [only] if only.host.is_empty()) {
        return Err(NoRoute::NullMx);
    }
    exchangers.sort();
    let mine = exchangers.iter().find(|exchanger| exchanger.host.eq_ignore_ascii_case(hostname));
    if let Some(limit) = mine.map(|mine| mine.preference) {
        exchangers.retain(|exchanger| exchanger.preference < limit);
    }
    if exchangers.is_empty() {
        return Err(NoRoute::Myself);
    }
    Ok(exchangers.into_iter().map(|exchanger| exchanger.host).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(records: &[(u16, &str)], expected: Result<&[&str], NoRoute>) {
        let exchanger = |&(preference, host): &(u16, &str)| Exchanger { preference, host: host.to_owned() };
        let expected = expected.map(|hosts| hosts.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(choose(records.iter().map(exchanger).collect(), "mx.example.org"), expected);
    }

    #[test]
    fn mail_goes_to_better_hosts_than_this_one() {
        check(&[(20, "b"), (10, "a")], Ok(&["a", "b"]));
        check(&[(30, "c"), (20, "MX.example.org"), (10, "a"), (20, "b")], Ok(&["a"]));
        check(&[(10, "mx.example.org"), (20, "b")], Err(NoRoute::Myself));
        check(&[(0, "")], Err(NoRoute::NullMx));
    }
}
