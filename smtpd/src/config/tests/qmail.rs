//! The table of control files, settings and variables in the documentation, held to the code.

use std::collections::BTreeSet;

use super::*;

const PAGE: &str = include_str!("../../../../docs/from-qmail.md");
const KEYS: &str = include_str!("../../config.rs");

/// The names in one column of the table.
fn column(column: usize) -> BTreeSet<String> {
    let (_, table) = PAGE.split_once("| control file | setting | variable |\n").unwrap();
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.split('|').nth(column + 1));
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

#[test]
fn every_control_file_that_is_read_is_documented_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["servercert.pem", "clientca.pem"] {
        std::fs::write(directory.path().join(name), "").unwrap();
    }
    let text = format!("control = {:?}", directory.path());
    let document = Document::parse("smtpd.toml", text);
    let control = Control::of(&document.root());
    read(&document.root(), &control);
    let asked: BTreeSet<String> = control.asked().into_iter().map(str::to_owned).collect();
    assert_eq!(column(0), asked);
}

/// The keys of the table at the head of the settings; a second key of a row is of the first one's table.
fn keys() -> BTreeSet<String> {
    let rows = KEYS.lines().filter_map(|line| line.strip_prefix("//! | ")?.split(" | ").next());
    let names = |row: &'static str| {
        let mut table = "";
        row.split('`').skip(1).step_by(2).map(move |name| match name.rsplit_once("] ") {
            Some((own, _)) => {
                table = own;
                name.to_owned()
            }
            None if table.is_empty() => name.to_owned(),
            None => format!("{table}] {name}"),
        })
    };
    rows.flat_map(names).collect()
}

#[test]
fn every_setting_of_the_table_is_a_key() {
    let unknown: Vec<String> = column(1).difference(&keys()).cloned().collect();
    assert_eq!(unknown, [""; 0], "not in the table of settings");
}

#[test]
fn every_variable_that_is_read_is_documented_and_no_other() {
    // Whoever reads the environment names each variable in full.
    let sources = [include_str!("../../environment.rs"), include_str!("../../command/stdio.rs")];
    let named = sources.iter().flat_map(|source| {
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        code.split('"').skip(1).step_by(2)
    });
    let is_variable = |text: &&str| {
        text.len() > 4 && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    let named: BTreeSet<String> = named.filter(is_variable).map(str::to_owned).collect();
    assert_eq!(column(2), named);
}
