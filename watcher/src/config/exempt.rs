//! `[exempt]`: files of networks, and host names.

use std::path::{Path, PathBuf};

use settings::{Mistake, Mistakes, Table};

use crate::subject::Network;

/// So many host names are looked up again and again, and no more.
const HOSTS_MAX: usize = 100;

/// The networks in the files that are named, one a line; what follows a `#` is a comment.
pub(super) fn files(table: &Table<'_>) -> (Vec<Network>, Mistakes) {
    let (mut networks, mut mistakes) = (Vec::new(), Mistakes::new());
    for path in table.get_or::<Vec<PathBuf>>("files", Vec::new()) {
        let path = table.document().directory().join(path);
        match std::fs::read_to_string(&path) {
            Ok(text) => read(&path, &text, &mut networks, &mut mistakes),
            Err(error) => {
                table.mistake("files", format!("{} cannot be read: {error}", path.display()));
            }
        }
    }
    (networks, mistakes)
}

fn read(file: &Path, text: &str, networks: &mut Vec<Network>, mistakes: &mut Mistakes) {
    for (line, text) in (1..).zip(text.lines()) {
        let named = text.split(['#', ';']).next().unwrap_or_default();
        let column = named.len() - named.trim_start().len() + 1;
        match named.trim() {
            "" => {}
            named => match named.parse() {
                Ok(network) => networks.push(network),
                Err(message) => {
                    let mistake = Mistake { file: file.to_owned(), line, column, message };
                    mistakes.merge(Err(mistake.into()));
                }
            },
        }
    }
}

/// Whether it is a name of the DNS, of letters, digits and these signs.
pub(super) fn is_name(name: &str, signs: &[u8]) -> bool {
    let is_of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || signs.contains(&byte);
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(is_of_a_name);
    name.len() <= 253 && name.trim_end_matches('.').split('.').all(is_label)
}

/// The host names; an address among them is a slip.
pub(super) fn hosts(table: &Table<'_>) -> Vec<String> {
    let hosts = table.get_or::<Vec<String>>("hosts", Vec::new());
    for host in &hosts {
        if host.parse::<Network>().is_ok() {
            table.mistake("hosts", format!("{host:?} is an address: `networks` is the key for it"));
        } else if !is_name(host, b"-") {
            table.mistake("hosts", format!("{host:?} is no host name, as \"mail.example.org\" is one"));
        }
    }
    if hosts.len() > HOSTS_MAX {
        table.mistake("hosts", format!("at most {HOSTS_MAX}"));
    }
    hosts
}
