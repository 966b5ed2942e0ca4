//! What a logger put around a line: the stamp, and for syslog the host and the program.
//!
//! The envelope is recognised by itself, line by line, because one file may hold several. A line without one is all
//! message; its time is then its arrival.

mod civil;
pub(crate) mod json;
pub(crate) mod second;
pub(crate) mod stamp;
mod syslog;

use jiff::tz::{Offset, TimeZone};
use logline::Timestamp;

use stamp::{Recent, Stamp};

pub use stamp::Calendar;
pub(crate) use syslog::{LAST_MESSAGE, SPLOGGER_TEXT_BYTES};

/// The envelopes that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EnvelopeKind {
    /// Nothing before the message.
    None,
    /// multilog's `t` and svlogd's `-t`: `@` and 24 hexadecimal digits.
    Tai64n,
    /// multilog's `d` and `m`, tai64nlocal, exim: `2023-06-28 16:17:26.501278543`, local time; with a fraction or without,
    /// and with exim's `log_timezone` the zone behind it.
    Local,
    /// What asctime(3) writes: `Tue Nov 21 05:13:23 2026`, local time.
    Asctime,
    /// svlogd's `-tt` and `-ttt`: `2023-06-28_16:17:26.50127`, or `T` for the `_`; UTC.
    Svlogd,
    /// The traditional file format: `Aug 12 11:52:52`, host, program. Neither year nor zone. In dovecot's own log there is
    /// no host.
    Rfc3164,
    /// rsyslog's file format: RFC 3339 stamp, host, program.
    Rfc3339,
    /// The protocol of today: `<22>1`, RFC 3339 stamp, host, program, process, structured data.
    Rfc5424,
    /// qmail's splogger within one of the three before: a finer stamp, and long lines in parts.
    Splogger,
    /// An entry of the systemd journal.
    Journal,
    /// An object of postern-smtpd's JSON format.
    Json,
}

impl EnvelopeKind {
    /// The name that `match` and `banctl status` print.
    pub const fn name(self) -> &'static str {
        match self {
            EnvelopeKind::None => "none",
            EnvelopeKind::Tai64n => "tai64n",
            EnvelopeKind::Local => "local",
            EnvelopeKind::Asctime => "asctime",
            EnvelopeKind::Svlogd => "svlogd",
            EnvelopeKind::Rfc3164 => "rfc3164",
            EnvelopeKind::Rfc3339 => "rfc3339",
            EnvelopeKind::Rfc5424 => "rfc5424",
            EnvelopeKind::Splogger => "splogger",
            EnvelopeKind::Journal => "journal",
            EnvelopeKind::Json => "json",
        }
    }

    /// Whether the line went through a syslog daemon.
    pub fn is_syslog(self) -> bool {
        match self {
            EnvelopeKind::Rfc3164
            | EnvelopeKind::Rfc3339
            | EnvelopeKind::Rfc5424
            | EnvelopeKind::Splogger => true,
            EnvelopeKind::None
            | EnvelopeKind::Tai64n
            | EnvelopeKind::Local
            | EnvelopeKind::Asctime
            | EnvelopeKind::Svlogd
            | EnvelopeKind::Journal
            | EnvelopeKind::Json => false,
        }
    }
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
    /// Whether splogger says that this goes on from the line before.
    pub continues: bool,
}

/// What reading a stamp needs besides the line.
#[derive(Clone, Debug)]
pub struct Clock {
    /// The zone that local stamps are in.
    pub zone: TimeZone,
}

/// What is known of a line's time before its stamp is read: it tells the year, and which of two equal hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Around {
    /// When the line arrived; in a replay, the time that the replay has come to.
    pub arrival: Timestamp,
    /// When the line before it was written, by its own stamp.
    pub previous: Option<Timestamp>,
}

impl<'a> Envelope<'a> {
    /// Takes `line` out of its envelope.
    pub fn open(line: &'a [u8], clock: &Clock, around: Around) -> Self {
        let opened = Opened::read(line);
        opened.at(opened.stamp.instant(&clock.zone, around))
    }

    /// The same, its time aside.
    pub(crate) fn opened(&self) -> Opened<'a> {
        let Envelope { kind, time, offset, program, pid, message, continues } = *self;
        let stamp = time.map_or(Stamp::None, Stamp::Instant);
        Opened { kind, stamp, offset, program, pid, message, continues }
    }
}

/// What can be told from a line alone: all but the place of its stamp on the time line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opened<'a> {
    pub(crate) kind: EnvelopeKind,
    pub(crate) stamp: Stamp,
    pub(crate) offset: Option<Offset>,
    pub(crate) program: Option<&'a [u8]>,
    pub(crate) pid: Option<u32>,
    pub(crate) message: &'a [u8],
    pub(crate) continues: bool,
}

