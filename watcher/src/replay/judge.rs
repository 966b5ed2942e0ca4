//! Whether the bans were right and worth it: whom of the good they hit, what they would have prevented, how early they
//! came, and how many look-ups they would have spared.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use logline::Timestamp;
use serde::Serialize;

use crate::engine::{Ban, Engine};
use crate::event::{Event, Kind};
use crate::jail::Mode;
use crate::subject::{Network, Subject};

/// So many good clients are remembered; of a log that has more, the first ones.
const GOOD_MAX: usize = 1_000_000;

/// What is seen of a log while it is replayed.
#[derive(Debug, Default)]
pub struct Judge {
    good: HashMap<IpAddr, Good, foldhash::fast::RandomState>,
    bans: Vec<Judged>,
    /// The newest ban of each network.
    newest: HashMap<Network, usize, foldhash::fast::RandomState>,
    /// The prefixes that bans have had.
    prefixes: BTreeSet<(bool, u8)>,
}

/// What speaks for a client: whether he logged in, and whether his mail was accepted; first and last.
#[derive(Clone, Copy, Debug, Default)]
struct Good {
    login: Option<(Timestamp, Timestamp)>,
    mail: Option<(Timestamp, Timestamp)>,
}

#[derive(Debug)]
struct Judged {
    network: Network,
    jail: String,
    from: Timestamp,
    until: Timestamp,
    enforced: bool,
    /// What the client did while he would have been kept out.
    prevented: u64,
    /// When he did the last of it.
    last: Option<Timestamp>,
}

/// What the bans came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Judgement {
    /// By jail.
    pub jails: Vec<JailJudgement>,
    /// By zone: what was asked, and what would have been with the bans in force.
    pub zones: Vec<ZoneJudgement>,
    /// Banned subjects from which somebody logged in, or from which mail was accepted, before the ban or after it.
    pub customers: Vec<Customer>,
}

/// What the bans of a jail came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct JailJudgement {
    /// Which.
    pub jail: String,
    /// Its bans.
    pub bans: usize,
    /// Those from whose subject somebody logged in.
    pub customers_login: usize,
    /// Those from whose subject mail was accepted, and nobody logged in.
    pub customers_mail: usize,
    /// Offences, connections and look-ups of the banned that would not have happened.
    pub prevented: u64,
    /// Half of the banned who came again did so for at least so long after the ban, in seconds.
    pub median_lead_seconds: Option<u64>,
}

/// What a zone was asked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ZoneJudgement {
    /// Which.
    pub zone: String,
    /// Queries in the log.
    pub without: u64,
    /// Those that would have been left with the bans in force.
    pub with: u64,
    /// The limit that was given, and how many periods exceed it, without and with the bans, on the mean.
    pub limit: Option<u64>,
}

/// A banned subject that somebody good uses.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Customer {
    /// Which.
    pub subject: Network,
    /// By which jail.
    pub jail: String,
    /// Whether somebody logged in from there.
    pub login: bool,
    /// Whether it was before the ban.
    pub before: bool,
    /// Whether it was after the ban.
    pub after: bool,
}

impl Judge {
    /// An event of the log.
    pub fn event(&mut self, event: &Event<'_>) {
        let Some(address) = event.address.map(|address| address.to_canonical()) else { return };
        match event.kind {
            Kind::AuthOk => self.note(address, event.at, |good| &mut good.login),
            Kind::MessageAccepted => self.note(address, event.at, |good| &mut good.mail),
            Kind::Disconnect | Kind::Ban | Kind::Unban => return,
            _ => {}
        }
        for (six, bits) in &self.prefixes {
            if *six != address.is_ipv6() {
                continue;
            }
            let Some(place) = self.newest.get(&Network::around(address, *bits, *bits)) else { continue };
            if let Some(ban) = self.bans.get_mut(*place)
                && ban.enforced
                && ban.from < event.at
                && event.at < ban.until
            {
                ban.prevented += 1;
                ban.last = ban.last.max(Some(event.at));
            }
        }
    }

    /// A ban that fell.
    pub fn ban(&mut self, ban: &Ban) {
        let Subject::Network(network) = ban.subject else { return };
        let net = network.net();
        self.prefixes.insert((net.addr().is_ipv6(), net.prefix_len()));
        self.newest.insert(network, self.bans.len());
        self.bans.push(Judged {
            network,
            jail: ban.lease.jail.to_string(),
            from: ban.lease.from,
            until: ban.lease.until,
            enforced: ban.lease.mode == Mode::Enforce,
            prevented: 0,
            last: None,
        });
    }

    /// What it came to, with what the engine's book says of the zones.
    pub fn judgement(&self, engine: &Engine, end: Timestamp) -> Judgement {
        let mut jails: BTreeMap<&str, (JailJudgement, Vec<Duration>)> = BTreeMap::new();
        let mut customers = Vec::new();
        for ban in &self.bans {
            let (judgement, leads) = jails.entry(&ban.jail).or_default();
            judgement.bans += 1;
            judgement.prevented += ban.prevented;
            leads.extend(ban.last.map(|last| last.since(ban.from)));
            if let Some(customer) = self.customer(ban) {
                judgement.customers_login += usize::from(customer.login);
                judgement.customers_mail += usize::from(!customer.login);
                customers.push(customer);
            }
        }
        let jails = jails.into_iter().map(|(jail, (judgement, mut leads))| {
            leads.sort_unstable();
            let median = leads.get(leads.len() / 2).map(Duration::as_secs);
            JailJudgement { jail: jail.to_owned(), median_lead_seconds: median, ..judgement }
        });
        let limits: HashMap<String, Option<u64>> =
            engine.book().view(end).into_iter().map(|zone| (zone.zone, zone.limit)).collect();
        let zone = |(zone, without, kept_out): (String, u64, u64)| ZoneJudgement {
            limit: limits.get(&zone).copied().flatten(),
            zone,
            without,
            with: without.saturating_sub(kept_out),
        };
        let zones = engine.book().with_and_without().into_iter().map(zone).collect();
        Judgement { jails: jails.collect(), zones, customers }
    }

    fn note(
        &mut self,
        address: IpAddr,
        at: Timestamp,
        of: impl Fn(&mut Good) -> &mut Option<(Timestamp, Timestamp)>,
    ) {
        if self.good.len() >= GOOD_MAX && !self.good.contains_key(&address) {
            return;
        }
        let span = of(self.good.entry(address).or_default());
        let (first, last) = span.unwrap_or((at, at));
        *span = Some((first.min(at), last.max(at)));
    }

    /// Who of the good is in a ban's network.
    fn customer(&self, ban: &Judged) -> Option<Customer> {
        let mut found: Option<Customer> = None;
        let mut add = |good: &Good| {
            for (span, login) in [(good.login, true), (good.mail, false)] {
                let Some((first, last)) = span else { continue };
                let customer = found.get_or_insert_with(|| Customer {
                    subject: ban.network,
                    jail: ban.jail.clone(),
                    login: false,
                    before: false,
                    after: false,
                });
                customer.login |= login;
                customer.before |= first <= ban.from;
                customer.after |= last > ban.from;
            }
        };
        if ban.network.is_host() {
            self.good.get(&ban.network.net().addr()).into_iter().for_each(&mut add);
        } else {
            self.good
                .iter()
                .filter(|(address, _)| ban.network.contains(**address))
                .for_each(|(_, good)| add(good));
        }
        found
    }
}
