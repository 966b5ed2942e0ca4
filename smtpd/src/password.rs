//! Passwords: checked a few at a time, and the same long for a user that does not exist.

mod dovecot;
mod even;
mod hashed;
mod program;
mod vpopmail;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use logline::Mechanism;
use tokio::sync::Semaphore;

use crate::config::Passwords;
use crate::fingerprint::Key;
use crate::scram::Credential;
use crate::session::{CredentialAnswer, PasswordAnswer, Peer, Secret};
use crate::users::{UserFile, Users};

use even::Even;
use hashed::Memory;

pub use dovecot::Dovecot;
pub use hashed::hash;
pub use program::Checkpassword;
pub use vpopmail::Vpopmail;

/// Whoever knows passwords.
#[derive(Debug)]
pub enum Authority {
    /// Our own file.
    File(Checker),
    /// Another's program.
    Program(Checkpassword),
    /// Dovecot's authentication server.
    Dovecot(Dovecot),
    /// vpopmail's files.
    Vpopmail(Vpopmail),
}

impl Authority {
    /// The authority of the settings.
    pub fn new(passwords: &Passwords, users: Arc<UserFile>, default_domain: &str, key: Key) -> Self {
        match passwords {
            Passwords::File => Authority::File(Checker::new(users, default_domain, key)),
            Passwords::Checkpassword(words) => match Checkpassword::new(words, key.clone()) {
                Some(program) => Authority::Program(program),
                // The settings name a program, or were refused.
                None => Authority::File(Checker::new(users, default_domain, key)),
            },
            Passwords::Dovecot(socket) => Authority::Dovecot(Dovecot::new(socket, key)),
            Passwords::Vpopmail(domains) => Authority::Vpopmail(Vpopmail::new(domains, default_domain, key)),
        }
    }

    /// Is this the user's password?
    pub async fn check(&self, user: Vec<u8>, password: Secret, origin: Origin) -> PasswordAnswer {
        match self {
            Authority::File(checker) => checker.check(user, password).await,
            Authority::Program(program) => program.check(&user, &password, origin).await,
            Authority::Dovecot(dovecot) => dovecot.check(&user, &password, origin).await,
            Authority::Vpopmail(vpopmail) => vpopmail.check(&user, password).await,
        }
    }

    /// Is this the response of the user's password to that challenge?
    pub async fn respond(
        &self,
        user: Vec<u8>,
        challenge: &str,
        response: Secret,
        origin: Origin,
    ) -> PasswordAnswer {
        match self {
            Authority::File(checker) => checker.respond(&user, challenge, &response),
            Authority::Program(program) => program.respond(&user, challenge, &response, origin).await,
            Authority::Dovecot(_) => PasswordAnswer::Unavailable,
            Authority::Vpopmail(vpopmail) => vpopmail.respond(&user, challenge, &response),
        }
    }

    /// What proves this user's password, for SCRAM.
    pub fn credential(&self, user: &[u8]) -> CredentialAnswer {
        match self {
            Authority::File(checker) => checker.credential(user),
            Authority::Program(_) | Authority::Dovecot(_) | Authority::Vpopmail(_) => {
                CredentialAnswer::Unavailable
            }
        }
    }
}

/// Both ends of the connection on which somebody logs in, for whoever else writes a log or counts failures.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// The client.
    pub remote: SocketAddr,
    /// What it connected to.
    pub local: SocketAddr,
}

impl From<&Peer> for Origin {
    fn from(peer: &Peer) -> Self {
        Origin { remote: peer.remote, local: peer.local }
    }
}

/// Passes an answer on, but a no not before answers mostly come.
async fn evenly(even: &Even, answer: impl Future<Output = PasswordAnswer>) -> PasswordAnswer {
    let asked = Instant::now();
    let answer = answer.await;
    let rest = even.rest(asked, Instant::now());
    match answer {
        PasswordAnswer::Wrong(_) | PasswordAnswer::WrongProof => tokio::time::sleep(rest).await,
        PasswordAnswer::Right | PasswordAnswer::Unavailable => {}
    }
    answer
}

