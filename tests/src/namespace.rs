//! A process starts itself again in namespaces of its own, where it is root over a network that it may break as it likes.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};

/// Set for who is inside already.
const INSIDE: &str = "POSTERN_INSIDE_NAMESPACE";

/// Runs the calling test's `body` inside. For a test, which is started again by its own name.
///
/// # Panics
/// The body failed, or there is no namespace to be had.
#[track_caller]
#[expect(clippy::panic, reason = "it stands for a test, and panicking is how a test fails")]
pub fn isolated(body: impl FnOnce() -> Result<()>) {
    if is_inside() {
        return body().unwrap_or_else(|error| panic!("{error:?}"));
    }
    if let Err(error) = test_again() {
        panic!("{error:?}");
    }
}

/// For a program: returns inside, because outside it replaces this process by itself.
///
/// # Errors
/// There is no namespace to be had.
pub fn enter() -> Result<()> {
    if is_inside() {
        return Ok(());
    }
    let program = std::env::current_exe().context("who am I")?;
    let error = unshare().arg(program).args(std::env::args_os().skip(1)).exec();
    Err(error).context("cannot run unshare (package util-linux)")
}

/// Whether this user is another one as well, so that a process can be started as nobody.
pub fn has_other_users() -> bool {
    // A namespace made without root maps one user alone.
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().nth(2).and_then(|count| count.parse::<u64>().ok()).is_some_and(|count| count > 1)
}

fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Root keeps its users; whoever is not becomes root inside.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.arg("--net").env(INSIDE, "1");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.arg("--");
    command
}

fn test_again() -> Result<()> {
    let name = std::thread::current().name().context("a test's thread is named for it")?.to_owned();
    let program = std::env::current_exe().context("who am I")?;
    let output = unshare()
        .arg(program)
        .args(["--exact", &name, "--nocapture", "--test-threads=1"])
        .output()
        .context("cannot run unshare (package util-linux)")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let cried = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "in its namespace: {}\n{said}{cried}", output.status);
    anyhow::ensure!(said.contains("1 passed"), "{name} was not run in its namespace:\n{said}{cried}");
    Ok(())
}
