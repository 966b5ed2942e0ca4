//! The name servers: those of the settings, or the system's.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::{ResolverBuilder, TokioResolver};
use rustls::{ClientConfig, RootCertStore};

use crate::blocklist::ZoneAnswer;

/// How long a blocklist may keep a client waiting. A list that is slower lists nobody.
const BLOCKLIST_TIMEOUT: Duration = Duration::from_secs(10);

/// Asks name servers.
#[derive(Clone, Debug)]
pub struct Names {
    /// It asks two of them at once, and takes the answer that comes first.
    hasty: TokioResolver,
    /// It asks one after the other: what two of them ask a blocklist for, the list counts twice.
    frugal: TokioResolver,
}

/// A host that takes a domain's mail.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exchanger {
    /// Lower is better.
    pub preference: u16,
    /// Its name; empty where the domain takes no mail (RFC 7505).
    pub host: String,
}

/// Why a name has nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// There is no such name.
    NoName,
    /// The name has no such record.
    NoRecord,
    /// No name server could say.
    Failed,
}

impl Names {
    /// Asks `servers`, or those of the system where there are none.
    ///
    /// # Errors
    /// Where the system's cannot be read.
    pub fn new(servers: &[SocketAddr]) -> Result<Self, NetError> {
        let hasty = builder(servers)?.with_tls_config(no_tls()?).build()?;
        let mut frugal = builder(servers)?;
        frugal.options_mut().num_concurrent_reqs = 1;
        let frugal = frugal.with_tls_config(no_tls()?).build()?;
        Ok(Names { hasty, frugal })
    }

    /// The hosts that take a domain's mail, unordered.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn exchangers(&self, domain: &str) -> Result<Vec<Exchanger>, NoAnswer> {
        let found = self
            .hasty
            .lookup(absolute(domain), RecordType::MX)
            .await
            .map_err(|error| no_answer(domain, &error))?;
        let exchangers = found.answers().iter().filter_map(|record| match &record.data {
            RData::MX(mx) => Some(Exchanger {
                preference: mx.preference,
                host: mx.exchange.to_ascii().trim_end_matches('.').to_owned(),
            }),
            _ => None,
        });
        Ok(exchangers.collect())
    }

    /// A name's texts, each joined from its pieces.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn texts(&self, name: &str) -> Result<Vec<Vec<u8>>, NoAnswer> {
        let found = self
            .hasty
            .lookup(absolute(name), RecordType::TXT)
            .await
            .map_err(|error| no_answer(name, &error))?;
        let texts = found.answers().iter().filter_map(|record| match &record.data {
            RData::TXT(text) => Some(text.txt_data.concat()),
            _ => None,
        });
        Ok(texts.collect())
    }

    /// A host's addresses.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, NoAnswer> {
        let found = self.hasty.lookup_ip(absolute(host)).await.map_err(|error| no_answer(host, &error))?;
        Ok(found.iter().collect())
    }

    /// The same name servers, for what mail-auth asks.
    pub fn authenticator(&self) -> mail_auth::MessageAuthenticator {
        mail_auth::MessageAuthenticator(self.hasty.clone())
    }

    /// The names of an address.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn hosts(&self, address: IpAddr) -> Result<Vec<String>, NoAnswer> {
        let found = self
            .hasty
            .reverse_lookup(address)
            .await
            .map_err(|error| no_answer(&address.to_string(), &error))?;
        let names = found.answers().iter().filter_map(|record| match &record.data {
            RData::PTR(name) => Some(name.0.to_ascii().trim_end_matches('.').to_owned()),
            _ => None,
        });
        Ok(names.collect())
    }

    /// What a blocklist answers. The text is asked for only where the codes want one: it is a query of its own.
    pub async fn blocklist(&self, query: &str, want_text: impl Fn(&[Ipv4Addr]) -> bool) -> ZoneAnswer {
        let asked =
            tokio::time::timeout(BLOCKLIST_TIMEOUT, self.frugal.lookup(absolute(query), RecordType::A)).await;
        let codes: Vec<Ipv4Addr> = match asked {
            Ok(Ok(found)) => found
                .answers()
                .iter()
                .filter_map(|record| match &record.data {
                    RData::A(address) => Some(address.0),
                    _ => None,
                })
                .collect(),
            Ok(Err(error)) if error.is_no_records_found() => return ZoneAnswer::NotListed,
            Ok(Err(_)) | Err(_) => return ZoneAnswer::Failed,
        };
        if !want_text(&codes) {
            return ZoneAnswer::Addresses { codes, text: None };
        }
        let asked =
            tokio::time::timeout(BLOCKLIST_TIMEOUT, self.frugal.lookup(absolute(query), RecordType::TXT))
                .await;
        let text = asked.ok().and_then(Result::ok).and_then(|found| {
            found.answers().iter().find_map(|record| match &record.data {
                RData::TXT(text) => Some(text.txt_data.concat()),
                _ => None,
            })
        });
        ZoneAnswer::Addresses { codes, text }
    }
}

fn builder(servers: &[SocketAddr]) -> Result<ResolverBuilder<TokioRuntimeProvider>, NetError> {
    if servers.is_empty() {
        return TokioResolver::builder_tokio();
    }
    let config = ResolverConfig::from_name_servers(servers.iter().map(server).collect());
    Ok(TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()))
}

/// Name servers are asked in clear, whatever the resolver could do besides. By itself it would load the certificates of this
/// system's authorities, each time, and refuse to be made on a system that has none.
fn no_tls() -> Result<ClientConfig, NetError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// With a dot at the end no search list is tried.
fn absolute(name: &str) -> String {
    format!("{name}.")
}

fn no_answer(name: &str, error: &NetError) -> NoAnswer {
    if error.is_nx_domain() {
        return NoAnswer::NoName;
    }
    if error.is_no_records_found() {
        return NoAnswer::NoRecord;
    }
    tracing::debug!(name, %error, "name look-up failed");
    NoAnswer::Failed
}

fn server(address: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.to_vec())
}