/// Checks at once. Each takes a core and 19 MB for some 30 ms; more would let strangers take the whole machine.
const CHECKS_MAX: usize = 2;

/// Checks that are done or waited for, after which a login is put off (454): two seconds' worth.
const WAITING_MAX: u32 = 64;

/// Checks passwords for all sessions.
#[derive(Debug)]
pub struct Checker {
    users: Arc<UserFile>,
    default_domain: String,
    key: Key,
    checks: Semaphore,
    waiting: Semaphore,
    /// One for each check that is under way, lying here in between.
    memories: Arc<Mutex<Vec<Memory>>>,
}

impl Checker {
    /// A checker over the users of a file.
    pub fn new(users: Arc<UserFile>, default_domain: &str, key: Key) -> Self {
        Checker {
            users,
            default_domain: default_domain.to_owned(),
            key,
            checks: Semaphore::new(CHECKS_MAX),
            waiting: Semaphore::new(WAITING_MAX as usize),
            memories: Arc::default(),
        }
    }

    /// Is this the user's password? Waits its turn, unless too many wait.
    pub async fn check(&self, user: Vec<u8>, password: Secret) -> PasswordAnswer {
        let (Ok(_waiting), Ok(users)) = (self.waiting.try_acquire(), self.users.users()) else {
            return PasswordAnswer::Unavailable;
        };
        let Ok(_turn) = self.checks.acquire().await else {
            return PasswordAnswer::Unavailable;
        };
        let fingerprint = self.key.fingerprint(password.bytes());
        let (known, hash) = self.hash(&users, &user);
        let memories = Arc::clone(&self.memories);
        let verify = move || {
            let lying = || memories.lock().unwrap_or_else(PoisonError::into_inner);
            let mut memory = lying().pop().unwrap_or_default();
            let right = hashed::verify(&hash, password.bytes(), &mut memory);
            lying().push(memory);
            right
        };
        let verified = tokio::task::spawn_blocking(verify).await;
        match verified {
            Ok(true) if known => PasswordAnswer::Right,
            Ok(_) => PasswordAnswer::Wrong(fingerprint),
            Err(error) => {
                tracing::error!(%error, "checking a password failed");
                PasswordAnswer::Unavailable
            }
        }
    }
}

impl Checker {
    /// The user's hash. A name that nobody has is checked against somebody's, always the same one's, so that the answer
    /// takes as long as for a user, whatever the users' hashes are.
    fn hash(&self, users: &Users, user: &[u8]) -> (bool, String) {
        if let Some(hash) = users.hash(user, &self.default_domain) {
            return (true, hash.to_owned());
        }
        let count = users.names().len().max(1);
        let which = usize::from(self.key.fingerprint(&[b"nobody ", user].concat()).0) % count;
        let hash = users.names().get(which).and_then(|name| users.hash(name.text().as_bytes(), ""));
        (false, hash.unwrap_or(hashed::NOBODY).to_owned())
    }

    /// CRAM-MD5 is checked against the clear password, which only a user has who was added while it was offered.
    fn respond(&self, user: &[u8], challenge: &str, response: &Secret) -> PasswordAnswer {
        let Ok(users) = self.users.users() else {
            return PasswordAnswer::Unavailable;
        };
        let own = users.hash(user, &self.default_domain).and_then(hashed::clear);
        let is_known = own.is_some();
        let password = own.unwrap_or_else(|| b"nobody's".to_vec());
        let is_right = hashed::cram_md5(&password, challenge.as_bytes(), response.bytes());
        if is_known && is_right { PasswordAnswer::Right } else { PasswordAnswer::WrongProof }
    }

