//! The published model of policies: what each would cost, on paper. The table of the real programs stands beside it.

use std::collections::{HashMap, HashSet, VecDeque};

use super::random::Random;
use super::traffic::{Class, Connection, Day, Host};

/// A policy of the model.
#[derive(Clone, Copy, Debug, Default)]
pub struct Policy {
    /// Its name.
    pub name: &'static str,
    /// How long the resolver keeps an answer, s.
    pub ttl: f64,
    /// How long the server keeps that somebody is not listed, s.
    pub pass: f64,
    /// Likewise, that somebody is.
    pub listed: f64,
    /// How long a listed client is kept out, s.
    pub ban: f64,
    /// Whether guessers are.
    pub guessers: bool,
    /// A network is kept out after so many listed clients.
    pub network: usize,
    /// Whether a client whose mail was accepted is not asked about.
    pub known: bool,
    /// The part of junk that is refused before a list is asked.
    pub refused_first: f64,
}

const HOUR: f64 = 3600.0;
const BARE: Policy = Policy {
    name: "",
    ttl: 0.0,
    pass: 0.0,
    listed: 0.0,
    ban: 0.0,
    guessers: false,
    network: 0,
    known: false,
    refused_first: 0.0,
};
const P3C: Policy = Policy {
    pass: HOUR,
    listed: HOUR,
    ban: 24.0 * HOUR,
    guessers: true,
    name: "P3c cache 1 h, ban 24 h, guessers banned",
    ..BARE
};

/// P0 to P6.
pub const POLICIES: &[Policy] = &[
    Policy { name: "P0  a query for each connection", ..BARE },
    Policy { name: "P1  resolver's cache, 60 s", ttl: 60.0, ..BARE },
    Policy { name: "P1b resolver's cache, 900 s", ttl: 900.0, ..BARE },
    Policy { name: "P2  verdict cache, 1 h", pass: HOUR, listed: HOUR, ..BARE },
    Policy { name: "P2b verdict cache, pass 1 h, listed 24 h", pass: HOUR, listed: 24.0 * HOUR, ..BARE },
    Policy { name: "P2c verdict cache, 24 h", pass: 24.0 * HOUR, listed: 24.0 * HOUR, ..BARE },
    Policy { name: "P3a resolver's cache 60 s, ban 1 h", ttl: 60.0, ban: HOUR, ..BARE },
    Policy { name: "P3b resolver's cache 60 s, ban 24 h", ttl: 60.0, ban: 24.0 * HOUR, ..BARE },
    P3C,
    Policy { name: "P4  P3c, a /24 banned after 4", network: 4, ..P3C },
    Policy { name: "P5  P3c, known skipped, local checks first", known: true, refused_first: 0.3, ..P3C },
    Policy { name: "P6  P5, a /24 banned after 4", known: true, refused_first: 0.3, network: 4, ..P3C },
];

/// The state of one run.
struct Run {
    policy: Policy,
    random: Random,
    remembered: HashMap<Host, f64>,
    banned: HashMap<Host, f64>,
    networks: HashMap<(Class, u32), f64>,
    listed_in: HashMap<(Class, u32), HashSet<Host>>,
    failures: HashMap<Host, VecDeque<f64>>,
    known: HashSet<Host>,
}

/// What a policy costs: queries, and connections that came through.
pub fn cost(day: &Day, policy: Policy) -> (u32, u32) {
    let mut run = Run {
        policy,
        random: Random::new(7),
        remembered: HashMap::new(),
        banned: HashMap::new(),
        networks: HashMap::new(),
        listed_in: HashMap::new(),
        failures: HashMap::new(),
        known: HashSet::new(),
    };
    let (mut queries, mut connections) = (0, 0);
    for connection in &day.connections {
        let Connection { at, host } = *connection;
        let until = |until: Option<&f64>| until.is_some_and(|until| *until > at);
        if until(run.banned.get(&host)) || until(run.networks.get(&(host.class, host.network))) {
            continue;
        }
        connections += 1;
        queries += u32::from(run.connection(*connection, day.is_listed(host)));
    }
    (queries, connections)
}

impl Run {
    /// Whether a list is asked.
    fn connection(&mut self, Connection { at, host }: Connection, listed: bool) -> bool {
        let policy = self.policy;
        if policy.known && self.known.contains(&host) {
            return false;
        }
        let is_junk = matches!(host.class, Class::Bot | Class::Snowshoe);
        if is_junk && policy.refused_first > 0.0 && self.random.unit() < policy.refused_first {
            return false;
        }
        if host.class == Class::Guesser && policy.refused_first > 0.0 {
            self.failed(host, at);
            return false;
        }
        let asked = self.remembered.get(&host).is_none_or(|until| *until <= at);
        if asked {
            let holds = policy.ttl.max(if listed { policy.listed } else { policy.pass });
            if holds > 0.0 {
                self.remembered.insert(host, at + holds);
            }
        }
        if host.class == Class::Legitimate {
            self.known.insert(host);
        }
        if listed && policy.ban > 0.0 {
            self.listed(host, at);
        } else if host.class == Class::Guesser {
            self.failed(host, at);
        }
        asked
    }

    fn listed(&mut self, host: Host, at: f64) {
        self.banned.insert(host, at + self.policy.ban);
        let network = (host.class, host.network);
        let neighbours = self.listed_in.entry(network).or_default();
        neighbours.insert(host);
        if self.policy.network > 0 && neighbours.len() >= self.policy.network {
            self.networks.insert(network, at + self.policy.ban);
        }
    }

    fn failed(&mut self, host: Host, at: f64) {
        if !self.policy.guessers {
            return;
        }
        let failures = self.failures.entry(host).or_default();
        failures.push_back(at);
        while failures.front().is_some_and(|first| *first < at - 600.0) {
            failures.pop_front();
        }
        if failures.len() >= 5 {
            self.banned.insert(host, at + self.policy.ban);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_is_the_published_one() {
        let day = Day::new(false);
        assert_eq!((day.connections.len(), day.listed.len()), (245_300, 48_000));
        let queries: Vec<u32> = POLICIES.iter().map(|policy| cost(&day, *policy).0).collect();
        let published = [
            245_300, 200_211, 142_116, 101_460, 63_828, 48_000, 131_904, 94_272, 63_419, 56_465, 47_196,
            42_397,
        ];
        assert_eq!(queries, published);
    }
}
