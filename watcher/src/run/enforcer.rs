//! Carries the engine's word to the kernel, and keeps it true there.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use logline::Timestamp;

use crate::config::FirewallKind;
use crate::engine::{Ban, Engine, Output};
use crate::firewall::{Change, Command, DryRun, Firewall, FirewallError, Lease, Nftables, connections};
use crate::jail::{Connections, Jail, JailName, Jails, Mode, Ports};
use crate::subject::Subject;

/// After a refusal everything is tried again so often.
const RETRY: Duration = Duration::from_secs(1);

/// So many lots of bans may wait to have their connections ended; the bans hold all the same.
const ENDING_MAX: usize = 256;

/// So many bans are looked up, one by one, to tell how far the kernel had drifted.
const DRIFT_LOOKS_MAX: usize = 100_000;

pub(super) struct Enforcer {
    firewall: Box<dyn Firewall>,
    /// What is wrong, for the administrator.
    pub(super) trouble: Option<String>,
    retry: Option<Instant>,
    /// Whose connections are to be ended; a thread of its own asks the kernel for them, which takes longer than a ban.
    ending: Option<SyncSender<Vec<(IpNet, Ports)>>>,
    /// Jails that leave the connections of those whom they ban.
    keepers: HashSet<JailName>,
}

/// What repairing the kernel's table came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Repair {
    /// Bans that the kernel did not have.
    pub(super) missing: usize,
}

impl Enforcer {
    /// Opens the firewall and puts all bans in force. Without the right to change it, it goes on and says so.
    pub(super) fn start(kind: &FirewallKind, engine: &Engine, now: Timestamp) -> Self {
        let (firewall, trouble): (Box<dyn Firewall>, _) = match kind {
            FirewallKind::DryRun => (Box::new(DryRun::new()), None),
            FirewallKind::Nftables(manner) => match Nftables::open() {
                Ok(nftables) => (Box::new(nftables.in_manner(manner.clone())), None),
                Err(error) => only_recorded(&error),
            },
            FirewallKind::Command(programs) => match Command::start(programs.clone()) {
                Ok(command) => (Box::new(command), None),
                Err(error) => only_recorded(&error),
            },
        };
        let ending = (firewall.name() == "nftables").then(end_connections).flatten();
        let mut enforcer = Enforcer { firewall, trouble, retry: None, ending, keepers: HashSet::new() };
        enforcer.set_jails(engine.jails());
        enforcer.restore(engine, now);
        enforcer
    }

