//! The systemd journal, from real journal files: followed, rotated, vacuumed, and read on after the watcher was away.

use std::io::Write as _;
use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use e2e::namespace::isolated;
use e2e::process::{bound, done};
use e2e::site::Site;
use e2e::wait;

use crate::sources::{await_lines, failure, site, source};

const ATTACKER: &str = "198.51.100.7";
const REMOTE: &str = "/lib/systemd/systemd-journal-remote";

/// A journal of its own, in the directory `journal` of the site.
pub(crate) struct JournalFile<'a>(pub(crate) &'a Site);

impl JournalFile<'_> {
    pub(crate) const SOURCE: &'static str =
        "journal = [\"_SYSTEMD_UNIT=vpopmail.service\"]\njournal_directory = \"journal\"";

    /// The same source, by the name of the unit and that of the program.
    const BY_NAME: &'static str =
        "unit = \"vpopmail\"\nidentifier = [\"vpopmail\"]\njournal_directory = \"journal\"";

    /// Appends messages of a unit, as systemd's own program writes them.
    pub(crate) fn append(&self, unit: &str, messages: &[&str]) -> Result<()> {
        let entries: Vec<Vec<u8>> =
            messages.iter().map(|message| entry(unit, message)).collect::<Result<_>>()?;
        self.write(&entries.concat())
    }

    /// Ends the file as journald does when it rotates: it gets a name of its own, and the next entry begins a new one.
    fn rotate(&self, number: u32) -> Result<()> {
        let archived = format!("test@{number:032x}-{number:016x}-{number:016x}.journal");
        Ok(std::fs::rename(self.0.path("journal/test.journal"), self.0.path("journal").join(archived))?)
    }

    /// Deletes the oldest files but so many, as journald does.
    fn vacuum(&self, files_left: u32) -> Result<()> {
        let mut journalctl = bound("journalctl");
        journalctl.arg("--directory").arg(self.0.path("journal"));
        done(journalctl.arg(format!("--vacuum-files={files_left}"))).map(drop)
    }

    /// How many files there are.
    fn files(&self) -> Result<usize> {
        Ok(std::fs::read_dir(self.0.path("journal"))?.count())
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

#[test]
fn a_journal_that_is_rotated_and_vacuumed_while_it_is_read_gives_each_line_once() {
    isolated(|| {
        let site = site(JournalFile::SOURCE)?;
        let journal = JournalFile(&site);
        journal.append("vpopmail.service", &["first"])?;
        let _watcher = site.start_watcher()?;
        await_lines(&site, 1)?;
        for number in 1..=6 {
            journal.append("vpopmail.service", &["a", "b"])?;
            journal.rotate(number)?;
            journal.append("vpopmail.service", &["c"])?;
            await_lines(&site, 1 + 3 * u64::from(number))?;
        }
        journal.vacuum(2)?;
        assert!(journal.files()? <= 3);
        journal.append("vpopmail.service", &["d"])?;
        await_lines(&site, 20)?;
        let source = source(&site)?;
        assert_eq!((&source["lost"], &source["trouble"]), (&0.into(), &serde_json::Value::Null));
        Ok(())
    });
}

/// What comes while the watcher is away, and what becomes of the files meanwhile: each of `count` lines is read once.
#[track_caller]
fn check_absence(count: u64, meanwhile: impl Fn(&JournalFile<'_>) -> Result<()>) {
    isolated(|| {
        let site = site(JournalFile::BY_NAME)?;
        let journal = JournalFile(&site);
        journal.append("other.service", &["somebody else's"])?;
        journal.append("vpopmail.service", &["read", "read", &failure(ATTACKER)])?;
        let watcher = site.start_watcher()?;
        await_lines(&site, 3)?;
        // The question is answered when all is on disk.
        site.banctl(&format!("why {ATTACKER}"))?.is(1)?;
        watcher.kill()?;
        meanwhile(&journal)?;
        let _watcher = site.start_watcher()?;
        await_lines(&site, count)?;
        journal.append("vpopmail.service", &["one more"])?;
        await_lines(&site, count + 1)?;
        let why = site.banctl(&format!("why --json {ATTACKER}"))?.is(1)?.json()?;
        assert_eq!(why["standing"][0]["count"], 2, "{why}");
        Ok(())
    });
}

#[test]
fn a_journal_that_is_rotated_while_the_watcher_is_away_gives_each_line_once() {
    check_absence(4, |journal| {
        journal.append("vpopmail.service", &["a"])?;
        journal.rotate(1)?;
        journal.append("vpopmail.service", &["b", &failure(ATTACKER)])?;
        journal.rotate(2)?;
        journal.append("vpopmail.service", &["c"])
    });
}

#[test]
fn a_journal_whose_last_entry_was_vacuumed_gives_all_that_came_after_it() {
    check_absence(3, |journal| {
        journal.rotate(1)?;
        journal.append("vpopmail.service", &[&failure(ATTACKER), "a", "b"])?;
        journal.rotate(2)?;
        journal.vacuum(1)?;
        ensure!(journal.files()? == 1);
        Ok(())
    });
}
