//! One day of a mail server of middle size, lived through by the real programs in the day's own time: what the
//! blocklist is asked, with an old server and with ours, and whether anybody is banned who should not be.

pub mod guard;
pub mod list;
pub mod model;
pub mod random;
pub mod server;
pub mod traffic;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};
use std::io::Write as _;
use std::time::Duration;

use anyhow::{Result, ensure};
use logline::Timestamp;

use guard::Guard;
use list::List;
use random::Random;
use server::{Fate, Make, Server, Visit};
use traffic::{Class, Day, Host};

/// 2026-11-21 00:00 UTC.
const MIDNIGHT: Timestamp = Timestamp::from_seconds(1_795_219_200);

/// A mail server that was told to come again does so after this time, s (qmail's first retry).
const RETRY: f64 = 400.0;

/// The part of junk whose recipient does not exist.
const LOST: f64 = 0.3;

/// Spamhaus' published limit, and one that the day would break.
const LIMITS: [u64; 2] = [300_000, 40_000];

/// What the day came to.
#[derive(Debug, Default)]
struct Outcome {
    queries: u32,
    connections: u32,
    dropped: u32,
    bans: u32,
    /// Legitimate hosts that were dropped at least once.
    legitimate: HashSet<Host>,
    put_off: u32,
    no_budget: u32,
    spent: u64,
    /// What the watcher's book expected of the day at noon, and what it had counted when the day was over.
    expected: u64,
    counted: u64,
}

/// Lives through both days, and prints what they came to beside the model.
///
/// # Errors
/// rbldnsd is not installed, or does not answer.
pub fn measure() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut out = std::io::stdout();
    let mut results = Vec::new();
    for (name, is_mixed, port) in
        [("the day", false, 5300), ("5 % of good hosts beside listed ones", true, 5301)]
    {
        let day = Day::new(is_mixed);
        let connections = day.connections.len();
        writeln!(out, "{name}: {connections} connections of {} hosts", day.listed.len())?;
        if !is_mixed {
            for policy in model::POLICIES {
                let (queries, came) = model::cost(&day, *policy);
                row(&mut out, policy.name, connections, queries, came)?;
            }
        }
        let mut list = List::serve(&day, directory.path(), port)?;
        let mut avoided = Vec::new();
        for (make, limit) in [(Make::Legacy, LIMITS[0]), (Make::Own, LIMITS[0]), (Make::Own, LIMITS[1])] {
            let outcome = live(&day, make, limit, &mut list)?;
            let name = match make {
                Make::Legacy => "tcpserver, rblsmtpd, our watcher".to_owned(),
                Make::Own => format!("our server and watcher, limit {limit}"),
            };
            row(&mut out, &name, connections, outcome.queries, outcome.connections)?;
            writeln!(
                out,
                "    {} bans, {} dropped; {} put off, {} not asked for want of budget, {} spent by the books",
                outcome.bans, outcome.dropped, outcome.put_off, outcome.no_budget, outcome.spent
            )?;
            ensure!(make == Make::Legacy || outcome.spent <= limit, "{} queries of {limit}", outcome.spent);
            let Outcome { expected, counted, .. } = outcome;
            let off = 100.0 * (expected as f64 / counted.max(1) as f64 - 1.0);
            writeln!(
                out,
                "    forecast at noon: {expected}, the day would have taken {counted} ({off:+.1} %)"
            )?;
            avoided.push((part(connections, outcome.queries), outcome.legitimate.len()));
        }
        let queries = list.queries;
        let counted = list.counted()?;
        ensure!(queries == counted, "rbldnsd has counted {counted} queries, we {queries}");
        results.push(avoided);
    }
    for avoided in results {
        if let [(legacy, banned), (own, own_banned), rest @ ..] = avoided.as_slice() {
            let banned = banned + own_banned + rest.iter().map(|(_, banned)| banned).sum::<usize>();
            writeln!(out, "queries avoided legacy={legacy:.0}% own={own:.0}% legit_banned={banned}")?;
        }
    }
    Ok(())
}

