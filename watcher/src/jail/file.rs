//! A jail's file, `jails/NAME.toml`, and what is made of it.

use std::net::Ipv4Addr;
use std::time::Duration;

use settings::{Document, Table, Text, Value, one_of};
use toml::de::DeValue;

use crate::event::Kind;
use crate::jail::ports::Port;
use crate::jail::{
    BanTerms, Certain, Connections, Group, Jail, Method, Mode, Per, Ports, Pressure, Rollup, Shared,
    SharedAction, Window, Word, default,
};

/// So many events of one subject are kept apart, to the millisecond; a larger number is none that anybody reaches.
const THRESHOLD_MAX: u32 = 10_000;

/// No window is longer: a time of day and a day of the month are all that is kept of an event.
const WITHIN_MAX: Duration = Duration::from_secs(45 * 86_400);

/// Reads a jail; every mistake is noted in `document` at its place, and gives `None` in the end.
pub(super) fn load(name: &str, document: &Document) -> Option<Jail> {
    let root = document.root();
    let about = root.require::<String>("about");
    let on = kinds(&root);
    let filter = root.get::<String>("filter");
    let per = per(&root);
    let first = window(&root);
    let also: Vec<Window> = root.tables("also").iter().filter_map(window).collect();
    let method = root.get_or("count", Method::Window);
    let weights = weights(&root);
    let distinct = root.get::<String>("distinct");
    let forgive = root.get::<Text<Kind>>("forgive").map(|Text(kind)| kind);
    let patience = factor(&root, "patience", 1.0);
    let campaign = root.get_or("campaign", Vec::new());
    let (rollup, shared) = (rollup(&root), shared(&root));
    let pressure = root.table("pressure").map(|table| pressure(&table));
    let certain = root.table("certain").map(|table| certain(&table));
    let word = root.get("word");
    // Who asks for less than a ban wants none, unless it says so.
    let mode = root.get_or("mode", if word.is_some() { Mode::Watch } else { Mode::Enforce });
    let ban = match root.table("ban") {
        Some(table) => terms(&table),
        None => {
            root.mistake_at_table("a jail needs a table [ban] that says `for` how long");
            None
        }
    };
    let first = first?;
    let jail = Jail {
        name: name.into(),
        about: about?,
        on: on?,
        filter,
        per: per?,
        threshold: first.threshold,
        within: first.within,
        also,
        method,
        weights,
        distinct,
        forgive,
        patience,
        spare_owner: root.get_or("spare_owner", false),
        campaign,
        rollup,
        shared,
        pressure,
        certain,
        mode,
        word,
        ban: ban?,
    };
    agree(&root, &jail);
    Some(jail)
}

/// Keys that say nothing together.
fn agree(root: &Table<'_>, jail: &Jail) {
    if jail.method == Method::Bucket {
        for key in ["also", "distinct", "forgive", "campaign"] {
            if root.contains(key) {
                root.mistake(
                    key,
                    "a bucket knows how full it is, and not of what; it goes with count = \"window\"",
                );
            }
        }
    }
    if jail.word.is_some() && jail.per == Per::User {
        root.mistake("word", "an account is nobody who connects: set `per` to \"address\" or \"network\"");
    }
    if let Some(certain) = &jail.certain {
        if !jail.on.contains(&Kind::DnsblListed) {
            root.mistake("certain", "it is about listings: on = [\"dnsbl-listed\"]");
        }
        if certain.length > jail.ban.max {
            root.mistake("certain", "its ban is longer than `max` in [ban] lets any be");
        }
    }
    if jail.campaign.is_empty() {
        return;
    }
    if !matches!(jail.per, Per::Network { .. }) {
        root.mistake(
            "campaign",
            "the followers of a campaign are addresses or networks: set `per` to one of them",
        );
    }
    for key in ["distinct", "forgive", "also"] {
        if root.contains(key) {
            root.mistake(key, "a campaign says itself what is different in it");
        }
    }
}

fn kinds(root: &Table<'_>) -> Option<Vec<Kind>> {
    let on = root.require::<Vec<Text<Kind>>>("on")?;
    let on: Vec<Kind> = on.into_iter().map(|Text(kind)| kind).collect();
    if on.is_empty() {
        root.mistake("on", "a jail that counts no kind of event never does anything");
    }
    Some(on)
}

fn window(table: &Table<'_>) -> Option<Window> {
    let threshold = at_least_one(table, "threshold");
    if threshold.is_some_and(|threshold| threshold > THRESHOLD_MAX) {
        table.mistake("threshold", format!("at most {THRESHOLD_MAX}"));
    }
    let within = positive(table, "within");
    if within.is_some_and(|within| within > WITHIN_MAX) {
        table.mistake("within", "at most \"45d\"");
    }
    Some(Window { threshold: threshold?, within: within? })
}

