//! `[[dnsbl]]`: a blocklist, and how it is used.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use settings::{DeValue, Located, Table, TimeOfDay, Value, one_of};

use super::Domain;
use super::control::Control;
use crate::blocklist::{Action, Blocklist, Limit, Terms};

/// `[[dnsbl]] neighbours`, where there is a limit
pub const NEIGHBOURS: u32 = 2;
/// `[[dnsbl]] period`
pub const DNSBL_PERIOD: Duration = Duration::from_secs(86_400);

/// `[[dnsbl]]`, each list once: what it said of a client is remembered by its name.
pub(super) fn blocklists(tables: &[Table<'_>]) -> Vec<Blocklist> {
    let mut lists: Vec<Blocklist> = Vec::new();
    for table in tables {
        match blocklist(table) {
            Some(list) if lists.iter().any(|other| other.shown_zone() == list.shown_zone()) => {
                table.mistake("zone", "this list stands above already");
            }
            list => lists.extend(list),
        }
    }
    lists
}

fn blocklist(table: &Table<'_>) -> Option<Blocklist> {
    let zone = table.require::<ZoneName>("zone");
    let action = table.get_or("action", Action::Delay);
    let codes = table.contains("codes").then(|| codes(table));
    let terms = terms(table);
    let ZoneName(zone) = zone?;
    Some(Blocklist::new(&zone, action, codes).with_terms(terms))
}

/// `[[rhsbl]]`: a list of domains. It has no budget: it is asked about senders only, whose client no other list has.
pub(super) fn domain_list(table: &Table<'_>) -> Option<Blocklist> {
    let zone = table.require::<ZoneName>("zone");
    let action = table.get_or("action", Action::Delay);
    let codes = table.contains("codes").then(|| codes(table));
    let terms = Terms { text: table.get("text"), ..Terms::default() };
    let ZoneName(zone) = zone?;
    Some(Blocklist::new(&zone, action, codes).with_terms(terms))
}

/// The lists of qmail's `dnsbllist`: `ZONE`, `ZONE:TEXT` or `ZONE:-TEXT`, with `-` (553), `+` (the good) or `=` (look
/// only) in front. Of a list that is named twice the first line counts.
pub(super) fn of_control(control: &Control) -> Vec<Blocklist> {
    let lines = control.lines("dnsbllist").unwrap_or_default();
    let read = |(n, line): (usize, String)| {
        let (zone, text) = match line.split_once(':') {
            Some((zone, text)) => (zone, Some(text)),
            None => (line.as_str(), None),
        };
        let (text, refuses) = match text.map(|text| (text, text.strip_prefix('-'))) {
            Some((_, Some(text))) => (Some(text), true),
            Some((text, None)) => (Some(text), false),
            None => (None, false),
        };
        let (action, zone) = match zone.split_at_checked(1) {
            Some(("+", zone)) => (Action::Accept, zone),
            Some(("=", zone)) => (Action::Ignore, zone),
            Some(("-", zone)) => (Action::Reject, zone),
            _ if refuses => (Action::Reject, zone),
            _ => (Action::Delay, zone),
        };
        match zone.parse::<Domain>() {
            Ok(Domain(zone)) => {
                let terms = Terms { text: text.map(str::to_owned), ..Terms::default() };
                Some(Blocklist::new(&zone, action, None).with_terms(terms))
            }
            Err(error) => {
                control.mistake("dnsbllist", n, error.to_owned());
                None
            }
        }
    };
    let mut lists: Vec<Blocklist> = Vec::new();
    for list in lines.into_iter().filter_map(read) {
        if lists.iter().all(|other| other.shown_zone() != list.shown_zone()) {
            lists.push(list);
        }
    }
    lists
}

fn terms(table: &Table<'_>) -> Terms {
    let usual = Terms::default();
    let period = table.get_or("period", DNSBL_PERIOD);
    if period < Duration::from_secs(1) {
        table.mistake("period", "expected a second or more");
    }
    let reset = table.get::<TimeOfDay>("reset").map_or(Duration::ZERO, |TimeOfDay(reset)| reset);
    let limit = table.get("limit").map(|queries| Limit { queries, period, reset });
    if limit.is_none() {
        for key in ["period", "reset"].into_iter().filter(|key| table.contains(key)) {
            table.mistake(key, "it says nothing without a limit");
        }
    }
    Terms {
        limit,
        listed_for: table.get_or("listed_for", usual.listed_for),
        passed_for: table.get_or("passed_for", usual.passed_for),
        known_for: table.get_or("known_for", usual.known_for),
        passed_for_max: table.get_or("passed_for_max", usual.passed_for_max),
        text: table.get("text"),
        // Who counts queries wants them saved; who does not wants no newcomer to wait.
        neighbours: table.get_or("neighbours", if limit.is_some() { NEIGHBOURS } else { usual.neighbours }),
    }
}

/// Error answers of the lists cannot be made listings by mistake.
fn codes(table: &Table<'_>) -> BTreeMap<Ipv4Addr, String> {
    let mut codes = BTreeMap::new();
    for (code, Located { value: name, place }) in table.map::<Located<String>>("codes") {
        match code.parse::<Ipv4Addr>() {
            Ok(code) if matches!(code.octets(), [127, a, _, _] if a != 255) => {
                codes.insert(code, name);
            }
            Ok(_) | Err(_) => table.document().mistake_at(
                place,
                format!("{code:?} is no code of a listing: it must be an address in 127.0.0.0/8 and not in 127.255.0.0/16"),
            ),
        }
    }
    codes
}

/// The name of a zone. A mistake in it is not told with the name, because a customer's key may be a part of it.
struct ZoneName(String);

impl Value for ZoneName {
    const EXPECTED: &'static str = "the name of a zone such as \"list.example.org\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let name = value.as_str().and_then(|name| name.parse().ok());
        name.map(|Domain(name)| ZoneName(name)).ok_or_else(|| format!("expected {}", Self::EXPECTED))
    }
}

impl Value for Action {
    const EXPECTED: &'static str = "\"delay\", \"reject\", \"accept\" or \"ignore\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        one_of(
            value,
            &[
                ("delay", Action::Delay),
                ("reject", Action::Reject),
                ("accept", Action::Accept),
                ("ignore", Action::Ignore),
            ],
        )
    }
}
