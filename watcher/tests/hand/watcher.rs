//! A watcher that runs, and what is asked of it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything takes that is ever done.
const PATIENCE: Duration = Duration::from_secs(30);

/// A watcher in a directory of its own; it ends with this value.
pub(crate) struct Watcher {
    directory: TempDir,
    child: Child,
}

/// What a program said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Asks again until there is an answer.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "{what} never came");
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Watcher {
    /// One with these settings besides its files, ready.
    #[track_caller]
    pub(crate) fn start(settings: &str) -> Watcher {
        let directory = tempfile::tempdir().unwrap();
        let own = "database = \"watcher.db\"\nsocket = \"watcher.sock\"\nlisten = \"127.0.0.1:9826\"\n";
        let source = "[[source]]\nfile = \"mail.log\"\nfilter = [\"qmail\"]\n";
        std::fs::write(directory.path().join("mail.log"), "").unwrap();
        std::fs::write(directory.path().join("watcher.toml"), format!("{own}{settings}\n{source}")).unwrap();
        let child = launch(directory.path());
        let watcher = Watcher { directory, child };
        watcher.ready();
        watcher
    }

    #[track_caller]
    fn ready(&self) {
        eventually("a watcher that is ready", || {
            let answer = http(b"GET /healthz HTTP/1.0\r\n\r\n")?;
            answer.contains(" 200 OK").then_some(())
        });
    }

    /// Ends it as an administrator does, and starts it again.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.child = launch(self.directory.path());
        self.ready();
    }

    /// Ends it as an administrator does.
    #[track_caller]
    pub(crate) fn stop(&mut self) {
        crate::namespace::run("kill", &format!("-TERM {}", self.child.id()));
        assert!(self.child.wait().unwrap().success());
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard error.
    pub(crate) fn journal(&self) -> String {
        std::fs::read_to_string(self.path("err")).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What `banctl` answers to these words.
    #[track_caller]
    pub(crate) fn banctl(&self, words: &str) -> Said {
        self.banctl_fed(words, "")
    }

    /// The same, with this on its standard input.
    #[track_caller]
    pub(crate) fn banctl_fed(&self, words: &str, input: &str) -> Said {
        let mut child = Command::new(env!("CARGO_BIN_EXE_banctl"))
            .arg("--socket")
            .arg(self.path("watcher.sock"))
            .args(words.split_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        let feeder = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        // Who does not read his input has been told enough by his arguments.
        let _ = feeder.join().unwrap();
        Said {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// What `banctl --json` answers, with this exit code.
    #[track_caller]
    pub(crate) fn json(&self, words: &str, code: i32) -> Value {
        let said = self.banctl(&format!("--json {words}"));
        assert_eq!(said.code, code, "{words}: {said:?}");
        serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{words}: {said:?}"))
    }

    /// Whom it lists, asked with these words.
    #[track_caller]
    pub(crate) fn listed(&self, words: &str) -> Vec<String> {
        subjects(&self.json(&format!("list {words}"), 0))
    }
}

/// Whom an answer is about.
#[track_caller]
pub(crate) fn subjects(answer: &Value) -> Vec<String> {
    let bans = answer["bans"].as_array().unwrap();
    bans.iter().map(|ban| ban["subject"].as_str().unwrap().to_owned()).collect()
}

/// What the port answers to these bytes, as long as it says something.
pub(crate) fn http(request: &[u8]) -> Option<String> {
    let mut stream = TcpStream::connect("127.0.0.1:9826").ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request).ok()?;
    let mut answer = Vec::new();
    // A connection that is reset has said what it had to say.
    let _ = stream.read_to_end(&mut answer);
    Some(String::from_utf8_lossy(&answer).into_owned())
}

fn launch(directory: &Path) -> Child {
    let err = std::fs::File::options().create(true).append(true).open(directory.join("err")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_postern-watcher"))
        .args(["run", "--config"])
        .arg(directory.join("watcher.toml"))
        .stdin(Stdio::null())
        .stderr(err)
        .spawn()
        .unwrap()
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
