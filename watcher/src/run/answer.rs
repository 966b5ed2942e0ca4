//! Answers to the questions of the control socket.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::config::Source;
use crate::control::Command;
use crate::control::api::{JailList, JailView, JailWindow, NoticeView, SourceStatus, Status, rfc3339};
use crate::feed::Feed;
use crate::health::Health;
use crate::jail::Jail;
use crate::run::clock;
use crate::run::daemon::Daemon;
use crate::tail::SourceId;

/// So long questions are answered before lines are read again.
const ANSWER_FOR: Duration = Duration::from_millis(2);

impl Daemon {
    /// Answers whoever asks now, for a moment, and tells whether there may be more. An asker who went away gets no answer.
    pub(super) fn answer(&mut self) -> bool {
        let until = Instant::now() + ANSWER_FOR;
        while let Ok(question) = self.questions.try_recv() {
            self.answer_one(question);
            if Instant::now() >= until {
                return true;
            }
        }
        false
    }

    fn answer_one(&mut self, question: Command) {
        match question {
            Command::Status(back) => drop(back.send(self.status())),
            Command::List(part, filter, back) => drop(back.send(self.list(part, &filter))),
            Command::Test(address, back) => drop(back.send(self.test(address))),
            Command::Why(subject, back) => drop(back.send(self.why(subject))),
            Command::Ban(portion, terms, back) => self.ban(portion, &terms, |done| drop(back.send(done))),
            Command::Unban(portion, back) => drop(back.send(self.unban(portion))),
            Command::Lift(portion, back) => drop(back.send(self.lift_bans(portion))),
            Command::Allowed(back) => drop(back.send(self.allowed())),
            Command::Allow(portion, terms, back) => drop(back.send(self.allow(portion, &terms))),
            Command::Disallow(portion, back) => drop(back.send(self.disallow(portion))),
            Command::Asked(back) => drop(back.send(self.asked())),
            Command::Confirm(request, back) => self.confirm(&request, |done| drop(back.send(done))),
            Command::Quota(back) => drop(back.send(self.quota())),
            Command::Explain(request, back) => drop(back.send(self.explain(&request))),
            Command::Jails(back) => drop(back.send(self.jails())),
            Command::Reload(back) => drop(back.send(self.reload())),
            Command::Publish(back) => {
                self.publish();
                let _ = back.send(());
            }
            Command::Flush(done) => {
                self.save();
                // Who asked may have gone.
                self.saver.flush(move || {
                    let _ = done.send(());
                });
            }
        }
    }

    fn status(&self) -> Status {
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ready: self.enforcer.is_whole(),
            firewall: self.enforcer.name().to_owned(),
            firewall_trouble: self.enforcer.trouble.clone(),
            active: self.watch.engine.bans_len(clock()),
            counted: self.watch.engine.counters_len(),
            since: rfc3339(self.started),
            sources: (0..).zip(&self.config.sources).map(|(id, source)| self.source(id, source)).collect(),
            notices: self.sources.notices.latest().map(NoticeView::of).collect(),
        }
    }

    fn source(&self, id: u16, source: &Source) -> SourceStatus {
        let counts = self.watch.counts.sources.get(usize::from(id)).cloned().unwrap_or_default();
        let feed = self.sources.feeds.get(&SourceId(id));
        let stats = self.stats(SourceId(id));
        let (now, health) = (clock(), self.sources.health.get(&source.name));
        let pace = health.map(|health| health.pace(now, counts.lines, counts.unknown));
        SourceStatus {
            name: source.name.clone(),
            kind: source.origin.kind().to_owned(),
            trouble: self.trouble(SourceId(id), source),
            ended: feed.and_then(Feed::end).map(str::to_owned),
            envelope: counts.envelope.map(|envelope| envelope.name().to_owned()),
            lines: counts.lines,
            lines_per_second: pace.map_or(0.0, |pace| pace.lines_per_second),
            unknown_share: pace.and_then(|pace| pace.unknown_share),
            not_understood: health.is_some_and(Health::is_not_understood),
            silent_seconds: health.and_then(Health::silent_for).map(|quiet| quiet.as_secs()),
            unknown: counts.unknown,
            ambiguous: counts.ambiguous,
            cut: stats.cut_lines,
            escaped: feed.map_or(0, Feed::escaped),
            lost: stats.lost.values().sum(),
            lost_by_reason: stats.lost.iter().map(|(reason, n)| (reason.name().to_owned(), *n)).collect(),
            replaced: counts.ahead,
            behind_bytes: stats.behind_bytes,
            lag_seconds: counts.lag.as_secs_f64(),
            last: counts.last.map(rfc3339),
            last_age_seconds: counts.last.map(|last| now.since(last).as_secs_f64()),
        }
    }

    fn jails(&self) -> JailList {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        let in_force = self.watch.engine.bans_in_force().iter();
        in_force.for_each(|row| *counts.entry(&row.jail).or_default() += row.total());
        let active = |jail: &Jail| counts.get(&*jail.name).copied().unwrap_or_default();
        let window = |window: &crate::jail::Window| JailWindow {
            threshold: window.threshold,
            within_seconds: window.within.as_secs(),
        };
        let view = |jail: &std::sync::Arc<Jail>| JailView {
            name: jail.name.to_string(),
            about: jail.about.clone(),
            mode: jail.mode,
            on: jail.on.iter().map(ToString::to_string).collect(),
            threshold: jail.threshold,
            within_seconds: jail.within.as_secs(),
            also: jail.also.iter().map(window).collect(),
            ban_seconds: jail.ban.first.as_secs(),
            active: active(jail),
        };
        JailList { jails: self.config.jails.iter().map(view).collect() }
    }
}
