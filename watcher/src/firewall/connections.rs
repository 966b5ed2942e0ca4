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
/// Where the other end's address stands in it.
const OTHER_ADDRESS: usize = 2 + 2 + 16;
/// The states in which a server still holds the connection: established, and half closed by either side.
const STATES: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 8;

/// A connection as the kernel names it.
struct Connection {
    family: u8,
    id: [u8; SOCKET_ID],
}

/// Ends the TCP connections that `network` has with `ports` of this machine; how many there were.
///
/// Both sides read an error at once. A kernel that cannot do this leaves them, and that is no error: their packets
/// are dropped all the same.
pub fn end(network: IpNet, ports: &Ports) -> io::Result<usize> {
    end_all(&[(network, ports.clone())])
}

/// Ends the TCP connections of all of these, in one walk.
pub fn end_all(banned: &[(IpNet, Ports)]) -> io::Result<usize> {
    let mut wanted: HashMap<IpNet, Vec<&Ports>> = HashMap::new();
    for (network, ports) in banned {
        wanted.entry(normal(*network)).or_default().push(ports);
    }
    let mut socket = Socket::open(SOCK_DIAG, 0)?;
    let mut messages = Messages::default();
    let mut found = Vec::new();
    // For several the kernel would walk all that there is for each of them.
    list(&mut messages, wanted.keys().next().filter(|_| wanted.len() == 1).copied());
    let lengths: BTreeSet<u8> = wanted.keys().map(IpNet::prefix_len).collect();
    let is_meant = |connection: &Connection| connection.is_of(&wanted, &lengths);
    match socket.ask(&messages, |answer| found.extend(Connection::read(&answer).filter(is_meant))) {
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

impl Connection {
    /// Reads a `struct inet_diag_msg`.
    fn read(answer: &Answer<'_>) -> Option<Self> {
        let family = *answer.payload.first()?;
        let id = *answer.payload.get(4..)?.first_chunk()?;
        Some(Connection { family, id })
    }

    /// Whether one of these networks has it, with ports that are closed to it.
    fn is_of(&self, banned: &HashMap<IpNet, Vec<&Ports>>, lengths: &BTreeSet<u8>) -> bool {
        let Some(address) = self.other_end() else { return false };
        let around = lengths.iter().filter_map(|length| IpNet::new(address, *length).ok());
        let mut closed = around.filter_map(|network| banned.get(&network.trunc())).flatten();
        closed.any(|ports| self.is_with(ports))
    }

    fn is_with(&self, ports: &Ports) -> bool {
        match (ports, self.id) {
            (Ports::All, _) => true,
            (Ports::Tcp(ports), [high, low, ..]) => ports.contains(&u16::from_be_bytes([high, low])),
        }
    }

    /// The address of the other end; sockets of IPv6 that speak IPv4 have it in their own form.
    fn other_end(&self) -> Option<IpAddr> {
        let address = self.id.get(OTHER_ADDRESS..)?;
        Some(match self.family {
            AF_INET => IpAddr::from(*address.first_chunk::<4>()?),
            _ => IpAddr::from(*address.first_chunk::<16>()?).to_canonical(),
        })
    }
}

/// Asks for the connections whose other end lies in `network`, or for all.
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
