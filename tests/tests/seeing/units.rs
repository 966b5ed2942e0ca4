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

/// What both services are told.
const BOTH: &str = "Type=notify Restart=on-failure WatchdogSec=30s User=postern Group=postern StateDirectory=postern UMask=0077
    LogRateLimitIntervalSec=0 LimitNOFILE=65536 MemoryMax=50% NoNewPrivileges=yes ProtectSystem=strict ProtectHome=yes PrivateTmp=yes
    PrivateDevices=yes PrivateMounts=yes DevicePolicy=closed ProtectKernelTunables=yes ProtectKernelModules=yes
    ProtectKernelLogs=yes ProtectControlGroups=yes ProtectClock=yes ProtectHostname=yes ProtectProc=invisible
    RestrictNamespaces=yes RestrictRealtime=yes RestrictSUIDSGID=yes LockPersonality=yes MemoryDenyWriteExecute=yes
    RemoveIPC=yes KeyringMode=private SystemCallArchitectures=native SystemCallFilter=@system-service
    SystemCallErrorNumber=EPERM WantedBy=multi-user.target";

/// What the watcher is told besides.
const WATCHER: &str = "PartOf=nftables.service ReloadPropagatedFrom=nftables.service ExecStart=/usr/bin/postern-watcher
    ExecReload=/usr/bin/banctl AmbientCapabilities=CAP_NET_ADMIN CapabilityBoundingSet=CAP_NET_ADMIN RuntimeDirectory=postern
    RuntimeDirectoryPreserve=restart OOMScoreAdjust=-500 TasksMax=256 IPAddressDeny=any IPAddressAllow=localhost";

/// And the mail server.
const SMTPD: &str =
    "ExecStart=/usr/bin/postern-smtpd Requires=postern-smtpd.socket CapabilityBoundingSet= PrivateUsers=yes
    ProcSubset=pid TasksMax=512 Also=postern-smtpd.socket";

/// And its socket.
const SOCKET: &str =
    "ListenStream=0.0.0.0:25 ListenStream=[::]:25 ListenStream=0.0.0.0:465 ListenStream=[::]:465
    ListenStream=0.0.0.0:587 ListenStream=[::]:587 BindIPv6Only=ipv6-only Backlog=4096 FileDescriptorName=smtp
    WantedBy=sockets.target";

#[test]
fn the_units_say_all_that_they_have_to() {
    let wanted = [(UNITS[0], [BOTH, WATCHER]), (UNITS[1], [BOTH, SMTPD]), (UNITS[2], [SOCKET, ""])];
    for (unit, words) in wanted {
        let text = std::fs::read_to_string(repository().join("packaging").join(unit)).unwrap();
        for word in words.iter().flat_map(|words| words.split_whitespace()) {
            assert!(text.lines().any(|own| own.split(' ').next() == Some(word)), "{unit}: {word}");
        }
    }
    let sysusers = std::fs::read_to_string(repository().join("packaging/postern.sysusers")).unwrap();
    assert!(sysusers.starts_with("u postern "), "{sysusers}");
    let reload = std::fs::read_to_string(repository().join("packaging").join(UNITS[0])).unwrap();
    assert!(
        reload.contains("\nExecReload=/usr/bin/banctl reload --wait\n"),
        "a reload waits, and says what is wrong"
    );
}

/// What lies in the state directory of a machine where everything was used, and whether a purge leaves it.
const STATE: [(&str, bool); 18] = [
    ("watcher.db", false),
    ("watcher.db-wal", false),
    ("watcher.db-shm", false),
    ("watcher.db.damaged", false),
    ("dnsbl.jsonl", false),
    ("dnsbl.db", false),
    ("dnsbl.db-wal", false),
    ("dnsbl.db-shm", false),
    ("karma.db", false),
    ("karma.db-wal", false),
    ("karma.db-shm", false),
    ("greylist.db", false),
    ("greylist.db-wal", false),
    ("fingerprint.key", false),
    ("dkim.pem", true),
    ("cert.pem", true),
    ("key.pem", true),
    ("mail/example.org/alice/new/1.mx", true),
];

/// Purges in a place where `/etc`, `/run` and `/var/lib` are empty but for these files; what is left, and what was said.
fn purged(state: &[&str]) -> Result<(String, String)> {
    let postrm = repository().join("packaging/debian/postrm").canonicalize()?;
    let script = "set -e; for d in /etc /run /var/lib; do mount -t tmpfs none $d; done
        mkdir -p /etc/postern /run/postern /var/lib/postern/queue/msg
        touch /etc/postern/users
        for f; do mkdir -p \"$(dirname \"/var/lib/postern/$f\")\"; touch \"/var/lib/postern/$f\"; done
        nft add table inet postern
        sh \"$POSTRM\" purge
        ! nft list table inet postern 2>/dev/null
        find /etc /run /var/lib -mindepth 1 -not -type d";
    let mut purge = bound("unshare");
    purge.args(["--map-root-user", "--net", "--mount", "sh", "-c", script, "sh"]).args(state);
    let output = purge.env("POSTRM", postrm).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{said}");
    Ok((String::from_utf8_lossy(&output.stdout).into_owned(), said))
}

#[test]
fn a_purge_leaves_mail_and_the_keys_that_others_know_us_by() {
    let names = STATE.map(|(name, _)| name);
    let (left, said) = purged(&names).unwrap();
    for (name, stays) in STATE {
        assert_eq!(left.contains(&format!("/var/lib/postern/{name}\n")), stays, "{name}: {left}");
    }
    assert_eq!(left.lines().count(), STATE.iter().filter(|(_, stays)| *stays).count(), "{left}");
    for word in ["mail", "certificates", "DKIM key", "/var/lib/postern"] {
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[test]
fn a_purge_of_what_was_never_used_leaves_nothing_and_says_nothing() {
    assert_eq!(purged(&["watcher.db"]).unwrap(), (String::new(), String::new()));
}
