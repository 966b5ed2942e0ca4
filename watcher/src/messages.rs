//! Which messages came from whom: the address at the gate and the Message-ID in the queue, joined.
//!
//! qmail writes them in different lines, and often in different logs: `qp` is in the line that takes a message and in
//! `info msg M`, M in `starting delivery D`, D in the delivery that names the Message-ID. This follows a message along
//! that way. It lives in memory, holds [`MESSAGES_MAX`], and forgets the oldest first; nothing is decided by it.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

use foldhash::fast::RandomState;
use logline::foreign::{Gate, QueueNote};
use logline::{DeliveryOutcome, Foreign, Phase, Queue, Record, SessionId, Text, Timestamp, Verdict};

use crate::connections::{Claim, Connections};

/// So many messages are remembered.
pub const MESSAGES_MAX: usize = 20_000;

/// Numbers of the queue are used again: what comes later than this after a message was taken is another's.
const QUEUED_WITHIN: Duration = Duration::from_secs(3600);

/// What is kept of a text that a client chose.
const TEXT_CHARS_MAX: usize = 256;

/// One message that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// When it was taken.
    pub at: Timestamp,
    /// From whom.
    pub address: IpAddr,
    /// The queue's number for it.
    pub qp: u32,
    /// Its Message-ID, escaped, once it is known.
    pub id: Option<String>,
    /// Its envelope sender, escaped.
    pub sender: String,
    /// How its last delivery went.
    pub outcome: Option<DeliveryOutcome>,
    /// The queue's other number for it.
    msg: Option<u64>,
}

/// One step of a message on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A client's message was taken.
    Taken(Message),
    /// The queue gave it its number.
    Queued {
        /// When.
        at: Timestamp,
        /// The number that the reply named.
        qp: u32,
        /// The number that the rest of the log names.
        msg: u64,
    },
    /// A delivery of it began.
    Starting {
        /// The attempt.
        delivery: u64,
        /// The message.
        msg: u64,
    },
    /// The delivery is over.
    Delivered {
        /// The attempt.
        delivery: u64,
        /// How it went.
        outcome: DeliveryOutcome,
        /// The Message-ID, escaped, where the line names it.
        id: Option<String>,
    },
}

impl Step {
    /// Whether a record can tell of a message's way.
    pub fn is_in(record: &Record<'_>) -> bool {
        match record {
            Record::Queue(queue) => {
                matches!(queue, Queue::Info { .. } | Queue::Starting { .. } | Queue::Delivery { .. })
            }
            Record::Qlog(qlog) => qlog.phase == Phase::Received,
            Record::Foreign(foreign) => matches!(
                foreign,
                Foreign::Gate(Gate::Received { .. }) | Foreign::Queue(QueueNote::Starting { .. })
            ),
            _ => false,
        }
    }

    /// What a record says of a message's way; whose it is the connection table says.
    pub fn of(record: &Record<'_>, connections: &Connections, at: Timestamp) -> Option<Step> {
        let taken = |pid: SessionId, claimed, qp, id: Option<&Text<'_>>, sender| {
            let Claim::Confirmed(address) = connections.client(Some(pid), claimed) else { return None };
            let (id, sender) = (id.map(kept), kept(sender));
            Some(Step::Taken(Message { at, address, qp, id, sender, outcome: None, msg: None }))
        };
        match record {
            Record::Qlog(qlog) if qlog.phase == Phase::Received && qlog.verdict == Verdict::Accepted => {
                taken(qlog.pid, Some(qlog.remote_address), qlog.qp?, qlog.message_id.as_ref(), &qlog.sender)
            }
            Record::Foreign(Foreign::Gate(Gate::Received { pid, sender, qp })) => {
                taken(*pid, None, *qp, None, sender)
            }
            Record::Queue(queue) => match queue {
                Queue::Info { msg, qp, .. } => Some(Step::Queued { at, qp: *qp, msg: *msg }),
                Queue::Starting { delivery, msg, .. } => {
                    Some(Step::Starting { delivery: *delivery, msg: *msg })
                }
                Queue::Delivery { delivery, outcome, message_id, report } => {
                    let header = || logline::foreign::header_message_id(report.bytes()).map(Text::from);
                    let id = message_id.clone().or_else(header).as_ref().map(kept);
                    Some(Step::Delivered { delivery: *delivery, outcome: *outcome, id })
                }
                Queue::New { .. } | Queue::Status { .. } | Queue::Bounce { .. } | Queue::End { .. } => None,
            },
            Record::Foreign(Foreign::Queue(QueueNote::Starting { delivery, msg, .. })) => {
                Some(Step::Starting { delivery: *delivery, msg: *msg })
            }
            _ => None,
        }
    }
}

