//! What was found, for a terminal.

use std::fmt::{self, Write as _};

use super::finding::{Findings, Flow, Spread, Suspect};

/// So many rows of each table; JSON has all that were kept.
const ROWS: usize = 15;

/// So many honest-looking sessions are shown in full.
const SESSIONS: usize = 10;

/// The whole, in words and tables.
pub fn text(findings: &Findings) -> String {
    let mut told = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut told, findings);
    told
}

fn write(told: &mut String, findings: &Findings) -> fmt::Result {
    let lines = &findings.lines;
    if let (Some(from), Some(until)) = (&findings.from, &findings.until) {
        writeln!(told, "{from} to {until}")?;
    }
    writeln!(
        told,
        "{} lines: {} unknown, {} ambiguous, {} repeated",
        lines.read, lines.unknown, lines.ambiguous, lines.repeated
    )?;
    for table in &findings.full {
        writeln!(told, "the table of {table} was full; what came later is missing from it")?;
    }
    flow(told, findings)?;
    rejected(told, findings)?;
    networks(told, findings)?;
    users(told, findings)?;
    zones(told, findings)?;
    suspects(told, &findings.false_positives)?;
    queue(told, findings)
}

fn heading(told: &mut String, title: &str) -> fmt::Result {
    writeln!(told, "\n{title}\n{}", "-".repeat(title.chars().count()))
}

fn flow(told: &mut String, findings: &Findings) -> fmt::Result {
    heading(told, "Mail flow by hour")?;
    writeln!(
        told,
        "{:16} {:>9} {:>8} {:>8} {:>7} {:>8} {:>9} {:>8} {:>7}",
        "", "connected", "accepted", "rejected", "put off", "bad auth", "delivered", "deferred", "bounced"
    )?;
    let row = |told: &mut String, name: &str, flow: &Flow| {
        writeln!(
            told,
            "{name:16} {:>9} {:>8} {:>8} {:>7} {:>8} {:>9} {:>8} {:>7}",
            flow.connections,
            flow.accepted,
            flow.rejected,
            flow.put_off,
            flow.logins_failed,
            flow.delivered,
            flow.deferred,
            flow.bounced
        )
    };
    for hour in &findings.hours {
        row(told, &hour.shown, &hour.flow)?;
    }
    row(told, "all", &findings.total)
}

fn rejected(told: &mut String, findings: &Findings) -> fmt::Result {
    heading(told, "Rejected, by reason")?;
    if findings.rejected.is_empty() {
        return writeln!(told, "nothing");
    }
    for cause in &findings.rejected {
        write!(told, "{:>8}  {}", cause.count, cause.reason)?;
        if cause.put_off > 0 {
            write!(told, ", {} of them only put off", cause.put_off)?;
        }
        let words = cause.details.iter().map(|detail| format!("{} {}", detail.word, detail.count));
        writeln!(told, "  ({})", words.collect::<Vec<_>>().join(", "))?;
    }
    Ok(())
}

fn networks(told: &mut String, findings: &Findings) -> fmt::Result {
    heading(told, "Where junk comes from")?;
    for network in findings.networks.iter().take(ROWS) {
        let kinds = network.kinds.iter().take(3).map(|kind| format!("{} {}", kind.word, kind.count));
        let place =
            [network.country.clone(), network.asn.map(|asn| format!("AS{asn}")), network.owner.clone()];
        let place = place.into_iter().flatten().collect::<Vec<_>>().join(" ");
        writeln!(
            told,
            "{:>8}  {:20} {:>3} clients  {}  {place}",
            network.count,
            network.network,
            network.clients,
            kinds.collect::<Vec<_>>().join(", ")
        )?;
    }
    for (title, owners) in [("By owner", &findings.owners), ("By country", &findings.countries)] {
        if !owners.is_empty() {
            heading(told, title)?;
        }
        for owner in owners.iter().take(ROWS) {
            writeln!(told, "{:>8}  {} ({})", owner.count, owner.name, counted(owner.networks, "network"))?;
        }
    }
    Ok(())
}

