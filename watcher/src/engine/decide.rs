//! From an event to a ban: what an event counts in a jail, when it is too much, and what is done then.

use std::net::IpAddr;
use std::time::Duration;

use logline::{Text, Timestamp};

use crate::engine::counters::{Limits, address_hash, distinct_value, hash, key_of, mark, short, wide_hash};
use crate::engine::explain::Reason;
use crate::engine::table::Hit;
use crate::engine::{Asked, Engine, Evidence, Lease, Output, SKEW_MAX, What, millis};
use crate::event::{Event, Kind};
use crate::jail::{Group, Jail, JailName, Mode, Per, SharedAction};
use crate::subject::{Network, Subject};

/// A fingerprint has 16 bits: of so many guesses one meets another one's by chance. A campaign of a password must stand
/// out of that by this factor.
const FINGERPRINTS: usize = 65_536;
const ABOVE_CHANCE: usize = 8;

/// What an event counts in a jail.
#[derive(Debug)]
pub(super) struct Weighed {
    /// Under which key.
    pub(super) key: u128,
    /// Whom it bans.
    pub(super) subject: Subject,
    pub(super) hit: Hit,
    pub(super) limits: Limits,
}

impl Engine {
    pub(super) fn event(&mut self, now: Timestamp, event: &Event<'_>, out: &mut Vec<Output>) {
        // A stamp from the future would keep a counter alive, and a ban going, for longer than the jail says.
        let at = if event.at > now + SKEW_MAX { now } else { event.at };
        self.known.note(at, event, self.saving);
        if self.book.concerns(event.kind) {
            let kept_out = event.address.is_some_and(|address| self.keeps_out(address, at));
            out.extend(self.book.note(at, event, kept_out).map(Output::Zone));
        }
        self.count_all(at, event, out);
        // The bans of this event are events themselves. A jail that counts bans makes none that count.
        while let Some((jail, subject)) = self.banned.pop() {
            self.count_ban(at, &jail, &subject, out);
        }
    }

    fn count_all(&mut self, at: Timestamp, event: &Event<'_>, out: &mut Vec<Output>) {
        let (jails, concerned) = (self.jails.clone(), std::sync::Arc::clone(&self.concerned));
        let mut line = None;
        for index in concerned.get(event.kind as usize).into_iter().flatten() {
            let Some(jail) = jails.get(*index) else { continue };
            if jail.forgive == Some(event.kind) {
                self.forgive(*index, jail, event);
            }
            if !jail.on.contains(&event.kind) {
                continue;
            }
            if jail.campaign.is_empty() {
                self.count(*index, jail, at, event, &mut line, out);
            } else {
                self.count_campaign(*index, jail, at, event, &mut line, out);
            }
        }
    }

    fn count(
        &mut self,
        index: usize,
        jail: &Jail,
        at: Timestamp,
        event: &Event<'_>,
        line: &mut Option<u32>,
        out: &mut Vec<Output>,
    ) {
        let weighed = match self.weigh(jail, at, event) {
            Ok(weighed) => weighed,
            Err(Reason::OwnAccount) => {
                self.note_slip(at, event);
                return;
            }
            Err(_) => return,
        };
        let Weighed { key, subject, mut hit, limits } = weighed;
        hit.line = *line.get_or_insert_with(|| self.evidence.keep(at, event.line));
        if let Some(hits) = self.counters.hit((index, What::Offence), key, hit, jail, limits) {
            let evidence = self.lines(&hits);
            self.convict(index, jail, subject, at, evidence, out);
        }
    }

    /// What an event counts in a jail, or why it does not. Pure: it is what `explain` tells.
    pub(super) fn weigh(&self, jail: &Jail, at: Timestamp, event: &Event<'_>) -> Result<Weighed, Reason> {
        if !jail.on.contains(&event.kind) {
            return Err(Reason::OtherKind);
        }
        if is_temporary(event) {
            return Err(Reason::Temporary);
        }
        if event.kind == Kind::DnsblListed && self.book.doubts(event) {
            return Err(Reason::DoubtfulListing);
        }
        let weight = jail.weight(event.kind, event.weight);
        if weight == 0 {
            return Err(Reason::NoWeight);
        }
        let Some((key, subject)) = self.whom(jail, event) else { return Err(Reason::Nobody) };
        let client = event.address.map(|address| Network::around(address, 32, 64));
        if jail.spare_owner
            && let (Some(client), Some(user)) = (client, event.field("user"))
            && self.known.owns(client, user, at)
        {
            return Err(Reason::OwnAccount);
        }
        // Lines of a session that was open when the ban fell still come in; they are part of the same offence.
        if self.bans.is_banned(&subject, &jail.name, at) || self.questions.is_asked(&subject, &jail.name) {
            return Err(Reason::Banned);
        }
        let value = jail.distinct.as_deref().map_or(0, |field| distinct_value(self.seed, field, event));
        // Several attempts of which nothing tells the one from the other count each; the same password again does not.
        let weight = if value == 0 { weight } else { jail.weight(event.kind, 1) };
        let mark = match event.field("user") {
            Some(user) if jail.forgive.is_some() => mark(self.seed, user),
            Some(_) | None => 0,
        };
        let weight = u8::try_from(weight).unwrap_or(u8::MAX);
        let patient = jail.patience > 1.0
            && client.or(subject.network()).is_some_and(|client| self.known.credit(client, at).good);
        let times = if patient { jail.patience } else { 1.0 };
        let limits = Limits { first: self.threshold(jail, at), times, stays: false };
        Ok(Weighed { key, subject, hit: Hit { at: millis(at), line: 0, weight, value, mark }, limits })
    }

