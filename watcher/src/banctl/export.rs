//! The bans in force as other programs read them. Pure: bans in, text out.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ipnet::IpNet;
use logline::Text;

use crate::control::api::{BanView, Bans};
use crate::jail::Mode;

/// A script for `nft -f`.
///
/// It makes a table of its own anew, in one transaction. Each length of prefix has a set, since networks that lie in one
/// another have ends of their own, and a set of intervals holds no two that overlap.
pub(super) fn nft(bans: &Bans) -> String {
    let mut sets: BTreeMap<(Vec<u16>, bool, u8), BTreeMap<IpNet, u64>> = BTreeMap::new();
    for (network, ban) in enforced(bans) {
        let key = (ban.ports.clone(), network.addr().is_ipv6(), network.prefix_len());
        let remaining = sets.entry(key).or_default().entry(network).or_default();
        *remaining = ban.remaining_seconds.max(*remaining);
    }
    let mut script = "#!/usr/sbin/nft -f\n# The bans of postern-watcher.\n".to_owned();
    script += "table inet postern_export\ndelete table inet postern_export\ntable inet postern_export {\n";
    let mut rules = String::new();
    for ((ports, is_v6, length), elements) in &sets {
        let (family, kind, longest) =
            if *is_v6 { ("ip6", "ipv6_addr", 128) } else { ("ip", "ipv4_addr", 32) };
        let tag = ports.iter().fold(String::new(), |tag, port| format!("{tag}_{port}"));
        let name = format!("{family}_{length}{}", if tag.is_empty() { "_all" } else { &tag });
        let flags = if *length == longest { "timeout" } else { "interval,timeout" };
        let _ = writeln!(script, "\tset {name} {{\n\t\ttype {kind}\n\t\tflags {flags}\n\t\telements = {{");
        for (network, remaining) in elements {
            let host = network.prefix_len() == network.max_prefix_len();
            let network = if host { network.addr().to_string() } else { network.to_string() };
            let _ = writeln!(script, "\t\t\t{network} timeout {}s,", remaining.max(&1));
        }
        script += "\t\t}\n\t}\n";
        let listed = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        let ports = if ports.is_empty() { String::new() } else { format!("tcp dport {{ {listed} }} ") };
        let _ = writeln!(rules, "\t\t{ports}{family} saddr @{name} counter drop");
    }
    script += "\tchain input {\n\t\ttype filter hook input priority raw; policy accept;\n";
    script += &rules;
    script += "\t}\n}\n";
    script
}

/// RFC 4180: a heading, a line each.
pub(super) fn csv(bans: &Bans) -> String {
    let mut text = "subject,jail,mode,from,until,before,ports,reason\r\n".to_owned();
    for ban in &bans.bans {
        let ports = ban.ports.iter().map(u16::to_string).collect::<Vec<_>>().join(" ");
        let fields = [
            ban.subject.to_string(),
            ban.jail.clone(),
            ban.mode.name().to_owned(),
            ban.from.clone(),
            ban.until.clone(),
            ban.before.to_string(),
            ports,
            ban.reason.clone().unwrap_or_default(),
        ];
        let fields = fields.map(|field| quoted(&field));
        let _ = write!(text, "{}\r\n", fields.join(","));
    }
    text
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// A `combined` data set of rbldnsd: `rbldnsd … ZONE:combined:FILE`. What RFC 5782 wants to be listed for a test is.
pub(super) fn rbldnsd(bans: &Bans) -> String {
    let (mut v4, mut v6) = (BTreeMap::new(), BTreeMap::new());
    for (network, ban) in enforced(bans) {
        let host = network.prefix_len() == network.max_prefix_len();
        let name = if host { network.addr().to_string() } else { network.to_string() };
        let family = if network.addr().is_ipv6() { &mut v6 } else { &mut v4 };
        family.insert(name, value(&ban.jail));
    }
    let mut text = "# The bans of postern-watcher.\n".to_owned();
    for (kind, test, family) in [("ip4set:v4", "127.0.0.2", v4), ("ip6trie:v6", "::ffff:7f00:2", v6)] {
        let _ = writeln!(text, "$DATASET {kind} @\n:127.0.0.2:banned\n{test} :127.0.0.2:test entry");
        for (name, value) in family {
            let _ = writeln!(text, "{name} :127.0.0.2:{value}");
        }
    }
    text
}

/// A jail's name as the text of an entry, where `$` would be replaced and a line break begin another entry.
fn value(jail: &str) -> String {
    let name = Text::from(jail).readable().to_string().replace(['$', '#'], "_");
    format!("banned by {name}")
}

/// The bans that keep a network out.
fn enforced(bans: &Bans) -> impl Iterator<Item = (IpNet, &BanView)> {
    let enforced = bans.bans.iter().filter(|ban| ban.mode == Mode::Enforce);
    enforced.filter_map(|ban| Some((ban.subject.network()?.net(), ban)))
}
