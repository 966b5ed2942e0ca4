//! Where refused mail, guesses and probes come from.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::Places;
use super::finding::{Detail, Owner, SourceNetwork};
use super::flow::REFUSALS;
use crate::event::{Event, Kind};
use crate::subject::Network;

/// So many networks are counted; of a log that has more, the first ones.
const NETWORKS_MAX: usize = 200_000;

/// So many are named.
const SHOWN: usize = 50;

/// Offences that refuse nobody anything by themselves.
const OTHERS: &[Kind] = &[Kind::AuthFailed, Kind::TlsFailed, Kind::Failure];

#[derive(Debug, Default)]
pub(super) struct Networks {
    networks: HashMap<Network, Offences, foldhash::fast::RandomState>,
    is_full: bool,
}

#[derive(Debug, Default)]
struct Offences {
    count: u64,
    kinds: BTreeMap<Kind, u64>,
    /// A bit for each address of a /24; of a /48, for what its next 16 bits are, 256 at most.
    clients: [u64; 4],
}

impl Networks {
    pub(super) fn event(&mut self, event: &Event<'_>) {
        let is_offence = REFUSALS.contains(&event.kind) || OTHERS.contains(&event.kind);
        let Some(address) = event.address.filter(|_| is_offence) else { return };
        let network = Network::around(address, 24, 48);
        if self.networks.len() >= NETWORKS_MAX && !self.networks.contains_key(&network) {
            self.is_full = true;
            return;
        }
        let offences = self.networks.entry(network).or_default();
        let weight = u64::from(event.weight);
        offences.count += weight;
        *offences.kinds.entry(event.kind).or_default() += weight;
        let client = client_of(address);
        if let Some(word) = offences.clients.get_mut(usize::from(client / 64)) {
            *word |= 1 << (client % 64);
        }
    }

    /// How many are counted.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.networks.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    /// The worst networks.
    pub(super) fn findings(&self, places: &Places) -> Vec<SourceNetwork> {
        let mut worst: Vec<(&Network, &Offences)> = self.networks.iter().collect();
        worst.sort_by(|(a, x), (b, y)| y.count.cmp(&x.count).then_with(|| a.cmp(b)));
        worst.truncate(SHOWN);
        let told = worst.into_iter().map(|(network, offences)| {
            let place = places.of(network.net().addr());
            let kinds = offences.kinds.iter();
            let kinds = kinds.map(|(kind, count)| Detail { word: kind.name().to_owned(), count: *count });
            let mut kinds: Vec<Detail> = kinds.collect();
            kinds.sort_by_key(|kind| std::cmp::Reverse(kind.count));
            SourceNetwork {
                network: network.to_string(),
                count: offences.count,
                clients: offences.clients.iter().map(|word| word.count_ones()).sum(),
                kinds,
                asn: place.asn,
                owner: place.owner,
                country: place.country,
            }
        });
        told.collect()
    }

    /// The same by owner and by country.
    pub(super) fn owners(&self, places: &Places) -> (Vec<Owner>, Vec<Owner>) {
        if places.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let (mut owners, mut countries) = (BTreeMap::new(), BTreeMap::new());
        let add = |all: &mut BTreeMap<String, (u64, u64)>, name: String, count: u64| {
            let (sum, networks) = all.entry(name).or_default();
            *sum += count;
            *networks += 1;
        };
        for (network, offences) in &self.networks {
            let place = places.of(network.net().addr());
            let owner = match (place.asn, place.owner) {
                (Some(asn), Some(owner)) => format!("AS{asn} {owner}"),
                (Some(asn), None) => format!("AS{asn}"),
                (None, owner) => owner.unwrap_or_else(|| "unknown".to_owned()),
            };
            add(&mut owners, owner, offences.count);
            add(&mut countries, place.country.unwrap_or_else(|| "unknown".to_owned()), offences.count);
        }
        (ranked(owners), ranked(countries))
    }
}

fn ranked(all: BTreeMap<String, (u64, u64)>) -> Vec<Owner> {
    let owner = |(name, (count, networks))| Owner { name, count, networks };
    let mut owners: Vec<Owner> = all.into_iter().map(owner).collect();
    owners.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
    owners.truncate(SHOWN);
    owners
}

fn client_of(address: IpAddr) -> u8 {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.octets()[3],
        IpAddr::V6(v6) => v6.octets()[6] ^ v6.octets()[7],
    }
}
