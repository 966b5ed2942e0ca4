//! Clients on the far host: Python's smtplib, swaks. Each says what became of it, a word a line.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::banctl::Answer;
use crate::network::{Network, SERVER, SERVER6};

/// A script beside this package.
fn script(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("clients").join(name)
}

/// One client: an address on the far host.
#[derive(Clone, Copy, Debug)]
pub struct Client<'n> {
    network: &'n Network,
    address: &'n str,
}

impl<'n> Client<'n> {
    /// The client of this address.
    pub fn of(network: &'n Network, address: &'n str) -> Self {
        Client { network, address }
    }

    /// The server's address of the same family.
    pub fn server(&self) -> &'static str {
        if self.address.contains(':') { SERVER6 } else { SERVER }
    }

    /// Runs a script of `clients/` with the server, this client's address and these arguments.
    ///
    /// # Errors
    /// It cannot be run.
    pub fn run(&self, name: &str, arguments: &[&str]) -> Result<Answer> {
        Answer::of(&mut self.command(name, arguments))
    }

    /// The same, as a command.
    pub fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = self.network.client("python3");
        command.arg(script(name)).args([self.server(), self.address]).args(arguments);
        command
    }

    /// Tries these passwords, each in a session of its own, on the submission port; gives a reply code or what else
    /// happened (`timeout`, `closed`) for each that was tried. Nothing is tried after a timeout.
    ///
    /// # Errors
    /// The script cannot be run.
    pub fn guess(&self, user: &str, passwords: &[&str]) -> Result<Vec<String>> {
        self.words("guess.py", &[&[user], passwords].concat())
    }

    /// Asks in one session on port 25 for these recipients; gives each reply code.
    ///
    /// # Errors
    /// The script cannot be run.
    pub fn ask_for(&self, recipients: &[&str]) -> Result<Vec<String>> {
        self.words("harvest.py", recipients)
    }

    /// Whether the server greets this client on a port.
    ///
    /// # Errors
    /// The script cannot be run.
    pub fn is_greeted(&self, port: u16) -> Result<bool> {
        let answer = self.run("greeted.py", &[&port.to_string()])?;
        if answer.code == 1 { Ok(false) } else { answer.yes().map(|_| true) }
    }

    fn words(&self, name: &str, arguments: &[&str]) -> Result<Vec<String>> {
        Ok(self.run(name, arguments)?.yes()?.said.split_whitespace().map(str::to_owned).collect())
    }
}
