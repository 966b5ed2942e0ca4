//! One ban in the words of nf_tables: the messages that add, remove and look up an element of a set.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::Ports;
use super::layout::{SetName, Shape, Storage};
use super::netlink::{CREATE, EXCLUSIVE, Messages};
use super::nft::{attr, kind, message, question};

/// A shorter timeout could be rounded to zero ticks by the kernel, and zero means for ever.
const TIMEOUT_MIN: Duration = Duration::from_millis(100);
/// Two thousand years would overflow the kernel's clock; a hundred are long enough.
const TIMEOUT_MAX: Duration = Duration::from_secs(100 * 365 * 86_400);

const ELEMENT_INTERVAL_END: u32 = 0x1;

/// A network, in its normal form, and the ports from which it is barred.
pub(super) type Place<'a> = (IpNet, &'a Ports);

/// What becomes of a ban of the same network that stands already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It takes the new deadline. Kernels before 6.12 leave it as it is, without a word.
    Updated,
    /// There is none. Should there be, the transaction fails with `EEXIST`.
    Absent,
    /// There is one, and it is deleted in the same transaction. Should it have ended, that fails with `ENOENT`.
    Replaced,
}

/// Writes bans in the set of `place`, one message for all of them, until there are no more or the buffer is this long;
/// how many were written. Those that stand take the new deadline, as with [`Standing::Updated`].
pub(super) fn bans(
    m: &mut Messages,
    (network, ports): Place<'_>,
    bans: impl Iterator<Item = (IpNet, Duration)>,
    length: usize,
) -> usize {
    let (shape, mut written) = (Shape::of(network), 0);
    message(m, kind::NEW_ELEMENT, CREATE, |m| {
        m.text(attr::NAME, format_args!("{}", SetName(shape, ports)));
        m.nested(attr::ELEMENTS, |m| {
            for (network, remaining) in bans {
                interval(m, network, |m| deadline(m, remaining));
                written += 1;
                if m.len() >= length {
                    break;
                }
            }
        });
    });
    written
}

/// Writes the ban of `network`.
pub(super) fn ban(m: &mut Messages, place: Place<'_>, remaining: Duration, standing: Standing) {
    let flags = match standing {
        Standing::Updated => CREATE,
        Standing::Absent => CREATE | EXCLUSIVE,
        Standing::Replaced => {
            unban(m, place);
            CREATE
        }
    };
    elements(m, kind::NEW_ELEMENT, flags, place, |m| deadline(m, remaining));
}

fn deadline(m: &mut Messages, remaining: Duration) {
    let remaining = remaining.clamp(TIMEOUT_MIN, TIMEOUT_MAX);
    let timeout = u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX);
    m.u64(attr::ELEMENT_TIMEOUT, timeout);
    // Without this, a ban renewed for just as long as before would keep its old deadline.
    m.u64(attr::ELEMENT_EXPIRATION, timeout);
}

/// Writes the end of the ban of `network`.
pub(super) fn unban(m: &mut Messages, place: Place<'_>) {
    elements(m, kind::DELETE_ELEMENT, 0, place, |_| ());
}

/// Asks for the ban of `network`: `ENOENT` when there is none.
pub(super) fn get(m: &mut Messages, (network, ports): Place<'_>) {
    question(m, kind::GET_ELEMENT, 0, |m| {
        m.text(attr::NAME, format_args!("{}", SetName(Shape::of(network), ports)));
        m.nested(attr::ELEMENTS, |m| element(m, network.network(), |_| ()));
    });
}

fn elements(
    m: &mut Messages,
    kind: u16,
    flags: u16,
    (network, ports): Place<'_>,
    details: impl FnOnce(&mut Messages),
) {
    let shape = Shape::of(network);
    message(m, kind, flags, |m| {
        m.text(attr::NAME, format_args!("{}", SetName(shape, ports)));
        m.nested(attr::ELEMENTS, |m| interval(m, network, details));
    });
}

/// An element; of an interval set two: its first address and the first after it. The highest has no end.
fn interval(m: &mut Messages, network: IpNet, details: impl FnOnce(&mut Messages)) {
    element(m, network.network(), details);
    if Shape::of(network).storage() == Storage::Intervals
        && let Some(end) = after(network)
    {
        element(m, end, |m| m.u32(attr::ELEMENT_FLAGS, ELEMENT_INTERVAL_END));
    }
}

fn after(network: IpNet) -> Option<IpAddr> {
    match network {
        IpNet::V4(v4) => Some(v4.broadcast().to_bits().checked_add(1)?.to_be_bytes().into()),
        IpNet::V6(v6) => Some(v6.broadcast().to_bits().checked_add(1)?.to_be_bytes().into()),
    }
}

fn element(m: &mut Messages, key: IpAddr, details: impl FnOnce(&mut Messages)) {
    m.nested(attr::LIST_ELEMENT, |m| {
        m.nested(attr::ELEMENT_KEY, |m| match key {
            IpAddr::V4(v4) => m.bytes(attr::DATA_VALUE, &v4.octets()),
            IpAddr::V6(v6) => m.bytes(attr::DATA_VALUE, &v6.octets()),
        });
        details(m);
    });
}
