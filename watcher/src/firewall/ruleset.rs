//! Our table in the words of nf_tables: pure functions that write netlink messages, and read what the kernel lists.
//!
//! ```text
//! table inet postern {
//!     chain input { type filter hook input priority raw; jump drop_all; tcp dport { 25, 465 } jump drop_tcp_25_465 }
//!     chain drop_all { ip saddr @ip4_32_all counter name dropped4_all drop; … }
//!     …
//! }
//! ```
//!
//! With devices to look at early there is a second base chain, `ingress`, with the same jumps.
//!
//! Rules can be made anew at any time, in one transaction and so without a gap; what must outlive that stands apart:
//! bans in the sets, and the counts in counters that have names.

use std::collections::BTreeSet;
use std::fmt;

use super::layout::{ChainName, CounterName, Family, Layout, Scope, SetName, Shape, Storage};
use super::netlink::{Answer, CREATE, DUMP, Messages};
use super::nft::{attr, attributes, kind, message, ours, question};
use super::{Manner, Ports, Treatment};

/// Stands in the table as its comment; a table with another is replaced.
const LAYOUT_COMMENT: &str = "postern layout 1";
const INPUT_CHAIN: &str = "input";
const INGRESS_CHAIN: &str = "ingress";
/// How many addresses one set may hold, so that nothing can make the kernel's memory grow without limit: 90 to 128
/// bytes each.
pub const ADDRESSES_MAX: u32 = 2_000_000;
/// How many networks one interval set may hold. Each change of such a set costs the kernel time proportional to its
/// size, hence less.
const INTERVAL_ELEMENTS_MAX: u32 = 200_000;
/// How often the kernel looks through a set for what is over, in milliseconds; by itself it would each second. That takes
/// 65 ms of a million elements, and whoever asks for a ban meanwhile waits. What is over bans nobody before, either.
const SWEEP_INTERVAL_MS: u32 = 60_000;
/// `raw`: before connection tracking, so that established connections are cut as well.
const PRIORITY: i32 = -300;
const SET_ANONYMOUS: u32 = 0x1;
const SET_CONSTANT: u32 = 0x2;
const SET_INTERVAL: u32 = 0x4;
const SET_TIMEOUT: u32 = 0x10;
const OBJECT_COUNTER: u32 = 1;
/// `nft`'s numbers for types of data: the kernel keeps them for whoever lists a set.
const TYPE_IPV4: u32 = 7;
const TYPE_IPV6: u32 = 8;
const TYPE_SERVICE: u32 = 13;

/// Writes the removal of our table, be it there or not.
pub(super) fn delete_table(m: &mut Messages) {
    message(m, kind::NEW_TABLE, CREATE, |_| ());
    message(m, kind::DELETE_TABLE, 0, |_| ());
}

/// Writes table, chains, rules, and of sets and counters those that are missing, so that the table has this `layout`.
pub(super) fn lay(m: &mut Messages, layout: &Layout, counters: &BTreeSet<String>, manner: &Manner) {
    message(m, kind::NEW_TABLE, CREATE, |m| {
        m.u32(attr::TABLE_FLAGS, 0);
        m.bytes(attr::TABLE_USERDATA, &comment(manner));
    });
    for scope in layout.scopes() {
        scope.shapes.iter().for_each(|shape| set(m, *shape, &scope.ports));
        for family in [Family::V4, Family::V6] {
            let name = CounterName(family, &scope.ports).to_string();
            if !counters.contains(&name) {
                counter(m, &name);
            }
        }
        chain(m, format_args!("{}", ChainName(&scope.ports)), |_| ());
    }
    const LOCAL_IN: u32 = 1;
    const INGRESS: u32 = 5;
    let mut bases = vec![INPUT_CHAIN];
    base_chain(m, INPUT_CHAIN, LOCAL_IN, &[]);
    if !manner.ingress.is_empty() {
        bases.push(INGRESS_CHAIN);
        base_chain(m, INGRESS_CHAIN, INGRESS, &manner.ingress);
    }
    // No chain is named: all rules of the table. They are put back below, and a packet sees the old or the new ones.
    message(m, kind::DELETE_RULE, 0, |_| ());
    let mut ids = 1..;
    for scope in layout.scopes() {
        scope.shapes.iter().for_each(|shape| drop_rule(m, *shape, &scope.ports, manner.treatment));
        for (base, id) in bases.iter().zip(&mut ids) {
            jump_rule(m, base, scope, id);
        }
    }
}

