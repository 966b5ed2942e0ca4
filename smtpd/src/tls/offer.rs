//! What a server shows a client that wants TLS, and what it learns in return.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, ProtocolVersion, ServerConfig, ServerConnection};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use tokio_rustls::TlsAcceptor;
use x509_parser::oid_registry::{
    OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512,
};

use crate::config::Tls;
use crate::session::Handshake;
use crate::tls::TlsError;
use crate::tls::clients::Clients;

/// The certificates of one moment.
pub struct Offer {
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
    clients: Option<Arc<Clients>>,
}

impl std::fmt::Debug for Offer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Offer").field("certificates", &self.certificates).finish_non_exhaustive()
    }
}

/// A certificate for each name that a client may ask for, and one for all others.
#[derive(Debug)]
struct Certificates {
    usual: Shown,
    names: HashMap<String, Shown>,
}

/// A certificate with its key.
#[derive(Clone, Debug)]
struct Shown {
    key: Arc<CertifiedKey>,
    /// What a login can be bound to (RFC 5929 §4.1).
    hash: Vec<u8>,
}

impl Offer {
    /// Reads all files. TLS 1.2 and 1.3 only: what is older is broken (RFC 8996).
    pub(super) fn load(files: &Tls) -> Result<Self, TlsError> {
        let usual = shown(&files.certificate, &files.key)?;
        let mut names = HashMap::new();
        for host in &files.hosts {
            names.insert(host.name.to_ascii_lowercase(), shown(&host.certificate, &host.key)?);
        }
        let clients = files.clients_ca.as_deref().map(Clients::load).transpose()?.map(Arc::new);
        let certificates = Arc::new(Certificates { usual, names });
        let unusable = |cause| TlsError::Unusable {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            cause,
        };
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let builder = match &clients {
            Some(clients) => builder.with_client_cert_verifier(Arc::<Clients>::clone(clients)),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::<Certificates>::clone(&certificates));
        // The stronger cipher first, whatever a client would rather have.
        config.ignore_client_order = true;
        Ok(Offer { config: Arc::new(config), certificates, clients })
    }

    /// What makes a handshake.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }

    /// What a handshake told that this offer was made for.
    pub fn handshake(&self, connection: &ServerConnection) -> Handshake {
        let version = connection.protocol_version();
        let suite = connection.negotiated_cipher_suite().map(|suite| suite.suite());
        let shown = self.certificates.for_name(connection.server_name());
        let chain = connection.peer_certificates();
        Handshake {
            version: version.and_then(version_name),
            cipher: suite.and_then(suite_name),
            exporter: (version == Some(ProtocolVersion::TLSv1_3)).then(|| exporter(connection)).flatten(),
            end_point: Some(shown.hash.clone()),
            client: self.clients.as_ref().zip(chain).and_then(|(clients, chain)| clients.recognise(chain)),
        }
    }
}

impl Certificates {
    fn for_name(&self, name: Option<&str>) -> &Shown {
        // rustls gives names in lower case.
        let shown = name.and_then(|name| {
            let below =
                || name.split_once('.').and_then(|(_, parent)| self.names.get(&format!("*.{parent}")));
            self.names.get(name).or_else(below)
        });
        shown.unwrap_or(&self.usual)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.for_name(client_hello.server_name()).key))
    }
}

fn shown(certificate: &Path, key: &Path) -> Result<Shown, TlsError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |cause| TlsError::Unreadable { path, cause }
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(unreadable(certificate))?;
    let Some(hash) = chain.first().map(|own| end_point_hash(own)) else {
        return Err(TlsError::NoCertificate { path: certificate.to_owned() });
    };
    let secret = PrivateKeyDer::from_pem_file(key).map_err(unreadable(key))?;
    let pair = CertifiedKey::from_der(chain, secret, &ring::default_provider());
    let unusable =
        |cause| TlsError::Unusable { certificate: certificate.to_owned(), key: key.to_owned(), cause };
    Ok(Shown { key: Arc::new(pair.map_err(unusable)?), hash })
}

/// The certificate's hash, by the function that it is signed with, but by no weaker one than SHA-256 (RFC 5929 §4.1).
fn end_point_hash(certificate: &[u8]) -> Vec<u8> {
    let signed_with = x509_parser::parse_x509_certificate(certificate)
        .map(|(_, certificate)| certificate.signature_algorithm.algorithm)
        .ok();
    match signed_with {
        Some(oid) if oid == OID_PKCS1_SHA384WITHRSA || oid == OID_SIG_ECDSA_WITH_SHA384 => {
            Sha384::digest(certificate).to_vec()
        }
        Some(oid) if oid == OID_PKCS1_SHA512WITHRSA || oid == OID_SIG_ECDSA_WITH_SHA512 => {
            Sha512::digest(certificate).to_vec()
        }
        _ => Sha256::digest(certificate).to_vec(),
    }
}

/// What both ends alone know of the connection (RFC 9266 §2).
fn exporter(connection: &ServerConnection) -> Option<[u8; 32]> {
    connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b"")).ok()
}

fn version_name(version: ProtocolVersion) -> Option<&'static str> {
    match version {
        ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
        ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
        other => other.as_str(),
    }
}

/// The name in the registry of IANA; rustls has its own for those of TLS 1.3.
fn suite_name(suite: CipherSuite) -> Option<&'static str> {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => Some("TLS_AES_128_GCM_SHA256"),
        CipherSuite::TLS13_AES_256_GCM_SHA384 => Some("TLS_AES_256_GCM_SHA384"),
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => Some("TLS_CHACHA20_POLY1305_SHA256"),
        other => other.as_str(),
    }
}
