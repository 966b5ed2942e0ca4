//! DNS blocklists (RFC 5782): what is asked, and what the answer means.
//!
//! An address in the answer is a listing only where the zone's code map has it. Everything else is an error and lists
//! nobody: lists answer 127.255.255.x to say that the *asker* is not welcome, and mail servers that took it for a
//! listing have refused all their mail.

mod budget;
mod bureau;
mod desk;
mod health;
mod memory;
mod neighbours;
mod verdicts;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

pub use budget::{Budget, Limit, Worth};
pub use bureau::Bureau;
pub use desk::{Desk, LookUp, Origin, Plan, VERDICTS_MAX};
pub use health::{Health, Sign};
pub use neighbours::Neighbours;
pub use verdicts::{Client, Said, Verdict, Verdicts};

/// One list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocklist {
    zone: String,
    action: Action,
    codes: BTreeMap<Ipv4Addr, String>,
    terms: Terms,
}

/// How a list is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How many queries it allows; none where it does not say.
    pub limit: Option<Limit>,
    /// How long a listing is remembered.
    pub listed_for: Duration,
    /// How long it is remembered at first that there was none; each time that it is confirmed, twice as long.
    pub passed_for: Duration,
    /// But no longer than this.
    pub passed_for_max: Duration,
    /// How long a client of which mail was accepted is not asked about.
    pub known_for: Duration,
    /// What is said to a listed client, `%IP%` being its address; without it the list is asked for its own text.
    pub text: Option<String>,
    /// A newcomer with so many listed neighbours is put off, and asked about when it comes again; 0: never.
    pub neighbours: u32,
}

impl Default for Terms {
    fn default() -> Self {
        let hour = Duration::from_secs(3600);
        Terms {
            limit: None,
            listed_for: 24 * hour,
            passed_for: hour,
            passed_for_max: 24 * hour,
            known_for: 24 * hour,
            text: None,
            neighbours: 0,
        }
    }
}

/// What follows from a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// 451: come again when you are off the list.
    Delay,
    /// 553: go away.
    Reject,
    /// It is a list of the good: no other is asked.
    Accept,
    /// Nothing; it stands in the journal.
    Ignore,
}

/// What a name server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZoneAnswer {
    /// There is no such name.
    NotListed,
    /// These addresses, and the text that stands beside them.
    Addresses {
        /// The codes.
        codes: Vec<Ipv4Addr>,
        /// What the list says to the person who looks.
        text: Option<Vec<u8>>,
    },
    /// Nothing that could be used.
    Failed,
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Not listed.
    Clear,
    /// Listed, with the zone's words or ours.
    Listed(Vec<u8>),
    /// The zone cannot be asked now; nobody is listed. Says why.
    Error(String),
}

/// Codes of zones that part their lists by code.
const KNOWN_CODES: &[(&str, &[(u8, &str)])] = &[
    (
        "zen.spamhaus.org",
        &[
            (2, "sbl"),
            (3, "css"),
            (4, "xbl"),
            (5, "xbl"),
            (6, "xbl"),
            (7, "xbl"),
            (9, "drop"),
            (10, "pbl"),
            (11, "pbl"),
        ],
    ),
    ("sbl.spamhaus.org", &[(2, "sbl"), (3, "css"), (9, "drop")]),
    ("xbl.spamhaus.org", &[(4, "xbl"), (5, "xbl"), (6, "xbl"), (7, "xbl")]),
    (
        "sbl-xbl.spamhaus.org",
        &[(2, "sbl"), (3, "css"), (4, "xbl"), (5, "xbl"), (6, "xbl"), (7, "xbl"), (9, "drop")],
    ),
    ("pbl.spamhaus.org", &[(10, "pbl"), (11, "pbl")]),
    ("bl.spamcop.net", &[(2, "spamcop")]),
    ("b.barracudacentral.org", &[(2, "barracuda")]),
    ("psbl.surriel.com", &[(2, "psbl")]),
];

/// Lists that are no more, and since when. Some answer nothing, some one day list everybody.
const DEAD_ZONES: &[(&str, &str)] = &[
    ("cbl.abuseat.org", "it is part of xbl.spamhaus.org and zen.spamhaus.org"),
    ("dsbl.org", "it ended in 2008"),
    ("list.dsbl.org", "it ended in 2008"),
    ("multihop.dsbl.org", "it ended in 2008"),
    ("unconfirmed.dsbl.org", "it ended in 2008"),
    ("dnsbl.sorbs.net", "it was closed on 2024-06-05"),
    ("dul.dnsbl.sorbs.net", "it was closed on 2024-06-05"),
    ("rhsbl.sorbs.net", "it was closed on 2024-06-05"),
    ("spam.dnsbl.sorbs.net", "it was closed on 2024-06-05"),
];

/// Where a key of Spamhaus' Data Query Service stands before the zone's name. It is a password and is not shown.
const KEYED_ZONES: &str = ".dq.spamhaus.net";

impl Blocklist {
    /// A list; without `codes`, those that are known of the zone, or any from 127.0.0.2 to 127.0.0.254.
    pub fn new(zone: &str, action: Action, codes: Option<BTreeMap<Ipv4Addr, String>>) -> Self {
        let zone = zone.to_ascii_lowercase();
        let codes = codes.unwrap_or_else(|| known_codes(&zone));
        Blocklist { zone, action, codes, terms: Terms::default() }
    }

    /// The same list, used in another way.
    #[must_use]
    pub fn with_terms(self, terms: Terms) -> Self {
        Blocklist { terms, ..self }
    }