    pub(super) fn name(&self) -> &'static str {
        self.firewall.name()
    }

    /// Whether it keeps anybody out at all.
    pub(super) fn keeps_out(&self) -> bool {
        self.firewall.name() != "dry-run"
    }

    /// What the firewall itself holds against an address.
    pub(super) fn meeting(&mut self, address: IpAddr) -> Result<Vec<(IpNet, Ports)>, String> {
        self.firewall.meeting(address).map_err(|error| chain(&error))
    }

    /// True while all bans are in force.
    pub(super) fn is_whole(&self) -> bool {
        self.retry.is_none() && self.firewall.is_settled()
    }

    /// True while the banned are kept out in truth.
    pub(super) fn is_enforcing(&self) -> bool {
        self.is_whole() && self.firewall.name() != "dry-run"
    }

    pub(super) fn watch(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.firewall.watch_fd()
    }

    /// When it wants to be called again, whatever happens.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry
    }

    /// Does what the engine wants; true where somebody was banned. When it returns, he is kept out.
    pub(super) fn carry_out(&mut self, outputs: &[Output], now: Timestamp) -> Result<bool, FirewallError> {
        let changes: Vec<Change> = outputs.iter().filter_map(|output| change(output, now)).collect();
        if changes.is_empty() {
            return Ok(false);
        }
        let done = self.firewall.apply(&changes);
        if let Err(error) = &done {
            tracing::error!("the firewall refuses a ban; everything is tried again: {}", chain(error));
            self.trouble = Some(chain(error));
            self.retry = Some(Instant::now() + RETRY);
        }
        self.end_connections(outputs);
        done.map(|()| changes.iter().any(|change| matches!(change, Change::Ban(_))))
    }

    /// Ends the connections of who was just banned, unless his jail leaves them.
    fn end_connections(&self, outputs: &[Output]) {
        let Some(ending) = &self.ending else { return };
        let banned = |output: &Output| match output {
            Output::Banned(Ban { subject: Subject::Network(network), lease, .. })
                if lease.mode == Mode::Enforce && !self.keepers.contains(&lease.jail) =>
            {
                Some((network.net(), lease.ports.clone()))
            }
            _ => None,
        };
        let banned: Vec<(IpNet, Ports)> = outputs.iter().filter_map(banned).collect();
        if !banned.is_empty() {
            // A full queue means that many are being ended already; the ban itself holds.
            let _ = ending.try_send(banned);
        }
    }

    /// The jails in use: some leave connections as they are.
    pub(super) fn set_jails(&mut self, jails: &Jails) {
        let keeps = |jail: &&Arc<Jail>| jail.ban.connections == Connections::Keep;
        self.keepers = jails.iter().filter(keeps).map(|jail| jail.name.clone()).collect();
    }

    /// Takes every ban out of the firewall.
    pub(super) fn flush(&mut self) {
        match self.firewall.clear() {
            Ok(()) => {
                tracing::info!("the bans are taken out of the firewall, and put back at the next start");
            }
            Err(error) => tracing::error!("the bans cannot be taken out of the firewall: {}", chain(&error)),
        }
    }

    /// Looks whether somebody else has touched the table, or whether a refusal is to be tried again, and makes it whole.
    pub(super) fn look_after(&mut self, engine: &Engine, now: Timestamp) -> Option<Repair> {
        match self.firewall.report() {
            Some(Err(error)) => {
                tracing::error!("not all bans are in force: {}", chain(&error));
                self.trouble = Some(chain(&error));
            }
            Some(Ok(())) => {
                tracing::info!("all bans are in force again");
                self.trouble = None;
            }
            None => {}
        }
        let damaged = self.firewall.damaged().unwrap_or_else(|error| {
            tracing::warn!("cannot tell whether the firewall is whole: {}", chain(&error));
            true
        });
        let due = self.retry.is_some_and(|at| at <= Instant::now());
        if !damaged && !due {
            return None;
        }
        let mut repair = Repair::default();
        if damaged {
            for (network, ports, _) in engine.enforced(now).take(DRIFT_LOOKS_MAX) {
                let held = self.firewall.holds(network.net(), ports);
                repair.missing += usize::from(held.is_ok_and(|held| !held));
            }
        }
        self.restore(engine, now);
        damaged.then_some(repair)
    }

    /// Bytes and packets that were dropped, since the table was made.
    pub(super) fn dropped(&mut self) -> Option<(u64, u64)> {
        let total = self.firewall.dropped().ok()?.total();
        Some((total.packets, total.bytes))
    }

    fn restore(&mut self, engine: &Engine, now: Timestamp) {
        let leases = engine.enforced(now).map(|(network, ports, until)| Lease {
            network: network.net(),
            ports: ports.clone(),
            remaining: until.since(now),
        });
        match self.firewall.restore(&mut leases.into_iter()) {
            Ok(_) => {
                if self.retry.take().is_some() {
                    tracing::info!("all bans are in force again");
                    self.trouble = None;
                }
            }
            Err(error) => {
                tracing::error!("cannot put the bans in force: {}", chain(&error));
                self.trouble = Some(chain(&error));
                self.retry = Some(Instant::now() + RETRY);
            }
        }
    }
}

/// The firewall cannot be used: it goes on without one, and says so.
fn only_recorded(error: &dyn std::error::Error) -> (Box<dyn Firewall>, Option<String>) {
    let trouble = format!("nobody is kept out, bans are only recorded: {}", chain(error));
    tracing::error!("{trouble}");
    (Box::new(DryRun::new()), Some(trouble))
}

fn change(output: &Output, now: Timestamp) -> Option<Change> {
    match output {
        Output::Enforce { network, ports, until } => {
            let remaining = until.since(now);
            let lease = Lease { network: network.net(), ports: ports.clone(), remaining };
            // A ban that an old line earned may be over by the time the line is read.
            (!remaining.is_zero()).then_some(Change::Ban(lease))
        }
        Output::Admit { network, ports } => {
            Some(Change::Unban { network: network.net(), ports: ports.clone() })
        }
        Output::Banned(_)
        | Output::Ended { .. }
        | Output::Spared { .. }
        | Output::Asked(_)
        | Output::Allowed { .. }
        | Output::Disallowed { .. }
        | Output::Zone(_) => None,
    }
}

/// The thread that ends the connections which the banned already have. Whatever waits is ended together: each look at
/// the kernel's connections is one at all of them.
fn end_connections() -> Option<SyncSender<Vec<(IpNet, Ports)>>> {
    let (sender, receiver) = sync_channel::<Vec<(IpNet, Ports)>>(ENDING_MAX);
    let work = move || {
        while let Ok(mut banned) = receiver.recv() {
            banned.extend(receiver.try_iter().take(ENDING_MAX).flatten());
            if let Err(error) = connections::end(&banned) {
                tracing::debug!("cannot end the connections of {} networks: {error}", banned.len());
            }
        }
    };
    std::thread::Builder::new().name("connections".into()).spawn(work).ok().map(|_| sender)
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |told, cause| format!("{told}: {cause}"))
}
