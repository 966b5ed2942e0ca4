//! Addresses and networks in settings.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use toml::de::DeValue;

use crate::Value;
use crate::value::{mismatch, string};

impl Value for IpAddr {
    const EXPECTED: &'static str = "an address such as \"192.0.2.7\" or \"2001:db8::7\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        string(Self::EXPECTED, value)?.parse().map_err(|_| mismatch(Self::EXPECTED, value))
    }
}

impl Value for SocketAddr {
    const EXPECTED: &'static str = "an address and a port such as \"127.0.0.1:25\" or \"[::1]:25\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let text = string(Self::EXPECTED, value)?;
        if let Ok(address) = text.parse() {
            return Ok(address);
        }
        Err(match text.parse::<IpAddr>() {
            Ok(address) => {
                format!("{text:?} has no port: write \"{}\", say", SocketAddr::new(address, 25))
            }
            Err(_) => mismatch(Self::EXPECTED, value),
        })
    }
}

/// A bare address is a network of that one address. Bits beyond the prefix are refused, because a person who writes
/// them means either the address or the network, and only that person knows which.
impl Value for IpNet {
    const EXPECTED: &'static str = "a network such as \"192.0.2.0/24\", \"2001:db8::/32\" or an address";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let text = string(Self::EXPECTED, value)?;
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(IpNet::from(address));
        }
        let network: IpNet = text.parse().map_err(|_| mismatch(Self::EXPECTED, value))?;
        if network.trunc() != network {
            let (right, address) = (network.trunc(), network.addr());
            return Err(format!(
                "{text:?} is not the start of a network: write \"{right}\", or \"{address}\" alone"
            ));
        }
        Ok(network)
    }
}