impl<'a> Opened<'a> {
    /// Takes `line` out of its envelope.
    pub(crate) fn read(line: &'a [u8]) -> Self {
        Opened::read_after(line, &mut Recent::default())
    }

    /// The same for one of many lines, of which some have the same stamp.
    #[inline]
    pub(crate) fn read_after(line: &'a [u8], recent: &mut Recent) -> Self {
        let opened = match line.first() {
            Some(b'@') => tai64n(line),
            Some(b'0'..=b'9') => iso(line),
            Some(b'A'..=b'W') => syslog::rfc3164(line, recent).or_else(|| asctime(line)),
            Some(b'<') => syslog::with_priority(line, recent),
            _ => None,
        };
        opened.unwrap_or(Opened { offset: None, ..bare(EnvelopeKind::None, line) })
    }

    /// The envelope, once its time is known.
    pub(crate) fn at(&self, time: Option<Timestamp>) -> Envelope<'a> {
        let Opened { kind, stamp: _, offset, program, pid, message, continues } = *self;
        Envelope { kind, time, offset, program, pid, message, continues }
    }
}

/// An envelope that names no program and no time; in UTC unless told otherwise.
fn bare(kind: EnvelopeKind, message: &[u8]) -> Opened<'_> {
    let offset = Some(Offset::UTC);
    Opened { kind, stamp: Stamp::None, offset, program: None, pid: None, message, continues: false }
}

fn tai64n(line: &[u8]) -> Option<Opened<'_>> {
    let time = Timestamp::parse_tai64n(line).ok()?;
    let message = line.get(Timestamp::TAI64N_BYTES..)?.strip_prefix(b" ")?;
    Some(Opened { stamp: Stamp::Instant(time), ..bare(EnvelopeKind::Tai64n, message) })
}

/// `Tue Nov 21 05:13:23 2026 message`; some put two spaces before the message.
fn asctime(line: &[u8]) -> Option<Opened<'_>> {
    let (civil, rest) = civil::weekday_date_time_year(line)?;
    let message = rest.strip_prefix(b" ")?;
    let message = message.strip_prefix(b" ").unwrap_or(message);
    let stamp = civil.map_or(Stamp::None, Stamp::Local);
    Some(Opened { stamp, offset: None, ..bare(EnvelopeKind::Asctime, message) })
}

/// `2023-06-28 16:17:26.501278543 message`, `2023-06-28 16:17:26 +0200 message`, `2023-06-28_16:17:26.50127 message` or
/// `2025-01-10T18:56:48.748493+01:00 host program[pid]: message`.
fn iso(line: &[u8]) -> Option<Opened<'_>> {
    let (civil, rest) = civil::iso_date_time(line)?;
    if line.get(10) == Some(&b' ') {
        let message = rest.strip_prefix(b" ")?;
        if let Some((offset, message)) = zone_behind(message) {
            let stamp = civil::in_zone(civil, offset);
            return Some(Opened { stamp, offset: Some(offset), ..bare(EnvelopeKind::Local, message) });
        }
        let stamp = civil.map_or(Stamp::None, Stamp::Local);
        return Some(Opened { stamp, offset: None, ..bare(EnvelopeKind::Local, message) });
    }
    let (offset, rest) = civil::offset(rest)?;
    let rest = rest.strip_prefix(b" ")?;
    match offset {
        Some(offset) => {
            let stamp = civil::in_zone(civil, offset);
            Some(Opened { offset: Some(offset), ..syslog::body(EnvelopeKind::Rfc3339, stamp, rest) })
        }
        // Only svlogd writes such a stamp without a zone, and means UTC.
        None => {
            let stamp = civil::in_zone(civil, Offset::UTC);
            Some(Opened { stamp, ..bare(EnvelopeKind::Svlogd, rest) })
        }
    }
}

/// `+0100 message`, as exim writes it behind the time.
fn zone_behind(text: &[u8]) -> Option<(Offset, &[u8])> {
    matches!(text.first(), Some(b'+' | b'-')).then_some(())?;
    let (offset, message) = civil::offset(text)?;
    Some((offset?, message.strip_prefix(b" ")?))
}

