use jiff::tz::TimeZone;

use super::*;
use crate::engine::Exemptions;
use crate::filter::Filters;
use crate::jail::Jails;

const GUESSING: &str = r#"
about = "guessing passwords"
on = ["auth-failed"]
threshold = 3
within = "10m"
[ban]
for = "1h"
"#;

/// A watch of the logs of a gate and of the rest of the mail server, after these lines: each with its log.
fn after(lines: &[(usize, &str)]) -> (Watch, Vec<Output>) {
    let filters = Filters::shipped().unwrap();
    let logs = [(); 2].map(|()| Interpreter::new(filters.iter().cloned(), TimeZone::UTC));
    let engine = Engine::new(Jails::single("j", GUESSING).unwrap(), Exemptions::new(&[], &[], true));
    let (mut watch, mut out) = (Watch::new(logs.into(), engine), Vec::new());
    for ((log, line), second) in lines.iter().zip(0..) {
        let now = Now::Clock(Timestamp::from_seconds(1_000_000 + second));
        watch.line(*log, line.as_bytes(), now, &mut out);
    }
    (watch, out)
}

const CONNECT: (usize, &str) = (0, "tcpserver: pid 9012 from 198.51.100.7");
const TOLD_BY_VCHKPW: (usize, &str) = (1, "vchkpw-smtp: password fail bob@example.org:198.51.100.7");
const TOLD_BY_SMTPD: (usize, &str) =
    (0, "qmail-smtpd[9012]: auth: auth-failed type=login user=<bob@example.org>");

#[test]
fn a_message_is_followed_from_the_log_of_the_gate_into_that_of_the_queue() {
    let (watch, _) = after(&[
        CONNECT,
        (0, "mail recv: pid 9012 from <a@example.net> qp 8157\r"),
        (1, "info msg 7: bytes 2314 from <a@example.net> qp 8157 uid 89"),
        (1, "starting delivery 11: msg 7 to local b@example.org"),
        (1, "delivery 11: success: Message-ID:_<x1@example.net>/did_1+0+0/"),
    ]);
    let of = |address: &str| {
        let address: std::net::IpAddr = address.parse().unwrap();
        watch.messages.latest(|from| from == address).filter_map(|m| m.id.clone()).collect::<Vec<_>>()
    };
    assert_eq!(of("198.51.100.7"), ["x1@example.net"]);
    assert!(of("203.0.113.66").is_empty());
}

#[test]
fn a_guess_that_two_logs_tell_of_counts_once() {
    let twice = [CONNECT, TOLD_BY_VCHKPW, TOLD_BY_SMTPD, TOLD_BY_VCHKPW, TOLD_BY_SMTPD];
    let (watch, out) = after(&twice);
    assert!(!out.iter().any(|output| matches!(output, Output::Banned(_))));
    assert_eq!(watch.counts.sources.iter().map(|source| source.repeated).sum::<u64>(), 2);
    let (_, out) = after(&[&twice[..], &[TOLD_BY_VCHKPW]].concat());
    assert!(out.iter().any(|output| matches!(output, Output::Banned(_))));
}
