//! Dovecot's authentication server, asked over its socket for clients (Dovecot's authentication protocol 1.1).
//!
//! A connection is made for each question: a login is rare, and an old connection may belong to a server that is gone.
//! Dovecot answers a wrong password two seconds late, whether there is such a user or not, and others' questions
//! meanwhile on connections of their own.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::fingerprint::Key;
use crate::password::even::Even;
use crate::password::{Origin, evenly};
use crate::session::{PasswordAnswer, Secret};

/// How long the answer may take. Dovecot itself waits two seconds before it says that a password is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// Questions at once, after which a login is put off (454).
const ASKING_MAX: usize = 64;

/// All that the server may say before its answer, which is less than a kilobyte.
const HEARD_BYTES_MAX: u64 = 64 * 1024;

/// The server at a socket.
#[derive(Debug)]
pub struct Dovecot {
    socket: PathBuf,
    key: Key,
    asking: Semaphore,
    even: Even,
}

/// How the server answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Right,
    Wrong,
    Unavailable,
}

impl Dovecot {
    /// The server at `socket`, mostly `/run/dovecot/auth-client`.
    pub fn new(socket: &Path, key: Key) -> Self {
        Dovecot { socket: socket.to_owned(), key, asking: Semaphore::new(ASKING_MAX), even: Even::default() }
    }

    /// Is this the user's password?
    pub async fn check(&self, user: &[u8], password: &Secret, origin: Origin) -> PasswordAnswer {
        evenly(&self.even, self.answer(user, password, origin)).await
    }

    async fn answer(&self, user: &[u8], password: &Secret, origin: Origin) -> PasswordAnswer {
        let Ok(_asking) = self.asking.try_acquire() else {
            return PasswordAnswer::Unavailable;
        };
        let wrong = PasswordAnswer::Wrong(self.key.fingerprint(password.bytes()));
        // A NUL would end one word and begin another.
        if user.contains(&0) || password.bytes().contains(&0) {
            return wrong;
        }
        match timeout(PATIENCE, self.ask(user, password, origin)).await {
            Ok(Ok(Answer::Right)) => PasswordAnswer::Right,
            Ok(Ok(Answer::Wrong)) => wrong,
            Ok(Ok(Answer::Unavailable)) => {
                tracing::error!("dovecot could not check a password");
                PasswordAnswer::Unavailable
            }
            Ok(Err(error)) => {
                tracing::error!(socket = %self.socket.display(), %error, "cannot ask dovecot for a password");
                PasswordAnswer::Unavailable
            }
            Err(_) => {
                tracing::error!(socket = %self.socket.display(), "dovecot did not answer in time");
                PasswordAnswer::Unavailable
            }
        }
    }

    async fn ask(&self, user: &[u8], password: &Secret, origin: Origin) -> io::Result<Answer> {
        let stream = UnixStream::connect(&self.socket).await?;
        let mut stream = BufReader::new(stream.take(HEARD_BYTES_MAX));
        let hello = format!("VERSION\t1\t1\nCPID\t{}\n", std::process::id());
        stream.get_mut().get_mut().write_all(hello.as_bytes()).await?;
        until(&mut stream, |words| match words {
            ["VERSION", "1", ..] => Ok(None),
            ["VERSION", ..] => {
                Err(io::Error::new(io::ErrorKind::Unsupported, "its protocol is not version 1"))
            }
            ["DONE"] => Ok(Some(())),
            _ => Ok(None),
        })
        .await?;
        let response = STANDARD.encode([b"\0", user, b"\0", password.bytes()].concat());
        // The response is base64, so nothing that a client chose can begin a parameter or a line.
        // Whether a password may come in the clear was decided before it came; nobody logs in to Dovecot itself. The
        // address is for its log: were it to hold up answers to that address, up to 17 seconds each, the few questions
        // at once would all be some guesser's.
        let (client, here) = (origin.remote.ip(), origin.local.ip());
        let question = format!(
            "AUTH\t1\tPLAIN\tservice=smtp\tsecured\tnologin\tno-penalty\tlip={here}\trip={client}\tresp={response}\n"
        );
        stream.get_mut().get_mut().write_all(question.as_bytes()).await?;
        until(&mut stream, |words| match words {
            ["OK", "1", ..] => Ok(Some(Answer::Right)),
            ["FAIL", "1", rest @ ..] if rest.contains(&"temp") => Ok(Some(Answer::Unavailable)),
            ["FAIL", "1", ..] => Ok(Some(Answer::Wrong)),
            ["CONT", "1", ..] => Ok(Some(Answer::Unavailable)),
            _ => Ok(None),
        })
        .await
    }
}

/// Reads lines until one of them is what is waited for.
async fn until<T>(
    stream: &mut BufReader<tokio::io::Take<UnixStream>>,
    mut wanted: impl FnMut(&[&str]) -> io::Result<Option<T>>,
) -> io::Result<T> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let text = String::from_utf8_lossy(&line);
        let words: Vec<&str> = text.trim_end_matches('\n').split('\t').collect();
        if let Some(found) = wanted(&words)? {
            return Ok(found);
        }
    }
}
