//! Answers to the questions of the control socket.

use std::collections::HashMap;
use std::time::Duration;

use logline::Timestamp;

use crate::config::Source;
use crate::control::Command;
use crate::control::api::{
    BanRequest, BanView, Bans, JailList, JailView, JailWindow, NoticeView, Refusal, SourceStatus, Status,
    UnbanRequest, rfc3339,
};
use crate::engine::{Input, Lease, Order, Output, Release};
use crate::feed::Feed;
use crate::health::Health;
use crate::jail::{Jail, JailName, MANUAL, Ports};
use crate::run::clock;
use crate::run::daemon::Daemon;
use crate::subject::{Network, Subject};
use crate::tail::SourceId;

/// A ban by hand lasts no longer; every ban ends by itself.
const BAN_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);

impl Daemon {
    /// Answers whoever asks now. An asker who went away gets none.
    pub(super) fn answer(&mut self) {
        while let Ok(question) = self.questions.try_recv() {
            match question {
                Command::Status(back) => drop(back.send(self.status())),
                Command::List(filter, back) => drop(back.send(self.list(&filter))),
                Command::Test(address, back) => drop(back.send(self.test(address))),
                Command::Why(subject, back) => drop(back.send(self.why(subject))),
                Command::Ban(request, back) => drop(back.send(self.ban(request))),
                Command::Unban(request, back) => drop(back.send(self.unban(&request))),
                Command::Allowed(back) => drop(back.send(self.allowed())),
                Command::Allow(request, back) => drop(back.send(self.allow(request))),
                Command::Disallow(request, back) => drop(back.send(self.disallow(&request))),
                Command::Asked(back) => drop(back.send(self.asked())),
                Command::Confirm(request, back) => drop(back.send(self.confirm(&request))),
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
                    self.saver.flush(done);
                }
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

    fn ban(&mut self, request: BanRequest) -> Bans {
        let now = clock();
        let BanRequest { subjects, for_seconds, jail, reason } = request;
        let length = Duration::from_secs(for_seconds).min(BAN_MAX);
        let jail: JailName = jail.as_deref().unwrap_or(MANUAL).into();
        let ports = self.config.jails.find(&jail).map_or(Ports::All, |(_, jail)| jail.ban.ports.clone());
        let mut answer = Bans::default();
        if *jail != *MANUAL && self.config.jails.find(&jail).is_none() {
            let why = format!("there is no jail `{}`", jail.escape_debug());
            answer.refused.extend(subjects.into_iter().map(|subject| Refusal { subject, why: why.clone() }));
            return answer;
        }
        let mut out = Vec::new();
        for subject in subjects {
            match subject.parse::<Network>() {
                Ok(network) => {
                    let (jail, reason, ports) = (jail.clone(), reason.clone(), ports.clone());
                    let order = Order { network, jail, until: now + length, reason, ports };
                    self.watch.engine.handle(now, Input::Ban(order), &mut out);
                }
                Err(why) => answer.refused.push(Refusal { subject, why }),
            }
        }
        for output in &out {
            match output {
                Output::Banned(ban) => answer.bans.push(BanView::of(&ban.subject, &ban.lease, &[], now)),
                Output::Spared { subject, exemption, .. } => {
                    let why = format!("{exemption}: never banned");
                    answer.refused.push(Refusal { subject: subject.to_string(), why });
                }
                Output::Enforce { .. }
                | Output::Admit { .. }
                | Output::Ended { .. }
                | Output::Asked(_)
                | Output::Allowed { .. }
                | Output::Disallowed { .. }
                | Output::Zone(_) => {}
            }
        }
        self.write_down(&out);
        self.act(out, now);
        answer
    }

    fn unban(&mut self, request: &UnbanRequest) -> Bans {
        let now = clock();
        let mut answer = Bans::default();
        let mut releases = Vec::new();
        if request.all {
            releases.push((String::new(), Release::All));
        }
        releases.extend(request.jail.iter().map(|jail| (jail.clone(), Release::Jail(jail.as_str().into()))));
        for subject in &request.subjects {
            match subject.parse() {
                Ok(parsed) => releases.push((subject.clone(), Release::Subject(parsed))),
                Err(why) => answer.refused.push(Refusal { subject: subject.clone(), why }),
            }
        }
        let mut all = Vec::new();
        for (asked, release) in releases {
            let before = self.released(&release, now);
            let ended = all.len();
            self.watch.engine.handle(now, Input::Unban(release), &mut all);
            let ended = all.get(ended..).unwrap_or_default().iter().filter_map(|output| match output {
                Output::Ended { subject, jail, .. } => before.get(&(subject.clone(), jail.clone())).cloned(),
                _ => None,
            });
            let told = answer.bans.len();
            answer.bans.extend(ended);
            if told == answer.bans.len() && !request.all {
                let why = self.not_banned(&asked, now);
                answer.refused.push(Refusal { subject: asked, why });
            }
        }
        self.act(all, now);
        answer
    }

    /// The bans that could be lifted by this, as they stand.
    fn released(&self, release: &Release, now: Timestamp) -> HashMap<(Subject, JailName), BanView> {
        let told = |(subject, lease): (&Subject, &Lease)| {
            ((subject.clone(), lease.jail.clone()), BanView::of(subject, lease, &[], now))
        };
        match release.touches() {
            Some(touched) => self.watch.engine.bans_on(&touched, now).into_iter().map(told).collect(),
            None => self.watch.engine.bans(now).map(told).collect(),
        }
    }

    /// Why there was nothing to lift: perhaps a wider network is banned.
    fn not_banned(&self, asked: &str, now: Timestamp) -> String {
        let Ok(network) = asked.parse::<Network>() else { return "not banned".to_owned() };
        let around = network.and_around();
        match self.watch.engine.bans_on(&around, now).first() {
            Some((banned, lease)) => {
                format!("not banned itself, but inside {banned} ({}): unban that", lease.jail)
            }
            None => "not banned".to_owned(),
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