fn kept(text: &Text<'_>) -> String {
    // Nearly every one is as readable as it stands.
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'\\';
    if text.bytes().len() <= TEXT_CHARS_MAX
        && text.bytes().iter().all(is_plain)
        && let Ok(text) = std::str::from_utf8(text.bytes())
    {
        return text.to_owned();
    }
    text.readable().to_string().chars().take(TEXT_CHARS_MAX).collect()
}

/// The messages of late.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    recent: VecDeque<Message>,
    /// The number of the first of them; they are numbered from the start.
    first: u64,
    by_qp: HashMap<u32, u64, RandomState>,
    by_msg: HashMap<u64, u64, RandomState>,
    by_delivery: HashMap<u64, u64, RandomState>,
}

impl Messages {
    /// A message went a step further.
    pub fn take(&mut self, step: Step) {
        match step {
            Step::Taken(message) => self.push(message),
            Step::Queued { at, qp, msg } => {
                let Some(number) = self.by_qp.get(&qp).copied() else { return };
                let Some(message) = self.numbered(number) else { return };
                if at.since(message.at) > QUEUED_WITHIN {
                    return;
                }
                message.msg = Some(msg);
                self.by_msg.insert(msg, number);
            }
            Step::Starting { delivery, msg } => {
                let Some(number) = self.by_msg.get(&msg).copied() else { return };
                // A delivery whose end is never told is forgotten with all others of its kind.
                if self.by_delivery.len() >= MESSAGES_MAX {
                    self.by_delivery.clear();
                }
                self.by_delivery.insert(delivery, number);
            }
            Step::Delivered { delivery, outcome, id } => {
                let Some(number) = self.by_delivery.remove(&delivery) else { return };
                let Some(message) = self.numbered(number) else { return };
                message.outcome = Some(outcome);
                message.id = message.id.take().or(id);
            }
        }
    }

    /// The latest messages of an address that `is_asked`, the latest first.
    pub fn latest(&self, is_asked: impl Fn(IpAddr) -> bool) -> impl Iterator<Item = &Message> {
        self.recent.iter().rev().filter(move |message| is_asked(message.address))
    }

    fn push(&mut self, message: Message) {
        if self.recent.len() >= MESSAGES_MAX
            && let Some(oldest) = self.recent.pop_front()
        {
            let number = self.first;
            self.first += 1;
            forget(&mut self.by_qp, &oldest.qp, number);
            if let Some(msg) = oldest.msg {
                forget(&mut self.by_msg, &msg, number);
            }
        }
        let number = self.first + u64::try_from(self.recent.len()).unwrap_or(u64::MAX);
        self.by_qp.insert(message.qp, number);
        self.recent.push_back(message);
    }

    fn numbered(&mut self, number: u64) -> Option<&mut Message> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.recent.get_mut(at)
    }
}

