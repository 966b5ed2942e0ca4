//! One syslog message as it was sent: what would stand in a file, and what has no stamp or no host because it never left
//! the machine.

use jiff::tz::TimeZone;
use logline::Timestamp;

use crate::envelope::{Around, Clock, Envelope, EnvelopeKind};

/// Opens a message.
pub(super) fn open<'a>(message: &'a [u8], zone: &TimeZone, arrival: Timestamp) -> Envelope<'a> {
    let clock = Clock { zone: zone.clone() };
    // What is sent carries no order between its stamps.
    let around = Around { arrival, previous: None };
    let envelope = Envelope::open(message, &clock, around);
    match without_priority(message) {
        Some(rest) if envelope.kind == EnvelopeKind::None => Envelope::open(rest, &clock, around),
        Some(_) | None => envelope,
    }
}

/// What follows `<13>`.
fn without_priority(message: &[u8]) -> Option<&[u8]> {
    let rest = message.strip_prefix(b"<")?;
    let end = rest.iter().take(4).position(|byte| *byte == b'>')?;
    let (digits, rest) = rest.split_at_checked(end)?;
    (!digits.is_empty() && digits.iter().all(u8::is_ascii_digit)).then_some(rest.get(1..)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARRIVAL: Timestamp = Timestamp::from_seconds(1_795_233_605); // 2026-11-21 04:00:05Z

    #[track_caller]
    fn check(message: &str, time: Option<i64>, program: Option<&str>, pid: Option<u32>, text: &str) {
        let envelope = open(message.as_bytes(), &TimeZone::UTC, ARRIVAL);
        assert_eq!(envelope.time, time.map(Timestamp::from_seconds));
        assert_eq!(envelope.program.map(String::from_utf8_lossy).as_deref(), program);
        assert_eq!(envelope.pid, pid);
        assert_eq!(String::from_utf8_lossy(envelope.message), text);
    }

    const TIME: Option<i64> = Some(1_795_233_600);

    #[test]
    fn a_local_message_has_no_host() {
        check("<22>Nov 21 04:00:00 vpopmail[77]: a: b", TIME, Some("vpopmail"), Some(77), "a: b");
        check(
            "<22>Nov 21 04:00:00 smtpd: tcpserver: status: 0/40",
            TIME,
            Some("smtpd"),
            None,
            "tcpserver: status: 0/40",
        );
    }

    #[test]
    fn a_message_from_elsewhere_has_one() {
        check("<22>Nov 21 04:00:00 mx vpopmail[77]: a: b", TIME, Some("vpopmail"), Some(77), "a: b");
        check("Nov 21 04:00:00 mx smtpd: x", TIME, Some("smtpd"), None, "x");
    }

    #[test]
    fn rfc_5424_is_read() {
        check(
            "<22>1 2026-11-21T05:00:00+01:00 mx vpopmail 77 - - a: b",
            TIME,
            Some("vpopmail"),
            Some(77),
            "a: b",
        );
        check(
            "<22>1 2026-11-21T04:00:00Z mx p - - [a b=\"] \\\" [\"][c] \u{feff}m",
            TIME,
            Some("p"),
            None,
            "m",
        );
        check("<22>1 - - - - - -", None, None, None, "");
    }

    #[test]
    fn what_is_no_syslog_is_all_message() {
        check("hello", None, None, None, "hello");
        check("<22>1 2026 x", None, None, None, "1 2026 x");
        check("<22", None, None, None, "<22");
        check("<22>hello", None, None, None, "hello");
    }

    #[test]
    fn a_log_line_may_be_sent_as_it_is() {
        check("@400000006b01170200000000 a: b", Some(1795233528), None, None, "a: b");
        check("tcpserver: status: 0/40", None, None, None, "tcpserver: status: 0/40");
    }
}
