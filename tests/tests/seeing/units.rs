//! The units of systemd, by systemd's own judgement.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use e2e::process::bound;

use crate::board::repository;

const UNITS: [&str; 3] = ["postern-watcher.service", "postern-smtpd.service", "postern-smtpd.socket"];

/// Examples for more than the watcher's unit allows.
const DROP_INS: &str = "packaging/drop-ins";

/// What each may be exposed to, of 100.
const EXPOSURE: [(&str, u32); 2] = [("postern-watcher.service", 14), ("postern-smtpd.service", 11)];

#[test]
fn systemd_understands_every_word_of_the_units() {
    let check = || -> Result<()> {
        // The programs are named where they will be; a directory stands for the whole system.
        let root = tempfile::tempdir()?;
        let units = root.path().join("etc/systemd/system");
        std::fs::create_dir_all(&units)?;
        std::fs::create_dir_all(root.path().join("usr/bin"))?;
        for program in ["postern-watcher", "postern-smtpd", "banctl"] {
            let path = root.path().join("usr/bin").join(program);
            std::fs::write(&path, "#!/bin/sh\n")?;
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        }
        std::fs::create_dir_all(root.path().join("bin"))?;
        std::fs::copy("/bin/kill", root.path().join("bin/kill"))?;
        for unit in UNITS {
            std::fs::copy(repository().join("packaging").join(unit), units.join(unit))?;
        }
        // What they name of the system's own, as far as they do.
        copy_units(Path::new("/lib/systemd/system"), &root.path().join("lib/systemd/system"))?;
        // With everything that the examples add.
        copy_all(&repository().join(DROP_INS), &units.join("postern-watcher.service.d"))?;
        for unit in UNITS {
            let mut verify = bound("systemd-analyze");
            verify
                .args(["verify", "--man=no", "--recursive-errors=no"])
                .arg(format!("--root={}", root.path().display()));
            let output = verify.arg(unit).output().context("systemd-analyze")?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success() && said.is_empty(), "{unit}: {said}");
        }
        Ok(())
    };
    check().unwrap();
}

fn copy_units(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        let is_unit = path
            .extension()
            .is_some_and(|e| ["target", "slice", "socket", "service", "mount"].iter().any(|k| e == *k));
        if is_unit && path.is_file() {
            std::fs::copy(&path, to.join(path.file_name().unwrap_or_default()))?;
        }
    }
    Ok(())
}

fn copy_all(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        std::fs::copy(&path, to.join(path.file_name().unwrap_or_default()))?;
    }
    Ok(())
}

#[test]
fn the_services_hold_hardly_any_right() {
    for (unit, most) in EXPOSURE {
        let mut security = bound("systemd-analyze");
        security.args(["security", "--offline=yes", "--no-pager", &format!("--threshold={most}")]);
        let output = security.arg(repository().join("packaging").join(unit)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let last = said.lines().last().unwrap_or_default();
        assert!(output.status.success(), "{unit}: {last}");
    }
}

#[test]
fn the_services_follow_nftables_and_lose_no_line() {
    let text = |unit: &str| std::fs::read_to_string(repository().join("packaging").join(unit)).unwrap();
    let watcher = text("postern-watcher.service");
    for line in [
        "PartOf=nftables.service",
        "ReloadPropagatedFrom=nftables.service",
        "WatchdogSec=30s",
        "LogRateLimitIntervalSec=0",
    ] {
        assert!(watcher.lines().any(|own| own == line), "{line}");
    }
    let smtpd = text("postern-smtpd.service");
    assert!(smtpd.contains("\nLogRateLimitIntervalSec=0\n") && smtpd.contains("\nCapabilityBoundingSet=\n"));
}
