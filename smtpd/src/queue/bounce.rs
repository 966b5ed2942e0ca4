//! The message that tells a sender what could not be delivered (RFC 3464, RFC 6522).

use logline::Timestamp;

use crate::dsn::{Return, Wishes, decoded};
use crate::mailbox::Mailbox;
use crate::queue::Message;
use crate::queue::report::{Action, Report};
use crate::session::{Envelope, date};

/// Bytes of the original's header that go back with a report.
const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Bytes of a message that goes back whole, where its sender asked for that. A report is not to fill mailboxes.
const FULL_BYTES_MAX: u64 = 256 * 1024;

/// What of the message goes back with a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Original {
    /// Its header: a report is not to carry spam.
    Header,
    /// All of it, which RET=FULL asks for with a failure (RFC 3461 §4.3).
    Full,
}

impl Original {
    pub(super) fn of(message: &Message, reports: &[Report]) -> Self {
        let is_asked_for = message.envelope.wishes.ret == Some(Return::Full);
        let has_failed = reports.iter().any(|report| report.action == Action::Failed);
        let fits = message.size_bytes <= FULL_BYTES_MAX;
        if is_asked_for && has_failed && fits { Original::Full } else { Original::Header }
    }

    /// How much of the message is to be read.
    pub(super) fn bytes_max(self) -> u64 {
        match self {
            Original::Header => HEADER_BYTES_MAX as u64,
            Original::Full => FULL_BYTES_MAX,
        }
    }

    /// The last part of the report, from the beginning of the message.
    pub(super) fn part(self, text: &[u8]) -> Part<'_> {
        match self {
            Original::Full => Part { kind: "message/rfc822", text },
            Original::Header => {
                let end = memchr::memmem::find(text, b"\n\n").map_or(text.len(), |end| end + 1);
                Part { kind: "text/rfc822-headers", text: text.get(..end).unwrap_or_default() }
            }
        }
    }
}

/// What goes back, and what it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    kind: &'static str,
    text: &'a [u8],
}

