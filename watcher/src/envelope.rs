//! What a logger put around a line: the stamp, and for syslog the host and the program.
//!
//! The envelope is recognised by itself, line by line, because one file may hold several. A line without one is all
//! message; its time is then its arrival.

mod civil;
pub(crate) mod json;

use jiff::tz::{Offset, TimeZone};
use logline::Timestamp;

/// The envelopes that are known, under the names that `match` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnvelopeKind {
    /// Nothing before the message.
    None,
    /// multilog's `t`: `@` and 24 hexadecimal digits.
    Tai64n,
    /// multilog's `d` and `m`, and tai64nlocal: `2023-06-28 16:17:26.501278543`, local time.
    Local,
    /// rsyslog's file format: RFC 3339 stamp, host, program.
    Rfc3339,
    /// An object of postern-smtpd's JSON format.
    Json,
    /// The traditional file format: `Aug 12 11:52:52`, host, program. Neither year nor zone.
    Rfc3164,
    /// Syslog as it is sent: RFC 5424.
    Rfc5424,
    /// An entry of the systemd journal.
    Journal,
}

/// One line taken out of its envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Which envelope it was.
    pub kind: EnvelopeKind,
    /// The line's own time; none where the envelope has no stamp, or one that names no instant.
    pub time: Option<Timestamp>,
    /// How far the stamp's own zone is from UTC, where the stamp says so.
    pub offset: Option<Offset>,
    /// The program that wrote the line, where the envelope says so.
    pub program: Option<&'a [u8]>,
    /// That program's process.
    pub pid: Option<u32>,
    /// What the program wrote.
    pub message: &'a [u8],
}

/// What reading a stamp needs besides the line.
#[derive(Clone, Debug)]
pub struct Clock {
    /// The zone that local stamps are in.
    pub zone: TimeZone,
}

impl<'a> Envelope<'a> {
    /// Takes `line` out of its envelope. `arrival` tells the year where the stamp does not.
    pub fn open(line: &'a [u8], clock: &Clock, arrival: Timestamp) -> Self {
        tai64n(line).or_else(|| iso(line, clock)).or_else(|| rfc3164(line, clock, arrival)).unwrap_or(
            Envelope {
                kind: EnvelopeKind::None,
                time: None,
                offset: None,
                program: None,
                pid: None,
                message: line,
            },
        )
    }
}

fn tai64n(line: &[u8]) -> Option<Envelope<'_>> {
    let time = Timestamp::parse_tai64n(line).ok()?;
    let message = line.get(Timestamp::TAI64N_BYTES..)?.strip_prefix(b" ")?;
    let (kind, offset) = (EnvelopeKind::Tai64n, Some(Offset::UTC));
    Some(Envelope { kind, time: Some(time), offset, program: None, pid: None, message })
}

/// `2023-06-28 16:17:26.501278543 message` or `2025-01-10T18:56:48.748493+01:00 host program[pid]: message`.
fn iso<'a>(line: &'a [u8], clock: &Clock) -> Option<Envelope<'a>> {
    let (civil, rest) = civil::iso_date_time(line)?;
    match *line.get(10)? {
        b' ' => Some(Envelope {
            kind: EnvelopeKind::Local,
            time: civil::instant(civil, &clock.zone),
            offset: None,
            program: None,
            pid: None,
            message: rest.strip_prefix(b" ")?,
        }),
        _ => {
            let (offset, rest) = civil::offset(rest)?;
            let zone = offset.map_or_else(|| clock.zone.clone(), TimeZone::fixed);
            let time = civil::instant(civil, &zone);
            Some(Envelope { offset, ..syslog(EnvelopeKind::Rfc3339, time, rest.strip_prefix(b" ")?) })
        }
    }
}

fn rfc3164<'a>(line: &'a [u8], clock: &Clock, arrival: Timestamp) -> Option<Envelope<'a>> {
    let (yearless, rest) = civil::month_day_time(line)?;
    let time = civil::with_nearest_year(yearless, &clock.zone, arrival);
    Some(syslog(EnvelopeKind::Rfc3164, time, rest.strip_prefix(b" ")?))
}

/// `host program[pid]: message`; splogger's own stamp before the message goes too. Where there is no program, all of it
/// is message.
fn syslog(kind: EnvelopeKind, time: Option<Timestamp>, rest: &[u8]) -> Envelope<'_> {
    let tagged = memchr::memchr(b' ', rest).and_then(|host| tag(rest.get(host + 1..)?));
    match tagged {
        Some((program, pid, message)) => {
            let message = after_splogger(message);
            Envelope { kind, time, offset: None, program: Some(program), pid, message }
        }
        None => Envelope { kind, time, offset: None, program: None, pid: None, message: rest },
    }
}

