//! The key that mail is signed with (RFC 6376): made once, kept in a file, published as a record.
//!
//! It is RSA of 2,048 bits: whoever verifies Ed25519 verifies RSA too, and many verify nothing else (RFC 8463 §3 leaves the
//! choice to the signer). `ring` signs with it and cannot make one, which is why the crate `rsa` does that.

use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_auth::common::crypto::{RsaKey, Sha256};
use rsa::RsaPrivateKey;
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;

use crate::durable;

const KEY_BITS: usize = 2048;

/// What can sign: the key of the file, `ring`'s way.
///
/// # Errors
/// Where there is no such file, or no RSA key of at least 2,048 bits in it.
pub fn signing_key(path: &Path) -> io::Result<RsaKey<Sha256>> {
    let key = PrivateKeyDer::from_pem_slice(&std::fs::read(path)?).map_err(no_key)?;
    RsaKey::from_key_der(key).map_err(no_key)
}

/// The value of the record that lets others verify signatures by the key of this file.
///
/// # Errors
/// Where there is no such file, or no RSA key in it.
pub fn record(path: &Path) -> io::Result<String> {
    signing_key(path)?;
    let pem = std::fs::read_to_string(path)?;
    let key = RsaPrivateKey::from_pkcs8_pem(&pem).or_else(|_| RsaPrivateKey::from_pkcs1_pem(&pem));
    let public = key.map_err(no_key)?.to_public_key().to_public_key_der().map_err(no_key)?;
    Ok(format!("v=DKIM1; k=rsa; p={}", STANDARD.encode(public.as_bytes())))
}

/// Makes the file with a new key that its directory's owner alone can read, so that root can make it for the server.
///
/// # Errors
/// Where it cannot be written.
pub fn make(path: &Path) -> io::Result<()> {
    let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, KEY_BITS).map_err(io::Error::other)?;
    let pem = key.to_pkcs8_pem(LineEnding::LF).map_err(io::Error::other)?;
    path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    durable::replace(path, pem.as_bytes(), 0o600)
}

fn no_key(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, cause)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_for_its_owner_alone_and_its_record_fits_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state/dkim.pem");
        make(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let record = record(&path).unwrap();
        let public = STANDARD.decode(record.strip_prefix("v=DKIM1; k=rsa; p=").unwrap()).unwrap();
        // The record holds the key in its SubjectPublicKeyInfo (RFC 6376 erratum 3017), `ring` gives it bare.
        assert!(public.ends_with(&signing_key(&path).unwrap().public_key()));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("dkim.pem");
        for text in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(
                signing_key(&path).map(drop).unwrap_err().kind(),
                io::ErrorKind::InvalidData,
                "{text:?}"
            );
            assert_eq!(record(&path).unwrap_err().kind(), io::ErrorKind::InvalidData, "{text:?}");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(record(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
