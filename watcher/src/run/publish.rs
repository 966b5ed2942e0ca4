//! Bringing the exported values up to date.

use logline::Timestamp;

use crate::config::Source;
use crate::envelope::EnvelopeKind;
use crate::event::Kind;
use crate::fail2ban::Foreign;
use crate::feed::Feed;
use crate::health::Health;
use crate::quota::ZoneView;
use crate::run::clock;
use crate::run::daemon::Daemon;
use crate::tail::SourceId;

impl Daemon {
    /// Brings the exported values up to date; done when somebody looks, so that it costs nothing else.
    pub(super) fn publish(&mut self) {
        let now = clock();
        self.metrics.source_info.reset();
        for (id, source) in (0..).zip(&self.config.sources) {
            self.publish_standing(SourceId(id), source);
            let Some(counts) = self.watch.counts.sources.get(usize::from(id)) else { continue };
            let name = &[source.name.as_str()];
            raise(&self.metrics.lines.with_label_values(name), counts.lines);
            raise(&self.metrics.unparsed.with_label_values(name), counts.unknown);
            raise(&self.metrics.ambiguous.with_label_values(name), counts.ambiguous);
            raise(&self.metrics.repeated.with_label_values(name), counts.repeated);
            raise(&self.metrics.replaced.with_label_values(name), counts.ahead);
            let refused = self.watch.foreign.get(usize::from(id)).map_or(0, Foreign::refused);
            raise(&self.metrics.refused.with_label_values(name), refused);
            let stats = self.stats(SourceId(id));
            raise(&self.metrics.cut.with_label_values(name), stats.cut_lines);
            let behind = i64::try_from(stats.behind_bytes).unwrap_or(i64::MAX);
            self.metrics.behind.with_label_values(name).set(behind);
            self.metrics.lag.with_label_values(name).set(counts.lag.as_secs_f64());
            let escaped = self.sources.feeds.get(&SourceId(id)).map_or(0, Feed::escaped);
            raise(&self.metrics.escaped.with_label_values(name), escaped);
            for (reason, lost) in &stats.lost {
                raise(&self.metrics.lost.with_label_values(&[source.name.as_str(), reason.name()]), *lost);
            }
        }
        for (kind, count) in Kind::ALL.iter().zip(self.watch.counts.events) {
            raise(&self.metrics.events.with_label_values(&[kind.name()]), count);
        }
        for (kind, count) in self.sources.notices.counts() {
            raise(&self.metrics.notices.with_label_values(&[kind]), count);
        }
        self.metrics.bans_active.set(i64::try_from(self.watch.engine.bans_len(now)).unwrap_or(i64::MAX));
        self.metrics.counted.set(i64::try_from(self.watch.engine.counters_len()).unwrap_or(i64::MAX));
        for zone in self.watch.engine.book().view(now) {
            // A zone that the log alone names is no label.
            if self.watch.engine.book().is_configured(&zone.zone) {
                self.publish_zone(&zone);
            }
        }
        raise(&self.metrics.store_errors, self.saver.failures());
        if let Some((packets, bytes)) = self.enforcer.dropped() {
            raise(&self.metrics.dropped_packets, packets);
            raise(&self.metrics.dropped_bytes, bytes);
        }
    }

    /// What is so now, and may be otherwise in a moment.
    fn publish_standing(&self, id: SourceId, source: &Source) {
        let (name, metrics) = (source.name.as_str(), &self.metrics);
        let set = |gauge: &prometheus::IntGaugeVec, is_so| {
            gauge.with_label_values(&[name]).set(i64::from(is_so));
        };
        let health = self.sources.health.get(name);
        set(&metrics.troubled, self.trouble(id, source).is_some());
        set(&metrics.silent, health.is_some_and(|health| health.silent_for().is_some()));
        set(&metrics.not_understood, health.is_some_and(Health::is_not_understood));
        let counts = self.watch.counts.sources.get(usize::from(id.0));
        if let Some(last) = counts.and_then(|counts| counts.last) {
            let since_1970 = last.since(Timestamp::from_nanos(0)).as_secs_f64();
            metrics.last.with_label_values(&[name]).set(since_1970);
        }
        let envelope = counts.and_then(|counts| counts.envelope).map_or("unseen", EnvelopeKind::name);
        metrics.source_info.with_label_values(&[name, source.origin.kind(), envelope]).set(1);
    }
}

impl Daemon {
    fn publish_zone(&self, view: &ZoneView) {
        let (metrics, zone) = (&self.metrics, &[view.zone.as_str()]);
        metrics.prepare_zone(&view.zone);
        raise(&metrics.dnsbl_queries.with_label_values(zone), view.queries);
        raise(&metrics.dnsbl_listings.with_label_values(zone), view.listed);
        raise(&metrics.dnsbl_errors.with_label_values(zone), view.errors);
        let avoided = &view.avoided;
        for (by, count) in [("ban", avoided.bans), ("cache", avoided.cache), ("known", avoided.known)] {
            raise(&metrics.dnsbl_avoided.with_label_values(&[view.zone.as_str(), by]), count);
        }
        let left = view.left.map_or(i64::MAX, |left| i64::try_from(left).unwrap_or(i64::MAX));
        metrics.dnsbl_remaining.with_label_values(zone).set(left);
        metrics.dnsbl_exhausted.with_label_values(zone).set(view.forecast.spent.unwrap_or(0));
        metrics.dnsbl_off.with_label_values(zone).set(i64::from(view.off.is_some()));
    }
}

/// Brings a counter up to a total that is counted elsewhere. A total that began anew adds nothing until it has caught
/// up.
fn raise(counter: &prometheus::IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}
