//! The counters: every exported name, and which record moves which.
//!
//! No label holds anything that a client could make up, and every value of a label exists from the start, so that a
//! rate is right from the first event on.

use std::time::{Duration, Instant};

use logline::{
    AuthOutcome, ChkuserOutcome, Mechanism, Queue, RblResult, RblSource, Reason, Record, SmtpdEvent,
    Tcpserver, Verdict,
};
use prometheus::{
    Encoder as _, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use serde::Serialize;

pub mod name;

mod sessions;
mod stages;

pub use stages::Stage;

use name::{
    ADDRESSES_CHECKED, ANSWERS, BLOCKLIST_BUDGET_LIMIT, BLOCKLIST_BUDGET_USED, BLOCKLIST_QUERIES,
    BLOCKLIST_RESTING, BLOCKLIST_VERDICTS, BUILD_INFO, CONNECTIONS, CONNECTIONS_LIMIT, CONNECTIONS_OPEN,
    DELIVERIES, DELIVERIES_OPEN, JOURNAL_ERRORS, JOURNAL_SOCKET_CONNECTED, JOURNAL_SOCKET_LOST, LOGINS,
    MESSAGE_BYTES, QUEUE_MESSAGES, SESSION_EVENTS, SESSIONS_ENDED,
};

use sessions::Sessions;
use stages::Stages;

/// All counters of one server.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    sessions: Sessions,
    stages: Stages,
    connections: IntCounterVec,
    connections_open: IntGauge,
    connections_limit: IntGauge,
    sessions_ended: IntCounterVec,
    answers: IntCounterVec,
    logins: IntCounterVec,
    addresses_checked: IntCounterVec,
    session_events: IntCounterVec,
    blocklist_queries: IntCounterVec,
    blocklist_used: IntGaugeVec,
    blocklist_limit: IntGaugeVec,
    blocklist_resting: IntGaugeVec,
    blocklist_verdicts: IntGauge,
    message_bytes: Histogram,
    queue_messages: IntCounterVec,
    deliveries: IntCounterVec,
    deliveries_open: IntGaugeVec,
    /// Moved by the journal itself.
    pub journal_errors: IntCounter,
    /// Likewise.
    pub journal_socket_lost: IntCounter,
    /// Likewise.
    pub journal_socket_connected: IntGauge,
}

const RESULTS: [&str; 2] = ["accepted", "rejected"];

impl Metrics {
    /// All of them at zero.
    ///
    /// # Panics
    /// Where two metrics have one name, which a test would find.
    #[expect(clippy::expect_used, reason = "names and labels are the constants of this file")]
    pub fn new() -> Self {
        Metrics::register(&Registry::new()).expect("every name is registered once")
    }