/// A chain that packets come to by themselves: here, or from these devices.
fn base_chain(m: &mut Messages, name: &str, hook: u32, devices: &[String]) {
    chain(m, format_args!("{name}"), |m| {
        m.nested(attr::CHAIN_HOOK, |m| {
            m.u32(attr::HOOK_NUMBER, hook);
            m.bytes(attr::HOOK_PRIORITY, &PRIORITY.to_be_bytes());
            if !devices.is_empty() {
                m.nested(attr::HOOK_DEVICES, |m| {
                    devices.iter().for_each(|name| m.text(attr::DEVICE_NAME, format_args!("{name}")));
                });
            }
        });
        const ACCEPT: u32 = 1;
        m.u32(attr::CHAIN_POLICY, ACCEPT);
        m.text(attr::CHAIN_TYPE, format_args!("filter"));
    });
}

/// A comment as `nft` stores and shows it: type, length, text. The devices stand in it, since a chain cannot change its
/// own.
fn comment(manner: &Manner) -> Vec<u8> {
    const COMMENT: u8 = 0;
    let devices = manner.ingress.iter().fold(String::new(), |all, name| format!("{all} {name}"));
    let text = if devices.is_empty() {
        LAYOUT_COMMENT.to_owned()
    } else {
        format!("{LAYOUT_COMMENT}, ingress{devices}")
    };
    let text = text.as_bytes();
    let length = u8::try_from(text.len() + 1).unwrap_or(u8::MAX);
    [&[COMMENT, length], text, &[0]].concat()
}

fn chain(m: &mut Messages, name: fmt::Arguments<'_>, base: impl FnOnce(&mut Messages)) {
    message(m, kind::NEW_CHAIN, CREATE, |m| {
        m.text(attr::CHAIN_NAME, name);
        base(m);
    });
}

fn counter(m: &mut Messages, name: &str) {
    message(m, kind::NEW_OBJECT, CREATE, |m| {
        m.text(attr::NAME, format_args!("{name}"));
        m.u32(attr::OBJECT_TYPE, OBJECT_COUNTER);
        m.nested(attr::OBJECT_DATA, |_| ());
    });
}

/// How many networks of this shape may be banned from the same ports.
pub(super) fn elements_max(shape: Shape) -> u32 {
    match shape.storage() {
        Storage::Addresses | Storage::Masked => ADDRESSES_MAX,
        Storage::Intervals => INTERVAL_ELEMENTS_MAX,
    }
}

fn set(m: &mut Messages, shape: Shape, ports: &Ports) {
    let (flags, size) = match shape.storage() {
        Storage::Addresses | Storage::Masked => (SET_TIMEOUT, elements_max(shape)),
        // The end of an interval is an element too.
        Storage::Intervals => (SET_TIMEOUT | SET_INTERVAL, 2 * elements_max(shape)),
    };
    let key = match shape.family() {
        Family::V4 => TYPE_IPV4,
        Family::V6 => TYPE_IPV6,
    };
    message(m, kind::NEW_SET, CREATE, |m| {
        m.text(attr::NAME, format_args!("{}", SetName(shape, ports)));
        m.u32(attr::SET_FLAGS, flags);
        m.u32(attr::SET_KEY_TYPE, key);
        m.u32(attr::SET_KEY_LENGTH, shape.family().address_bytes());
        m.nested(attr::SET_DESCRIPTION, |m| m.u32(attr::DESCRIPTION_SIZE, size));
        m.u32(attr::SET_ID, 0);
        m.u32(attr::SET_SWEEP_INTERVAL, SWEEP_INTERVAL_MS);
    });
}

