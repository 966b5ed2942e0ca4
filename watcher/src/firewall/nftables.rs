//! The kernel's firewall, through nf_tables.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};
use std::{fmt, io};

use ipnet::IpNet;
use rustix::io::Errno;
use rustix::net::netlink::NETFILTER;

use super::element::{self, Place};
use super::layout::{CounterName, Family, Layout, SetName, Shape, normal};
use super::netlink::{Answer, Messages, Socket};
use super::step::{Renewal, Step};
use super::{Change, Dropped, Firewall, FirewallError, Lease, Manner, Ports, Traffic, nft, ruleset};

/// A transaction's datagram. What it makes the kernel tell our monitor fits the default receive buffer, and above a
/// few hundred elements a larger one is no faster. The elements of one message are an attribute, of 65,535 bytes at most.
const BATCH_BYTES: usize = 60 * 1024;
/// How many leases are taken from the iterator at once.
const RESTORE_LEASES: usize = 2000;
/// The group that hears of every change to the ruleset: `NFNLGRP_NFTABLES`, 7.
const MONITOR_GROUP: u32 = 1 << (7 - 1);
/// Fewer changes at once are listened to: not to listen costs as much as to hear of some twenty.
const UNHEARD_MIN: usize = 32;
/// Where others change the firewall as well, we listen for so long.
const CONTESTED: Duration = Duration::from_secs(60);
/// A list that changes while it is read is read again, so often.
const LIST_ATTEMPTS: usize = 8;
/// A ban that meets another, which ends meanwhile, in a table that vanishes: settled in no more steps.
const STEPS_MAX: usize = 5;

/// The table `inet postern` of the network namespace that it was opened in. Needs Linux 5.10 and `CAP_NET_ADMIN`.
pub struct Nftables {
    socket: Socket,
    monitor: Socket,
    messages: Messages,
    /// Questions have a buffer of their own: some are asked while a transaction is being written.
    question: Messages,
    layout: Layout,
    manner: Manner,
    renewal: Renewal,
    damage: bool,
    /// How many transactions of ours the kernel has carried out.
    commits: u32,
    /// Until then somebody listens: somebody else has changed the firewall while nobody did.
    contested_until: Option<Instant>,
}

/// What stands in the kernel.
enum Found {
    Nothing,
    /// Our table in another version's layout.
    Other,
    /// Our table, with these counters.
    Ours(BTreeSet<String>),
}

impl Nftables {
    /// Opens the way to the kernel and looks at what an earlier run left. Changes nothing.
    pub fn open() -> Result<Self, FirewallError> {
        let opening =
            |source: io::Error| FirewallError::Kernel { doing: "opening a netfilter socket", source };
        let mut this = Nftables {
            socket: Socket::open(NETFILTER, 0).map_err(opening)?,
            monitor: Socket::open(NETFILTER, MONITOR_GROUP).map_err(|error| {
                match Errno::from_io_error(&error) {
                    Some(Errno::PERM) => FirewallError::Permission,
                    _ => opening(error),
                }
            })?,
            messages: Messages::default(),
            question: Messages::default(),
            layout: Layout::default(),
            manner: Manner::default(),
            renewal: Renewal::of_this_kernel(),
            damage: false,
            commits: 0,
            contested_until: None,
        };
        match this.survey() {
            Ok(_) => Ok(this),
            Err(Errno::PERM) => Err(FirewallError::Permission),
            Err(errno) => Err(kernel("reading the firewall's tables", errno)),
        }
    }

    /// In this manner, from the next [`Firewall::restore`] on.
    #[must_use]
    pub fn in_manner(mut self, manner: Manner) -> Self {
        self.manner = manner;
        self
    }

    /// Treats the kernel as one before 6.12, which cannot update a deadline in place: slower, and right everywhere.
    #[must_use]
    pub fn as_on_an_old_kernel(mut self) -> Self {
        self.renewal = Renewal::ByReplacing;
        self
    }

