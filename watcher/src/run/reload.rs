//! Reading the configuration again: taken over whole, or not at all.

use crate::config::{Config, Source};
use crate::control::api::Message;
use crate::fail2ban::Foreign;
use crate::interpret::Interpreter;
use crate::news::{Item, Topic};
use crate::run::daemon::Daemon;
use crate::run::own::Surroundings;
use crate::run::words::Words;
use crate::run::{clock, sources};
use crate::store::Saved;
use crate::tail::SourceId;
use crate::watch::SourceCounts;

impl Daemon {
    /// Reads the configuration again and says what came of it.
    pub(super) fn reload(&mut self) -> Result<Message, Message> {
        let outcome = match Config::load(self.file.as_deref()) {
            Ok(config) => Ok(self.take_over(config)),
            Err(mistakes) => Err(format!("nothing was changed, the configuration has mistakes:\n{mistakes}")),
        };
        match outcome {
            Ok(message) => {
                self.metrics.house.configured(clock());
                tracing::info!("{message}");
                self.desk.tell(&Item::new(Topic::Reloaded, clock(), message.as_str()));
                Ok(Message { message })
            }
            Err(message) => {
                self.metrics.house.misconfigured();
                tracing::error!("{message}");
                self.desk.tell(&Item::new(Topic::ReloadFailed, clock(), message.as_str()));
                Err(Message { message })
            }
        }
    }

    fn take_over(&mut self, mut config: Config) -> String {
        if config.sources.is_empty() {
            sources::find_or_say(&mut config);
        }
        let fixed = [
            ("firewall", self.config.firewall != config.firewall),
            ("sandbox", self.config.sandbox != config.sandbox),
            ("database", self.config.database != config.database),
            ("socket", self.config.socket != config.socket),
            ("words", self.config.words != config.words),
            ("listen", self.config.listen != config.listen),
            ("page", self.config.page_token != config.page_token),
            ("hook", !self.desk.hooks.configure(&config.hooks)),
        ];
        let fixed: Vec<&str> =
            fixed.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect();
        self.save();
        self.change_sources(&config);
        self.change_series(&config);
        self.config = config;
        self.enforcer.set_jails(&self.config.jails);
        let (now, jails, mut out) = (clock(), self.config.jails.clone(), Vec::new());
        self.resolver.set(&self.config.exempt_hosts);
        self.surroundings = Surroundings::look(&self.config, &self.surroundings);
        let exemptions = self.exemptions();
        self.watch.engine.set_quotas(&self.config.quotas);
        self.watch.engine.reconfigure(now, jails, exemptions, &mut out);
        self.act(out, now);
        // The directory of another file may not be written to any more.
        let words = Words::of(&self.config, &self.watch.engine, now);
        self.words = words.in_place_of(&self.words);
        let taken = "the configuration was read again and taken over";
        if fixed.is_empty() {
            taken.to_owned()
        } else {
            format!("{taken}; {} only at the next start", fixed.join(", "))
        }
    }

    /// Sources that stay keep their sessions, their counts and their place in the file.
    pub(super) fn change_sources(&mut self, config: &Config) {
        let old: Vec<Source> = std::mem::take(&mut self.config.sources);
        let mut interpreters: Vec<Option<Interpreter>> =
            std::mem::take(&mut self.watch.interpreters).into_iter().map(Some).collect();
        let mut foreign = std::mem::take(&mut self.watch.foreign);
        let counts = std::mem::take(&mut self.watch.counts.sources);
        let cursors: Vec<_> = (0..).zip(&old).map(|(id, _)| self.positions(SourceId(id))).collect();
        let mut feeds = std::mem::take(&mut self.sources.feeds);
        // What goes away lets go of its address before another may want it.
        feeds.retain(|id, _| {
            let before = old.get(usize::from(id.0));
            before.is_some_and(|before| config.sources.iter().any(|source| source.name == before.name))
        });
        self.sources.health.retain(|name, _| config.sources.iter().any(|source| source.name == *name));
        let (before, kept) = (names(&old), names(&config.sources));
        self.metrics.sources.keep(&before, &kept);
        (0..).zip(&old).for_each(|(id, _)| self.tailer.unfollow(SourceId(id)));
        for (id, source) in (0..).zip(&config.sources) {
            let before = old.iter().position(|before| before.name == source.name);
            let kept = before.and_then(|index| interpreters.get_mut(index)?.take());
            let (filters, zone) = (source.filters.iter().cloned(), source.zone.clone());
            self.watch.interpreters.push(match kept {
                Some(kept) => kept.with_filters(filters, zone),
                None => Interpreter::new(filters, zone),
            });
            let mut filters = Foreign::new(&source.fail2ban);
            if let Some(before) = before.and_then(|index| foreign.get_mut(index)) {
                filters.succeed(std::mem::take(before));
            }
            self.watch.foreign.push(filters);
            let count = before.and_then(|index| counts.get(index)).cloned();
            self.watch.counts.sources.push(count.unwrap_or_else(SourceCounts::default));
            let positions = before.and_then(|index| cursors.get(index)).into_iter().flatten();
            let saved = Saved {
                cursors: positions.map(|cursor| (source.name.clone(), cursor.clone())).collect(),
                ..Saved::default()
            };
            let kept = before.and_then(|index| feeds.remove(&SourceId(u16::try_from(index).ok()?)));
            match kept {
                Some(feed) => drop(self.sources.feeds.insert(SourceId(id), feed)),
                None => self.sources.follow(&mut self.tailer, SourceId(id), source, &saved),
            }
            self.metrics.sources.prepare(&source.name);
        }
    }

    /// What is no longer configured is exported no longer; what is new begins at zero.
    fn change_series(&self, config: &Config) {
        let (bans, blocklists) = (&self.metrics.bans, &self.metrics.blocklists);
        for jail in self.config.jails.iter() {
            let same = config.jails.find(&jail.name).is_some_and(|(_, kept)| kept.mode == jail.mode);
            if !same {
                bans.forget_jail(&jail.name);
            }
        }
        config.jails.iter().for_each(|jail| bans.prepare_jail(&jail.name, jail.mode));
        for quota in &self.config.quotas {
            if !config.quotas.iter().any(|kept| kept.zone == quota.zone) {
                blocklists.forget(&quota.zone);
            }
        }
        config.quotas.iter().for_each(|quota| blocklists.prepare(&quota.zone));
    }
}

fn names(sources: &[Source]) -> Vec<String> {
    sources.iter().map(|source| source.name.clone()).collect()
}
