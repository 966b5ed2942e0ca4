//! `postern-smtpd user add|list|remove`.

use std::io::{self, BufRead as _, IsTerminal as _};

use crate::command::{Answer, Failure, Print, complain, print, print_json};
use crate::config::Config;
use crate::password;
use crate::users::{Name, UserFile};

/// Longest password that is taken.
const PASSWORD_BYTES_MAX: usize = 1024;

/// Adds a user, or gives it a new password, which is read from standard input.
///
/// # Errors
/// Where no password comes, or the file cannot be written.
pub fn add(config: &Config, name: Name) -> Result<Answer, Failure> {
    let password = read_password()?;
    let hash = password::field(password.as_bytes(), &config.policy.auth.mechanisms).map_err(Failure::Hash)?;
    let failed = |cause| Failure::File {
        path: config.users.clone(),
        what: "it holds the users; this user must be able to write its directory",
        cause,
    };
    if let Some(directory) = config.users.parent() {
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    UserFile::new(&config.users, &config.state).change(|users| users.set(name, hash)).map_err(failed)?;
    Ok(Answer::Yes)
}

/// Takes a user away; its mail stays.
///
/// # Errors
/// Where the file cannot be read or written.
pub fn remove(config: &Config, name: &Name) -> Result<Answer, Failure> {
    let removed = UserFile::new(&config.users, &config.state).change(|users| users.remove(name));
    let removed = removed.map_err(|cause| Failure::File {
        path: config.users.clone(),
        what: "it holds the users; this user must be able to write its directory",
        cause,
    })?;
    if !removed {
        complain(&format!("there is no user {}", name.text()));
        return Ok(Answer::No);
    }
    Ok(Answer::Yes)
}

/// Prints the users.
///
/// # Errors
/// Where the file cannot be read.
pub fn list(config: &Config, how: Print) -> Result<Answer, Failure> {
    let users = UserFile::new(&config.users, &config.state).users().map_err(|cause| Failure::File {
        path: config.users.clone(),
        what: "it holds the users; let this user read it",
        cause,
    })?;
    let names: Vec<&str> = users.names().iter().map(Name::text).collect();
    match how {
        Print::Json => print_json(&serde_json::json!({ "users": names }))?,
        Print::Text => print(&names.iter().map(|name| format!("{name}\n")).collect::<String>())?,
    }
    Ok(Answer::Yes)
}

/// One line; from a terminal without echo, and twice, because nobody sees what was typed.
fn read_password() -> Result<String, Failure> {
    let password = if io::stdin().is_terminal() {
        let password = rpassword::prompt_password("password: ").map_err(Failure::Terminal)?;
        let again = rpassword::prompt_password("again: ").map_err(Failure::Terminal)?;
        if password != again {
            return Err(Failure::Password("the two passwords differ; nothing was changed"));
        }
        password
    } else {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).map_err(Failure::Terminal)?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    };
    match password.len() {
        0 => Err(Failure::Password("the password is empty: write it on standard input, in one line")),
        1..=PASSWORD_BYTES_MAX => Ok(password),
        _ => Err(Failure::Password("the password is longer than 1024 bytes")),
    }
}
