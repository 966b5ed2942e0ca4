//! Records `tests/fixtures/botnet`: a botnet's log as one file and as a multilog directory, and who was banned live.
//!
//! `cargo run -p e2e --bin record [SEED]`. The jails are written down with it, so that a change of a shipped jail does
//! not change what this log means.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use e2e::namespace;
use e2e::recording::{self, Recording};
use e2e::site::Site;
use serde_json::json;

/// The fixture's configuration: only the jails beside it count.
const WATCHER_TOML: &str = "jails = [\"password-guessing\", \"recipient-harvest\"]\n";

fn main() -> Result<()> {
    namespace::enter()?;
    let seed = std::env::args().nth(1).map_or(Ok(1), |seed| seed.parse()).context("the seed is a number")?;
    let site = Site::new()?;
    let recording = recording::record(&site, seed)?;
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/botnet");
    save(&recording, &directory)?;
    let Recording { bans, log, clients, .. } = recording;
    write!(std::io::stdout(), "{} bans, {} bytes of log\n{clients}", bans.len(), log.len())?;
    Ok(())
}

fn save(recording: &Recording, directory: &Path) -> Result<()> {
    let (multilog, jails) = (directory.join("smtpd"), directory.join("jails"));
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    fs::create_dir_all(&multilog)?;
    fs::create_dir_all(&jails)?;
    for file in recording::files(&recording.directory)? {
        let name = file.file_name().context("a file has a name")?;
        fs::copy(&file, multilog.join(name))?;
    }
    for jail in ["password-guessing.toml", "recipient-harvest.toml"] {
        fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("../jails").join(jail), jails.join(jail))?;
    }
    fs::write(directory.join("smtpd.log"), &recording.log)?;
    fs::write(directory.join("watcher.toml"), WATCHER_TOML)?;
    let bans = recording
        .bans
        .iter()
        .map(|ban| json!({ "subject": ban.subject, "jail": ban.jail, "from": ban.from, "until": ban.until }));
    let bans = json!({ "bans": bans.collect::<Vec<_>>() });
    fs::write(directory.join("bans.json"), serde_json::to_string_pretty(&bans)? + "\n")?;
    Ok(())
}
