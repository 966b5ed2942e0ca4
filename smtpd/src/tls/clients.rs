//! Certificates that clients show, as qmail's `tlsclients` uses them.
//!
//! Every certificate is taken, for many a mail server shows one that nobody has signed, and its mail is welcome all the
//! same; only what a named authority has signed says who a client is.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::extensions::GeneralName;

use crate::session::Client;
use crate::tls::TlsError;

/// Who signs the certificates of clients that are known.
#[derive(Debug)]
pub(super) struct Clients {
    judge: Arc<dyn ClientCertVerifier>,
}

impl Clients {
    /// Reads the authorities' certificates.
    pub(super) fn load(path: &Path) -> Result<Self, TlsError> {
        let chain = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|cause| TlsError::Unreadable { path: path.to_owned(), cause })?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(chain);
        let judge =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(ring::default_provider()));
        let judge = judge.allow_unauthenticated().build();
        judge.map(|judge| Clients { judge }).map_err(|_| TlsError::Authorities { path: path.to_owned() })
    }

    /// Who the owner of a certificate is, where an authority says so.
    pub(super) fn recognise(&self, chain: &[CertificateDer<'_>]) -> Option<Client> {
        let (own, between) = chain.split_first()?;
        self.judge.verify_client_cert(own, between, UnixTime::now()).ok()?;
        Some(Client { addresses: addresses(own) })
    }
}

/// The mail addresses in a certificate: in its alternative names, and, as in old ones, in its subject.
fn addresses(certificate: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else {
        return Vec::new();
    };
    let subject = certificate.subject().iter_email().filter_map(|email| email.as_str().ok());
    let names = certificate.subject_alternative_name().ok().flatten();
    let alternative =
        names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
            GeneralName::RFC822Name(address) => Some(*address),
            _ => None,
        });
    subject.chain(alternative).map(str::to_owned).collect()
}

impl ClientCertVerifier for Clients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.judge.root_hint_subjects()
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        // Whether it says anything is found out by `recognise`.
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}
