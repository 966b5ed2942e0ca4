//! Which set of our table holds which network. Names are made and read here and nowhere else.
//!
//! Every **scope** (all ports, or a list of TCP ports) has sets of its own, one for each family and prefix length in
//! use: `ip4_32_all`, `ip6_64_tcp_25_465_587`. So the name of a set says all about it, and a table left by an earlier
//! run can be taken over by reading its sets' names.
//!
//! Networks of one length cannot overlap. That is why there is an interval set for each length and not one for each
//! family: the kernel refuses overlapping intervals, and to merge them would mean to give nested bans one deadline.
//! Lengths come into being with the first network that needs them; a packet pays one look-up for each.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use super::Ports;
use crate::jail::PortSet;

/// More scopes than jails could sensibly name; each costs a packet that is not banned its look-ups.
const SCOPES_MAX: usize = 64;
/// The longest list whose set names stay below the kernel's 255 bytes, with room to spare.
const PORTS_MAX: usize = 32;

/// What our table consists of, apart from the elements.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layout {
    scopes: Vec<Scope>,
}

/// Ports that are closed to a set of networks.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scope {
    /// The ports.
    pub(super) ports: Ports,
    /// The lengths for which there is a set.
    pub(super) shapes: BTreeSet<Shape>,
}

/// Family and prefix length of a network: one set each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shape {
    family: Family,
    length: u8,
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    V4,
    V6,
}

/// How a set stores networks of its shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Storage {
    /// Whole addresses in a hash table.
    Addresses,
    /// Networks in a hash table under their first address: the rule masks what it looks up.
    Masked,
    /// Networks as intervals in a tree.
    Intervals,
}

impl Default for Layout {
    /// What the usual bans need: all ports, addresses and IPv6 /64.
    fn default() -> Self {
        Layout { scopes: vec![Scope { ports: Ports::All, shapes: Shape::ALWAYS.into() }] }
    }
}

impl Layout {
    /// The scope of exactly these ports.
    fn scope(&self, ports: &Ports) -> Option<&Scope> {
        self.scopes.iter().find(|scope| scope.ports == *ports)
    }

    /// Every scope there is.
    pub(super) fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// Every set there is, by what it holds.
    pub(super) fn sets(&self) -> Vec<(Shape, Ports)> {
        let sets = |scope: &Scope| {
            scope.shapes.iter().map(|shape| (*shape, scope.ports.clone())).collect::<Vec<_>>()
        };
        self.scopes.iter().flat_map(sets).collect()
    }

    /// True when there is a set for networks like `network`, barred from `ports`.
    pub(super) fn has(&self, network: IpNet, ports: &Ports) -> bool {
        self.scope(ports).is_some_and(|scope| scope.shapes.contains(&Shape::of(network)))
    }

    /// Makes a place for networks like `network`, barred from `ports`.
    pub(super) fn add(&mut self, network: IpNet, ports: &Ports) -> Result<(), LayoutError> {
        self.add_shape(Shape::of(network), ports)
    }

    /// Takes up a set that stands in the kernel. A name that is not ours is somebody else's set and is left alone.
    pub(super) fn add_set(&mut self, name: &str) {
        if let Some((shape, ports)) = parse_name(name) {
            // Full: the set is left out of the rules, as it would be if it had been asked for now.
            _ = self.add_shape(shape, &ports);
        }
    }

    fn add_shape(&mut self, shape: Shape, ports: &Ports) -> Result<(), LayoutError> {
        if let Some(scope) = self.scopes.iter_mut().find(|scope| scope.ports == *ports) {
            scope.shapes.insert(shape);
            return Ok(());
        }
        if let Ports::Tcp(list) = ports
            && !(1..=PORTS_MAX).contains(&list.len())
        {
            return Err(LayoutError::Ports { given: list.len() });
        }
        if self.scopes.len() >= SCOPES_MAX {
            return Err(LayoutError::Scopes);
        }
        let mut shapes = BTreeSet::from(Shape::ALWAYS);
        shapes.insert(shape);
        self.scopes.push(Scope { ports: ports.clone(), shapes });
        Ok(())
    }
}

