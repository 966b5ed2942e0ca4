//! The message that tells a sender what could not be delivered (RFC 3464, RFC 6522).

use logline::Timestamp;

use crate::mailbox::Mailbox;
use crate::queue::Message;
use crate::session::{Envelope, date};

/// Bytes of the original's header that go back with the bounce. Its body does not: a bounce is not to carry spam.
pub(super) const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Writes the bounce of `message` to its sender; `None` where it has none.
pub(super) fn bounce(
    hostname: &str,
    now: Timestamp,
    message: &Message,
    header: &[u8],
    failures: &[(Mailbox, String)],
) -> Option<(Envelope, Vec<u8>)> {
    let sender = message.envelope.sender.clone()?;
    let boundary = format!("{}.{}/{hostname}", now.nanos(), message.id);
    let mut text = format!(
        "Date: {}\n\
         From: Mail Delivery System <MAILER-DAEMON@{hostname}>\n\
         To: <{sender}>\n\
         Subject: failure notice\n\
         Message-ID: <{}.{}.bounce@{hostname}>\n\
         Auto-Submitted: auto-replied\n\
         MIME-Version: 1.0\n\
         Content-Type: multipart/report; report-type=delivery-status;\n boundary=\"{boundary}\"\n\n",
        date(now),
        now.nanos(),
        message.id,
    );
    text += &format!(
        "--{boundary}\nContent-Type: text/plain; charset=us-ascii\n\n\
         This is the mail server at {hostname}.\n\
         Your message could not be delivered to the addresses below, and nobody will\n\
         try again. The header of your message is at the end.\n"
    );
    for (recipient, report) in failures {
        text += &format!("\n<{recipient}>:\n{}\n", printable(report));
    }
    text += &format!(
        "\n--{boundary}\nContent-Type: message/delivery-status\n\n\
         Reporting-MTA: dns; {hostname}\nArrival-Date: {}\n",
        date(message.envelope.received)
    );
    for (recipient, report) in failures {
        text += &format!(
            "\nFinal-Recipient: rfc822; {recipient}\nAction: failed\nStatus: {}\nDiagnostic-Code: smtp; {}\n",
            status(report),
            printable(report).replace('\n', " ")
        );
    }
    text += &format!("\n--{boundary}\nContent-Type: text/rfc822-headers\n\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(header.get(..header.len().min(HEADER_BYTES_MAX)).unwrap_or_default());
    if bytes.last() != Some(&b'\n') {
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(format!("\n--{boundary}--\n").as_bytes());
    let envelope = Envelope {
        sender: None,
        recipients: vec![sender],
        received: now,
        client: None,
        session: None,
        user: None,
    };
    Some((envelope, bytes))
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

    #[test]
    fn a_bounce_names_who_failed_and_goes_to_the_sender_alone() {
        let envelope = Envelope {
            sender: Some("alice@example.org".parse().unwrap()),
            recipients: Vec::new(),
            received: Timestamp::from_seconds(1_795_262_400),
            client: None,
            session: None,
            user: None,
        };
        let state = State::new(&envelope);
        let mut message = Message { id: MessageId(5), envelope, size_bytes: 0, message_id: None, state };
        let failures =
            [("x@example.com".parse().unwrap(), "192.0.2.1 says:\n550 5.1.1 no\u{1b}[31m".to_owned())];
        let header = b"Subject: secret plan\n";
        let (envelope, text) =
            bounce("mx.example.org", message.envelope.received, &message, header, &failures).unwrap();
        assert_eq!(
            (envelope.sender, envelope.recipients),
            (None, vec!["alice@example.org".parse().unwrap()])
        );
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("\nStatus: 5.1.1\n"), "{text}");
        assert!(text.contains("<x@example.com>:\n192.0.2.1 says:\n550 5.1.1 no?[31m\n"), "{text}");
        assert!(text.contains("Subject: secret plan\n"), "{text}");
        message.envelope.sender = None;
        assert!(bounce("mx", message.envelope.received, &message, b"", &failures).is_none());
    }

    #[test]
    fn the_status_is_taken_from_the_report() {
        assert_eq!(status("Sorry. (#5.1.1)"), "5.1.1");
        assert_eq!(status("192.0.2.1 said 4.4.2"), "4.4.2");
        assert_eq!(status("nothing"), "5.0.0");
    }
}
