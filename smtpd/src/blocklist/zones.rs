//! What is known of lists by name: their codes, which are no more, and which have a customer's key in their name.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;

/// The parts of one list: the last two bytes of a code, and what it is called.
type Codes = &'static [((u8, u8), &'static str)];

const SBL: Codes = &[((0, 2), "sbl"), ((0, 3), "css"), ((0, 9), "drop")];
const XBL: Codes = &[((0, 4), "xbl"), ((0, 5), "xbl"), ((0, 6), "xbl"), ((0, 7), "xbl")];
const PBL: Codes = &[((0, 10), "pbl"), ((0, 11), "pbl")];

/// Of domains; 127.0.1.255 says that an address was asked about.
const DBL: Codes = &[
    ((1, 2), "spam"),
    ((1, 4), "phish"),
    ((1, 5), "malware"),
    ((1, 6), "botnet"),
    ((1, 102), "abused"),
    ((1, 103), "abused"),
    ((1, 104), "abused"),
    ((1, 105), "abused"),
    ((1, 106), "abused"),
];

/// Zones that part their lists by code, and the parts of each.
const KNOWN_CODES: &[(&str, &[Codes])] = &[
    ("zen.spamhaus.org", &[SBL, XBL, PBL]),
    ("sbl-xbl.spamhaus.org", &[SBL, XBL]),
    ("sbl.spamhaus.org", &[SBL]),
    ("xbl.spamhaus.org", &[XBL]),
    ("pbl.spamhaus.org", &[PBL]),
    ("dbl.spamhaus.org", &[DBL]),
    ("bl.spamcop.net", &[&[((0, 2), "spamcop")]]),
    ("b.barracudacentral.org", &[&[((0, 2), "barracuda")]]),
    ("psbl.surriel.com", &[&[((0, 2), "psbl")]]),
];

/// A list of the good: the third byte is a trade, the last one how good. 127.0.0.255 and 127.0.10.x are refusals.
const DNSWL: &str = "list.dnswl.org";

/// Lists that are no more, with all zones below, and what became of them. Some answer nothing, some list everybody since.
const DEAD: &[(&str, &str)] = &[
    ("cbl.abuseat.org", "it is part of xbl.spamhaus.org and zen.spamhaus.org"),
    ("ordb.org", "it ended in 2006"),
    ("dsbl.org", "it ended in 2008"),
    ("rfc-ignorant.org", "it ended in 2012"),
    ("njabl.org", "it ended in 2013"),
    ("ahbl.org", "it ended in 2015, and lists everybody"),
    ("spamcannibal.org", "it ended in 2018"),
    ("emailbasura.org", "it ended by 2019, and its name was sold"),
    ("megarbl.net", "it ended in 2019, and its name was sold"),
    ("dnsbl.inps.de", "it ended in 2020"),
    ("sorbs.net", "it was closed on 2024-06-05"),
    ("dnsbl.manitu.net", "it ended on 2025-01-16"),
];

/// Where a customer's key stands before the zone's name: Spamhaus' Data Query Service (also in the spelling that does not
/// work) and Abusix. It is a password and is not shown.
const KEYED: [&str; 3] = [DATA_QUERY_SERVICE, ".dq.spamhaus.org", ".mail.abusix.zone"];

const DATA_QUERY_SERVICE: &str = ".dq.spamhaus.net";

/// The name of a zone as it is asked, which a customer's key may be a part of.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Zone(String);

impl Zone {
    pub(super) fn new(name: &str) -> Self {
        Zone(name.trim_end_matches('.').to_ascii_lowercase())
    }

    /// With the key. For the name servers alone.
    pub(super) fn asked(&self) -> &str {
        let Zone(name) = self;
        name
    }

    /// Without it.
    pub(super) fn shown(&self) -> &str {
        self.key().map_or(self.asked(), |(_key, rest)| rest)
    }

    /// The key, and the zone behind it.
    fn key(&self) -> Option<(&str, &str)> {
        self.asked().split_once('.').filter(|(_, rest)| KEYED.iter().any(|keyed| rest.ends_with(keyed)))
    }

    /// A text without the key that it may repeat.
    pub(super) fn without_key(&self, text: &[u8]) -> Vec<u8> {
        let Some((key, _)) = self.key().filter(|(key, _)| !key.is_empty()) else {
            return text.to_vec();
        };
        let mut shown = Vec::new();
        let mut rest = text;
        while let Some((first, behind)) = rest.split_first() {
            match rest.split_at_checked(key.len()) {
                Some((same, behind)) if same.eq_ignore_ascii_case(key.as_bytes()) => {
                    shown.extend(b"...");
                    rest = behind;
                }
                _ => {
                    shown.push(*first);
                    rest = behind;
                }
            }
        }
        shown
    }
}

