//! What a person orders: bans, ends of bans, exemptions.

use logline::Timestamp;

use crate::control::api::{BanView, Bans, Refusal, SubjectsRequest};
use crate::control::{AllowDone, AllowTerms, BanTerms, Done, Portion, Telling};
use crate::engine::{Input, Lease, Order, Output, Release};
use crate::jail::{JailName, MANUAL, Ports};
use crate::run::acting::Cause;
use crate::run::clock;
use crate::run::daemon::Daemon;
use crate::subject::{Network, Subject};

impl Daemon {
    pub(super) fn ban(
        &mut self,
        portion: Portion<Network>,
        terms: &BanTerms,
        answer: impl FnOnce(Done) + 'static,
    ) {
        let now = clock();
        let BanTerms { length, jail, reason } = terms;
        let jails = &self.config.jails;
        let ports = jails.find(jail).map_or(Ports::All, |(_, jail)| jail.ban.ports.clone());
        if **jail != *MANUAL && jails.find(jail).is_none() {
            let known: Vec<&str> = jails.iter().map(|jail| &*jail.name).collect();
            let why = format!("there is no jail `{}`; there are: {}", jail.escape_debug(), known.join(", "));
            let refuse = |network: Network| Refusal { subject: network.to_string(), why: why.clone() };
            let refused = portion.items.into_iter().map(refuse).collect();
            return answer(Done { at: now, bans: Vec::new(), refused });
        }
        let mut out = Vec::new();
        for network in portion.items {
            let (jail, reason, ports) = (jail.clone(), reason.clone(), ports.clone());
            let order = Order { network, jail, until: now + *length, reason, ports };
            self.watch.engine.handle(now, Input::Ban(order), &mut out);
        }
        let mut done = Done { at: now, bans: Vec::new(), refused: Vec::new() };
        made(&out, |subject, lease| done.bans.push((subject.clone(), lease.clone())), &mut done.refused);
        self.order(out, portion.news, move || answer(done));
    }

    /// Does what was ordered as soon as it is written.
    fn order(&mut self, outputs: Vec<Output>, news: Telling, answer: impl FnOnce() + 'static) {
        self.saver.note(outputs.iter().cloned());
        self.save();
        let (written, wake) = (self.orders.add(outputs, news, answer), self.wake.clone());
        self.saver.flush(move || {
            written.store(true, std::sync::atomic::Ordering::Release);
            wake.wake();
        });
    }

    /// Does what is written by now.
    pub(super) fn settle(&mut self) {
        while let Some(order) = self.orders.take(std::time::Instant::now()) {
            self.carry_out(order);
        }
    }

    pub(super) fn carry_out(&mut self, order: super::orders::Order) {
        let (now, engine) = (clock(), &self.watch.engine);
        // Lines and other orders may have said something about the same network meanwhile: what holds now counts.
        let current = |output: Output| match output {
            Output::Enforce { network, ports, .. } | Output::Admit { network, ports } => {
                engine.word_on(network, &ports, now)
            }
            other => other,
        };
        let outputs = order.outputs.into_iter().map(current).collect();
        self.act_because(outputs, now, Cause::Written(order.news));
        (order.answer)();
    }

    pub(super) fn unban(&mut self, portion: Portion<Subject>) -> Done {
        let now = clock();
        let mut done = Done { at: now, bans: Vec::new(), refused: Vec::new() };
        for subject in &portion.items {
            let released = self.watch.engine.released_by(subject, now);
            if released.is_empty() {
                let why = self.not_banned(subject, now);
                done.refused.push(Refusal { subject: subject.to_string(), why });
            }
            done.bans.extend(released);
        }
        self.lift(Release::Subjects(portion.items), portion.news, &mut done);
        done
    }

    pub(super) fn lift_bans(&mut self, portion: Portion<(Subject, JailName)>) -> Done {
        let now = clock();
        let mut done = Done { at: now, bans: Vec::new(), refused: Vec::new() };
        for (subject, jail) in &portion.items {
            let bans = self.watch.engine.bans_on(std::slice::from_ref(subject), now);
            let meant = bans.into_iter().filter(|(_, lease)| lease.jail == *jail);
            done.bans.extend(meant.map(|(subject, lease)| (subject.clone(), lease.clone())));
        }
        self.lift(Release::Bans(portion.items), portion.news, &mut done);
        done
    }

    fn lift(&mut self, release: Release, news: Telling, done: &mut Done) {
        // Whom two of the names mean is let in once.
        done.bans.sort_by(|(a, x), (b, y)| (a, &x.jail).cmp(&(b, &y.jail)));
        done.bans.dedup_by(|(a, x), (b, y)| a == b && x.jail == y.jail);
        let mut out = Vec::new();
        self.watch.engine.handle(done.at, Input::Unban(release), &mut out);
        self.act_because(out, done.at, Cause::Ordered(news));
    }

