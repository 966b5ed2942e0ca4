//! What is said of the watcher itself.

use std::time::Duration;

use logline::Timestamp;
use prometheus::{Gauge, IntCounter, IntGauge};

use super::family::{self, Maker};
use super::raise;

/// The series of the watcher's own affairs.
#[derive(Debug)]
pub struct House {
    store_errors: IntCounter,
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
        House {
            store_errors: maker.counter(family::STORE_ERRORS),
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

    /// Whether all bans are in force again.
    pub fn ready(&self, is_ready: bool) {
        self.ready.set(i64::from(is_ready));
    }

    /// It took so long to bring the values up to date.
    pub fn scraped_in(&self, taken: Duration) {
        self.scrape.set(taken.as_secs_f64());
    }
}
