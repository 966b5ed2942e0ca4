//! One day of connections to a mail server of middle size: customers' and strangers' servers, bots that come once or a
//! few times, password guessers, spammers with networks of their own.
//!
//! Sources of the figures: tries of refused addresses over 28 days (Siebenmann 2006), connections per source (Jung and
//! Sit, IMC 2004), share of listed sources (Siebenmann 2005), bots per network and one-day lives (Ramachandran and
//! Feamster 2006; Duan et al.).

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

use super::random::Random;

/// Seconds of a day.
pub const DAY: f64 = 86_400.0;

/// Who connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// A server whose mail is wanted.
    Legitimate,
    /// A machine that was broken into.
    Bot,
    /// Somebody who guesses passwords.
    Guesser,
    /// A spammer who rents networks and spreads his mail over them.
    Snowshoe,
}

/// A host: its class, its network, its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Host {
    /// Who it is.
    pub class: Class,
    /// Which network of its class.
    pub network: u32,
    /// Which host, of all.
    pub number: u32,
}

/// A host connects.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// Seconds since the day began.
    pub at: f64,
    /// Who.
    pub host: Host,
}

/// The day.
#[derive(Debug)]
pub struct Day {
    /// In the order of time.
    pub connections: Vec<Connection>,
    /// Which hosts the blocklist has.
    pub listed: HashMap<Host, bool>,
    addresses: HashMap<Host, Ipv4Addr>,
}

/// How the model's day is made.
struct Maker {
    random: Random,
    connections: Vec<Connection>,
    listed: HashMap<Host, bool>,
    next: u32,
}

impl Day {
    /// The day of the published model; in the mixed one a legitimate host in twenty has listed neighbours.
    pub fn new(is_mixed: bool) -> Self {
        let mut maker =
            Maker { random: Random::new(1), connections: Vec::new(), listed: HashMap::new(), next: 0 };
        maker.legitimate();
        maker.bots();
        maker.guessers();
        maker.snowshoe();
        let Maker { mut connections, listed, .. } = maker;
        connections.sort_by(|a, b| a.at.total_cmp(&b.at));
        let addresses = addresses(&listed, is_mixed);
        Day { connections, listed, addresses }
    }

    /// The address of a host.
    pub fn address(&self, host: Host) -> Ipv4Addr {
        self.addresses.get(&host).copied().unwrap_or(Ipv4Addr::UNSPECIFIED)
    }

    /// Whether the blocklist has a host.
    pub fn is_listed(&self, host: Host) -> bool {
        self.listed.get(&host).copied().unwrap_or(false)
    }
}

impl Maker {
    fn host(&mut self, class: Class, network: u32, listed: bool) -> Host {
        let host = Host { class, network, number: self.next };
        self.next += 1;
        self.listed.insert(host, listed);
        host
    }

    fn connect(&mut self, host: Host, at: f64) {
        self.connections.push(Connection { at, host });
    }

    fn legitimate(&mut self) {
        for count in zipf(1500, 20_000.0, 1.1) {
            let host = self.host(Class::Legitimate, self.next >> 2, false);
            for _ in 0..count {
                let at = self.working_hours();
                self.connect(host, at);
            }
        }
    }

    fn working_hours(&mut self) -> f64 {
        loop {
            let at = self.random.unit() * DAY;
            if self.random.unit() < 0.55 + 0.45 * ((at / DAY - 0.3) * 2.0 * std::f64::consts::PI).sin() {
                return at;
            }
        }
    }

    fn bots(&mut self) {
        for _ in 0..45_000 {
            let tries = match self.random.unit() {
                u if u < 0.60 => 1,
                u if u < 0.77 => 2,
                u if u < 0.844 => 3,
                u if u < 0.885 => 4,
                u if u < 0.965 => 5 + self.random.below(6),
                _ => whole(10.0 * (self.random.unit() * 10_f64.ln()).exp()) + 1,
            };
            let network = self.random.below(20_000);
            let listed = self.random.unit() < 0.83;
            let host = self.host(Class::Bot, network, listed);
            let mut at = self.random.unit() * DAY;
            let is_burst = self.random.unit() < 0.5;
            for _ in 0..tries {
                self.connect(host, at % DAY);
                at = if is_burst { at + self.random.exponential(1200.0) } else { self.random.unit() * DAY };
            }
        }
    }

    fn guessers(&mut self) {
        for count in zipf(300, 60_000.0, 1.0) {
            let network = self.random.below(120);
            let listed = self.random.unit() < 0.6;
            let host = self.host(Class::Guesser, network, listed);
            let start = self.random.unit() * DAY / 2.0;
            let lasts = self.random.uniform(3600.0, DAY / 2.0);
            for _ in 0..count {
                let at = (start + self.random.unit() * lasts) % DAY;
                self.connect(host, at);
            }
        }
    }

    fn snowshoe(&mut self) {
        for network in 0..20 {
            let mostly = self.random.unit() < 0.5;
            for _ in 0..60 {
                let listed = if self.random.unit() < 0.9 { mostly } else { !mostly };
                let host = self.host(Class::Snowshoe, network, listed);
                for _ in 0..15 {
                    let at = self.random.unit() * DAY;
                    self.connect(host, at);
                }
            }
        }
    }
}

/// How often each of `hosts` comes, the `n`th as 1/n^s.
fn zipf(hosts: u32, total: f64, s: f64) -> Vec<u32> {
    let weights: Vec<f64> = (1..=hosts).map(|n| 1.0 / f64::from(n).powf(s)).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| whole((total * weight / sum).round_ties_even()).max(1)).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the model's numbers are small and positive"
)]
fn whole(number: f64) -> u32 {
    number as u32
}

/// Every network is a /24, each class has its own part of the address space; on a mixed day every twentieth legitimate
/// host sits in a bots' network.
fn addresses(listed: &HashMap<Host, bool>, is_mixed: bool) -> HashMap<Host, Ipv4Addr> {
    let mut hosts: Vec<Host> = listed.keys().copied().collect();
    hosts.sort_by_key(|host| host.number);
    let bad = bad_networks(listed);
    let mut used: HashMap<u32, u32> = HashMap::new();
    let place = |host: Host| {
        let (part, network) = match host.class {
            Class::Legitimate if is_mixed && host.number.is_multiple_of(20) => {
                (45, bad.get(host.number as usize * 97 % bad.len().max(1)).copied().unwrap_or_default())
            }
            Class::Legitimate => (20, host.network),
            Class::Bot => (45, host.network),
            Class::Guesser => (60, host.network),
            Class::Snowshoe => (70, host.network),
        };
        let network = (part << 24) + (network << 8);
        let last = used.entry(network).or_insert(0);
        *last += 1;
        (host, Ipv4Addr::from_bits(network + *last))
    };
    hosts.into_iter().map(place).collect()
}

/// The bots' networks in which the blocklist has two or more, in order.
fn bad_networks(listed: &HashMap<Host, bool>) -> Vec<u32> {
    let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
    for (host, _) in listed.iter().filter(|(host, listed)| host.class == Class::Bot && **listed) {
        *counts.entry(host.network).or_insert(0) += 1;
    }
    counts.into_iter().filter(|(_, count)| *count >= 2).map(|(network, _)| network).collect()
}
