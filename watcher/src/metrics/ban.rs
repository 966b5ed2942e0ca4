//! What is said of bans.

use prometheus::{Histogram, IntCounterVec, IntGauge, IntGaugeVec};

use super::family::{self, Maker};
use super::raise;
use crate::engine::{End, InForce, Output};
use crate::firewall::ADDRESSES_MAX;
use crate::jail::{MANUAL, Mode};

/// The series of bans and of jails.
#[derive(Debug)]
pub struct Bans {
    made: IntCounterVec,
    repeated: IntCounterVec,
    active: IntGauge,
    active_by_jail: IntGaugeVec,
    jails: IntGaugeVec,
    elements: IntGaugeVec,
    length: Histogram,
    ended: IntCounterVec,
    spared: IntCounterVec,
    asked: IntCounterVec,
    offences: IntCounterVec,
    counted: IntGauge,
    counted_limit: IntGauge,
}

/// Ban lengths: from a minute to four months, in steps of two.
const LENGTH: (f64, f64, usize) = (60.0, 2.0, 18);

/// What is banned, as a label has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AddressFamily {
    /// An address or a network of IPv4.
    Ipv4,
    /// An address or a network of IPv6.
    Ipv6,
    /// An account.
    Other,
}

impl AddressFamily {
    /// All of them.
    pub const ALL: &'static [AddressFamily] =
        &[AddressFamily::Ipv4, AddressFamily::Ipv6, AddressFamily::Other];

    /// The name as a label has it.
    pub const fn name(self) -> &'static str {
        match self {
            AddressFamily::Ipv4 => "ipv4",
            AddressFamily::Ipv6 => "ipv6",
            AddressFamily::Other => "other",
        }
    }
}

const fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce",
        Mode::Watch => "watch",
    }
}

const fn end_name(end: End) -> &'static str {
    match end {
        End::Expired => "expired",
        End::Lifted => "lifted",
        End::Exempted => "exempted",
    }
}

impl Bans {
    pub(super) fn new(maker: &Maker) -> Self {
        let bans = Bans {
            made: maker.counters(family::BANS),
            repeated: maker.counters(family::REPEAT_BANS),
            active: maker.gauge(family::BANS_ACTIVE),
            active_by_jail: maker.gauges(family::JAIL_BANS_ACTIVE),
            jails: maker.gauges(family::JAIL_INFO),
            elements: maker.gauges(family::SET_ELEMENTS),
            length: maker.histogram(family::BAN_LENGTH, LENGTH.0, LENGTH.1, LENGTH.2),
            ended: maker.counters(family::UNBANS),
            spared: maker.counters(family::SPARED),
            asked: maker.counters(family::ASKED),
            offences: maker.counters(family::OFFENCES),
            counted: maker.gauge(family::COUNTED),
            counted_limit: maker.gauge(family::COUNTED_LIMIT),
        };
        for end in [End::Expired, End::Lifted, End::Exempted] {
            bans.ended.with_label_values(&[end_name(end)]);
        }
        let limits = maker.gauges(family::SET_LIMIT);
        for family in [AddressFamily::Ipv4, AddressFamily::Ipv6] {
            bans.elements.with_label_values(&[family.name()]);
            limits.with_label_values(&[family.name()]).set(i64::from(ADDRESSES_MAX));
        }
        bans.prepare_jail(MANUAL, Mode::Enforce);
        bans
    }

    /// Gives a jail's series their zero.
    pub fn prepare_jail(&self, jail: &str, mode: Mode) {
        for series in self.by_jail() {
            series.with_label_values(&[jail]);
        }
        for family in AddressFamily::ALL {
            self.active_by_jail.with_label_values(&[jail, family.name()]);
        }
        self.jails.with_label_values(&[jail, mode_name(mode)]).set(1);
    }

    /// Forgets a jail that is in use no more.
    pub fn forget_jail(&self, jail: &str) {
        // A jail that was never prepared has none.
        for series in self.by_jail() {
            let _ = series.remove_label_values(&[jail]);
        }
        for family in AddressFamily::ALL {
            let _ = self.active_by_jail.remove_label_values(&[jail, family.name()]);
        }
        for mode in [Mode::Enforce, Mode::Watch] {
            let _ = self.jails.remove_label_values(&[jail, mode_name(mode)]);
        }
    }

    /// Counts what the engine says.
    pub fn note(&self, output: &Output) {
        match output {
            Output::Banned(ban) => {
                let jail = &[&*ban.lease.jail];
                self.made.with_label_values(jail).inc();
                if ban.lease.before > 0 {
                    self.repeated.with_label_values(jail).inc();
                }
                self.length.observe(ban.lease.until.since(ban.lease.from).as_secs_f64());
            }
            Output::Ended { why, .. } => self.ended.with_label_values(&[end_name(*why)]).inc(),
            Output::Spared { jail, .. } => self.spared.with_label_values(&[jail]).inc(),
            Output::Asked(asked) => self.asked.with_label_values(&[&*asked.lease.jail]).inc(),
            Output::Enforce { .. }
            | Output::Admit { .. }
            | Output::Allowed { .. }
            | Output::Disallowed { .. }
            | Output::Zone(_) => {}
        }
    }

    /// The bans in force, by jail, and the jails in use. One whose jail is no longer in use counts in the sum
    /// alone.
    pub fn set_active<'b>(&self, bans: &[InForce], jails: impl Iterator<Item = &'b str>) {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let of = |row: &InForce, family| match family {
            AddressFamily::Ipv4 => row.ipv4,
            AddressFamily::Ipv6 => row.ipv6,
            AddressFamily::Other => row.accounts,
        };
        self.active.set(gauge(bans.iter().map(InForce::total).sum()));
        for jail in jails.chain([MANUAL]) {
            for family in AddressFamily::ALL {
                let own = bans.iter().filter(|row| *row.jail == *jail);
                let count = own.map(|row| of(row, *family)).sum();
                self.active_by_jail.with_label_values(&[jail, family.name()]).set(gauge(count));
            }
        }
        for family in [AddressFamily::Ipv4, AddressFamily::Ipv6] {
            let enforced = bans.iter().filter(|row| row.mode == Mode::Enforce);
            let count = enforced.map(|row| of(row, family)).sum();
            self.elements.with_label_values(&[family.name()]).set(gauge(count));
        }
    }

    /// So many offenders are being counted, and so many can be.
    pub fn set_counted(&self, counted: usize, limit: usize) {
        self.counted.set(i64::try_from(counted).unwrap_or(i64::MAX));
        self.counted_limit.set(i64::try_from(limit).unwrap_or(i64::MAX));
    }

    /// All that a jail has counted so far.
    pub fn set_offences(&self, jail: &str, total: u64) {
        raise(&self.offences.with_label_values(&[jail]), total);
    }

    fn by_jail(&self) -> [&IntCounterVec; 5] {
        [&self.made, &self.repeated, &self.spared, &self.asked, &self.offences]
    }
}
