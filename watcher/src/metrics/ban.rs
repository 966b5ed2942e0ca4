//! What is said of bans.

use std::collections::BTreeMap;

use prometheus::{Histogram, IntCounterVec, IntGauge, IntGaugeVec};

use super::family::{self, Maker};
use crate::engine::{End, Family, Output};
use crate::jail::{JailName, MANUAL, Mode};

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
    counted: IntGauge,
    counted_limit: IntGauge,
}

/// Ban lengths: from a minute to four months, in steps of two.
const LENGTH: (f64, f64, usize) = (60.0, 2.0, 18);

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
            counted: maker.gauge(family::COUNTED),
            counted_limit: maker.gauge(family::COUNTED_LIMIT),
        };
        for end in [End::Expired, End::Lifted, End::Exempted] {
            bans.ended.with_label_values(&[end_name(end)]);
        }
        for family in [Family::Ipv4, Family::Ipv6] {
            bans.elements.with_label_values(&[family.name()]);
        }
        bans.prepare_jail(MANUAL, Mode::Enforce);
        bans
    }

    /// Gives a jail's series their zero.
    pub fn prepare_jail(&self, jail: &str, mode: Mode) {
        for series in self.by_jail() {
            series.with_label_values(&[jail]);
        }
        for family in Family::ALL {
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
        for family in Family::ALL {
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

    /// How many bans are in force, and the jails in use. A ban whose jail is no longer in use counts in the sum alone.
    pub fn set_active<'b>(
        &self,
        counts: impl Iterator<Item = (&'b (JailName, Mode, Family), usize)>,
        jails: impl Iterator<Item = &'b str>,
    ) {
        let mut by_jail: BTreeMap<(&str, Family), i64> = BTreeMap::new();
        let mut enforced: BTreeMap<Family, i64> = BTreeMap::new();
        let mut all = 0;
        for ((jail, mode, family), count) in counts {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            *by_jail.entry((&**jail, *family)).or_default() += count;
            *enforced.entry(*family).or_default() += if *mode == Mode::Enforce { count } else { 0 };
            all += count;
        }
        self.active.set(all);
        for jail in jails.chain([MANUAL]) {
            for family in Family::ALL {
                let count = by_jail.get(&(jail, *family)).copied().unwrap_or(0);
                self.active_by_jail.with_label_values(&[jail, family.name()]).set(count);
            }
        }
        for family in [Family::Ipv4, Family::Ipv6] {
            let count = enforced.get(&family).copied().unwrap_or(0);
            self.elements.with_label_values(&[family.name()]).set(count);
        }
    }

    /// So many offenders are being counted, and so many can be.
    pub fn set_counted(&self, counted: usize, limit: usize) {
        self.counted.set(i64::try_from(counted).unwrap_or(i64::MAX));
        self.counted_limit.set(i64::try_from(limit).unwrap_or(i64::MAX));
    }

    fn by_jail(&self) -> [&IntCounterVec; 4] {
        [&self.made, &self.repeated, &self.spared, &self.asked]
    }
}
