//! What the documentation names is there, and what is there it names: commands and options as the programs list them, links.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use e2e::process::{done, ours};
use std::process::Command;

use crate::board::repository;

const PROGRAMS: [&str; 3] = ["postern-watcher", "postern-smtpd", "banctl"];

/// Every page that a user reads.
pub(crate) fn pages() -> Vec<(String, String)> {
    let docs = std::fs::read_dir(repository().join("docs")).unwrap();
    let mut files: Vec<PathBuf> = docs.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    files.push(repository().join("README.md"));
    files.push(repository().join("packaging/debian/README.Debian"));
    let read = |path: PathBuf| (path.display().to_string(), std::fs::read_to_string(&path).unwrap());
    files.into_iter().map(read).collect()
}

/// The blocks of a language, each with its text.
pub(crate) fn blocks<'p>(page: &'p str, language: &str) -> Vec<&'p str> {
    let mut found = Vec::new();
    let mut rest = page;
    let opening = format!("```{language}\n");
    while let Some((_, after)) = rest.split_once(&opening) {
        let (block, after) = after.split_once("```").unwrap_or((after, ""));
        found.push(block);
        rest = after;
    }
    found
}

/// What a page has somebody type: lines of shell, and pieces between backticks.
fn commands(page: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for language in ["sh", "text"] {
        lines.extend(blocks(page, language).into_iter().flat_map(str::lines).map(str::to_owned));
    }
    for line in page.lines() {
        lines.extend(line.split('`').skip(1).step_by(2).map(|piece| piece.replace("\\|", "|")));
    }
    let words = |line: String| -> Option<String> {
        let line = line.trim().trim_start_matches("runuser -u postern -- ");
        let first = line.split_whitespace().next()?;
        PROGRAMS.contains(&first).then(|| line.split(['#', ';', '>']).next().unwrap_or_default().to_owned())
    };
    lines.into_iter().filter_map(words).collect()
}

/// What a program says of itself.
struct Helps(BTreeMap<String, String>);

impl Helps {
    fn of(&mut self, program: &str, words: &[&str]) -> Result<String> {
        let key = [&[program], words].concat().join(" ");
        if let Some(help) = self.0.get(&key) {
            return Ok(help.clone());
        }
        let help = done(Command::new(ours(program)?).args(words).arg("--help"))?;
        self.0.insert(key, help.clone());
        Ok(help)
    }
}

/// The commands that a help text lists.
fn listed(help: &str) -> Vec<&str> {
    let after = help.split_once("Commands:\n").map_or("", |(_, after)| after);
    let lines = after.lines().take_while(|line| line.starts_with("  "));
    lines.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next()).collect()
}

/// What is wrong with a command that somebody is told to type.
fn fault(helps: &mut Helps, command: &str) -> Result<Option<String>> {
    let mut words = command.split_whitespace();
    let program = words.next().context("a program")?;
    let words: Vec<&str> = words.collect();
    let mut path: Vec<&str> = Vec::new();
    let mut help = helps.of(program, &[])?;
    for word in words.iter().filter(|word| !word.starts_with('-')) {
        // `list|show` names several; an argument is none of them.
        let alternatives: Vec<&str> = word.split('|').collect();
        let names = listed(&help);
        if names.is_empty() {
            break;
        }
        let hidden = helps.of(program, &[&path[..], &[*word]].concat()).is_ok();
        if let Some(unknown) = alternatives.iter().find(|name| !names.contains(name) && !hidden) {
            let is_word = unknown.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
            return Ok((is_word && path.is_empty()).then(|| format!("there is no command {unknown}")));
        }
        path.push(alternatives.first().copied().unwrap_or_default());
        help = helps.of(program, &path)?;
    }
    let whole = helps.of(program, &[])?;
    for option in words.iter().filter(|word| word.starts_with("--")) {
        let name = option.split(['=', '|', ']', ',', '[']).next().unwrap_or_default();
        let is_there =
            [&help, &whole].iter().any(|help| help.split([' ', ',', '\n', '=']).any(|word| word == name));
        if name.len() > 2 && !is_there {
            return Ok(Some(format!("there is no option {name}")));
        }
    }
    Ok(None)
}

