//! The stock installation with some jails switched on, imported: what comes of it loads, and bans whom fail2ban bans.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// A program's standard output; its failure fails the test.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(
        status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&stdout),
        String::from_utf8_lossy(&stderr)
    );
    String::from_utf8(stdout).unwrap()
}

pub(crate) fn watcher() -> Command {
    Command::new(env!("CARGO_BIN_EXE_postern-watcher"))
}

const JAILS: &[&str] = &["sshd", "postfix", "dovecot", "sshd-hard"];

/// The installation in a directory of the test, with these jails on.
fn installation(directory: &Path) -> PathBuf {
    let copy = directory.join("fail2ban");
    run(Command::new("cp").arg("--recursive").arg("/etc/fail2ban").arg(&copy));
    let log = directory.join("all.log");
    let mut local =
        "[DEFAULT]\nbackend = polling\nbantime.increment = true\nbantime.maxtime = 4w\n".to_owned();
    for jail in JAILS {
        local.push_str(&format!("[{jail}]\nenabled = true\nlogpath = {}\n", log.display()));
    }
    local.push_str("filter = sshd[mode=aggressive]\nmaxretry = 2\nport = ssh,2222\n");
    std::fs::write(copy.join("jail.local"), local).unwrap();
    copy
}

/// Failures of several kinds, as often and as far apart as is said.
fn log() -> String {
    let mut lines: Vec<(u32, String)> = Vec::new();
    let mut pid = 100;
    let mut add = |host: &str, times: u32, apart: u32, text: &dyn Fn(&str) -> String| {
        for n in 0..times {
            pid += 1;
            let second = 3600 + n * apart;
            let line = text(host).replace("PID", &pid.to_string());
            lines.push((second, line));
        }
    };
    let ssh = |host: &str| format!("sshd[PID]: Failed password for root from {host} port 4711 ssh2");
    let invalid = |host: &str| format!("sshd[PID]: Invalid user a from {host} port 4711");
    let closed = |host: &str| format!("sshd[PID]: Connection closed by {host} port 4711 [preauth]");
    let relay = |host: &str| {
        format!(
            "postfix/smtpd[PID]: NOQUEUE: reject: RCPT from unknown[{host}]: 554 5.7.1 <a@example.com>: Relay access denied; from=<b@example.com> to=<a@example.com> proto=ESMTP helo=<x>"
        )
    };
    let imap = |host: &str| {
        format!(
            "dovecot: imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<a>, method=PLAIN, rip={host}, lip=192.0.2.1, TLS"
        )
    };
    add("198.51.100.1", 6, 20, &ssh);
    add("198.51.100.2", 4, 20, &ssh);
    add("198.51.100.3", 9, 1200, &ssh);
    add("198.51.100.4", 5, 149, &invalid);
    add("198.51.100.5", 3, 30, &closed);
    add("198.51.100.6", 7, 60, &relay);
    add("198.51.100.7", 4, 60, &relay);
    add("198.51.100.8", 5, 10, &imap);
    add("2001:db8::8", 5, 10, &imap);
    add("198.51.100.9", 1, 1, &ssh);
    lines.sort();
    let stamp = |second: u32| {
        format!("2026-11-20T{:02}:{:02}:{:02}+00:00", second / 3600, second / 60 % 60, second % 60)
    };
    lines.iter().map(|(second, line)| format!("{} mail {line}\n", stamp(*second))).collect()
}

#[test]
fn an_imported_installation_bans_whom_fail2ban_bans() {
    let directory = tempfile::tempdir().unwrap();
    let installed = installation(directory.path());
    let (log_file, out) = (directory.path().join("all.log"), directory.path().join("out"));
    std::fs::write(&log_file, log()).unwrap();
    run(watcher().arg("import-fail2ban").arg(&installed).arg("--out").arg(&out));
    let config = out.join("watcher.toml");
    run(watcher().arg("check").arg("--config").arg(&config));
    let replayed =
        run(watcher().args(["replay", "--format", "json", "--config"]).arg(&config).arg(&log_file));
    let replayed: Value = serde_json::from_str(&replayed).unwrap();
    for jail in JAILS {
        let is_its = |ban: &&Value| ban["jail"] == *jail;
        let subject = |ban: &Value| ban["subject"].as_str().unwrap().trim_end_matches("::/64").to_owned();
        let ours: BTreeSet<String> =
            replayed["bans"].as_array().unwrap().iter().filter(is_its).map(subject).collect();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fail2ban/banned.py");
        let mut python = Command::new("/usr/bin/python3");
        let theirs = run(python.env("TZ", "UTC").arg(script).arg(&installed).arg(jail).arg(&log_file));
        // An IPv6 client is its /64 here.
        let theirs: BTreeSet<String> =
            theirs.lines().map(|ban| ban.trim_end_matches("::8").to_owned()).collect();
        assert!(!theirs.is_empty(), "{jail}: fail2ban bans nobody, and nothing is proven");
        assert_eq!(ours, theirs, "{jail}");
    }
}

#[test]
fn nothing_that_is_there_is_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let installed = installation(directory.path());
    let out = directory.path().join("out");
    let import = || watcher().arg("import-fail2ban").arg(&installed).arg("--out").arg(&out).status().unwrap();
    assert!(import().success());
    assert_eq!(import().code(), Some(2));
}

#[test]
fn every_jail_of_the_stock_installation_can_be_imported() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    run(watcher().args(["import-fail2ban", "--all", "/etc/fail2ban", "--out"]).arg(&out));
    let report = std::fs::read_to_string(out.join("report.txt")).unwrap();
    let left_out: Vec<&str> = report.lines().filter(|line| line.contains("it is left out")).collect();
    assert!(left_out.is_empty(), "{left_out:#?}");
    run(watcher().arg("check").arg("--config").arg(out.join("watcher.toml")));
}
