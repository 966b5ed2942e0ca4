//! `banctl top`, in a terminal.

use std::process::Command;

use crate::namespace::in_namespace;
use crate::watcher::{Watcher, eventually};

/// A terminal that shows it; it ends with this value.
struct Terminal {
    socket: String,
}

impl Terminal {
    fn open(watcher: &Watcher) -> Terminal {
        let terminal = Terminal { socket: watcher.path("tmux").display().to_string() };
        let top = format!(
            "{} --socket {} top; echo left with $?; sleep 60",
            env!("CARGO_BIN_EXE_banctl"),
            watcher.path("watcher.sock").display()
        );
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "110", "-y", "20", &top]);
        terminal
    }

    #[track_caller]
    fn tmux(&self, words: &[&str]) -> String {
        let output =
            Command::new("tmux").args(["-S", &self.socket]).args(words).output().expect("tmux is needed");
        assert!(output.status.success(), "tmux {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn shows(&self, text: &str) {
        let mut shown = String::new();
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually(text, || {
                shown = self.tmux(&["capture-pane", "-p"]);
                shown.contains(text).then_some(())
            });
        }));
        assert!(found.is_ok(), "no {text:?} on\n{shown}");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = Command::new("tmux").args(["-S", &self.socket, "kill-server"]).output();
    }
}

#[test]
fn top_shows_what_happens_and_lifts_and_explains_by_key() {
    in_namespace(|| {
        let watcher = Watcher::start("firewall = \"dry-run\"");
        assert_eq!(watcher.banctl("ban 198.51.100.7 --reason x").code, 0);
        let terminal = Terminal::open(&watcher);
        terminal.shows("198.51.100.7");
        terminal.shows("all bans in force");
        assert_eq!(watcher.banctl("ban 203.0.113.9 --for 5m").code, 0);
        terminal.shows("203.0.113.9");
        terminal.tmux(&["send-keys", "/", "198", "Enter"]);
        terminal.shows("[only 198]");
        terminal.tmux(&["send-keys", "i"]);
        terminal.shows("198.51.100.7 is banned by manual");
        terminal.tmux(&["send-keys", "x", "u"]);
        terminal.shows("Let 198.51.100.7 in again?");
        terminal.tmux(&["send-keys", "y"]);
        terminal.shows("198.51.100.7 is let in again");
        assert_eq!(watcher.listed(""), ["203.0.113.9"]);
        terminal.tmux(&["send-keys", "2"]);
        terminal.shows("password-guessing");
        terminal.tmux(&["send-keys", "3"]);
        terminal.shows("mail.log");
        terminal.tmux(&["send-keys", "4"]);
        terminal.shows("was lifted");
        terminal.tmux(&["send-keys", "q"]);
        terminal.shows("left with 0");
    });
}
