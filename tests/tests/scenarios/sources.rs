//! Lines that come by other ways than a file: standard input, the server's own socket, syslog from a real `logger`.

use std::io::Write as _;
use std::process::Command;

use anyhow::{Context as _, Result};
use e2e::banctl::counted;
use e2e::client::Client;
use e2e::http::metric;
use e2e::namespace::isolated;
use e2e::process::{bound, done};
use e2e::site::{SMTPD, Site, WATCHER, WRONG};
use e2e::wait;
use serde_json::Value;

const ATTACKER: &str = "198.51.100.7";

/// A host whose watcher reads this source alone.
pub(crate) fn site(source: &str) -> Result<Site> {
    let site = Site::new()?;
    site.change("watcher.toml", "file = \"smtpd.log\"", source)?;
    Ok(site)
}

pub(crate) fn failure(address: &str) -> String {
    format!("vchkpw-smtp: password fail info@example.org:{address}")
}

/// What the watcher says of its source.
pub(crate) fn source(site: &Site) -> Result<Value> {
    let status = site.banctl("status --json")?.json()?;
    status.pointer("/sources/0").cloned().context("no source")
}

pub(crate) fn await_lines(site: &Site, count: u64) -> Result<()> {
    wait::until_true("the lines", || source(site).is_ok_and(|source| source["lines"] == count))
}

/// `logger`, with these words before its own.
fn logger(site: &Site, words: &str) -> Command {
    let mut logger = bound("logger");
    logger.current_dir(site.directory()).args(words.split_whitespace());
    logger.args(["--tag", "vpopmail", "--id", "--priority", "mail.info"]);
    logger
}

#[track_caller]
fn check_logger(address: &str, words: &str) {
    isolated(|| {
        let site = site(&format!("syslog = \"{address}\""))?;
        let _watcher = site.start_watcher()?;
        for count in 1..=4 {
            done(logger(&site, words).arg(failure(ATTACKER)))?;
            await_lines(&site, count)?;
        }
        assert_eq!(site.banned()?, [].into());
        done(logger(&site, words).arg(failure(ATTACKER)))?;
        site.await_ban(ATTACKER)?;
        let source = source(&site)?;
        assert_eq!((&source["kind"], &source["unknown"]), (&"syslog".into(), &0.into()), "{source}");
        Ok(())
    });
}

#[test]
fn syslog_of_a_socket_leads_to_a_ban() {
    check_logger("log.sock", "--socket log.sock");
}

#[test]
fn syslog_over_udp_leads_to_a_ban() {
    check_logger("udp://127.0.0.1:5514", "--server 127.0.0.1 --port 5514 --udp");
}

#[test]
fn traditional_syslog_over_udp_leads_to_a_ban() {
    check_logger("udp://127.0.0.1:5514", "--server 127.0.0.1 --port 5514 --udp --rfc3164");
}

#[test]
fn syslog_over_tcp_leads_to_a_ban() {
    check_logger("tcp://127.0.0.1:5514", "--server 127.0.0.1 --port 5514 --tcp");
}

#[test]
fn syslog_over_tcp_with_counted_octets_leads_to_a_ban() {
    check_logger("tcp://127.0.0.1:5514", "--server 127.0.0.1 --port 5514 --tcp --octet-count");
}

#[test]
fn syslog_of_a_stream_socket_leads_to_a_ban() {
    check_logger("unix-stream://log.sock", "--socket log.sock --octet-count");
}

#[test]
fn a_message_of_two_lines_is_one_line_and_bans_nobody() {
    isolated(|| {
        let site = site("syslog = \"log.sock\"")?;
        let _watcher = site.start_watcher()?;
        let socket = std::os::unix::net::UnixDatagram::unbound()?;
        for _ in 0..6 {
            let forged = format!("<22>Nov 21 04:00:00 web[1]: hello\n{}", failure(ATTACKER));
            socket.send_to(forged.as_bytes(), site.path("log.sock"))?;
        }
        await_lines(&site, 6)?;
        let source = source(&site)?;
        assert_eq!((&source["escaped"], &source["unknown"]), (&6.into(), &6.into()), "{source}");
        assert_eq!(site.banned()?, [].into());
        Ok(())
    });
}

#[test]
fn a_reload_keeps_the_socket_and_a_restart_takes_it_again() {
    isolated(|| {
        let site = site("syslog = \"log.sock\"")?;
        let watcher = site.start_watcher()?;
        done(logger(&site, "--socket log.sock").arg(failure(ATTACKER)))?;
        await_lines(&site, 1)?;
        site.banctl("reload")?.yes()?;
        done(logger(&site, "--socket log.sock").arg(failure(ATTACKER)))?;
        await_lines(&site, 2)?;
        watcher.kill()?;
        let _watcher = site.start_watcher()?;
        for _ in 0..5 {
            done(logger(&site, "--socket log.sock").arg(failure(ATTACKER)))?;
        }
        site.await_ban(ATTACKER)
    });
}

#[test]
fn standard_input_is_read_to_its_end_and_the_daemon_goes_on() {
    isolated(|| {
        let site = site("stdin = true")?;
        let (mut watcher, mut stdin) = site.feed_watcher()?;
        for _ in 0..4 {
            writeln!(stdin, "Nov 21 04:00:00 mx vpopmail[77]: {}", failure(ATTACKER))?;
        }
        await_lines(&site, 4)?;
        assert_eq!(site.banned()?, [].into());
        // Nobody finishes the last line: it counts as it is.
        write!(stdin, "Nov 21 04:00:00 mx vpopmail[77]: {}", failure(ATTACKER))?;
        drop(stdin);
        wait::until_true("the end", || source(&site).is_ok_and(|source| source["ended"].is_string()))?;
        await_lines(&site, 5)?;
        wait::until_true("a notice", || {
            watcher.said().contains("standard input is not read any more: standard input has ended")
        })?;
        assert!(watcher.is_running());
        assert_eq!(metric(WATCHER, "watcher_notices_total{kind=\"source-ended\"}")?, 1.0);
        Ok(())
    });
}

#[test]
fn the_server_sends_its_log_to_a_watcher_that_comes_late_and_goes_and_comes_again() {
    isolated(|| {
        let site = site("syslog = \"log.sock\"")?;
        site.change("smtpd.toml", "file = \"smtpd.log\"", "file = \"smtpd.log\"\nsocket = \"log.sock\"")?;
        let smtpd = site.start_smtpd()?;
        let attacker = Client::of(&site.network, ATTACKER);
        assert_eq!(attacker.guess("alice", &WRONG[..2])?, ["535"; 2]);
        let watcher = site.start_watcher()?;
        await_lines(&site, site.log()?.lines().count() as u64)?;
        // The question is answered when all is on disk.
        let why = site.banctl(&format!("why --json {ATTACKER}"))?.is(1)?.json()?;
        assert_eq!(counted(&why, "password-guessing"), Some(2), "{why}");
        watcher.stop()?;
        assert_eq!(attacker.guess("alice", &WRONG[2..4])?, ["535"; 2]);
        let _watcher = site.start_watcher()?;
        attacker.guess("alice", &WRONG[4..5])?;
        site.await_ban(ATTACKER)?;
        assert_eq!(source(&site)?["envelope"], "tai64n");
        assert_eq!(metric(SMTPD, "smtpd_journal_socket_lost_total")?, 0.0);
        smtpd.stop()?;
        Ok(())
    });
}
