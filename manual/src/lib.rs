//! What the shell and the reader of manuals are given, made from the arguments themselves and from the documentation.

mod format;

use std::io;

use clap::Command;
pub use clap_complete::Shell;
pub use format::format;

/// The completions of a command for a shell.
pub fn completions(mut command: Command, shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut script);
    script
}

/// The manual page of a command in section 8, with a section for each of its commands, and its exit codes in words.
///
/// # Errors
/// None but those of a buffer in memory.
pub fn page(mut command: Command, exit_status: &str) -> io::Result<Vec<u8>> {
    command.build();
    let (mut page, title) = (Vec::new(), command.get_name().to_uppercase());
    clap_mangen::Man::new(command.clone()).title(&title).section("8").render(&mut page)?;
    for sub in shown(&command) {
        section(sub, &format!("{title} {}", sub.get_name().to_uppercase()), &mut page)?;
    }
    page.extend_from_slice(format!(".SH \"EXIT STATUS\"\n{exit_status}\n").as_bytes());
    Ok(page)
}

fn section(command: &Command, name: &str, page: &mut Vec<u8>) -> io::Result<()> {
    page.extend_from_slice(format!(".SH \"{name}\"\n").as_bytes());
    let man = clap_mangen::Man::new(command.clone());
    man.render_description_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_options_section(page)?;
    for sub in shown(command) {
        section(sub, &format!("{name} {}", sub.get_name().to_uppercase()), page)?;
    }
    Ok(())
}

fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| sub.get_name() != "help" && !sub.is_hide_set())
}
