//! The rules about facts, by fact.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::fact::{Fact, View};
use crate::filter::{Condition, Filter, Matcher};

/// Which rules hold for a record, in the order of the filters: where each stands.
pub(crate) type Held = SmallVec<[Place; 2]>;

/// Where a rule stands: its filter, and its place in that.
pub(crate) type Place = (u32, u32);

/// For each fact, the rules about it.
#[derive(Debug)]
pub(super) struct FactRules {
    by_fact: Vec<Vec<FactRule>>,
}

#[derive(Debug)]
struct FactRule {
    place: Place,
    conditions: Vec<Condition>,
}

impl FactRules {
    pub(super) fn of(filters: &[Arc<Filter>]) -> Self {
        let mut by_fact: Vec<Vec<FactRule>> = Fact::ALL.iter().map(|_| Vec::new()).collect();
        for (f, filter) in (0..).zip(filters) {
            for (r, rule) in (0..).zip(&filter.rules) {
                if let Matcher::Fact(fact, conditions) = &rule.matcher
                    && let Some(rules) = by_fact.get_mut(*fact as usize)
                {
                    rules.push(FactRule { place: (f, r), conditions: conditions.clone() });
                }
            }
        }
        FactRules { by_fact }
    }

    /// The rules that hold, of those filters that hear the line.
    pub(super) fn held(&self, view: &View<'_, '_>, hears: impl Fn(u32) -> bool) -> Held {
        let rules = self.by_fact.get(view.fact as usize).map(Vec::as_slice).unwrap_or_default();
        let mut held = Held::new();
        for FactRule { place, conditions } in rules {
            if conditions.iter().all(|condition| condition.holds(view)) && hears(place.0) {
                held.push(*place);
            }
        }
        held
    }
}
