//! `firewall` and the keys about it: what keeps the banned out, and in what manner.

use settings::{DeValue, Table, Value, one_of};

use crate::firewall::{self, Manner, Programs, Treatment};

/// What keeps the banned out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirewallKind {
    /// The kernel's nftables; `action` and `ingress` say in what manner.
    Nftables(Manner),
    /// Nothing: it is only told what would be.
    DryRun,
    /// Programs: `[command] ban` is run for bans, `[command] unban` for their ends.
    Command(Programs),
}

/// What becomes of the bans when the watcher is stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnStop {
    /// They stay in force until they end.
    #[default]
    Keep,
    /// They are taken out of the firewall, and put back at the next start.
    Flush,
}

/// The words that `firewall` may be.
#[derive(Clone, Copy)]
enum FirewallName {
    Nftables,
    DryRun,
    Command,
}

/// None where it is wrong, which was noted.
pub(super) fn read(root: &Table<'_>) -> Option<FirewallKind> {
    let name = root.get_or("firewall", FirewallName::Nftables);
    let argv = |table: &Table<'_>, key| table.require::<Vec<String>>(key);
    let manner = manner(root);
    if !matches!(name, FirewallName::Nftables) && manner != Manner::default() {
        root.mistake("firewall", "`action` and `ingress` are for firewall = \"nftables\"");
    }
    match (name, root.table("command")) {
        (FirewallName::Nftables, None) => Some(FirewallKind::Nftables(manner)),
        (FirewallName::DryRun, None) => Some(FirewallKind::DryRun),
        (FirewallName::Command, Some(table)) => {
            let (ban, unban) = (argv(&table, "ban"), argv(&table, "unban"));
            // They are known keys, whatever is wrong with the others.
            let _known = (table.contains("ban_line"), table.contains("unban_line"));
            let (ban, unban) = (ban?, unban?);
            let line = |key| table.get::<String>(key);
            let (ban_line, unban_line) = (line("ban_line"), line("unban_line"));
            match Programs::parse((&ban, ban_line.as_deref()), (&unban, unban_line.as_deref())) {
                Ok(programs) => Some(FirewallKind::Command(programs)),
                Err(wrong) => {
                    wrong.into_iter().for_each(|(which, why)| table.mistake(which, why));
                    None
                }
            }
        }
        (FirewallName::Command, None) => {
            root.mistake("firewall", "a table [command] with `ban` and `unban` says which programs are run");
            None
        }
        (FirewallName::Nftables | FirewallName::DryRun, Some(table)) => {
            // They are known keys, in the wrong company.
            let _known = ["ban", "unban", "ban_line", "unban_line"].map(|key| table.contains(key));
            table.mistake_at_table("[command] is for firewall = \"command\"");
            None
        }
    }
}

/// How nftables keeps the banned out.
fn manner(root: &Table<'_>) -> Manner {
    let treatment = root.get_or("action", Treatment::default());
    let ingress = root.get_or("ingress", Vec::<String>::new());
    if let Some(wrong) = ingress.iter().find(|name| !firewall::is_device(name)) {
        root.mistake("ingress", format!("{wrong:?} is no network device, as \"eth0\" is one"));
    }
    if ingress.len() > firewall::DEVICES_MAX {
        root.mistake("ingress", format!("no more than {} devices", firewall::DEVICES_MAX));
    }
    if !ingress.is_empty() && treatment == Treatment::Reject {
        root.mistake("ingress", "what is dropped so early cannot be answered: action must be \"drop\"");
    }
    Manner { treatment, ingress }
}

impl Value for OnStop {
    const EXPECTED: &'static str = "\"keep\" or \"flush\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        one_of(value, &[("keep", OnStop::Keep), ("flush", OnStop::Flush)])
    }
}

impl Value for Treatment {
    const EXPECTED: &'static str = "\"drop\" or \"reject\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        one_of(value, &[("drop", Treatment::Drop), ("reject", Treatment::Reject)])
    }
}

impl Value for FirewallName {
    const EXPECTED: &'static str = "\"nftables\", \"dry-run\" or \"command\"";

    fn read(value: &DeValue<'_>) -> Result<Self, String> {
        let names = [
            ("nftables", FirewallName::Nftables),
            ("dry-run", FirewallName::DryRun),
            ("command", FirewallName::Command),
        ];
        one_of(value, &names)
    }
}