fn users(told: &mut String, findings: &Findings) -> fmt::Result {
    heading(told, "Users under attack")?;
    for user in findings.users.iter().take(ROWS) {
        let own = if user.successes > 0 { "logs in here too" } else { "never logs in" };
        writeln!(
            told,
            "{:>8}  {:30} from {}, last {}, {own}",
            user.failures,
            user.user,
            counted(user.networks as u64, "network"),
            user.last
        )?;
    }
    Ok(())
}

fn zones(told: &mut String, findings: &Findings) -> fmt::Result {
    if findings.zones.is_empty() {
        return Ok(());
    }
    heading(told, "DNS blocklists, each where it adds most to those above it")?;
    writeln!(
        told,
        "{:32} {:>8} {:>8} {:>7} {:>8} {:>7} {:>7} {:>7}",
        "", "queries", "listed", "errors", "clients", "of", "alone", "adds"
    )?;
    for zone in &findings.zones {
        writeln!(
            told,
            "{:32} {:>8} {:>8} {:>7} {:>8} {:>7} {:>7} {:>7}",
            zone.zone,
            zone.queries,
            zone.listings,
            zone.errors,
            zone.clients,
            zone.asked,
            zone.alone,
            zone.adds
        )?;
    }
    if findings.overlap.is_empty() {
        return Ok(());
    }
    heading(told, "Would one list have caught what another did?")?;
    for overlap in &findings.overlap {
        writeln!(told, "{}", super::text::overlap(overlap))?;
    }
    Ok(())
}

/// One cell of the matrix, as a sentence.
pub(super) fn overlap(overlap: &super::Overlap) -> String {
    let super::Overlap { zone, other, asked, both } = overlap;
    if *asked == 0 {
        return format!("of what {zone} lists, {other} was asked about none: nobody can tell");
    }
    #[expect(clippy::cast_precision_loss, reason = "a share is read to a whole percent")]
    let share = 100.0 * *both as f64 / *asked as f64;
    format!("of what {zone} lists, {other} was asked about {asked} and lists {both} ({share:.0} %)")
}

fn suspects(told: &mut String, suspects: &[Suspect]) -> fmt::Result {
    heading(told, "Listed, and perhaps honest")?;
    if suspects.is_empty() {
        return writeln!(told, "nobody whom the log shows");
    }
    for suspect in suspects.iter().take(SESSIONS) {
        let Suspect { address, at, zones, recipient, sessions, why, transcript, .. } = suspect;
        let zones = if zones.is_empty() { "a list".to_owned() } else { zones.join(", ") };
        writeln!(told, "{address} on {zones}, to {recipient}, {at}, {}", counted(*sessions, "session"))?;
        writeln!(told, "    {}", why.join("; "))?;
        for line in transcript {
            writeln!(told, "    > {line}")?;
        }
    }
    Ok(())
}

fn queue(told: &mut String, findings: &Findings) -> fmt::Result {
    let queue = &findings.queue;
    if queue.queued.count + queue.local.count + queue.remote.count == 0 {
        return Ok(());
    }
    heading(told, "Queue and deliveries")?;
    writeln!(told, "{} messages left the queue, {} are in it still", queue.messages, queue.waiting)?;
    for (what, spread) in [
        ("in the queue", &queue.queued),
        ("to the first success", &queue.first),
        ("a local delivery", &queue.local),
        ("a remote delivery", &queue.remote),
    ] {
        writeln!(told, "{what:22} {}", spread_text(spread))?;
    }
    Ok(())
}

/// So many of a thing.
pub(super) fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// Half, 95 and 99 of a hundred, and the longest.
pub(super) fn spread_text(spread: &Spread) -> String {
    let part = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), seconds);
    let Spread { count, p50, p95, p99, max, .. } = spread;
    format!(
        "{count:>8} times: p50 {}, p95 {}, p99 {}, longest {}",
        part(*p50),
        part(*p95),
        part(*p99),
        part(*max)
    )
}

fn seconds(value: f64) -> String {
    match value {
        value if value < 10.0 => format!("{value:.3} s"),
        value if value < 600.0 => format!("{value:.0} s"),
        value if value < 36_000.0 => format!("{:.0} min", value / 60.0),
        value => format!("{:.1} h", value / 3600.0),
    }
}
