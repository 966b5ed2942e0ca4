//! Answers in words. What a client chose is escaped already where it was taken in.

use std::fmt::Write as _;
use std::time::Duration;

use settings::duration::human;

use crate::control::api::{
    Allows, AskedList, BanView, Bans, Explained, Histories, JailList, Refusal, SourceStatus, Standing,
    Status, Tested, Why,
};
use crate::engine::End;
use crate::jail::Mode;

/// So many of the latest notices are shown.
const NOTICES_SHOWN: usize = 5;

pub(super) fn status(status: &Status) -> String {
    let mut told = String::new();
    let ready = match (status.ready, status.firewall.as_str()) {
        (false, _) => "BANS ARE NOT IN FORCE",
        (true, "dry-run") => "NOBODY IS KEPT OUT, bans are only recorded",
        (true, _) => "all bans are in force",
    };
    let _ = writeln!(told, "postern-watcher {}, since {}", status.version, status.since);
    let _ = writeln!(told, "firewall  {}: {ready}", status.firewall);
    if let Some(trouble) = &status.firewall_trouble {
        let _ = writeln!(told, "          {trouble}");
    }
    let _ =
        writeln!(told, "bans      {} in force, {} offenders being counted", status.active, status.counted);
    status.sources.iter().for_each(|of| source(&mut told, of));
    if status.sources.is_empty() {
        told += "source    none: name one in watcher.toml; `postern-watcher detect` finds what is here\n";
    }
    let skipped = status.notices.len().saturating_sub(NOTICES_SHOWN);
    for notice in status.notices.iter().skip(skipped) {
        let _ = writeln!(told, "notice    {}  {}", notice.at, notice.text);
    }
    told
}

fn source(told: &mut String, source: &SourceStatus) {
    let _ = writeln!(told, "source    {}", source.name);
    if let Some(trouble) = &source.trouble {
        let _ = writeln!(told, "          NOT READ: {trouble}");
    }
    if let Some(end) = &source.ended {
        let _ = writeln!(told, "          {end}");
    }
    if let Some(seconds) = source.silent_seconds {
        let quiet = human(Duration::from_secs(seconds));
        let _ = writeln!(told, "          SILENT for {quiet}, which is longer than usual");
    }
    if source.not_understood {
        told.push_str("          NOT UNDERSTOOD any more: has the format of its lines changed?\n");
    }
    let (last, age) = match (&source.last, source.last_age_seconds) {
        (Some(last), Some(age)) => (last.as_str(), format!(", {} ago", short(age))),
        _ => ("never", String::new()),
    };
    let envelope = source.envelope.as_deref().map(|name| format!(", envelope {name}")).unwrap_or_default();
    let _ = writeln!(told, "          last line {last}{age}{envelope}");
    let share = source.unknown_share.map(|share| format!(", {:.0} % of them unknown", share * 100.0));
    let _ = writeln!(
        told,
        "          {:.1} lines/s in the last minute{}; {} bytes behind, lag {}",
        source.lines_per_second,
        share.unwrap_or_default(),
        source.behind_bytes,
        short(source.lag_seconds)
    );
    let _ = writeln!(
        told,
        "          {} lines, {} unknown, {} ambiguous, {} cut, {} escaped, {} stamps replaced",
        source.lines, source.unknown, source.ambiguous, source.cut, source.escaped, source.replaced
    );
    if source.lost > 0 {
        let reasons = source.lost_by_reason.iter().map(|(reason, count)| format!("{reason} {count}"));
        let reasons = reasons.collect::<Vec<_>>().join(", ");
        let _ = writeln!(told, "          LOST lines {} times: {reasons}", source.lost);
    }
}

/// A length of time as precise as anybody wants to know it: `0.2s`, `3m20s`.
fn short(seconds: f64) -> String {
    match Duration::try_from_secs_f64(seconds) {
        Ok(length) if length >= Duration::from_secs(10) => {
            human(Duration::from_secs(length.as_secs())).to_string()
        }
        _ => format!("{seconds:.1}s"),
    }
}

pub(super) fn list(bans: &Bans) -> String {
    if bans.bans.is_empty() {
        return "nobody is banned\n".to_owned();
    }
    let mut rows = vec![["SUBJECT", "JAIL", "ENDS IN", "BEFORE", "PORTS", "UNTIL"].map(str::to_owned)];
    rows.extend(bans.bans.iter().map(|ban| {
        let jail = match ban.mode {
            Mode::Enforce => ban.jail.clone(),
            Mode::Watch => format!("{} (watch)", ban.jail),
        };
        let before = ban.before.to_string();
        [ban.subject.to_string(), jail, left(ban), before, ports(ban), ban.until.clone()]
    }));
    table(&rows)
}

