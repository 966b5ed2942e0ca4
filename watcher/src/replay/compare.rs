//! Two configurations over the same log: ban by ban, what the second one would do differently.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::json;
use settings::duration::human;

use crate::control::api::BanView;
use crate::engine::Ban;
use crate::replay::Outcome;
use crate::replay::report::view;

/// What differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Bans of the first configuration alone.
    pub gone: Vec<Ban>,
    /// Bans of the second one alone.
    pub new: Vec<Ban>,
    /// Bans of both, that begin or end at another time, or close other ports.
    pub other: Vec<(Ban, Ban)>,
    /// Bans of both that are the same.
    pub same: usize,
}

impl Difference {
    /// Compares two replays of one log. The n-th ban of a subject by a jail is compared with the n-th.
    pub fn of(first: &Outcome, second: &Outcome) -> Self {
        let (first, second) = (by_subject(&first.bans), by_subject(&second.bans));
        let mut difference = Difference { gone: Vec::new(), new: Vec::new(), other: Vec::new(), same: 0 };
        for (key, ban) in &first {
            match second.get(key) {
                None => difference.gone.push((*ban).clone()),
                Some(other) if ban.lease == other.lease => difference.same += 1,
                Some(other) => difference.other.push(((*ban).clone(), (*other).clone())),
            }
        }
        let new = second.iter().filter(|(key, _)| !first.contains_key(*key));
        difference.new = new.map(|(_, ban)| (*ban).clone()).collect();
        difference.gone.sort_by_key(|ban| ban.lease.from);
        difference.new.sort_by_key(|ban| ban.lease.from);
        difference.other.sort_by_key(|(ban, _)| ban.lease.from);
        difference
    }

    /// In words: `-` what goes, `+` what comes, `~` what changes.
    pub fn text(&self) -> String {
        let mut told = String::new();
        let mut line = |sign: char, ban: &Ban| {
            let view = view(ban);
            let length = human(ban.lease.until.since(ban.lease.from));
            let _ = writeln!(told, "{sign} {}  {}  {}  for {length}", view.from, view.subject, view.jail);
        };
        self.gone.iter().for_each(|ban| line('-', ban));
        self.new.iter().for_each(|ban| line('+', ban));
        for (before, after) in &self.other {
            line('~', before);
            line('>', after);
        }
        let (gone, new, other, same) = (self.gone.len(), self.new.len(), self.other.len(), self.same);
        let _ = writeln!(told, "{gone} bans less, {new} more, {other} changed, {same} the same");
        told
    }

    /// For a program.
    pub fn json(&self) -> serde_json::Value {
        let all = |bans: &[Ban]| -> Vec<BanView> { bans.iter().map(view).collect() };
        let other: Vec<_> = self
            .other
            .iter()
            .map(|(before, after)| json!({ "before": view(before), "after": view(after) }))
            .collect();
        json!({ "gone": all(&self.gone), "new": all(&self.new), "changed": other, "same": self.same })
    }
}

type Nth = (String, String, usize);

fn by_subject(bans: &[Ban]) -> BTreeMap<Nth, &Ban> {
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    let key = |ban: &Ban| (ban.subject.to_string(), ban.lease.jail.to_string());
    let numbered = bans.iter().map(|ban| {
        let (subject, jail) = key(ban);
        let count = counts.entry((subject.clone(), jail.clone())).or_default();
        *count += 1;
        ((subject, jail, *count), ban)
    });
    numbered.collect()
}
