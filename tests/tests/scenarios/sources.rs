//! Lines that come by other ways than a file: syslog from a real `logger`, the journal from a real journal file.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use e2e::namespace::isolated;
use e2e::process::{bound, done};
use e2e::site::Site;
use e2e::wait;
use serde_json::Value;

const ATTACKER: &str = "198.51.100.7";
const REMOTE: &str = "/lib/systemd/systemd-journal-remote";

/// A host whose watcher reads this source alone.
fn site(source: &str) -> Result<Site> {
    let site = Site::new()?;
    site.change("watcher.toml", "file = \"smtpd.log\"", source)?;
    Ok(site)
}

fn failure(address: &str) -> String {
    format!("vchkpw-smtp: password fail info@example.org:{address}")
}

/// What the watcher says of its source.
fn source(site: &Site) -> Result<Value> {
    let status = site.banctl("status --json")?.json()?;
    status.pointer("/sources/0").cloned().context("no source")
}

fn await_lines(site: &Site, count: u64) -> Result<()> {
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

/// A journal of its own, in the directory `journal` of the site.
struct JournalFile<'a>(&'a Site);

impl JournalFile<'_> {
    const SOURCE: &'static str =
        "journal = [\"_SYSTEMD_UNIT=vpopmail.service\"]\njournal_directory = \"journal\"";

    /// Appends messages of a unit, as systemd's own program writes them.
    fn append(&self, unit: &str, messages: &[&str]) -> Result<()> {
        let entries: Vec<Vec<u8>> =
            messages.iter().map(|message| entry(unit, message)).collect::<Result<_>>()?;
        self.write(&entries.concat())
    }

    fn write(&self, entries: &[u8]) -> Result<()> {
        let directory = self.0.path("journal");
        std::fs::create_dir_all(&directory)?;
        let mut command = bound(REMOTE);
        command.arg("-o").arg(directory.join("test.journal")).arg("-");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        child.stdin.take().context("a pipe to it")?.write_all(entries)?;
        let status = child.wait()?;
        ensure!(status.success(), "{REMOTE}: {status}");
        Ok(())
    }
}

fn entry(unit: &str, message: &str) -> Result<Vec<u8>> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.replace('-', "");
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
    let head = format!(
        "__REALTIME_TIMESTAMP={now}\n__MONOTONIC_TIMESTAMP={now}\n_BOOT_ID={}\n_TRANSPORT=syslog\n\
         _SYSTEMD_UNIT={unit}\nSYSLOG_IDENTIFIER=vpopmail\n_PID=77\nMESSAGE\n",
        boot.trim()
    );
    let length = u64::try_from(message.len())?.to_le_bytes();
    Ok([head.as_bytes(), &length, message.as_bytes(), b"\n\n"].concat())
}

#[test]
fn the_journal_is_read_and_followed_and_read_on_after_a_kill() {
    isolated(|| {
        let site = site(JournalFile::SOURCE)?;
        let journal = JournalFile(&site);
        let failed = failure(ATTACKER);
        journal.append("vpopmail.service", &[&failed])?;
        let watcher = site.start_watcher()?;
        await_lines(&site, 1)?;
        journal.append("other.service", &[&failed])?;
        journal.append("vpopmail.service", &[&failed])?;
        await_lines(&site, 2)?;
        site.banctl("reload")?.yes()?;
        // The question is answered when all is on disk.
        let why = site.banctl(&format!("why --json {ATTACKER}"))?.is(1)?.json()?;
        assert_eq!(why["standing"][0]["count"], 2, "{why}");
        watcher.kill()?;
        journal.append("vpopmail.service", &[&failed])?;
        let _watcher = site.start_watcher()?;
        await_lines(&site, 1)?;
        let why = site.banctl(&format!("why --json {ATTACKER}"))?.is(1)?.json()?;
        assert_eq!(why["standing"][0]["count"], 3, "{why}");
        journal.append("vpopmail.service", &[&failed, &failed])?;
        site.await_ban(ATTACKER)
    });
}

#[test]
fn a_journal_message_of_two_lines_bans_nobody_and_what_was_suppressed_is_counted() {
    isolated(|| {
        let site = site(JournalFile::SOURCE)?;
        let journal = JournalFile(&site);
        let forged = format!("hello\n{}", failure(ATTACKER));
        journal.append("vpopmail.service", &[forged.as_str(); 6])?;
        let notice = String::from_utf8(entry("systemd-journald.service", "Suppressed 7 messages")?)?;
        let notice = notice.replace(
            "_TRANSPORT=syslog\n",
            "_TRANSPORT=driver\nN_DROPPED=7\n\
            MESSAGE_ID=a596d6fe7bfa4994828e72309e95d61e\nOBJECT_SYSTEMD_UNIT=vpopmail.service\n",
        );
        journal.write(notice.as_bytes())?;
        let _watcher = site.start_watcher()?;
        wait::until_true("the notice", || source(&site).is_ok_and(|source| source["lost"] == 7))?;
        let source = source(&site)?;
        assert_eq!((&source["lines"], &source["escaped"]), (&6.into(), &6.into()), "{source}");
        assert_eq!(site.banned()?, [].into());
        Ok(())
    });
}

#[test]
fn a_cursor_that_the_journal_does_not_know_is_replaced_by_the_time() {
    isolated(|| {
        let site = site(JournalFile::SOURCE)?;
        let journal = JournalFile(&site);
        let failed = failure(ATTACKER);
        journal.append("vpopmail.service", &[&failed, &failed])?;
        let watcher = site.start_watcher()?;
        await_lines(&site, 2)?;
        watcher.stop()?;
        let mut spoil = bound("python3");
        let program = "import sqlite3; c = sqlite3.connect('watcher.db'); \
             c.execute(\"UPDATE cursor SET position = json_set(position, '$.cursor', 'spoilt')\"); c.commit()";
        done(spoil.current_dir(site.directory()).args(["-c", program]))?;
        journal.append("vpopmail.service", &[&failed])?;
        let _watcher = site.start_watcher()?;
        await_lines(&site, 1)?;
        let why = site.banctl(&format!("why --json {ATTACKER}"))?.is(1)?.json()?;
        assert_eq!(why["standing"][0]["count"], 3, "{why}");
        Ok(())
    });
}

#[test]
fn a_journal_that_cannot_be_read_is_a_trouble_that_passes() {
    isolated(|| {
        let site = site(JournalFile::SOURCE)?;
        let _watcher = site.start_watcher()?;
        wait::until_true("the trouble", || source(&site).is_ok_and(|source| source["trouble"].is_string()))?;
        assert!(site.banctl("status")?.yes()?.said.contains("NOT READ: journalctl ended"));
        JournalFile(&site).append("vpopmail.service", &[failure(ATTACKER).as_str(); 5])?;
        site.await_ban(ATTACKER)?;
        assert!(source(&site)?["trouble"].is_null());
        Ok(())
    });
}
