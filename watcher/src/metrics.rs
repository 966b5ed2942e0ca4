//! What is exported to Prometheus. Every name stands here, with its help; no label has a value that a client can invent.

use std::time::Duration;

use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};

use crate::event::Kind;
use crate::notice;

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => { $($(#[$doc])* pub const $name: &str = $text;)* };
}

/// The names, with what they count.
pub mod name {
    names! {
        /// Lines read, by source.
        LINES = "watcher_lines_total";
        /// Lines that no filter knows, by source.
        UNPARSED = "watcher_unparsed_lines_total";
        /// Lines about a client that nobody can tell for certain, by source: never acted on.
        AMBIGUOUS = "watcher_ambiguous_lines_total";
        /// Lines that repeat what another line of their session said, by source.
        REPEATED = "watcher_repeated_lines_total";
        /// Lines whose stamp was too far ahead of their arrival to be believed, by source.
        REPLACED = "watcher_timestamps_replaced_total";
        /// Patterns of fail2ban's filters that gave up for having taken too many steps, by source: no match.
        REFUSED = "watcher_patterns_refused_total";
        /// Lines of which only the beginning was read, by source.
        CUT = "watcher_cut_lines_total";
        /// Messages of more than one line that were made one, by source.
        ESCAPED = "watcher_escaped_lines_total";
        /// Lines that are known to be lost, by source and reason.
        LOST = "watcher_lines_lost_total";
        /// How long ago the newest line that was read was written, by source, when it was read.
        LAG = "watcher_line_lag_seconds";
        /// Bytes written and not yet read, by source.
        BEHIND = "watcher_source_behind_bytes";
        /// When the last line was written, by source.
        LAST = "watcher_source_last_line_timestamp_seconds";
        /// Whether a source cannot be read, by source.
        TROUBLED = "watcher_source_troubled";
        /// Whether a source has said nothing for longer than it ever does, by source.
        SILENT = "watcher_source_silent";
        /// Whether the lines of a source are no longer understood, by source.
        NOT_UNDERSTOOD = "watcher_source_not_understood";
        /// 1, with a source's kind and the envelope of its last line as labels.
        SOURCE_INFO = "watcher_source_info";
        /// Notices about sources, by kind.
        NOTICES = "watcher_notices_total";
        /// Events, by kind.
        EVENTS = "watcher_events_total";
        /// Bans made, by jail.
        BANS = "watcher_bans_total";
        /// Bans in force.
        BANS_ACTIVE = "watcher_bans_active";
        /// Bans that ended, by reason.
        UNBANS = "watcher_unbans_total";
        /// Bans that were earned by somebody exempt.
        SPARED = "watcher_spared_total";
        /// Bans that were earned and wait for the administrator's word.
        ASKED = "watcher_asked_total";
        /// Offenders that are being counted.
        COUNTED = "watcher_offenders_counted";
        /// From the line written to the ban acknowledged by the kernel.
        BAN_LATENCY = "watcher_ban_latency_seconds";
        /// Changes that the firewall refused.
        FIREWALL_ERRORS = "watcher_firewall_errors_total";
        /// How often somebody else had changed our table and it was made whole again.
        FIREWALL_REPAIRS = "watcher_firewall_repairs_total";
        /// Bans that the kernel did not have when it was last looked.
        SET_DRIFT = "watcher_set_drift";
        /// Packets of the banned that the kernel dropped.
        DROPPED_PACKETS = "watcher_dropped_packets_total";
        /// Bytes of the banned that the kernel dropped.
        DROPPED_BYTES = "watcher_dropped_bytes_total";
        /// Queries to DNS blocklists, by zone of the configuration.
        DNSBL_QUERIES = "watcher_dnsbl_queries_total";
        /// Listings by DNS blocklists, by zone.
        DNSBL_LISTINGS = "watcher_dnsbl_listings_total";
        /// Errors of DNS blocklists, by zone.
        DNSBL_ERRORS = "watcher_dnsbl_errors_total";
        /// Queries that were not made, by zone and reason.
        DNSBL_AVOIDED = "watcher_dnsbl_queries_avoided_total";
        /// Queries that are left in this period, by zone.
        DNSBL_REMAINING = "watcher_dnsbl_quota_remaining";
        /// When the budget is spent by the forecast, by zone; 0 where it lasts.
        DNSBL_EXHAUSTED = "watcher_dnsbl_quota_exhausted_timestamp_seconds";
        /// 1 while a zone answers with errors and its listings do not count.
        DNSBL_OFF = "watcher_dnsbl_zone_off";
        /// Batches that the database refused.
        STORE_ERRORS = "watcher_store_errors_total";
        /// Whether the configuration was taken over when it was read last.
        RELOAD_OK = "watcher_config_last_reload_successful";
        /// 1, with the version as a label.
        BUILD_INFO = "watcher_build_info";
    }
}

/// The exported values.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// [`name::LINES`]
    pub lines: IntCounterVec,
    /// [`name::UNPARSED`]
    pub unparsed: IntCounterVec,
    /// [`name::AMBIGUOUS`]
    pub ambiguous: IntCounterVec,
    /// [`name::REPEATED`]
    pub repeated: IntCounterVec,
    /// [`name::REPLACED`]
    pub replaced: IntCounterVec,
    /// [`name::REFUSED`]
    pub refused: IntCounterVec,
    /// [`name::CUT`]
    pub cut: IntCounterVec,
    /// [`name::ESCAPED`]
    pub escaped: IntCounterVec,
    /// [`name::LOST`]
    pub lost: IntCounterVec,
    /// [`name::LAG`]
    pub lag: GaugeVec,
    /// [`name::BEHIND`]
    pub behind: IntGaugeVec,
    /// [`name::LAST`]
    pub last: GaugeVec,
    /// [`name::TROUBLED`]
    pub troubled: IntGaugeVec,
    /// [`name::SILENT`]
    pub silent: IntGaugeVec,
    /// [`name::NOT_UNDERSTOOD`]
    pub not_understood: IntGaugeVec,
    /// [`name::SOURCE_INFO`]
    pub source_info: IntGaugeVec,
    /// [`name::NOTICES`]
    pub notices: IntCounterVec,
    /// [`name::EVENTS`]
    pub events: IntCounterVec,
    /// [`name::BANS`]
    pub bans: IntCounterVec,
    /// [`name::BANS_ACTIVE`]
    pub bans_active: IntGauge,
    /// [`name::UNBANS`]
    pub unbans: IntCounterVec,
    /// [`name::SPARED`]
    pub spared: IntCounter,
    /// [`name::ASKED`]
    pub asked: IntCounter,
    /// [`name::COUNTED`]
    pub counted: IntGauge,
    /// [`name::BAN_LATENCY`]
    pub ban_latency: Histogram,
    /// [`name::FIREWALL_ERRORS`]
    pub firewall_errors: IntCounter,
    /// [`name::FIREWALL_REPAIRS`]
    pub firewall_repairs: IntCounter,
    /// [`name::SET_DRIFT`]
    pub set_drift: IntGauge,
    /// [`name::DROPPED_PACKETS`]
    pub dropped_packets: IntCounter,
    /// [`name::DROPPED_BYTES`]
    pub dropped_bytes: IntCounter,
    /// [`name::DNSBL_QUERIES`]
    pub dnsbl_queries: IntCounterVec,
    /// [`name::DNSBL_LISTINGS`]
    pub dnsbl_listings: IntCounterVec,
    /// [`name::DNSBL_ERRORS`]
    pub dnsbl_errors: IntCounterVec,
    /// [`name::DNSBL_AVOIDED`]
    pub dnsbl_avoided: IntCounterVec,
    /// [`name::DNSBL_REMAINING`]
    pub dnsbl_remaining: IntGaugeVec,
    /// [`name::DNSBL_EXHAUSTED`]
    pub dnsbl_exhausted: IntGaugeVec,
    /// [`name::DNSBL_OFF`]
    pub dnsbl_off: IntGaugeVec,
    /// [`name::STORE_ERRORS`]
    pub store_errors: IntCounter,
    /// [`name::RELOAD_OK`]
    pub reload_ok: Gauge,
}

/// Ban latency: from 10 µs, where the hardware ends, to 8 s, where the administrator is asleep.
const LATENCY_FIRST_SECONDS: f64 = 10e-6;
const LATENCY_BUCKETS: usize = 21;

impl Metrics {
    /// All of them, at zero, and with all their label values where these are known.
    pub fn new() -> Self {
        let registry = Registry::new();
        let metrics = Metrics {
            lines: counters(&registry, name::LINES, "Lines read.", &["source"]),
            unparsed: counters(&registry, name::UNPARSED, "Lines that no filter knows.", &["source"]),
            ambiguous: counters(
                &registry,
                name::AMBIGUOUS,
                "Lines about a client that nobody can tell for certain; never acted on.",
                &["source"],
            ),
            repeated: counters(
                &registry,
                name::REPEATED,
                "Lines that repeat what another line of their session said.",
                &["source"],
            ),
            refused: counters(
                &registry,
                name::REFUSED,
                "Patterns of fail2ban's filters that gave up for having taken too many steps.",
                &["source"],
            ),
            replaced: counters(
                &registry,
                name::REPLACED,
                "Lines whose stamp was too far ahead of their arrival to be believed.",
                &["source"],
            ),
            cut: counters(&registry, name::CUT, "Lines of which only the beginning was read.", &["source"]),
            escaped: counters(
                &registry,
                name::ESCAPED,
                "Messages of more than one line that were made one.",
                &["source"],
            ),
            lost: counters(&registry, name::LOST, "Lines that are known to be lost.", &["source", "reason"]),
            lag: seconds(&registry, name::LAG, "Age of the newest line when it was read, in seconds."),
            behind: gauges(&registry, name::BEHIND, "Bytes written and not yet read.", &["source"]),
            last: seconds(&registry, name::LAST, "When the last line was written, in seconds since 1970."),
            troubled: gauges(&registry, name::TROUBLED, "Whether a source cannot be read.", &["source"]),
            silent: gauges(
                &registry,
                name::SILENT,
                "Whether a source has said nothing for longer than it ever does.",
                &["source"],
            ),
            not_understood: gauges(
                &registry,
                name::NOT_UNDERSTOOD,
                "Whether the lines of a source are no longer understood.",
                &["source"],
            ),
            source_info: gauges(
                &registry,
                name::SOURCE_INFO,
                "1, with what a source is and the envelope of its last line.",
                &["source", "kind", "envelope"],
            ),
            notices: counters(&registry, name::NOTICES, "Notices about sources.", &["kind"]),
            events: counters(&registry, name::EVENTS, "Events by kind.", &["kind"]),
            bans: counters(&registry, name::BANS, "Bans made.", &["jail"]),
            bans_active: gauge(&registry, name::BANS_ACTIVE, "Bans in force."),
            unbans: counters(&registry, name::UNBANS, "Bans that ended.", &["why"]),
            spared: counter(&registry, name::SPARED, "Bans that were earned by somebody exempt."),
            asked: counter(
                &registry,
                name::ASKED,
                "Bans that were earned and wait for the administrator's word.",
            ),
            counted: gauge(&registry, name::COUNTED, "Offenders that are being counted."),
            ban_latency: register(&registry, Histogram::with_opts(latency())),
            firewall_errors: counter(&registry, name::FIREWALL_ERRORS, "Changes that the firewall refused."),
            firewall_repairs: counter(
                &registry,
                name::FIREWALL_REPAIRS,
                "Times our table was made whole after somebody else changed it.",
            ),
            set_drift: gauge(
                &registry,
                name::SET_DRIFT,
                "Bans that the kernel did not have when it was last looked.",
            ),
            dropped_packets: counter(
                &registry,
                name::DROPPED_PACKETS,
                "Packets of the banned that were dropped.",
            ),
            dropped_bytes: counter(&registry, name::DROPPED_BYTES, "Bytes of the banned that were dropped."),
            dnsbl_queries: counters(
                &registry,
                name::DNSBL_QUERIES,
                "Queries to DNS blocklists, as the log tells.",
                &["zone"],
            ),
            dnsbl_listings: counters(
                &registry,
                name::DNSBL_LISTINGS,
                "Listings by DNS blocklists.",
                &["zone"],
            ),
            dnsbl_errors: counters(&registry, name::DNSBL_ERRORS, "Errors of DNS blocklists.", &["zone"]),
            dnsbl_avoided: counters(
                &registry,
                name::DNSBL_AVOIDED,
                "Queries that were not made; for bans an estimate from dropped packets.",
                &["zone", "by"],
            ),
            dnsbl_remaining: gauges(
                &registry,
                name::DNSBL_REMAINING,
                "Queries that are left in this period.",
                &["zone"],
            ),
            dnsbl_exhausted: gauges(
                &registry,
                name::DNSBL_EXHAUSTED,
                "When the budget is spent by the forecast; 0 where it lasts.",
                &["zone"],
            ),
            dnsbl_off: gauges(
                &registry,
                name::DNSBL_OFF,
                "1 while a zone answers with errors and its listings do not count.",
                &["zone"],
            ),
            store_errors: counter(&registry, name::STORE_ERRORS, "Batches that the database refused."),
            reload_ok: register(
                &registry,
                Gauge::new(
                    name::RELOAD_OK,
                    "Whether the configuration was taken over when it was read last.",
                ),
            ),
            registry,
        };
        metrics.prepare();
        metrics
    }

    /// Gives every label value that is known its zero, so that a first event is an increase.
    fn prepare(&self) {
        for kind in Kind::ALL {
            self.events.with_label_values(&[kind.name()]);
        }
        for why in ["expired", "lifted", "exempted"] {
            self.unbans.with_label_values(&[why]);
        }
        for kind in notice::KINDS {
            self.notices.with_label_values(&[kind]);
        }
        self.reload_ok.set(1.0);
        let version = Opts::new(name::BUILD_INFO, "The version that runs.")
            .const_label("version", env!("CARGO_PKG_VERSION"));
        register(&self.registry, IntGauge::with_opts(version)).set(1);
        let process = prometheus::process_collector::ProcessCollector::for_self();
        self.registry.register(Box::new(process)).expect("registered once");
    }

    /// Gives a source's series their zero.
    pub fn prepare_source(&self, source: &str) {
        for series in [
            &self.lines,
            &self.unparsed,
            &self.ambiguous,
            &self.repeated,
            &self.replaced,
            &self.refused,
            &self.cut,
            &self.escaped,
        ] {
            series.with_label_values(&[source]);
        }
        self.lag.with_label_values(&[source]);
        for series in [&self.behind, &self.troubled, &self.silent, &self.not_understood] {
            series.with_label_values(&[source]);
        }
    }

    /// Forgets how sources stand now: those that are still there are told of again.
    pub fn forget_sources(&self) {
        self.lag.reset();
        self.last.reset();
        for series in [&self.behind, &self.troubled, &self.silent, &self.not_understood, &self.source_info] {
            series.reset();
        }
    }

    /// Gives a zone's series their zero.
    pub fn prepare_zone(&self, zone: &str) {
        for series in [&self.dnsbl_queries, &self.dnsbl_listings, &self.dnsbl_errors] {
            series.with_label_values(&[zone]);
        }
        for by in ["ban", "cache", "known"] {
            self.dnsbl_avoided.with_label_values(&[zone, by]);
        }
        for series in [&self.dnsbl_remaining, &self.dnsbl_exhausted, &self.dnsbl_off] {
            series.with_label_values(&[zone]);
        }
    }

    /// Gives a jail's series its zero.
    pub fn prepare_jail(&self, jail: &str) {
        self.bans.with_label_values(&[jail]);
    }

    /// A ban was in force so long after its line was written.
    pub fn banned_after(&self, latency: Duration) {
        self.ban_latency.observe(latency.as_secs_f64());
    }

    /// The text that Prometheus reads.
    pub fn expose(&self) -> Vec<u8> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text).expect("a buffer takes every write");
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

fn latency() -> HistogramOpts {
    let buckets = prometheus::exponential_buckets(LATENCY_FIRST_SECONDS, 2.0, LATENCY_BUCKETS);
    HistogramOpts::new(
        name::BAN_LATENCY,
        "From the line written to the ban acknowledged by the kernel, in seconds.",
    )
    .buckets(buckets.expect("a positive start, a factor above one, a count above zero"))
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    register(registry, IntCounterVec::new(Opts::new(name, help), labels))
}

fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    register(registry, IntCounter::new(name, help))
}

