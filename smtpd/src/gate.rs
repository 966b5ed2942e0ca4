//! Who may connect: how many connections there are, how many from whom, and which session numbers are taken.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use logline::{Endpoint, Record, SessionId, Tcpserver, Text};

use crate::config::Connections;
use crate::pace::network;

/// What tcpserver logs as the wait status of a child that denied a connection.
const DENIED: u32 = 25600;

/// Counts connections and numbers sessions. All tables hold open connections only, so `max` bounds them.
#[derive(Debug)]
pub struct Gate {
    hostname: String,
    limits: Connections,
    last: u32,
    open: HashMap<SessionId, IpAddr>,
    clients: HashMap<IpAddr, u32>,
    networks: HashMap<IpAddr, u32>,
}

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is a session now.
    Admitted(SessionId),
    /// There are too many; the number was used for the journal alone.
    Denied(SessionId),
}

impl Gate {
    /// A gate that nobody has come through yet.
    pub fn new(hostname: &str, limits: Connections) -> Self {
        Gate {
            hostname: hostname.to_owned(),
            limits,
            last: 0,
            open: HashMap::new(),
            clients: HashMap::new(),
            networks: HashMap::new(),
        }
    }

    /// A connection came: lets it in or not, and appends what the journal is to know.
    pub fn enter(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        facts: &mut Vec<Record<'static>>,
    ) -> Admission {
        let pid = self.next_number();
        let client = client(remote.ip());
        let network = network(client);
        let mine = self.clients.get(&client).copied().unwrap_or(0);
        let ours = self.networks.get(&network).copied().unwrap_or(0);
        let limits = self.limits;
        let is_full = self.open() >= limits.max
            || mine >= limits.per_address_max
            || (limits.per_network_max != 0 && ours >= limits.per_network_max);
        let address = remote.ip();
        let endpoint = self.endpoint(pid, local, remote);
        if is_full {
            facts.push(Record::Tcpserver(Tcpserver::Connect { pid, address }));
            facts.push(Record::Tcpserver(Tcpserver::Deny(endpoint)));
            facts.push(Record::Tcpserver(Tcpserver::End { pid, status: DENIED }));
            return Admission::Denied(pid);
        }
        self.open.insert(pid, client);
        self.clients.insert(client, mine + 1);
        self.networks.insert(network, ours + 1);
        facts.push(self.status());
        facts.push(Record::Tcpserver(Tcpserver::Connect { pid, address }));
        facts.push(Record::Tcpserver(Tcpserver::Ok(endpoint)));
        Admission::Admitted(pid)
    }

    /// A connection came that a rule does not let in.
    pub fn deny(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        facts: &mut Vec<Record<'static>>,
    ) -> SessionId {
        let pid = self.next_number();
        facts.push(Record::Tcpserver(Tcpserver::Connect { pid, address: remote.ip() }));
        facts.push(Record::Tcpserver(Tcpserver::Deny(self.endpoint(pid, local, remote))));
        facts.push(Record::Tcpserver(Tcpserver::End { pid, status: DENIED }));
        pid
    }

    /// A session is over.
    pub fn leave(&mut self, pid: SessionId, status: u32, facts: &mut Vec<Record<'static>>) {
        let Some(client) = self.open.remove(&pid) else {
            return;
        };
        forget_one(&mut self.clients, client);
        forget_one(&mut self.networks, network(client));
        facts.push(Record::Tcpserver(Tcpserver::End { pid, status }));
        facts.push(self.status());
    }

    /// The settings were read again. Who is open already stays.
    pub fn set_limits(&mut self, hostname: &str, limits: Connections) {
        self.limits = limits;
        hostname.clone_into(&mut self.hostname);
    }

    /// Whether more than three quarters of the places are taken.
    pub fn is_crowded(&self) -> bool {
        u64::from(self.open()) * 4 > u64::from(self.limits.max) * 3
    }

    /// How many there are and may be.
    pub fn status(&self) -> Record<'static> {
        Record::Tcpserver(Tcpserver::Status { open: self.open(), limit: self.limits.max })
    }

    fn open(&self) -> u32 {
        u32::try_from(self.open.len()).unwrap_or(u32::MAX)
    }

    /// Counts up and skips what is open; zero is nobody's.
    fn next_number(&mut self) -> SessionId {
        loop {
            self.last = self.last.checked_add(1).unwrap_or(1);
            if !self.open.contains_key(&SessionId(self.last)) {
                return SessionId(self.last);
            }
        }
    }

    fn endpoint(&self, pid: SessionId, local: SocketAddr, remote: SocketAddr) -> Endpoint<'static> {
        Endpoint {
            pid,
            local_host: Text::from(self.hostname.clone()),
            local_address: local.ip(),
            local_port: local.port(),
            remote_host: Text::default(),
            remote_address: remote.ip(),
            remote_info: Text::default(),
            remote_port: remote.port(),
        }
    }
}

