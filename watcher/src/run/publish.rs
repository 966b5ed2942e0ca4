//! Bringing the exported values up to date.

use std::time::Instant;

use crate::config::Source;
use crate::envelope::EnvelopeKind;
use crate::fail2ban::Foreign;
use crate::feed::Feed;
use crate::health::Health;
use crate::hooks::{Action, Outcome};
use crate::metrics::{Beside, Standing};
use crate::run::clock;
use crate::run::daemon::Daemon;
use crate::tail::SourceId;

impl Daemon {
    /// Brings the exported values up to date; done when somebody looks, so that it costs nothing else.
    pub(super) fn publish(&mut self) {
        let began = Instant::now();
        self.publish_sources();
        self.publish_bans();
        self.publish_firewall();
        let book = self.watch.engine.book();
        // A zone that the log alone names is no label.
        for zone in book.view(clock()).iter().filter(|zone| book.is_configured(&zone.zone)) {
            self.metrics.blocklists.stand(zone);
        }
        self.metrics.blocklists.overlap(book.overlaps());
        self.metrics.house.store_errors(self.saver.failures());
        self.publish_hooks();
        self.metrics.house.scraped_in(began.elapsed());
    }

    fn publish_sources(&self) {
        let sources = &self.metrics.sources;
        sources.forget_envelopes();
        for (id, source) in (0..).zip(&self.config.sources) {
            self.publish_standing(SourceId(id), source);
            let Some(counts) = self.watch.counts.sources.get(usize::from(id)) else { continue };
            let beside = Beside {
                refused: self.watch.foreign.get(usize::from(id)).map_or(0, Foreign::refused),
                escaped: self.sources.feeds.get(&SourceId(id)).map_or(0, Feed::escaped),
            };
            sources.count(&source.name, counts, &self.stats(SourceId(id)), beside);
        }
        sources.events(&self.watch.counts.events);
        for (kind, count) in self.sources.notices.counts() {
            sources.notices(kind, count);
        }
    }

    /// What is so now, and may be otherwise in a moment.
    fn publish_standing(&self, id: SourceId, source: &Source) {
        let health = self.sources.health.get(&source.name);
        let standing = Standing {
            troubled: self.trouble(id, source).is_some(),
            silent: health.is_some_and(|health| health.silent_for().is_some()),
            not_understood: health.is_some_and(Health::is_not_understood),
            kind: source.origin.kind(),
        };
        let counts = self.watch.counts.sources.get(usize::from(id.0));
        let envelope = counts.and_then(|counts| counts.envelope).map(EnvelopeKind::name);
        self.metrics.sources.stand(&source.name, standing, envelope);
    }

    fn publish_bans(&self) {
        let (engine, bans) = (&self.watch.engine, &self.metrics.bans);
        bans.set_active(engine.bans_in_force(), self.config.jails.iter().map(|jail| &*jail.name));
        engine.offences().for_each(|(jail, counted)| bans.set_offences(jail, counted));
        bans.set_counted(engine.counters_len(), self.config.counters_max);
    }

    fn publish_firewall(&mut self) {
        let firewall = &self.metrics.firewall;
        firewall.stand(self.enforcer.name(), self.enforcer.is_enforcing());
        self.metrics.house.ready(self.enforcer.is_whole());
        if let Some(dropped) = self.enforcer.dropped() {
            firewall.dropped(dropped);
        }
    }
}

impl Daemon {
    fn publish_hooks(&self) {
        let counts = self.desk.hooks.counts();
        for (kind, row) in Action::KINDS.iter().zip(counts.ended) {
            for (outcome, total) in Outcome::ALL.iter().zip(row) {
                self.metrics.house.hook_deliveries(kind, *outcome, total);
            }
        }
        self.metrics.house.hook_events_lost(counts.lost);
    }
}