/// A program's name, its process and what it wrote.
type Tagged<'a> = (&'a [u8], Option<u32>, &'a [u8]);

fn tag(text: &[u8]) -> Option<Tagged<'_>> {
    let end = text.iter().position(|b| matches!(b, b':' | b'[' | b' '))?;
    let (name, rest) = text.split_at_checked(end)?;
    if name.is_empty() {
        return None;
    }
    if let Some(rest) = rest.strip_prefix(b": ") {
        return Some((name, None, rest));
    }
    let rest = rest.strip_prefix(b"[")?;
    let close = memchr::memchr(b']', rest)?;
    let pid = std::str::from_utf8(rest.get(..close)?).ok()?.parse().ok()?;
    Some((name, Some(pid), rest.get(close..)?.strip_prefix(b"]: ")?))
}

/// splogger writes `1415185247.952694 ` before the text (qmail splogger.c:stamp_make).
fn after_splogger(message: &[u8]) -> &[u8] {
    let stamp = message
        .get(..17)
        .filter(|s| s.iter().enumerate().all(|(n, b)| if n == 10 { *b == b'.' } else { b.is_ascii_digit() }));
    match stamp.and_then(|_| message.get(17..)?.strip_prefix(b" ")) {
        Some(text) => text,
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARRIVAL: Timestamp = Timestamp::from_seconds(1_767_225_605); // 2026-01-01 00:00:05Z

    #[track_caller]
    fn check(line: &str, kind: EnvelopeKind, time: Option<&str>, program: Option<&str>, message: &str) {
        let clock = Clock { zone: TimeZone::UTC };
        let envelope = Envelope::open(line.as_bytes(), &clock, ARRIVAL);
        assert_eq!(envelope.kind, kind);
        let read =
            envelope.time.map(|t| jiff::Timestamp::from_nanosecond(t.nanos().into()).unwrap().to_string());
        assert_eq!(read.as_deref(), time);
        assert_eq!(envelope.program.map(String::from_utf8_lossy).as_deref(), program);
        assert_eq!(String::from_utf8_lossy(envelope.message), message);
    }

    #[test]
    fn envelopes_are_recognised() {
        check("tcpserver: status: 0/40", EnvelopeKind::None, None, None, "tcpserver: status: 0/40");
        check(
            "@4000000062b22ef4269d79a4 tcpserver: status: 0/40",
            EnvelopeKind::Tai64n,
            Some("2022-06-21T20:49:46.6478545Z"),
            None,
            "tcpserver: status: 0/40",
        );
        check(
            "2023-06-28 16:17:26.501278543 tcpserver: status: 0/40",
            EnvelopeKind::Local,
            Some("2023-06-28T16:17:26.501278543Z"),
            None,
            "tcpserver: status: 0/40",
        );
        check(
            "2025-01-10T18:56:48.748493+01:00 mail vpopmail[4171]: vchkpw-pop3: x",
            EnvelopeKind::Rfc3339,
            Some("2025-01-10T17:56:48.748493Z"),
            Some("vpopmail"),
            "vchkpw-pop3: x",
        );
        check(
            "Nov  5 12:00:47 mx smtpd: 1415185247.952694 rblsmtpd: 198.51.100.7 pid 4711: 451 x",
            EnvelopeKind::Rfc3164,
            Some("2025-11-05T12:00:47Z"),
            Some("smtpd"),
            "rblsmtpd: 198.51.100.7 pid 4711: 451 x",
        );
    }

    #[test]
    fn a_yearless_stamp_takes_the_nearest_year() {
        check("Dec 31 23:59:58 h p: m", EnvelopeKind::Rfc3164, Some("2025-12-31T23:59:58Z"), Some("p"), "m");
        check("Jan  1 00:00:04 h p: m", EnvelopeKind::Rfc3164, Some("2026-01-01T00:00:04Z"), Some("p"), "m");
    }

    #[test]
    fn a_stamp_that_names_no_instant_gives_none() {
        check("Feb 30 00:00:00 h p: m", EnvelopeKind::Rfc3164, None, Some("p"), "m");
        check("2023-13-28 16:17:26.5 m", EnvelopeKind::Local, None, None, "m");
    }
}
