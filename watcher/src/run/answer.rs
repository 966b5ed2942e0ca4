//! Answers to the questions of the control socket.

use std::time::Duration;

use crate::config::Source;
use crate::control::Command;
use crate::control::api::{
    BanRequest, BanView, Bans, JailList, JailView, Refusal, SourceStatus, Standing, Status, UnbanRequest,
    rfc3339,
};
use crate::engine::{Input, Lease, Order, Output, Release};
use crate::event::Kind;
use crate::jail::{Jail, MANUAL, Ports};
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
                Command::List(back) => drop(back.send(self.list())),
                Command::Standing(subject, back) => drop(back.send(self.standing(&subject))),
                Command::Ban(request, back) => drop(back.send(self.ban(request))),
                Command::Unban(request, back) => drop(back.send(self.unban(&request))),
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
        }
    }

    fn source(&self, id: u16, source: &Source) -> SourceStatus {
        let counts = self.watch.counts.sources.get(usize::from(id)).cloned().unwrap_or_default();
        let stats = self.tailer.stats(SourceId(id));
        SourceStatus {
            name: source.name.clone(),
            lines: counts.lines,
            unknown: counts.unknown,
            ambiguous: counts.ambiguous,
            lost: stats.lost.values().sum(),
            behind_bytes: stats.behind_bytes,
            last: counts.last.map(rfc3339),
        }
    }

    fn list(&self) -> Bans {
        let now = clock();
        let mut bans: Vec<(&Subject, &Lease)> = self.watch.engine.bans(now).collect();
        bans.sort_by(|(a, x), (b, y)| (x.until, a).cmp(&(y.until, b)));
        let bans = bans.into_iter().map(|(subject, lease)| BanView::of(subject, lease, &[], now)).collect();
        Bans { bans, refused: Vec::new() }
    }

    fn standing(&self, subject: &Subject) -> (Vec<Standing>, Option<String>) {
        let Subject::Network(network) = subject else { return (Vec::new(), None) };
        let now = clock();
        let mut asked = vec![*network];
        if network.is_host() {
            asked.push(Network::around(network.net().addr(), 32, 64));
        }
        asked.dedup();
        let all = asked.iter().flat_map(|network| self.watch.engine.standing(*network, now));
        let standing = all
            .map(|(jail, count, threshold)| Standing { jail: jail.to_string(), count, threshold })
            .collect();
        (standing, self.watch.engine.exemption(*network).map(|why| why.to_string()))
    }

    fn ban(&mut self, request: BanRequest) -> Bans {
        let now = clock();
        let BanRequest { subjects, for_seconds, jail, reason } = request;
        let length = Duration::from_secs(for_seconds).min(BAN_MAX);
        let jail: crate::jail::JailName = jail.as_deref().unwrap_or(MANUAL).into();
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
                Output::Enforce { .. } | Output::Admit { .. } | Output::Ended { .. } => {}
            }
        }
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
        let before: std::collections::HashMap<(Subject, String), BanView> = self
            .watch
            .engine
            .bans(now)
            .map(|(s, lease)| ((s.clone(), lease.jail.to_string()), BanView::of(s, lease, &[], now)))
            .collect();
        let mut all = Vec::new();
        for (asked, release) in releases {
            let mut out = Vec::new();
            self.watch.engine.handle(now, Input::Unban(release), &mut out);
            let ended = out.iter().filter_map(|output| match output {
                Output::Ended { subject, jail, .. } => {
                    before.get(&(subject.clone(), jail.to_string())).cloned()
                }
                _ => None,
            });
            let lifted: Vec<BanView> = ended.collect();
            if lifted.is_empty() && !request.all {
                let why = self.not_banned(&asked);
                answer.refused.push(Refusal { subject: asked, why });
            }
            answer.bans.extend(lifted);
            all.extend(out);
        }
        self.act(all, now);
        answer
    }

    /// Why there was nothing to lift: perhaps a wider network is banned.
    fn not_banned(&self, asked: &str) -> String {
        let Ok(network) = asked.parse::<Network>() else { return "not banned".to_owned() };
        let now = clock();
        let wider = self.watch.engine.bans(now).find_map(|(subject, lease)| {
            let banned = subject.network()?;
            banned.contains(network.net().addr()).then(|| (banned, lease.jail.clone()))
        });
        match wider {
            Some((banned, jail)) => format!("not banned itself, but inside {banned} ({jail}): unban that"),
            None => "not banned".to_owned(),
        }
    }

    fn jails(&self) -> JailList {
        let now = clock();
        let active =
            |jail: &Jail| self.watch.engine.bans(now).filter(|(_, lease)| lease.jail == jail.name).count();
        let view = |jail: &std::sync::Arc<Jail>| JailView {
            name: jail.name.to_string(),
            about: jail.about.clone(),
            mode: jail.mode,
            on: jail.on.iter().map(ToString::to_string).collect(),
            threshold: jail.threshold,
            within_seconds: jail.within.as_secs(),
            ban_seconds: jail.ban.first.as_secs(),
            active: active(jail),
        };
        JailList { jails: self.config.jails.iter().map(view).collect() }
    }

    /// Brings the exported values up to date; done when somebody looks, so that it costs nothing else.
    fn publish(&mut self) {
        let now = clock();
        for (id, source) in (0..).zip(&self.config.sources) {
            let Some(counts) = self.watch.counts.sources.get(usize::from(id)) else { continue };
            let name = &[source.name.as_str()];
            raise(&self.metrics.lines.with_label_values(name), counts.lines);
            raise(&self.metrics.unparsed.with_label_values(name), counts.unknown);
            raise(&self.metrics.ambiguous.with_label_values(name), counts.ambiguous);
            raise(&self.metrics.repeated.with_label_values(name), counts.repeated);
            let stats = self.tailer.stats(SourceId(id));
            let behind = i64::try_from(stats.behind_bytes).unwrap_or(i64::MAX);
            self.metrics.behind.with_label_values(name).set(behind);
            self.metrics.lag.with_label_values(name).set(counts.lag.as_secs_f64());
            for (reason, lost) in &stats.lost {
                raise(&self.metrics.lost.with_label_values(&[source.name.as_str(), reason.name()]), *lost);
            }
        }
        for (kind, count) in Kind::ALL.iter().zip(self.watch.counts.events) {
            raise(&self.metrics.events.with_label_values(&[kind.name()]), count);
        }
        self.metrics.bans_active.set(i64::try_from(self.watch.engine.bans_len(now)).unwrap_or(i64::MAX));
        self.metrics.counted.set(i64::try_from(self.watch.engine.counters_len()).unwrap_or(i64::MAX));
        raise(&self.metrics.store_errors, self.saver.failures());
        if let Some((packets, bytes)) = self.enforcer.dropped() {
            raise(&self.metrics.dropped_packets, packets);
            raise(&self.metrics.dropped_bytes, bytes);
        }
    }
}

/// Brings a counter up to a total that is counted elsewhere. A total that began anew adds nothing until it has caught
/// up.
fn raise(counter: &prometheus::IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}
