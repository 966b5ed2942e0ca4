//! Which bans a list is to have, and in what order: pages that fit together while bans come and go.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use logline::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::Lease;
use crate::jail::Mode;
use crate::subject::{Network, Subject};

/// `GET /v1/bans?…`: each of these leaves bans out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Of these jails, with commas between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jail: Option<String>,
    /// That have an address in common with this network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// Begun no earlier, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Enforced, or of a jail that only watches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// In what order; the next to end first, unless told otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// No more than so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Only what comes after this: what the last page gave as `next`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The next to end first.
    #[default]
    Until,
    /// The newest first.
    Newest,
    /// By address.
    Subject,
    /// By jail, then by address.
    Jail,
}

/// What a query leaves out, checked.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    jails: Option<Vec<String>>,
    network: Option<Network>,
    since: Option<Timestamp>,
    mode: Option<Mode>,
}

/// A ban's place in a list: all that its order goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    at: i64,
    jail: String,
    subject: Subject,
}

impl ListQuery {
    /// What it leaves out; in words, what is wrong with it.
    pub(crate) fn filter(&self) -> Result<Filter, String> {
        let jails = self.jail.as_ref().map(|names| names.split(',').map(str::to_owned).collect());
        let since = self.since.as_deref().map(instant).transpose()?;
        Ok(Filter { jails, network: self.network, since, mode: self.mode })
    }
}

/// An instant that was written in RFC 3339.
pub(crate) fn instant(text: &str) -> Result<Timestamp, String> {
    let parsed = text.parse::<jiff::Timestamp>().ok();
    let nanos = parsed.and_then(|at| i64::try_from(at.as_nanosecond()).ok());
    nanos.map(Timestamp::from_nanos).ok_or_else(|| {
        format!("`{}` is no time in RFC 3339, as 2026-11-21T04:07:06Z is one", text.escape_debug())
    })
}

impl Filter {
    /// The bans of one jail.
    pub(crate) fn of_jail(jail: String) -> Filter {
        Filter { jails: Some(vec![jail]), ..Filter::default() }
    }

    /// Whether a ban is in the list.
    pub(crate) fn takes(&self, subject: &Subject, lease: &Lease) -> bool {
        self.jails.as_ref().is_none_or(|jails| jails.iter().any(|jail| **jail == *lease.jail))
            && self.since.is_none_or(|since| lease.from >= since)
            && self.mode.is_none_or(|mode| lease.mode == mode)
            && self.network.is_none_or(|wanted| subject.network().is_some_and(|n| n.overlaps(wanted)))
    }
}

impl Mark {
    /// The place of a ban.
    pub fn of(order: Order, (subject, lease): (&Subject, &Lease)) -> Mark {
        let at = when(order, lease);
        Mark { at, jail: lease.jail.to_string(), subject: subject.clone() }
    }

    /// Whether this place comes before the one of a ban.
    pub fn is_before(&self, order: Order, (subject, lease): (&Subject, &Lease)) -> bool {
        let mine = (self.at, self.jail.as_str(), &self.subject);
        order.compare_places(mine, (when(order, lease), &lease.jail, subject)).is_lt()
    }
}

impl Order {
    /// Which of two bans comes first.
    pub fn compare(self, (a, x): (&Subject, &Lease), (b, y): (&Subject, &Lease)) -> Ordering {
        self.compare_places((when(self, x), &x.jail, a), (when(self, y), &y.jail, b))
    }

    fn compare_places(self, a: (i64, &str, &Subject), b: (i64, &str, &Subject)) -> Ordering {
        match self {
            Order::Jail => a.1.cmp(b.1).then_with(|| a.2.cmp(b.2)),
            Order::Until | Order::Newest | Order::Subject => {
                a.0.cmp(&b.0).then_with(|| a.2.cmp(b.2)).then_with(|| a.1.cmp(b.1))
            }
        }
    }
}

