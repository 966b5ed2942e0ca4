//! One call for one fact: the journal's line and the counter it moves cannot disagree.

use std::io;

use logline::Record;

use crate::config::Log;
use crate::journal::Journal;
use crate::metrics::Metrics;

/// Journal and metrics of one server. Diagnostics are `tracing`'s and never meet them.
#[derive(Debug)]
pub struct Telemetry {
    journal: Journal,
    metrics: Metrics,
}

impl Telemetry {
    /// Opens the journal and sets all counters to zero.
    ///
    /// # Errors
    /// Where the journal's file cannot be opened.
    pub fn open(log: &Log) -> io::Result<Self> {
        let metrics = Metrics::new();
        Ok(Telemetry { journal: Journal::open(log, &metrics)?, metrics })
    }

    /// For one session under tcpserver: facts go to standard error, as qmail-smtpd's do.
    pub fn stderr(log: &Log) -> Self {
        let metrics = Metrics::new();
        Telemetry { journal: Journal::stderr(log, &metrics), metrics }
    }

    /// Sends what is left to a watcher that listens at the log's socket.
    pub fn close(&self) {
        self.journal.close();
    }

    /// Writes a fact down and counts it.
    pub fn note(&self, record: &Record<'_>) {
        self.journal.write(record);
        self.metrics.count(record);
    }

    /// The counters.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Opens the journal's file again, after it was moved away.
    ///
    /// # Errors
    /// Where it cannot be opened; the old one is written on.
    pub fn reopen(&self) -> io::Result<()> {
        self.journal.reopen()
    }
}
