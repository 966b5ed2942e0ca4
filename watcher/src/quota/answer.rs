//! What a blocklist answered, as far as the log tells: which zone it was, and whether the answer is one.

use std::net::{IpAddr, Ipv4Addr};

use crate::event::Event;
use crate::jail::Certain;

/// What lists say instead of an answer, in the text that goes with it, in lower case.
const REFUSALS: &[&[u8]] = &[
    b"127.255.255.",
    b"returnc/",
    b"query refused",
    b"excessive",
    b"open resolver",
    b"public resolver",
    b"query limit",
];

/// A label that is longer is a customer's key, and is nobody's business.
const KEY_LABEL: usize = 16;

/// The zone that an event names; none where it names none that could be one.
pub(crate) fn zone(event: &Event<'_>) -> Option<String> {
    let named = event.field("zone").map(<[u8]>::to_vec);
    let asked = || event.field("query").and_then(|query| after_address(query, event.address));
    let zone = String::from_utf8(named.or_else(asked)?).ok()?.to_ascii_lowercase();
    let zone = zone.trim_end_matches('.');
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let fits = zone.len() <= 253 && zone.contains('.') && zone.split('.').all(is_label);
    fits.then(|| without_key(zone).to_owned())
}

/// A data query service has the customer's key before its zone.
pub(crate) fn without_key(zone: &str) -> &str {
    match zone.split_once('.') {
        Some((key, rest)) if key.len() >= KEY_LABEL && rest.contains('.') => rest,
        Some(_) | None => zone,
    }
}

/// What stands after the reversed address in the name that was asked.
fn after_address(query: &[u8], address: Option<IpAddr>) -> Option<Vec<u8>> {
    let labels = match address.map(|address| address.to_canonical()) {
        Some(IpAddr::V6(_)) => 32,
        Some(IpAddr::V4(_)) | None => 4,
    };
    let rest = query.splitn(labels + 1, |byte| *byte == b'.').nth(labels)?;
    Some(rest.to_vec())
}

/// Whether a zone that the configuration names is the one that a text is about, which names a page of its site.
pub(super) fn is_about(zone: &str, event: &Event<'_>) -> bool {
    let labels: Vec<&str> = zone.rsplit('.').take(2).collect();
    let [top, site] = labels.as_slice() else { return false };
    let site = format!("{site}.{top}").to_ascii_lowercase();
    texts(event).any(|text| contains(&text, site.as_bytes()))
}

/// Whether what looks like a listing is the list's refusal to answer; in which words.
pub(crate) fn refusal(event: &Event<'_>) -> Option<String> {
    let is_bad = |address: &Ipv4Addr| {
        let [first, second, third, last] = address.octets();
        first != 127 || (second == 255 && third == 255) || (second == 0 && third == 0 && last == 1)
    };
    let by_code = codes(event).into_iter().find(is_bad).map(|address| address.to_string());
    by_code.or_else(|| {
        let text = texts(event).find(|text| REFUSALS.iter().any(|refusal| contains(text, refusal)))?;
        let shown: Vec<u8> = text.into_iter().take(120).collect();
        Some(logline::Text::from(shown).readable().to_string())
    })
}

/// Whether a listing is among those that leave no doubt. The answer says so where the log has it; else the zone, or the
/// words of its text, by which the lists that are parts of it are told apart.
pub(crate) fn is_certain(certain: &Certain, event: &Event<'_>) -> bool {
    let zone = zone(event);
    let named = |name: &String| zone.as_ref() == Some(name);
    if certain.zones.iter().any(named) {
        return true;
    }
    let told = codes(event);
    if told.is_empty() {
        return texts(event).any(|text| certain.texts.iter().any(|words| contains(&text, words.as_bytes())));
    }
    // An address may be on several parts of a list; one that leaves no doubt is enough.
    let listed = certain.codes.iter().filter(|(zone, _)| named(zone));
    listed.flat_map(|(_, codes)| codes).any(|code| told.contains(code))
}

/// The codes that the list answered with, where the log tells them.
fn codes(event: &Event<'_>) -> Vec<Ipv4Addr> {
    let answer = event.field("answer").and_then(|answer| std::str::from_utf8(answer).ok());
    answer.into_iter().flat_map(|codes| codes.split(',')).filter_map(|code| code.parse().ok()).collect()
}

/// The texts of a list, in lower case.
fn texts<'e>(event: &'e Event<'_>) -> impl Iterator<Item = Vec<u8>> + 'e {
    let fields = ["message", "text", "reason"].into_iter();
    fields.filter_map(|name| event.field(name)).map(<[u8]>::to_ascii_lowercase)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}

#[cfg(test)]
mod tests {
    use logline::{Text, Timestamp};