fn forget_one(counts: &mut HashMap<IpAddr, u32>, of: IpAddr) {
    match counts.get_mut(&of) {
        Some(count) if *count > 1 => *count -= 1,
        Some(_) | None => {
            counts.remove(&of);
        }
    }
}

/// One client: an IPv4 address, or the /64 that one subscriber of IPv6 has at least.
fn client(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(max: u32, per_address_max: u32) -> Gate {
        Gate::new("mx", Connections { max, per_address_max, per_network_max: 0 })
    }

    fn enter(gate: &mut Gate, remote: &str) -> (Admission, String) {
        let mut facts = Vec::new();
        let local = "192.0.2.25:25".parse().unwrap();
        let admission = gate.enter(local, remote.parse().unwrap(), &mut facts);
        (admission, facts.iter().map(|fact| format!("{fact}\n")).collect())
    }

    #[test]
    fn a_connection_is_logged_as_tcpserver_logs_it() {
        let mut gate = gate(2, 1);
        let (admission, facts) = enter(&mut gate, "198.51.100.7:4000");
        assert_eq!(admission, Admission::Admitted(SessionId(1)));
        assert_eq!(
            facts,
            "tcpserver: status: 1/2\ntcpserver: pid 1 from 198.51.100.7\n\
             tcpserver: ok 1 mx:192.0.2.25:25 :198.51.100.7::4000\n"
        );
        let (admission, facts) = enter(&mut gate, "198.51.100.7:4001");
        assert_eq!(admission, Admission::Denied(SessionId(2)));
        assert_eq!(
            facts,
            "tcpserver: pid 2 from 198.51.100.7\ntcpserver: deny 2 mx:192.0.2.25:25 :198.51.100.7::4001\n\
             tcpserver: end 2 status 25600\n"
        );
        let mut facts = Vec::new();
        gate.leave(SessionId(1), 256, &mut facts);
        gate.leave(SessionId(1), 256, &mut facts);
        let facts: Vec<String> = facts.iter().map(ToString::to_string).collect();
        assert_eq!(facts, ["tcpserver: end 1 status 256", "tcpserver: status: 0/2"]);
    }

    #[test]
    fn a_network_of_ipv6_is_one_client_and_all_together_have_a_limit() {
        let mut gate = gate(3, 2);
        for (remote, admitted) in [
            ("[2001:db8::1]:1", true),
            ("[2001:db8::2]:1", true),
            ("[2001:db8::3]:1", false),
            ("[2001:db8:0:1::1]:1", true),
            ("[2001:db8:0:2::1]:1", false),
        ] {
            assert_eq!(matches!(enter(&mut gate, remote).0, Admission::Admitted(_)), admitted, "{remote}");
        }
    }

    #[test]
    fn a_network_has_a_limit_of_its_own() {
        let mut gate = Gate::new("mx", Connections { max: 9, per_address_max: 9, per_network_max: 2 });
        for (remote, admitted) in [
            ("192.0.2.1:1", true),
            ("192.0.2.2:1", true),
            ("192.0.2.3:1", false),
            ("192.0.3.1:1", true),
            ("[2001:db8:0:1::1]:1", true),
            ("[2001:db8:0:2::1]:1", true),
            ("[2001:db8:0:3::1]:1", false),
        ] {
            assert_eq!(matches!(enter(&mut gate, remote).0, Admission::Admitted(_)), admitted, "{remote}");
        }
        gate.leave(SessionId(1), 0, &mut Vec::new());
        assert!(matches!(enter(&mut gate, "192.0.2.3:2").0, Admission::Admitted(_)));
    }

    #[test]
    fn a_gate_is_crowded_when_hardly_a_place_is_left_and_its_limits_may_change() {
        let mut gate = gate(4, 4);
        for port in 1..=3 {
            assert!(!gate.is_crowded());
            enter(&mut gate, &format!("192.0.2.1:{port}"));
        }
        assert!(!gate.is_crowded());
        enter(&mut gate, "192.0.2.1:4");
        assert!(gate.is_crowded());
        gate.set_limits("gate", Connections { max: 8, per_address_max: 5, per_network_max: 0 });
        assert!(!gate.is_crowded());
        let (admission, facts) = enter(&mut gate, "192.0.2.1:5");
        assert_eq!(admission, Admission::Admitted(SessionId(5)));
        assert!(facts.starts_with("tcpserver: status: 5/8\n") && facts.contains("ok 5 gate:"), "{facts}");
    }

    #[test]
    fn a_number_that_is_open_is_not_given_again() {
        let mut gate = gate(10, 10);
        gate.last = u32::MAX - 1;
        let numbers: Vec<_> = (1..=2).map(|port| enter(&mut gate, &format!("192.0.2.1:{port}")).0).collect();
        assert_eq!(numbers, [Admission::Admitted(SessionId(u32::MAX)), Admission::Admitted(SessionId(1))]);
        gate.last = u32::MAX;
        assert_eq!(enter(&mut gate, "192.0.2.1:3").0, Admission::Admitted(SessionId(2)));
    }
}
