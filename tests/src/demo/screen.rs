//! What the audience sees: numbered steps, each with what happened and whether it did.

use std::io::{IsTerminal as _, Write as _, stdout};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;

/// Between two steps there is time to read.
const PAUSE: Duration = Duration::from_millis(700);

/// The screen, and what has been shown on it.
#[derive(Clone, Debug)]
pub(super) struct Screen {
    /// A terminal gets colours, unless it asked for none (no-color.org).
    colours: bool,
    start: Instant,
    steps: usize,
    failed: Vec<String>,
}

#[derive(Clone, Copy)]
enum Style {
    Bold,
    Dim,
    Green,
    Red,
}

impl Screen {
    pub(super) fn new() -> Self {
        let colours =
            stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Screen { colours, start: Instant::now(), steps: 0, failed: Vec::new() }
    }

    pub(super) fn title(&self, text: &str) {
        self.line(&format!("\n{}\n", self.styled(Style::Bold, text)));
    }

    /// One step: its name, what it shows, and whether it happened. One that does not happen does not end the play.
    pub(super) fn step(&mut self, name: &str, act: impl FnOnce(&Screen) -> Result<()>) {
        self.steps += 1;
        self.line(&format!("\n{}", self.styled(Style::Bold, &format!("{}  {name}", self.steps))));
        match act(self) {
            Ok(()) => self.line(&format!("   {}", self.styled(Style::Green, "✓"))),
            Err(error) => {
                self.line(&format!("   {}", self.styled(Style::Red, &format!("✗ {error:#}"))));
                self.failed.push(format!("{}  {name}", self.steps));
            }
        }
        sleep(PAUSE);
    }

    /// The end: true where every step happened.
    pub(super) fn finish(&self) -> bool {
        let seconds = self.start.elapsed().as_secs();
        if self.failed.is_empty() {
            let told = format!("All {} steps happened, in {seconds} s.", self.steps);
            self.line(&format!("\n{}", self.styled(Style::Green, &told)));
            return true;
        }
        self.line(&format!("\n{}", self.styled(Style::Red, "These steps did not happen:")));
        self.failed.iter().for_each(|step| self.line(&format!("   {step}")));
        false
    }

    /// A sentence.
    pub(super) fn say(&self, text: &str) {
        self.line(&format!("   {text}"));
    }

    /// What a program said.
    pub(super) fn show(&self, text: &str) {
        text.lines().for_each(|line| self.quote(line));
    }

    /// One line of it.
    pub(super) fn quote(&self, line: &str) {
        self.line(&format!("   {}", self.styled(Style::Dim, &format!("│ {line}"))));
    }

    fn styled(&self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Bold => 1,
            Style::Dim => 2,
            Style::Green => 32,
            Style::Red => 31,
        };
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn line(&self, text: &str) {
        // Whoever closed the screen sees nothing more; the exit code still tells.
        let _ = writeln!(stdout(), "{text}");
    }
}