pub(super) fn jails(list: &JailList) -> String {
    let mut rows = vec![["JAIL", "BANS", "RULE", "FOR", "ABOUT"].map(str::to_owned)];
    rows.extend(list.jails.iter().map(|jail| {
        let (within, ban) = (Duration::from_secs(jail.within_seconds), Duration::from_secs(jail.ban_seconds));
        let mut rule = format!("{} {} in {}", jail.threshold, jail.on.join("/"), human(within));
        for window in &jail.also {
            let within = human(Duration::from_secs(window.within_seconds));
            let _ = write!(rule, ", {} in {within}", window.threshold);
        }
        let about = match jail.mode {
            Mode::Enforce => jail.about.clone(),
            Mode::Watch => format!("{} (watch: bans nobody)", jail.about),
        };
        [jail.name.clone(), jail.active.to_string(), rule, human(ban).to_string(), about]
    }));
    table(&rows)
}

pub(super) fn why(why: &Why) -> String {
    let mut told = String::new();
    for ban in &why.bans {
        let _ = writeln!(told, "{} is banned by {}", ban.subject, ban.jail);
        let _ = writeln!(told, "  since     {}", ban.from);
        let _ = writeln!(told, "  until     {} (in {})", ban.until, left(ban));
        let _ = writeln!(told, "  before    {} times", ban.before);
        let _ = writeln!(told, "  ports     {}", ports(ban));
        if let Some(reason) = &ban.reason {
            let _ = writeln!(told, "  reason    {}", logline::Text::from(reason).readable());
        }
        if !ban.evidence.is_empty() {
            told += "  because of these lines:\n";
        }
        for evidence in &ban.evidence {
            let _ = writeln!(told, "    {}", evidence.line);
        }
        let _ = writeln!(told, "  lift it   banctl unban {}", ban.subject);
    }
    if why.bans.is_empty() {
        let _ = writeln!(told, "{} is not banned", why.subject);
    }
    if why.on_record > 1 || (why.on_record > 0 && why.bans.is_empty()) {
        let _ = writeln!(told, "  record    {} bans: banctl history {}", why.on_record, why.subject);
    }
    if let Some(exempt) = &why.exempt {
        let _ = writeln!(told, "{} is never banned: {exempt}", why.subject);
    }
    for standing in &why.standing {
        let _ = writeln!(told, "  {}: {}", standing.jail, self::standing(standing));
    }
    if why.accounts > 0 {
        let _ = writeln!(told, "  known     {} accounts log in from there", why.accounts);
    } else if why.known {
        told += "  known     mail from there was accepted lately\n";
    }
    if !why.listed_by.is_empty() {
        let _ = writeln!(told, "  listed by {}", why.listed_by.join(", "));
    }
    neighbours(&mut told, why);
    if why.asked {
        let _ = writeln!(told, "  a ban waits for your word: banctl confirm {} [--no]", why.subject);
    }
    if !why.messages.is_empty() {
        told += "  mail that was taken from it lately:\n";
    }
    for message in &why.messages {
        let id = message.id.as_deref().unwrap_or("?");
        let outcome = message.outcome.as_deref().unwrap_or("queued");
        let _ = writeln!(told, "    {}  <{id}> from <{}>: {outcome}", message.at, message.sender);
    }
    told
}

fn neighbours(told: &mut String, why: &Why) {
    if why.neighbours.is_empty() {
        return;
    }
    let others = if why.neighbours_total == 1 { "more is" } else { "more are" };
    let _ = writeln!(told, "  near it   {} {others} banned:", why.neighbours_total);
    for ban in &why.neighbours {
        let _ = writeln!(told, "    {} by {}, for {} yet", ban.subject, ban.jail, left(ban));
    }
    if why.neighbours_total > why.neighbours.len() {
        let _ = writeln!(told, "    …");
    }
}

pub(super) fn history(found: &Histories) -> String {
    if found.bans.is_empty() {
        return "no ban is on record\n".to_owned();
    }
    let mut told = String::new();
    for entry in &found.bans {
        let ban = &entry.ban;
        let verb = if ban.mode == Mode::Enforce { "was banned" } else { "would have been banned" };
        let _ = writeln!(told, "{}  {} {verb} by {}", ban.from, ban.subject, ban.jail);
        let end = match (&entry.ended, entry.end) {
            (Some(at), Some(End::Expired)) => format!("{at}, when its time was over"),
            (Some(at), Some(End::Lifted)) => format!("{at}, lifted by hand"),
            (Some(at), Some(End::Exempted)) => format!("{at}, exempt from then on"),
            (Some(at), None) => at.clone(),
            (None, _) => format!("{} (in {})", ban.until, left(ban)),
        };
        let _ = writeln!(told, "  until     {end}");
        if let Some(reason) = &ban.reason {
            let _ = writeln!(told, "  reason    {}", logline::Text::from(reason).readable());
        }
        for evidence in &ban.evidence {
            let _ = writeln!(told, "    {}", evidence.line);
        }
    }
    told
}

