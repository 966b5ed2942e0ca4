//! The watcher goes and comes back, as it was told to or as the power went: nothing is forgotten, nothing counted twice.

use e2e::banctl::counted;
use e2e::client::Client;
use e2e::namespace::isolated;
use e2e::process::Running;
use e2e::site::{Site, WRONG};

const ATTACKER: &str = "198.51.100.7";

/// How the watcher goes.
#[derive(Clone, Copy)]
enum Exit {
    /// SIGTERM.
    Told,
    /// SIGKILL.
    Killed,
}

impl Exit {
    fn of(self, watcher: Running) -> anyhow::Result<()> {
        match self {
            Exit::Told => {
                let status = watcher.stop()?;
                assert!(status.success(), "{status}");
                Ok(())
            }
            Exit::Killed => watcher.kill(),
        }
    }
}

/// A ban outlives the watcher in the kernel, and is in its list again when it is back.
#[track_caller]
fn check_ban_outlives(exit: Exit) {
    isolated(|| {
        let (site, _smtpd, watcher) = Site::running()?;
        let attacker = Client::of(&site.network, ATTACKER);
        attacker.guess("alice", &WRONG[..5])?;
        site.await_ban(ATTACKER)?;
        // The question is answered when all is on disk.
        site.banctl(&format!("why {ATTACKER}"))?.yes()?;
        let bans = site.bans()?;
        exit.of(watcher)?;
        assert!(!attacker.is_greeted(25)?, "nobody watches, and the kernel keeps it out");
        let _watcher = site.start_watcher()?;
        assert_eq!(site.bans()?, bans);
        assert!(!attacker.is_greeted(25)?);
        Ok(())
    });
}

#[test]
fn a_ban_outlives_a_restart() {
    check_ban_outlives(Exit::Told);
}

#[test]
fn a_ban_outlives_a_kill() {
    check_ban_outlives(Exit::Killed);
}

/// A ban whose table somebody threw away while nobody watched is in force again when the watcher is back.
#[test]
fn a_ban_that_the_kernel_lost_meanwhile_is_put_back() {
    isolated(|| {
        let (site, _smtpd, watcher) = Site::running()?;
        let attacker = Client::of(&site.network, ATTACKER);
        attacker.guess("alice", &WRONG[..5])?;
        site.await_ban(ATTACKER)?;
        Exit::Told.of(watcher)?;
        e2e::process::run("nft", "flush ruleset")?;
        assert!(attacker.is_greeted(25)?);
        let _watcher = site.start_watcher()?;
        assert!(!attacker.is_greeted(25)?);
        Ok(())
    });
}

/// Failures before and after the watcher's absence are counted together.
#[track_caller]
fn check_counter_outlives(exit: Exit) {
    isolated(|| {
        let (site, _smtpd, watcher) = Site::running()?;
        let attacker = Client::of(&site.network, ATTACKER);
        attacker.guess("alice", &WRONG[..4])?;
        site.await_read()?;
        exit.of(watcher)?;
        let _watcher = site.start_watcher()?;
        attacker.guess("alice", &WRONG[4..5])?;
        site.await_ban(ATTACKER)
    });
}

#[test]
fn four_failures_then_a_restart_then_one_more_are_too_many() {
    check_counter_outlives(Exit::Told);
}

#[test]
fn four_failures_then_a_kill_then_one_more_are_too_many() {
    check_counter_outlives(Exit::Killed);
}

/// Lines that are written while nobody watches are read when the watcher is back.
#[track_caller]
fn check_lines_meanwhile(exit: Exit) {
    isolated(|| {
        let (site, _smtpd, watcher) = Site::running()?;
        let attacker = Client::of(&site.network, ATTACKER);
        attacker.guess("alice", &WRONG[..2])?;
        exit.of(watcher)?;
        attacker.guess("alice", &WRONG[2..5])?;
        let _watcher = site.start_watcher()?;
        site.await_ban(ATTACKER)
    });
}

#[test]
fn lines_written_during_a_restart_are_read() {
    check_lines_meanwhile(Exit::Told);
}

#[test]
fn lines_written_after_a_kill_are_read() {
    check_lines_meanwhile(Exit::Killed);
}

#[test]
fn no_line_is_counted_twice_however_often_the_watcher_goes() {
    isolated(|| {
        let site = Site::new()?;
        // A jail that counts lines, so that a line which is read twice shows.
        site.write("jails/password-guessing.toml", LINES)?;
        let _smtpd = site.start_smtpd()?;
        let mut watcher = site.start_watcher()?;
        let attacker = Client::of(&site.network, ATTACKER);
        for (n, exit) in [Exit::Killed, Exit::Told, Exit::Killed, Exit::Told].into_iter().enumerate() {
            attacker.guess("alice", &WRONG[n..=n])?;
            site.await_read()?;
            let why = site.banctl(&format!("why --json {ATTACKER}"))?.is(1)?.json()?;
            assert_eq!(counted(&why, "password-guessing"), Some(n as u64 + 1), "{why}");
            exit.of(watcher)?;
            watcher = site.start_watcher()?;
        }
        let why = site.banctl(&format!("why --json {ATTACKER}"))?.is(1)?.json()?;
        assert_eq!(counted(&why, "password-guessing"), Some(4), "{why}");
        Ok(())
    });
}

const LINES: &str = r#"
about = "failed logins, each counted"
on = ["auth-failed"]
threshold = 50
within = "10m"
[ban]
for = "1h"
"#;