    fn credential(&self, user: &[u8]) -> CredentialAnswer {
        let Ok(users) = self.users.users() else {
            return CredentialAnswer::Unavailable;
        };
        let own = users.hash(user, &self.default_domain).and_then(hashed::credential);
        let nobodys = || {
            let example = users
                .names()
                .iter()
                .find_map(|name| users.hash(name.text().as_bytes(), "").and_then(hashed::credential));
            let name = user.to_ascii_lowercase();
            Credential::of_nobody(self.key.secret(), &name, example.as_ref())
        };
        CredentialAnswer::Found(Box::new(own.unwrap_or_else(nobodys)))
    }
}

/// What the file keeps of a new password, so that every mechanism that is offered works.
///
/// # Errors
/// Where argon2 takes no such password (it may have 4 GB).
pub fn field(password: &[u8], offered: &[Mechanism]) -> Result<String, argon2::password_hash::Error> {
    let mut field = hash(password)?;
    if offered.iter().any(|m| matches!(m, Mechanism::ScramSha256 | Mechanism::ScramSha256Plus)) {
        field += &format!(" {}", hashed::new_credential(password));
    }
    if offered.contains(&Mechanism::CramMd5) {
        field += &format!(" {}", hashed::in_clear(password));
    }
    Ok(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checker(directory: &tempfile::TempDir) -> Checker {
        let users = Arc::new(UserFile::new(&directory.path().join("users"), directory.path()));
        users.change(|users| users.set("alice".parse().unwrap(), hash(b"secret").unwrap())).unwrap();
        let key = Key::open(&directory.path().join("key")).unwrap();
        Checker::new(users, "example.org", key)
    }

    async fn check(checker: &Checker, user: &str, password: &str) -> PasswordAnswer {
        checker.check(user.into(), Secret::new(password.into())).await
    }

    #[tokio::test]
    async fn a_password_is_right_for_its_user_alone() {
        let directory = tempfile::tempdir().unwrap();
        let checker = checker(&directory);
        assert_eq!(check(&checker, "alice", "secret").await, PasswordAnswer::Right);
        assert_eq!(check(&checker, "Alice@example.org", "secret").await, PasswordAnswer::Right);
        let wrong = check(&checker, "alice", "guess").await;
        assert!(matches!(wrong, PasswordAnswer::Wrong(_)));
        assert_eq!(check(&checker, "nobody", "guess").await, wrong, "the fingerprint is the password's");
    }

    #[tokio::test]
    async fn every_mechanism_that_is_offered_works_for_a_new_user() {
        let directory = tempfile::tempdir().unwrap();
        let checker = checker(&directory);
        let field = field(b"horse", Mechanism::ALL).unwrap();
        checker.users.change(|users| users.set("bob".parse().unwrap(), field)).unwrap();
        assert_eq!(check(&checker, "bob", "horse").await, PasswordAnswer::Right);
        let answer = |user: &[u8], password: &[u8]| {
            let response = hashed::response(password, b"<1@mx>");
            checker.respond(user, "<1@mx>", &Secret::new(response.into_bytes()))
        };
        assert_eq!(answer(b"bob@example.org", b"horse"), PasswordAnswer::Right);
        for (user, password) in [("bob", "pony"), ("alice", "secret"), ("nobody", "nobody's")] {
            let found = answer(user.as_bytes(), password.as_bytes());
            assert_eq!(found, PasswordAnswer::WrongProof, "{user}");
        }
        let credential = |user: &[u8]| match checker.credential(user) {
            CredentialAnswer::Found(credential) => credential,
            CredentialAnswer::Unavailable => panic!("the file is there"),
        };
        assert!(credential(b"bob").is_of(b"horse"));
        assert_eq!(credential(b"Mallory"), credential(b"mallory"));
        assert!(!credential(b"alice").is_of(b"secret"), "alice was added before SCRAM was offered");
    }

    #[tokio::test]
    async fn too_many_at_once_are_put_off() {
        let directory = tempfile::tempdir().unwrap();
        let checker = checker(&directory);
        let _all = checker.waiting.try_acquire_many(WAITING_MAX).unwrap();
        assert_eq!(check(&checker, "alice", "secret").await, PasswordAnswer::Unavailable);
    }
}
