//! `[tls]`: certificate and key.

use std::path::{Path, PathBuf};

use settings::Table;

use super::control::Control;

/// `[tls]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// `certificate`
    pub certificate: PathBuf,
    /// `key`
    pub key: PathBuf,
    /// `self_signed`
    pub self_signed: bool,
}

pub(super) fn tls(table: &Table<'_>, state: &Path) -> Option<Tls> {
    let self_signed = table.get_or("self_signed", false);
    let (certificate, key) = (table.path("certificate"), table.path("key"));
    let Some(certificate) = certificate.or_else(|| self_signed.then(|| state.join("cert.pem"))) else {
        table.mistake_at_table("certificate is missing: the PEM file of the chain, or self_signed = true");
        return None;
    };
    let beside = if self_signed && !table.contains("certificate") {
        state.join("key.pem")
    } else {
        certificate.clone()
    };
    Some(Tls { key: key.unwrap_or(beside), certificate, self_signed })
}

/// qmail's `servercert.pem`, which holds the key as well.
pub(super) fn of_control(control: &Control) -> Option<Tls> {
    let certificate = control.file("servercert.pem")?;
    Some(Tls { key: certificate.clone(), certificate, self_signed: false })
}
