//! However many threads read a log, and in blocks of whichever size, it comes to the same.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

static CONFIG: LazyLock<Config> = LazyLock::new(|| Config::load(None).unwrap());

/// Lines of which one needs another: a session's address, a stamp's year, what is repeated, what was cut.
fn line() -> impl Strategy<Value = String> {
    let stamp = (0u32..3, 0u32..60).prop_map(|(at, second)| {
        let minute =
            ["Oct 25 02:30:", "Dec 31 23:59:", "Jan  1 00:00:"].get(at as usize).copied().unwrap_or_default();
        format!("{minute}{second:02} mx ")
    });
    let said = (0u8..10, 1u32..4, 1u32..6).prop_map(|(what, pid, client)| match what {
        0 => format!("smtpd: tcpserver: pid {pid} from 192.0.2.{client}"),
        1 => format!("smtpd: tcpserver: end {pid} status 0"),
        2 | 3 => format!("smtpd: qmail-smtpd[{pid}]: auth: auth-failed type=login user=<a{client}>"),
        4..=6 => format!("vpopmail[{pid}]: vchkpw-pop3: password fail a{pid}@b.example:198.51.100.{client}"),
        7 => format!("vpopmail[{pid}]: last message repeated {client} times"),
        8 => format!("smtpd: 1415185247.952694+tcpserver: pid {pid} from 192.0.2.{client}"),
        _ => format!("cron[{pid}]: nothing of interest {}", "x".repeat(client as usize * 150)),
    });
    (stamp, said).prop_map(|(stamp, said)| stamp + &said)
}

fn outcome(config: &Config, log: &std::path::Path, threads: usize, block_bytes: usize) -> Outcome {
    let threads = NonZero::new(threads).unwrap();
    read(config, &[log.to_owned()], threads, block_bytes, &mut |_| {}).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn the_outcome_is_the_same_for_any_number_of_threads(lines in prop::collection::vec(line(), 1..300)) {
        let config = &*CONFIG;
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        std::fs::write(&log, lines.join("\n")).unwrap();
        let alone = outcome(config, &log, 1, BLOCK_BYTES);
        for (threads, block_bytes) in [(2, BLOCK_BYTES), (2, 1), (3, 700), (4, 5000)] {
            prop_assert_eq!(&outcome(config, &log, threads, block_bytes), &alone);
        }
    }
}

#[test]
fn a_log_that_cannot_be_read_to_its_end_leaves_no_thread_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log.gz");
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    bytes.extend(std::iter::repeat_n(0xff, 100));
    std::fs::write(&log, bytes).unwrap();
    assert!(read(&CONFIG, &[log], NonZero::new(3).unwrap(), 1, &mut |_| {}).is_err());
}

/// Who would be banned by these logs.
#[track_caller]
fn check_bans(logs: &[(&str, &str)], banned: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in logs {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let file = directory.path().join("watcher.toml");
    std::fs::write(&file, "").unwrap();
    let config = Config::load(Some(&file)).unwrap();
    let paths: Vec<PathBuf> = logs.iter().map(|(name, _)| directory.path().join(name)).collect();
    let outcome = replay(&config, &paths, &mut |_| {}).unwrap();
    let subjects: Vec<String> = outcome.bans.iter().map(|ban| ban.subject.to_string()).collect();
    assert_eq!(subjects, banned);
}

#[test]
fn a_session_of_one_log_is_not_ended_by_another_log() {
    let failure = |second: u32| {
        format!(
            "2026-01-01 12:00:{second:02}.000 qmail-smtpd[7]: auth: auth-failed type=plain user=<x{second}>\n"
        )
    };
    let open = "2026-01-01 12:00:00.000 tcpserver: pid 7 from 198.51.100.7\n";
    let nothing_open = "2026-01-01 12:00:03.500 tcpserver: status: 0/40\n";
    let whole: String = std::iter::once(open.to_owned()).chain((1..6).map(failure)).collect();
    check_bans(&[("smtpd", &whole), ("smtpsd", nothing_open)], &["198.51.100.7"]);
    let early: String = std::iter::once(open.to_owned()).chain((1..3).map(failure)).collect();
    let late: String = (3..6).map(failure).collect();
    check_bans(&[("smtpd", &late), ("smtpsd", nothing_open), ("smtpd.1", &early)], &["198.51.100.7"]);
}
