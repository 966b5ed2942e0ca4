//! What the shell and the reader of manuals are given.

use std::io;

use clap::{Command, CommandFactory as _};

use crate::banctl::arguments::Arguments;

const EXIT_STATUS: &str = "0 yes, or done; 1 asked, and the answer is no; 2 it could not be done; 78 a reload found that the configuration is wrong.";

/// The completions for a shell.
pub(super) fn completions(shell: manual::Shell) -> Vec<u8> {
    manual::completions(command(), shell)
}

/// The manual page, with a section for each command.
pub(super) fn page() -> io::Result<Vec<u8>> {
    manual::page(command(), EXIT_STATUS)
}

fn command() -> Command {
    Arguments::command().name("banctl")
}
