//! What is said of sources.

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec};

use super::family::{self, Maker};
use super::raise;
use crate::event::Kind;
use crate::notice;
use crate::tail::{Loss, Stats};
use crate::watch::SourceCounts;

/// The series of sources, and of what their lines tell.
#[derive(Debug)]
pub struct Sources {
    lines: IntCounterVec,
    unparsed: IntCounterVec,
    ambiguous: IntCounterVec,
    repeated: IntCounterVec,
    replaced: IntCounterVec,
    refused: IntCounterVec,
    cut: IntCounterVec,
    escaped: IntCounterVec,
    lost: IntCounterVec,
    read_bytes: IntCounterVec,
    rotations: IntCounterVec,
    lag: GaugeVec,
    last: GaugeVec,
    behind: IntGaugeVec,
    troubled: IntGaugeVec,
    silent: IntGaugeVec,
    not_understood: IntGaugeVec,
    info: IntGaugeVec,
    notices: IntCounterVec,
    events: IntCounterVec,
}

/// How a source stands now, and may stand otherwise in a moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing {
    /// It cannot be read.
    pub troubled: bool,
    /// It has said nothing for longer than it ever does.
    pub silent: bool,
    /// Its lines are no longer understood.
    pub not_understood: bool,
    /// What it is: `file`, `journal` ….
    pub kind: &'static str,
}

/// What is counted of a source beside its lines' meaning.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside {
    /// Patterns that gave up.
    pub refused: u64,
    /// Messages of more than one line.
    pub escaped: u64,
}

/// Before the first line of a source.
const UNSEEN: &str = "unseen";

impl Sources {
    pub(super) fn new(maker: &Maker) -> Self {
        let sources = Sources {
            lines: maker.counters(family::LINES),
            unparsed: maker.counters(family::UNPARSED),
            ambiguous: maker.counters(family::AMBIGUOUS),
            repeated: maker.counters(family::REPEATED),
            replaced: maker.counters(family::REPLACED),
            refused: maker.counters(family::REFUSED),
            cut: maker.counters(family::CUT),
            escaped: maker.counters(family::ESCAPED),
            lost: maker.counters(family::LOST),
            read_bytes: maker.counters(family::READ_BYTES),
            rotations: maker.counters(family::ROTATIONS),
            lag: maker.seconds(family::LAG),
            last: maker.seconds(family::LAST),
            behind: maker.gauges(family::BEHIND),
            troubled: maker.gauges(family::TROUBLED),
            silent: maker.gauges(family::SILENT),
            not_understood: maker.gauges(family::NOT_UNDERSTOOD),
            info: maker.gauges(family::SOURCE_INFO),
            notices: maker.counters(family::NOTICES),
            events: maker.counters(family::EVENTS),
        };
        for kind in Kind::ALL {
            sources.events.with_label_values(&[kind.name()]);
        }
        for kind in notice::KINDS {
            sources.notices.with_label_values(&[kind]);
        }
        sources
    }

    /// Gives a source's series their zero, so that its first line, and its first loss, is an increase.
    pub fn prepare(&self, source: &str) {
        for series in self.counted() {
            series.with_label_values(&[source]);
        }
        for reason in Loss::ALL {
            self.lost.with_label_values(&[source, reason.name()]);
        }
        for series in [&self.lag, &self.last] {
            series.with_label_values(&[source]);
        }
        for series in self.standing() {
            series.with_label_values(&[source]);
        }
    }

    /// Forgets the sources that are not among these, and how all of them stand: those that are still there are told of
    /// again.
    pub fn keep(&self, before: &[String], kept: &[String]) {
        for gone in before.iter().filter(|name| !kept.contains(name)) {
            for series in self.counted() {
                // A source that was never prepared has none.
                let _ = series.remove_label_values(&[gone]);
            }
            for reason in Loss::ALL {
                let _ = self.lost.remove_label_values(&[gone, reason.name()]);
            }
        }
        self.lag.reset();
        self.last.reset();
        self.info.reset();
        self.standing().into_iter().for_each(prometheus::core::MetricVec::reset);
    }

    /// What its lines meant, and what was read of it.
    pub fn count(&self, source: &str, counts: &SourceCounts, stats: &Stats, beside: Beside) {
        let name = &[source];
        for (series, total) in [
            (&self.lines, counts.lines),
            (&self.unparsed, counts.unknown),
            (&self.ambiguous, counts.ambiguous),
            (&self.repeated, counts.repeated),
            (&self.replaced, counts.ahead),
            (&self.refused, beside.refused),
            (&self.escaped, beside.escaped),
            (&self.cut, stats.cut_lines),
            (&self.read_bytes, stats.bytes),
            (&self.rotations, stats.rotations),
        ] {
            raise(&series.with_label_values(name), total);
        }
        for (reason, lost) in &stats.lost {
            raise(&self.lost.with_label_values(&[source, reason.name()]), *lost);
        }
        self.behind.with_label_values(name).set(i64::try_from(stats.behind_bytes).unwrap_or(i64::MAX));
        self.lag.with_label_values(name).set(counts.lag.as_secs_f64());
        if let Some(last) = counts.last {
            let since_1970 = last.since(logline::Timestamp::from_nanos(0)).as_secs_f64();
            self.last.with_label_values(name).set(since_1970);
        }
    }

    /// How it stands, and what its last line came in.
    pub fn stand(&self, source: &str, standing: Standing, envelope: Option<&str>) {
        let set = |gauge: &IntGaugeVec, is_so| gauge.with_label_values(&[source]).set(i64::from(is_so));
        set(&self.troubled, standing.troubled);
        set(&self.silent, standing.silent);
        set(&self.not_understood, standing.not_understood);
        self.info.with_label_values(&[source, standing.kind, envelope.unwrap_or(UNSEEN)]).set(1);
    }

    /// Forgets in which envelopes the last lines came; they are told again.
    pub fn forget_envelopes(&self) {
        self.info.reset();
    }

    /// All events so far, in the order of [`Kind::ALL`].
    pub fn events(&self, totals: &[u64]) {
        for (kind, total) in Kind::ALL.iter().zip(totals) {
            raise(&self.events.with_label_values(&[kind.name()]), *total);
        }
    }

    /// All notices of a kind so far.
    pub fn notices(&self, kind: &str, total: u64) {
        raise(&self.notices.with_label_values(&[kind]), total);
    }

    fn counted(&self) -> [&IntCounterVec; 10] {
        [
            &self.lines,
            &self.unparsed,
            &self.ambiguous,
            &self.repeated,
            &self.replaced,
            &self.refused,
            &self.cut,
            &self.escaped,
            &self.read_bytes,
            &self.rotations,
        ]
    }

    fn standing(&self) -> [&IntGaugeVec; 4] {
        [&self.behind, &self.troubled, &self.silent, &self.not_understood]
    }
}
