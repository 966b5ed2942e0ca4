//! Every exported name, with its help and its labels. No label has a value that a client can invent.

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

/// A family of series.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What tells its series apart.
    pub labels: &'static [&'static str],
    /// What it says, in a sentence.
    pub help: &'static str,
}

macro_rules! families {
    ($($constant:ident = $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(#[doc = $help] pub const $constant: Family = Family { name: $name, labels: &[$($label),*], help: $help };)*

        /// All of them.
        pub const ALL: &[Family] = &[$($constant,)*];
    };
}

families! {
    LINES = "watcher_lines_total" ["source"] "Lines read.";
    UNPARSED = "watcher_unparsed_lines_total" ["source"] "Lines that no filter knows.";
    AMBIGUOUS = "watcher_ambiguous_lines_total" ["source"]
        "Lines about a client that nobody can tell for certain; never acted on.";
    REPEATED = "watcher_repeated_lines_total" ["source"]
        "Lines that repeat what another line of their session said.";
    REPLACED = "watcher_timestamps_replaced_total" ["source"]
        "Lines stamped more than 60 s after they arrived; the arrival stands for the stamp.";
    REFUSED = "watcher_patterns_refused_total" ["source"]
        "Times a pattern of a fail2ban filter gave up for having taken too many steps; it then did not match.";
    CUT = "watcher_cut_lines_total" ["source"] "Lines over 64 KiB, of which the beginning was read.";
    ESCAPED = "watcher_escaped_lines_total" ["source"] "Messages of more than one line, which were made one.";
    LOST = "watcher_lines_lost_total" ["source", "reason"]
        "Times that lines are known to be lost; of the reasons suppressed and dropped, how many lines.";
    READ_BYTES = "watcher_read_bytes_total" ["source"] "Bytes read.";
    ROTATIONS = "watcher_source_rotations_total" ["source"] "Times that a file was replaced or truncated.";
    LAG = "watcher_line_lag_seconds" ["source"] "Age of the newest line when it was read.";
    BEHIND = "watcher_source_behind_bytes" ["source"] "Bytes written and not yet read.";
    LAST = "watcher_source_last_line_timestamp_seconds" ["source"]
        "When the last line was written; 0 before the first.";
    TROUBLED = "watcher_source_troubled" ["source"] "1 while the source cannot be read.";
    SILENT = "watcher_source_silent" ["source"] "1 while it has said nothing for longer than it ever does.";
    NOT_UNDERSTOOD = "watcher_source_not_understood" ["source"]
        "1 while hardly a line of it is understood any more.";
    SOURCE_INFO = "watcher_source_info" ["source", "kind", "envelope"]
        "1; what the source is, and the envelope of its last line (unseen before the first).";
    NOTICES = "watcher_notices_total" ["kind"] "Notices about sources.";
    EVENTS = "watcher_events_total" ["kind"] "Events that lines told of.";
    BANS = "watcher_bans_total" ["jail"] "Bans made.";
    REPEAT_BANS = "watcher_repeat_bans_total" ["jail"] "Bans of somebody whom the jail had banned before.";
    BANS_ACTIVE = "watcher_bans_active" [] "Bans in force.";
    JAIL_BANS_ACTIVE = "watcher_jail_bans_active" ["jail", "family"]
        "Bans in force, by jail and by what is banned: ipv4, ipv6, other (an account).";
    JAIL_INFO = "watcher_jail_info" ["jail", "mode"] "1; the jails in use, and whether each bans or only watches.";
    OFFENCES = "watcher_jail_offences_total" ["jail"] "Events that a jail counted.";
    BAN_LENGTH = "watcher_ban_length_seconds" [] "How long bans are for, when they are made.";
    UNBANS = "watcher_unbans_total" ["why"] "Bans that ended.";
    SPARED = "watcher_spared_total" ["jail"] "Bans that were earned by somebody exempt.";
    ASKED = "watcher_asked_total" ["jail"] "Bans that were earned and wait, or waited, for the administrator's word.";
    COUNTED = "watcher_offenders_counted" [] "Offenders that are being counted.";
    COUNTED_LIMIT = "watcher_offenders_counted_limit" []
        "So many can be counted; of more, those go who have done least.";
    BAN_LATENCY = "watcher_ban_latency_seconds" []
        "From the line written to the ban acknowledged by the kernel.";
    FIREWALL_APPLY = "watcher_firewall_apply_seconds" [] "From a ban decided to its acknowledgement by the kernel.";
    FIREWALL_ENFORCING = "watcher_firewall_enforcing" []
        "1 while all bans are in force; 0 where the firewall refuses them, or where bans are only recorded.";
    FIREWALL_INFO = "watcher_firewall_info" ["backend"] "1; what keeps the banned out.";
    FIREWALL_ERRORS = "watcher_firewall_errors_total" [] "Changes that the firewall refused.";
    FIREWALL_REPAIRS = "watcher_firewall_repairs_total" []
        "Times our table was made whole after somebody else changed it.";
    SET_DRIFT = "watcher_set_drift" [] "Bans that the kernel did not have when it was last looked.";
    SET_ELEMENTS = "watcher_set_elements" ["family"] "Bans that the kernel is to enforce.";
    SET_LIMIT = "watcher_set_elements_limit" ["family"]
        "So many addresses a set of the kernel's takes; of networks a tenth. What is banned beyond is not kept out.";
    DROPPED_PACKETS = "watcher_dropped_packets_total" [] "Packets of the banned that the kernel dropped.";
    DROPPED_BYTES = "watcher_dropped_bytes_total" [] "Bytes of the banned that the kernel dropped.";
    DNSBL_QUERIES = "watcher_dnsbl_queries_total" ["zone"]
        "Queries to DNS blocklists, as the log tells; like all of these for the zones of `[quota]`.";
    DNSBL_LISTINGS = "watcher_dnsbl_listings_total" ["zone"] "Listings by DNS blocklists.";
    DNSBL_ERRORS = "watcher_dnsbl_errors_total" ["zone"] "Errors of DNS blocklists instead of answers.";
    DNSBL_ALONE = "watcher_dnsbl_listed_alone" ["zone"]
        "Clients that this zone listed and no other, as far as the others were asked.";
    DNSBL_BOTH = "watcher_dnsbl_listed_both" ["zone", "other"]
        "Clients that both zones list, of the last 50,000 that any listed; of a zone and itself, those that it lists.";
    DNSBL_AVOIDED = "watcher_dnsbl_queries_avoided_total" ["zone", "by"]
        "Queries that were not made; for bans an estimate from dropped packets.";
    DNSBL_LIMIT = "watcher_dnsbl_quota_limit" ["zone"] "Queries that the zone allows in a period; 0 where it has no end.";
    DNSBL_USED = "watcher_dnsbl_quota_used" ["zone"] "Queries in this period.";
    DNSBL_REMAINING = "watcher_dnsbl_quota_remaining" ["zone"] "Queries that are left in this period.";
    DNSBL_FORECAST = "watcher_dnsbl_quota_forecast" ["zone"] "Queries that this period is expected to come to.";
    DNSBL_EXHAUSTED = "watcher_dnsbl_quota_exhausted_timestamp_seconds" ["zone"]
        "When the budget is spent by the forecast; 0 where it lasts.";
    DNSBL_RESET = "watcher_dnsbl_quota_reset_timestamp_seconds" ["zone"] "When the next period begins.";
    DNSBL_OFF = "watcher_dnsbl_zone_off" ["zone"]
        "1 while the zone answers with errors and its listings do not count.";
    HOOK_DELIVERIES = "watcher_hook_deliveries_total" ["kind", "outcome"]
        "Attempts to deliver what happened: done, failed and tried again, given up.";
    HOOK_LOST = "watcher_hook_events_lost_total" [] "Things that happened for which a hook had no room.";
    STORE_ERRORS = "watcher_store_errors_total" [] "Batches that the database refused.";
    READY = "watcher_ready" [] "1 once all bans are in force again after the start.";
    RELOAD_OK = "watcher_config_last_reload_successful" []
        "1 where the configuration was taken over when it was read last, 0 where it had mistakes.";
    RELOAD_TIME = "watcher_config_last_reload_success_timestamp_seconds" []
        "When the running configuration was read.";
    SCRAPE = "watcher_scrape_duration_seconds" [] "How long it took to bring these values up to date.";
    BUILD_INFO = "watcher_build_info" ["version"] "1, with the version that runs.";
}

/// Makes series and puts them where they are gathered.
///
/// All it is given are the constants of this file: that a name is well formed and given once is a property of the code.
#[derive(Debug, Default)]
pub(super) struct Maker {
    pub(super) registry: Registry,
}

impl Maker {
    pub(super) fn counters(&self, family: Family) -> IntCounterVec {
        self.register(IntCounterVec::new(opts(family), family.labels))
    }

    pub(super) fn counter(&self, family: Family) -> IntCounter {
        self.register(IntCounter::with_opts(opts(family)))
    }

    pub(super) fn gauges(&self, family: Family) -> IntGaugeVec {
        self.register(IntGaugeVec::new(opts(family), family.labels))
    }

    pub(super) fn gauge(&self, family: Family) -> IntGauge {
        self.register(IntGauge::with_opts(opts(family)))
    }

    /// Gauges of seconds, which are no whole numbers.
    pub(super) fn seconds(&self, family: Family) -> GaugeVec {
        self.register(GaugeVec::new(opts(family), family.labels))
    }

    pub(super) fn second(&self, family: Family) -> Gauge {
        self.register(Gauge::with_opts(opts(family)))
    }

    /// From `first` on, each bucket `factor` times as wide as the one before.
    pub(super) fn histogram(&self, family: Family, first: f64, factor: f64, count: usize) -> Histogram {
        let buckets = prometheus::exponential_buckets(first, factor, count);
        let opts = HistogramOpts::from(opts(family));
        self.register(buckets.and_then(|buckets| Histogram::with_opts(opts.buckets(buckets))))
    }

    pub(super) fn collect(&self, collector: Box<dyn Collector>) {
        self.registry.register(collector).expect("each name is registered once");
    }

    fn register<C: Collector + Clone + 'static>(&self, metric: prometheus::Result<C>) -> C {
        let metric = metric.expect("names, labels and buckets are constants, and well formed");
        self.collect(Box::new(metric.clone()));
        metric
    }
}

fn opts(family: Family) -> Opts {
    Opts::new(family.name, family.help)
}
