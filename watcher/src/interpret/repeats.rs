//! One line for many: syslogd's `last message repeated 3 times`, and rsyslog's `message repeated 3 times: [ …]`.
//!
//! Each counts as that many events, or guessing passwords fast would count less than guessing them slowly.

use crate::envelope::{LAST_MESSAGE, Opened};

/// One line stands for at most so many.
const TIMES_MAX: u32 = crate::event::WEIGHT_MAX;

/// What a line says about others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat<'a> {
    /// The line before came so often again.
    Last { times: u32 },
    /// This message came so often again.
    Quoted { times: u32, message: &'a [u8] },
}

impl<'a> Repeat<'a> {
    pub(super) fn parse(message: &'a [u8]) -> Option<Self> {
        // Nearly every line is neither.
        if !matches!(message.first(), Some(b'l' | b'm')) {
            return None;
        }
        if let Some(rest) = message.strip_prefix(LAST_MESSAGE) {
            let (times, rest) = number(rest)?;
            return matches!(rest, b" times" | b" time").then_some(Repeat::Last { times });
        }
        let (times, rest) = number(message.strip_prefix(b"message repeated ")?)?;
        let quoted = rest.strip_prefix(b" times: [")?.strip_suffix(b"]")?;
        Some(Repeat::Quoted { times, message: quoted.strip_prefix(b" ").unwrap_or(quoted) })
    }
}

fn number(text: &[u8]) -> Option<(u32, &[u8])> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = text.split_at_checked(length)?;
    let times: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((u32::try_from(times).unwrap_or(TIMES_MAX).min(TIMES_MAX), rest))
}

/// The line before, as far as it may be repeated.
#[derive(Debug, Default)]
pub(super) struct Last {
    line: Vec<u8>,
    kept: Option<Kept>,
}

#[derive(Debug)]
enum Kept {
    /// A line of a file, which says all itself.
    Whole,
    /// A message whose envelope was opened where it came from; the line ends in it.
    Sent { program: Option<Vec<u8>>, pid: Option<u32>, message_at: usize },
}

impl Last {
    /// This is the line before the next one. The memory is used again and again; a line is at most 64 KiB.
    pub(super) fn keep(&mut self, line: &[u8]) {
        self.line.clear();
        self.line.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        self.kept = Some(Kept::Whole);
    }

    /// The same for a message that was sent.
    pub(super) fn keep_sent(&mut self, opened: &Opened<'_>, line: &[u8]) {
        self.keep(line);
        let message_at = self.line.len().saturating_sub(opened.message.len());
        let program = opened.program.map(<[u8]>::to_vec);
        self.kept = Some(Kept::Sent { program, pid: opened.pid, message_at });
    }

    /// The next line is not this one's to repeat.
    pub(super) fn forget(&mut self) {
        self.kept = None;
    }

    pub(super) fn line(&self) -> &[u8] {
        &self.line
    }

    /// What `repeat` repeats; none where that names another program or process, or nothing is known. syslogd itself names
    /// none.
    pub(super) fn said_by<'l>(&'l self, repeat: &Opened<'l>) -> Option<Opened<'l>> {
        let said = match self.kept.as_ref()? {
            Kept::Whole => Opened::read(&self.line),
            Kept::Sent { program, pid, message_at } => {
                let message = self.line.get(*message_at..)?;
                Opened { program: program.as_deref(), pid: *pid, message, ..*repeat }
            }
        };
        if repeat.program.is_some() && (repeat.program != said.program || repeat.pid != said.pid) {
            return None;
        }
        Some(said)
    }
}
