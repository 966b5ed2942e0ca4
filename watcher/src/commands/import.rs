//! `import-fail2ban`: an installation of fail2ban as configuration of the watcher.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::fail2ban::Disk;
use crate::fail2ban::import::{self, Choice};

/// `import-fail2ban`: jails and filters of a fail2ban installation, converted.
#[derive(Debug, clap::Args)]
pub struct ImportFail2ban {
    /// The installation: /etc/fail2ban.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Where watcher.toml, jails/ and report.txt are written.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Also the jails that are not switched on.
    #[arg(long)]
    all: bool,
}

impl ImportFail2ban {
    /// Does it. What could not be had is told on standard error, and in report.txt.
    ///
    /// # Errors
    /// The installation cannot be read, a file is there already, or cannot be written.
    pub fn run(self) -> anyhow::Result<()> {
        let directory = std::path::absolute(&self.directory)?;
        let choice = if self.all { Choice::All } else { Choice::Enabled };
        let import = import::import(&Disk, &directory, choice)?;
        // Nothing is written where something would be lost.
        if let Some(file) = import.files.keys().map(|file| self.out.join(file)).find(|file| file.exists()) {
            bail!("{} is there already, and is not overwritten", file.display());
        }
        for (file, text) in &import.files {
            write(&self.out.join(file), text)?;
        }
        let mut err = io::stderr().lock();
        for note in &import.notes {
            writeln!(err, "{}", logline::Text::from(note.as_str()).readable())?;
        }
        let main = self.out.join("watcher.toml");
        let (jails, notes) = (import.jails.len(), import.notes.len());
        writeln!(
            io::stdout(),
            "{jails} jails are in {}; {notes} remarks in {}\nprove it: postern-watcher check --config {}",
            main.display(),
            self.out.join("report.txt").display(),
            main.display(),
        )?;
        Ok(())
    }
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(directory) = file.parent() {
        std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
