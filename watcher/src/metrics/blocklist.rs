//! What is said of DNS blocklists and their budgets.

use prometheus::{IntCounterVec, IntGaugeVec};

use super::family::{self, Maker};
use super::raise;
use crate::quota::ZoneView;

/// The series of the zones of the configuration; a zone that the log alone names has none.
#[derive(Debug)]
pub struct Blocklists {
    queries: IntCounterVec,
    listings: IntCounterVec,
    errors: IntCounterVec,
    avoided: IntCounterVec,
    alone: IntGaugeVec,
    both: IntGaugeVec,
    limit: IntGaugeVec,
    used: IntGaugeVec,
    remaining: IntGaugeVec,
    forecast: IntGaugeVec,
    exhausted: IntGaugeVec,
    reset: IntGaugeVec,
    off: IntGaugeVec,
}

/// Why queries are not made.
const BY: [&str; 3] = ["ban", "cache", "known"];

impl Blocklists {
    pub(super) fn new(maker: &Maker) -> Self {
        Blocklists {
            queries: maker.counters(family::DNSBL_QUERIES),
            listings: maker.counters(family::DNSBL_LISTINGS),
            errors: maker.counters(family::DNSBL_ERRORS),
            avoided: maker.counters(family::DNSBL_AVOIDED),
            alone: maker.gauges(family::DNSBL_ALONE),
            both: maker.gauges(family::DNSBL_BOTH),
            limit: maker.gauges(family::DNSBL_LIMIT),
            used: maker.gauges(family::DNSBL_USED),
            remaining: maker.gauges(family::DNSBL_REMAINING),
            forecast: maker.gauges(family::DNSBL_FORECAST),
            exhausted: maker.gauges(family::DNSBL_EXHAUSTED),
            reset: maker.gauges(family::DNSBL_RESET),
            off: maker.gauges(family::DNSBL_OFF),
        }
    }

    /// Gives a zone's series their zero.
    pub fn prepare(&self, zone: &str) {
        for series in [&self.queries, &self.listings, &self.errors] {
            series.with_label_values(&[zone]);
        }
        for by in BY {
            self.avoided.with_label_values(&[zone, by]);
        }
        for series in self.gauges() {
            series.with_label_values(&[zone]);
        }
        self.both.with_label_values(&[zone, zone]);
    }

    /// Forgets a zone that is no longer configured.
    pub fn forget(&self, zone: &str) {
        // A zone that was never prepared has none.
        for series in [&self.queries, &self.listings, &self.errors] {
            let _ = series.remove_label_values(&[zone]);
        }
        for by in BY {
            let _ = self.avoided.remove_label_values(&[zone, by]);
        }
        for series in self.gauges() {
            let _ = series.remove_label_values(&[zone]);
        }
    }

    /// How a zone stands.
    pub fn stand(&self, view: &ZoneView) {
        let zone = &[view.zone.as_str()];
        raise(&self.queries.with_label_values(zone), view.queries);
        raise(&self.listings.with_label_values(zone), view.listed);
        raise(&self.errors.with_label_values(zone), view.errors);
        let avoided = [view.avoided.bans, view.avoided.cache, view.avoided.known];
        for (by, total) in BY.iter().zip(avoided) {
            raise(&self.avoided.with_label_values(&[view.zone.as_str(), by]), total);
        }
        let set = |gauge: &IntGaugeVec, count: u64| {
            gauge.with_label_values(zone).set(i64::try_from(count).unwrap_or(i64::MAX));
        };
        set(&self.alone, view.alone);
        set(&self.limit, view.limit.unwrap_or(0));
        set(&self.used, view.used);
        set(&self.remaining, view.left.unwrap_or(u64::MAX));
        set(&self.forecast, view.forecast.total);
        self.exhausted.with_label_values(zone).set(view.forecast.spent.unwrap_or(0));
        self.reset.with_label_values(zone).set(view.period.1);
        self.off.with_label_values(zone).set(i64::from(view.off.is_some()));
    }

    /// What each two zones list both; pairs that are not told of are forgotten.
    pub fn overlap<'z>(&self, pairs: impl Iterator<Item = (&'z str, &'z str, u64)>) {
        self.both.reset();
        for (zone, other, both) in pairs {
            self.both.with_label_values(&[zone, other]).set(i64::try_from(both).unwrap_or(i64::MAX));
        }
    }

    fn gauges(&self) -> [&IntGaugeVec; 8] {
        [
            &self.alone,
            &self.limit,
            &self.used,
            &self.remaining,
            &self.forecast,
            &self.exhausted,
            &self.reset,
            &self.off,
        ]
    }
}
