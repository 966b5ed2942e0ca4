//! What a replay came to, for a person and for a program.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;
use settings::duration::human;

use crate::control::api::{BanView, rfc3339};
use crate::engine::Ban;
use crate::replay::{JailJudgement, Outcome};

/// The whole, as JSON: bans under `bans`, what was read under `lines`.
pub fn json(outcome: &Outcome) -> serde_json::Value {
    let bans: Vec<BanView> = outcome.bans.iter().map(view).collect();
    let source = outcome.lines();
    json!({
        "bans": bans,
        "spared": outcome.spared,
        "judgement": outcome.judgement,
        "lines": {
            "read": source.lines,
            "unknown": source.unknown,
            "ambiguous": source.ambiguous,
            "repeated": source.repeated,
        },
        "from": outcome.span.map(|(first, _)| rfc3339(first)),
        "until": outcome.span.map(|(_, last)| rfc3339(last)),
    })
}

/// A ban as it was when it fell: all of its time was before it.
pub(super) fn view(ban: &Ban) -> BanView {
    BanView::of(&ban.subject, &ban.lease, &ban.evidence, ban.lease.from)
}

/// The whole, in words.
pub fn text(outcome: &Outcome) -> String {
    let mut told = String::new();
    for ban in &outcome.bans {
        let view = view(ban);
        let length = human(ban.lease.until.since(ban.lease.from));
        let _ = writeln!(told, "{}  {}  {}  for {length}", view.from, view.subject, view.jail);
        for evidence in &view.evidence {
            let _ = writeln!(told, "    {}", evidence.line);
        }
    }
    let source = outcome.lines();
    let _ = writeln!(
        told,
        "{} lines over {}: {} unknown, {} ambiguous, {} repeated",
        source.lines,
        human(outcome.length()),
        source.unknown,
        source.ambiguous,
        source.repeated
    );
    let _ = writeln!(told, "{} bans{}", outcome.bans.len(), by_jail(outcome));
    if outcome.spared > 0 {
        let _ = writeln!(told, "{} more would have hit somebody exempt", outcome.spared);
    }
    for jail in &outcome.judgement.jails {
        let _ = writeln!(
            told,
            "{}: {} bans, {} of customers who log in, {} of servers whose mail was accepted; {} offences and connections prevented, lead {}",
            jail.jail,
            jail.bans,
            jail.customers_login,
            jail.customers_mail,
            jail.prevented,
            lead(jail)
        );
    }
    for customer in &outcome.judgement.customers {
        let what =
            if customer.login { "somebody logs in from there" } else { "mail from there was accepted" };
        let _ = writeln!(told, "  customer {} ({}): {what}", customer.subject, customer.jail);
    }
    for zone in &outcome.judgement.zones {
        let _ = write!(told, "{}: {} queries, {} with the bans", zone.zone, zone.without, zone.with);
        let days = outcome.length().as_secs_f64() / 86_400.0;
        if let Some(limit) = zone.limit.filter(|_| days >= 0.5) {
            #[expect(clippy::cast_precision_loss, reason = "a count of queries is far below 2^52")]
            let daily = |queries: u64| queries as f64 / days;
            let (without, with) = (daily(zone.without), daily(zone.with));
            let _ = write!(told, "; {without:.0} and {with:.0} a day, of {limit}");
        }
        told.push('\n');
    }
    told
}

/// How early the bans came: in half of the cases at least so long before the end.
pub(super) fn lead(jail: &JailJudgement) -> String {
    jail.median_lead_seconds
        .map_or_else(|| "none".to_owned(), |lead| human(Duration::from_secs(lead)).to_string())
}

fn by_jail(outcome: &Outcome) -> String {
    let mut jails: BTreeMap<&str, usize> = BTreeMap::new();
    outcome.bans.iter().for_each(|ban| *jails.entry(&ban.lease.jail).or_default() += 1);
    let each = jails.iter().map(|(jail, count)| format!("{jail} {count}")).collect::<Vec<_>>().join(", ");
    if each.is_empty() { each } else { format!(": {each}") }
}
