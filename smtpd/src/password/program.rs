//! checkpassword: the program that qmail's world asks for passwords (cr.yp.to/checkpwd/interface.html).
//!
//! It reads user and password from descriptor 3, each with a NUL behind it, runs the program that its arguments name
//! where the password is right, and says by its exit code what it found.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::time::Duration;

use command_fds::{CommandFdExt as _, FdMapping};
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::fingerprint::Key;
use crate::password::even::Even;
use crate::password::{Origin, evenly};
use crate::session::{PasswordAnswer, Secret};

/// Bytes that the program reads at most. They fit a pipe, so that writing them never waits.
const BYTES_MAX: usize = 512;

/// How long the program may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Programs at once, after which a login is put off (454).
const RUNNING_MAX: usize = 32;

/// A checkpassword and what it runs where the password is right, mostly `true`.
#[derive(Debug)]
pub struct Checkpassword {
    program: OsString,
    arguments: Vec<OsString>,
    key: Key,
    running: Semaphore,
    even: Even,
}

impl Checkpassword {
    /// The program, with its arguments; `None` where there is none.
    pub fn new(words: &[OsString], key: Key) -> Option<Self> {
        let (program, arguments) = words.split_first()?;
        Some(Checkpassword {
            program: program.clone(),
            arguments: arguments.to_vec(),
            key,
            running: Semaphore::new(RUNNING_MAX),
            even: Even::default(),
        })
    }

    /// Is this the user's password?
    pub async fn check(&self, user: &[u8], password: &Secret, origin: Origin) -> PasswordAnswer {
        let wrong = PasswordAnswer::Wrong(self.key.fingerprint(password.bytes()));
        // A NUL would end one word and begin another.
        let is_plain = !user.contains(&0) && !password.bytes().contains(&0);
        let words = [user, b"\0", password.bytes(), b"\0\0"].concat();
        if !is_plain || words.len() > BYTES_MAX {
            return wrong;
        }
        evenly(&self.even, self.judge(&words, wrong, origin)).await
    }

    async fn judge(&self, words: &[u8], wrong: PasswordAnswer, origin: Origin) -> PasswordAnswer {
        let Ok(_running) = self.running.try_acquire() else {
            return PasswordAnswer::Unavailable;
        };
        match timeout(PATIENCE, self.ask(words, origin)).await {
            Ok(Ok(Some(0))) => PasswordAnswer::Right,
            Ok(Ok(Some(1))) => wrong,
            Ok(Ok(code)) => {
                tracing::error!(program = ?self.program, ?code, "the password program could not check a password");
                PasswordAnswer::Unavailable
            }
            Ok(Err(error)) => {
                tracing::error!(program = ?self.program, %error, "cannot run the password program");
                PasswordAnswer::Unavailable
            }
            Err(_) => {
                tracing::error!(program = ?self.program, "the password program did not end in time");
                PasswordAnswer::Unavailable
            }
        }
    }

    /// Is this the response of the user's password to that challenge? As cmd5checkpw reads it: user, response, challenge.
    pub async fn respond(
        &self,
        user: &[u8],
        challenge: &str,
        response: &Secret,
        origin: Origin,
    ) -> PasswordAnswer {
        let words = [user, b"\0", response.bytes(), b"\0", challenge.as_bytes(), b"\0"].concat();
        if user.contains(&0) || words.len() > BYTES_MAX {
            return PasswordAnswer::WrongProof;
        }
        evenly(&self.even, self.judge(&words, PasswordAnswer::WrongProof, origin)).await
    }