    fn register(registry: &Registry) -> prometheus::Result<Self> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(metric.clone()))?;
            prometheus::Result::Ok(metric)
        };
        let by_zone = |name: &str, help: &str| {
            let metric = IntGaugeVec::new(Opts::new(name, help), &["zone"])?;
            registry.register(Box::new(metric.clone()))?;
            prometheus::Result::Ok(metric)
        };
        let gauge = |name: &str, help: &str| {
            let metric = IntGauge::new(name, help)?;
            registry.register(Box::new(metric.clone()))?;
            prometheus::Result::Ok(metric)
        };
        // From one kilobyte to 64 megabytes.
        let sizes = prometheus::exponential_buckets(1024.0, 4.0, 9)?;
        let opts = HistogramOpts::new(MESSAGE_BYTES, "Length of accepted messages.").buckets(sizes);
        let message_bytes = Histogram::with_opts(opts)?;
        registry.register(Box::new(message_bytes.clone()))?;
        let deliveries_open =
            IntGaugeVec::new(Opts::new(DELIVERIES_OPEN, "Deliveries under way, by channel."), &["channel"])?;
        registry.register(Box::new(deliveries_open.clone()))?;
        let journal_errors =
            IntCounter::new(JOURNAL_ERRORS, "Facts that could not be written to the journal.")?;
        registry.register(Box::new(journal_errors.clone()))?;
        let journal_socket_lost =
            IntCounter::new(JOURNAL_SOCKET_LOST, "Facts that were not sent to the log's socket.")?;
        registry.register(Box::new(journal_socket_lost.clone()))?;
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let build_info =
            IntGaugeVec::new(Opts::new(BUILD_INFO, "1, with the version that runs."), &["version"])?;
        registry.register(Box::new(build_info.clone()))?;
        build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let metrics = Metrics {
            sessions: Sessions::register(registry)?,
            stages: Stages::register(registry)?,
            connections: counters(CONNECTIONS, "Connections that were let in or not.", &["result"])?,
            connections_open: gauge(CONNECTIONS_OPEN, "Open connections.")?,
            connections_limit: gauge(CONNECTIONS_LIMIT, "The most connections that may be open.")?,
            sessions_ended: counters(SESSIONS_ENDED, "Sessions that ended, by status.", &["status"])?,
            answers: counters(
                ANSWERS,
                "Answers that accepted or refused, by reason.",
                &["result", "reason"],
            )?,
            logins: counters(LOGINS, "Logins that were tried.", &["outcome", "mechanism"])?,
            addresses_checked: counters(ADDRESSES_CHECKED, "Senders and recipients checked.", &["outcome"])?,
            session_events: counters(SESSION_EVENTS, "What happened to sessions.", &["event"])?,
            queue_messages: counters(QUEUE_MESSAGES, "Messages that came and went.", &["event"])?,
            deliveries: counters(DELIVERIES, "Deliveries that ended, by outcome.", &["outcome"])?,
            blocklist_queries: counters(
                BLOCKLIST_QUERIES,
                "What blocklists said of clients, by what followed and where it comes from.",
                &["result", "source"],
            )?,
            blocklist_used: by_zone(BLOCKLIST_BUDGET_USED, "Queries made in the zone's current period.")?,
            blocklist_limit: by_zone(BLOCKLIST_BUDGET_LIMIT, "Queries that the zone allows in a period.")?,
            blocklist_resting: by_zone(BLOCKLIST_RESTING, "1 while the zone is left alone.")?,
            blocklist_verdicts: gauge(BLOCKLIST_VERDICTS, "Verdicts that are remembered.")?,
            message_bytes,
            deliveries_open,
            journal_errors,
            journal_socket_lost,
            journal_socket_connected: gauge(
                JOURNAL_SOCKET_CONNECTED,
                "Whether somebody listens at the log's socket.",
            )?,
            registry: registry.clone(),
        };
        metrics.create_label_values();
        Ok(metrics)
    }

    fn create_label_values(&self) {
        for result in ["ok", "deny"] {
            self.connections.with_label_values(&[result]);
        }
        for status in ["clean", "gave-up", "denied"] {
            self.sessions_ended.with_label_values(&[status]);
        }
        for reason in Reason::ALL {
            for result in RESULTS {
                self.answers.with_label_values(&[result, reason.name()]);
            }
        }
        for outcome in [AuthOutcome::Success, AuthOutcome::Failed] {
            for mechanism in Mechanism::ALL {
                self.logins.with_label_values(&[&label(&outcome), &label(mechanism)]);
            }
        }
        for outcome in ChkuserOutcome::ALL {
            self.addresses_checked.with_label_values(&[&label(outcome)]);
        }
        for result in RblResult::ALL {
            for source in RblSource::ALL {
                self.blocklist_queries.with_label_values(&[result.name(), source.name()]);
            }
        }
        for event in SmtpdEvent::ALL {
            self.session_events.with_label_values(&[&label(event)]);
        }
        for event in ["new", "end", "bounce"] {
            self.queue_messages.with_label_values(&[event]);
        }
        for outcome in ["success", "failure", "deferral"] {
            self.deliveries.with_label_values(&[outcome]);
        }
        for channel in ["local", "remote"] {
            self.deliveries_open.with_label_values(&[channel]);
        }
    }

    /// Moves what a record moves.
    pub fn count(&self, record: &Record<'_>) {
        match record {
            Record::Tcpserver(record) => {
                self.sessions.tcpserver(record, Instant::now());
                self.count_tcpserver(record);
            }
            Record::Chkuser(record) => {
                self.addresses_checked.with_label_values(&[&label(&record.outcome)]).inc();
            }
            Record::Auth(record) => {
                self.logins.with_label_values(&[&label(&record.outcome), &label(&record.mechanism)]).inc();
            }
            Record::Qlog(record) => {
                self.sessions.answered(record);
                let result = match record.verdict {
                    Verdict::Accepted => "accepted",
                    Verdict::Rejected => "rejected",
                };
                self.answers.with_label_values(&[result, record.reason.name()]).inc();
                if let (Reason::QueueAccept, Some(size_bytes)) = (record.reason, record.size_bytes) {
                    self.message_bytes.observe(size_bytes as f64);
                }
            }
            Record::Smtpd(record) => self.session_events.with_label_values(&[&label(&record.event)]).inc(),
            Record::Queue(record) => self.count_queue(record),
            Record::Rbl(record) => {
                let labels = [record.result.name(), record.source.name()];
                self.blocklist_queries.with_label_values(&labels).inc();
            }
            // The transcript of a listed client; the verdict is an answer and counted as one.
            Record::Rblsmtpd(_) => {}
            // What follows from it is an answer and counted as one.
            Record::Guard(_) | Record::Policy(_) => {}
            // Lines of other writers: never written here.
            Record::Foreign(_) => {}
        }
    }

    /// A stage of a session is over.
    pub fn took(&self, stage: Stage, time: Duration) {
        self.stages.took(stage, time);
    }

    /// How a zone stands. The names of zones are the settings'.
    pub fn blocklist(&self, zone: &str, used: u64, limit: Option<u64>, is_well: bool) {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.blocklist_used.with_label_values(&[zone]).set(number(used));
        if let Some(limit) = limit {
            self.blocklist_limit.with_label_values(&[zone]).set(number(limit));
        }
        self.blocklist_resting.with_label_values(&[zone]).set(i64::from(!is_well));
    }

    /// How many verdicts are remembered.
    pub fn blocklist_verdicts(&self, remembered: usize) {
        self.blocklist_verdicts.set(i64::try_from(remembered).unwrap_or(i64::MAX));
    }

    fn count_tcpserver(&self, record: &Tcpserver<'_>) {
        match record {
            Tcpserver::Status { open, limit } => {
                self.connections_open.set(i64::from(*open));
                self.connections_limit.set(i64::from(*limit));
            }
            Tcpserver::Connect { .. } => {}
            Tcpserver::Ok(_) => self.connections.with_label_values(&["ok"]).inc(),
            Tcpserver::Deny(_) => self.connections.with_label_values(&["deny"]).inc(),
            Tcpserver::End { status, .. } => {
                let status = match status {
                    0 => "clean",
                    25600 => "denied",
                    _ => "gave-up",
                };
                self.sessions_ended.with_label_values(&[status]).inc();
            }
        }
    }

    fn count_queue(&self, record: &Queue<'_>) {
        match record {
            Queue::New { .. } => self.queue_messages.with_label_values(&["new"]).inc(),
            Queue::Info { .. } | Queue::Starting { .. } => {}
            Queue::Delivery { outcome, .. } => self.deliveries.with_label_values(&[outcome.name()]).inc(),
            Queue::Status { local, remote } => {
                self.deliveries_open.with_label_values(&["local"]).set(i64::from(local.used));
                self.deliveries_open.with_label_values(&["remote"]).set(i64::from(remote.used));
            }
            Queue::Bounce { .. } => self.queue_messages.with_label_values(&["bounce"]).inc(),
            Queue::End { .. } => self.queue_messages.with_label_values(&["end"]).inc(),
        }
    }

    /// All of them, as Prometheus reads them.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            Ok(()) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) => {
                tracing::error!(%error, "cannot write the metrics");
                String::new()
            }
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