/// Why there is no place for a ban.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub(super) enum LayoutError {
    /// No port, or too many.
    #[error("a list of 1 to {PORTS_MAX} ports is needed, this one has {given}")]
    Ports {
        /// How many there are.
        given: usize,
    },
    /// Too many scopes.
    #[error("there are {SCOPES_MAX} lists of ports already, and that is the limit")]
    Scopes,
}

impl From<LayoutError> for io::Error {
    fn from(error: LayoutError) -> Self {
        io::Error::new(io::ErrorKind::InvalidInput, error)
    }
}

impl Shape {
    const ALWAYS: [Shape; 3] = [
        Shape { family: Family::V4, length: 32 },
        Shape { family: Family::V6, length: 128 },
        Shape { family: Family::V6, length: 64 },
    ];

    /// The shape of `network`.
    pub(super) fn of(network: IpNet) -> Self {
        let family = match network {
            IpNet::V4(_) => Family::V4,
            IpNet::V6(_) => Family::V6,
        };
        Shape { family, length: network.prefix_len() }
    }

    /// Its family.
    pub(super) fn family(self) -> Family {
        self.family
    }

    /// How networks of this shape are stored: the usual ones, an address and an IPv6 /64, where a change costs the
    /// same however many there are.
    pub(super) fn storage(self) -> Storage {
        match (self.family, self.length) {
            (Family::V4, 32) | (Family::V6, 128) => Storage::Addresses,
            (Family::V6, 64) => Storage::Masked,
            (Family::V4 | Family::V6, _) => Storage::Intervals,
        }
    }

    /// The network of this shape that `address` lies in; nothing for an address of the other family.
    pub(super) fn around(self, address: IpAddr) -> Option<IpNet> {
        let network = IpNet::new(address, self.length).ok()?.trunc();
        (Shape::of(network) == self).then_some(network)
    }
}

impl Family {
    /// The bytes of an address.
    pub(super) fn address_bytes(self) -> u32 {
        match self {
            Family::V4 => 4,
            Family::V6 => 16,
        }
    }
}

/// Writes the name of the set for one shape in one scope.
pub(super) struct SetName<'a>(pub(super) Shape, pub(super) &'a Ports);

impl fmt::Display for SetName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape { family, length } = self.0;
        write!(f, "ip{family}_{length}_{}", Tag(self.1))
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::V4 => "4",
            Family::V6 => "6",
        })
    }
}

/// Writes the name of the counter of one family in one scope.
pub(super) struct CounterName<'a>(pub(super) Family, pub(super) &'a Ports);

impl fmt::Display for CounterName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dropped{}_{}", self.0, Tag(self.1))
    }
}

/// Writes the name of the chain of one scope.
pub(super) struct ChainName<'a>(pub(super) &'a Ports);

impl fmt::Display for ChainName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "drop_{}", Tag(self.0))
    }
}

/// Writes ports as names carry them: `all`, `tcp_25_465`.
struct Tag<'a>(&'a Ports);

impl fmt::Display for Tag<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ports::All => f.write_str("all"),
            Ports::Tcp(ports) => {
                f.write_str("tcp")?;
                ports.iter().try_for_each(|port| write!(f, "_{port}"))
            }
        }
    }
}

fn parse_name(name: &str) -> Option<(Shape, Ports)> {
    let mut parts = name.splitn(3, '_');
    let (family, longest) = match parts.next()? {
        "ip4" => (Family::V4, 32),
        "ip6" => (Family::V6, 128),
        _ => return None,
    };
    let length = parts.next()?.parse().ok().filter(|length| *length <= longest)?;
    let found = (Shape { family, length }, parse_tag(parts.next()?)?);
    // `ip4_032_all` would be read as ours and written as another name.
    (SetName(found.0, &found.1).to_string() == name).then_some(found)
}

