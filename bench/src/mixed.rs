//! The log of a place where everybody writes: qmail's programs through multilog, and postfix, dovecot, exim, sshd, rspamd,
//! vpopmail and the system through syslog, gathered in one file. Made, not recorded, and always the same.
//!
//! It is made of episodes, as a server has them (a message that comes in and is delivered, a customer who reads his mail, a
//! guess at a password), of which many are under way at a time, so that their lines stand in any order.

mod episodes;
mod machine;
mod offences;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::Write;
use std::net::Ipv4Addr;

use anyhow::Result;
use jiff::tz::TimeZone;
use logline::Timestamp;

use crate::journal::{START, client};

/// So much is written at once.
const BLOCK_BYTES: usize = 1 << 20;

/// Between two lines; a thousand come in a second.
const STEP_NS: i64 = 1_000_000;

/// So many episodes are under way at a time.
const UNDER_WAY: u32 = 60;

/// Whose lines these are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// Those of the whole machine: beside the mail, what the kernel, systemd, cron, the resolver and the scanners for spam
    /// have to say.
    Machine,
    /// Those of the mail servers alone.
    Mail,
    /// Every line is an offence, but for the connections at the beginning.
    Attack,
}

/// Writes a log of this many bytes, or some more; gives its number of lines.
///
/// # Errors
/// It cannot be written.
pub fn write(mix: Mix, bytes: u64, to: &mut impl Write) -> Result<u64> {
    let mut log = Log::new();
    let (mut written, mut lines) = (0, 0);
    if mix == Mix::Attack {
        (0..offences::SESSIONS).for_each(|pid| log.put(&offences::connection(pid)));
        lines += u64::from(offences::SESSIONS);
    }
    while written < bytes {
        while log.text.len() < BLOCK_BYTES {
            let line = match mix {
                Mix::Attack => offences::line(&mut log.chance),
                Mix::Machine | Mix::Mail => log.next_of(mix),
            };
            log.put(&line);
            lines += 1;
        }
        to.write_all(log.text.as_bytes())?;
        written += log.text.len() as u64;
        log.text.clear();
    }
    Ok(lines)
}

/// One line before it is stamped.
#[derive(Clone, Debug)]
enum Line {
    /// It goes to multilog.
    Multilog(String),
    /// It goes to syslog, under the name of a program: `sshd[4711]`.
    Syslog(String, String),
}

/// What happens, line after line.
type Episode = VecDeque<Line>;

struct Log {
    text: String,
    at_ns: i64,
    second: i64,
    /// `Nov 21 12:00:00`, of that second.
    stamp: String,
    chance: Chance,
    under_way: Vec<Episode>,
}

impl Log {
    fn new() -> Self {
        Log {
            text: String::with_capacity(2 * BLOCK_BYTES),
            at_ns: START.nanos(),
            second: i64::MIN,
            stamp: String::new(),
            chance: Chance(0x9e37_79b9_7f4a_7c15),
            under_way: vec![Episode::new(); UNDER_WAY as usize],
        }
    }

    /// The next line of an episode that is under way, or the first of a new one.
    fn next_of(&mut self, mix: Mix) -> Line {
        let place = self.chance.below(UNDER_WAY) as usize;
        loop {
            if let Some(line) = self.under_way.get_mut(place).and_then(Episode::pop_front) {
                return line;
            }
            let episode = match mix {
                Mix::Machine => machine::episode(&mut self.chance),
                Mix::Mail | Mix::Attack => episodes::mail(&mut self.chance),
            };
            if let Some(ended) = self.under_way.get_mut(place) {
                *ended = episode;
            }
        }
    }

    fn put(&mut self, line: &Line) {
        self.at_ns += STEP_NS;
        // A string takes every write.
        let _ = match line {
            Line::Multilog(message) => {
                writeln!(self.text, "{} {message}", Timestamp::from_nanos(self.at_ns).tai64n())
            }
            Line::Syslog(tag, message) => {
                let second = self.at_ns.div_euclid(1_000_000_000);
                if self.second != second {
                    self.second = second;
                    let time = jiff::Timestamp::from_second(second).unwrap_or_default();
                    self.stamp = time.to_zoned(TimeZone::UTC).strftime("%b %e %H:%M:%S").to_string();
                }
                writeln!(self.text, "{} mx {tag}: {message}", self.stamp)
            }
        };
    }
}

/// Chance, the same in each run (xorshift64).
struct Chance(u64);

impl Chance {
    /// A number below `limit`.
    fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from((self.0 >> 33) % u64::from(limit)).unwrap_or(0)
    }

    /// A process.
    fn pid(&mut self) -> u32 {
        self.below(30_000) + 1000
    }

    /// Somebody's address.
    fn client(&mut self) -> Ipv4Addr {
        client(self.below(65_536))
    }

    fn port(&mut self) -> u32 {
        self.below(40_000) + 20_000
    }
}

fn multilog(message: String) -> Line {
    Line::Multilog(message)
}

/// A line of a program that says which process it is.
fn syslog(program: &str, pid: u32, message: String) -> Line {
    Line::Syslog(format!("{program}[{pid}]"), message)
}

/// A line of one that does not.
fn bare(program: &str, message: String) -> Line {
    Line::Syslog(program.to_owned(), message)
}