    /// Why there was nothing to lift: perhaps a wider network is banned.
    fn not_banned(&self, asked: &Subject, now: Timestamp) -> String {
        let Some(network) = asked.network() else { return "not banned".to_owned() };
        let around = network.and_around();
        match self.watch.engine.bans_on(&around, now).first() {
            Some((banned, lease)) => {
                format!("not banned itself, but inside {banned} ({}): unban that", lease.jail)
            }
            None => "not banned".to_owned(),
        }
    }

    pub(super) fn allowed(&self) -> AllowDone {
        let entries = self.watch.engine.exemptions().allowed();
        let allowed = entries.map(|(network, entry)| (*network, entry.clone())).collect();
        AllowDone { allowed, refused: Vec::new() }
    }

    pub(super) fn allow(&mut self, portion: Portion<Network>, terms: &AllowTerms) -> AllowDone {
        let (now, mut out) = (clock(), Vec::new());
        let until = terms.length.map(|length| now + length);
        let networks = portion.items.clone();
        let input = Input::Allow { networks, until, note: terms.note.clone() };
        self.watch.engine.handle(now, input, &mut out);
        let mut done = AllowDone::default();
        for network in portion.items {
            match self.watch.engine.exemptions().allowance(network) {
                Some(entry) => done.allowed.push((network, entry.clone())),
                None => {
                    let why = "there are too many exemptions by hand: banctl allow list".to_owned();
                    done.refused.push(Refusal { subject: network.to_string(), why });
                }
            }
        }
        self.act_because(out, now, Cause::Ordered(portion.news));
        done
    }

    pub(super) fn disallow(&mut self, portion: Portion<Network>) -> AllowDone {
        let (now, mut out) = (clock(), Vec::new());
        let mut done = AllowDone::default();
        for network in portion.items {
            let before = self.watch.engine.exemptions().allowance(network).cloned();
            self.watch.engine.handle(now, Input::Disallow(network), &mut out);
            match before {
                Some(entry) => done.allowed.push((network, entry)),
                None => {
                    let why = self.not_allowed(network, now);
                    done.refused.push(Refusal { subject: network.to_string(), why });
                }
            }
        }
        self.act_because(out, now, Cause::Ordered(portion.news));
        done
    }

    /// Why there was no exemption to take back: perhaps it is one of another kind.
    fn not_allowed(&self, network: Network, now: Timestamp) -> String {
        let around = network.and_around();
        let around = around.iter().filter_map(Subject::network);
        let wider = around
            .filter(|wider| *wider != network)
            .find(|wider| self.watch.engine.exemptions().allowance(*wider).is_some());
        match (wider, self.watch.engine.exemption(network, now)) {
            (Some(wider), _) => format!("not exempt by hand itself, but inside {wider}: remove that"),
            (None, Some(why)) => format!("not exempt by hand, but: {why}"),
            (None, None) => "not exempt by hand".to_owned(),
        }
    }

    pub(super) fn confirm(&mut self, request: &SubjectsRequest, answer: impl FnOnce(Bans) + 'static) {
        let now = clock();
        let (mut done, mut out) = (Bans::default(), Vec::new());
        for subject in &request.subjects {
            let wanted = match subject.parse::<Subject>() {
                Ok(wanted) => wanted,
                Err(why) => {
                    done.refused.push(Refusal { subject: subject.clone(), why });
                    continue;
                }
            };
            if !self.watch.engine.asked().any(|asked| asked.subject == wanted) {
                let why = "no ban waits for a word about it".to_owned();
                done.refused.push(Refusal { subject: subject.clone(), why });
                continue;
            }
            let confirm = Input::Confirm { subject: wanted, ban: request.ban };
            self.watch.engine.handle(now, confirm, &mut out);
        }
        let mut bans = Vec::new();
        made(&out, |subject, lease| bans.push(BanView::of(subject, lease, &[], now)), &mut done.refused);
        done.bans = bans;
        self.order(out, Telling::Each, move || answer(done));
    }
}

/// What came of orders to ban: bans, and those who are exempt.
fn made(outputs: &[Output], mut ban: impl FnMut(&Subject, &Lease), refused: &mut Vec<Refusal>) {
    for output in outputs {
        match output {
            Output::Banned(made) => ban(&made.subject, &made.lease),
            Output::Spared { subject, exemption, .. } => {
                let why = format!("{exemption}: never banned");
                refused.push(Refusal { subject: subject.to_string(), why });
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
}
