//! How long sessions last, and how they are answered.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use logline::{Encryption, Phase, Qlog, SessionId, Tcpserver, Verdict};
use prometheus::{Histogram, HistogramOpts, IntCounterVec, Opts, Registry};

use super::name::{MESSAGES_TAKEN, REPLIES, SESSION_SECONDS};

/// So many open sessions are timed; the gate lets in fewer.
const OPEN_MAX: usize = 100_000;

const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];
const ENCRYPTIONS: [&str; 3] = ["none", "starttls", "tls"];

/// The series of sessions.
#[derive(Debug)]
pub(super) struct Sessions {
    open: Mutex<HashMap<SessionId, Instant>>,
    seconds: Histogram,
    replies: IntCounterVec,
    taken: IntCounterVec,
}

impl Sessions {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        // From a millisecond, which a refusal takes, to an hour.
        let lengths = prometheus::exponential_buckets(0.001, 4.0, 12)?;
        let opts = HistogramOpts::new(SESSION_SECONDS, "How long sessions last.").buckets(lengths);
        let seconds = Histogram::with_opts(opts)?;
        let replies = IntCounterVec::new(
            Opts::new(REPLIES, "Answers that accepted or refused, by the first digit of their code."),
            &["class"],
        )?;
        let taken = IntCounterVec::new(
            Opts::new(MESSAGES_TAKEN, "Messages that were taken, by how the session was encrypted."),
            &["encryption"],
        )?;
        registry.register(Box::new(seconds.clone()))?;
        registry.register(Box::new(replies.clone()))?;
        registry.register(Box::new(taken.clone()))?;
        CLASSES.iter().for_each(|class| drop(replies.with_label_values(&[class])));
        ENCRYPTIONS.iter().for_each(|encryption| drop(taken.with_label_values(&[encryption])));
        Ok(Sessions { open: Mutex::default(), seconds, replies, taken })
    }

    /// A session began or ended.
    pub(super) fn tcpserver(&self, record: &Tcpserver<'_>, now: Instant) {
        // The table is whole after each step, whoever panicked while he held it.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match record {
            Tcpserver::Connect { pid, .. } if open.len() < OPEN_MAX => {
                open.insert(*pid, now);
            }
            Tcpserver::End { pid, .. } => {
                if let Some(since) = open.remove(pid) {
                    self.seconds.observe(now.duration_since(since).as_secs_f64());
                }
            }
            Tcpserver::Connect { .. } | Tcpserver::Status { .. } | Tcpserver::Ok(_) | Tcpserver::Deny(_) => {}
        }
    }

    /// Something was answered.
    pub(super) fn answered(&self, qlog: &Qlog<'_>) {
        let class = usize::from(qlog.code / 100).checked_sub(2).and_then(|digit| CLASSES.get(digit));
        if let Some(class) = class {
            self.replies.with_label_values(&[class]).inc();
        }
        if qlog.phase == Phase::Received && qlog.verdict == Verdict::Accepted {
            let encryption = match qlog.encryption {
                None => "none",
                Some(Encryption::Tls) => "starttls",
                Some(Encryption::Ssl) => "tls",
            };
            self.taken.with_label_values(&[encryption]).inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_session_lasts_from_its_connection_to_its_end() {
        let sessions = Sessions::register(&Registry::new()).unwrap();
        let start = Instant::now();
        let connect = Tcpserver::Connect { pid: SessionId(7), address: "192.0.2.1".parse().unwrap() };
        let end = Tcpserver::End { pid: SessionId(7), status: 0 };
        sessions.tcpserver(&connect, start);
        sessions.tcpserver(&end, start + Duration::from_secs(3));
        sessions.tcpserver(&end, start + Duration::from_secs(9));
        assert_eq!((sessions.seconds.get_sample_count(), sessions.seconds.get_sample_sum()), (1, 3.0));
    }
}
