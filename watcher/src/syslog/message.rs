//! One syslog message: RFC 5424, or what programs make of RFC 3164.

use jiff::tz::TimeZone;
use logline::Timestamp;

use crate::envelope::{Around, Clock, Envelope, EnvelopeKind};

/// `Nov 21 04:00:00 `: how long a traditional stamp is, with its space.
const STAMP_BYTES: usize = 16;

/// Opens a message. `room` is where one is completed that lacks its host.
pub(super) fn open<'a>(
    message: &'a [u8],
    zone: &TimeZone,
    arrival: Timestamp,
    room: &'a mut Vec<u8>,
) -> Envelope<'a> {
    let rest = priority(message).unwrap_or(message);
    if let Some(envelope) = rfc5424(rest) {
        return envelope;
    }
    let clock = Clock { zone: zone.clone() };
    // What is sent carries no order between its stamps.
    let around = Around { arrival, previous: None };
    let Some((stamp, tail)) = rest.split_at_checked(STAMP_BYTES).filter(|_| is_hostless(rest)) else {
        return Envelope::open(rest, &clock, around);
    };
    // syslog(3) names no host: with one in its place it is what would stand in a file.
    room.extend([stamp, b"- ", tail].concat());
    Envelope::open(room, &clock, around)
}

/// `<13>` off the beginning.
fn priority(message: &[u8]) -> Option<&[u8]> {
    let rest = message.strip_prefix(b"<")?;
    let end = rest.iter().take(4).position(|byte| *byte == b'>')?;
    let (digits, rest) = rest.split_at_checked(end)?;
    (!digits.is_empty() && digits.iter().all(u8::is_ascii_digit)).then_some(rest.get(1..)?)
}

/// Whether the program's tag comes right after a traditional stamp.
fn is_hostless(rest: &[u8]) -> bool {
    let is_stamp =
        rest.get(STAMP_BYTES - 1) == Some(&b' ') && rest.first().is_some_and(u8::is_ascii_alphabetic);
    let word = rest.get(STAMP_BYTES..).unwrap_or_default().split(|byte| *byte == b' ').next();
    is_stamp && word.is_some_and(|word| word.ends_with(b":"))
}

/// `1 2026-11-21T04:00:00.5Z host program pid id [data] message` (RFC 5424 §6).
fn rfc5424(rest: &[u8]) -> Option<Envelope<'_>> {
    let mut fields = rest.strip_prefix(b"1 ")?.splitn(6, |byte| *byte == b' ');
    let (stamp, _host, program) = (fields.next()?, fields.next()?, fields.next()?);
    let (process, _id, rest) = (fields.next()?, fields.next()?, fields.next()?);
    let message = after_data(rest)?;
    let message = message.strip_prefix("\u{feff}".as_bytes()).unwrap_or(message);
    let time: Option<jiff::Timestamp> = std::str::from_utf8(stamp).ok().and_then(|stamp| stamp.parse().ok());
    let time = time.and_then(|time| i64::try_from(time.as_nanosecond()).ok()).map(Timestamp::from_nanos);
    Some(Envelope {
        kind: EnvelopeKind::Rfc5424,
        time,
        offset: None,
        program: Some(program).filter(|program| *program != b"-"),
        pid: std::str::from_utf8(process).ok().and_then(|process| process.parse().ok()),
        message,
        continues: false,
    })
}

/// What follows the structured data, which is `-` or any number of `[…]`, in which a quoted value may hold brackets.
fn after_data(rest: &[u8]) -> Option<&[u8]> {
    let mut rest = match rest.strip_prefix(b"-") {
        Some(rest) => rest,
        None => rest.strip_prefix(b"[").and_then(after_element)?,
    };
    while let Some(next) = rest.strip_prefix(b"[") {
        rest = after_element(next)?;
    }
    match rest {
        [] => Some(rest),
        _ => rest.strip_prefix(b" "),
    }
}

fn after_element(element: &[u8]) -> Option<&[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in element.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b']' if !quoted => return element.get(at + 1..),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARRIVAL: Timestamp = Timestamp::from_seconds(1_795_233_605); // 2026-11-21 04:00:05Z

    #[track_caller]
    fn check(message: &str, time: Option<i64>, program: Option<&str>, pid: Option<u32>, text: &str) {
        let mut room = Vec::new();
        let envelope = open(message.as_bytes(), &TimeZone::UTC, ARRIVAL, &mut room);
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
    }
}
