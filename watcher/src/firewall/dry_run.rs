//! The firewall that keeps nobody out: it remembers what would be in force, and answers as the kernel would.

use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use ipnet::IpNet;

use super::book::Book;
use super::layout::normal;
use super::{Change, Dropped, Firewall, FirewallError, Lease, Ports};

/// Bans that are remembered. Past this, the one that would end first is forgotten.
const BANS_MAX: usize = 1_000_000;

/// Bans without effect, for those who want to see before they trust, or may not change the firewall.
#[derive(Debug, Default)]
pub struct DryRun {
    book: Book,
}

impl DryRun {
    /// Nobody is banned.
    pub fn new() -> Self {
        Self::default()
    }

    fn put(&mut self, change: &Change, now: Instant) {
        let (place, remaining) = change.normal();
        match remaining {
            Some(remaining) => self.book.ban(place, remaining, now),
            // Ending what is no ban is no error.
            None => _ = self.book.strike(place),
        }
        while self.book.first_end().is_some_and(|end| end <= now) || self.book.len() > BANS_MAX {
            self.book.strike_first();
        }
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
        Ok(self.book.holds((normal(network), ports), Instant::now()))
    }

    fn meeting(&mut self, address: IpAddr) -> Result<Vec<(IpNet, Ports)>, FirewallError> {
        Ok(self.book.meeting(address, Instant::now()))
    }

    fn dropped(&mut self) -> Result<Dropped, FirewallError> {
        Ok(Dropped::default())
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
