//! A headless browser: it opens a page, answers what is asked of it in JavaScript, and takes a picture.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::process::bound;

/// What Debian and others call a browser that needs no screen. `clients/browse.py` looks for the same.
const NAMES: [&str; 3] = ["chromium-headless-shell", "chromium", "google-chrome"];

/// Resolves once the expression behind it is true.
const UNTIL: &str = "(async (f) => { for (let n = 0; n < 1500; n++) { if (f()) return true; \
await new Promise((r) => setTimeout(r, 10)); } return false; })";

/// A browser that shows a page.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
    /// Whether whoever looks likes it dark.
    pub dark: bool,
}

impl Browser {
    /// Whether this machine has one.
    pub fn is_installed() -> bool {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|directory| NAMES.iter().any(|name| directory.join(name).is_file()))
    }

    /// Opens a page; `picture` is where its picture goes in the end.
    ///
    /// # Errors
    /// There is no browser, or none that starts.
    pub fn open(url: &str, window: Window, picture: &Path) -> Result<Self> {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("clients/browse.py");
        let scheme = if window.dark { "dark" } else { "light" };
        let mut command = bound("python3");
        command.args([script.as_os_str(), OsStr::new(url)]);
        command.args([window.width.to_string(), window.height.to_string(), scheme.to_owned()]).arg(picture);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let answers = BufReader::new(child.stdout.take().context("a pipe from it")?);
        let orders = child.stdin.take();
        Ok(Browser { child, orders, answers })
    }

    /// The value of an expression.
    ///
    /// # Errors
    /// The browser is gone.
    pub fn value(&mut self, expression: &str) -> Result<Value> {
        let orders = self.orders.as_mut().context("it is open")?;
        writeln!(orders, "{expression}")?;
        orders.flush()?;
        self.answer()
    }

    /// Presses keys on the keyboard: letters and signs, or `Enter`, `Escape`, `Tab`.
    ///
    /// # Errors
    /// The browser is gone.
    pub fn press(&mut self, keys: &[&str]) -> Result<()> {
        keys.iter().try_for_each(|key| self.value(&format!("press {key}")).map(drop))
    }

    /// Waits until it is so.
    ///
    /// # Errors
    /// It never is.
    pub fn until(&mut self, condition: &str) -> Result<()> {
        let found = self.value(&format!("{UNTIL}(() => {condition})"))?;
        ensure!(found == true, "{condition}: {found}");
        Ok(())
    }

    /// Takes the picture, and tells what the page asked for (`asked`) and what it complained of (`complaints`).
    ///
    /// # Errors
    /// The browser is gone.
    pub fn close(mut self) -> Result<Value> {
        self.orders = None;
        let answer = self.answer()?;
        self.child.wait()?;
        Ok(answer)
    }

    fn answer(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("the browser says {line:?}"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The script ends its browser when its input ends.
        self.orders = None;
        let _ = self.child.wait();
    }
}
