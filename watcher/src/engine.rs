//! The engine: events in, bans out. Pure: it reads no clock, does no I/O, and the same inputs give the same outputs.
//!
//! Time is the time of the events. A ban begins when the line that led to it was written and ends so much later; that
//! is why replaying a log gives the bans that living through it gave.

mod bans;
mod counters;
mod evidence;
mod exempt;

use std::net::IpAddr;
use std::time::Duration;

use logline::Timestamp;

pub use bans::{Ban, Lease, MEMORY, REMEMBERED_MAX};
pub use counters::{COUNTERS_MAX, CounterRow, Who};
pub use evidence::{EVIDENCE_BYTES_MAX, Evidence, LINE_BYTES_MAX};
pub use exempt::{Exemption, Exemptions};

use crate::event::Event;
use crate::fail2ban;
use crate::jail::{Jail, JailName, Jails, MANUAL, Mode, Per, Ports};
use crate::subject::{Network, Subject};
use bans::Bans;
use counters::{Counters, Hit, Key};
use evidence::EvidenceLog;

/// A stamp may be so far ahead of the clock: two clocks of one machine, read in another order than they were written.
pub const SKEW_MAX: Duration = Duration::from_secs(5);

/// Everything that the engine reacts to.
#[derive(Debug)]
pub enum Input<'a> {
    /// Something happened.
    Event(&'a Event<'a>),
    /// The administrator bans.
    Ban(Order),
    /// The administrator lifts bans.
    Unban(Release),
    /// Time has passed: bans may have ended, and counters whose window is over are forgotten.
    Tick,
}

/// A ban by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Whom.
    pub network: Network,
    /// In which jail; [`MANUAL`] unless told otherwise.
    pub jail: JailName,
    /// Until when.
    pub until: Timestamp,
    /// Why, in the administrator's words.
    pub reason: Option<String>,
    /// Which ports are closed.
    pub ports: Ports,
}

/// Which bans are to be lifted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Release {
    /// Those of a subject; of an address also the ban of the /64 around it that a jail made.
    Subject(Subject),
    /// Those of a jail.
    Jail(JailName),
    /// All.
    All,
}

/// Everything that the engine wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// A ban was made, or one was replaced: it is to be remembered, with its evidence.
    Banned(Ban),
    /// The network is to be kept out of these ports until then, whatever was said before.
    Enforce {
        /// Whom.
        network: Network,
        /// Where.
        ports: Ports,
        /// Until when.
        until: Timestamp,
    },
    /// The network is to be let in again.
    Admit {
        /// Whom.
        network: Network,
        /// Where.
        ports: Ports,
    },
    /// A ban is over.
    Ended {
        /// Whose.
        subject: Subject,
        /// By which jail.
        jail: JailName,
        /// Why it is over.
        why: End,
        /// When.
        at: Timestamp,
    },
    /// Somebody earned a ban and is exempt.
    Spared {
        /// Who.
        subject: Subject,
        /// In which jail.
        jail: JailName,
        /// Why not.
        exemption: Exemption,
    },
}

/// Why a ban is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// Its time was over.
    Expired,
    /// The administrator lifted it.
    Lifted,
    /// The subject became exempt.
    Exempted,
}

/// Counters, offenders and bans.
#[derive(Debug)]
pub struct Engine {
    jails: Jails,
    exemptions: Exemptions,
    counters: Counters,
    evidence: EvidenceLog,
    bans: Bans,
}

impl Engine {
    /// An engine that has seen nothing.
    pub fn new(jails: Jails, exemptions: Exemptions) -> Self {
        Engine {
            jails,
            exemptions,
            counters: Counters::default(),
            evidence: EvidenceLog::default(),
            bans: Bans::default(),
        }
    }

    /// The one way in: what is to be done is appended to `out`, in order.
    pub fn handle(&mut self, now: Timestamp, input: Input<'_>, out: &mut Vec<Output>) {
        match input {
            Input::Event(event) => self.event(now, event, out),
            Input::Ban(order) => self.order(now, order, out),
            Input::Unban(release) => self.release(now, &release, out),
            Input::Tick => {
                self.bans.expire(now, out);
                let Engine { jails, counters, .. } = self;
                counters.sweep(now, |jail| jails.get(usize::from(jail)).map(|jail| jail.within));
            }
        }
    }

