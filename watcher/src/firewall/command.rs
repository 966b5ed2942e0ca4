//! Bans by somebody else's tool: a program is run for bans and for their ends.
//!
//! For machines whose firewall is not nf_tables, or stands elsewhere. It is slow and blind next to
//! [`Nftables`](super::Nftables): what the program did cannot be seen. A ban whose time is over while the watcher does
//! not run stands until somebody ends it, so a tool that keeps time itself should be given `{seconds}`.
//!
//! Programs are run by a thread of their own, so that no line waits for one. Whatever gathers while they run goes to the
//! next together, where the program takes many; what fails is tried alone, told of, and tried again.

mod ledger;
mod worker;

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use self::ledger::Pair;
use self::worker::Shared;
use super::layout::normal;
use super::template::{Template, TemplateError};
use super::{Change, Dropped, Firewall, FirewallError, Lease, Ports};

/// At the start so long is waited until all bans are in force; the rest follows.
const RESTORE_WAIT: Duration = Duration::from_secs(5);
/// At the end so long is waited until everybody is let in.
const CLEAR_WAIT: Duration = Duration::from_secs(30);

/// The programs for bans and for their ends, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs(Pair);

/// Runs one program for bans and one for their ends.
#[derive(Debug)]
pub struct Command {
    shared: Arc<Shared>,
    worker: Option<JoinHandle<()>>,
}

impl Programs {
    /// Takes the program with its arguments for bans, and for their ends; with each, where it reads a line for every ban
    /// on its standard input, that line. A program is named by its absolute path and run without a shell. In arguments and
    /// lines stand `{network}` or `{address}`, `{family}` (`4` or `6`), `{ports}` (`all`, or `25,465`) and `{seconds}`; an
    /// argument `{networks}` or `{addresses}` is as many as there are bans.
    ///
    /// # Errors
    /// One of them cannot be run, or both: which, and why.
    pub fn parse(
        ban: (&[String], Option<&str>),
        unban: (&[String], Option<&str>),
    ) -> Result<Programs, Vec<(&'static str, TemplateError)>> {
        match (Template::parse(ban.0, ban.1), Template::parse(unban.0, unban.1)) {
            (Ok(ban), Ok(unban)) => Ok(Programs(Pair { ban, unban })),
            (ban, unban) => {
                let wrong = [("ban", ban.err()), ("unban", unban.err())];
                Err(wrong.into_iter().filter_map(|(which, why)| Some((which, why?))).collect())
            }
        }
    }
}

impl Command {
    /// Starts the thread that runs them.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(programs: Programs) -> io::Result<Command> {
        let shared = Shared::new()?;
        let its = Arc::clone(&shared);
        let work = move || worker::work(&its, &programs.0);
        let worker = std::thread::Builder::new().name("programs".into()).spawn(work)?;
        Ok(Command { shared, worker: Some(worker) })
    }

    /// Waits until every program that is to be run has ended; false where that takes longer.
    pub fn wait(&self, patience: Duration) -> bool {
        self.shared.wait(patience)
    }
}

impl Drop for Command {
    fn drop(&mut self) {
        self.shared.leave();
        if let Some(worker) = self.worker.take() {
            // A thread that panicked has said so itself.
            let _ = worker.join();
        }
    }
}

impl Firewall for Command {
    fn name(&self) -> &'static str {
        "command"
    }

    /// They are on their way when it returns; [`Firewall::report`] tells of what fails.
    fn apply(&mut self, changes: &[Change]) -> Result<(), FirewallError> {
        let (now, mut ledger) = (Instant::now(), self.shared.ledger());
        for change in changes {
            match change.normal() {
                (place, Some(remaining)) => ledger.ban(place, remaining, now),
                (place, None) => ledger.unban(place),
            }
        }
        drop(ledger);
        self.shared.ask.wake();
        Ok(())
    }

    fn restore(&mut self, bans: &mut dyn Iterator<Item = Lease>) -> Result<usize, FirewallError> {
        let now = Instant::now();
        let mut taken = 0;
        for lease in bans {
            if let (place, Some(remaining)) = Change::Ban(lease).normal() {
                self.shared.ledger().restore(place, remaining, now);
                taken += 1;
            }
        }
        self.shared.ask.wake();
        self.shared.wait(RESTORE_WAIT);
        Ok(taken)
    }

    fn holds(&mut self, network: IpNet, ports: &Ports) -> Result<bool, FirewallError> {
        Ok(self.shared.ledger().holds((normal(network), ports), Instant::now()))
    }

    fn meeting(&mut self, address: IpAddr) -> Result<Vec<(IpNet, Ports)>, FirewallError> {
        Ok(self.shared.ledger().meeting(address, Instant::now()))
    }

    fn dropped(&mut self) -> Result<Dropped, FirewallError> {
        Ok(Dropped::default())
    }

    fn watch_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.shared.tell.as_fd())
    }

    /// Nobody can see damage here.
    fn damaged(&mut self) -> Result<bool, FirewallError> {
        self.shared.tell.drain();
        Ok(false)
    }

    fn report(&mut self) -> Option<Result<(), FirewallError>> {
        let failing = self.shared.ledger().news()?;
        Some(
            failing
                .map_or(Ok(()), |(count, network, why)| Err(FirewallError::Program { count, network, why })),
        )
    }

    fn is_settled(&self) -> bool {
        self.shared.ledger().is_settled()
    }

    fn clear(&mut self) -> Result<(), FirewallError> {
        self.shared.ledger().clear();
        self.shared.ask.wake();
        if self.shared.wait(CLEAR_WAIT) {
            return self.report().unwrap_or(Ok(()));
        }
        Err(FirewallError::Kernel {
            doing: "letting everybody in by programs",
            source: io::ErrorKind::TimedOut.into(),
        })
    }
}
