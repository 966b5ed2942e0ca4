//! Campaigns: one account tried from many addresses, or one password tried on many accounts, each address below every
//! threshold. The rails that keep an attacker from turning it against others are in `docs/jails.md`, each with its test.

use std::time::Duration;

use logline::Timestamp;

use crate::engine::decide::{Offender, Weighed, is_temporary};
use crate::engine::explain::Reason;
use crate::engine::key::{address_hash, mark, short, wide_hash};
use crate::engine::table::Hit;
use crate::engine::window::Limits;
use crate::engine::{Engine, Output, What, millis};
use crate::event::Event;
use crate::fail2ban;
use crate::jail::{Group, Jail, Per};
use crate::subject::{Network, Subject};

/// A fingerprint has 16 bits: of so many guesses one meets another one's by chance. A campaign of a password must stand
/// out of that by this factor.
const FINGERPRINTS: usize = 65_536;
const ABOVE_CHANCE: usize = 8;

impl Engine {
    /// Counts an event in the groups of a campaign: different strangers at one account, or different accounts tried with
    /// one password. When there are too many, this one is banned, who is one of them; the next ones will be at once.
    pub(super) fn count_campaign(
        &mut self,
        index: usize,
        jail: &Jail,
        at: Timestamp,
        event: &Event<'_>,
        line: &mut Option<u32>,
        out: &mut Vec<Output>,
    ) {
        for group in &jail.campaign {
            let weighed = self.weigh_follower(index, jail, *group, at, event);
            let Some((subject, hits)) = self.add(index, jail, at, event, weighed, line) else { continue };
            if is_campaign(*group, &hits) {
                let evidence = self.lines(&hits);
                let offender = Offender { subject, least: Duration::ZERO, evidence };
                self.convict(index, jail, offender, at, out);
                return;
            }
        }
    }

    /// What an event counts in a group of a campaign, or why it does not.
    pub(super) fn weigh_follower(
        &self,
        index: usize,
        jail: &Jail,
        group: Group,
        at: Timestamp,
        event: &Event<'_>,
    ) -> Result<Weighed, Reason> {
        if !jail.counts(event.kind, event.field(fail2ban::foreign::FILTER)) {
            return Err(Reason::OtherKind);
        }
        if is_temporary(event) {
            return Err(Reason::Temporary);
        }
        let (Some(address), Some(user)) = (event.address, event.field("user")) else {
            return Err(Reason::Nobody);
        };
        let Some(common) = event.field(group.field()) else { return Err(Reason::Nobody) };
        let Per::Network { ipv4, ipv6 } = jail.per else { return Err(Reason::Nobody) };
        let (client, network) = (Network::around(address, 32, 64), Network::around(address, ipv4, ipv6));
        // Whoever has a good history is neither counted nor banned: no number of strangers at an account can make its
        // owner one of them.
        if self.known.owns(client, user, at) || self.known.is_at_home(client, user, at) {
            return Err(Reason::OwnAccount);
        }
        if self.known.credit(network, at).good {
            return Err(Reason::Known);
        }
        // What the owner himself mistyped, or an old telephone of his keeps sending, from wherever.
        let password = event.field("password");
        if password.is_some_and(|password| self.known.is_slip(user, password, at)) {
            return Err(Reason::OwnersPassword);
        }
        let subject = Subject::Network(network);
        if self.bans.is_banned(&subject, &jail.name, at) {
            return Err(Reason::Banned);
        }
        let (value, mark, times) = match group {
            // Where no fingerprint tells one old telephone in many places from many guessers, twice as many are needed.
            Group::User => {
                let fingerprint = password.map_or(0, |password| mark(self.seed, password));
                let times = if password.is_none() { 2.0 } else { 1.0 };
                (short(address_hash(self.seed, address)), fingerprint, times)
            }
            Group::Password => (
                mark(self.seed, user),
                short(address_hash(self.seed, address)),
                self.above_chance(index, jail),
            ),
        };
        let key = wide_hash(self.seed, &[group.field().as_bytes(), common]);
        let limits = Limits { first: self.threshold(jail, at), times, stays: true };
        let hit = Hit { at: millis(at), line: 0, weight: 1, value, mark };
        Ok(Weighed { key, subject, hit, limits, least: Duration::ZERO })
    }

    /// By how much more a campaign of a password must be, because so many guesses make some meet by chance.
    fn above_chance(&self, index: usize, jail: &Jail) -> f64 {
        let groups = self.counters.len_of((index, What::Offence));
        let expected = groups.saturating_mul(ABOVE_CHANCE) / FINGERPRINTS;
        let expected = u32::try_from(expected).unwrap_or(u32::MAX);
        1.0 + f64::from(expected) / f64::from(jail.threshold.max(1))
    }

    /// An owner's own mistake: that password is no guess, wherever it is typed next.
    pub(super) fn note_slip(&mut self, at: Timestamp, event: &Event<'_>) {
        if let (Some(user), Some(password)) = (event.field("user"), event.field("password")) {
            self.known.note_slip(user, password, at);
        }
    }
}

/// Whether the members of a group are a campaign, and not one old telephone that goes from network to network, or one
/// address that tries one password on many accounts, which other jails are for.
fn is_campaign(group: Group, hits: &[Hit]) -> bool {
    let mut marks: Vec<u32> = hits.iter().map(|hit| hit.mark).filter(|mark| *mark != 0).collect();
    marks.sort_unstable();
    marks.dedup();
    match group {
        Group::User => marks.len() != 1,
        Group::Password => marks.len() > 1,
    }
}