/// `ip saddr @SET counter name NAME drop`, or `reject` at its end, in the chain of the scope.
fn drop_rule(m: &mut Messages, shape: Shape, ports: &Ports, treatment: Treatment) {
    const NFPROTO: u32 = 15;
    let (nfproto, source_offset) = match shape.family() {
        Family::V4 => (2, 12),
        Family::V6 => (10, 8),
    };
    let length = shape.family().address_bytes();
    rule(m, format_args!("{}", ChainName(ports)), |m| {
        expression(m, "meta", |m| meta(m, NFPROTO));
        expression(m, "cmp", |m| compare(m, nfproto));
        expression(m, "payload", |m| payload(m, NETWORK_HEADER, source_offset, length));
        if shape.storage() == Storage::Masked {
            expression(m, "bitwise", |m| mask(m, u128::MAX << 64));
        }
        expression(m, "lookup", |m| {
            m.text(1, format_args!("{}", SetName(shape, ports)));
            m.u32(2, REGISTER);
        });
        expression(m, "objref", |m| {
            m.u32(1, OBJECT_COUNTER);
            m.text(2, format_args!("{}", CounterName(shape.family(), ports)));
        });
        match treatment {
            Treatment::Drop => expression(m, "immediate", |m| {
                const DROP: u32 = 0;
                verdict(m, |m| m.u32(1, DROP));
            }),
            // What both families call port unreachable: to TCP it means that nobody listens.
            Treatment::Reject => expression(m, "reject", |m| {
                const EITHER_FAMILY: u32 = 2;
                const PORT_UNREACHABLE: u8 = 1;
                m.u32(attr::REJECT_TYPE, EITHER_FAMILY);
                m.bytes(attr::REJECT_CODE, &[PORT_UNREACHABLE]);
            }),
        }
    });
}

/// `tcp dport { … } jump drop_…` in a base chain, or `jump drop_all`. The set without a name that holds the ports
/// is known by its `id` in this transaction.
fn jump_rule(m: &mut Messages, base: &str, scope: &Scope, id: u32) {
    const L4PROTO: u32 = 16;
    const TCP: u8 = 6;
    if let Ports::Tcp(ports) = &scope.ports {
        port_set(m, ports, id);
    }
    rule(m, format_args!("{base}"), |m| {
        if let Ports::Tcp(_) = scope.ports {
            expression(m, "meta", |m| meta(m, L4PROTO));
            expression(m, "cmp", |m| compare(m, TCP));
            expression(m, "payload", |m| payload(m, TRANSPORT_HEADER, 2, 2));
            expression(m, "lookup", |m| {
                m.text(1, format_args!("__set%d"));
                m.u32(2, REGISTER);
                m.u32(4, id);
            });
        }
        expression(m, "immediate", |m| {
            const JUMP: i32 = -3;
            verdict(m, |m| {
                m.bytes(1, &JUMP.to_be_bytes());
                m.text(2, format_args!("{}", ChainName(&scope.ports)));
            });
        });
    });
}

fn port_set(m: &mut Messages, ports: &BTreeSet<u16>, id: u32) {
    message(m, kind::NEW_SET, CREATE, |m| {
        m.text(attr::NAME, format_args!("__set%d"));
        m.u32(attr::SET_FLAGS, SET_ANONYMOUS | SET_CONSTANT);
        m.u32(attr::SET_KEY_TYPE, TYPE_SERVICE);
        m.u32(attr::SET_KEY_LENGTH, 2);
        m.u32(attr::SET_ID, id);
    });
    message(m, kind::NEW_ELEMENT, CREATE, |m| {
        m.text(attr::NAME, format_args!("__set%d"));
        m.u32(attr::ELEMENTS_SET_ID, id);
        m.nested(attr::ELEMENTS, |m| {
            for port in ports {
                m.nested(attr::LIST_ELEMENT, |m| {
                    m.nested(attr::ELEMENT_KEY, |m| m.bytes(attr::DATA_VALUE, &port.to_be_bytes()));
                });
            }
        });
    });
}

