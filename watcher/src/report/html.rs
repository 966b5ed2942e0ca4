//! What was found, as one page that needs nothing else: no script, no other file, no other host.

use std::fmt::{self, Write as _};

use super::chart::{self, Bar};
use super::finding::{Findings, Owner, Spread, Suspect};
use super::text::{counted, overlap, spread_text};
use crate::replay::Escaped;

const STYLE: &str = include_str!("report.css");

/// The page.
pub fn html(findings: &Findings) -> String {
    let mut page = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut page, findings);
    page
}

fn write(page: &mut String, findings: &Findings) -> fmt::Result {
    writeln!(page, "<!doctype html><html lang=en><meta charset=utf-8><title>Mail report</title>")?;
    // Nothing that a client wrote can load anything, even if it should come to stand as markup.
    writeln!(
        page,
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    )?;
    writeln!(page, "<meta name=viewport content='width=device-width'><style>{STYLE}</style>")?;
    let total = &findings.total;
    writeln!(page, "<h1>{} messages taken, {} refused</h1>", total.accepted, total.rejected + total.put_off)?;
    if let (Some(from), Some(until)) = (&findings.from, &findings.until) {
        let lines = &findings.lines;
        writeln!(page, "<p>{from} to {until}: {} lines, {} unknown.</p>", lines.read, lines.unknown)?;
    }
    for table in &findings.full {
        writeln!(page, "<p class=w>The table of {table} was full; what came later is missing from it.</p>")?;
    }
    flow(page, findings)?;
    rejected(page, findings)?;
    networks(page, findings)?;
    users(page, findings)?;
    zones(page, findings)?;
    suspects(page, &findings.false_positives)?;
    queue(page, findings)
}

fn flow(page: &mut String, findings: &Findings) -> fmt::Result {
    writeln!(page, "<h2>Mail flow by hour</h2>")?;
    let all = |of: fn(&super::Flow) -> Vec<u64>| -> Vec<Bar> {
        let bar = |hour: &super::Hour| Bar { name: hour.shown.clone(), parts: of(&hour.flow) };
        findings.hours.iter().map(bar).collect()
    };
    let gate = all(|flow| vec![flow.accepted, flow.rejected, flow.put_off, flow.logins_failed]);
    chart::bars(page, "At the gate:", &["accepted", "rejected", "put off", "failed logins"], &gate)?;
    let queue = all(|flow| vec![flow.delivered, flow.bounced, flow.deferred]);
    chart::bars(page, "In the queue:", &["delivered", "bounced", "deferred"], &queue)
}

fn rejected(page: &mut String, findings: &Findings) -> fmt::Result {
    writeln!(page, "<h2>Rejected, by reason</h2>")?;
    let rows: Vec<(String, u64)> =
        findings.rejected.iter().map(|cause| (cause.reason.to_owned(), cause.count)).collect();
    chart::ranking(page, "Answers that refused or put off", &rows)?;
    writeln!(
        page,
        "<table><tr><th>Reason<th class=n>Count<th class=n>Put off<th>In the program's words</tr>"
    )?;
    for cause in &findings.rejected {
        let words = cause.details.iter().map(|detail| format!("{} {}", detail.word, detail.count));
        let words = words.collect::<Vec<_>>().join(", ");
        let (reason, count, put_off) = (cause.reason, cause.count, cause.put_off);
        writeln!(
            page,
            "<tr><td>{reason}<td class=n>{count}<td class=n>{put_off}<td>{}</tr>",
            Escaped(&words)
        )?;
    }
    writeln!(page, "</table>")
}

fn networks(page: &mut String, findings: &Findings) -> fmt::Result {
    writeln!(page, "<h2>Where junk comes from</h2>")?;
    writeln!(page, "<table><tr><th>Network<th class=n>Offences<th class=n>Clients<th>What<th>Whose</tr>")?;
    for network in &findings.networks {
        let kinds = network.kinds.iter().map(|kind| format!("{} {}", kind.word, kind.count));
        let place =
            [network.country.clone(), network.asn.map(|asn| format!("AS{asn}")), network.owner.clone()];
        writeln!(
            page,
            "<tr><td>{}<td class=n>{}<td class=n>{}<td>{}<td>{}</tr>",
            Escaped(&network.network),
            network.count,
            network.clients,
            Escaped(&kinds.collect::<Vec<_>>().join(", ")),
            Escaped(&place.into_iter().flatten().collect::<Vec<_>>().join(" "))
        )?;
    }
    writeln!(page, "</table>")?;
    for (title, owners) in [("By owner", &findings.owners), ("By country", &findings.countries)] {
        if !owners.is_empty() {
            let row = |owner: &Owner| (owner.name.clone(), owner.count);
            let rows: Vec<(String, u64)> = owners.iter().take(20).map(row).collect();
            chart::ranking(page, title, &rows)?;
        }
    }
    Ok(())
}

