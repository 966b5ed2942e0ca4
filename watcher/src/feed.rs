//! Sources that send: the journal, syslog, and standard input. Beside the tailer's files they are the other half of what is
//! read; they own descriptors and processes, and have no opinion on what a line means.

mod standard_input;

use std::os::fd::BorrowedFd;
use std::time::Instant;

use jiff::tz::TimeZone;
use logline::Timestamp;

use crate::envelope::Envelope;
use crate::journal::{Journal, Position};
use crate::syslog::Listener;
use crate::tail::{Progress, Stats};

pub use standard_input::StandardInput;

/// One line that was sent, and the envelope it came in.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// The envelope, opened.
    pub envelope: Envelope<'a>,
    /// The line as it is kept as evidence.
    pub line: &'a [u8],
}

/// What arrives from a source that sends.
#[derive(Clone, Copy, Debug)]
pub enum Arrival<'a> {
    /// A line as it would stand in a file.
    Line(&'a [u8]),
    /// A message out of its envelope.
    Sent(Sent<'a>),
}

/// One source that sends.
#[derive(Debug)]
pub enum Feed {
    /// The systemd journal.
    Journal(Box<Journal>),
    /// Whoever speaks syslog.
    Syslog(Box<Listener>),
    /// Whoever writes to standard input.
    Input(Box<StandardInput>),
}

impl Feed {
    /// Become readable when there is something to read.
    pub fn fds(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Feed::Journal(journal) => journal.fd().into_iter().collect(),
            Feed::Syslog(listener) => listener.fds(),
            Feed::Input(input) => input.fd().into_iter().collect(),
        }
    }

    /// When it is to be read even if nothing came.
    pub fn due(&self) -> Option<Instant> {
        match self {
            Feed::Journal(journal) => journal.due(),
            Feed::Syslog(listener) => listener.due(),
            Feed::Input(_) => None,
        }
    }

    /// Reads what there is, up to a limit. Stamps in local time are in `zone`.
    pub fn read(
        &mut self,
        now: Instant,
        arrival: Timestamp,
        zone: &TimeZone,
        sink: &mut dyn FnMut(Arrival<'_>),
    ) -> Progress {
        match self {
            Feed::Journal(journal) => journal.read(now, &mut |sent| sink(Arrival::Sent(sent))),
            Feed::Syslog(listener) => {
                listener.read(now, arrival, zone, &mut |sent| sink(Arrival::Sent(sent)))
            }
            Feed::Input(input) => input.read(&mut |line| sink(Arrival::Line(line.bytes))),
        }
    }

    /// How far it was read, where it can be asked again for what came after.
    pub fn position(&self) -> Option<&Position> {
        match self {
            Feed::Journal(journal) => journal.position(),
            Feed::Syslog(_) | Feed::Input(_) => None,
        }
    }

    /// That nothing more will come, and why. It is no trouble: whoever wrote has finished.
    pub fn end(&self) -> Option<&str> {
        match self {
            Feed::Journal(_) | Feed::Syslog(_) => None,
            Feed::Input(input) => input.end(),
        }
    }

    /// What is wrong with it.
    pub fn trouble(&self) -> Option<String> {
        match self {
            Feed::Journal(journal) => journal.trouble(),
            Feed::Syslog(listener) => listener.trouble().map(str::to_owned),
            Feed::Input(_) => None,
        }
    }

    /// How it stands.
    pub fn stats(&self) -> &Stats {
        match self {
            Feed::Journal(journal) => journal.stats(),
            Feed::Syslog(listener) => listener.stats(),
            Feed::Input(input) => input.stats(),
        }
    }

    /// Messages of more than one line.
    pub fn escaped(&self) -> u64 {
        match self {
            Feed::Journal(journal) => journal.escaped(),
            Feed::Syslog(listener) => listener.escaped(),
            Feed::Input(_) => 0,
        }
    }
}

/// A message as one line: what it ends in goes, and a line feed or a NUL inside is written as rsyslog writes it. Split
/// there, one message would be several lines, each of which the sender could make up. Tells whether there was one.
pub(crate) fn one_line(message: &[u8]) -> (Vec<u8>, bool) {
    let end = message.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r' | 0)).map_or(0, |last| last + 1);
    let mut line = Vec::with_capacity(end);
    let mut escaped = false;
    for byte in message.get(..end).unwrap_or_default() {
        match byte {
            b'\n' => line.extend_from_slice(b"#012"),
            0 => line.extend_from_slice(b"#000"),
            _ => line.push(*byte),
        }
        escaped |= matches!(byte, b'\n' | 0);
    }
    (line, escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &str, line: &str, escaped: bool) {
        assert_eq!(one_line(message.as_bytes()), (line.as_bytes().to_vec(), escaped));
    }

    #[test]
    fn a_message_is_one_line_whatever_is_in_it() {
        check("a\r\n", "a", false);
        check("a\rb", "a\rb", false);
        check("a\n\0", "a", false);
        check("a\nb\0c\n", "a#012b#000c", true);
        check("\n", "", false);
    }
}
