//! The PROXY header that a load balancer puts before a connection, versions 1 and 2 (haproxy's proxy-protocol.txt).
//!
//! It is believed only from peers that the configuration names, and from those it is demanded: a connection without it
//! would be taken for the balancer's own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest header: version 2 with its extensions is cut there, version 1 has 107 bytes at most.
pub const HEADER_BYTES_MAX: usize = 536;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const VERSION_1_BYTES_MAX: usize = 107;
const VERSION_1_BYTES_MIN: usize = 15;

/// One look at what came so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// It may still become one.
    Incomplete {
        /// So many bytes more belong to it whatever they are, so they can be read without taking the session's.
        at_least: usize,
    },
    /// It is none, or none that can be used.
    Invalid,
    /// The header, so many bytes long.
    Complete {
        /// Where the session's bytes begin.
        bytes: usize,
        /// Client and server as the balancer saw them; `None` for the balancer's own (health checks).
        addresses: Option<Addresses>,
    },
}

/// Both ends of the connection before the balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The client.
    pub remote: SocketAddr,
    /// What it connected to.
    pub local: SocketAddr,
}

impl Header {
    /// Reads from the first byte of the connection.
    pub fn parse(bytes: &[u8]) -> Self {
        let common = bytes.len().min(SIGNATURE.len());
        if bytes.get(..common) == SIGNATURE.get(..common) && !bytes.is_empty() {
            return version_2(bytes);
        }
        version_1(bytes)
    }
}

fn version_1(bytes: &[u8]) -> Header {
    const START: &[u8] = b"PROXY ";
    let common = bytes.len().min(START.len());
    if bytes.get(..common) != START.get(..common) {
        return Header::Invalid;
    }
    let Some(end) = memchr::memchr(b'\n', bytes) else {
        return match VERSION_1_BYTES_MIN.checked_sub(bytes.len()) {
            Some(missing) => Header::Incomplete { at_least: missing.max(1) },
            None if bytes.len() < VERSION_1_BYTES_MAX => Header::Incomplete { at_least: 1 },
            None => Header::Invalid,
        };
    };
    let line = bytes.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    let Some(line) = line.and_then(|line| std::str::from_utf8(line).ok()) else {
        return Header::Invalid;
    };
    let words: Vec<&str> = line.split(' ').collect();
    let addresses = match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => None,
        ["PROXY", family @ ("TCP4" | "TCP6"), remote, local, remote_port, local_port] => {
            let end = |address: &str, text: &str| {
                let address: IpAddr = address.parse().ok()?;
                let is_of_family = address.is_ipv4() == (*family == "TCP4");
                is_of_family.then_some(socket(address, port(text)?))
            };
            match (end(remote, remote_port), end(local, local_port)) {
                (Some(remote), Some(local)) => Some(Addresses { remote, local }),
                _ => return Header::Invalid,
            }
        }
        _ => return Header::Invalid,
    };
    Header::Complete { bytes: end + 1, addresses }
}

/// Digits alone, and none in front that says nothing.
fn port(text: &str) -> Option<u16> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    is_number.then(|| text.parse().ok()).flatten()
}