    /// Looks at our table and takes up the sets that stand in it.
    fn survey(&mut self) -> Result<Found, Errno> {
        ruleset::get_table(&mut self.question);
        let (mut ours, manner) = (false, self.manner.present());
        match self.socket.ask(&self.question, |answer| ours |= ruleset::is_our_layout(&answer, &manner)) {
            Ok(()) if ours => {}
            Ok(()) => return Ok(Found::Other),
            Err(Errno::NOENT) => return Ok(Found::Nothing),
            Err(errno) => return Err(errno),
        }
        let mut layout = self.layout.clone();
        self.list(ruleset::list_sets, |answer| {
            ruleset::listed_name(answer).into_iter().for_each(|name| layout.add_set(name));
        })?;
        self.layout = layout;
        let mut counters = BTreeSet::new();
        self.list(ruleset::list_counters, |answer| {
            counters.extend(ruleset::listed_name(answer).map(str::to_owned));
        })?;
        Ok(Found::Ours(counters))
    }

    /// Reads a list whole. What is gone meanwhile is an empty list.
    fn list(&mut self, question: fn(&mut Messages), mut read: impl FnMut(&Answer<'_>)) -> Result<(), Errno> {
        let mut result = Err(Errno::AGAIN);
        for _ in 0..LIST_ATTEMPTS {
            question(&mut self.question);
            result = self.socket.ask(&self.question, |answer| read(&answer));
            match result {
                Err(Errno::AGAIN) => {}
                Err(Errno::NOENT) => return Ok(()),
                Ok(()) | Err(_) => break,
            }
        }
        result
    }

    /// Makes the table, and what is missing in it, in one transaction. Elements and counts that stand are kept, unless
    /// the table is of another layout or its sets are not what they should be: then it is replaced.
    fn lay(&mut self) -> Result<(), Errno> {
        let found = self.survey()?;
        let laid = match found {
            Found::Nothing | Found::Ours(_) => self.lay_over(&found),
            Found::Other => Err(Errno::EXIST),
        };
        match laid {
            Ok(()) | Err(Errno::PERM | Errno::NOMEM | Errno::NOBUFS) => laid,
            Err(_) => {
                self.lay_over(&Found::Other)?;
                // Bans that the old table held are gone with it, and only who called us can tell them again.
                self.damage = true;
                Ok(())
            }
        }
    }

    fn lay_over(&mut self, found: &Found) -> Result<(), Errno> {
        let (layout, manner) = (&self.layout, &self.manner.present());
        nft::transaction(&mut self.messages, |m| match found {
            Found::Nothing => ruleset::lay(m, layout, &BTreeSet::new(), manner),
            Found::Other => {
                ruleset::delete_table(m);
                ruleset::lay(m, layout, &BTreeSet::new(), manner);
            }
            Found::Ours(counters) => ruleset::lay(m, layout, counters, manner),
        });
        self.commit()
    }

    /// Sends the transaction that was written.
    fn commit(&mut self) -> Result<(), Errno> {
        if self.messages.is_empty() {
            return Ok(());
        }
        self.socket.transact(&self.messages)?;
        self.commits = self.commits.wrapping_add(1);
        Ok(())
    }

    /// Makes room for networks and ports that had no set so far. Gives what there can be no room for.
    fn make_room(&mut self, changes: &[Change]) -> Result<Vec<(usize, io::Error)>, FirewallError> {
        let mut failed = Vec::new();
        let mut grown = false;
        for (index, change) in changes.iter().enumerate() {
            let Step { place: (network, ports), remaining: Some(_) } = Step::of(change) else { continue };
            if self.layout.has(network, ports) {
                continue;
            }
            match self.layout.add(network, ports) {
                Ok(()) => grown = true,
                Err(error) => failed.push((index, error.into())),
            }
        }
        if grown {
            self.lay().map_err(|errno| kernel("making sets and rules for new networks or ports", errno))?;
        }
        Ok(failed)
    }

    /// Carries out `changes` in batches, and one by one those of a batch that the kernel refuses.
    fn put(&mut self, changes: &[Change], renewal: Renewal) -> Result<(), FirewallError> {
        let mut failed = self.make_room(changes)?;
        let mut start = 0;
        while let Some(rest) = changes.get(start..).filter(|rest| !rest.is_empty()) {
            let written = self.write_batch(rest, renewal)?;
            // One bad element undoes its whole batch, so all are tried alone.
            if self.commit().is_err() {
                for (index, change) in changes.iter().enumerate().skip(start).take(written) {
                    failed.extend(self.put_one(change, renewal).err().map(|error| (index, error)));
                }
            }
            start += written;
            if changes.len() > 1 {
                // Our own events would fill the monitor's buffer, and then nobody could say what else was in it.
                self.listen();
            }
        }
        if failed.is_empty() { Ok(()) } else { Err(FirewallError::Some { failed }) }
    }

    /// Writes as many of `changes` as make a batch; how many, one at least. Bans and ends of bans do not mix in it,
    /// since what stands is looked up before any of it is done.
    fn write_batch(&mut self, changes: &[Change], renewal: Renewal) -> Result<usize, FirewallError> {
        let Nftables { socket, messages, question, layout, .. } = self;
        let bans = |change| Step::of(change).remaining.is_some();
        let first = changes.first().map(bans);
        let (mut written, mut result) = (0, Ok(()));
        nft::transaction(messages, |m| {
            while let Some(step) =
                changes.get(written).filter(|change| Some(bans(change)) == first).map(Step::of)
                && m.len() < BATCH_BYTES
                && result.is_ok()
            {
                let (network, ports) = step.place;
                if !layout.has(network, ports) {
                    written += 1;
                } else if renewal == Renewal::InPlace && step.remaining.is_some() {
                    let rest = changes.get(written..).unwrap_or_default().iter().map(Step::of);
                    let beside = rest.map_while(|other| other.added_beside(step));
                    written += element::bans(m, step.place, beside, BATCH_BYTES);
                } else {
                    result = step.write(m, renewal, || finds(socket, question, step.place));
                    written += 1;
                }
            }
        });
        result.map(|()| written).map_err(|errno| kernel("looking for a ban", errno))
    }

    /// Carries out one change and settles what is in its way.
    fn put_one(&mut self, change: &Change, renewal: Renewal) -> io::Result<()> {
        let step = Step::of(change);
        let mut result = Ok(());
        for _ in 0..STEPS_MAX {
            self.write_batch(std::slice::from_ref(change), renewal).map_err(io::Error::other)?;
            result = self.commit();
            match result {
                // What was looked up has come about or to its end meanwhile; or it is not known what became of it.
                Err(Errno::EXIST | Errno::NOBUFS) => {}
                // Or there is no such set, or no table at all. The monitor has heard of that, too.
                Err(Errno::NOENT) => self.lay()?,
                Err(Errno::NFILE) => return Err(SetFull::of(step.place).into()),
                Ok(()) | Err(_) => break,
            }
        }
        result.map_err(io::Error::from)
    }

    /// Takes in what the monitor heard.
    fn listen(&mut self) {
        let own = self.socket.port();
        let mut damage = false;
        let heard = self.monitor.drain(|event| damage |= event.port != own && ruleset::takes_away(&event));
        // Events were lost, or can no longer be read: among them there may have been any.
        self.damage |= damage || heard.is_err();
    }

    /// Does `what` while nobody listens to what it changes: the kernel would tell us of each element, which takes it as
    /// long as adding it. Whether somebody else changed anything meanwhile is told by the number of transactions.
    fn unheard<T>(&mut self, what: impl FnOnce(&mut Self) -> T) -> T {
        // Older kernels leave a ban that stands as it is, and a transaction that changes nothing is not counted.
        let is_contested = self.contested_until.is_some_and(|until| until > Instant::now());
        let counts = self.renewal == Renewal::InPlace && !is_contested;
        let before = self.generation().ok().filter(|_| counts);
        let Some(before) = before.filter(|_| self.monitor.hear(0).is_ok()) else { return what(self) };
        let own = self.commits;
        let done = what(self);
        let is_back = self.monitor.hear(MONITOR_GROUP).is_ok();
        let expected = before.wrapping_add(self.commits.wrapping_sub(own));
        if !is_back || self.generation().ok() != Some(expected) {
            self.damage = true;
            self.contested_until = Some(Instant::now() + CONTESTED);
        }
        done
    }

    /// How many transactions there have been in this network namespace.
    fn generation(&mut self) -> Result<u32, Errno> {
        nft::ask_generation(&mut self.question);
        let mut found = None;
        self.socket.ask(&self.question, |answer| found = found.or(nft::generation(&answer)))?;
        found.ok_or(Errno::NOMSG)
    }

    /// Carries out all of them, as many at once as are taken from the iterator.
    fn put_all(&mut self, bans: &mut dyn Iterator<Item = Lease>) -> Result<usize, FirewallError> {
        let (mut taken, mut failed) = (0, Vec::new());
        let mut batch = Vec::with_capacity(RESTORE_LEASES);
        loop {
            batch.extend(bans.take(RESTORE_LEASES).map(Change::Ban));
            if batch.is_empty() {
                break;
            }
            // Where the kernel cannot update, what stands keeps its deadline, which it has from us.
            match self.put(&batch, Renewal::InPlace) {
                Ok(()) => {}
                Err(FirewallError::Some { failed: some }) => {
                    failed.extend(some.into_iter().map(|(index, error)| (taken + index, error)));
                }
                Err(error) => return Err(error),
            }
            taken += batch.len();
            batch.clear();
        }
        if failed.is_empty() { Ok(taken) } else { Err(FirewallError::Some { failed }) }
    }

    fn finds(&mut self, place: Place<'_>) -> Result<bool, FirewallError> {
        let found = finds(&mut self.socket, &mut self.question, place);
        found.map_err(|errno| kernel("looking for a ban", errno))
    }
}

fn finds(socket: &mut Socket, question: &mut Messages, place: Place<'_>) -> Result<bool, Errno> {
    element::get(question, place);
    match socket.ask(question, |_| ()) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// No element of a set is left for a ban.
#[derive(Debug, thiserror::Error)]
#[error("the set {set} is full: it holds {limit} networks and no more")]
struct SetFull {
    set: String,
    limit: u32,
}

impl SetFull {
    fn of((network, ports): Place<'_>) -> Self {
        let shape = Shape::of(network);
        SetFull { set: SetName(shape, ports).to_string(), limit: ruleset::elements_max(shape) }
    }
}

impl From<SetFull> for io::Error {
    fn from(error: SetFull) -> Self {
        io::Error::new(io::ErrorKind::QuotaExceeded, error)
    }
}

impl fmt::Debug for Nftables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nftables").field("layout", &self.layout).finish_non_exhaustive()
    }
}

