//! Certificate and key: read, made where that is wanted, and read again on demand.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls_pki_types::pem::{self, PemObject as _};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::Tls;
use crate::durable;

/// The certificate that is in use.
pub struct Keeper {
    files: Tls,
    current: RwLock<Arc<ServerConfig>>,
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
    /// Reads certificate and key. Where they may be self-signed and neither is there, makes them for `hostname`.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn open(files: &Tls, hostname: &str) -> Result<Self, TlsError> {
        if files.self_signed && !files.certificate.exists() && !files.key.exists() {
            make(files, hostname)?;
        }
        let current = RwLock::new(Arc::new(load(files)?));
        Ok(Keeper { files: files.clone(), current })
    }

    /// Reads the files again; where that fails, what was in use stays in use.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn reload(&self) -> Result<(), TlsError> {
        let fresh = Arc::new(load(&self.files)?);
        // The value is replaced whole, so a panic elsewhere cannot have left half of it.
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// What makes the handshakes of connections from now on.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// TLS 1.2 and 1.3 only: what is older is broken (RFC 8996).
fn load(files: &Tls) -> Result<ServerConfig, TlsError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |cause| TlsError::Unreadable { path, cause }
    };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(unreadable(&files.certificate))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: files.certificate.clone() });
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(unreadable(&files.key))?;
    let unusable =
        |cause| TlsError::Unusable { certificate: files.certificate.clone(), key: files.key.clone(), cause };
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)
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

    use super::*;

    fn files(directory: &Path, certificate: &str, key: &str) -> Tls {
        Tls { certificate: directory.join(certificate), key: directory.join(key), self_signed: true }
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
        keeper.acceptor();
    }
}
