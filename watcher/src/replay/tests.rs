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
