//! Whom a command is about: named, in files, or on standard input, one a line.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;

use anyhow::{Context as _, bail};

use crate::banctl::arguments::Whom;

/// All of them, in the order in which they were named.
pub(super) fn all(whom: &[Whom], files: &[PathBuf]) -> anyhow::Result<Vec<String>> {
    let mut subjects = Vec::new();
    for whom in whom {
        match whom {
            Whom::Subject(subject) => subjects.push(subject.clone()),
            Whom::Input => subjects.extend(lines(io::stdin().lock(), "standard input")?),
        }
    }
    for file in files {
        let name = file.display().to_string();
        let opened = File::open(file).with_context(|| format!("cannot read {name}"))?;
        subjects.extend(lines(BufReader::new(opened), &name)?);
    }
    Ok(subjects)
}

/// One a line; what stands after a `#` does not count.
fn lines(input: impl BufRead, name: &str) -> anyhow::Result<Vec<String>> {
    let lines: Vec<String> = input.lines().collect::<Result<_, _>>().with_context(|| name.to_owned())?;
    let named = |line: &String| line.split('#').next().unwrap_or_default().trim().to_owned();
    let subjects: Vec<String> = lines.iter().map(named).filter(|s| !s.is_empty()).collect();
    if subjects.is_empty() {
        bail!("{name} names nobody; one address or network a line");
    }
    Ok(subjects)
}