/// Forgets where a number of the queue led, if it is not another message's by now.
fn forget<K: Eq + Hash>(numbers: &mut HashMap<K, u64, RandomState>, key: &K, number: u64) {
    if numbers.get(key) == Some(&number) {
        numbers.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_000_000);

    /// Reads lines as one log, a second apart, and gives what is known of each message, the latest first.
    fn read(lines: &[&str]) -> Vec<(String, Option<String>, Option<DeliveryOutcome>)> {
        let (mut connections, mut messages) = (Connections::default(), Messages::default());
        connections.open(SessionId(8155), [198, 51, 100, 7].into(), NOW);
        for (line, second) in lines.iter().zip(0..) {
            let record = Record::parse(line.as_bytes()).unwrap();
            if let Some(step) = Step::of(&record, &connections, NOW + Duration::from_secs(second)) {
                messages.take(step);
            }
        }
        let known = |message: &Message| (message.sender.clone(), message.id.clone(), message.outcome);
        messages.latest(|address| address == IpAddr::from([198, 51, 100, 7])).map(known).collect()
    }

    const TAKEN: &str = "qlogreceived: result=accepted code=250 reason=queueaccept detail= helo=h mailfrom=a@example.net rcptto=b@example.org relay=no rcpthosts= size=2047 authuser= authtype= encrypted= sslverified=no localip=192.0.2.25 localport=25 remoteip=198.51.100.7 remoteport=41900 remotehost=h qp=8157 pid=8155";

    #[test]
    fn an_address_and_a_message_id_are_joined_along_the_queue() {
        let log = [
            TAKEN,
            "new msg 7209163",
            "info msg 7209163: bytes 2314 from <a@example.net> qp 8157 uid 89",
            "starting delivery 11: msg 7209163 to local b@example.org",
            "delivery 11: success: Message-ID:_<x1@example.net>/did_1+0+0/",
            "end msg 7209163",
        ];
        let sender = "a@example.net".to_owned();
        let id = Some("x1@example.net".to_owned());
        assert_eq!(read(&log), [(sender, id, Some(DeliveryOutcome::Success))]);
    }

    #[test]
    fn the_lines_of_2014_are_joined_too() {
        let log = [
            "mail recv: pid 8155 from <a@example.net> qp 8157\r",
            "info msg 7: bytes 2314 from <a@example.net> qp 8157 uid 89",
            "starting delivery 12: msg 7 to local log@mx.example.org",
            "delivery 12: success: Received:_x/Message-ID:_<x2@example.net>/---/did_0+0+2/",
        ];
        assert_eq!(read(&log)[0].1.as_deref(), Some("x2@example.net"));
    }

    #[test]
    fn a_number_that_nobody_took_or_that_comes_too_late_joins_nothing() {
        let queued = "info msg 7: bytes 2314 from <a@example.net> qp 8157 uid 89";
        let delivered =
            ["starting delivery 1: msg 7 to local b", "delivery 1: success: Message-ID:_<x>/did_1+0+0/"];
        assert!(read(&[&[queued], &delivered[..]].concat()).is_empty());
        let others = vec!["new msg 1"; 3601];
        assert_eq!(read(&[&[TAKEN], &others[..], &[queued], &delivered[..]].concat())[0].1, None);
        let other_session = TAKEN.replace("pid=8155", "pid=7");
        assert!(read(&[&other_session]).is_empty());
    }

    #[test]
    fn the_oldest_messages_go_first() {
        let mut messages = Messages::default();
        let message = |qp: u32| {
            let address = [198, 51, 100, 7].into();
            Message { at: NOW, address, qp, id: None, sender: String::new(), outcome: None, msg: None }
        };
        let most = u32::try_from(MESSAGES_MAX).unwrap();
        for qp in 0..most + 10 {
            messages.take(Step::Taken(message(qp)));
            messages.take(Step::Queued { at: NOW, qp, msg: qp.into() });
            messages.take(Step::Starting { delivery: qp.into(), msg: qp.into() });
        }
        assert_eq!(messages.latest(|_| true).count(), MESSAGES_MAX);
        assert_eq!((messages.by_qp.len(), messages.by_msg.len()), (MESSAGES_MAX, MESSAGES_MAX));
        assert!(messages.by_delivery.len() <= MESSAGES_MAX);
        let last = u64::from(most) + 9;
        messages.take(Step::Delivered { delivery: last, outcome: DeliveryOutcome::Success, id: None });
        assert_eq!(messages.latest(|_| true).next().unwrap().outcome, Some(DeliveryOutcome::Success));
    }
}
