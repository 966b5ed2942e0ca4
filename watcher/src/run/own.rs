//! The addresses of this machine: banning one of them would lock it out of itself.

use std::net::IpAddr;

use crate::subject::Network;

/// Every address of every interface, as it is now.
pub(super) fn addresses() -> Vec<Network> {
    let interfaces = match nix::ifaddrs::getifaddrs() {
        Ok(interfaces) => interfaces,
        Err(error) => {
            tracing::warn!("cannot list the addresses of this machine: {error}");
            return Vec::new();
        }
    };
    let address = |interface: nix::ifaddrs::InterfaceAddress| {
        let storage = interface.address?;
        let v4 = storage.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| storage.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    };
    let mut own: Vec<Network> = interfaces.filter_map(address).map(Network::host).collect();
    own.sort_unstable();
    own.dedup();
    own
}
