//! What the watcher says of its sources, to `banctl status` and to Prometheus.

use anyhow::Result;
use e2e::http::{self, metric};
use e2e::namespace::isolated;
use e2e::site::{Site, WATCHER};
use e2e::wait;

use crate::sources::{await_lines, source};

const LINE: &str = "@400000006b0118f21a4d9c2b tcpserver: status: 0/40\n";

#[test]
fn a_source_is_told_of_with_all_that_matters() {
    isolated(|| {
        let site = Site::new()?;
        site.append("smtpd.log", LINE.as_bytes())?;
        site.append("smtpd.log", b"nobody knows this\n")?;
        let _watcher = site.start_watcher()?;
        await_lines(&site, 2)?;
        site.append("smtpd.log", LINE.as_bytes())?;
        await_lines(&site, 3)?;
        let source = source(&site)?;
        assert_eq!((&source["envelope"], &source["unknown"]), (&"tai64n".into(), &1.into()), "{source}");
        assert!(source["lines_per_second"].as_f64().is_some_and(|rate| rate > 0.0), "{source}");
        assert!(
            source["unknown_share"].as_f64().is_some_and(|share| (0.3..0.4).contains(&share)),
            "{source}"
        );
        assert!(source["last_age_seconds"].is_f64() && source["lag_seconds"].is_f64(), "{source}");
        assert_eq!(source["not_understood"], false);
        let said = site.banctl("status")?.yes()?.said;
        for words in
            ["envelope tai64n", "lines/s in the last minute", "33 % of them unknown", "0 bytes behind"]
        {
            assert!(said.contains(words), "{words}: {said}");
        }
        let (_, metrics) = http::get(WATCHER, "/metrics")?;
        let info = format!(
            "watcher_source_info{{envelope=\"tai64n\",kind=\"file\",source=\"{}\"}} 1\n",
            site.path("smtpd.log").display()
        );
        assert!(metrics.contains(&info), "{metrics}");
        Ok(())
    });
}

fn notices(site: &Site) -> Result<Vec<String>> {
    let status = site.banctl("status --json")?.json()?;
    let kinds =
        status["notices"].as_array().into_iter().flatten().filter_map(|notice| notice["kind"].as_str());
    Ok(kinds.map(str::to_owned).collect())
}

#[test]
fn a_source_that_says_nothing_for_too_long_is_told_of() {
    isolated(|| {
        let site = Site::new()?;
        site.change(
            "watcher.toml",
            "file = \"smtpd.log\"",
            "file = \"smtpd.log\"\nsilent_after = \"100ms\"",
        )?;
        site.append("smtpd.log", b"")?;
        let watcher = site.start_watcher()?;
        wait::until_true("a notice", || notices(&site).is_ok_and(|notices| notices == ["source-silent"]))?;
        assert!(source(&site)?["silent_seconds"].is_u64());
        assert!(site.banctl("status")?.yes()?.said.contains("SILENT for"));
        assert!(watcher.said().contains("has said nothing for"), "{}", watcher.said());
        let series = format!("watcher_source_silent{{source=\"{}\"}}", site.path("smtpd.log").display());
        assert_eq!(metric(WATCHER, &series)?, 1.0);
        Ok(())
    });
}

#[test]
fn a_log_that_is_not_there_is_a_trouble_that_passes() {
    isolated(|| {
        let site = Site::new()?;
        let _watcher = site.start_watcher()?;
        wait::until_true("a notice", || notices(&site).is_ok_and(|notices| notices == ["source-trouble"]))?;
        assert!(site.banctl("status")?.yes()?.said.contains("NOT READ: there is no such file"));
        site.append("smtpd.log", LINE.as_bytes())?;
        await_lines(&site, 1)?;
        assert!(source(&site)?["trouble"].is_null());
        Ok(())
    });
}

#[test]
fn without_a_source_the_machine_is_searched_and_what_is_found_is_a_configuration() {
    isolated(|| {
        let site = Site::new()?;
        let answer = site.watcher("detect")?;
        site.write("found.toml", &answer.said)?;
        let checked = site.watcher("check --config found.toml")?.yes()?.said;
        let found = site.watcher("detect --json")?.is(answer.code)?.json()?;
        let sources = found["sources"].as_array().map_or(0, Vec::len);
        assert_eq!(sources > 0, answer.code == 0, "{found}");
        assert_eq!(sources == 0, checked.contains("no source is named"), "{checked}");
        assert!(found["passed_over"].is_array());
        Ok(())
    });
}
