//! A delivery as a mail. Pure: what happened and the time in, bytes out.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Zoned;

use crate::hooks::{Delivery, Mail, xarf};

/// A mail has no more reports than this.
const REPORTS_MAX: usize = 50;
/// Base64 in lines as RFC 2045 §6.8 wants them.
const LINE_CHARACTERS: usize = 76;

/// The whole mail, its lines ended by CR LF. `ids` gives names that nothing else has.
pub(super) fn compose(
    mail: &Mail,
    delivery: &Delivery<'_>,
    now: &Zoned,
    mut ids: impl FnMut() -> String,
) -> String {
    let boundary = format!("=_{}", ids());
    let mut letter = String::new();
    let headers = [
        ("From", mail.from.clone()),
        ("To", mail.to.join(", ")),
        ("Subject", subject(delivery)),
        ("Date", now.strftime("%a, %d %b %Y %H:%M:%S %z").to_string()),
        ("Message-ID", format!("<{}@{}>", ids(), delivery.host)),
        // RFC 3834: nobody's holiday notice answers it.
        ("Auto-Submitted", "auto-generated".to_owned()),
        ("MIME-Version", "1.0".to_owned()),
        ("Content-Type", format!("multipart/mixed; boundary=\"{boundary}\"")),
    ];
    for (name, value) in headers {
        let _ = write!(letter, "{name}: {value}\r\n");
    }
    part(&mut letter, &boundary, "text/plain; charset=utf-8", None, text(delivery).as_bytes());
    if let Some(reports) = &mail.reports {
        let reports =
            delivery.events.iter().filter_map(|news| xarf::report(news, reports, &mail.from, &ids()));
        for (number, report) in reports.take(REPORTS_MAX).enumerate() {
            let name = format!("xarf-{}.json", number + 1);
            part(&mut letter, &boundary, "application/json", Some(&name), format!("{report:#}").as_bytes());
        }
    }
    let _ = write!(letter, "\r\n--{boundary}--\r\n");
    letter
}

/// What a list of mails shows. Nothing that a client chose stands in it.
fn subject(delivery: &Delivery<'_>) -> String {
    match delivery.events {
        [news] => format!("postern on {}: {}", delivery.host, news.kind),
        events => format!("postern on {}: {} events", delivery.host, events.len()),
    }
}

fn text(delivery: &Delivery<'_>) -> String {
    let mut text = String::new();
    for news in delivery.events {
        let _ = writeln!(text, "{}  {}", news.at, news.text);
        let Some(ban) = &news.ban else { continue };
        for evidence in &ban.evidence {
            let _ = writeln!(text, "    {}", evidence.line);
        }
        let _ = writeln!(text, "    lift it: banctl unban {}", ban.subject);
    }
    if delivery.lost > 0 {
        let _ = writeln!(text, "{} more happened, for which there was no room", delivery.lost);
    }
    text
}

fn part(letter: &mut String, boundary: &str, kind: &str, name: Option<&str>, body: &[u8]) {
    let disposition = name.map_or("inline".to_owned(), |name| format!("attachment; filename=\"{name}\""));
    let _ = write!(
        letter,
        "\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Disposition: {disposition}\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n"
    );
    let encoded = STANDARD.encode(body);
    for line in encoded.as_bytes().chunks(LINE_CHARACTERS) {
        letter.extend(line.iter().map(|byte| char::from(*byte)));
        letter.push_str("\r\n");
    }
}
