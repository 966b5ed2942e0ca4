//! A fail2ban installation as configuration of the watcher: its jails as files, its filters where they are.
//!
//! Pure but for the files it reads: what it gives is text, and a list of all that could not be had.

mod jail;
mod seconds;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use settings::Mistakes;

use crate::fail2ban::layers::{Layers, Tree};
use jail::{Jail, Origin, Reader};

/// Which jails are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Those that are switched on.
    Enabled,
    /// All of them.
    All,
}

/// What an installation came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Import {
    /// The files, by their names under the directory they are for.
    pub files: BTreeMap<PathBuf, String>,
    /// The jails that were taken.
    pub jails: Vec<String>,
    /// What could not be had, a sentence each.
    pub notes: Vec<String>,
}

/// Reads the installation in `directory` (`/etc/fail2ban`).
///
/// # Errors
/// Its jails cannot be read at all. A jail that is wrong is left out, and noted.
pub fn import(tree: &dyn Tree, directory: &Path, choice: Choice) -> Result<Import, Mistakes> {
    let mut layers = Layers::read(tree, &directory.join("jail"))?;
    layers.set_default("fail2ban_version", "1.1.0");
    layers.set_default("fail2ban_confpath", &directory.to_string_lossy());
    let names: Vec<String> =
        layers.sections().filter(|name| *name != "INCLUDES").map(str::to_owned).collect();
    let (mut jails, mut notes) = (Vec::new(), Vec::new());
    for name in &names {
        let mut told = Vec::new();
        let reader = Reader { tree, directory, layers: &mut layers, name, notes: &mut told };
        match reader.is_enabled() {
            Ok(false) if choice == Choice::Enabled => continue,
            Ok(_) => {}
            Err(mistake) => {
                notes.push(format!("{name}: it is left out: {mistake}"));
                continue;
            }
        }
        match reader.read() {
            Ok(jail) => jails.push(jail),
            Err(mistakes) => {
                notes.extend(mistakes.iter().map(|mistake| format!("{name}: it is left out: {mistake}")));
            }
        }
        notes.append(&mut told);
    }
    if jails.is_empty() {
        notes.push("no jail is switched on: nothing is read and nobody banned".to_owned());
    }
    Ok(written(directory, &jails, notes))
}

/// A filter with its parameters, and how its failures are called.
struct Reads<'j> {
    filter: &'j str,
    set: &'j [(String, String)],
    name: String,
}

fn written(directory: &Path, jails: &[Jail], notes: Vec<String>) -> Import {
    let mut filters: Vec<Reads<'_>> = Vec::new();
    let mut sources: BTreeMap<&Origin, Vec<String>> = BTreeMap::new();
    let mut files = BTreeMap::new();
    for jail in jails {
        let name = file_name(&jail.name);
        // Jails that read with the same filter share what it finds.
        let same = |reads: &&Reads<'_>| reads.filter == jail.filter && reads.set == jail.set;
        let filter = match filters.iter().find(same) {
            Some(shared) => shared.name.clone(),
            None => {
                filters.push(Reads { filter: &jail.filter, set: &jail.set, name: name.clone() });
                name.clone()
            }
        };
        for from in &jail.from {
            let named = sources.entry(from).or_default();
            if !named.contains(&filter) {
                named.push(filter.clone());
            }
        }
        files.insert(PathBuf::from(format!("jails/{name}.toml")), jail_file(jail, &filter));
    }
    let mut main = String::from(HEAD);
    let names: Vec<String> = jails.iter().map(|jail| file_name(&jail.name)).collect();
    let quoted: Vec<String> = names.iter().map(|name| quote(name)).collect();
    let _ = writeln!(main, "jails = [{}]", quoted.join(", "));
    let ignored: BTreeSet<&String> = jails.iter().flat_map(|jail| &jail.ignored).collect();
    if !ignored.is_empty() {
        let ignored: Vec<String> = ignored.into_iter().map(|network| quote(network)).collect();
        let _ = writeln!(main, "\n[exempt]\nnetworks = [{}]", ignored.join(", "));
    }
    for (from, named) in sources {
        main.push_str(&source(from));
        for name in named {
            if let Some(reads) = filters.iter().find(|reads| reads.name == name) {
                main.push_str(&imported(directory, reads));
            }
        }
    }
    files.insert(PathBuf::from("watcher.toml"), main);
    files.insert(PathBuf::from("report.txt"), report(&names, &notes));
    Import { files, jails: names, notes }
}

const HEAD: &str = "\
# Made from a fail2ban installation; its filters are read where they are. report.txt says what could not be had.
# Without the line `jails`, the shipped jails count too.
";

fn source(from: &Origin) -> String {
    let key = match from {
        Origin::File(path) => format!("file = {}", quote(path)),
        Origin::Journal(terms) => {
            let terms: Vec<String> = terms.iter().map(|term| quote(term)).collect();
            format!("journal = [{}]", terms.join(", "))
        }
    };
    format!("\n[[source]]\n{key}\nfilter = []\n")
}

fn imported(directory: &Path, reads: &Reads<'_>) -> String {
    let Reads { filter, set, name } = reads;
    let file = directory.join("filter.d").join(format!("{filter}.conf"));
    let mut text =
        format!("[[source.fail2ban]]\nname = {}\nfilter = {}\n", quote(name), quote(&file.to_string_lossy()));
    if !set.is_empty() {
        let pairs: Vec<String> =
            set.iter().map(|(key, value)| format!("{} = {}", quote(key), quote(value))).collect();
        let _ = writeln!(text, "set = {{ {} }}", pairs.join(", "));
    }
    text
}

fn jail_file(jail: &Jail, filter: &str) -> String {
    let human = |length| settings::duration::human(length).to_string();
    let mut text = format!(
        "about = {}\non = [\"failure\"]\nfilter = {}\nthreshold = {}\nwithin = {}\n\n[ban]\nfor = {}\n",
        quote(&format!("fail2ban's jail {}", jail.name)),
        quote(filter),
        jail.maxretry,
        quote(&human(jail.findtime)),
        quote(&human(jail.bantime)),
    );
    if jail.growth > 1.0 {
        let _ = writeln!(text, "growth = {:?}", (jail.growth * 1000.0).round() / 1000.0);
    }
    if let Some(longest) = jail.longest {
        let _ = writeln!(text, "max = {}", quote(&human(longest)));
    } else if jail.growth > 1.0 {
        let _ = writeln!(text, "max = {}", quote(&human(jail::LONGEST)));
    }
    if let Some(ports) = &jail.ports {
        let ports: Vec<String> = ports.iter().map(|port| quote(&port.to_string())).collect();
        let _ = writeln!(text, "ports = [{}]", ports.join(", "));
    }
    text
}

fn report(jails: &[String], notes: &[String]) -> String {
    let mut text =
        format!("Taken over: {}\n\n", if jails.is_empty() { "no jail".to_owned() } else { jails.join(", ") });
    if notes.is_empty() {
        text.push_str("All of it could be had.\n");
    } else {
        text.push_str("What could not be had, or is different here:\n");
        notes.iter().for_each(|note| {
            let _ = writeln!(text, "- {note}");
        });
    }
    text
}

/// The name of a jail as that of its file; `manual` is the name of bans made by hand.
fn file_name(name: &str) -> String {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String = name.chars().map(|c| if is_fit(c) { c } else { '-' }).collect();
    let name = name.trim_start_matches('.').to_owned();
    if name.is_empty() || name == crate::jail::MANUAL { format!("fail2ban-{name}") } else { name }
}

/// A string of TOML.
fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
