//! `[remote]`, `[dns] servers` and `metrics`: other hosts, and addresses of this one.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use settings::{DeValue, Table, Text, Value, mismatch};

use super::control::Control;
use crate::queue::{Route, Routes};

/// `[remote] port`
pub const REMOTE_PORT: u16 = 25;

/// `[remote]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// `smarthost`
    pub smarthost: Option<HostPort>,
    /// `port`
    pub port: u16,
    /// `smtproutes`
    pub routes: Routes,
}

/// A host, by name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl FromStr for HostPort {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "expected a host and a port such as \"mail.example.net:587\"";
        let (host, port) = text.rsplit_once(':').ok_or(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(wrong);
        }
        Ok(HostPort { host: host.to_owned(), port: port.parse().map_err(|_| wrong)? })
    }
}

pub(super) fn remote(root: &Table<'_>, control: &Control) -> Remote {
    let table = root.table_or_empty("remote");
    let own = root.get::<Vec<Text<Route>>>("smtproutes");
    let own = own.map(|routes| routes.into_iter().map(|Text(route)| route).collect::<Vec<_>>());
    let routes = Routes::new(own.or_else(|| control.entries("smtproutes")).unwrap_or_default());
    let smarthost = table.get::<Text<HostPort>>("smarthost").map(|Text(host)| host);
    Remote { smarthost, port: table.get_or("port", REMOTE_PORT), routes }
}

pub(super) fn name_servers(root: &Table<'_>) -> Vec<SocketAddr> {
    let servers = root.table_or_empty("dns").get_or("servers", Vec::<Text<NameServer>>::new());
    servers.into_iter().map(|Text(NameServer(address))| address).collect()
}

struct NameServer(SocketAddr);

impl FromStr for NameServer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const PORT: u16 = 53;
        let alone = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, PORT));
        let address = alone.or_else(|_| text.parse::<SocketAddr>());
        address
            .map(NameServer)
            .map_err(|_| "expected an address such as \"192.0.2.53\" or \"127.0.0.1:5353\"")
    }
}

/// An address of this host's, or none.
#[derive(Clone, Copy)]
pub(super) enum Address {
    On(SocketAddr),
    Off,
}

impl Address {
    pub(super) fn socket(self) -> Option<SocketAddr> {
        match self {
            Address::On(address) => Some(address),
            Address::Off => None,
        }
    }
}

impl Value for Address {
    const EXPECTED: &'static str = "an address and a port such as \"127.0.0.1:9825\", or \"off\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        match value.as_str() {
            Some("off") => Ok(Address::Off),
            Some(text) => text.parse().map(Address::On).map_err(|_| mismatch(Self::EXPECTED, value)),
            None => Err(mismatch(Self::EXPECTED, value)),
        }
    }
}
