//! What is said of the firewall.

use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntGauge, IntGaugeVec};

use super::family::{self, Maker};
use super::raise;

/// The series of the firewall.
#[derive(Debug)]
pub struct Firewall {
    ban_latency: Histogram,
    apply: Histogram,
    enforcing: IntGauge,
    backend: IntGaugeVec,
    errors: IntCounter,
    repairs: IntCounter,
    drift: IntGauge,
    dropped_packets: IntCounter,
    dropped_bytes: IntCounter,
}

/// From 10 µs, where the hardware ends, to 10 s, where the administrator is asleep.
const LATENCY: (f64, f64, usize) = (10e-6, 2.0, 21);

impl Firewall {
    pub(super) fn new(maker: &Maker) -> Self {
        Firewall {
            ban_latency: maker.histogram(family::BAN_LATENCY, LATENCY.0, LATENCY.1, LATENCY.2),
            apply: maker.histogram(family::FIREWALL_APPLY, LATENCY.0, LATENCY.1, LATENCY.2),
            enforcing: maker.gauge(family::FIREWALL_ENFORCING),
            backend: maker.gauges(family::FIREWALL_INFO),
            errors: maker.counter(family::FIREWALL_ERRORS),
            repairs: maker.counter(family::FIREWALL_REPAIRS),
            drift: maker.gauge(family::SET_DRIFT),
            dropped_packets: maker.counter(family::DROPPED_PACKETS),
            dropped_bytes: maker.counter(family::DROPPED_BYTES),
        }
    }

    /// A ban was in force so long after its line was written.
    pub fn banned_after(&self, latency: Duration) {
        self.ban_latency.observe(latency.as_secs_f64());
    }

    /// Bans were in force so long after they were decided.
    pub fn applied_in(&self, taken: Duration) {
        self.apply.observe(taken.as_secs_f64());
    }

    /// The firewall refused something.
    pub fn refused(&self) {
        self.errors.inc();
    }

    /// The table was made whole; so many bans were missing.
    pub fn repaired(&self, missing: usize) {
        self.repairs.inc();
        self.drift.set(i64::try_from(missing).unwrap_or(i64::MAX));
    }

    /// What keeps the banned out, and whether it does.
    pub fn stand(&self, backend: &str, is_enforcing: bool) {
        self.backend.with_label_values(&[backend]).set(1);
        self.enforcing.set(i64::from(is_enforcing));
    }

    /// All that the kernel has dropped: packets and bytes.
    pub fn dropped(&self, (packets, bytes): (u64, u64)) {
        raise(&self.dropped_packets, packets);
        raise(&self.dropped_bytes, bytes);
    }
}