fn row(out: &mut impl std::io::Write, name: &str, all: usize, queries: u32, came: u32) -> Result<()> {
    writeln!(
        out,
        "  {name:<46}{queries:>8} queries {:>5.1} % less {came:>8} connections",
        part(all, queries)
    )?;
    Ok(())
}

/// How many per cent fewer queries than connections.
fn part(connections: usize, queries: u32) -> f64 {
    100.0 * (1.0 - f64::from(queries) / connections as f64)
}

/// A connection to come: when, in microseconds, in which order, and whose.
type Coming = Reverse<(u64, usize)>;

fn live(day: &Day, make: Make, limit: u64, list: &mut List) -> Result<Outcome> {
    let mut server = Server::new(make, &smtpd_settings(limit))?;
    let mut guard = Guard::new(&watcher_settings(make, limit), MIDNIGHT)?;
    let (mut random, mut outcome) = (Random::new(7), Outcome::default());
    let mut hosts: Vec<Host> = day.connections.iter().map(|connection| connection.host).collect();
    let mut coming: BinaryHeap<Coming> = day
        .connections
        .iter()
        .enumerate()
        .map(|(n, connection)| Reverse((micros(connection.at), n)))
        .collect();
    let (before, noon) = (list.queries, MIDNIGHT + Duration::from_secs(43_200));
    list.forget();
    while let Some(Reverse((at, n))) = coming.pop() {
        let Some(host) = hosts.get(n).copied() else { continue };
        let now = Timestamp::from_nanos(MIDNIGHT.nanos() + i64::try_from(at * 1000)?);
        let is_junk = matches!(host.class, Class::Bot | Class::Snowshoe);
        let visit = Visit {
            now,
            at: at as f64 / 1e6,
            class: host.class,
            client: day.address(host),
            is_lost: is_junk && random.unit() < LOST,
        };
        guard.tick(now);
        if outcome.expected == 0 && now >= noon {
            outcome.expected = guard.zone(noon).map_or(0, |zone| zone.forecast.total);
        }
        if guard.drops(now, visit.client, visit.port(make)) {
            outcome.dropped += 1;
            if host.class == Class::Legitimate {
                outcome.legitimate.insert(host);
            }
            continue;
        }
        outcome.connections += 1;
        let fate = server.serve(visit, list, &mut |record| {
            guard.line(format!("{} {record}", now.tai64n()).as_bytes());
        })?;
        if fate == Fate::ComeAgain && host.class == Class::Legitimate {
            coming.push(Reverse((at + micros(RETRY), hosts.len())));
            hosts.push(host);
        }
    }
    let look_ups = |how| server.look_ups.get(how).copied().unwrap_or(0);
    outcome.queries = list.queries - before;
    outcome.bans = guard.bans;
    outcome.counted = guard.zone(MIDNIGHT + Duration::from_secs(86_399)).map_or(0, |zone| zone.used);
    outcome.put_off = look_ups("put off");
    outcome.no_budget = look_ups("no budget");
    outcome.spent = server.desk().zones(MIDNIGHT).map(|(_, budget, _)| budget.used().1).sum();
    Ok(outcome)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds of a day")]
fn micros(seconds: f64) -> u64 {
    (seconds * 1e6) as u64
}

fn smtpd_settings(limit: u64) -> String {
    format!(
        "hostname = \"mx.example.org\"\ndomains = [\"example.org\"]\n\
         [[dnsbl]]\nzone = \"{}\"\nlimit = {limit}\ntext = \"https://check.spamhaus.org/query/ip/%IP%\"\n",
        list::ZONE
    )
}

/// rblsmtpd logs nothing about those it lets in, so that each connection is counted as a query.
fn watcher_settings(make: Make, limit: u64) -> String {
    let count = match make {
        Make::Legacy => "connections",
        Make::Own => "queries",
    };
    format!("[quota.\"{}\"]\nlimit = {limit}\ncount = \"{count}\"\n", list::ZONE)
}