fn weights(root: &Table<'_>) -> Vec<(Kind, u32)> {
    let mut weights = Vec::new();
    for (name, weight) in root.map::<u32>("weights") {
        match name.parse::<Kind>() {
            Ok(kind) => weights.push((kind, weight)),
            Err(error) => root.mistake("weights", error),
        }
    }
    weights
}

/// At least 1: a factor that made less of something would turn its meaning round.
fn factor(table: &Table<'_>, key: &str, default: f64) -> f64 {
    let factor = table.get_or(key, default);
    if !(1.0..=1000.0).contains(&factor) {
        table.mistake(key, "a factor from 1.0 (no difference) to 1000.0");
    }
    factor
}

fn rollup(root: &Table<'_>) -> Rollup {
    let Some(table) = root.table("rollup") else { return Rollup::default() };
    let members = at_least_one(&table, "members").unwrap_or(1);
    let within = table.get_or("within", default::ROLLUP_WITHIN);
    if within.is_zero() || within > WITHIN_MAX {
        table.mistake("within", "longer than nothing and at most \"45d\"");
    }
    let ipv4 = table.get::<u8>("ipv4");
    if ipv4.is_some_and(|bits| !(8..32).contains(&bits)) {
        table.mistake("ipv4", "a network of 8 to 31 leading bits");
    }
    let ipv6 = table.get_or("ipv6", Vec::new());
    let narrowing = ipv6.iter().zip(ipv6.iter().skip(1)).all(|(inner, outer)| outer < inner);
    if !narrowing || ipv6.iter().any(|bits| !(20..=64).contains(bits)) {
        table.mistake("ipv6", "networks of 64 to 20 leading bits, the smallest network first, as [56, 48]");
    }
    Rollup { members, within, ipv4, ipv6 }
}

fn shared(root: &Table<'_>) -> Shared {
    let Some(table) = root.table("shared") else { return Shared::default() };
    let usual = Shared::default();
    let accounts = if table.contains("accounts") { at_least_one(&table, "accounts") } else { None };
    Shared {
        accounts: accounts.unwrap_or(usual.accounts),
        action: table.require("action").unwrap_or(usual.action),
        length: if table.contains("for") { positive(&table, "for") } else { None }.unwrap_or(usual.length),
        ports: ports(&table),
    }
}

fn certain(table: &Table<'_>) -> Certain {
    let lower = |text: String| text.to_ascii_lowercase();
    let list = |key: &str| -> Vec<String> {
        table.get_or(key, Vec::new()).into_iter().map(lower).filter(|text| !text.is_empty()).collect()
    };
    let codes = table
        .map::<Vec<Text<Ipv4Addr>>>("codes")
        .into_iter()
        .map(|(zone, codes)| (lower(zone), codes.into_iter().map(|Text(code)| code).collect()));
    let length = if table.contains("for") { positive(table, "for") } else { None };
    let certain = Certain {
        zones: list("zones"),
        codes: codes.collect(),
        texts: list("texts"),
        length: length.unwrap_or(default::CERTAIN_FOR),
    };
    if certain.zones.is_empty() && certain.codes.is_empty() && certain.texts.is_empty() {
        table.mistake_at_table("it says of no listing that it is certain: `zones`, `codes` or `texts`");
    }
    certain
}

fn pressure(table: &Table<'_>) -> Pressure {
    let threshold = if table.contains("threshold") { at_least_one(table, "threshold") } else { None };
    let rollup = table.get::<f64>("rollup_from");
    if rollup.is_some_and(|from| !(0.0..=1.0).contains(&from)) {
        table.mistake("rollup_from", "pressure is between 0.0 and 1.0");
    }
    let bits = table.get_or("rollup_ipv4", default::NETWORK_IPV4);
    if !(8..32).contains(&bits) {
        table.mistake("rollup_ipv4", "a network of 8 to 31 leading bits");
    }
    Pressure {
        zone: table.get("zone"),
        threshold,
        longer: factor(table, "longer", 1.0),
        rollup: rollup.map(|from| (from, bits)),
    }
}