/// The time that an order goes by.
fn when(order: Order, lease: &Lease) -> i64 {
    match order {
        Order::Until => lease.until.nanos(),
        // The latest comes first.
        Order::Newest => lease.from.nanos().saturating_neg(),
        Order::Subject | Order::Jail => 0,
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The subject is last, since an account may be called anything.
        write!(f, "{} {} {}", self.at, self.jail, self.subject)
    }
}

impl FromStr for Mark {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "`after` is none that a page gave as `next`".to_owned();
        let mut parts = text.splitn(3, ' ');
        let mut part = || parts.next().ok_or_else(wrong);
        let at = part()?.parse().map_err(|_| wrong())?;
        let jail = part()?.to_owned();
        let subject = part()?.parse().map_err(|_| wrong())?;
        Ok(Mark { at, jail, subject })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Terms;
    use crate::jail::Ports;

    fn ban(subject: &str, jail: &str, from: i64, until: i64) -> (Subject, Lease) {
        let terms = Terms { jail: jail.into(), mode: Mode::Enforce, ports: Ports::All, reason: None };
        let (from, until) = (Timestamp::from_seconds(from), Timestamp::from_seconds(until));
        let lease = Lease { from, until, terms: terms.into(), before: 0 };
        (subject.parse().unwrap(), lease)
    }

    #[track_caller]
    fn check_order(order: Order, expected: [&str; 3]) {
        let bans =
            [ban("192.0.2.9", "b", 30, 60), ban("192.0.2.1", "c", 10, 90), ban("user:x y", "a", 20, 70)];
        let mut bans: Vec<(&Subject, &Lease)> =
            bans.iter().map(|(subject, lease)| (subject, lease)).collect();
        bans.sort_by(|a, b| order.compare(*a, *b));
        assert_eq!(bans.iter().map(|(subject, _)| subject.to_string()).collect::<Vec<_>>(), expected);
        for (n, ban) in bans.iter().enumerate() {
            let mark = Mark::of(order, *ban);
            for (m, other) in bans.iter().enumerate() {
                assert_eq!(mark.is_before(order, *other), n < m);
            }
            assert_eq!(mark.to_string().parse(), Ok(mark));
        }
    }

    #[test]
    fn a_list_has_the_order_that_was_asked_for_and_its_marks_read_back_equal() {
        check_order(Order::Until, ["192.0.2.9", "user:x y", "192.0.2.1"]);
        check_order(Order::Newest, ["192.0.2.9", "user:x y", "192.0.2.1"]);
        check_order(Order::Subject, ["192.0.2.1", "192.0.2.9", "user:x y"]);
        check_order(Order::Jail, ["user:x y", "192.0.2.9", "192.0.2.1"]);
    }

    #[track_caller]
    fn check_taken(query: &ListQuery, expected: &[&str]) {
        let bans =
            [ban("192.0.2.9", "b", 30, 60), ban("198.51.100.0/24", "c", 10, 90), ban("user:x", "b", 20, 70)];
        let filter = query.filter().unwrap();
        let taken = bans.iter().filter(|(subject, lease)| filter.takes(subject, lease));
        assert_eq!(taken.map(|(subject, _)| subject.to_string()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn each_key_of_a_query_leaves_bans_out() {
        let query = ListQuery::default;
        check_taken(&query(), &["192.0.2.9", "198.51.100.0/24", "user:x"]);
        check_taken(&ListQuery { jail: Some("b,d".into()), ..query() }, &["192.0.2.9", "user:x"]);
        let network = |text: &str| Some(text.parse().unwrap());
        check_taken(&ListQuery { network: network("192.0.2.0/24"), ..query() }, &["192.0.2.9"]);
        check_taken(&ListQuery { network: network("198.51.100.7"), ..query() }, &["198.51.100.0/24"]);
        check_taken(
            &ListQuery { since: Some("1970-01-01T00:00:20Z".into()), ..query() },
            &["192.0.2.9", "user:x"],
        );
        check_taken(&ListQuery { mode: Some(Mode::Watch), ..query() }, &[]);
        assert!(ListQuery { since: Some("yesterday".into()), ..query() }.filter().is_err());
        assert!("12".parse::<Mark>().is_err());
    }
}
