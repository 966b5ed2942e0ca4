//! `banctl`: what the administrator types. It asks the watcher and shows the answer.

use std::process::ExitCode;

use clap::Parser as _;
use watcher::banctl::{Arguments, exit_code, run};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            // Nobody can be told that standard error is closed.
            let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("banctl: {error:#}\n"));
            exit_code(&error)
        }
    }
}