    /// The key and the subject of an event in a jail; none where the event does not say.
    fn whom(&self, jail: &Jail, event: &Event<'_>) -> Option<(u128, Subject)> {
        Some(match jail.per {
            Per::Network { ipv4, ipv6 } => {
                let network = Network::around(event.address?, ipv4, ipv6);
                (key_of(network), Subject::Network(network))
            }
            Per::User => {
                let user = event.field("user")?;
                (user_key(self.seed, user), Subject::User(Text::from(user).readable().to_string()))
            }
            Per::UserAndAddress { ipv4, ipv6 } => {
                let network = Network::around(event.address?, ipv4, ipv6);
                let high = hash(self.seed, &[event.field("user")?]);
                let key = (u128::from(high) << 64) | u128::from(user_at_low(self.seed, network));
                (key, Subject::Network(network))
            }
        })
    }

    /// The threshold of a jail's first window, under the pressure of this time.
    pub(super) fn threshold(&self, jail: &Jail, at: Timestamp) -> u32 {
        let Some(pressure) = &jail.pressure else { return jail.threshold };
        let Some(least) = pressure.threshold else { return jail.threshold };
        let (usual, least) = (f64::from(jail.threshold), f64::from(least.min(jail.threshold)));
        let between = usual - (usual - least) * self.book.pressure(pressure.zone.as_deref(), at);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it lies between two thresholds, and both are u32"
        )]
        let threshold = between.round() as u32;
        threshold.max(1)
    }

    fn forgive(&mut self, index: usize, jail: &Jail, event: &Event<'_>) {
        let (Some((key, _)), Some(user)) = (self.whom(jail, event), event.field("user")) else { return };
        self.counters.forgive((index, What::Offence), key, mark(self.seed, user), jail);
    }

    /// Counts an event in the groups of a campaign: different strangers at one account, or different accounts tried with
    /// one password. When there are too many, this one is banned, who is one of them; the next ones will be at once.
    fn count_campaign(
        &mut self,
        index: usize,
        jail: &Jail,
        at: Timestamp,
        event: &Event<'_>,
        line: &mut Option<u32>,
        out: &mut Vec<Output>,
    ) {
        for group in &jail.campaign {
            let weighed = match self.weigh_follower(index, jail, *group, at, event) {
                Ok(weighed) => weighed,
                Err(Reason::OwnAccount) => {
                    self.note_slip(at, event);
                    continue;
                }
                Err(_) => continue,
            };
            let Weighed { key, subject, mut hit, limits } = weighed;
            hit.line = *line.get_or_insert_with(|| self.evidence.keep(at, event.line));
            let Some(hits) = self.counters.hit((index, What::Offence), key, hit, jail, limits) else {
                continue;
            };
            if is_campaign(*group, &hits) {
                let evidence = self.lines(&hits);
                self.convict(index, jail, subject, at, evidence, out);
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
        if !jail.on.contains(&event.kind) {
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
        Ok(Weighed { key, subject, hit: Hit { at: millis(at), line: 0, weight: 1, value, mark }, limits })
    }

    /// By how much more a campaign of a password must be, because so many guesses make some meet by chance.
    fn above_chance(&self, index: usize, jail: &Jail) -> f64 {
        let groups = self.counters.len_of((index, What::Offence));
        let expected = groups.saturating_mul(ABOVE_CHANCE) / FINGERPRINTS;
        let expected = u32::try_from(expected).unwrap_or(u32::MAX);
        1.0 + f64::from(expected) / f64::from(jail.threshold.max(1))
    }

    /// An owner's own mistake: that password is no guess, wherever it is typed next.
    fn note_slip(&mut self, at: Timestamp, event: &Event<'_>) {
        if let (Some(user), Some(password)) = (event.field("user"), event.field("password")) {
            self.known.note_slip(user, password, at);
        }
    }

    /// Somebody earned a ban: he is exempt, or the administrator is asked, or he is banned.
    fn convict(
        &mut self,
        index: usize,
        jail: &Jail,
        subject: Subject,
        at: Timestamp,
        evidence: Vec<Evidence>,
        out: &mut Vec<Output>,
    ) {
        let network = subject.network();
        if let Some(exemption) = network.and_then(|network| self.exemptions.cover(network, at)) {
            out.push(Output::Spared { subject, jail: jail.name.clone(), exemption });
            return;
        }
        let mut lease = self.lease(jail, &subject, at);
        let accounts = match (jail.shared.action, network) {
            (SharedAction::Ban, _) | (_, None) => 0,
            (SharedAction::Narrow | SharedAction::Ask, Some(network)) => {
                self.known.credit(network, at).accounts
            }
        };
        if accounts >= jail.shared.accounts {
            match jail.shared.action {
                SharedAction::Ban => {}
                SharedAction::Narrow => {
                    lease.until = lease.until.min(at + jail.shared.length);
                    lease.ports = jail.shared.ports.clone();
                    lease.reason = Some(format!("narrowed: {accounts} accounts log in from there"));
                }
                SharedAction::Ask => {
                    let asked = Asked { subject, lease, evidence, accounts };
                    self.questions.ask(asked.clone(), self.saving);
                    out.push(Output::Asked(asked));
                    return;
                }
            }
        }
        let counts = lease.mode == Mode::Enforce && !jail.on.contains(&Kind::Ban);
        if counts && network.is_some() {
            self.banned.push((jail.name.clone(), subject.clone()));
        }
        self.bans.add(subject, lease, evidence, out);
        if let Some(network) = network {
            self.roll_up(index, jail, network, at, out);
        }
    }

    fn lease(&self, jail: &Jail, subject: &Subject, at: Timestamp) -> Lease {
        let before = self.bans.before(subject, jail, at);
        let mut length = jail.ban.length(before);
        if let Some(pressure) = &jail.pressure {
            let share = self.book.pressure(pressure.zone.as_deref(), at);
            length = jail.ban.lengthened(length, 1.0 + (pressure.longer - 1.0) * share);
        }
        if !jail.ban.spread.is_zero() {
            length += spread(jail, subject, at);
        }
        Lease {
            jail: jail.name.clone(),
            mode: jail.mode,
            from: at,
            until: at + length,
            before,
            ports: jail.ban.ports.clone(),
            reason: None,
        }
    }

    /// A member of a network was banned: with enough others, the network is. Nobody who is known may be in it.
    fn roll_up(&mut self, index: usize, jail: &Jail, member: Network, at: Timestamp, out: &mut Vec<Output>) {
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
        self.convict(index, jail, subject, at, evidence, out);
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

    /// A ban as an event, for the jails that count bans.
    fn count_ban(&mut self, at: Timestamp, jail: &JailName, subject: &Subject, out: &mut Vec<Output>) {
        let (kind, Some(network)) = (Kind::Ban, subject.network()) else { return };
        let text = format!("banned {network}: {jail}");
        let event = Event {
            kind,
            at,
            address: Some(network.net().addr()),
            weight: 1,
            fields: vec![("jail", Text::from(jail.as_bytes()))],
            line: text.as_bytes(),
        };
        self.count_all(at, &event, out);
    }

    fn lines(&self, hits: &[Hit]) -> Vec<Evidence> {
        hits.iter().filter_map(|hit| self.evidence.get(hit.line, hit.at)).collect()
    }
}

/// A part of the jail's `spread`, the same for the same ban in every run.
fn spread(jail: &Jail, subject: &Subject, at: Timestamp) -> Duration {
    let hash = hash(0, &[jail.name.as_bytes(), subject.to_string().as_bytes(), &at.nanos().to_be_bytes()]);
    jail.ban.spread.mul_f64(f64::from(short(hash)) / f64::from(u32::MAX))
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

/// Whether the client is told to come again: a temporary failure, or a greylist, is nobody's offence.
fn is_temporary(event: &Event<'_>) -> bool {
    match event.kind {
        Kind::AuthFailed
        | Kind::HeloBad
        | Kind::RelayDenied
        | Kind::SenderRejected
        | Kind::RcptUnknown
        | Kind::RcptRejected
        | Kind::SpfFail
        | Kind::DkimFail
        | Kind::DmarcFail
        | Kind::MessageRejected => event.field("code").is_some_and(|code| code.starts_with(b"4")),
        Kind::Deferred | Kind::DnsblError => true,
        Kind::Connect
        | Kind::Disconnect
        | Kind::Pregreet
        | Kind::AuthOk
        | Kind::RcptOk
        | Kind::DnsblQuery
        | Kind::DnsblListed
        | Kind::UriListed
        | Kind::Spam
        | Kind::Virus
        | Kind::ProtocolError
        | Kind::LimitExceeded
        | Kind::TlsFailed
        | Kind::MessageAccepted
        | Kind::Delivered
        | Kind::Bounced
        | Kind::Ban
        | Kind::Unban
        | Kind::Failure => false,
    }
}

/// The key of an account.
pub(super) fn user_key(seed: u64, user: &[u8]) -> u128 {
    wide_hash(seed, &[user])
}

/// The half of a key that stands for the network, where an account from a network is counted.
pub(super) fn user_at_low(seed: u64, network: Network) -> u64 {
    let bits: u8 = network.net().prefix_len();
    let address: IpAddr = network.net().addr();
    hash(seed, &[&key_of(Network::host(address)).to_be_bytes(), &[bits]])
}
