//! What a line of the users file keeps of a password: one word for each way to check it, a space between them.
//!
//! | word | what it is |
//! |---|---|
//! | `$argon2id$…` | what `user add` writes |
//! | `$y$…`, `$6$…`, `$5$…`, `$2b$…`, `$1$…` | yescrypt, sha512-crypt, sha256-crypt, bcrypt, md5-crypt: lines of other systems |
//! | `{SCRAM-SHA-256}…` | for SCRAM |
//! | `{PLAIN.b64}…` | the password itself, for CRAM-MD5 |

use argon2::password_hash::rand_core::OsRng;
use argon2::password_hash::{Output, PasswordHash, Salt, SaltString};
use argon2::{Algorithm, Argon2, Block, Params, PasswordHasher as _, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use md5::Md5;
use sha_crypt::PasswordVerifier as _;

use crate::scram::{self, Credential};

/// Checked where there is no user at all, so that the answer takes as long as for one that `user add` has added; no
/// password has this hash. It stands here because a process that lives for one session has no time to make one.
pub(super) const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5J3Mgc2FsdA$bm8gcGFzc3dvcmQgaGFzIHRoaXMgaGFzaCBhdCBhbGw";

const CLEAR: &str = "{PLAIN.b64}";

/// What argon2 works in. It is used again: blocks of 19 MB that come and go on many threads are never given back by the
/// allocator, and a botnet's guesses would grow the server to half a gigabyte.
pub(super) type Memory = Vec<Block>;

/// Hashes a password for the file.
///
/// # Errors
/// Where argon2 takes no such password (it may have 4 GB).
pub fn hash(password: &[u8]) -> Result<String, argon2::password_hash::Error> {
    let salt = SaltString::generate(&mut OsRng);
    Ok(Argon2::default().hash_password(password, &salt)?.to_string())
}

/// The word for SCRAM, with a salt of its own.
pub(super) fn new_credential(password: &[u8]) -> Credential {
    let mut salt = [0; scram::SALT_BYTES];
    getrandom::fill(&mut salt).expect("a system that runs this program gives random bytes");
    Credential::new(password, &salt, scram::ITERATIONS)
}

/// The word for CRAM-MD5.
pub(super) fn in_clear(password: &[u8]) -> String {
    format!("{CLEAR}{}", STANDARD.encode(password))
}

/// The credential among the words.
pub(super) fn credential(field: &str) -> Option<Credential> {
    field.split(' ').find_map(|word| word.parse().ok())
}

/// The password itself among the words.
pub(super) fn clear(field: &str) -> Option<Vec<u8>> {
    field.split(' ').find_map(|word| STANDARD.decode(word.strip_prefix(CLEAR)?).ok())
}

/// Whether a response is that of the password (RFC 2195 §2), in the same time wherever it differs.
pub(super) fn cram_md5(password: &[u8], challenge: &[u8], response: &[u8]) -> bool {
    is_same(response, self::response(password, challenge).as_bytes())
}

/// What a client that knows the password says to a challenge.
pub(super) fn response(password: &[u8], challenge: &[u8]) -> String {
    let mut mac = Hmac::<Md5>::new_from_slice(password).expect("HMAC takes a key of any length");
    mac.update(challenge);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the password is the one that the first word was made of.
pub(super) fn verify(field: &str, password: &[u8], memory: &mut Memory) -> bool {
    let word = field.split(' ').next().unwrap_or_default();
    let answer = verify_word(word, password, memory);
    answer.unwrap_or_else(|| {
        tracing::error!("a hash in the users file is none that this server knows; its user cannot log in");
        false
    })
}

/// `None` where nobody knows what the word is.
fn verify_word(word: &str, password: &[u8], memory: &mut Memory) -> Option<bool> {
    if word.starts_with("$argon2") {
        return PasswordHash::new(word).and_then(|hash| argon(&hash, password, memory)).ok();
    }
    if word.starts_with("$y$") {
        return Some(yescrypt::Yescrypt::default().verify_password(password, word).is_ok());
    }
    if word.starts_with("$6$") || word.starts_with("$5$") {
        return Some(sha_crypt::ShaCrypt::default().verify_password(password, word).is_ok());
    }
    if word.starts_with("$2") {
        return bcrypt::verify(password, word).ok();
    }
    if let Some(rest) = word.strip_prefix("$1$") {
        let salt = rest.split('$').next().unwrap_or_default();
        return Some(is_same(&md5crypt::md5crypt(password, salt.as_bytes()), word.as_bytes()));
    }
    if let Ok(credential) = word.parse::<Credential>() {
        return Some(credential.is_of(password));
    }
    clear(word).map(|own| is_same(&own, password))
}

fn argon(
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

/// In the same time wherever they differ; their length is no secret.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(field: &str, password: &str) {
        let memory = &mut Memory::new();
        assert!(verify(field, password.as_bytes(), memory), "{field}");
        assert!(!verify(field, format!("{password}x").as_bytes(), memory), "{field}");
        assert!(!verify(field, b"", memory), "{field}");
    }

    /// Made by crypt(3) of Debian.
    #[test]
    fn hashes_of_other_systems_are_known() {
        check("$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1", "secret");
        check("$5$saltstring$C3o4O1TC6aRHF4FI.QSZMXtHbaj2gSXr4sUc/3NcUi.", "secret");
        check(
            "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
            "Hello world!",
        );
        check("$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW", "secret");
        check("$y$j9T$F5Jx5fExrKuPp53xLKQ..1$GmcwIgvdUC9qLWcKCi6gklUa1dM3ziD43YxYNURLKy0", "secret");
        check(&in_clear(b"secret"), "secret");
        check(&Credential::new(b"secret", b"salt", 2).to_string(), "secret");
    }

    #[test]
    fn nobodys_password_takes_as_long_as_that_of_who_was_added() {
        let params = |hash: &str| {
            PasswordHash::new(hash).map(|hash| (hash.algorithm, hash.version, hash.params)).unwrap().2
        };
        let params = [NOBODY, &hash(b"secret").unwrap()].map(|hash| params(hash).to_string());
        assert_eq!(params[0], params[1]);
        assert_eq!(PasswordHash::new(NOBODY).unwrap().hash.unwrap().len(), 32);
        assert!(!verify(NOBODY, b"", &mut Memory::new()));
    }

    /// RFC 2195 §2.
    #[test]
    fn a_response_is_that_of_the_standard() {
        let challenge = b"<1896.697170952@postoffice.reston.mci.net>";
        assert!(cram_md5(b"tanstaaftanstaaf", challenge, b"b913a602c7eda7a495b4e6e7334d3890"));
        assert!(!cram_md5(b"tanstaaftanstaaf", challenge, b"b913a602c7eda7a495b4e6e7334d3891"));
    }
}