fn version_2(bytes: &[u8]) -> Header {
    let start = SIGNATURE.len() + 4;
    let Some(&[command, family, high, low]) = bytes.get(SIGNATURE.len()..start) else {
        return Header::Incomplete { at_least: start - bytes.len() };
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if start + length > HEADER_BYTES_MAX {
        return Header::Invalid;
    }
    let Some(block) = bytes.get(start..start + length) else {
        return Header::Incomplete { at_least: start + length - bytes.len() };
    };
    let addresses = match (command, family) {
        (0x20, _) => None,
        (0x21, 0x11) => match block {
            [a, b, c, d, e, f, g, h, p, q, r, s, ..] => Some(Addresses {
                remote: socket(Ipv4Addr::new(*a, *b, *c, *d).into(), u16::from_be_bytes([*p, *q])),
                local: socket(Ipv4Addr::new(*e, *f, *g, *h).into(), u16::from_be_bytes([*r, *s])),
            }),
            _ => return Header::Invalid,
        },
        (0x21, 0x21) => match six(block) {
            Some(addresses) => Some(addresses),
            None => return Header::Invalid,
        },
        _ => return Header::Invalid,
    };
    Header::Complete { bytes: start + length, addresses }
}

fn six(block: &[u8]) -> Option<Addresses> {
    let address = |at: usize| <[u8; 16]>::try_from(block.get(at..at + 16)?).ok().map(Ipv6Addr::from);
    let port = |at: usize| <[u8; 2]>::try_from(block.get(at..at + 2)?).ok().map(u16::from_be_bytes);
    Some(Addresses {
        remote: socket(address(0)?.into(), port(32)?),
        local: socket(address(16)?.into(), port(34)?),
    })
}

/// An IPv4 address stays one in whatever dress it comes.
fn socket(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address.to_canonical(), port)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn complete(bytes: &[u8], remote: &str, local: &str) {
        let addresses = Some(Addresses { remote: remote.parse().unwrap(), local: local.parse().unwrap() });
        let mut with_more = bytes.to_vec();
        with_more.extend(b"EHLO x\r\n");
        assert_eq!(Header::parse(&with_more), Header::Complete { bytes: bytes.len(), addresses });
        for cut in 0..bytes.len() {
            let Header::Incomplete { at_least } = Header::parse(&bytes[..cut]) else {
                panic!("{cut} bytes are no header");
            };
            assert!((1..=bytes.len() - cut).contains(&at_least), "{cut} bytes want {at_least}");
        }
    }

    #[test]
    fn both_versions_are_read() {
        complete(b"PROXY TCP4 192.0.2.7 198.51.100.1 4000 25\r\n", "192.0.2.7:4000", "198.51.100.1:25");
        complete(b"PROXY TCP6 2001:db8::7 2001:db8::1 4000 25\r\n", "[2001:db8::7]:4000", "[2001:db8::1]:25");
        complete(
            b"PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 4000 25\r\n",
            "192.0.2.7:4000",
            "[2001:db8::1]:25",
        );
        let mut four = SIGNATURE.to_vec();
        four.extend([0x21, 0x11, 0, 15, 192, 0, 2, 7, 198, 51, 100, 1, 0x0f, 0xa0, 0, 25, 4, 0, 0]);
        complete(&four, "192.0.2.7:4000", "198.51.100.1:25");
        let mut six = SIGNATURE.to_vec();
        six.extend([0x21, 0x21, 0, 36]);
        six.extend("2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
        six.extend("2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
        six.extend([0x0f, 0xa0, 0, 25]);
        complete(&six, "[2001:db8::7]:4000", "[2001:db8::1]:25");
    }

    #[test]
    fn a_health_check_has_no_client() {
        assert_eq!(Header::parse(b"PROXY UNKNOWN\r\n"), Header::Complete { bytes: 15, addresses: None });
        let mut local = SIGNATURE.to_vec();
        local.extend([0x20, 0, 0, 0]);
        assert_eq!(Header::parse(&local), Header::Complete { bytes: 16, addresses: None });
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for bytes in [
            &b"EHLO x\r\n"[..],
            b"PROXY TCP4 a b 1 2\r\n",
            b"PROXY\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
            b"PROXY TCP4 ::1 ::1 1 2\r\n",
            b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
        ] {
            assert_eq!(Header::parse(bytes), Header::Invalid, "{bytes:?}");
        }
        assert_eq!(Header::parse(&[b'P'; 200]), Header::Invalid);
        let mut long = b"PROXY TCP4 ".to_vec();
        long.extend([b'1'; 200]);
        assert_eq!(Header::parse(&long), Header::Invalid);
    }

    proptest! {
        #[test]
        fn no_bytes_can_panic_it(bytes: Vec<u8>) {
            Header::parse(&bytes);
            let mut signed = SIGNATURE.to_vec();
            signed.extend(bytes);
            Header::parse(&signed);
        }
    }
}