fn rule(m: &mut Messages, chain: fmt::Arguments<'_>, expressions: impl FnOnce(&mut Messages)) {
    const APPEND: u16 = 0x800;
    message(m, kind::NEW_RULE, CREATE | APPEND, |m| {
        m.text(attr::RULE_CHAIN, chain);
        m.nested(attr::RULE_EXPRESSIONS, expressions);
    });
}

fn expression(m: &mut Messages, name: &str, data: impl FnOnce(&mut Messages)) {
    m.nested(attr::LIST_ELEMENT, |m| {
        m.text(attr::EXPRESSION_NAME, format_args!("{name}"));
        m.nested(attr::EXPRESSION_DATA, data);
    });
}

// The attributes of an expression are numbered as its operands stand in the kernel's header, from 1.

/// The one register that our rules need.
const REGISTER: u32 = 1;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;

fn meta(m: &mut Messages, key: u32) {
    m.u32(1, REGISTER);
    m.u32(2, key);
}

fn compare(m: &mut Messages, equal_to: u8) {
    const EQUAL: u32 = 0;
    m.u32(1, REGISTER);
    m.u32(2, EQUAL);
    m.nested(3, |m| m.bytes(attr::DATA_VALUE, &[equal_to]));
}

fn payload(m: &mut Messages, base: u32, offset: u32, length: u32) {
    [REGISTER, base, offset, length].into_iter().zip(1..).for_each(|(value, kind)| m.u32(kind, value));
}

fn mask(m: &mut Messages, mask: u128) {
    [REGISTER, REGISTER, 16].into_iter().zip(1..).for_each(|(value, kind)| m.u32(kind, value));
    m.nested(4, |m| m.bytes(attr::DATA_VALUE, &mask.to_be_bytes()));
    m.nested(5, |m| m.bytes(attr::DATA_VALUE, &[0; 16]));
}

fn verdict(m: &mut Messages, body: impl FnOnce(&mut Messages)) {
    const VERDICT_REGISTER: u32 = 0;
    m.u32(1, VERDICT_REGISTER);
    m.nested(2, |m| m.nested(attr::DATA_VERDICT, body));
}

/// Asks for our table.
pub(super) fn get_table(m: &mut Messages) {
    question(m, kind::GET_TABLE, 0, |_| ());
}

/// Asks for the names of our sets; their elements are not read.
pub(super) fn list_sets(m: &mut Messages) {
    question(m, kind::GET_SET, DUMP, |_| ());
}

/// Asks for our counters.
pub(super) fn list_counters(m: &mut Messages) {
    question(m, kind::GET_OBJECT, DUMP, |m| m.u32(attr::OBJECT_TYPE, OBJECT_COUNTER));
}

/// True for the answer that shows our table in the layout that [`lay`] writes.
pub(super) fn is_our_layout(answer: &Answer<'_>, manner: &Manner) -> bool {
    attributes(answer).find(attr::TABLE_USERDATA) == Some(&comment(manner))
}

/// The set's or counter's name in an answer of a list.
pub(super) fn listed_name<'a>(answer: &Answer<'a>) -> Option<&'a str> {
    ours(answer).then(|| attributes(answer).text(attr::NAME))?
}

/// A counter in an answer of a list: name, packets, bytes.
pub(super) fn listed_counter<'a>(answer: &Answer<'a>) -> Option<(&'a str, u64, u64)> {
    let data = attributes(answer).inside(attr::OBJECT_DATA)?;
    Some((listed_name(answer)?, data.u64(attr::COUNTER_PACKETS)?, data.u64(attr::COUNTER_BYTES)?))
}

/// True for an event that says that something of our table was taken away.
pub(super) fn takes_away(event: &Answer<'_>) -> bool {
    use kind::{DELETE_CHAIN, DELETE_ELEMENT, DELETE_OBJECT, DELETE_RULE, DELETE_SET, DELETE_TABLE};
    matches!(
        event.kind,
        DELETE_TABLE | DELETE_CHAIN | DELETE_RULE | DELETE_SET | DELETE_ELEMENT | DELETE_OBJECT
    ) && ours(event)
}