    /// How it is used.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Why it should not be used any more, if so.
    pub fn dead(&self) -> Option<&'static str> {
        DEAD_ZONES.iter().find(|(zone, _)| *zone == self.zone).map(|(_, why)| *why)
    }

    /// What follows from a listing.
    pub fn action(&self) -> Action {
        self.action
    }

    /// The name to ask for, below the zone.
    pub fn query(&self, client: IpAddr) -> String {
        format!("{}.{}", reversed(client), self.zone)
    }

    /// The name to ask for about a domain.
    pub fn domain_query(&self, domain: &str) -> String {
        format!("{domain}.{}", self.zone)
    }

    /// The same name as it may be shown.
    pub fn shown_query(&self, client: IpAddr) -> String {
        format!("{}.{}", reversed(client), self.shown_zone())
    }

    /// The zone as it may be shown: without a key.
    pub fn shown_zone(&self) -> &str {
        match self.zone.split_once('.') {
            Some((_key, rest)) if self.zone.ends_with(KEYED_ZONES) => rest,
            _ => &self.zone,
        }
    }

    /// What the zone's answer about a client means.
    pub fn judge(&self, client: IpAddr, answer: &ZoneAnswer) -> Finding {
        match answer {
            ZoneAnswer::NotListed => Finding::Clear,
            ZoneAnswer::Failed => Finding::Error("no answer".to_owned()),
            ZoneAnswer::Addresses { codes, text } => match codes.iter().find_map(|code| self.codes.get(code))
            {
                Some(name) => Finding::Listed(match (&self.terms.text, text) {
                    (Some(ours), _) => ours.replace("%IP%", &client.to_string()).into_bytes(),
                    (None, Some(text)) => text.clone(),
                    (None, None) => format!("listed as {name} by {}", self.shown_zone()).into_bytes(),
                }),
                None => Finding::Error(codes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")),
            },
        }
    }
}

fn known_codes(zone: &str) -> BTreeMap<Ipv4Addr, String> {
    let keyed = zone.strip_suffix(KEYED_ZONES).and_then(|zone| zone.split_once('.')).map(|(_, list)| list);
    let public = keyed.map(|list| format!("{list}.spamhaus.org"));
    let public = public.as_deref().unwrap_or(zone);
    let code = |last| Ipv4Addr::new(127, 0, 0, last);
    match KNOWN_CODES.iter().find(|(known, _)| *known == public) {
        Some((_, codes)) => codes.iter().map(|(last, name)| (code(*last), (*name).to_owned())).collect(),
        None => (2..=254).map(|last| (code(last), "listed".to_owned())).collect(),
    }
}

fn reversed(client: IpAddr) -> String {
    match client {
        IpAddr::V4(client) => {
            let [a, b, c, d] = client.octets();
            format!("{d}.{c}.{b}.{a}")
        }
        IpAddr::V6(client) => {
            let nibbles = client.octets().into_iter().rev().flat_map(|byte| [byte & 15, byte >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}")).collect::<Vec<_>>().join(".")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));

    fn addresses(codes: &[&str], text: Option<&str>) -> ZoneAnswer {
        let codes = codes.iter().map(|code| code.parse().unwrap()).collect();
        ZoneAnswer::Addresses { codes, text: text.map(|text| text.as_bytes().to_vec()) }
    }

    #[track_caller]
    fn check(zone: &str, codes: &[&str], listed: bool) {
        let list = Blocklist::new(zone, Action::Delay, None);
        let found = matches!(list.judge(CLIENT, &addresses(codes, None)), Finding::Listed(_));
        assert_eq!(found, listed, "{zone} {codes:?}");
    }

    #[test]
    fn an_error_code_is_never_a_listing() {
        for zone in ["zen.spamhaus.org", "list.example", "key.zen.dq.spamhaus.net"] {
            for code in ["127.255.255.252", "127.255.255.254", "127.255.255.255", "127.0.0.1", "127.0.0.255"]
            {
                check(zone, &[code], false);
            }
            for code in ["127.0.1.255", "192.0.2.1", "0.0.0.0"] {
                check(zone, &[code], false);
            }
            check(zone, &[], false);
            check(zone, &["127.0.0.4"], true);
            check(zone, &["127.255.255.254", "127.0.0.2"], true);
        }
        check("zen.spamhaus.org", &["127.0.0.8"], false);
        check("list.example", &["127.0.0.254"], true);
    }

    #[test]
    fn the_codes_of_the_settings_are_the_only_ones() {
        let codes = BTreeMap::from([([127, 0, 0, 9].into(), "nine".to_owned())]);
        let list = Blocklist::new("list.example", Action::Reject, Some(codes));
        assert_eq!(
            list.judge(CLIENT, &addresses(&["127.0.0.2"], Some("x"))),
            Finding::Error("127.0.0.2".into())
        );
        let listed = list.judge(CLIENT, &addresses(&["127.0.0.9"], None));
        assert_eq!(listed, Finding::Listed(b"listed as nine by list.example".to_vec()));
        assert_eq!(list.judge(CLIENT, &ZoneAnswer::Failed), Finding::Error("no answer".into()));
        assert_eq!(list.judge(CLIENT, &ZoneAnswer::NotListed), Finding::Clear);
    }

    #[test]
    fn an_address_is_asked_backwards_and_a_key_is_not_shown() {
        let list = Blocklist::new("KEY.zen.dq.spamhaus.net", Action::Delay, None);
        let client = "198.51.100.7".parse().unwrap();
        assert_eq!(list.query(client), "7.100.51.198.key.zen.dq.spamhaus.net");
        assert_eq!(list.shown_query(client), "7.100.51.198.zen.dq.spamhaus.net");
        let six = list.shown_query("2001:db8::7".parse().unwrap());
        assert_eq!(six, format!("7.{}8.b.d.0.1.0.0.2.zen.dq.spamhaus.net", "0.".repeat(23)));
    }
}
