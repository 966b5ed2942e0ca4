//! The database is damaged, or its disk is full: bans go on, and once it can be written again it has them.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use e2e::http::metric;
use e2e::namespace::isolated;
use e2e::process::{Running, bound, ours};
use e2e::site::{Site, WATCHER};
use e2e::wait;

use crate::guessing::session;

const FIRST: &str = "198.51.100.7";
const SECOND: &str = "198.51.100.8";

#[test]
fn a_damaged_database_is_moved_aside_and_the_watcher_bans_on() {
    isolated(|| {
        let site = Site::new()?;
        let watcher = site.start_watcher()?;
        site.append("smtpd.log", session(1, FIRST).as_bytes())?;
        site.await_ban(FIRST)?;
        ensure!(watcher.stop()?.success());
        let path = site.path("watcher.db");
        let bytes = std::fs::metadata(&path)?.len();
        std::fs::write(&path, vec![0x5a; usize::try_from(bytes)?])?;

        let watcher = site.start_watcher()?;
        assert!(site.path("watcher.db.damaged").exists());
        assert!(watcher.said().contains("is damaged"), "{}", watcher.said());
        site.append("smtpd.log", session(2, SECOND).as_bytes())?;
        site.await_ban(SECOND)?;
        site.banctl(&format!("why {SECOND}"))?.yes()?;
        watcher.kill()?;
        let _watcher = site.start_watcher()?;
        assert!(site.banned()?.contains(SECOND));
        Ok(())
    });
}

/// A watcher whose database has a small disk of its own, which goes with it, and that disk.
fn on_a_small_disk(site: &Site) -> Result<(Running, PathBuf)> {
    site.change("watcher.toml", "\"watcher.db\"", "\"small/watcher.db\"")?;
    let small = site.path("small");
    std::fs::create_dir(&small)?;
    let mut command = bound("unshare");
    command.args([
        "--mount",
        "--",
        "sh",
        "-c",
        "mount -t tmpfs -o size=4m tmpfs \"$1\" && exec \"$2\" run --config \"$3\"",
    ]);
    command.arg("sh").arg(&small).arg(ours("postern-watcher")?).arg(site.path("watcher.toml"));
    let watcher = Running::start(&mut command, &site.path("watcher.err"))?;
    wait::until_true("the watcher to answer", || site.banctl("status").is_ok_and(|answer| answer.code == 0))?;
    let root = PathBuf::from(format!("/proc/{}/root", watcher.id()));
    let inside = small.strip_prefix("/").context("an absolute path")?;
    Ok((watcher, root.join(inside)))
}

#[test]
fn a_full_disk_stops_no_ban_and_what_it_missed_is_written_when_there_is_room() {
    isolated(|| {
        let site = Site::new()?;
        let (watcher, disk) = on_a_small_disk(&site)?;
        site.append("smtpd.log", session(1, FIRST).as_bytes())?;
        site.await_ban(FIRST)?;
        site.banctl(&format!("why {FIRST}"))?.yes()?;

        let filler = disk.join("filler");
        let mut file = File::create(&filler)?;
        for piece in [1 << 16, 1 << 12, 1] {
            while file.write(&vec![0; piece]).is_ok_and(|written| written > 0) {}
        }
        site.append("smtpd.log", session(2, SECOND).as_bytes())?;
        site.await_ban(SECOND)?;
        site.banctl(&format!("test {SECOND}"))?.yes()?;
        wait::until_true("the database to refuse", || {
            metric(WATCHER, "watcher_store_errors_total").is_ok_and(|errors| errors > 0.5)
        })?;
        assert!(watcher.said().contains("bans go on in memory"), "{}", watcher.said());
        assert_eq!(site.banctl(&format!("history {SECOND}"))?.code, 1);

        drop(file);
        std::fs::remove_file(&filler)?;
        wait::until_true("the ban to be on record", || {
            site.banctl(&format!("history {SECOND}")).is_ok_and(|answer| answer.code == 0)
        })
    });
}
