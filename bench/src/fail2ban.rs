//! fail2ban's filters as they run here, beside fail2ban itself over the same log; and the lines that stop it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::tz::TimeZone;
use logline::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use watcher::fail2ban::{Definition, Disk, Filter, Rules};

const FILTERS: &str = "/etc/fail2ban/filter.d";

/// Lines of the log; one in ten is a failure.
const LINES: u32 = 200_000;

/// fail2ban reads a part of them.
const PEER_LINES: usize = 20_000;

/// The best of so many runs counts.
const RUNS: usize = 3;

/// Reads a log with several filters, and the hostile lines with theirs.
///
/// # Errors
/// The filters are not installed.
pub fn measure() -> Result<()> {
    let log = log();
    let lines: Vec<&[u8]> = log.lines().map(str::as_bytes).collect();
    let mut out = std::io::stdout();
    writeln!(out, "fail2ban's filters: {} lines, {} MB", lines.len(), log.len() / 1_000_000)?;
    for name in ["sshd", "postfix", "dovecot", "exim", "qmail"] {
        let mut best = Duration::MAX;
        let mut failures = 0;
        for _ in 0..RUNS {
            let mut filter = filter(name)?;
            failures = 0;
            let start = cpu();
            for line in &lines {
                filter.line(line, NOW, &mut |_| failures += 1);
            }
            best = best.min(cpu().saturating_sub(start));
        }
        let speed = f64::from(LINES) / best.as_secs_f64();
        writeln!(out, "  {name:<12}{:>8.2} M lines/s   {failures} matches", speed / 1e6)?;
        if name == "sshd" {
            let peer = peer(&lines)?;
            writeln!(out, "    fail2ban  {:>8.3} M lines/s   ratio {:.0}", peer / 1e6, speed / peer)?;
        }
    }
    hostile()
}

/// 2026-11-21, noon.
const NOW: Timestamp = Timestamp::from_seconds(1_795_262_400);

/// The processor's time that this thread has had: the machine may be busy with other work.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

fn filter(name: &str) -> Result<Filter> {
    let mistakes = |mistakes| anyhow::anyhow!("{name}: {mistakes}");
    let file = Path::new(FILTERS).join(format!("{name}.conf"));
    let definition = Definition::read(&Disk, &file, &[]).map_err(mistakes)?;
    Ok(Filter::new(Arc::new(Rules::new(&definition, TimeZone::UTC).map_err(mistakes)?)))
}

/// How many lines a second fail2ban's own classes take in, without its start.
fn peer(lines: &[&[u8]]) -> Result<f64> {
    const SCRIPT: &str = "
import sys, time
from fail2ban.client.filterreader import FilterReader
from fail2ban.server.filter import Filter
reader = FilterReader('sshd', 'x', {}, basedir='/etc/fail2ban')
reader.read()
reader.getOptions({})
found = Filter(None, useDns='no')
found.checkFindTime = False
for order in reader.convert():
    for value in order[3] if order[0] == 'multi-set' else [order[3]]:
        if order[2] == 'prefregex': found.prefRegex = value
        if order[2] == 'addfailregex': found.addFailRegex(value)
        if order[2] == 'addignoreregex': found.addIgnoreRegex(value)
        if order[2] == 'maxlines': found.setMaxLines(value)
        if order[2] == 'datepattern': found.setDatePattern(value)
lines = sys.stdin.read().splitlines()
start = time.process_time()
for line in lines: found.processLine(line)
print(time.process_time() - start)
";
    let lines = lines.get(..PEER_LINES.min(lines.len())).unwrap_or_default();
    let mut best = f64::MAX;
    for _ in 0..RUNS {
        let mut python = Command::new("/usr/bin/python3")
            .args(["-c", SCRIPT])
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let text = lines.join(&b'\n');
        if let Some(mut input) = python.stdin.take() {
            input.write_all(&text)?;
        }
        let output = python.wait_with_output()?;
        ensure!(output.status.success(), "fail2ban's own filter failed");
        best = best.min(String::from_utf8(output.stdout)?.trim().parse()?);
    }
    #[expect(clippy::cast_precision_loss, reason = "a speed is read by a person")]
    let count = lines.len() as f64;
    Ok(count / best)
}

/// The two lines of GHSA-33wh-ccjc-p397: Python needs seconds for them, and twice as long for each word more.
fn hostile() -> Result<()> {
    let mut out = std::io::stdout();
    for (name, head, word, tail) in [
        ("domino-smtp", "[018C:0010-08D0] 08/22/2014 09:14:43 AM  smtp: ", "A ", " 192.0.2.5"),
        ("dovecot", "Jun 21 16:47:48 mail dovecot: imap-login: Disconnected: ", "a: ", "(x"),
    ] {
        let line = format!("{head}{}{tail}", word.repeat(40));
        let mut filter = filter(name)?;
        filter.line(line.as_bytes(), NOW, &mut |_| {});
        let start = cpu();
        filter.line(line.as_bytes(), NOW, &mut |_| {});
        let took = cpu().saturating_sub(start);
        writeln!(out, "  hostile line, {name:<12}{took:>10.1?}, gave up {} times", filter.refused)?;
    }
    Ok(())
}

/// An evening of a mail server's syslog.
fn log() -> String {
    let mut log = String::new();
    for n in 0..LINES {
        let (hour, minute, second) = (18 + n / 60_000 % 6, n / 1000 % 60, n / 17 % 60);
        let host = format!("198.51.{}.{}", n / 250 % 100, n % 250);
        let pid = 1000 + n % 30_000;
        let what = match n % 20 {
            0 | 10 => format!("sshd[{pid}]: Failed password for root from {host} port 4711 ssh2"),
            1 | 11 => format!(
                "sshd[{pid}]: Accepted publickey for mail from {host} port 4711 ssh2: ED25519 SHA256:x"
            ),
            2..=5 => format!("postfix/smtpd[{pid}]: connect from unknown[{host}]"),
            6..=8 => format!(
                "postfix/smtpd[{pid}]: disconnect from unknown[{host}] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5"
            ),
            9 | 12 => format!(
                "dovecot: imap-login: Login: user=<u{n}@example.org>, method=PLAIN, rip={host}, lip=192.0.2.1, mpid={pid}, TLS"
            ),
            13 => {
                format!("dovecot: imap(u{n}@example.org)<{pid}><abc>: Logged out in=120 out=3310 deleted=0")
            }
            14 => {
                format!("CRON[{pid}]: pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)")
            }
            _ => format!(
                "postfix/qmgr[{pid}]: 4F3A{n:06X}: from=<a{n}@example.net>, size=4711, nrcpt=1 (queue active)"
            ),
        };
        let _ = writeln!(log, "Nov 20 {hour:02}:{minute:02}:{second:02} mail {what}");
    }
    log
}
