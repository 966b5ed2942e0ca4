//! The firewall that keeps nobody out: it remembers what would be in force, and answers as the kernel would.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::layout::normal;
use super::{Change, Dropped, Firewall, FirewallError, Lease, Ports, Traffic};

/// Bans that are remembered. Past this, the one that would end first is forgotten.
const BANS_MAX: usize = 1_000_000;

/// Bans without effect, for those who want to see before they trust, or may not change the firewall.
#[derive(Debug, Default)]
pub struct DryRun {
    ends: BTreeMap<(IpNet, Ports), Instant>,
    by_end: BTreeSet<(Instant, IpNet, Ports)>,
}

impl DryRun {
    /// Nobody is banned.
    pub fn new() -> Self {
        Self::default()
    }

    fn put(&mut self, change: &Change, now: Instant) {
        let (network, ports, remaining) = match change {
            Change::Ban(lease) => (lease.network, &lease.ports, lease.remaining),
            Change::Unban { network, ports } => (*network, ports, Duration::ZERO),
        };
        let key = (normal(network), ports.clone());
        if let Some(end) = self.ends.remove(&key) {
            self.by_end.remove(&(end, key.0, key.1.clone()));
        }
        // A time too far for the clock is not worth remembering exactly, but it is a ban.
        let end = now.checked_add(remaining).unwrap_or(now + Duration::from_secs(u32::MAX.into()));
        if end > now {
            self.by_end.insert((end, key.0, key.1.clone()));
            self.ends.insert(key, end);
        }
        self.forget(now);
    }

    fn forget(&mut self, now: Instant) {
        while let Some((end, ..)) = self.by_end.first()
            && (*end <= now || self.by_end.len() > BANS_MAX)
            && let Some((_, network, ports)) = self.by_end.pop_first()
        {
            self.ends.remove(&(network, ports));
        }
    }

    fn meeting_at(&self, address: IpAddr, now: Instant) -> Vec<(IpNet, Ports)> {
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

impl Firewall for DryRun {
    fn name(&self) -> &'static str {
        "dry-run"
    }

    fn apply(&mut self, changes: &[Change]) -> Result<(), FirewallError> {
        let now = Instant::now();
        changes.iter().for_each(|change| self.put(change, now));
        Ok(())
    }

    fn restore(&mut self, bans: &mut dyn Iterator<Item = Lease>) -> Result<usize, FirewallError> {
        let now = Instant::now();
        Ok(bans.map(|lease| self.put(&Change::Ban(lease), now)).count())
    }

    fn holds(&mut self, network: IpNet, ports: &Ports) -> Result<bool, FirewallError> {
        let end = self.ends.get(&(normal(network), ports.clone()));
        Ok(end.is_some_and(|end| *end > Instant::now()))
    }

    fn meeting(&mut self, address: IpAddr) -> Result<Vec<(IpNet, Ports)>, FirewallError> {
        Ok(self.meeting_at(address, Instant::now()))
    }

    fn dropped(&mut self) -> Result<Dropped, FirewallError> {
        Ok(Dropped { scopes: vec![(Ports::All, Traffic::default(), Traffic::default())] })
    }

    fn watch_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn damaged(&mut self) -> Result<bool, FirewallError> {
        Ok(false)
    }

    fn clear(&mut self) -> Result<(), FirewallError> {
        *self = Self::default();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(dry_run: &DryRun, address: &str, now: Instant, expected: &[&str]) {
        let found = dry_run.meeting_at(address.parse().unwrap(), now);
        assert_eq!(found.iter().map(|(network, _)| network.to_string()).collect::<Vec<_>>(), expected);
    }

    fn ban(network: &str, seconds: u64) -> Change {
        let remaining = Duration::from_secs(seconds);
        Change::Ban(Lease { network: network.parse().unwrap(), ports: Ports::All, remaining })
    }

    #[test]
    fn a_network_inside_another_ends_on_its_own() {
        let (mut dry_run, now) = (DryRun::new(), Instant::now());
        dry_run.put(&ban("::ffff:192.0.2.7/128", 30), now);
        dry_run.put(&ban("192.0.2.0/24", 10), now);
        check(&dry_run, "192.0.2.7", now, &["192.0.2.0/24", "192.0.2.7/32"]);
        check(&dry_run, "192.0.2.8", now, &["192.0.2.0/24"]);
        check(&dry_run, "::ffff:192.0.2.7", now + Duration::from_secs(10), &["192.0.2.7/32"]);
        check(&dry_run, "192.0.2.7", now + Duration::from_secs(30), &[]);
    }

    #[test]
    fn what_has_ended_is_forgotten() {
        let (mut dry_run, now) = (DryRun::new(), Instant::now());
        dry_run.put(&ban("192.0.2.7/32", 1), now);
        dry_run.put(&ban("2001:db8::/64", 5), now + Duration::from_secs(1));
        assert_eq!((dry_run.ends.len(), dry_run.by_end.len()), (1, 1));
        dry_run.put(&ban("2001:db8::/64", 0), now + Duration::from_secs(1));
        assert_eq!((dry_run.ends.len(), dry_run.by_end.len()), (0, 0));
    }
}
