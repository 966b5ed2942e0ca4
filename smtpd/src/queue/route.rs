//! Which hosts take the mail of a domain (RFC 5321 §5.1).

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};

use crate::config::{HostPort, Remote};

/// Addresses that are tried for one delivery. More would let one domain hold a slot for hours.
const ADDRESSES_MAX: usize = 10;

/// Finds the hosts of a domain.
#[derive(Debug)]
pub struct Router {
    resolver: TokioResolver,
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
    /// A router that asks `name_servers`, or those of the system where there are none.
    ///
    /// # Errors
    /// Where the system's cannot be read.
    pub fn new(name_servers: &[SocketAddr], remote: &Remote, hostname: &str) -> Result<Self, NetError> {
        let builder = if name_servers.is_empty() {
            TokioResolver::builder_tokio()?
        } else {
            let servers = name_servers.iter().map(name_server).collect();
            let config = ResolverConfig::from_name_servers(servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let resolver = builder.build()?;
        Ok(Router { resolver, remote: remote.clone(), hostname: hostname.to_owned() })
    }

    /// Where mail for `domain` goes, the best place first.
    pub(super) async fn route(&self, domain: &str) -> Result<Vec<SocketAddr>, NoRoute> {
        if let Some(HostPort { host, port }) = &self.remote.smarthost {
            return self.addresses(std::slice::from_ref(host), *port).await;
        }
        let port = self.remote.port;
        if let Some(literal) = domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let address =
                literal.trim_start_matches("IPv6:").parse::<IpAddr>().map_err(|_| NoRoute::NoHost)?;
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let hosts = self.exchangers(domain).await?;
        self.addresses(&hosts, port).await
    }

    /// The hosts that MX records name; the domain itself where there are none.
    async fn exchangers(&self, domain: &str) -> Result<Vec<String>, NoRoute> {
        let found = match self.resolver.lookup(absolute(domain), RecordType::MX).await {
            Ok(found) => found,
            Err(error) if error.is_nx_domain() => return Err(NoRoute::NoHost),
            Err(error) if error.is_no_records_found() => return Ok(vec![domain.to_owned()]),
            Err(error) => return Err(temporary(domain, &error)),
        };
        let mut exchangers: Vec<(u16, String)> = found
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::MX(mx) => {
                    Some((mx.preference, mx.exchange.to_ascii().trim_end_matches('.').to_owned()))
                }
                _ => None,
            })
            .collect();
        choose(&mut exchangers, &self.hostname)
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
            match self.resolver.lookup_ip(absolute(host)).await {
                Ok(found) => {
                    let fresh = found.iter().filter(|address| seen.insert(*address));
                    addresses.extend(fresh.map(|address| SocketAddr::new(address, port)));
                }
                Err(error) if error.is_no_records_found() => {}
                Err(error) => failure = temporary(host, &error),
            }
        }
        addresses.truncate(ADDRESSES_MAX);
        if addresses.is_empty() { Err(failure) } else { Ok(addresses) }
    }
}

/// Orders MX records and drops this host and all that are no better, for mail must not go round in circles.
fn choose(exchangers: &mut Vec<(u16, String)>, hostname: &str) -> Result<Vec<String>, NoRoute> {
    if matches!(exchangers.as_slice(), [(_, only)] if only.is_empty()) {
        return Err(NoRoute::NullMx);
    }
    exchangers.sort();
    let mine = exchangers.iter().find(|(_, host)| host.eq_ignore_ascii_case(hostname));
    if let Some(&(limit, _)) = mine {
        exchangers.retain(|(preference, _)| *preference < limit);
    }
    if exchangers.is_empty() {
        return Err(NoRoute::Myself);
    }
    Ok(exchangers.drain(..).map(|(_, host)| host).collect())
}

/// With a dot at the end no search list is tried.
fn absolute(name: &str) -> String {
    format!("{name}.")
}

fn temporary(name: &str, error: &NetError) -> NoRoute {
    tracing::debug!(name, %error, "name look-up failed");
    NoRoute::Temporary
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(records: &[(u16, &str)], expected: Result<&[&str], NoRoute>) {
        let mut records = records.iter().map(|(n, host)| (*n, (*host).to_owned())).collect();
        let expected = expected.map(|hosts| hosts.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(choose(&mut records, "mx.example.org"), expected);
    }

    #[test]
    fn mail_goes_to_better_hosts_than_this_one() {
        check(&[(20, "b"), (10, "a")], Ok(&["a", "b"]));
        check(&[(30, "c"), (20, "MX.example.org"), (10, "a"), (20, "b")], Ok(&["a"]));
        check(&[(10, "mx.example.org"), (20, "b")], Err(NoRoute::Myself));
        check(&[(0, "")], Err(NoRoute::NullMx));
    }
}
