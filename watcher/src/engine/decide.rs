//! From an event to a ban: what an event counts in a jail, when it is too much, and what is done then.

use std::sync::Arc;
use std::time::Duration;

use logline::{Text, Timestamp};

use crate::engine::explain::Reason;
use crate::engine::key::{distinct_value, hash, key_of, mark, short, user_at_low, user_key};
use crate::engine::table::Hit;
use crate::engine::window::Limits;
use crate::engine::{Asked, Engine, Evidence, Lease, Output, SKEW_MAX, Terms, What, millis};
use crate::event::{Event, Kind};
use crate::fail2ban;
use crate::jail::{Jail, JailName, Mode, Per, SharedAction};
use crate::quota::is_certain;
use crate::subject::{Network, Subject};

/// What an event counts in a jail.
#[derive(Debug)]
pub(super) struct Weighed {
    /// Under which key.
    pub(super) key: u128,
    /// Whom it bans.
    pub(super) subject: Subject,
    pub(super) hit: Hit,
    pub(super) limits: Limits,
    /// How long a ban for it is at least.
    pub(super) least: Duration,
}

/// Somebody who earned a ban, and by what.
#[derive(Debug)]
pub(super) struct Offender {
    pub(super) subject: Subject,
    /// How long the ban is at least.
    pub(super) least: Duration,
    pub(super) evidence: Vec<Evidence>,
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
        let (jails, concerned) = (self.jails.clone(), Arc::clone(&self.concerned));
        let mut line = None;
        for index in concerned.get(event.kind as usize).into_iter().flatten() {
            let Some(jail) = jails.get(*index) else { continue };
            if jail.forgive == Some(event.kind) {
                self.forgive(*index, jail, event);
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
        let weighed = self.weigh(jail, at, event);
        let least = weighed.as_ref().map_or(Duration::ZERO, |weighed| weighed.least);
        if let Some((subject, hits)) = self.add(index, jail, at, event, weighed, line) {
            let evidence = self.lines(&hits);
            self.convict(index, jail, Offender { subject, least, evidence }, at, out);
        }
    }

    /// Adds what an event was found to count, with its line, which is kept once for all jails; gives whose record is too
    /// long with it.
    pub(super) fn add(
        &mut self,
        index: usize,
        jail: &Jail,
        at: Timestamp,
        event: &Event<'_>,
        weighed: Result<Weighed, Reason>,
        line: &mut Option<u32>,
    ) -> Option<(Subject, Vec<Hit>)> {
        if let Err(Reason::OwnAccount) = weighed {
            self.note_slip(at, event);
        }
        let Weighed { key, subject, mut hit, limits, .. } = weighed.ok()?;
        if let Some(counted) = self.offences.get_mut(index) {
            *counted += 1;
        }
        hit.line = *line.get_or_insert_with(|| self.evidence.keep(at, event.line));
        let hits = self.counters.hit((index, What::Offence), key, hit, jail, limits)?;
        Some((subject, hits))
    }

    /// What an event counts in a jail, or why it does not. Pure: it is what `explain` tells.
    pub(super) fn weigh(&self, jail: &Jail, at: Timestamp, event: &Event<'_>) -> Result<Weighed, Reason> {
        if !jail.counts(event.kind, event.field(fail2ban::foreign::FILTER)) {
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
        let hit = Hit { at: millis(at), line: 0, weight, value, mark };
        let may_be_spared = jail.patience > 1.0 || jail.certain.is_some();
        let whose = client.or(subject.network()).filter(|_| may_be_spared);
        let is_good = whose.is_some_and(|client| self.known.credit(client, at).good);
        let times = if is_good { jail.patience } else { 1.0 };
        let usual = Limits { first: self.threshold(jail, at), times, stays: false };
        let certain = jail.certain.as_ref().filter(|_| event.kind == Kind::DnsblListed && !is_good);
        let (limits, least) = match certain.filter(|certain| is_certain(certain, event)) {
            Some(certain) => (Limits { first: 1, ..usual }, certain.length),
            None => (usual, Duration::ZERO),
        };
        Ok(Weighed { key, subject, hit, limits, least })
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
                (user_key(self.seed, user), Subject::User(Text::from(user).readable().to_string().into()))
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

    /// Somebody earned a ban: he is exempt, or the administrator is asked, or he is banned.
    pub(super) fn convict(
        &mut self,
        index: usize,
        jail: &Jail,
        offender: Offender,
        at: Timestamp,
        out: &mut Vec<Output>,
    ) {
        let Offender { subject, least, evidence } = offender;
        let network = subject.network();
        if let Some(exemption) = network.and_then(|network| self.exemptions.cover(network, at)) {
            out.push(Output::Spared { subject, jail: jail.name.clone(), exemption });
            return;
        }
        let mut lease = self.lease(index, jail, &subject, at);
        lease.until = lease.until.max(at + least);
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
                    let reason = format!("narrowed: {accounts} accounts log in from there");
                    let (ports, reason) = (jail.shared.ports.clone(), Some(reason));
                    lease.terms = Terms { ports, reason, ..Terms::clone(&lease.terms) }.into();
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

    fn lease(&self, index: usize, jail: &Jail, subject: &Subject, at: Timestamp) -> Lease {
        let before = self.bans.before(subject, jail, at);
        let mut length = jail.ban.length(before);
        if let Some(pressure) = &jail.pressure {
            let share = self.book.pressure(pressure.zone.as_deref(), at);
            length = jail.ban.lengthened(length, 1.0 + (pressure.longer - 1.0) * share);
        }
        if !jail.ban.spread.is_zero() {
            length += spread(jail, subject, at);
        }
        let terms = self.terms.get(index).map_or_else(|| Terms::of(jail).into(), Arc::clone);
        Lease { from: at, until: at + length, terms, before }
    }

    /// A ban as an event, for the jails that count bans.
    fn count_ban(&mut self, at: Timestamp, jail: &JailName, subject: &Subject, out: &mut Vec<Output>) {
        let (kind, Some(network)) = (Kind::Ban, subject.network()) else { return };
        if self.concerned.get(kind as usize).is_none_or(Vec::is_empty) {
            return;
        }
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

    pub(super) fn lines(&self, hits: &[Hit]) -> Vec<Evidence> {
        hits.iter().filter_map(|hit| self.evidence.get(hit.line, hit.at)).collect()
    }
}

/// A part of the jail's `spread`, the same for the same ban in every run.
fn spread(jail: &Jail, subject: &Subject, at: Timestamp) -> Duration {
    let hash = hash(0, &[jail.name.as_bytes(), subject.to_string().as_bytes(), &at.nanos().to_be_bytes()]);
    jail.ban.spread.mul_f64(f64::from(short(hash)) / f64::from(u32::MAX))
}

/// Whether the client is told to come again: a temporary failure, or a greylist, is nobody's offence.
pub(super) fn is_temporary(event: &Event<'_>) -> bool {
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
