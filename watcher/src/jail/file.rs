//! A jail's file, `jails/NAME.toml`, and what is made of it.

use std::time::Duration;

use settings::{Document, Table, Text, Value, one_of};
use toml::de::DeValue;

use crate::event::Kind;
use crate::jail::ports::Port;
use crate::jail::{BanTerms, Jail, Mode, Per, Ports, default};

/// Reads a jail; every mistake is noted in `document` at its place, and gives `None` in the end.
pub(super) fn load(name: &str, document: &Document) -> Option<Jail> {
    let root = document.root();
    let about = root.require::<String>("about");
    let on =
        root.require::<Vec<Text<Kind>>>("on").map(|kinds| kinds.into_iter().map(|Text(kind)| kind).collect());
    let on: Option<Vec<Kind>> = on;
    if on.as_ref().is_some_and(Vec::is_empty) {
        root.mistake("on", "a jail that counts no kind of event never does anything");
    }
    let filter = root.get::<String>("filter");
    let per = per(&root);
    let threshold = at_least_one(&root, "threshold");
    let within = positive(&root, "within");
    let distinct = root.get::<String>("distinct");
    let forgive = root.get::<Text<Kind>>("forgive").map(|Text(kind)| kind);
    let mode = root.get_or("mode", Mode::Enforce);
    let ban = match root.table("ban") {
        Some(table) => terms(&table),
        None => {
            root.mistake_at_table("a jail needs a table [ban] that says `for` how long");
            None
        }
    };
    Some(Jail {
        name: name.into(),
        about: about?,
        on: on?,
        filter,
        per: per?,
        threshold: threshold?,
        within: within?,
        distinct,
        forgive,
        mode,
        ban: ban?,
    })
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
    let growth = table.get_or("growth", default::GROWTH);
    if !(1.0..=1000.0).contains(&growth) {
        table.mistake("growth", "a ban grows by a factor from 1.0 (not at all) to 1000.0");
    }
    let max = table.get::<Duration>("max");
    if let (Some(first), Some(max)) = (first, max)
        && max < first
    {
        table.mistake("max", "the longest ban is shorter than the first one");
    }
    let ports = table.get_or("ports", Vec::new()).into_iter().map(|Text::<Port>(port)| port);
    let ports = Ports::of(ports);
    let first = first?;
    Some(BanTerms { first, growth, max: max.unwrap_or(default::MAX.max(first)), ports })
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