    /// Other jails and exemptions from now on. Counters of a jail that stays as it was stay; bans stay until they end,
    /// but for those of subjects that are exempt now.
    pub fn reconfigure(
        &mut self,
        now: Timestamp,
        jails: Jails,
        exemptions: Exemptions,
        out: &mut Vec<Output>,
    ) {
        let kept: Vec<Option<u16>> = self
            .jails
            .iter()
            .map(|old| {
                let (index, new) = jails.find(&old.name)?;
                if new == old { u16::try_from(index).ok() } else { None }
            })
            .collect();
        self.counters.rekey(&kept);
        self.jails = jails;
        self.exemptions = exemptions;
        let exempt =
            |subject: &Subject| subject.network().is_some_and(|net| self.exemptions.cover(net).is_some());
        self.bans.lift(now, End::Exempted, |subject, _| exempt(subject), out);
    }

    /// The jails in use.
    pub fn jails(&self) -> &Jails {
        &self.jails
    }

    /// Why this network is never banned, if so.
    pub fn exemption(&self, network: Network) -> Option<Exemption> {
        self.exemptions.cover(network)
    }

    /// Every ban that is in force, in no order.
    pub fn bans(&self, now: Timestamp) -> impl Iterator<Item = (&Subject, &Lease)> {
        self.bans.active(now)
    }

