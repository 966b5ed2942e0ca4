//! Bans as the kernel enforces them. Carries out what it is told and decides nothing: who is exempt, how long a ban
//! lasts and what a new one means for an old one is settled before it comes here.
//!
//! [`Nftables`] keeps one table, `inet postern`: sets with the kernel's own timeouts, so that every ban ends by itself
//! and a watcher that died leaves nobody banned for ever; counters; and a chain that looks at what comes in for this
//! machine, before connection tracking, so that established connections are cut as well. What the machine forwards for
//! others passes. The table belongs to nobody: `nft` may list it and change it while we run, and [`Firewall::damaged`]
//! tells when somebody took from it.
//!
//! The netlink messages are written by hand. libnftnl would be a C library at build time, and the way of sending that
//! it documents loses a batch above one page without an error. `netlink-packet-netfilter` builds a tree of vectors for
//! each element, where the hot path here allocates nothing; it has no named counters, and sends nothing itself. What
//! is needed of the protocol is a writer and a reader of attributes.

use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use ipnet::IpNet;

pub mod connections;

mod book;
mod command;
mod dry_run;
mod element;
mod layout;
mod manner;
mod netlink;
mod nft;
mod nftables;
mod ruleset;
mod step;
mod template;

pub use command::{Command, Programs};
pub use dry_run::DryRun;
pub use manner::{DEVICES_MAX, Manner, Treatment, is_device};
pub use nftables::Nftables;
pub use ruleset::ADDRESSES_MAX;
pub use template::TemplateError;

pub use crate::jail::Ports;

/// A ban as the kernel takes it: `network` may not reach `ports` for the time that remains.
///
/// Host bits do not count, and IPv4-mapped IPv6 is the IPv4 network. Nothing remaining means no ban; less than a
/// tenth of a second is taken as that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Whom it concerns.
    pub network: IpNet,
    /// What is closed to them.
    pub ports: Ports,
    /// For how long from now.
    pub remaining: Duration,
}

/// One thing to change. Bans of a network and of one inside it are independent: each has its own end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Bans, or gives a standing ban of exactly this network and these ports a new deadline.
    Ban(Lease),
    /// Ends the ban of exactly this network and these ports.
    Unban {
        /// Whom it concerned.
        network: IpNet,
        /// What was closed to them.
        ports: Ports,
    },
}

impl Change {
    /// The ban that it is about, its network in normal form, and what remains of it: nothing of one that ends.
    fn normal(&self) -> ((IpNet, &Ports), Option<Duration>) {
        let (network, ports, remaining) = match self {
            Change::Ban(Lease { network, ports, remaining }) => (network, ports, Some(*remaining)),
            Change::Unban { network, ports } => (network, ports, None),
        };
        ((layout::normal(*network), ports), remaining.filter(|remaining| !remaining.is_zero()))
    }
}

/// What was kept out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Their bytes, with the headers of IP.
    pub bytes: u64,
}

/// What was kept out since the table was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// For each list of ports, over IPv4 and over IPv6.
    pub scopes: Vec<(Ports, Traffic, Traffic)>,
}

impl Dropped {
    /// All together.
    pub fn total(&self) -> Traffic {
        self.scopes.iter().flat_map(|(_, v4, v6)| [v4, v6]).fold(Traffic::default(), |sum, one| Traffic {
            packets: sum.packets.saturating_add(one.packets),
            bytes: sum.bytes.saturating_add(one.bytes),
        })
    }
}

/// Something that enforces bans.
pub trait Firewall: Send {
    /// `nftables`, `dry-run` …
    fn name(&self) -> &'static str;

    /// Carries out `changes` in their order. When it returns, they are in force.
    ///
    /// Banning what is banned replaces its deadline; ending what is no ban is no error.
    fn apply(&mut self, changes: &[Change]) -> Result<(), FirewallError>;

    /// Makes ready whatever is missing and puts `bans` in force, as at the start or after damage; how many.
    ///
    /// Bans that stand from an earlier run stay in force throughout. On kernels before 6.12 they keep the deadline
    /// that they have.
    fn restore(&mut self, bans: &mut dyn Iterator<Item = Lease>) -> Result<usize, FirewallError>;

    /// True while exactly this network is banned from exactly these ports.
    fn holds(&mut self, network: IpNet, ports: &Ports) -> Result<bool, FirewallError>;

    /// The bans in force that meet `address`: its own and those of networks that it lies in.
    fn meeting(&mut self, address: IpAddr) -> Result<Vec<(IpNet, Ports)>, FirewallError>;

    /// What was kept out since the table was made; one that is made anew counts from zero.
    fn dropped(&mut self) -> Result<Dropped, FirewallError>;

    /// Becomes readable when [`Firewall::damaged`] has something to look at, be it our own doing.
    fn watch_fd(&self) -> Option<BorrowedFd<'_>>;

    /// True, once, when somebody else took away something of ours, or when that can no longer be excluded.
    fn damaged(&mut self) -> Result<bool, FirewallError>;

    /// What became of changes that take longer than [`Firewall::apply`], once after it has changed: an error while some of
    /// them fail.
    fn report(&mut self) -> Option<Result<(), FirewallError>> {
        None
    }

    /// True while all bans are in force, as far as is known, but for those that were told just now.
    fn is_settled(&self) -> bool {
        true
    }

    /// Ends every ban and leaves nothing behind.
    fn clear(&mut self) -> Result<(), FirewallError>;
}

/// Why bans are not in force.
#[derive(Debug, thiserror::Error)]
pub enum FirewallError {
    /// The process may not change the firewall.
    #[error("needs CAP_NET_ADMIN: run as root, or set firewall = \"dry-run\"")]
    Permission,
    /// Some changes could not be made; all others are in force.
    #[error("{} of the changes could not be made", failed.len())]
    Some {
        /// Which, by their place in what was given, and why.
        failed: Vec<(usize, io::Error)>,
    },
    /// A program that bans, or ends bans, fails.
    #[error("{count} changes cannot be made and are tried again, the first one that of {network}: {why}")]
    Program {
        /// For so many.
        count: usize,
        /// One of them.
        network: IpNet,
        /// What it said.
        why: String,
    },
    /// The kernel refused what concerns all bans.
    #[error("{doing}")]
    Kernel {
        /// What was being done.
        doing: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}
