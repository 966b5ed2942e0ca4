//! Certificates and keys: read, made where that is wanted, and read again on demand.

mod clients;
mod offer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls_pki_types::pem;

use crate::config::Tls;
use crate::durable;

pub use offer::Offer;

/// The certificates that are in use.
pub struct Keeper {
    files: Tls,
    current: RwLock<Arc<Offer>>,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("files", &self.files).finish_non_exhaustive()
    }
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: put the PEM file there and let this user read it, or set [tls] self_signed = true", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: pem::Error,
    },
    /// A file holds no certificate.
    #[error("there is no certificate in {}: it must hold the chain in PEM form", path.display())]
    NoCertificate {
        /// Which file.
        path: PathBuf,
    },
    /// Certificate and key cannot be used, or not together.
    #[error("certificate {} and key {} cannot be used together", certificate.display(), key.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why not.
        #[source]
        cause: rustls::Error,
    },
    /// The authorities of the clients' certificates cannot be used.
    #[error("cannot use {}: it must hold the certificates, in PEM form, of those who sign the clients' certificates", path.display())]
    Authorities {
        /// Which file.
        path: PathBuf,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate for {hostname}")]
    CannotMake {
        /// For which name.
        hostname: String,
        /// Why not.
        #[source]
        cause: rcgen::Error,
    },
    /// A certificate that was made could not be kept.
    #[error("cannot write {}", path.display())]
    CannotWrite {
        /// To which file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
}

impl Keeper {
    /// Reads certificates and keys. Where they may be self-signed and neither is there, makes them for `hostname`.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn open(files: &Tls, hostname: &str) -> Result<Self, TlsError> {
        if files.self_signed && !files.certificate.exists() && !files.key.exists() {
            make(files, hostname)?;
        }
        let current = RwLock::new(Arc::new(Offer::load(files)?));
        Ok(Keeper { files: files.clone(), current })
    }

    /// Reads the files again; where that fails, what was in use stays in use. Sessions that are open keep what they have.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn reload(&self) -> Result<(), TlsError> {
        let fresh = Arc::new(Offer::load(&self.files)?);
        // The value is replaced whole, so a panic elsewhere cannot have left half of it.
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// What makes the handshakes of connections from now on.
    pub fn offer(&self) -> Arc<Offer> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A certificate that nobody vouches for: it keeps passwords from listeners until there is a better one.
fn make(files: &Tls, hostname: &str) -> Result<(), TlsError> {
    let names = vec![hostname.to_owned(), "localhost".to_owned()];
    let made = rcgen::generate_simple_self_signed(names)
        .map_err(|cause| TlsError::CannotMake { hostname: hostname.to_owned(), cause })?;
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let write = |path: &Path, text: &str, mode| {
        let parent = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        parent
            .and_then(|()| durable::replace(path, text.as_bytes(), mode))
            .map_err(|cause| TlsError::CannotWrite { path: path.to_owned(), cause })
    };
    if files.certificate == files.key {
        return write(&files.key, &format!("{certificate}{key}"), 0o600);
    }
    write(&files.key, &key, 0o600)?;
    write(&files.certificate, &certificate, 0o644)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    use super::*;

    fn files(directory: &Path, certificate: &str, key: &str) -> Tls {
        Tls {
            certificate: directory.join(certificate),
            key: directory.join(key),
            self_signed: true,
            hosts: Vec::new(),
            clients_ca: None,
        }
    }

    #[test]
    fn a_certificate_is_made_once_and_its_key_is_secret() {
        let directory = tempfile::tempdir().unwrap();
        for (certificate, key) in [("cert.pem", "key.pem"), ("both.pem", "both.pem")] {
            let files = files(directory.path(), certificate, key);
            Keeper::open(&files, "mx.example.org").unwrap();
            let made = std::fs::read(&files.certificate).unwrap();
            assert_eq!(std::fs::metadata(&files.key).unwrap().permissions().mode() & 0o777, 0o600);
            Keeper::open(&files, "mx.example.org").unwrap().reload().unwrap();
            assert_eq!(std::fs::read(&files.certificate).unwrap(), made);
        }
    }

    #[test]
    fn what_cannot_be_used_is_told_and_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let files = files(directory.path(), "cert.pem", "key.pem");
        let keeper = Keeper::open(&files, "mx.example.org").unwrap();
        std::fs::write(&files.certificate, "nonsense").unwrap();
        assert!(matches!(keeper.reload(), Err(TlsError::NoCertificate { .. })));
        std::fs::remove_file(&files.certificate).unwrap();
        assert!(matches!(keeper.reload(), Err(TlsError::Unreadable { .. })));
        assert!(matches!(Keeper::open(&files, "mx.example.org"), Err(TlsError::Unreadable { .. })));
        keeper.offer();
    }

    fn openssl(directory: &Path, arguments: &str) -> String {
        let words = arguments.split(' ').map(|word| word.replace("_", " "));
        let made = Command::new("openssl").args(words).current_dir(directory).output().unwrap();
        assert!(made.status.success(), "{arguments}: {}", String::from_utf8_lossy(&made.stderr));
        String::from_utf8(made.stdout).unwrap()
    }

    /// Keys as OpenSSL wrote them in one year or another, and what else people have in `servercert.pem`.
    #[test]
    fn a_file_may_hold_key_and_chain_in_any_order_and_form() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let curve = openssl(at, "ecparam -name prime256v1 -genkey");
        std::fs::write(at.join("ec.key"), &curve).unwrap();
        let rsa = openssl(at, "genrsa -traditional 2048");
        std::fs::write(at.join("rsa.key"), &rsa).unwrap();
        let modern = openssl(at, "pkey -in rsa.key");
        let dh = "-----BEGIN DH PARAMETERS-----\nMAYCAQUCAQI=\n-----END DH PARAMETERS-----\n";
        for (name, keys) in [("ec", vec![curve]), ("rsa", vec![rsa, modern])] {
            let own = openssl(at, &format!("req -x509 -key {name}.key -subj /CN=mx.example.org -days 2"));
            for key in keys {
                for text in [
                    format!("{own}{key}"),
                    format!("{key}{own}{own}"),
                    format!("subject=mx\n{own}{dh}{own}{key}").replace('\n', "\r\n"),
                ] {
                    std::fs::write(at.join("servercert.pem"), &text).unwrap();
                    let files = files(at, "servercert.pem", "servercert.pem");
                    let keeper = Keeper::open(&files, "mx.example.org");
                    assert!(keeper.is_ok(), "{:?} of {text}", keeper.err());
                }
            }
        }
    }
}
