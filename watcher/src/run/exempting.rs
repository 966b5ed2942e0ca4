//! Answers about exemptions by hand, bans that wait for a word, budgets, and what an event would be.

use std::time::Duration;

use logline::Text;

use crate::control::api::{
    AllowRequest, AllowView, Allows, AskedList, AskedView, BanView, Bans, ExplainRequest, Explained,
    ExplainedJail, Message, Quotas, Refusal, SubjectsRequest, rfc3339,
};
use crate::engine::{Allowance, Input, Output};
use crate::event::{Event, Kind};
use crate::run::clock;
use crate::run::daemon::Daemon;
use crate::subject::{Network, Subject};

/// An exemption by hand that ends lasts no longer; without an end it lasts until it is removed.
const ALLOW_MAX: Duration = Duration::from_secs(10 * 365 * 86_400);

/// A note is kept up to this length.
const NOTE_CHARACTERS_MAX: usize = 500;

impl Daemon {
    pub(super) fn allowed(&self) -> Allows {
        let entries = self.watch.engine.exemptions().allowed();
        Allows {
            allowed: entries.map(|(network, entry)| view(*network, entry)).collect(),
            refused: Vec::new(),
        }
    }

    pub(super) fn allow(&mut self, request: AllowRequest) -> Allows {
        let AllowRequest { subjects, for_seconds, note } = request;
        let now = clock();
        let until = for_seconds.map(|seconds| now + Duration::from_secs(seconds).min(ALLOW_MAX));
        let note = note.map(|note| note.chars().take(NOTE_CHARACTERS_MAX).collect::<String>());
        self.change(subjects, "there are too many exemptions by hand", |network| Input::Allow {
            network,
            until,
            note: note.clone(),
        })
    }

    pub(super) fn disallow(&mut self, request: &SubjectsRequest) -> Allows {
        self.change(request.subjects.clone(), "not exempt by hand", Input::Disallow)
    }

    /// Does the same to each network; `why` says why there was nothing to do.
    fn change<'i>(
        &mut self,
        subjects: Vec<String>,
        why: &str,
        input: impl Fn(Network) -> Input<'i>,
    ) -> Allows {
        let now = clock();
        let (mut answer, mut all) = (Allows::default(), Vec::new());
        for subject in subjects {
            let network = match subject.parse::<Network>() {
                Ok(network) => network,
                Err(why) => {
                    answer.refused.push(Refusal { subject, why });
                    continue;
                }
            };
            let before = self.watch.engine.exemptions().allowed().find(|(net, _)| **net == network);
            let before = before.map(|(network, entry)| view(*network, entry));
            let done = all.len();
            self.watch.engine.handle(now, input(network), &mut all);
            let changed = all
                .get(done..)
                .unwrap_or_default()
                .iter()
                .any(|output| matches!(output, Output::Allowed { .. } | Output::Disallowed { .. }));
            let after = self.watch.engine.exemptions().allowed().find(|(net, _)| **net == network);
            let after = after.map(|(network, entry)| view(*network, entry));
            match after.or(before).filter(|_| changed) {
                Some(view) => answer.allowed.push(view),
                None => answer.refused.push(Refusal { subject, why: why.to_owned() }),
            }
        }
        self.act(all, now);
        answer
    }

    pub(super) fn asked(&self) -> AskedList {
        AskedList { asked: self.watch.engine.asked().map(AskedView::of).collect() }
    }

    pub(super) fn confirm(&mut self, request: &SubjectsRequest) -> Bans {
        let now = clock();
        let (mut answer, mut all) = (Bans::default(), Vec::new());
        for subject in &request.subjects {
            let wanted = match subject.parse::<Subject>() {
                Ok(wanted) => wanted,
                Err(why) => {
                    answer.refused.push(Refusal { subject: subject.clone(), why });
                    continue;
                }
            };
            if !self.watch.engine.asked().any(|asked| asked.subject == wanted) {
                let why = "no ban waits for a word about it".to_owned();
                answer.refused.push(Refusal { subject: subject.clone(), why });
                continue;
            }
            let confirm = Input::Confirm { subject: wanted, ban: request.ban };
            self.watch.engine.handle(now, confirm, &mut all);
        }
        for output in &all {
            match output {
                Output::Banned(ban) => answer.bans.push(BanView::of(&ban.subject, &ban.lease, &[], now)),
                Output::Spared { subject, exemption, .. } => {
                    let why = format!("{exemption}: never banned");
                    answer.refused.push(Refusal { subject: subject.to_string(), why });
                }
                _ => {}
            }
        }
        self.act(all, now);
        answer
    }

    pub(super) fn quota(&self) -> Quotas {
        Quotas { zones: self.watch.engine.book().view(clock()) }
    }

    pub(super) fn explain(&self, request: &ExplainRequest) -> Result<Explained, Message> {
        let now = clock();
        let kind: Kind = request.kind.parse().map_err(|message| Message { message })?;
        let network: Network = request.address.parse().map_err(|message| Message { message })?;
        let fields =
            request.fields.iter().map(|(name, value)| (name.as_str(), Text::from(value.as_str()))).collect();
        let address = Some(network.net().addr());
        let event = Event { kind, at: now, address, weight: 1, fields, line: b"" };
        let jails = self.watch.engine.explain(now, &event);
        Ok(Explained { jails: jails.iter().map(ExplainedJail::of).collect() })
    }
}

fn view(network: Network, entry: &Allowance) -> AllowView {
    AllowView {
        subject: network.to_string(),
        since: rfc3339(entry.since),
        until: entry.until.map(rfc3339),
        note: entry.note.clone(),
    }
}
