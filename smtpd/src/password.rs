//! Passwords: hashed with argon2id, checked a few at a time, and the same long for a user that does not exist.

mod program;

use std::sync::{Arc, Mutex, PoisonError};

use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{Output, PasswordHash, Salt, SaltString};
use argon2::{Algorithm, Argon2, Block, Params, PasswordHasher as _, Version};
use tokio::sync::Semaphore;

use crate::fingerprint::Key;
use crate::session::{PasswordAnswer, Secret};
use crate::users::UserFile;

pub use program::Checkpassword;

/// Whoever knows passwords.
#[derive(Debug)]
pub enum Authority {
    /// Our own file.
    File(Checker),
    /// Another's program.
    Program(Checkpassword),
}

impl Authority {
    /// Is this the user's password?
    pub async fn check(&self, user: Vec<u8>, password: Secret) -> PasswordAnswer {
        match self {
            Authority::File(checker) => checker.check(user, password).await,
            Authority::Program(program) => program.check(&user, &password).await,
        }
    }
}

/// Checks at once. Each takes a core and 19 MB for some 30 ms; more would let strangers take the whole machine.
const CHECKS_MAX: usize = 2;

/// Checks that are done or waited for, after which a login is put off (454): two seconds' worth.
const WAITING_MAX: u32 = 64;

/// Checked where there is no such user, so that the answer takes as long; no password has this hash. It stands here
/// because a process that lives for one session has no time to make one.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5J3Mgc2FsdA$bm8gcGFzc3dvcmQgaGFzIHRoaXMgaGFzaCBhdCBhbGw";

/// Hashes a password for the file.
///
/// # Errors
/// Where argon2 takes no such password (it may have 4 GB).
pub fn hash(password: &[u8]) -> Result<String, argon2::password_hash::Error> {
    let salt = SaltString::generate(&mut OsRng);
    Ok(Argon2::default().hash_password(password, &salt)?.to_string())
}

/// Whether a password is the one that was hashed.
pub fn verify(hash: &str, password: &[u8]) -> bool {
    verify_in(hash, password, &mut Memory::new())
}

/// What argon2 works in.
type Memory = Vec<Block>;

/// As [`verify`], in memory that is used again: blocks of 19 MB that come and go on many threads are never given back
/// by the allocator, and a botnet's guesses would grow the server to half a gigabyte.
fn verify_in(hash: &str, password: &[u8], memory: &mut Memory) -> bool {
    let answer = PasswordHash::new(hash).and_then(|hash| compare(&hash, password, memory));
    answer.unwrap_or_else(|error| {
        tracing::error!(%error, "a hash in the users file is none that this server knows; its user cannot log in");
        false
    })
}

fn compare(
    hash: &PasswordHash<'_>,
    password: &[u8],
    memory: &mut Memory,
) -> Result<bool, argon2::password_hash::Error> {
    use argon2::password_hash::Error;
    let params = Params::try_from(hash)?;
    let version = hash.version.map_or(Ok(Version::default()), Version::try_from)?;
    let (Some(salt), Some(expected)) = (hash.salt, hash.hash) else { return Err(Error::PhcStringField) };
    let mut room = [0; Salt::MAX_LENGTH];
    let salt = salt.decode_b64(&mut room)?;
    memory.resize(params.block_count(), Block::default());
    let argon = Argon2::new(Algorithm::try_from(hash.algorithm)?, version, params);
    // Compared in constant time, as `Output` does.
    let found = Output::init_with(expected.len(), |out| {
        argon.hash_password_into_with_memory(password, salt, out, &mut memory[..]).map_err(Into::into)
    })?;
    Ok(found == expected)
}

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
        let hash = users.hash(&user, &self.default_domain).map(str::to_owned);
        let (known, hash) = (hash.is_some(), hash.unwrap_or_else(|| NOBODY.to_owned()));
        let memories = Arc::clone(&self.memories);
        let verify = move || {
            let lying = || memories.lock().unwrap_or_else(PoisonError::into_inner);
            let mut memory = lying().pop().unwrap_or_default();
            let right = verify_in(&hash, password.bytes(), &mut memory);
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

    #[test]
    fn nobodys_password_takes_as_long_as_anybodys() {
        let params = |hash: &str| {
            PasswordHash::new(hash).map(|hash| (hash.algorithm, hash.version, hash.params)).unwrap().2
        };
        let params = [NOBODY, &hash(b"secret").unwrap()].map(|hash| params(hash).to_string());
        assert_eq!(params[0], params[1]);
        assert_eq!(PasswordHash::new(NOBODY).unwrap().hash.unwrap().len(), 32);
        assert!(!verify(NOBODY, b""));
    }

    #[tokio::test]
    async fn too_many_at_once_are_put_off() {
        let directory = tempfile::tempdir().unwrap();
        let checker = checker(&directory);
        let _all = checker.waiting.try_acquire_many(WAITING_MAX).unwrap();
        assert_eq!(check(&checker, "alice", "secret").await, PasswordAnswer::Unavailable);
    }
}
