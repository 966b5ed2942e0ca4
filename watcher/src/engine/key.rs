//! Keys and marks: what the engine keeps of addresses, accounts and passwords instead of themselves.
//!
//! A hash is the same in every run with the same seed, so that a saved counter can be gone on with.

use std::hash::{DefaultHasher, Hasher as _};
use std::net::IpAddr;

use crate::event::Event;
use crate::subject::Network;

/// What makes an event different from others of the same counter; 0 where it differs from all. A password is a different
/// guess for each user that it is tried on.
pub(super) fn distinct_value(seed: u64, field: &str, event: &Event<'_>) -> u32 {
    match (field, event.field(field)) {
        ("address", _) => event.address.map_or(0, |address| short(address_hash(seed, address))),
        ("password", Some(password)) => {
            short(hash(seed, &[event.field("user").unwrap_or_default(), password]))
        }
        (_, Some(value)) => short(hash(seed, &[value])),
        (_, None) => 0,
    }
}

/// The mark of a value: never 0.
pub(super) fn mark(seed: u64, value: &[u8]) -> u32 {
    short(hash(seed, &[value]))
}

pub(super) fn address_hash(seed: u64, address: IpAddr) -> u64 {
    hash(seed, &[&key_of(Network::around(address, 32, 64)).to_be_bytes()])
}

/// Half of a hash, and never 0.
pub(super) fn short(hash: u64) -> u32 {
    u32::try_from((hash >> 32) & 0xffff_ffff).unwrap_or(0).max(1)
}

/// The same for the same bytes in every run with this seed, so that a saved counter can be gone on with.
pub(super) fn hash(seed: u64, parts: &[&[u8]]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(seed);
    for part in parts {
        hasher.write_usize(part.len());
        hasher.write(part);
    }
    hasher.finish()
}

/// Two hashes of a value.
pub(super) fn wide_hash(seed: u64, parts: &[&[u8]]) -> u128 {
    (u128::from(hash(seed, parts)) << 64) | u128::from(hash(!seed, parts))
}

/// The key of a network in a table where all networks of a family have the same prefix.
pub(super) fn key_of(network: Network) -> u128 {
    match network.net().addr() {
        IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// The key of an account.
pub(super) fn user_key(seed: u64, user: &[u8]) -> u128 {
    wide_hash(seed, &[user])
}

/// The half of a key that stands for the network, where an account from a network is counted.
pub(super) fn user_at_low(seed: u64, network: Network) -> u64 {
    let bits: u8 = network.net().prefix_len();
    let address: IpAddr = network.net().addr();
    hash(seed, &[&key_of(Network::host(address)).to_be_bytes(), &[bits]])
}
