//! What a replay came to, as one page that needs nothing else: no script, no other file.

use std::fmt::{self, Write as _};

use crate::control::api::rfc3339;
use crate::replay::report::{lead, view};
use crate::replay::{Difference, Outcome};

/// So many bans are shown one by one; all are in the sums.
const BANS_SHOWN_MAX: usize = 2000;

const STYLE: &str = "body{font:16px/1.5 sans-serif;margin:2em auto;max-width:60em;padding:0 1em}\
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.2em .6em;border-bottom:1px solid #ccc}\
td.n,th.n{text-align:right}pre{overflow-x:auto;background:#f4f4f4;padding:.5em;font-size:13px}";

/// The page.
pub fn html(outcome: &Outcome, difference: Option<&Difference>) -> String {
    let mut page = String::new();
    // Writing to a string cannot fail.
    let _ = write(&mut page, outcome, difference);
    page
}

fn write(page: &mut String, outcome: &Outcome, difference: Option<&Difference>) -> fmt::Result {
    let source = outcome.counts.sources.first().cloned().unwrap_or_default();
    writeln!(page, "<!doctype html><html lang=en><meta charset=utf-8><title>Replay</title>")?;
    writeln!(page, "<meta name=viewport content='width=device-width'><style>{STYLE}</style>")?;
    writeln!(page, "<h1>{} bans in {} lines</h1>", outcome.bans.len(), source.lines)?;
    if let Some((first, last)) = outcome.span {
        writeln!(page, "<p>From {} to {}.</p>", rfc3339(first), rfc3339(last))?;
    }
    jails(page, outcome)?;
    zones(page, outcome)?;
    if !outcome.judgement.customers.is_empty() {
        writeln!(page, "<h2>Customers that would have been hit</h2><ul>")?;
        for customer in &outcome.judgement.customers {
            let what =
                if customer.login { "somebody logs in from there" } else { "mail from there was accepted" };
            writeln!(
                page,
                "<li>{} by {}: {what}",
                Escaped(&customer.subject.to_string()),
                Escaped(&customer.jail)
            )?;
        }
        writeln!(page, "</ul>")?;
    }
    if let Some(difference) = difference {
        writeln!(page, "<h2>What the other configuration does differently</h2>")?;
        writeln!(page, "<pre>{}</pre>", Escaped(&difference.text()))?;
    }
    bans(page, outcome)
}

fn jails(page: &mut String, outcome: &Outcome) -> fmt::Result {
    writeln!(page, "<h2>By jail</h2><table><tr><th>Jail<th class=n>Bans<th class=n>Customers (login)")?;
    writeln!(page, "<th class=n>Customers (mail)<th class=n>Prevented<th class=n>Median lead</tr>")?;
    for jail in &outcome.judgement.jails {
        writeln!(
            page,
            "<tr><td>{}<td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}</tr>",
            Escaped(&jail.jail),
            jail.bans,
            jail.customers_login,
            jail.customers_mail,
            jail.prevented,
            lead(jail)
        )?;
    }
    writeln!(page, "</table>")
}

fn zones(page: &mut String, outcome: &Outcome) -> fmt::Result {
    if outcome.judgement.zones.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "<h2>Blocklists</h2><table><tr><th>Zone<th class=n>Queries<th class=n>With the bans</tr>"
    )?;
    for zone in &outcome.judgement.zones {
        let (without, with) = (zone.without, zone.with);
        writeln!(page, "<tr><td>{}<td class=n>{without}<td class=n>{with}</tr>", Escaped(&zone.zone))?;
    }
    writeln!(page, "</table>")
}

fn bans(page: &mut String, outcome: &Outcome) -> fmt::Result {
    writeln!(page, "<h2>Bans</h2>")?;
    for ban in outcome.bans.iter().take(BANS_SHOWN_MAX) {
        let view = view(ban);
        let (subject, jail) = (view.subject.to_string(), view.jail.clone());
        writeln!(page, "<h3>{} by {}</h3>", Escaped(&subject), Escaped(&jail))?;
        writeln!(page, "<p>From {} to {}.</p><pre>", view.from, view.until)?;
        for evidence in &view.evidence {
            writeln!(page, "{}", Escaped(&evidence.line))?;
        }
        writeln!(page, "</pre>")?;
    }
    match outcome.bans.len().checked_sub(BANS_SHOWN_MAX) {
        Some(more) if more > 0 => writeln!(page, "<p>And {more} more.</p>"),
        Some(_) | None => Ok(()),
    }
}

/// A text that a client may have chosen, where it can do nothing.
pub(crate) struct Escaped<'t>(pub(crate) &'t str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '&' => f.write_str("&amp;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            other => f.write_char(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_wrote_is_text() {
        let text = Escaped("<script>alert('x')&\"").to_string();
        assert_eq!(text, "&lt;script&gt;alert(&#39;x&#39;)&amp;&quot;");
    }
}
