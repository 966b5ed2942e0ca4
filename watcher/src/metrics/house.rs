//! What is said of the watcher itself.

use std::time::Duration;

use logline::Timestamp;
use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge};

use super::family::{self, Maker};
use super::raise;
use crate::hooks::{Action, Outcome};

/// The series of the watcher's own affairs.
#[derive(Debug)]
pub struct House {
    store_errors: IntCounter,
    hook_deliveries: IntCounterVec,
    hook_lost: IntCounter,
    ready: IntGauge,
    reload_ok: IntGauge,
    reload_time: Gauge,
    scrape: Gauge,
}

impl House {
    pub(super) fn new(maker: &Maker) -> Self {
        let version = maker.gauges(family::BUILD_INFO);
        version.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        maker.collect(Box::new(prometheus::process_collector::ProcessCollector::for_self()));
        let hook_deliveries = maker.counters(family::HOOK_DELIVERIES);
        for kind in Action::KINDS {
            for outcome in Outcome::ALL {
                hook_deliveries.with_label_values(&[kind, outcome.name()]);
            }
        }
        House {
            store_errors: maker.counter(family::STORE_ERRORS),
            hook_deliveries,
            hook_lost: maker.counter(family::HOOK_LOST),
            ready: maker.gauge(family::READY),
            reload_ok: maker.gauge(family::RELOAD_OK),
            reload_time: maker.second(family::RELOAD_TIME),
            scrape: maker.second(family::SCRAPE),
        }
    }

    /// A configuration was taken over then.
    pub fn configured(&self, at: Timestamp) {
        self.reload_ok.set(1);
        self.reload_time.set(at.since(Timestamp::from_nanos(0)).as_secs_f64());
    }

    /// The configuration has mistakes, and the former one goes on.
    pub fn misconfigured(&self) {
        self.reload_ok.set(0);
    }

    /// All batches that the database refused so far.
    pub fn store_errors(&self, total: u64) {
        raise(&self.store_errors, total);
    }

    /// All attempts of hooks of a kind that came to this, so far.
    pub fn hook_deliveries(&self, kind: &str, outcome: Outcome, total: u64) {
        raise(&self.hook_deliveries.with_label_values(&[kind, outcome.name()]), total);
    }

    /// All that the hooks had no room for, so far.
    pub fn hook_events_lost(&self, total: u64) {
        raise(&self.hook_lost, total);
    }

    /// Whether all bans are in force again.
    pub fn ready(&self, is_ready: bool) {
        self.ready.set(i64::from(is_ready));
    }

    /// It took so long to bring the values up to date.
    pub fn scraped_in(&self, taken: Duration) {
        self.scrape.set(taken.as_secs_f64());
    }
}