fn kernel(doing: &'static str, errno: Errno) -> FirewallError {
    FirewallError::Kernel { doing, source: errno.into() }
}

impl Firewall for Nftables {
    fn name(&self) -> &'static str {
        "nftables"
    }

    fn apply(&mut self, changes: &[Change]) -> Result<(), FirewallError> {
        if changes.len() < UNHEARD_MIN {
            return self.put(changes, self.renewal);
        }
        self.unheard(|this| this.put(changes, this.renewal))
    }

    fn restore(&mut self, bans: &mut dyn Iterator<Item = Lease>) -> Result<usize, FirewallError> {
        // What was damaged before now is what is being repaired.
        self.listen();
        self.lay().map_err(|errno| kernel("making the table inet postern", errno))?;
        self.damage = false;
        self.unheard(|this| this.put_all(bans))
    }

    fn holds(&mut self, network: IpNet, ports: &Ports) -> Result<bool, FirewallError> {
        let network = normal(network);
        Ok(self.layout.has(network, ports) && self.finds((network, ports))?)
    }

    fn meeting(&mut self, address: IpAddr) -> Result<Vec<(IpNet, Ports)>, FirewallError> {
        let address = address.to_canonical();
        let mut found = Vec::new();
        for (shape, ports) in self.layout.sets() {
            if let Some(network) = shape.around(address)
                && self.finds((network, &ports))?
            {
                found.push((network, ports));
            }
        }
        Ok(found)
    }

    fn dropped(&mut self) -> Result<Dropped, FirewallError> {
        let mut counters = BTreeMap::new();
        self.list(ruleset::list_counters, |answer| {
            if let Some((name, packets, bytes)) = ruleset::listed_counter(answer) {
                counters.insert(name.to_owned(), Traffic { packets, bytes });
            }
        })
        .map_err(|errno| kernel("reading the counters", errno))?;
        let count = |family, ports| {
            counters.get(&CounterName(family, ports).to_string()).copied().unwrap_or_default()
        };
        let scopes = self.layout.scopes().iter().map(|scope| {
            let ports = &scope.ports;
            (ports.clone(), count(Family::V4, ports), count(Family::V6, ports))
        });
        Ok(Dropped { scopes: scopes.collect() })
    }

    fn watch_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.monitor.as_fd())
    }

    fn damaged(&mut self) -> Result<bool, FirewallError> {
        self.listen();
        Ok(std::mem::take(&mut self.damage))
    }

    fn clear(&mut self) -> Result<(), FirewallError> {
        nft::transaction(&mut self.messages, ruleset::delete_table);
        self.commit().map_err(|errno| kernel("deleting the table inet postern", errno))?;
        self.layout = Layout::default();
        Ok(())
    }
}
