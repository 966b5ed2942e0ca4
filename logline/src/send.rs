//! What qmail-send says about the queue (qmail-send.c, qmail-todo.c).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Text;
use crate::scan::Scan;

/// A line of qmail-send. `msg` and `delivery` numbers are reused after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Queue<'a> {
    /// `new msg M`
    New {
        /// The message's number in the queue.
        msg: u64,
    },
    /// `info msg M: bytes B from <S> qp Q uid U`
    Info {
        /// The message's number in the queue.
        msg: u64,
        /// Its length as it was queued.
        size_bytes: u64,
        /// Its envelope sender.
        sender: Text<'a>,
        /// The number that the `250 ok` reply gave.
        qp: u32,
        /// Who put it there.
        uid: u32,
    },
    /// `starting delivery D: msg M to local R`
    Starting {
        /// The attempt.
        delivery: u64,
        /// The message.
        msg: u64,
        /// On this host, or to another.
        channel: Channel,
        /// The recipient.
        recipient: Text<'a>,
    },
    /// `delivery D: success: Message-ID:_<…>/did_1+0+0/`
    Delivery {
        /// The attempt.
        delivery: u64,
        /// How it went.
        outcome: DeliveryOutcome,
        /// The message's own identifier, without its angle brackets.
        message_id: Option<Text<'a>>,
        /// What the deliverer said.
        report: Text<'a>,
    },
    /// `status: local L/L remote R/R`
    Status {
        /// Deliveries under way on this host.
        local: Slots,
        /// Deliveries under way to others.
        remote: Slots,
    },
    /// `bounce msg M qp Q`
    Bounce {
        /// The message that could not be delivered.
        msg: u64,
        /// The queue's number for the bounce.
        qp: u32,
    },
    /// `end msg M`
    End {
        /// The message that left the queue.
        msg: u64,
    },
}

/// Where a delivery goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    /// To a mailbox on this host.
    Local,
    /// To another host.
    Remote,
}

/// How a delivery went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryOutcome {
    /// It arrived.
    Success,
    /// It never will.
    Failure,
    /// It is tried again.
    Deferral,
}

/// Deliveries under way, and the most that may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Slots {
    /// Under way.
    pub used: u32,
    /// The most that may be.
    pub limit: u32,
}

const MESSAGE_ID: &[u8] = b"Message-ID:_<";

impl Channel {
    const fn name(self) -> &'static str {
        match self {
            Channel::Local => "local",
            Channel::Remote => "remote",
        }
    }
}

impl DeliveryOutcome {
    /// The name as a log line has it.
    pub const fn name(self) -> &'static str {
        match self {
            DeliveryOutcome::Success => "success",
            DeliveryOutcome::Failure => "failure",
            DeliveryOutcome::Deferral => "deferral",
        }
    }

    fn parse(name: &[u8]) -> Option<Self> {
        [DeliveryOutcome::Success, DeliveryOutcome::Failure, DeliveryOutcome::Deferral]
            .into_iter()
            .find(|outcome| outcome.name().as_bytes() == name)
    }
}

impl<'a> Queue<'a> {
    /// Reads one line, without its envelope.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        let mut line = Scan(line);
        match line.until(b' ')? {
            b"new" => {
                line.literal(b"msg ")?;
                Some(Queue::New { msg: line.last_number()? })
            }
            b"end" => {
                line.literal(b"msg ")?;
                Some(Queue::End { msg: line.last_number()? })
            }
            b"info" => Queue::info(line),
            b"starting" => Queue::starting(line),
            b"delivery" => Queue::delivery(line),
            b"bounce" => {
                line.literal(b"msg ")?;
                let msg = line.number(b' ')?;
                line.literal(b"qp ")?;
                Some(Queue::Bounce { msg, qp: line.last_number()? })
            }
            b"status:" => {
                line.literal(b"local ")?;
                let local = Slots { used: line.number(b'/')?, limit: line.number(b' ')? };
                line.literal(b"remote ")?;
                let remote = Slots { used: line.number(b'/')?, limit: line.last_number()? };
                Some(Queue::Status { local, remote })
            }
            _ => None,
        }
    }

    fn info(mut line: Scan<'a>) -> Option<Self> {
        line.literal(b"msg ")?;
        let msg = line.number(b':')?;
        line.literal(b" bytes ")?;
        let size_bytes = line.number(b' ')?;
        line.literal(b"from <")?;
        let sender = Text::unescape(line.until(b'>')?);
        line.literal(b" qp ")?;
        let qp = line.number(b' ')?;
        line.literal(b"uid ")?;
        Some(Queue::Info { msg, size_bytes, sender, qp, uid: line.last_number()? })
    }

    fn starting(mut line: Scan<'a>) -> Option<Self> {
        line.literal(b"delivery ")?;
        let delivery = line.number(b':')?;
        line.literal(b" msg ")?;
        let msg = line.number(b' ')?;
        line.literal(b"to ")?;
        let channel = match line.until(b' ')? {
            b"local" => Channel::Local,
            b"remote" => Channel::Remote,
            _ => return None,
        };
        Some(Queue::Starting { delivery, msg, channel, recipient: Text::unescape(line.0) })
    }

    fn delivery(mut line: Scan<'a>) -> Option<Self> {
        let delivery = line.number(b':')?;
        line.literal(b" ")?;
        let outcome = DeliveryOutcome::parse(line.until(b':')?)?;
        line.literal(b" ")?;
        let message_id =
            line.literal(MESSAGE_ID).and_then(|()| line.until_literal(b">/")).map(Text::unescape);
        Some(Queue::Delivery { delivery, outcome, message_id, report: Text::unescape(line.0) })
    }
}

impl fmt::Display for Queue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Queue::New { msg } => write!(f, "new msg {msg}"),
            Queue::Info { msg, size_bytes, sender, qp, uid } => {
                write!(
                    f,
                    "info msg {msg}: bytes {size_bytes} from <{}> qp {qp} uid {uid}",
                    sender.escaped(b"<>")
                )
            }
            Queue::Starting { delivery, msg, channel, recipient } => {
                write!(
                    f,
                    "starting delivery {delivery}: msg {msg} to {} {}",
                    channel.name(),
                    recipient.escaped(b"")
                )
            }
            Queue::Delivery { delivery, outcome, message_id, report } => {
                write!(f, "delivery {delivery}: {}: ", outcome.name())?;
                if let Some(id) = message_id {
                    write!(f, "Message-ID:_<{}>/", id.escaped(b"/>"))?;
                }
                write!(f, "{}", Report { report, first: message_id.is_none() })
            }
            Queue::Status { local, remote } => {
                write!(
                    f,
                    "status: local {}/{} remote {}/{}",
                    local.used, local.limit, remote.used, remote.limit
                )
            }
            Queue::Bounce { msg, qp } => write!(f, "bounce msg {msg} qp {qp}"),
            Queue::End { msg } => write!(f, "end msg {msg}"),
        }
    }
}

/// What the deliverer said. Another host chose part of it, so where it would read as a Message-ID its first byte is
/// escaped.
struct Report<'t> {
    report: &'t Text<'t>,
    first: bool,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.report.bytes().split_first() {
            Some((first, rest)) if self.first && self.report.bytes().starts_with(MESSAGE_ID) => {
                write!(f, "\\x{first:02x}{}", Text::from(rest).escaped(b""))
            }
            _ => self.report.escaped(b"").fmt(f),
        }
    }
}
