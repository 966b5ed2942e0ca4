//! What the shell and the reader of manuals are given, made from the arguments themselves.

use std::io;

use clap::{Command, CommandFactory as _};

use crate::banctl::arguments::Arguments;

/// The completions for a shell.
pub(super) fn completions(shell: clap_complete::Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "banctl", &mut script);
    script
}

/// The manual page, with a section for each command.
pub(super) fn page() -> io::Result<Vec<u8>> {
    let mut command = command();
    command.build();
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).title("BANCTL").section("8").render(&mut page)?;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        section(sub, sub.get_name(), &mut page)?;
    }
    page.extend_from_slice(
        b".SH \"EXIT STATUS\"\n0 yes, or done; 1 asked, and the answer is no; 2 it could not be done.\n",
    );
    Ok(page)
}

fn section(command: &Command, name: &str, page: &mut Vec<u8>) -> io::Result<()> {
    page.extend_from_slice(format!(".SH \"BANCTL {}\"\n", name.to_uppercase()).as_bytes());
    let man = clap_mangen::Man::new(command.clone());
    man.render_description_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_options_section(page)?;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        section(sub, &format!("{name} {}", sub.get_name()), page)?;
    }
    Ok(())
}

fn command() -> Command {
    Arguments::command().name("banctl")
}