/// The name that a record has for one of our enums, which is its name in JSON too.
fn label(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        // A unit variant is a string in JSON.
        Ok(_) | Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use logline::SessionId;

    use super::*;

    #[test]
    fn a_record_moves_its_counter() {
        let metrics = Metrics::new();
        metrics.count(&Record::Tcpserver(Tcpserver::End { pid: SessionId(1), status: 256 }));
        metrics.count(&Record::parse(b"qmail-smtpd[7]: auth: auth-failed type=plain user=<x>").unwrap());
        let text = metrics.text();
        assert!(text.contains("smtpd_sessions_ended_total{status=\"gave-up\"} 1\n"), "{text}");
        assert!(text.contains("smtpd_logins_total{mechanism=\"plain\",outcome=\"failed\"} 1\n"), "{text}");
    }

    #[test]
    fn every_metric_has_a_help_text_and_no_label_is_empty() {
        let text = prepared().text();
        for line in text.lines() {
            assert!(!line.contains("=\"\""), "{line}");
        }
        for name in name::ALL {
            assert!(text.contains(&format!("# HELP {name} ")), "{name}");
        }
    }

    /// With a zone, which the settings name.
    fn prepared() -> Metrics {
        let metrics = Metrics::new();
        metrics.blocklist("list.example", 0, Some(1000), true);
        metrics
    }

    /// Names with their labels, without values.
    fn series(metrics: &Metrics) -> Vec<String> {
        let text = metrics.text();
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        samples.filter_map(|line| line.rsplit_once(' ').map(|(series, _)| series.to_owned())).collect()
    }

    #[test]
    fn every_name_that_is_exported_stands_among_the_names() {
        let text = prepared().text();
        let exported = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
        let own: Vec<&str> = exported.filter(|name| !name.starts_with("process_")).collect();
        let (mut own, mut all) = (own, name::ALL.to_vec());
        own.sort_unstable();
        all.sort_unstable();
        assert_eq!(own, all);
    }

    #[test]
    fn a_million_attackers_leave_the_series_as_they_are() {
        let metrics = prepared();
        let before = series(&metrics);
        // Each is another client with other words, which try to be labels.
        for n in 0..1_000_000_u32 {
            let address = std::net::Ipv4Addr::from(0x0b00_0000 + n);
            let word = format!("x{n}\"}}_1_watcher_forged{{}}");
            let line = match n % 8 {
                0 => format!("tcpserver: pid {n} from {address}"),
                1 => format!("tcpserver: ok {n} mx:192.0.2.25:25 :{address}::4025"),
                2 => format!("qmail-smtpd[{n}]: auth: auth-failed type=plain user=<{word}>"),
                3 => format!(
                    "CHKUSER rejected rcpt: from <{word}::> remote <{word}:x:{address}> rcpt <{word}> : x"
                ),
                4 => format!(
                    "rbl: ip={address} query={word}.list.example result=pass message='{word}' pid={n}"
                ),
                5 => format!("info msg {n}: bytes 1 from <{word}> qp 1 uid 1"),
                6 => format!("delivery {n}: failure: {word}/"),
                _ => format!("tcpserver: end {n} status 256"),
            };
            Record::parse(line.as_bytes()).iter().for_each(|record| metrics.count(record));
        }
        assert_eq!(series(&metrics), before);
        assert!(
            metrics.text().contains("smtpd_sessions_ended_total{status=\"gave-up\"} 125000\n"),
            "they are counted"
        );
    }
}