fn seconds(registry: &Registry, name: &str, help: &str) -> GaugeVec {
    register(registry, GaugeVec::new(Opts::new(name, help), &["source"]))
}

fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    register(registry, IntGauge::new(name, help))
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    register(registry, IntGaugeVec::new(Opts::new(name, help), labels))
}

fn register<C>(registry: &Registry, metric: prometheus::Result<C>) -> C
where
    C: prometheus::core::Collector + Clone + 'static,
{
    let metric = metric.expect("names and labels are constants, and well formed");
    registry.register(Box::new(metric.clone())).expect("each name is registered once");
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_exported_from_the_start() {
        let metrics = Metrics::new();
        metrics.prepare_source("/var/log/x");
        metrics.prepare_jail("j");
        metrics.prepare_zone("list.example");
        metrics.lost.with_label_values(&["/var/log/x", "truncated"]);
        metrics.last.with_label_values(&["/var/log/x"]);
        metrics.source_info.with_label_values(&["/var/log/x", "file", "tai64n"]);
        let text = String::from_utf8(metrics.expose()).unwrap();
        for name in [
            name::LINES,
            name::UNPARSED,
            name::AMBIGUOUS,
            name::REPEATED,
            name::REPLACED,
            name::CUT,
            name::ESCAPED,
            name::LOST,
            name::LAG,
            name::BEHIND,
            name::LAST,
            name::TROUBLED,
            name::SILENT,
            name::NOT_UNDERSTOOD,
            name::SOURCE_INFO,
            name::NOTICES,
            name::EVENTS,
            name::BANS,
            name::BANS_ACTIVE,
            name::UNBANS,
            name::SPARED,
            name::ASKED,
            name::COUNTED,
            name::BAN_LATENCY,
            name::FIREWALL_ERRORS,
            name::FIREWALL_REPAIRS,
            name::SET_DRIFT,
            name::DROPPED_PACKETS,
            name::DROPPED_BYTES,
            name::DNSBL_QUERIES,
            name::DNSBL_LISTINGS,
            name::DNSBL_ERRORS,
            name::DNSBL_AVOIDED,
            name::DNSBL_REMAINING,
            name::DNSBL_EXHAUSTED,
            name::DNSBL_OFF,
            name::STORE_ERRORS,
            name::RELOAD_OK,
            name::BUILD_INFO,
        ] {
            assert!(text.contains(&format!("# HELP {name} ")), "{name}");
        }
    }
}