    /// The bans in force on any of these subjects.
    pub fn bans_on<'s>(&self, subjects: &'s [Subject], now: Timestamp) -> Vec<(&'s Subject, &Lease)> {
        self.bans.active_on(subjects, now)
    }

    /// What the kernel must hold: each network, on which ports, until when.
    pub fn enforced(&self, now: Timestamp) -> Vec<(Network, Ports, Timestamp)> {
        self.bans.enforced(now)
    }

    /// When the next ban ends; perhaps earlier, where one was lifted or replaced.
    pub fn next_end(&self) -> Option<Timestamp> {
        self.bans.next_end()
    }

    /// How many bans are in force.
    pub fn bans_len(&self, now: Timestamp) -> usize {
        self.bans.active(now).count()
    }

    /// How many offenders are being counted.
    pub fn counters_len(&self) -> usize {
        self.counters.len()
    }

    /// How far a subject is from a ban: each jail that counts it, how often, of how many.
    pub fn standing(&self, network: Network, now: Timestamp) -> Vec<(JailName, u32, u32)> {
        let standing = |(index, jail): (usize, &std::sync::Arc<Jail>)| {
            let key = Key { jail: u16::try_from(index).ok()?, who: Who::Network(network) };
            let count = self.counters.count(&key, now, jail.within);
            (count > 0).then(|| (jail.name.clone(), count, jail.threshold))
        };
        self.jails.iter().enumerate().filter_map(standing).collect()
    }

    /// Counters that changed since this was asked last; none for one that is gone.
    pub fn take_counter_changes(&mut self) -> Vec<(CounterKey, Option<CounterRow>)> {
        let Engine { counters, evidence, jails, .. } = self;
        let row = |(key, hits): (Key, Option<Vec<Hit>>)| {
            let jail = jails.get(usize::from(key.jail))?;
            let row = hits.map(|hits| CounterRow::of(&hits, evidence));
            Some((CounterKey { jail: jail.name.clone(), who: key.who }, row))
        };
        counters.take_changes().into_iter().filter_map(row).collect()
    }

    /// A counter that was saved comes back, if its jail is still there.
    pub fn restore_counter(&mut self, key: CounterKey, row: CounterRow) {
        let Some((index, _)) = self.jails.find(&key.jail) else { return };
        let Ok(jail) = u16::try_from(index) else { return };
        let hits = row.into_hits(&mut self.evidence);
        self.counters.restore(Key { jail, who: key.who }, hits);
    }

    /// A ban that was saved comes back: in force, or as the memory of a former one.
    pub fn restore_ban(&mut self, now: Timestamp, subject: Subject, lease: Lease) {
        self.bans.restore(now, subject, lease);
    }

    fn event(&mut self, now: Timestamp, event: &Event<'_>, out: &mut Vec<Output>) {
        // A stamp from the future would keep a counter alive, and a ban going, for longer than the jail says.
        let at = if event.at > now + SKEW_MAX { now } else { event.at };
        let jails = self.jails.clone();
        for (index, jail) in jails.iter().enumerate() {
            let Ok(index) = u16::try_from(index) else { return };
            if jail.forgive == Some(event.kind) {
                self.forgive(index, jail, event);
            }
            if jail.counts(event.kind, event.field(fail2ban::foreign::FILTER)) {
                self.count(index, jail, at, event, out);
            }
        }
    }

    fn forgive(&mut self, index: u16, jail: &Jail, event: &Event<'_>) {
        let (Some(who), Some(user)) = (Who::of(jail, event), event.field("user")) else { return };
        self.counters.forgive(Key { jail: index, who }, counters::hash(&[user]));
    }

    fn count(&mut self, index: u16, jail: &Jail, at: Timestamp, event: &Event<'_>, out: &mut Vec<Output>) {
        let (Some(who), Some(subject)) = (Who::of(jail, event), subject(jail, event)) else { return };
        // Lines of a session that was open when the ban fell still come in; they are part of the same offence.
        if self.bans.is_banned(&subject, &jail.name, at) {
            return;
        }
        let key = Key { jail: index, who };
        let hit = Hit {
            at,
            value: jail.distinct.as_deref().and_then(|field| counters::distinct_value(field, event)),
            user: event.field("user").map(|user| counters::hash(&[user])),
            evidence: self.evidence.keep(at, event.line),
        };
        let Some(hits) = self.counters.hit(key, hit, jail.threshold, jail.within) else { return };
        if let Some(exemption) = subject.network().and_then(|network| self.exemptions.cover(network)) {
            out.push(Output::Spared { subject, jail: jail.name.clone(), exemption });
            return;
        }
        let evidence = hits.iter().filter_map(|hit| self.evidence.get(hit.evidence)).collect();
        let before = self.bans.before(&subject, &jail.name, at);
        let lease = Lease {
            jail: jail.name.clone(),
            mode: jail.mode,
            from: at,
            until: at + jail.ban.length(before),
            before,
            ports: jail.ban.ports.clone(),
            reason: None,
        };
        self.bans.add(subject, lease, evidence, out);
    }

    fn order(&mut self, now: Timestamp, order: Order, out: &mut Vec<Output>) {
        let Order { network, jail, until, reason, ports } = order;
        let subject = Subject::Network(network);
        if let Some(exemption) = self.exemptions.cover(network) {
            out.push(Output::Spared { subject, jail, exemption });
            return;
        }
        let before = self.bans.before(&subject, &jail, now);
        let lease = Lease { jail, mode: Mode::Enforce, from: now, until, before, ports, reason };
        self.bans.add(subject, lease, Vec::new(), out);
    }

    fn release(&mut self, now: Timestamp, release: &Release, out: &mut Vec<Output>) {
        let ended = out.len();
        match release {
            Release::Subject(wanted) => {
                self.bans.lift(now, End::Lifted, |subject, lease| releases(wanted, subject, lease), out);
                // Who is let in begins anew: one more failure must not bring the ban back.
                self.counters.forget(|who| who.subject() == Some(wanted.clone()));
            }
            Release::Jail(name) => self.bans.lift(now, End::Lifted, |_, lease| lease.jail == *name, out),
            Release::All => self.bans.lift(now, End::Lifted, |_, _| true, out),
        }
        for output in out.get(ended..).unwrap_or_default() {
            if let Output::Ended { subject, .. } = output {
                self.counters.forget(|who| who.subject().as_ref() == Some(subject));
            }
        }
    }
}

/// A counter's key under its jail's name, which outlives the order of the jails.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct CounterKey {
    /// The jail.
    pub jail: JailName,
    /// Whom it counts.
    pub who: Who,
}

/// The subject that a jail bans for an event; none where the event does not say.
fn subject(jail: &Jail, event: &Event<'_>) -> Option<Subject> {
    match jail.per {
        Per::Network { ipv4, ipv6 } | Per::UserAndAddress { ipv4, ipv6 } => {
            Some(Subject::Network(Network::around(event.address?, ipv4, ipv6)))
        }
        Per::User => Some(Subject::User(logline::Text::from(event.field("user")?).readable().to_string())),
    }
}

/// Whether a ban is among those that go when `wanted` is released.
fn releases(wanted: &Subject, subject: &Subject, lease: &Lease) -> bool {
    if wanted == subject {
        return true;
    }
    let (Subject::Network(wanted), Subject::Network(banned)) = (wanted, subject) else { return false };
    let address: IpAddr = wanted.net().addr();
    wanted.is_host() && address.is_ipv6() && *lease.jail != *MANUAL && banned.contains(address)
}

#[cfg(test)]
mod tests;
