//! What tells one wrong password from another in the journal, and nothing more.

use std::fs;
use std::io;
use std::path::Path;

use hmac::{Hmac, Mac as _};
use logline::Fingerprint;
use sha2::Sha256;

use crate::durable;

const KEY_BYTES: usize = 32;

/// A secret of this server. Without it nobody can try passwords against the fingerprints in a log.
#[derive(Clone)]
pub struct Key([u8; KEY_BYTES]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// Reads the key, or makes one that only this user can read.
    ///
    /// # Errors
    /// Where the file can be neither read nor made, or holds something else.
    pub fn open(path: &Path) -> io::Result<Self> {
        match fs::read(path) {
            Ok(bytes) => match bytes.try_into() {
                Ok(key) => Ok(Key(key)),
                Err(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "not a key of 32 bytes")),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut key = [0; KEY_BYTES];
                getrandom::fill(&mut key)?;
                durable::replace(path, &key, 0o600)?;
                Ok(Key(key))
            }
            Err(error) => Err(error),
        }
    }

    /// The key itself, for what else only this server must be able to make.
    pub(crate) fn secret(&self) -> &[u8] {
        &self.0
    }

    /// 16 bits of HMAC-SHA256: equal passwords look equal, whoever's they are, and 65,535 in 65,536 others do not.
    pub fn fingerprint(&self, password: &[u8]) -> Fingerprint {
        // HMAC takes a key of any length; a MAC without one would be no secret, so no key means no fingerprint to tell.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            return Fingerprint(0);
        };
        mac.update(password);
        let bytes = mac.finalize().into_bytes();
        let [high, low] = [bytes.first(), bytes.get(1)].map(|byte| byte.copied().unwrap_or(0));
        Fingerprint(u16::from_be_bytes([high, low]))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept_secret() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fingerprint.key");
        let made = Key::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = Key::open(&path).unwrap();
        assert_eq!(made.fingerprint(b"secret"), read.fingerprint(b"secret"));
        assert_ne!(made.0, [0; KEY_BYTES]);
        fs::write(&path, b"short").unwrap();
        assert!(Key::open(&path).is_err());
    }

    #[test]
    fn the_key_decides_the_fingerprint() {
        let differ = (0..8)
            .map(|n| Key([n; KEY_BYTES]).fingerprint(b"secret"))
            .collect::<std::collections::HashSet<_>>();
        assert!(differ.len() > 1);
    }
}