/// Reads what [`Tag`] writes.
fn parse_tag(tag: &str) -> Option<Ports> {
    let Some(list) = tag.strip_prefix("tcp_") else {
        return (tag == "all").then_some(Ports::All);
    };
    let ports = list.split('_').map(|port| port.parse().ok()).collect::<Option<PortSet>>()?;
    Some(Ports::Tcp(ports))
}

/// The same network in the one form that the kernel is given: host bits cleared, IPv4-mapped IPv6 as IPv4.
pub(super) fn normal(network: IpNet) -> IpNet {
    const MAPPED: u8 = 96;
    let network = network.trunc();
    let IpNet::V6(v6) = network else { return network };
    let (Some(v4), Some(length)) = (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(MAPPED)) else {
        return network;
    };
    Ipv4Net::new(v4, length).map_or(network, IpNet::V4)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ports(list: impl IntoIterator<Item = u16>) -> Ports {
        Ports::Tcp(list.into_iter().collect())
    }

    #[track_caller]
    fn check_name(network: &str, ports: &Ports, expected: &str) {
        assert_eq!(SetName(Shape::of(network.parse().unwrap()), ports).to_string(), expected);
        assert_eq!(parse_name(expected), Some((Shape::of(network.parse().unwrap()), ports.clone())));
    }

    #[test]
    fn a_set_is_named_for_what_it_holds() {
        check_name("192.0.2.7/32", &Ports::All, "ip4_32_all");
        check_name("2001:db8::/64", &Ports::All, "ip6_64_all");
        check_name("2001:db8::/48", &ports([25]), "ip6_48_tcp_25");
        check_name("0.0.0.0/0", &ports([587, 25]), "ip4_0_tcp_25_587");
    }

    #[test]
    fn the_longest_name_fits_the_kernel() {
        let most = ports((0..32).map(|n| u16::MAX - n));
        let name = SetName(Shape { family: Family::V6, length: 128 }, &most).to_string();
        assert!(name.len() < 255 - "dropped4_".len(), "{}", name.len());
    }

    #[test]
    fn somebody_elses_set_is_left_alone() {
        for name in
            ["", "admin", "ip4", "ip4_33_all", "ip4_032_all", "ip5_1_all", "ip4_32_udp_53", "ip4_32_tcp_"]
        {
            assert_eq!(parse_name(name), None, "{name}");
        }
    }

    #[track_caller]
    fn check_normal(given: &str, expected: &str) {
        assert_eq!(normal(given.parse().unwrap()).to_string(), expected);
    }

    #[test]
    fn one_network_has_one_form() {
        check_normal("192.0.2.7/24", "192.0.2.0/24");
        check_normal("::ffff:192.0.2.7/128", "192.0.2.7/32");
        check_normal("::ffff:192.0.2.7/120", "192.0.2.0/24");
        check_normal("::ffff:0:0/96", "0.0.0.0/0");
        check_normal("::ffff:0:0/90", "::ffc0:0:0/90");
        check_normal("2001:db8::1/64", "2001:db8::/64");
    }

    #[test]
    fn scopes_and_lists_of_ports_are_bounded() {
        let mut layout = Layout::default();
        let network = "192.0.2.7/32".parse().unwrap();
        assert_eq!(layout.add(network, &ports([])), Err(LayoutError::Ports { given: 0 }));
        assert_eq!(layout.add(network, &ports(0..33)), Err(LayoutError::Ports { given: 33 }));
        for port in 1..64 {
            assert_eq!(layout.add(network, &ports([port])), Ok(()));
        }
        assert_eq!(layout.add(network, &ports([64])), Err(LayoutError::Scopes));
        assert_eq!(layout.add(network, &Ports::All), Ok(()));
    }

    proptest! {
        #[test]
        fn names_read_back_equal(address: IpAddr, length in 0..=128u8, list: BTreeSet<u16>) {
            let length = if address.is_ipv4() { length % 33 } else { length };
            let shape = Shape::of(IpNet::new(address, length).unwrap());
            let ports = if list.is_empty() { Ports::All } else { Ports::Tcp(list.into()) };
            let name = SetName(shape, &ports).to_string();
            prop_assert_eq!(parse_name(&name), Some((shape, ports)));
        }
    }
}
