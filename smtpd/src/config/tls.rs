//! `[tls]`: certificates and keys.

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
    /// `[[tls.host]]`
    pub hosts: Vec<TlsHost>,
    /// `clients_ca`
    pub clients_ca: Option<PathBuf>,
}

/// `[[tls.host]]`: what a client is shown that asks for this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsHost {
    /// `name`
    pub name: String,
    /// `certificate`
    pub certificate: PathBuf,
    /// `key`
    pub key: PathBuf,
}

pub(super) fn tls(table: &Table<'_>, state: &Path) -> Option<Tls> {
    let self_signed = table.get_or("self_signed", false);
    let (certificate, key) = (table.path("certificate"), table.path("key"));
    let hosts = table.tables("host").iter().filter_map(host).collect();
    let clients_ca = table.path("clients_ca");
    let Some(certificate) = certificate.or_else(|| self_signed.then(|| state.join("cert.pem"))) else {
        table.mistake_at_table("certificate is missing: the PEM file of the chain, or self_signed = true");
        return None;
    };
    let beside = if self_signed && !table.contains("certificate") {
        state.join("key.pem")
    } else {
        certificate.clone()
    };
    Some(Tls { key: key.unwrap_or(beside), certificate, self_signed, hosts, clients_ca })
}

fn host(table: &Table<'_>) -> Option<TlsHost> {
    let (name, certificate, key) =
        (table.require::<String>("name"), table.path("certificate"), table.path("key"));
    let Some(certificate) = certificate else {
        table.mistake_at_table("certificate is missing: the PEM file of the chain");
        return None;
    };
    Some(TlsHost { name: name?, key: key.unwrap_or_else(|| certificate.clone()), certificate })
}

/// `clients`: whose certificate lets them send to other hosts.
pub(super) fn clients(table: &Table<'_>) -> Vec<String> {
    let clients = table.get_or("clients", Vec::<String>::new());
    if !clients.is_empty() && !table.contains("clients_ca") {
        table.mistake(
            "clients",
            "clients_ca is missing: the file of those who sign the clients' certificates",
        );
    }
    clients.iter().map(|address| address.to_lowercase()).collect()
}

/// qmail's `tlsclients`, an address a line.
pub(super) fn clients_of_control(control: &Control) -> Vec<String> {
    let lines = control.file("clientca.pem").and_then(|_| control.lines("tlsclients")).unwrap_or_default();
    lines.into_iter().map(|(_, address)| address.to_lowercase()).collect()
}

/// qmail's `servercert.pem`, which holds the key as well.
pub(super) fn of_control(control: &Control) -> Option<Tls> {
    let certificate = control.file("servercert.pem")?;
    let clients_ca = control.file("clientca.pem");
    Some(Tls { key: certificate.clone(), certificate, self_signed: false, hosts: Vec::new(), clients_ca })
}
