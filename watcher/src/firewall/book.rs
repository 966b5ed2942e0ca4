//! What is in force as far as we know, for firewalls that cannot be asked. Pure: it reads no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::Ports;

/// Who is banned, and until when.
#[derive(Debug, Default)]
pub(super) struct Book {
    ends: BTreeMap<(IpNet, Ports), Instant>,
    by_end: BTreeSet<(Instant, IpNet, Ports)>,
}

impl Book {
    /// How many bans are written down.
    pub(super) fn len(&self) -> usize {
        self.by_end.len()
    }

    /// Writes down a ban of a network in its normal form.
    pub(super) fn ban(&mut self, (network, ports): (IpNet, &Ports), remaining: Duration, now: Instant) {
        self.strike((network, ports));
        // A time too far for the clock is a ban none the less.
        let end = now.checked_add(remaining).unwrap_or(now + Duration::from_secs(u32::MAX.into()));
        self.by_end.insert((end, network, ports.clone()));
        self.ends.insert((network, ports.clone()), end);
    }

    /// Strikes a ban out; false when there was none.
    pub(super) fn strike(&mut self, (network, ports): (IpNet, &Ports)) -> bool {
        let key = (network, ports.clone());
        let Some(end) = self.ends.remove(&key) else { return false };
        self.by_end.remove(&(end, key.0, key.1))
    }

    /// Strikes out the ban that ends first, and tells which it was.
    pub(super) fn strike_first(&mut self) -> Option<(IpNet, Ports)> {
        let (_, network, ports) = self.by_end.pop_first()?;
        self.ends.remove_entry(&(network, ports)).map(|(ban, _)| ban)
    }

    /// When the first ban ends.
    pub(super) fn first_end(&self) -> Option<Instant> {
        self.by_end.first().map(|(end, ..)| *end)
    }

    /// When a ban ends.
    pub(super) fn end(&self, (network, ports): (IpNet, &Ports)) -> Option<Instant> {
        self.ends.get(&(network, ports.clone())).copied()
    }

    /// True for a ban that has time left.
    pub(super) fn holds(&self, (network, ports): (IpNet, &Ports), now: Instant) -> bool {
        self.ends.get(&(network, ports.clone())).is_some_and(|end| *end > now)
    }

    /// The bans with time left that meet `address`.
    pub(super) fn meeting(&self, address: IpAddr, now: Instant) -> Vec<(IpNet, Ports)> {
        let address = address.to_canonical();
        let longest = IpNet::from(address).prefix_len();
        (0..=longest)
            .filter_map(|length| IpNet::new(address, length).ok())
            .map(|network| network.trunc())
            .flat_map(|network| {
                let of_network = self.ends.range((network, Ports::All)..);
                of_network.take_while(move |((other, _), _)| *other == network)
            })
            .filter(|(_, end)| **end > now)
            .map(|(ban, _)| ban.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(book: &Book, address: &str, now: Instant, expected: &[&str]) {
        let found = book.meeting(address.parse().unwrap(), now);
        assert_eq!(found.iter().map(|(network, _)| network.to_string()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_network_inside_another_ends_on_its_own() {
        let (mut book, now) = (Book::default(), Instant::now());
        book.ban(("192.0.2.7/32".parse().unwrap(), &Ports::All), Duration::from_secs(30), now);
        book.ban(("192.0.2.0/24".parse().unwrap(), &Ports::All), Duration::from_secs(10), now);
        check(&book, "192.0.2.7", now, &["192.0.2.0/24", "192.0.2.7/32"]);
        check(&book, "192.0.2.8", now, &["192.0.2.0/24"]);
        check(&book, "::ffff:192.0.2.7", now + Duration::from_secs(10), &["192.0.2.7/32"]);
        check(&book, "192.0.2.7", now + Duration::from_secs(30), &[]);
    }

    #[test]
    fn bans_are_struck_out_as_they_end() {
        let (mut book, now) = (Book::default(), Instant::now());
        let [one, other] = ["192.0.2.7/32", "2001:db8::/64"].map(|text| text.parse().unwrap());
        book.ban((one, &Ports::All), Duration::from_secs(1), now);
        book.ban((other, &Ports::All), Duration::from_secs(5), now);
        book.ban((one, &Ports::All), Duration::from_secs(9), now);
        assert_eq!((book.len(), book.first_end()), (2, Some(now + Duration::from_secs(5))));
        assert_eq!(book.strike_first(), Some((other, Ports::All)));
        assert!(book.strike((one, &Ports::All)) && !book.strike((one, &Ports::All)));
        assert_eq!((book.len(), book.first_end()), (0, None));
    }
}
