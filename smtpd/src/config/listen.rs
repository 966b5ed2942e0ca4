//! `[[listen]]`: the sockets, and what each is for.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;
use settings::{DeValue, Table, Value, one_of};

use crate::session::Service;

/// `[[listen]] address`
pub const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 25);

/// One `[[listen]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// `address`
    pub address: SocketAddr,
    /// `service`
    pub service: Service,
    /// `proxy`
    pub proxy: Vec<IpNet>,
}

pub(super) fn listen(root: &Table<'_>, tls: bool) -> Vec<Listen> {
    if !root.contains("listen") {
        return vec![Listen { address: LISTEN, service: Service::Smtp, proxy: Vec::new() }];
    }
    let mut taken = HashSet::new();
    let read = |table: Table<'_>| {
        let service = table.get_or("service", Service::Smtp);
        if service != Service::Smtp && !tls {
            table.mistake("service", "this service needs TLS: name a certificate and a key in [tls]");
        }
        let address = table.get_or("address", LISTEN);
        // Port 0 is another one each time.
        if address.port() != 0 && !taken.insert(address) {
            table.mistake("address", format!("another [[listen]] has {address} already"));
        }
        Listen { address, service, proxy: table.get_or("proxy", Vec::new()) }
    };
    root.tables("listen").into_iter().map(read).collect()
}

impl Value for Service {
    const EXPECTED: &'static str = "\"smtp\", \"submission\" or \"smtps\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        one_of(
            value,
            &[("smtp", Service::Smtp), ("submission", Service::Submission), ("smtps", Service::Smtps)],
        )
    }
}