fn users(page: &mut String, findings: &Findings) -> fmt::Result {
    writeln!(page, "<h2>Users under attack</h2><table>")?;
    writeln!(
        page,
        "<tr><th>User<th class=n>Failures<th class=n>Networks<th class=n>Own logins<th>Last</tr>"
    )?;
    for user in &findings.users {
        let (failures, networks, successes, last) =
            (user.failures, user.networks, user.successes, &user.last);
        writeln!(
            page,
            "<tr><td>{}<td class=n>{failures}<td class=n>{networks}<td class=n>{successes}<td>{last}</tr>",
            Escaped(&user.user)
        )?;
    }
    writeln!(page, "</table>")
}

fn zones(page: &mut String, findings: &Findings) -> fmt::Result {
    if findings.zones.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "<h2>DNS blocklists</h2><p>Each stands where it adds most to those above it. A zone that"
    )?;
    writeln!(page, "adds next to nothing, and was asked about what the others list, can go.</p><table>")?;
    writeln!(
        page,
        "<tr><th>Zone<th class=n>Queries<th class=n>Listings<th class=n>Errors<th class=n>Asked about"
    )?;
    writeln!(page, "<th class=n>Lists<th class=n>Alone<th class=n>For certain<th class=n>Adds</tr>")?;
    for zone in &findings.zones {
        write!(page, "<tr><td>{}", Escaped(&zone.zone))?;
        for count in [
            zone.queries,
            zone.listings,
            zone.errors,
            zone.asked,
            zone.clients,
            zone.alone,
            zone.alone_for_certain,
            zone.adds,
        ] {
            write!(page, "<td class=n>{count}")?;
        }
        writeln!(page, "</tr>")?;
    }
    writeln!(page, "</table>")?;
    matrix(page, findings)
}

/// Rows list, columns are asked whether they do too.
fn matrix(page: &mut String, findings: &Findings) -> fmt::Result {
    if findings.zones.len() < 2 {
        return Ok(());
    }
    writeln!(page, "<h3>Would one list have caught what another did?</h3>")?;
    writeln!(
        page,
        "<p>Of the clients that the zone of the row lists: how many the zone of the column lists, of how"
    )?;
    writeln!(
        page,
        "many it was asked about. A dash: it was asked about none of them, so nobody can tell.</p>"
    )?;
    write!(page, "<table class=m><tr><th>")?;
    for zone in &findings.zones {
        write!(page, "<th class=n>{}", Escaped(&zone.zone))?;
    }
    writeln!(page, "</tr>")?;
    for zone in &findings.zones {
        write!(page, "<tr><th>{}", Escaped(&zone.zone))?;
        for other in &findings.zones {
            let cell = findings.overlap.iter().find(|o| o.zone == zone.zone && o.other == other.zone);
            match cell {
                None => write!(page, "<td class='n s'>{}", zone.clients)?,
                Some(cell) if cell.asked == 0 => {
                    write!(page, "<td class=n title='{}'>–", Escaped(&overlap(cell)))?;
                }
                Some(cell) => {
                    let (heat, title) = (cell.both * 4 / cell.asked, overlap(cell));
                    let (both, asked) = (cell.both, cell.asked);
                    write!(page, "<td class='n h{heat}' title='{}'>{both} of {asked}", Escaped(&title))?;
                }
            }
        }
        writeln!(page, "</tr>")?;
    }
    writeln!(page, "</table>")
}

fn suspects(page: &mut String, suspects: &[Suspect]) -> fmt::Result {
    writeln!(page, "<h2>Listed, and perhaps honest</h2>")?;
    if suspects.is_empty() {
        return writeln!(page, "<p>Nobody whom the log shows.</p>");
    }
    for suspect in suspects {
        let zones = suspect.zones.join(", ");
        let Suspect { address, recipient, at, sessions, .. } = suspect;
        writeln!(page, "<h3>{} on {}</h3>", Escaped(address), Escaped(&zones))?;
        writeln!(page, "<p>To {}, {at}; {}: ", Escaped(recipient), counted(*sessions, "session"))?;
        writeln!(page, "{}.</p><pre>", suspect.why.join("; "))?;
        for line in &suspect.transcript {
            writeln!(page, "{}", Escaped(line))?;
        }
        writeln!(page, "</pre>")?;
    }
    Ok(())
}

const STEPS: [&str; 9] =
    ["to 0.1 s", "to 1 s", "to 10 s", "to 1 min", "to 10 min", "to 1 h", "to 6 h", "to 1 d", "longer"];

fn queue(page: &mut String, findings: &Findings) -> fmt::Result {
    let queue = &findings.queue;
    if queue.queued.count + queue.local.count + queue.remote.count == 0 {
        return Ok(());
    }
    let (messages, waiting) = (queue.messages, queue.waiting);
    writeln!(page, "<h2>Queue and deliveries</h2>")?;
    writeln!(page, "<p>{messages} messages left the queue, {waiting} are in it still.</p>")?;
    let mut plot = |title: &str, spread: &Spread| {
        if spread.count == 0 {
            return Ok(());
        }
        let title = format!("{title}: {}", spread_text(spread).trim_start());
        let rows: Vec<(String, u64)> =
            STEPS.iter().zip(spread.histogram).map(|(step, count)| ((*step).to_owned(), count)).collect();
        chart::ranking(page, &title, &rows)
    };
    plot("In the queue", &queue.queued)?;
    plot("To the first success", &queue.first)?;
    plot("A local delivery", &queue.local)?;
    plot("A remote delivery", &queue.remote)
}
