//! `list`: what is asked of the watcher, and a table a page at a time.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::{Command, ExitCode, Stdio};

use anyhow::bail;

use crate::banctl::arguments::{List, Sort, WhichMode};
use crate::banctl::ask::{Asker, write};
use crate::banctl::show;
use crate::control::api::{Bans, JailList};
use crate::jail::MANUAL;

pub(super) fn list(asker: &Asker<'_>, list: &List) -> anyhow::Result<ExitCode> {
    let path = format!("/v1/bans?{}", query(list));
    if asker.0.json {
        asker.copy(&path)?;
        return Ok(ExitCode::SUCCESS);
    }
    let bans: Bans = asker.get(&path)?;
    if bans.bans.is_empty() && list.is_narrow() {
        return nobody(asker, list);
    }
    let mut told = show::list(&bans);
    if let Some(total) = bans.total.filter(|total| *total > bans.bans.len()) {
        let _ = writeln!(told, "… {} of {total}; --limit N shows more", bans.bans.len());
    }
    if list.no_pager || !page(&told) {
        write(&told)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Of those who were asked about nobody is banned; perhaps because there is no such jail.
fn nobody(asker: &Asker<'_>, list: &List) -> anyhow::Result<ExitCode> {
    let JailList { jails } = asker.get("/v1/jails")?;
    let known: Vec<&str> = jails.iter().map(|jail| jail.name.as_str()).chain([MANUAL]).collect();
    if let Some(unknown) = list.jails.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("there is no jail `{}`; there are: {}", unknown.escape_debug(), known.join(", "));
    }
    write("of these nobody is banned; `banctl list` has all bans\n")?;
    Ok(ExitCode::SUCCESS)
}

fn query(list: &List) -> String {
    let order = match list.sort {
        Sort::Until => "until",
        Sort::Newest => "newest",
        Sort::Subject => "subject",
        Sort::Jail => "jail",
    };
    let mut query = format!("order={order}");
    let mut add = |key: &str, value: &str| {
        let _ = write!(query, "&{key}={}", escaped(value));
    };
    if !list.jails.is_empty() {
        add("jail", &list.jails.join(","));
    }
    if let Some(network) = list.network {
        add("network", &network.to_string());
    }
    if let Some(since) = &list.since {
        add("since", since);
    }
    match list.mode {
        Some(WhichMode::Enforce) => add("mode", "enforce"),
        Some(WhichMode::Watch) => add("mode", "watch"),
        None => {}
    }
    if let Some(limit) = list.limit {
        add("limit", &limit.to_string());
    }
    query
}

/// A value as a part of an address: what is no letter, digit, dot, colon or slash is written `%HH`.
pub(super) fn escaped(value: &str) -> String {
    let byte = |byte: u8| match byte {
        b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.' | b':' | b'/' | b'-' | b'_' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    value.bytes().map(byte).collect()
}

/// Shows what is longer than the terminal through `$PAGER`, or less; false where that cannot be, or need not.
fn page(told: &str) -> bool {
    let rows = rustix::termios::tcgetwinsize(io::stdout()).map_or(0, |size| usize::from(size.ws_row));
    if !io::stdout().is_terminal() || told.lines().count() < rows || rows == 0 {
        return false;
    }
    let pager = std::env::var("PAGER").unwrap_or_default();
    let program = if pager.is_empty() { "less" } else { pager.as_str() };
    let mut words = program.split_whitespace();
    let Some(name) = words.next().filter(|name| *name != "cat") else { return false };
    let pager = Command::new(name)
        .args(words)
        .env("LESS", "FRSX")
        // Whoever may list bans through sudo is not to have a shell from it.
        .env("LESSSECURE", "1")
        .stdin(Stdio::piped())
        .spawn();
    let Ok(mut pager) = pager else { return false };
    if let Some(mut input) = pager.stdin.take() {
        // Whoever left the pager has seen enough.
        let _ = input.write_all(told.as_bytes());
    }
    let _ = pager.wait();
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_is_what_is_asked() {
        let list = List {
            jails: vec!["a&b".into(), "c".into()],
            network: Some("2001:db8::/32".parse().unwrap()),
            limit: Some(5),
            ..List::default()
        };
        assert_eq!(query(&list), "order=until&jail=a%26b%2Cc&network=2001:db8::/32&limit=5");
    }
}
