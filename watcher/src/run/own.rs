//! Who is exempt by what stands around the watcher: the addresses of this machine, those from which somebody is logged
//! in to it, and those of the hosts that the configuration names. Banning one of them would lock it out of itself, or
//! its administrator.

use std::collections::BTreeMap;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use crate::config::Config;
use crate::control::Wake;
use crate::engine::{Exemption, Exemptions};
use crate::run::sessions;
use crate::subject::Network;

/// The addresses of host names are looked up again so often.
const HOSTS_EVERY: Duration = Duration::from_secs(600);

/// What stands around the watcher, as it was looked up last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Surroundings {
    own: Vec<Network>,
    sessions: Vec<Network>,
    hosts: BTreeMap<String, Vec<Network>>,
}

impl Surroundings {
    /// Looks at the machine; host names come from elsewhere, and stay as they were.
    pub(super) fn look(config: &Config, before: &Surroundings) -> Self {
        let sessions = if config.exempt_sessions { sessions::addresses() } else { Vec::new() };
        let mut hosts = before.hosts.clone();
        hosts.retain(|name, _| config.exempt_hosts.contains(name));
        Surroundings { own: addresses(), sessions, hosts }
    }

    /// The addresses of a host, as they are now. A host that has none just now keeps those it had.
    pub(super) fn resolved(&mut self, answer: Resolved) {
        if !answer.addresses.is_empty() {
            self.hosts.insert(answer.host, answer.addresses);
        }
    }

    /// All that is exempt but by hand.
    pub(super) fn exemptions(&self, config: &Config) -> Exemptions {
        let all = |networks: &[Network], why| -> Vec<(Network, Exemption)> {
            networks.iter().map(|network| (*network, why)).collect()
        };
        let hosts: Vec<Network> = self.hosts.values().flatten().copied().collect();
        let networks = [
            all(&config.exempt, Exemption::Configured),
            all(&config.exempt_listed, Exemption::File),
            all(&self.own, Exemption::Own),
            all(&self.sessions, Exemption::Session),
            all(&hosts, Exemption::Host),
        ];
        Exemptions::of(networks.into_iter().flatten(), config.private)
    }
}

/// Every address of every interface, as it is now.
fn addresses() -> Vec<Network> {
    let interfaces = match nix::ifaddrs::getifaddrs() {
        Ok(interfaces) => interfaces,
        Err(error) => {
            tracing::warn!("cannot list the addresses of this machine: {error}");
            return Vec::new();
        }
    };
    let address = |interface: nix::ifaddrs::InterfaceAddress| {
        let storage = interface.address?;
        let v4 = storage.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| storage.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    };
    let mut own: Vec<Network> = interfaces.filter_map(address).map(Network::host).collect();
    own.sort_unstable();
    own.dedup();
    own
}

/// The addresses of a host name.
#[derive(Debug)]
pub(super) struct Resolved {
    host: String,
    addresses: Vec<Network>,
}

/// A thread that looks up host names, which may take long. It ends when this value is dropped.
#[derive(Debug)]
pub(super) struct Resolver {
    /// Other names from now on.
    names: Sender<Vec<String>>,
    answers: Receiver<Resolved>,
}

impl Resolver {
    pub(super) fn start(names: &[String], wake: Wake) -> std::io::Result<Self> {
        let (sender, orders) = channel();
        let (answer, answers) = channel();
        let names = names.to_vec();
        std::thread::Builder::new()
            .name("hosts".into())
            .spawn(move || look_up(names, &orders, &answer, &wake))?;
        Ok(Resolver { names: sender, answers })
    }

    /// These names from now on.
    pub(super) fn set(&self, names: &[String]) {
        // A thread that is gone took nothing with it: the addresses stay as they are.
        let _ = self.names.send(names.to_vec());
    }

    pub(super) fn answers(&self) -> impl Iterator<Item = Resolved> + '_ {
        self.answers.try_iter()
    }
}

fn look_up(mut names: Vec<String>, orders: &Receiver<Vec<String>>, answer: &Sender<Resolved>, wake: &Wake) {
    loop {
        for host in &names {
            let found = match (host.as_str(), 0).to_socket_addrs() {
                Ok(found) => found.map(|socket| Network::host(socket.ip())).collect(),
                Err(error) => {
                    tracing::warn!("the exempt host {host} cannot be looked up: {error}");
                    Vec::new()
                }
            };
            if answer.send(Resolved { host: host.clone(), addresses: found }).is_err() {
                return;
            }
            wake.wake();
        }
        match orders.recv_timeout(HOSTS_EVERY) {
            Ok(other) => names = other,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