/// Writes a report of `message` to its sender; `None` where it has none.
pub(super) fn bounce(
    hostname: &str,
    now: Timestamp,
    message: &Message,
    original: Part<'_>,
    reports: &[Report],
) -> Option<(Envelope, Vec<u8>)> {
    let sender = message.envelope.sender.clone()?;
    let boundary = format!("{}.{}/{hostname}", now.nanos(), message.id);
    let (subject, sentence) = news(reports);
    let mut text = format!(
        "Date: {}\n\
         From: Mail Delivery System <MAILER-DAEMON@{hostname}>\n\
         To: <{sender}>\n\
         Subject: {subject}\n\
         Message-ID: <{}.{}.bounce@{hostname}>\n\
         Auto-Submitted: auto-replied\n\
         MIME-Version: 1.0\n\
         Content-Type: multipart/report; report-type=delivery-status;\n boundary=\"{boundary}\"\n\n",
        date(now),
        now.nanos(),
        message.id,
    );
    let charset = if sender.is_ascii() && reports.iter().all(|r| r.recipient.is_ascii()) {
        "us-ascii"
    } else {
        "utf-8"
    };
    text += &format!(
        "--{boundary}\nContent-Type: text/plain; charset={charset}\n\n\
         This is the mail server at {hostname}.\n{sentence}"
    );
    for Report { recipient, text: words, .. } in reports {
        text += &format!("\n<{recipient}>:\n{}\n", printable(words));
    }
    text +=
        &format!("\n--{boundary}\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; {hostname}\n");
    if let Some(envelope_id) = message.envelope.wishes.envelope_id() {
        text += &format!("Original-Envelope-Id: {envelope_id}\n");
    }
    text += &format!("Arrival-Date: {}\n", date(message.envelope.received));
    for report in reports {
        text += &fields(report);
    }
    text += &format!("\n--{boundary}\nContent-Type: {}\n\n", original.kind);
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(original.text);
    if bytes.last() != Some(&b'\n') {
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(format!("\n--{boundary}--\n").as_bytes());
    let smtputf8 = !sender.is_ascii();
    let envelope = Envelope {
        sender: None,
        recipients: vec![sender],
        received: now,
        client: None,
        session: None,
        user: None,
        wishes: Wishes::default(),
        smtputf8,
    };
    Some((envelope, bytes))
}

/// Subject and first sentence.
fn news(reports: &[Report]) -> (&'static str, &'static str) {
    let has = |action| reports.iter().any(|report| report.action == action);
    if has(Action::Failed) {
        (
            "failure notice",
            "Your message could not be delivered to the addresses below that are said to\n\
             have failed, and nobody will try again. The message, or its header, is at\n\
             the end.\n",
        )
    } else if has(Action::Delayed) {
        (
            "delay notice",
            "Your message could not be delivered to the addresses below yet. You need do\n\
             nothing: it is tried again for a week. Its header is at the end.\n",
        )
    } else {
        (
            "delivery notice",
            "Your message has gone to the addresses below, of which you asked to be told.\n\
             Its header is at the end.\n",
        )
    }
}

/// The fields of one recipient (RFC 3464 §2.3).
fn fields(report: &Report) -> String {
    let Report { recipient, wish, action, text } = report;
    let original = wish.original.as_deref().map(|original| {
        let original = decoded(original).replacen(';', "; ", 1);
        format!("Original-Recipient: {original}\n")
    });
    let status = match action {
        Action::Failed => status(text),
        Action::Delayed => "4.4.7",
        Action::Delivered | Action::Relayed => "2.0.0",
    };
    let diagnostic = match action {
        Action::Failed | Action::Delayed => {
            format!("Diagnostic-Code: smtp; {}\n", printable(text).replace('\n', " "))
        }
        Action::Delivered | Action::Relayed => String::new(),
    };
    format!(
        "\n{}Final-Recipient: {}\nAction: {}\nStatus: {status}\n{diagnostic}",
        original.unwrap_or_default(),
        typed(recipient),
        action.name(),
    )
}

/// An address with its type; beyond ASCII in the letters of RFC 6533 §3, which every reader takes.
fn typed(recipient: &Mailbox) -> String {
    if recipient.is_ascii() {
        return format!("rfc822; {recipient}");
    }
    let letters = recipient
        .to_string()
        .chars()
        .map(|c| if c.is_ascii() { c.to_string() } else { format!("\\x{{{:X}}}", u32::from(c)) })
        .collect::<String>();
    format!("utf-8; {letters}")
}

/// Another server's words, without what a mail may not hold.
fn printable(report: &str) -> String {
    report.chars().map(|c| if c == '\n' || (' '..='~').contains(&c) { c } else { '?' }).collect()
}

/// The enhanced code in a report; where there is none, that it is final.
fn status(report: &str) -> &str {
    let words = report.split(|c: char| !(c.is_ascii_digit() || c == '.'));
    let code = |word: &&str| {
        let parts: Vec<&str> = word.split('.').collect();
        matches!(parts.as_slice(), ["5" | "4", b, c] if [b, c].iter().all(|part| part.parse::<u16>().is_ok()))
    };
    words.into_iter().find(code).unwrap_or("5.0.0")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{MessageId, State};

    fn message(wishes: Wishes) -> Message {
        let envelope = Envelope {
            sender: Some("alice@example.org".parse().unwrap()),
            recipients: Vec::new(),
            received: Timestamp::from_seconds(1_795_262_400),
            client: None,
            session: None,
            user: None,
            wishes,
            smtputf8: false,
        };
        let state = State::new(&envelope);
        Message { id: MessageId(5), envelope, size_bytes: 0, message_id: None, state }
    }

    fn report(recipient: &str, action: Action, text: &str) -> Report {
        Report {
            recipient: recipient.parse().unwrap(),
            wish: crate::dsn::Wish { notify: None, original: Some("rfc822;X+2By@example.net".to_owned()) },
            action,
            text: text.to_owned(),
        }
    }

    fn write(message: &Message, reports: &[Report]) -> (Envelope, String) {
        let original = Original::of(message, reports).part(b"Subject: secret plan\n\nthe plan\n");
        let now = message.envelope.received;
        let (envelope, text) = bounce("mx.example.org", now, message, original, reports).unwrap();
        (envelope, String::from_utf8(text).unwrap())
    }

    #[test]
    fn a_bounce_names_who_failed_and_goes_to_the_sender_alone() {
        let mut message = message(Wishes::default());
        let failures = [report("x@example.com", Action::Failed, "192.0.2.1 says:\n550 5.1.1 no\u{1b}[31m")];
        let (envelope, text) = write(&message, &failures);
        assert_eq!(
            (envelope.sender, envelope.recipients),
            (None, vec!["alice@example.org".parse().unwrap()])
        );
        assert!(text.contains("\nAction: failed\nStatus: 5.1.1\n"), "{text}");
        assert!(text.contains("<x@example.com>:\n192.0.2.1 says:\n550 5.1.1 no?[31m\n"), "{text}");
        assert!(
            text.contains(
                "\nOriginal-Recipient: rfc822; X+y@example.net\nFinal-Recipient: rfc822; x@example.com\n"
            ),
            "{text}"
        );
        assert!(text.contains("Content-Type: text/rfc822-headers\n\nSubject: secret plan\n\n--"), "{text}");
        message.envelope.sender = None;
        let original = Original::Header.part(b"");
        assert!(bounce("mx", message.envelope.received, &message, original, &failures).is_none());
    }

    #[test]
    fn a_report_says_what_was_asked_for() {
        let wishes = Wishes { ret: Some(Return::Full), envid: Some("QQ+2B1".into()), each: Vec::new() };
        let message = message(wishes);
        let (_, text) = write(&message, &[report("x@example.com", Action::Failed, "no")]);
        assert!(text.contains("\nOriginal-Envelope-Id: QQ+1\n"), "{text}");
        assert!(
            text.contains("Content-Type: message/rfc822\n\nSubject: secret plan\n\nthe plan\n"),
            "{text}"
        );
        let (_, text) =
            write(&message, &[report("jos\u{e9}@example.com", Action::Delivered, "It is there.")]);
        assert!(text.contains("\nSubject: delivery notice\n"), "{text}");
        assert!(
            text.contains(
                "\nFinal-Recipient: utf-8; jos\\x{E9}@example.com\nAction: delivered\nStatus: 2.0.0\n"
            ),
            "{text}"
        );
        assert!(!text.contains("the plan"), "{text}");
    }

    #[test]
    fn the_status_is_taken_from_the_report() {
        assert_eq!(status("Sorry. (#5.1.1)"), "5.1.1");
        assert_eq!(status("192.0.2.1 said 4.4.2"), "4.4.2");
        assert_eq!(status("nothing"), "5.0.0");
    }
}