fn per(root: &Table<'_>) -> Option<Per> {
    let whom = root.get_or("per", Whom::Address);
    let (ipv4, ipv6) = match whom {
        Whom::Address | Whom::UserAndAddress => (default::ADDRESS_IPV4, default::ADDRESS_IPV6),
        Whom::Network => (default::NETWORK_IPV4, default::NETWORK_IPV6),
        Whom::User => {
            for key in ["ipv4", "ipv6"] {
                if root.contains(key) {
                    root.mistake(key, "a user has no address");
                }
            }
            return Some(Per::User);
        }
    };
    let (ipv4, ipv6) = (bits(root, "ipv4", ipv4, 32)?, bits(root, "ipv6", ipv6, 128)?);
    Some(match whom {
        Whom::Address | Whom::Network => Per::Network { ipv4, ipv6 },
        Whom::UserAndAddress => Per::UserAndAddress { ipv4, ipv6 },
        Whom::User => Per::User,
    })
}

/// A prefix shorter than a /8 or a /16 is a slip of the finger, not a subject.
fn bits(root: &Table<'_>, key: &str, default: u8, most: u8) -> Option<u8> {
    let bits = root.get_or(key, default);
    let least = most / 8 + 4;
    if (least..=most).contains(&bits) {
        return Some(bits);
    }
    root.mistake(key, format!("a prefix of {bits} bits; between {least} and {most} there is sense"));
    None
}

fn terms(table: &Table<'_>) -> Option<BanTerms> {
    let first = positive(table, "for");
    let growth = factor(table, "growth", default::GROWTH);
    let multipliers = table.get_or("multipliers", Vec::new());
    if multipliers.iter().any(|times| !(1.0..=1e6).contains(times)) {
        table.mistake("multipliers", "factors from 1.0 to 1000000.0");
    }
    let max = table.get::<Duration>("max");
    if let (Some(first), Some(max)) = (first, max)
        && max < first
    {
        table.mistake("max", "the longest ban is shorter than the first one");
    }
    let memory = table.get_or("memory", default::MEMORY);
    if memory > default::MEMORY {
        table.mistake("memory", "a former ban is remembered for 30 days at most");
    }
    let decay = if table.contains("decay") { positive(table, "decay") } else { None };
    let (spread, overall) = (table.get_or("spread", Duration::ZERO), table.get_or("overall", false));
    let connections = table.get_or("connections", Connections::default());
    let (ports, first) = (ports(table), first?);
    let max = max.unwrap_or(default::MAX.max(first));
    Some(BanTerms { first, growth, multipliers, max, ports, memory, decay, spread, overall, connections })
}

fn ports(table: &Table<'_>) -> Ports {
    Ports::of(table.get_or("ports", Vec::new()).into_iter().map(|Text::<Port>(port)| port))
}

fn at_least_one(table: &Table<'_>, key: &str) -> Option<u32> {
    let number = table.require::<u32>(key)?;
    if number == 0 {
        table.mistake(key, "at least 1: with 0 everybody would be banned who never did anything");
    }
    Some(number)
}

fn positive(table: &Table<'_>, key: &str) -> Option<Duration> {
    let duration = table.require::<Duration>(key)?;
    if duration.is_zero() {
        table.mistake(key, "longer than nothing, as in \"10m\"");
    }
    Some(duration)
}

#[derive(Clone, Copy)]
enum Whom {
    Address,
    Network,
    User,
    UserAndAddress,
}

impl Value for Whom {
    const EXPECTED: &'static str = "\"address\", \"network\", \"user\" or \"user+address\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        one_of(
            value,
            &[
                ("address", Whom::Address),
                ("network", Whom::Network),
                ("user", Whom::User),
                ("user+address", Whom::UserAndAddress),
            ],
        )
    }
}

impl Value for Mode {
    const EXPECTED: &'static str = "\"enforce\" or \"watch\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        one_of(value, &[("enforce", Mode::Enforce), ("watch", Mode::Watch)])
    }
}

impl Value for Word {
    const EXPECTED: &'static str = "\"slow\" or \"auth-only\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        one_of(value, &[("slow", Word::Slow), ("auth-only", Word::AuthOnly)])
    }
}

impl Value for Method {
    const EXPECTED: &'static str = "\"window\" or \"bucket\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        one_of(value, &[("window", Method::Window), ("bucket", Method::Bucket)])
    }
}

impl Value for Connections {
    const EXPECTED: &'static str = "\"end\" or \"keep\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        one_of(value, &[("end", Connections::End), ("keep", Connections::Keep)])
    }
}

impl Value for Group {
    const EXPECTED: &'static str = "\"user\" or \"password\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        one_of(value, &[("user", Group::User), ("password", Group::Password)])
    }
}

impl Value for SharedAction {
    const EXPECTED: &'static str = "\"ban\", \"narrow\" or \"ask\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let actions =
            [("ban", SharedAction::Ban), ("narrow", SharedAction::Narrow), ("ask", SharedAction::Ask)];
        one_of(value, &actions)
    }
}
