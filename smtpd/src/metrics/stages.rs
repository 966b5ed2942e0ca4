//! How long each part of a session takes.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, HistogramVec, Registry};

use super::name::STAGE_SECONDS;

/// A part of a session that somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// From the connection to the first reply, with all delay that is wanted.
    Greeting,
    /// A TLS handshake.
    Handshake,
    /// A password is checked.
    Password,
    /// A mailbox is looked for.
    Recipient,
    /// A blocklist is asked, or its verdict remembered.
    Blocklist,
    /// Name servers, or the administrator's programs, are asked about a client or a sender.
    Inquiry,
    /// From the word to send the message to its being kept: the client and its network, mostly.
    Message,
    /// From the message's last byte to its being kept.
    Store,
}

impl Stage {
    /// All of them, in the order of a session.
    pub const ALL: [Stage; 8] = [
        Stage::Greeting,
        Stage::Handshake,
        Stage::Password,
        Stage::Recipient,
        Stage::Blocklist,
        Stage::Inquiry,
        Stage::Message,
        Stage::Store,
    ];

    /// Its label.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Greeting => "greeting",
            Stage::Handshake => "handshake",
            Stage::Password => "password",
            Stage::Recipient => "recipient",
            Stage::Blocklist => "blocklist",
            Stage::Inquiry => "inquiry",
            Stage::Message => "message",
            Stage::Store => "store",
        }
    }
}

/// A histogram for each stage.
#[derive(Debug)]
pub(super) struct Stages(Vec<(Stage, Histogram)>);

impl Stages {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        // From a tenth of a millisecond, which a look into a file takes, to half a minute.
        let lengths = prometheus::exponential_buckets(0.0001, 4.0, 10)?;
        let opts =
            HistogramOpts::new(STAGE_SECONDS, "How long the stages of sessions take.").buckets(lengths);
        let seconds = HistogramVec::new(opts, &["stage"])?;
        registry.register(Box::new(seconds.clone()))?;
        let stage = |stage: Stage| (stage, seconds.with_label_values(&[stage.name()]));
        Ok(Stages(Stage::ALL.map(stage).to_vec()))
    }

    pub(super) fn took(&self, stage: Stage, time: Duration) {
        if let Some((_, seconds)) = self.0.iter().find(|(other, _)| *other == stage) {
            seconds.observe(time.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_has_a_series_from_the_start_and_moves_its_own() {
        let registry = Registry::new();
        let stages = Stages::register(&registry).unwrap();
        stages.took(Stage::Recipient, Duration::from_millis(3));
        for family in registry.gather() {
            assert_eq!(family.name(), STAGE_SECONDS);
            assert_eq!(family.get_metric().len(), Stage::ALL.len());
            for metric in family.get_metric() {
                let is_moved = metric.get_label().iter().any(|label| label.value() == "recipient");
                assert_eq!(metric.get_histogram().get_sample_count(), u64::from(is_moved));
            }
        }
    }
}
