//! What qmail-send says beside the life of a message, and in the dialects that patches gave it.

use memchr::memmem;

use crate::Text;
use crate::scan::{self, Scan};

/// A line of qmail-send that [`crate::Queue`] does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueNote<'a> {
    /// `starting delivery D: msg M to suppl0 R`: a further channel (the channels patch).
    Starting {
        /// The attempt.
        delivery: u64,
        /// The message.
        msg: u64,
        /// The channel's name.
        channel: Text<'a>,
        /// The recipient.
        recipient: Text<'a>,
    },
    /// `delivery D: report mangled, will defer`
    Mangled {
        /// The attempt.
        delivery: u64,
    },
    /// `triple bounce: discarding F`, `double bounce: discarding F`
    Discarding {
        /// Whether the bounce of a bounce's bounce, or the one before.
        what: Text<'a>,
        /// The file.
        file: Text<'a>,
    },
    /// `status: …` of more channels, or of the end.
    Status(Text<'a>),
    /// `warning: …`
    Warning(Text<'a>),
    /// `alert: …`
    Alert(Text<'a>),
}

impl<'a> QueueNote<'a> {
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        let mut rest = Scan(line);
        match rest.until(b' ')? {
            b"starting" => starting(rest),
            b"delivery" => {
                let delivery = rest.number(b':')?;
                (rest.0 == b" report mangled, will defer").then_some(QueueNote::Mangled { delivery })
            }
            b"triple" | b"double" => {
                let (what, _) = scan::split_once(line, b" bounce: discarding ")?;
                rest.literal(b"bounce: discarding ")?;
                Some(QueueNote::Discarding { what: Text::from(what), file: Text::from(rest.0) })
            }
            b"status:" => is_status(rest.0).then(|| QueueNote::Status(Text::from(rest.0))),
            b"warning:" => is_own(rest.0).then(|| QueueNote::Warning(Text::from(rest.0))),
            b"alert:" => is_own(rest.0).then(|| QueueNote::Alert(Text::from(rest.0))),
            _ => None,
        }
    }
}

/// How the complaints of qmail-log(5) begin; other programs warn of other things.
const COMPLAINTS: &[&[u8]] = &[
    b"cannot ",
    b"internal error",
    b"oh no! ",
    b"out of memory",
    b"qmail-todo: ",
    b"trouble ",
    b"unable to ",
];

fn is_own(complaint: &[u8]) -> bool {
    COMPLAINTS.iter().any(|own| complaint.starts_with(own))
}

fn starting(mut line: Scan<'_>) -> Option<QueueNote<'_>> {
    line.literal(b"delivery ")?;
    let delivery = line.number(b':')?;
    line.literal(b" msg ")?;
    let msg = line.number(b' ')?;
    line.literal(b"to ")?;
    let channel = line.until(b' ')?;
    let number = channel.strip_prefix(b"suppl")?;
    scan::number::<u32>(number)?;
    Some(QueueNote::Starting { delivery, msg, channel: Text::from(channel), recipient: Text::from(line.0) })
}

fn is_status(text: &[u8]) -> bool {
    text.starts_with(b"local ") || text == b"exiting" || text.starts_with(b"qmail-todo stop processing")
}

/// The Message-ID in what a `log@` address printed of a message's headers (the QUEUE_EXTRA of 2014): the first one, and
/// only in the report of a delivery to programs alone. A header can hold all of these words, but it stands in no place
/// where an address is looked for.
pub fn header_message_id(report: &[u8]) -> Option<&[u8]> {
    let told = report.strip_suffix(b"/")?;
    let digits = told.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (told, programs) = told.split_at_checked(told.len() - digits)?;
    told.strip_suffix(b"/did_0+0+")?;
    scan::number::<u32>(programs)?;
    let (_, after) = scan::split_once(report, b"Message-ID:_<")?;
    let end = memmem::find(after, b">/")?;
    after.get(..end)
}
