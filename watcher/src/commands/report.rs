//! `report`: what old logs tell of a mail server.

use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use jiff::tz::TimeZone;
use logline::Timestamp;

use crate::commands::{Format, bar, show};
use crate::config::Config;
use crate::report::{self, Options, Places};

/// `report`: mail flow, rejects, sources of junk, users under attack, blocklists, the queue.
#[derive(Debug, clap::Args)]
pub struct Report {
    /// The configuration; /etc/postern/watcher.toml where it exists, the defaults where not.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Nothing before this counts: a time (2026-11-20T00:00:00Z), a day (2026-11-20), or how long ago (24h, 7d).
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// This filter alone; all where none is named.
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
    /// A database in MaxMind's format that knows countries or owners of networks; may be given several times.
    #[arg(long = "mmdb", value_name = "FILE")]
    mmdb: Vec<PathBuf>,
    /// How the result is told.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// The same as --format json.
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Logs, in any order: plain or compressed files (gzip, xz, zstd, bzip2), multilog directories, directories of these.
    #[arg(required = true, value_name = "LOG")]
    logs: Vec<PathBuf>,
}

impl Report {
    /// Does it.
    ///
    /// # Errors
    /// The configuration is wrong, or a log or a database cannot be read.
    pub fn run(self) -> anyhow::Result<()> {
        let config = Config::load(self.config.as_deref())?;
        let zone = config.sources.first().map_or_else(TimeZone::system, |source| source.zone.clone());
        let filters = match &self.filter {
            None => config.filters,
            Some(name) => match config.filters.only(std::slice::from_ref(name)) {
                Ok(filters) => filters,
                Err(unknown) => {
                    bail!("there is no filter `{unknown}`; there are: {}", config.filters.names().join(", "))
                }
            },
        };
        let now = Timestamp::from(std::time::SystemTime::now());
        let since = self.since.as_deref().map(|text| since(text, now, &zone)).transpose()?;
        let options = Options { filters, zone, since, places: Places::open(&self.mmdb)? };
        let bar = bar();
        let findings = report::read(&options, &self.logs, &mut |progress| show(&bar, progress))?;
        bar.finish_and_clear();
        let mut out = io::stdout().lock();
        match if self.json { Format::Json } else { self.format } {
            Format::Text => write!(out, "{}", report::text(&findings))?,
            Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&findings)?)?,
            Format::Html => write!(out, "{}", report::html(&findings))?,
        }
        Ok(())
    }
}

/// A time, a day in the zone of the logs, or how long before now.
fn since(text: &str, now: Timestamp, zone: &TimeZone) -> anyhow::Result<Timestamp> {
    if let Ok(ago) = settings::duration::parse(text) {
        let ago = i64::try_from(ago.as_nanos()).unwrap_or(i64::MAX);
        return Ok(Timestamp::from_nanos(now.nanos().saturating_sub(ago)));
    }
    let instant = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let day: jiff::civil::Date = text.parse().ok()?;
        Some(day.to_zoned(zone.clone()).ok()?.timestamp())
    });
    let nanos = instant.and_then(|instant| i64::try_from(instant.as_nanosecond()).ok());
    let nanos = nanos.with_context(|| {
        format!(
            "`{}` is no time: write 2026-11-20T00:00:00Z, 2026-11-20, or 24h for a day ago",
            text.escape_debug()
        )
    })?;
    Ok(Timestamp::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let now = Timestamp::from_seconds(1_800_000_000);
        let zone = TimeZone::get("Europe/Rome").unwrap();
        let found = since(text, now, &zone).ok().map(crate::control::api::rfc3339);
        assert_eq!(found.as_deref(), expected, "{text}");
    }

    #[test]
    fn a_beginning_is_a_time_a_day_or_so_long_ago() {
        check("2026-11-20T01:02:03Z", Some("2026-11-20T01:02:03Z"));
        check("2026-11-20", Some("2026-11-19T23:00:00Z"));
        check("24h", Some("2027-01-14T08:00:00Z"));
        check("yesterday", None);
    }
}