#[test]
fn every_command_and_option_that_is_named_exists() {
    let (mut helps, mut faults, mut count) = (Helps(BTreeMap::new()), Vec::new(), 0);
    for (file, page) in pages() {
        for command in commands(&page) {
            count += 1;
            if let Some(fault) = fault(&mut helps, &command).unwrap() {
                faults.push(format!("{file}: `{command}`: {fault}"));
            }
        }
    }
    assert!(count > 50, "commands are found: {count}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_command_or_an_option_that_there_is_not_is_found() {
    let mut helps = Helps(BTreeMap::new());
    for (page, found) in [
        ("`postern-watcher chek`", true),
        ("`postern-watcher check --confg F`", true),
        ("```sh\nbanctl unbann 192.0.2.7   # lets him in\n```", true),
        ("```text\nrunuser -u postern -- postern-smtpd queue list --jsonn\n```", true),
        ("`postern-smtpd queue list --json` and `banctl list|why`", false),
    ] {
        let faults: Vec<_> =
            commands(page).iter().filter_map(|one| fault(&mut helps, one).unwrap()).collect();
        assert_eq!(!faults.is_empty(), found, "{page}: {faults:?}");
    }
}

/// The commands and options that the programs list, but those that clap gives to all.
fn offered(helps: &mut Helps, program: &str) -> Result<Vec<String>> {
    let help = helps.of(program, &[])?;
    let mut found = Vec::new();
    for command in listed(&help).into_iter().filter(|name| *name != "help") {
        found.push(command.to_owned());
        let help = helps.of(program, &[command])?;
        let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
        let options =
            lines.filter_map(|line| line.split([' ', ',', '=', '`']).find(|word| word.starts_with("--")));
        found.extend(options.filter(|option| !["--help", "--version"].contains(option)).map(str::to_owned));
    }
    Ok(found)
}

#[test]
fn every_command_and_option_that_there_is_is_documented() {
    let mut helps = Helps(BTreeMap::new());
    let all: String = pages().into_iter().map(|(_, page)| page).collect();
    let words: BTreeSet<&str> =
        all.split(|c: char| !(c.is_ascii_alphanumeric() || "-_".contains(c))).collect();
    for program in PROGRAMS {
        let offered = offered(&mut helps, program).unwrap();
        assert!(offered.len() > 5, "{program} offers something");
        let missing: Vec<&String> = offered.iter().filter(|name| !words.contains(name.as_str())).collect();
        assert!(missing.is_empty(), "{program}: {missing:?}");
    }
}

#[test]
fn the_readme_names_every_page() {
    let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
    for (file, _) in pages().iter().filter(|(file, _)| file.contains("/docs/")) {
        let page = file.rsplit('/').next().unwrap_or_default();
        assert!(readme.contains(&format!("](docs/{page})")), "{page}");
    }
}

#[test]
fn every_link_leads_somewhere() {
    let mut faults = Vec::new();
    for (file, page) in pages() {
        let directory = PathBuf::from(&file).parent().map(PathBuf::from).unwrap_or_default();
        for link in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            if link.starts_with("http") || link.contains(' ') {
                continue;
            }
            let target = if path.is_empty() { PathBuf::from(&file) } else { directory.join(path) };
            let Ok(bytes) = std::fs::read(&target) else {
                faults.push(format!("{file}: {link}"));
                continue;
            };
            let text = String::from_utf8_lossy(&bytes);
            let anchors = text.lines().filter(|line| line.starts_with('#')).map(anchor_of);
            if !anchor.is_empty() && !anchors.into_iter().any(|own| own == anchor) {
                faults.push(format!("{file}: {link}: no such heading"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The anchor that a heading gets.
fn anchor_of(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}