    async fn ask(&self, words: &[u8], origin: Origin) -> io::Result<Option<i32>> {
        let (receiver, mut sender) = io::pipe()?;
        sender.write_all(words)?;
        drop(sender);
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        // vchkpw writes the client's address into its log, and takes its service from the port.
        for (end, socket) in [("REMOTE", origin.remote), ("LOCAL", origin.local)] {
            command.env(format!("TCP{end}IP"), socket.ip().to_string());
            command.env(format!("TCP{end}PORT"), socket.port().to_string());
        }
        let mapping = FdMapping { parent_fd: OwnedFd::from(receiver), child_fd: 3 };
        command.fd_mappings(vec![mapping]).map_err(io::Error::other)?;
        let mut child = command.spawn()?;
        // Its end of the pipe stands in the command until that is gone.
        drop(command);
        Ok(child.wait().await?.code())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn origin() -> Origin {
        Origin { remote: "203.0.113.7:4000".parse().unwrap(), local: "192.0.2.25:465".parse().unwrap() }
    }

    /// A checkpassword that knows alice, writes down what it read, and fails as it is told.
    fn script(directory: &tempfile::TempDir) -> Checkpassword {
        let path = directory.path().join("checkpassword");
        let read = directory.path().join("read");
        let text = format!(
            "#!/bin/sh\necho $TCPREMOTEIP $TCPREMOTEPORT $TCPLOCALIP $TCPLOCALPORT >{0}.ends\ntr '\\0' '\\n' <&3 >{0}\ncase \"$(sed -n 1,2p {0} | tr '\\n' :)\" in\nalice:secret:) exec \"$@\" ;;\ndown:*) exit 111 ;;\n*) exit 1 ;;\nesac\n",
            read.display()
        );
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let key = Key::open(&directory.path().join("key")).unwrap();
        Checkpassword::new(&[path.into(), "true".into()], key).unwrap()
    }

    #[tokio::test]
    async fn the_programs_exit_code_is_the_answer() {
        let directory = tempfile::tempdir().unwrap();
        let program = script(&directory);
        let check = async |user: &[u8], password: &[u8]| {
            program.check(user, &Secret::new(password.to_vec()), origin()).await
        };
        assert_eq!(check(b"alice", b"secret").await, PasswordAnswer::Right);
        assert_eq!(fs::read(directory.path().join("read")).unwrap(), b"alice\nsecret\n\n");
        let ends = fs::read_to_string(directory.path().join("read.ends")).unwrap();
        assert_eq!(ends, "203.0.113.7 4000 192.0.2.25 465\n");
        assert!(matches!(check(b"alice", b"guess").await, PasswordAnswer::Wrong(_)));
        assert_eq!(check(b"down", b"secret").await, PasswordAnswer::Unavailable);
    }

    #[tokio::test]
    async fn what_the_program_would_misread_is_wrong_without_asking() {
        let directory = tempfile::tempdir().unwrap();
        let program = script(&directory);
        let check = async |user: &[u8], password: &[u8]| {
            program.check(user, &Secret::new(password.to_vec()), origin()).await
        };
        assert!(matches!(check(b"alice\0secret", b"x").await, PasswordAnswer::Wrong(_)));
        assert!(matches!(check(b"alice", b"secret\0").await, PasswordAnswer::Wrong(_)));
        assert!(matches!(check(b"alice", &[b'x'; 600]).await, PasswordAnswer::Wrong(_)));
        assert!(!directory.path().join("read").exists());
    }

    #[tokio::test]
    async fn more_programs_than_may_run_put_a_login_off() {
        let directory = tempfile::tempdir().unwrap();
        let program = script(&directory);
        let _all = program.running.try_acquire_many(u32::try_from(RUNNING_MAX).unwrap()).unwrap();
        let answer = program.check(b"alice", &Secret::new(b"secret".to_vec()), origin()).await;
        assert_eq!(answer, PasswordAnswer::Unavailable);
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_no_wrong_password() {
        let directory = tempfile::tempdir().unwrap();
        let key = Key::open(&directory.path().join("key")).unwrap();
        let program = Checkpassword::new(&["/nonexistent/checkpassword".into()], key).unwrap();
        let answer = program.check(b"alice", &Secret::new(b"secret".to_vec()), origin()).await;
        assert_eq!(answer, PasswordAnswer::Unavailable);
        assert!(Checkpassword::new(&[], Key::open(&directory.path().join("key")).unwrap()).is_none());
    }
}
