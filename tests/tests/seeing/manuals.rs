//! The manual pages, by troff's own judgement.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use e2e::process::{bound, done, ours};

use crate::board::repository;
use crate::examples::all_keys;

/// What troff makes of a page for a terminal; it may have nothing to say about it.
fn shown(page: &str) -> Result<String> {
    let mut groff = bound("groff");
    groff.args(["-man", "-Kutf8", "-Tutf8", "-ww", "-Wbreak", "-P-cbou", "-rLL=1000n"]);
    let mut child = groff.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut input = child.stdin.take().context("a pipe to it")?;
    let page = page.to_owned();
    let writer = std::thread::spawn(move || input.write_all(page.as_bytes()));
    let output = child.wait_with_output()?;
    writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.is_empty(), "{said}");
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn troff_finds_nothing_wrong_with_the_manuals_of_the_programs() {
    for program in ["postern-watcher", "postern-smtpd", "banctl"] {
        let page = done(Command::new(ours(program).unwrap()).arg("man")).unwrap();
        let text = shown(&page).unwrap();
        for part in ["NAME", "SYNOPSIS", "EXIT STATUS", "78"] {
            assert!(text.contains(part), "{program}: no {part}");
        }
    }
}

#[test]
fn troff_finds_nothing_wrong_with_the_manuals_of_the_files_and_every_key_is_in_one() {
    let mut all = String::new();
    for name in ["watcher", "smtpd", "filters", "jails", "hooks", "quota"] {
        let markdown = std::fs::read_to_string(repository().join(format!("docs/{name}.md"))).unwrap();
        let text = shown(&manual::format(name, "its format", &markdown)).unwrap();
        assert!(text.lines().count() > 30, "{name} is shown");
        // Nothing of the markup is left.
        for sign in ["](", "**", "|---", "```"] {
            assert!(!text.contains(sign), "{name}: {sign} in {text}");
        }
        all.push_str(&text);
    }
    // In what a terminal shows a hyphen is a minus.
    let words: std::collections::BTreeSet<&str> =
        all.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).collect();
    let missing: Vec<String> = all_keys().into_iter().filter(|key| !words.contains(key.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