    use super::*;
    use crate::event::Kind;

    fn event<'a>(address: &str, fields: &[(&'a str, &'a str)]) -> Event<'a> {
        let fields = fields.iter().map(|(name, value)| (*name, Text::from(*value))).collect();
        let (kind, at) = (Kind::DnsblListed, Timestamp::from_seconds(0));
        Event { kind, at, address: address.parse().ok(), weight: 1, fields, line: b"x" }
    }

    #[track_caller]
    fn check_zone(address: &str, field: (&str, &str), expected: Option<&str>) {
        assert_eq!(zone(&event(address, &[field])).as_deref(), expected);
    }

    #[test]
    fn the_zone_stands_after_the_address() {
        check_zone("198.51.100.7", ("query", "7.100.51.198.zen.spamhaus.org"), Some("zen.spamhaus.org"));
        check_zone("198.51.100.7", ("zone", "BL.SpamCop.net."), Some("bl.spamcop.net"));
        let nibbles = "0.".repeat(32);
        let query = format!("{nibbles}list.example");
        check_zone("2001:db8::", ("query", &query), Some("list.example"));
        check_zone("198.51.100.7", ("query", "7.100.51.198"), None);
        check_zone("198.51.100.7", ("query", "7.100.51.198.a b.example"), None);
    }

    #[test]
    fn a_customers_key_is_left_out() {
        let query = "7.100.51.198.abcdefghijklmnopqrstuvwxyz.zen.dq.spamhaus.net";
        check_zone("198.51.100.7", ("query", query), Some("zen.dq.spamhaus.net"));
    }

    #[track_caller]
    fn check_certain(message: &str, expected: bool) {
        let jails = crate::jail::Jails::read(None).unwrap();
        let certain = jails.find("dnsbl-listed").unwrap().1.certain.clone().unwrap();
        let field = ("message", message);
        assert_eq!(is_certain(&certain, &event("198.51.100.7", &[field])), expected, "{message}");
    }

    #[test]
    fn the_words_of_a_list_tell_its_parts_apart() {
        check_certain("Listed by XBL, see https://check.spamhaus.org/query/ip/198.51.100.7", true);
        check_certain("Listed by PBL, see https://check.spamhaus.org/query/ip/198.51.100.7", true);
        check_certain("listed as pbl by zen.spamhaus.org", true);
        check_certain("http://www.spamhaus.org/query/bl?ip=198.51.100.7", true);
        check_certain("Listed by CSS, see https://check.spamhaus.org/query/ip/198.51.100.7", false);
        check_certain("Listed by SBL, see https://check.spamhaus.org/sbl/query/SBL2", false);
        check_certain("https://www.spamhaus.org/sbl/query/SBLCSS", false);
        check_certain("Blocked - see https://www.spamcop.net/bl.shtml?198.51.100.7", false);
        check_certain("", false);
    }

    #[test]
    fn the_code_says_it_exactly_whatever_the_text_is() {
        let jails = crate::jail::Jails::read(None).unwrap();
        let certain = jails.find("dnsbl-listed").unwrap().1.certain.clone().unwrap();
        let check = |zone: &str, answer: &str, expected| {
            let fields = [("zone", zone), ("answer", answer), ("message", "listed as xbl by")];
            assert_eq!(is_certain(&certain, &event("198.51.100.7", &fields)), expected, "{zone} {answer}");
        };
        check("zen.spamhaus.org", "127.0.0.4", true);
        check("zen.spamhaus.org", "127.0.0.2", false);
        check("zen.spamhaus.org", "127.0.0.3,127.0.0.11", true);
        check("list.example", "127.0.0.4", false);
    }

    #[track_caller]
    fn check_refusal(field: (&str, &str), refused: bool) {
        assert_eq!(refusal(&event("198.51.100.7", &[field])).is_some(), refused, "{field:?}");
    }

    #[test]
    fn a_refusal_to_answer_is_no_listing() {
        check_refusal(("message", "https://www.spamhaus.org/query/ip/198.51.100.7"), false);
        check_refusal(
            ("message", "Error: open resolver; https://check.spamhaus.org/returnc/pub/192.0.2.1"),
            true,
        );
        check_refusal(("text", "127.255.255.255 excessive number of queries"), true);
        check_refusal(("message", "127.0.0.1 -> Query Refused. See http://uribl.com/refused.shtml"), true);
        check_refusal(("answer", "127.0.0.4"), false);
        check_refusal(("answer", "127.0.0.1"), true);
        check_refusal(("answer", "127.255.255.254"), true);
        check_refusal(("answer", "127.0.0.2,127.255.255.254"), true);
        check_refusal(("answer", "203.0.113.5"), true);
    }
}