/// A mistake that prints a zone, or a panic, prints no key.
impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shown())
    }
}

/// What is known of a zone; where nothing is, any code from 127.0.0.2 to 127.0.0.254 is a listing.
pub(super) fn codes(zone: &Zone) -> BTreeMap<Ipv4Addr, String> {
    let public = zone.shown().strip_suffix(DATA_QUERY_SERVICE).map(|list| format!("{list}.spamhaus.org"));
    let public = public.as_deref().unwrap_or(zone.shown());
    let code = |third, last| Ipv4Addr::new(127, 0, third, last);
    if public == DNSWL {
        let trades = (2..=20).filter(|trade| *trade != 10);
        let degrees = [(0, "none"), (1, "low"), (2, "medium"), (3, "high")];
        return trades
            .flat_map(|trade| degrees.map(|(degree, name)| (code(trade, degree), name.to_owned())))
            .collect();
    }
    match KNOWN_CODES.iter().find(|(known, _)| *known == public) {
        Some((_, parts)) => {
            let codes = parts.iter().copied().flatten();
            codes.map(|((third, last), name)| (code(*third, *last), (*name).to_owned())).collect()
        }
        None => (2..=254).map(|last| (code(0, last), "listed".to_owned())).collect(),
    }
}

/// Why a zone should not be asked any more, if so.
pub(super) fn dead(zone: &Zone) -> Option<&'static str> {
    let is_below = |name: &&str| {
        zone.asked().strip_suffix(*name).is_some_and(|above| above.is_empty() || above.ends_with('.'))
    };
    DEAD.iter().find(|(name, _)| is_below(name)).map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(zone: &str, code: [u8; 4], name: Option<&str>) {
        assert_eq!(
            codes(&Zone::new(zone)).get(&Ipv4Addr::from(code)).map(String::as_str),
            name,
            "{zone} {code:?}"
        );
    }

    #[test]
    fn a_list_is_parted_as_its_owner_parts_it() {
        check("zen.spamhaus.org", [127, 0, 0, 11], Some("pbl"));
        check("secret.zen.dq.spamhaus.net", [127, 0, 0, 4], Some("xbl"));
        check("secret.dbl.dq.spamhaus.net", [127, 0, 1, 2], Some("spam"));
        check("dbl.spamhaus.org", [127, 0, 1, 255], None);
        check("dbl.spamhaus.org", [127, 0, 0, 2], None);
        check("list.dnswl.org", [127, 0, 5, 3], Some("high"));
        check("list.dnswl.org", [127, 0, 10, 3], None);
        check("list.dnswl.org", [127, 0, 0, 255], None);
        check("list.example", [127, 0, 0, 254], Some("listed"));
    }

    #[test]
    fn a_key_is_taken_out_wherever_it_stands() {
        let check = |zone: &str, text: &str, shown: &str| {
            assert_eq!(Zone::new(zone).without_key(text.as_bytes()), shown.as_bytes(), "{zone} {text}");
        };
        check("secret.zen.dq.spamhaus.net", "SECRET at secret.zen, secre", "... at ....zen, secre");
        check("secret.example.org", "secret", "secret");
        let check = |zone: &str, shown: &str| {
            let zone = Zone::new(zone);
            assert_eq!((zone.shown(), format!("{zone:?}").as_str()), (shown, shown));
        };
        check("Secret.zen.dq.spamhaus.net.", "zen.dq.spamhaus.net");
        check("secret.zen.dq.spamhaus.org", "zen.dq.spamhaus.org");
        check("secret.combined.mail.abusix.zone", "combined.mail.abusix.zone");
        check("zen.dq.spamhaus.net", "zen.dq.spamhaus.net");
        check("secret.example.org", "secret.example.org");
    }

    #[test]
    fn what_is_below_a_list_that_is_no_more_is_no_more_either() {
        let check =
            |zone: &str, is_dead: bool| assert_eq!(dead(&Zone::new(zone)).is_some(), is_dead, "{zone}");
        check("dnsbl.sorbs.net", true);
        check("spam.dnsbl.sorbs.net", true);
        check("ix.dnsbl.manitu.net", true);
        check("relays.ordb.org", true);
        check("notsorbs.net", false);
        check("zen.spamhaus.org", false);
    }
}
