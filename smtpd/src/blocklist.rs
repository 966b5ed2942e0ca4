//! DNS blocklists (RFC 5782): what is asked, and what the answer means.
//!
//! An address in the answer is a listing only where the zone's code map has it. Everything else is an error and lists
//! nobody: lists answer 127.255.255.x to say that the *asker* is not welcome, and mail servers that took it for a
//! listing have refused all their mail.

mod budget;
mod bureau;
mod desk;
mod former;
mod health;
mod neighbours;
mod shared;
mod verdicts;
mod zones;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

pub use budget::{Advance, Budget, Limit, Worth};
pub use bureau::{Bureau, Life};
pub use desk::{Desk, LookUp, Origin, Plan, VERDICTS_MAX};
pub use health::{Health, Sign};
pub use neighbours::Neighbours;
pub use verdicts::{Client, Said, Verdict, Verdicts};
use zones::Zone;

/// Codes of one answer that are used. No list has as many parts.
const CODES_MAX: usize = 8;

/// One list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocklist {
    zone: Zone,
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

/// What a zone says of whom it lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The zone's words, or ours.
    pub text: Vec<u8>,
    /// By which codes.
    pub codes: Vec<Ipv4Addr>,
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Not listed.
    Clear,
    /// Listed.
    Listed(Listing),
    /// The zone cannot be asked now; nobody is listed. Says why.
    Error(String),
}

impl Blocklist {
    /// A list; without `codes`, those that are known of the zone, or any from 127.0.0.2 to 127.0.0.254.
    pub fn new(zone: &str, action: Action, codes: Option<BTreeMap<Ipv4Addr, String>>) -> Self {
        let zone = Zone::new(zone);
        let codes = codes.unwrap_or_else(|| zones::codes(&zone));
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
        zones::dead(&self.zone)
    }

    /// What follows from a listing.
    pub fn action(&self) -> Action {
        self.action
    }

    /// Queries that a look-up may take: one, and one for the list's text.
    fn queries(&self) -> u64 {
        1 + u64::from(self.terms.text.is_none())
    }

    /// Whether the list is to be asked for its text, by the codes of its answer. That of a refusal nobody reads.
    pub fn wants_text(&self, codes: &[Ipv4Addr]) -> bool {
        self.terms.text.is_none() && codes.iter().any(|code| self.codes.contains_key(code))
    }

    /// The name to ask for, below the zone.
    pub fn query(&self, client: IpAddr) -> String {
        format!("{}.{}", reversed(client), self.zone.asked())
    }

    /// The name to ask for about a domain.
    pub fn domain_query(&self, domain: &str) -> String {
        format!("{domain}.{}", self.zone.asked())
    }

    /// The same name as it may be shown.
    pub fn shown_query(&self, client: IpAddr) -> String {
        format!("{}.{}", reversed(client), self.shown_zone())
    }

    /// The zone as it may be shown: without a key.
    pub fn shown_zone(&self) -> &str {
        self.zone.shown()
    }

    /// What the zone's answer about a client means.
    pub fn judge(&self, client: IpAddr, answer: &ZoneAnswer) -> Finding {
        match answer {
            ZoneAnswer::NotListed => Finding::Clear,
            ZoneAnswer::Failed => Finding::Error("no answer".to_owned()),
            ZoneAnswer::Addresses { codes, text } => self.judge_codes(client, codes, text.as_deref()),
        }
    }

    fn judge_codes(&self, client: IpAddr, given: &[Ipv4Addr], text: Option<&[u8]>) -> Finding {
        let known = given.iter().filter_map(|code| self.codes.get_key_value(code));
        let listed: Vec<(&Ipv4Addr, &String)> = known.take(CODES_MAX).collect();
        let Some((_, name)) = listed.first() else {
            let given = given.iter().take(CODES_MAX).map(ToString::to_string);
            return Finding::Error(given.collect::<Vec<_>>().join(" "));
        };
        let text = match (&self.terms.text, text) {
            (Some(ours), _) => self.zone.without_key(ours.replace("%IP%", &client.to_string()).as_bytes()),
            (None, Some(text)) => self.zone.without_key(text),
            (None, None) => format!("listed as {name} by {}", self.shown_zone()).into_bytes(),
        };
        Finding::Listed(Listing { text, codes: listed.iter().map(|(code, _)| **code).collect() })
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
            for code in ["127.0.1.255", "127.0.2.255", "192.0.2.1", "0.0.0.0"] {
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
    fn every_code_of_a_listing_is_told_and_no_other() {
        let list = Blocklist::new("zen.spamhaus.org", Action::Delay, None);
        let answer = addresses(&["127.0.0.8", "127.0.0.4", "127.0.0.11"], Some("x"));
        let Finding::Listed(listing) = list.judge(CLIENT, &answer) else { unreachable!("it is listed") };
        let told: [Ipv4Addr; 2] = [[127, 0, 0, 4].into(), [127, 0, 0, 11].into()];
        assert_eq!(listing.codes, told);
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
        let (text, codes) = (b"listed as nine by list.example".to_vec(), vec![[127, 0, 0, 9].into()]);
        assert_eq!(listed, Finding::Listed(Listing { text, codes }));
        assert_eq!(list.judge(CLIENT, &ZoneAnswer::Failed), Finding::Error("no answer".into()));
        assert_eq!(list.judge(CLIENT, &ZoneAnswer::NotListed), Finding::Clear);
    }

    #[test]
    fn an_address_is_asked_backwards_and_a_key_is_not_shown() {
        let list = Blocklist::new("KEY.zen.dq.spamhaus.net", Action::Delay, None);
        let client = "198.51.100.7".parse().unwrap();
        assert_eq!(list.query(client), "7.100.51.198.key.zen.dq.spamhaus.net");
        assert_eq!(list.shown_query(client), "7.100.51.198.zen.dq.spamhaus.net");
        let Finding::Listed(listing) = list.judge(client, &addresses(&["127.0.0.2"], Some("see Key.zen")))
        else {
            unreachable!("it is listed")
        };
        assert_eq!(listing.text, b"see ....zen");
        let six = list.shown_query("2001:db8::7".parse().unwrap());
        assert_eq!(six, format!("7.{}8.b.d.0.1.0.0.2.zen.dq.spamhaus.net", "0.".repeat(23)));
    }
}