impl serde::Serialize for EnvelopeKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARRIVAL: Timestamp = Timestamp::from_seconds(1_767_225_605); // 2026-01-01 00:00:05Z

    #[track_caller]
    fn check(line: &str, kind: EnvelopeKind, time: Option<&str>, program: Option<&str>, message: &str) {
        let clock = Clock { zone: TimeZone::UTC };
        let envelope = Envelope::open(line.as_bytes(), &clock, Around { arrival: ARRIVAL, previous: None });
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
            EnvelopeKind::Splogger,
            Some("2014-11-05T11:00:47.952694Z"),
            Some("smtpd"),
            "rblsmtpd: 198.51.100.7 pid 4711: 451 x",
        );
    }

    #[test]
    fn local_stamps_are_of_many_shapes() {
        use EnvelopeKind::{Asctime, Local, None as Bare};
        let at = Some("2026-11-21T05:13:23Z");
        check(
            "2026-11-21 05:13:23 1vT3kE-000001-0A <= a@example.org",
            Local,
            at,
            None,
            "1vT3kE-000001-0A <= a@example.org",
        );
        check("2026-11-21 06:13:23 +0100 1vT3kE", Local, at, None, "1vT3kE");
        check("2026-11-21 05:13:23 -x m", Local, at, None, "-x m");
        check("2026-11-21 05:13:23.500 m", Local, Some("2026-11-21T05:13:23.5Z"), None, "m");
        check("2026-11-21 05:13:23,500 m", Local, Some("2026-11-21T05:13:23.5Z"), None, "m");
        check("Sat Nov 21 05:13:23 2026 m", Asctime, at, None, "m");
        check("Sat Nov 21 05:13:23 2026  status: 0/40", Asctime, at, None, "status: 0/40");
        check("Sun Nov  1 05:13:23 2026 m", Asctime, Some("2026-11-01T05:13:23Z"), None, "m");
        check("Sat Feb 30 05:13:23 2026 m", Asctime, None, None, "m");
        for line in ["Sat Nov 21 05:13:23 26 m", "Sat Nov 21 05:13:23 2026", "Xyz Nov 21 05:13:23 2026 m"] {
            check(line, Bare, None, None, line);
        }
    }

    #[test]
    fn dovecots_own_log_names_no_host() {
        let line = "Nov 21 05:13:23 imap-login: Info: Login: user=<a>";
        let at = Some("2025-11-21T05:13:23Z");
        check(line, EnvelopeKind::Rfc3164, at, Some("imap-login"), "Info: Login: user=<a>");
        check(
            "Nov 01 05:13:23 master: Warning: x",
            EnvelopeKind::Rfc3164,
            Some("2025-11-01T05:13:23Z"),
            Some("master"),
            "Warning: x",
        );
    }

    #[test]
    fn svlogds_stamps_are_in_utc() {
        for line in ["2023-06-28_16:17:26.50127 tcpserver: x", "2023-06-28T16:17:26.50127 tcpserver: x"] {
            check(line, EnvelopeKind::Svlogd, Some("2023-06-28T16:17:26.50127Z"), None, "tcpserver: x");
        }
    }

    #[test]
    fn syslog_speaks_many_dialects() {
        use EnvelopeKind::{None as Bare, Rfc3164, Rfc3339, Rfc5424, Splogger};
        let november = Some("2025-11-05T12:00:47Z");
        check("<22>Nov  5 12:00:47 mx p[7]: m", Rfc3164, november, Some("p"), "m");
        check("<22>Nov  5 12:00:47 p[7]: m: n", Rfc3164, november, Some("p"), "m: n");
        check("<22>2025-11-05T13:00:47+01:00 mx p[7]: m", Rfc3339, november, Some("p"), "m");
        check("<22>1 2025-11-05T12:00:47Z mx p 7 ID - m", Rfc5424, november, Some("p"), "m");
        let data = r#"<22>1 2025-11-05T12:00:47Z mx p - - [a x="] \\" y="[\"]"][b] "#;
        check(&format!("{data}m [n]"), Rfc5424, november, Some("p"), "m [n]");
        check(&format!("{data}\u{feff}m"), Rfc5424, november, Some("p"), "m");
        check("<22>1 - - - - - -", Rfc5424, None, None, "");
        let splogged = "<22>1 2025-11-05T12:00:47Z mx p 7 ID - 1415185247.952694 m";
        check(splogged, Splogger, Some("2014-11-05T11:00:47.952694Z"), Some("p"), "m");
        check("Nov  5 12:00:47 mx p: a#012b", Rfc3164, november, Some("p"), "a#012b");
        for line in ["<22>m", "<>Nov  5 12:00:47 mx p: m", "<22>1 2025-11-05T12:00:47Z mx p 7 ID [a"] {
            check(line, Bare, None, None, line);
        }
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
        let beyond = "Nov  5 12:00:47 mx p: 9415185247.952694 m";
        check(beyond, EnvelopeKind::Rfc3164, Some("2025-11-05T12:00:47Z"), Some("p"), "9415185247.952694 m");
    }
}
