//! What tcpserver says about connections (ucspi-tcp 0.88 tcpserver.c:doit, printstatus, sigchld).

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::scan::{self, Scan};
use crate::{SessionId, Text};

/// A line of tcpserver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tcpserver<'a> {
    /// `tcpserver: status: OPEN/LIMIT`: how many connections are open, after each change.
    Status {
        /// Open connections.
        open: u32,
        /// The most that may be.
        limit: u32,
    },
    /// `tcpserver: pid N from IP`: a connection came in. Nothing a client chose stands in it, so this line binds
    /// session to address.
    Connect {
        /// The session.
        pid: SessionId,
        /// The client's address.
        address: IpAddr,
    },
    /// `tcpserver: ok N LOCAL REMOTE`: it may speak.
    Ok(Endpoint<'a>),
    /// `tcpserver: deny N LOCAL REMOTE`: it may not.
    Deny(Endpoint<'a>),
    /// `tcpserver: end N status S`: it is over.
    End {
        /// The session.
        pid: SessionId,
        /// Raw wait status: 0 after QUIT, 256 where the server gave up, 25600 where it was denied.
        status: u32,
    },
}

/// Both ends of a connection, as `ok` and `deny` name them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint<'a> {
    /// The session.
    pub pid: SessionId,
    /// This host's name.
    pub local_host: Text<'a>,
    /// The address that was connected to.
    pub local_address: IpAddr,
    /// The port that was connected to.
    pub local_port: u16,
    /// The client's name by reverse look-up; empty where unknown.
    pub remote_host: Text<'a>,
    /// The client's address.
    pub remote_address: IpAddr,
    /// What the client's ident server said; empty where not asked.
    pub remote_info: Text<'a>,
    /// The client's port.
    pub remote_port: u16,
}

const PREFIX: &[u8] = b"tcpserver: ";

impl<'a> Tcpserver<'a> {
    /// Reads one line, without its envelope.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        Tcpserver::rest(line.strip_prefix(PREFIX)?)
    }

    /// Reads what stands after the program's name.
    pub(crate) fn rest(rest: &'a [u8]) -> Option<Self> {
        let mut line = Scan(rest);
        match line.until(b' ')? {
            b"status:" => Some(Tcpserver::Status { open: line.number(b'/')?, limit: limit(line.0)? }),
            b"pid" => {
                let pid = SessionId(line.number(b' ')?);
                line.literal(b"from ")?;
                Some(Tcpserver::Connect { pid, address: scan::address(line.0)? })
            }
            b"ok" => Endpoint::parse(line).map(Tcpserver::Ok),
            b"deny" => Endpoint::parse(line).map(Tcpserver::Deny),
            b"end" => {
                let pid = SessionId(line.number(b' ')?);
                line.literal(b"status ")?;
                Some(Tcpserver::End { pid, status: line.last_number()? })
            }
            _ => None,
        }
    }
}

/// Some builds print a third number, the limit per address, after the limit of all.
fn limit(field: &[u8]) -> Option<u32> {
    let mut parts = field.split(|&b| b == b'/');
    let limit = scan::number(parts.next()?)?;
    parts.all(|part| scan::number::<u32>(part).is_some()).then_some(limit)
}

impl<'a> Endpoint<'a> {
    fn parse(mut line: Scan<'a>) -> Option<Self> {
        let pid = SessionId(line.number(b' ')?);
        let (local_host, local_address, local_port) = host_address_port(line.until(b' ')?)?;
        let (remote_host, middle, remote_port) = first_middle_last(line.0)?;
        // The address may hold colons, the ident reply (escaped by every writer we know) may not.
        let (remote_address, remote_info) = split_last(middle)?;
        Some(Endpoint {
            pid,
            local_host: Text::unescape(local_host),
            local_address,
            local_port,
            remote_host: Text::unescape(remote_host),
            remote_address: scan::address(remote_address)?,
            remote_info: Text::unescape(remote_info),
            remote_port: scan::number(remote_port)?,
        })
    }
}

fn host_address_port(field: &[u8]) -> Option<(&[u8], IpAddr, u16)> {
    let (host, address, port) = first_middle_last(field)?;
    Some((host, scan::address(address)?, scan::number(port)?))
}

fn first_middle_last(field: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let colon = memchr::memchr(b':', field)?;
    let (middle, last) = split_last(field.get(colon + 1..)?)?;
    Some((field.get(..colon)?, middle, last))
}

fn split_last(field: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memrchr(b':', field)?;
    Some((field.get(..colon)?, field.get(colon + 1..)?))
}

impl fmt::Display for Tcpserver<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tcpserver: ")?;
        match self {
            Tcpserver::Status { open, limit } => write!(f, "status: {open}/{limit}"),
            Tcpserver::Connect { pid, address } => write!(f, "pid {pid} from {address}"),
            Tcpserver::Ok(endpoint) => write!(f, "ok {endpoint}"),
            Tcpserver::Deny(endpoint) => write!(f, "deny {endpoint}"),
            Tcpserver::End { pid, status } => write!(f, "end {pid} status {status}"),
        }
    }
}

impl fmt::Display for Endpoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Endpoint { pid, local_address, local_port, remote_address, remote_port, .. } = self;
        let local_host = self.local_host.escaped(b":");
        let remote_host = self.remote_host.escaped(b":");
        let remote_info = self.remote_info.escaped(b":");
        write!(f, "{pid} {local_host}:{local_address}:{local_port} ")?;
        write!(f, "{remote_host}:{remote_address}:{remote_info}:{remote_port}")
    }
}
