//! Roll-up: a network is banned for its members.

use std::time::Duration;

use logline::Timestamp;

use crate::engine::decide::Offender;
use crate::engine::key::{hash, key_of, short};
use crate::engine::table::Hit;
use crate::engine::window::Limits;
use crate::engine::{Engine, Output, What, millis};
use crate::jail::Jail;
use crate::subject::{Network, Subject};

impl Engine {
    /// A member of a network was banned: with enough others, the network is. Nobody who is known may be in it.
    pub(super) fn roll_up(
        &mut self,
        index: usize,
        jail: &Jail,
        member: Network,
        at: Timestamp,
        out: &mut Vec<Output>,
    ) {
        let Some(bits) = self.wider(jail, member, at) else { return };
        let network = Network::around(member.net().addr(), bits, bits);
        let key = key_of(network) | if member.net().addr().is_ipv6() { u128::from(bits) } else { 0 };
        let value = short(hash(self.seed, &[member.to_string().as_bytes()]));
        let line = format!("banned {member}: {}", jail.name);
        let line = self.evidence.keep(at, line.as_bytes());
        let hit = Hit { at: millis(at), line, weight: 1, value, mark: 0 };
        let limits = Limits { first: jail.rollup.members, times: 1.0, stays: false };
        let Some(hits) = self.counters.hit((index, What::Member), key, hit, jail, limits) else { return };
        let subject = Subject::Network(network);
        if self.known.credit(network, at).good || self.bans.is_banned(&subject, &jail.name, at) {
            return;
        }
        let evidence = self.lines(&hits);
        self.convict(index, jail, Offender { subject, least: Duration::ZERO, evidence }, at, out);
    }

    /// The next wider network that a jail bans for its members, if it does.
    fn wider(&self, jail: &Jail, member: Network, at: Timestamp) -> Option<u8> {
        if jail.rollup.members < 2 {
            return None;
        }
        let prefix = member.net().prefix_len();
        if member.net().addr().is_ipv6() {
            return jail.rollup.ipv6.iter().copied().find(|bits| *bits < prefix);
        }
        let pressed = || {
            let pressure = jail.pressure.as_ref()?;
            let (from, bits) = pressure.rollup?;
            (self.book.pressure(pressure.zone.as_deref(), at) >= from).then_some(bits)
        };
        jail.rollup.ipv4.or_else(pressed).filter(|bits| *bits < prefix)
    }
}
