//! Connections that the banned still have. The firewall stops their packets, but the server's side would sit in its
//! slot until it tired of waiting: ending the connection frees the slot at once.
//!
//! The kernel has no index of connections by address: it walks all that the machine has and filters as it walks. A
//! walk costs some 0.15 ms and a tenth of a microsecond for each connection of the machine, so this comes after the ban
//! and not before it.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::IpAddr;

use ipnet::IpNet;
use rustix::io::Errno;
use rustix::net::netlink::SOCK_DIAG;

use super::Ports;
use super::layout::normal;
use super::netlink::{Answer, DUMP, Messages, Socket};

/// `TCPDIAG_GETSOCK`: the older request, and the only one that lists both families in one walk.
const LIST_TCP: u16 = 18;
const SOCK_DESTROY: u16 = 21;
const REQUEST_BYTECODE: u16 = 1;
const IPPROTO_TCP: u8 = 6;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// `struct inet_diag_sockid`: ports, addresses, interface and the kernel's cookie.
const SOCKET_ID: usize = 48;
/// The states in which a server still holds the connection: established, and half closed by either side.
const STATES: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 8;

/// A connection as the kernel names it.
struct Connection {
    family: u8,
    id: [u8; SOCKET_ID],
}

/// Ends the TCP connections that these networks have with these ports of this machine; how many there were. However
/// many networks there are, the kernel walks once.
///
/// Both sides read an error at once. A kernel that cannot do this leaves them, and that is no error: their packets
/// are dropped all the same.
pub fn end(bans: &[(IpNet, Ports)]) -> io::Result<usize> {
    let mut socket = Socket::open(SOCK_DIAG, 0)?;
    let mut messages = Messages::default();
    let mut found = Vec::new();
    let wanted = Wanted::of(bans);
    list(&mut messages, wanted.single());
    match socket.ask(&messages, |answer| found.extend(Connection::read(&answer).filter(|c| wanted.has(c)))) {
        Ok(()) => {}
        Err(Errno::NOENT | Errno::NOSYS | Errno::OPNOTSUPP) => return Ok(0),
        // Connections came and went during the walk: what was found is still theirs.
        Err(Errno::AGAIN) => {}
        Err(errno) => return Err(errno.into()),
    }
    let mut ended = 0;
    for connection in &found {
        destroy(&mut messages, connection);
        match socket.transact(&messages) {
            Ok(()) => ended += 1,
            // It ended by itself.
            Err(Errno::NOENT | Errno::STALE) => {}
            Err(Errno::NOSYS | Errno::OPNOTSUPP) => break,
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(ended)
}

/// Whose connections are to be ended.
struct Wanted<'b> {
    closed: HashMap<IpNet, Vec<&'b Ports>>,
    /// The lengths of prefixes that stand in it, by family.
    lengths: BTreeSet<(bool, u8)>,
}

impl<'b> Wanted<'b> {
    fn of(bans: &'b [(IpNet, Ports)]) -> Self {
        let mut wanted = Wanted { closed: HashMap::new(), lengths: BTreeSet::new() };
        for (network, ports) in bans {
            let network = normal(*network);
            wanted.lengths.insert((network.addr().is_ipv6(), network.prefix_len()));
            wanted.closed.entry(network).or_default().push(ports);
        }
        wanted
    }

    /// The network that it is about, where there is but one: the kernel can look for that by itself.
    fn single(&self) -> Option<IpNet> {
        let mut networks = self.closed.keys();
        networks.next().filter(|_| networks.next().is_none()).copied()
    }

    fn has(&self, connection: &Connection) -> bool {
        let (other, port) = connection.ends();
        let of_family = self.lengths.range((other.is_ipv6(), 0)..=(other.is_ipv6(), 128));
        let around = of_family.filter_map(|(_, bits)| Some(IpNet::new(other, *bits).ok()?.trunc()));
        around.filter_map(|network| self.closed.get(&network)).flatten().any(|ports| match ports {
            Ports::All => true,
            Ports::Tcp(ports) => ports.contains(&port),
        })
    }
}

impl Connection {
    /// Reads a `struct inet_diag_msg`.
    fn read(answer: &Answer<'_>) -> Option<Self> {
        let family = *answer.payload.first()?;
        let id = *answer.payload.get(4..)?.first_chunk()?;
        Some(Connection { family, id })
    }

    /// The address of the other end, and the port of ours.
    fn ends(&self) -> (IpAddr, u16) {
        let [high, low, _, _, rest @ ..] = self.id;
        let mut other = [0; 16];
        // After the ports comes our address, in sixteen bytes, and then theirs.
        other.iter_mut().zip(rest.iter().skip(16)).for_each(|(to, from)| *to = *from);
        let other = match (self.family, other) {
            (AF_INET, [a, b, c, d, ..]) => IpAddr::from([a, b, c, d]),
            (_, other) => IpAddr::from(other).to_canonical(),
        };
        (other, u16::from_be_bytes([high, low]))
    }
}

/// Asks for all connections, or for those whose other end lies in `network`.
fn list(messages: &mut Messages, network: Option<IpNet>) {
    messages.clear();
    messages.message(LIST_TCP, DUMP, |m| {
        // A `struct inet_diag_req` that leaves all but the states open.
        m.raw(&[0; 4 + SOCKET_ID]);
        m.raw(&STATES.to_ne_bytes());
        m.raw(&[0; 4]);
        if let Some(network) = network {
            m.bytes(REQUEST_BYTECODE, &condition(network));
        }
    });
    messages.acknowledge();
}

/// A program of one instruction: does the other end's address begin as `network` does? Sockets of IPv6 that speak
/// IPv4 are compared by their IPv4 address.
fn condition(network: IpNet) -> Vec<u8> {
    const OTHER_END: u8 = 8;
    const ANY_PORT: i32 = -1;
    const INSTRUCTION: u8 = 4;
    const CONDITION: u8 = 8;
    let (family, address) = match network.network() {
        IpAddr::V4(v4) => (AF_INET, v4.octets().to_vec()),
        IpAddr::V6(v6) => (AF_INET6, v6.octets().to_vec()),
    };
    let length = INSTRUCTION + CONDITION + if family == AF_INET { 4 } else { 16 };
    // On no it goes four bytes past the end, which is how such a program says no.
    let on_no = u16::from(length) + 4;
    let mut program = vec![OTHER_END, length];
    program.extend_from_slice(&on_no.to_ne_bytes());
    program.extend_from_slice(&[family, network.prefix_len(), 0, 0]);
    program.extend_from_slice(&ANY_PORT.to_ne_bytes());
    program.extend_from_slice(&address);
    program
}

fn destroy(messages: &mut Messages, connection: &Connection) {
    messages.clear();
    messages.message(SOCK_DESTROY, 0, |m| {
        m.raw(&[connection.family, IPPROTO_TCP, 0, 0]);
        m.raw(&STATES.to_ne_bytes());
        m.raw(&connection.id);
    });
    messages.acknowledge();
}
