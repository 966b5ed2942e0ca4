//! Writes a manual page of section 5 to standard output: `format FILE ABOUT PAGE.md…`.

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, about, pages @ ..] = arguments.as_slice() else {
        return failed("usage: format FILE ABOUT PAGE.md...");
    };
    let mut markdown = String::new();
    for page in pages {
        match std::fs::read_to_string(page) {
            Ok(text) => markdown.push_str(&text),
            Err(error) => return failed(&format!("{page}: {error}")),
        }
    }
    let written = std::io::stdout().write_all(manual::format(file, about, &markdown).as_bytes());
    written.map_or_else(|error| failed(&error.to_string()), |()| ExitCode::SUCCESS)
}

fn failed(why: &str) -> ExitCode {
    // Nobody can be told that standard error is closed.
    let _ = writeln!(std::io::stderr(), "format: {why}");
    ExitCode::from(2)
}