pub(super) fn tested(tested: &Tested) -> String {
    let mut told = String::new();
    let whose = match tested.firewall.as_str() {
        "nftables" => "says the kernel",
        "dry-run" => "the firewall is \"dry-run\", which keeps nobody out",
        _ => "as far as the watcher knows",
    };
    let verb = if tested.dropped { "is dropped" } else { "is not dropped" };
    let _ = writeln!(told, "{} {verb}: {whose}", tested.address);
    for held in &tested.held {
        let ports = held.ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
        let ports = if ports.is_empty() { "all".to_owned() } else { ports };
        let _ = writeln!(told, "  held      {} on ports {ports}", held.network);
    }
    for ban in &tested.bans {
        let _ = writeln!(
            told,
            "  ban       {} by {}, for {} yet: banctl why {}",
            ban.subject,
            ban.jail,
            left(ban),
            ban.subject
        );
    }
    if tested.bans.is_empty() && tested.dropped {
        told += "  no ban of ours asks for it: the table is put right within a second\n";
    }
    if let Some(exempt) = &tested.exempt {
        let _ = writeln!(told, "  never banned: {exempt}");
    }
    told
}

/// `4 of 5 in 10m, 4 of 50 in 1d`
fn standing(standing: &Standing) -> String {
    let window = |count: u32, threshold: u32, seconds: u64| {
        format!("{count} of {threshold} in {}", human(Duration::from_secs(seconds)))
    };
    let first = window(standing.count, standing.threshold, standing.within_seconds);
    let also = standing.also.iter().map(|also| window(also.count, also.threshold, also.within_seconds));
    std::iter::once(first).chain(also).collect::<Vec<_>>().join(", ")
}

pub(super) fn explained(explained: &Explained) -> String {
    let rows = explained.jails.iter().map(|jail| {
        let told = match (&jail.standing, &jail.reason) {
            (Some(counted), _) => format!("counts: it would be {}", standing(counted)),
            (None, Some(reason)) => format!("does not count: {reason}"),
            (None, None) => String::new(),
        };
        [jail.jail.clone(), told]
    });
    table(&rows.collect::<Vec<_>>())
}

pub(super) fn allowed(allows: &Allows) -> String {
    if allows.allowed.is_empty() {
        return "nobody is exempt by hand\n".to_owned();
    }
    let mut rows = vec![["SUBJECT", "UNTIL", "SINCE", "NOTE"].map(str::to_owned)];
    rows.extend(allows.allowed.iter().map(|entry| {
        let until = entry.until.clone().unwrap_or_else(|| "removed".to_owned());
        let note = entry.note.as_ref().map(|note| logline::Text::from(note).readable().to_string());
        [entry.subject.clone(), until, entry.since.clone(), note.unwrap_or_default()]
    }));
    table(&rows)
}

pub(super) fn allow(allows: &Allows) -> String {
    let each = allows.allowed.iter().map(|entry| match &entry.until {
        Some(until) => format!("{} is never banned until {until}\n", entry.subject),
        None => format!("{} is never banned\n", entry.subject),
    });
    each.chain(allows.refused.iter().map(refusal)).collect()
}

pub(super) fn disallow(allows: &Allows) -> String {
    let each = allows.allowed.iter().map(|entry| format!("{} is exempt no longer\n", entry.subject));
    each.chain(allows.refused.iter().map(refusal)).collect()
}

pub(super) fn asked(list: &AskedList) -> String {
    if list.asked.is_empty() {
        return "no ban waits for your word\n".to_owned();
    }
    let mut told = String::new();
    for asked in &list.asked {
        let length = human(Duration::from_secs(asked.for_seconds));
        let _ = writeln!(told, "{} would be banned by {} for {length}", asked.subject, asked.jail);
        let _ = writeln!(told, "  since     {}", asked.since);
        let _ = writeln!(told, "  but       {} accounts log in from there", asked.accounts);
        for evidence in &asked.evidence {
            let _ = writeln!(told, "    {}", evidence.line);
        }
        let _ = writeln!(told, "  decide    banctl confirm {} [--no]", asked.subject);
    }
    told
}

pub(super) fn banned(bans: &Bans) -> String {
    let each = bans.bans.iter().map(|ban| format!("{} is banned for {}\n", ban.subject, left(ban)));
    each.chain(bans.refused.iter().map(refusal)).collect()
}

pub(super) fn unbanned(bans: &Bans) -> String {
    let each = bans.bans.iter().map(|ban| format!("{} is let in again ({})\n", ban.subject, ban.jail));
    let told: String = each.chain(bans.refused.iter().map(refusal)).collect();
    if told.is_empty() { "nobody was banned\n".to_owned() } else { told }
}

fn refusal(refusal: &Refusal) -> String {
    format!("{}: {}\n", logline::Text::from(&refusal.subject).readable(), refusal.why)
}

fn left(ban: &BanView) -> String {
    human(Duration::from_secs(ban.remaining_seconds)).to_string()
}

fn ports(ban: &BanView) -> String {
    if ban.ports.is_empty() {
        return "all".to_owned();
    }
    ban.ports.iter().map(u16::to_string).collect::<Vec<_>>().join(",")
}

/// Columns as wide as what stands in them; the last one ends where it ends.
pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}
