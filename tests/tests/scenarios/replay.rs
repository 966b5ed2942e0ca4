//! Replaying a log gives the bans that living through it gave: the same subjects, jails and times, to the nanosecond.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use e2e::banctl::{Answer, Ban};
use e2e::namespace::isolated;
use e2e::process::{bound, ours};
use e2e::recording::{self, Recording};
use e2e::site::Site;

/// Who would be banned by this log.
fn replay(config: &Path, log: &Path) -> anyhow::Result<BTreeSet<Ban>> {
    let mut command = bound(ours("postern-watcher")?);
    command.args(["replay", "--format", "json", "--config"]).arg(config).arg(log);
    Ban::list(&Answer::of(&mut command)?.yes()?.json()?)
}

#[test]
fn a_log_replayed_gives_the_bans_of_the_live_run() {
    isolated(|| {
        let site = Site::new()?;
        let Recording { directory, log, bans, clients } = recording::record(&site, 4)?;
        assert!(bans.len() >= 10, "{bans:#?}\n{clients}");
        let file = site.path("whole.log");
        std::fs::write(&file, log)?;
        let config = site.path("watcher.toml");
        assert_eq!(replay(&config, &directory)?, bans, "the directory\n{clients}");
        assert_eq!(replay(&config, &file)?, bans, "the file\n{clients}");
        Ok(())
    });
}

/// The log that lies in `fixtures/botnet`, recorded by the program `record`.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/botnet").join(name)
}

#[track_caller]
fn check_fixture(log: &str) {
    let text = std::fs::read_to_string(fixture("bans.json")).unwrap();
    let bans = Ban::list(&serde_json::from_str(&text).unwrap()).unwrap();
    assert!(bans.len() >= 10);
    assert_eq!(replay(&fixture("watcher.toml"), &fixture(log)).unwrap(), bans);
}

#[test]
fn the_recorded_file_gives_the_recorded_bans() {
    check_fixture("smtpd.log");
}

#[test]
fn the_recorded_multilog_directory_gives_the_recorded_bans() {
    check_fixture("smtpd");
}
