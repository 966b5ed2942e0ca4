//! `tailers`: plays the same logs to several tailers, each in a process of its own, and prints a table of what each made
//! of them. `tailers follow NAME PATH` is such a process.

mod child;
mod follow;
mod line;
mod logs;
mod scenarios;
mod tally;

use std::path::Path;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        [] => scenarios::play(follow::NAMES),
        ["follow", name, path] => follow::follow(name, Path::new(path)),
        names if names.iter().all(|name| follow::NAMES.contains(name)) => scenarios::play(names),
        _ => bail!("usage: tailers [{}]...", follow::NAMES.join(" | ")),
    }
}
