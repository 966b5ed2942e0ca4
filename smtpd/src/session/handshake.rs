//! What is known of a connection once it is encrypted.

/// What a handshake told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handshake {
    /// `TLSv1.3`; nothing where somebody in front encrypts.
    pub version: Option<&'static str>,
    /// `TLS_AES_256_GCM_SHA384`.
    pub cipher: Option<&'static str>,
    /// What both ends alone know of it (RFC 9266).
    pub exporter: Option<[u8; 32]>,
    /// The hash of our certificate (RFC 5929 §4).
    pub end_point: Option<Vec<u8>>,
    /// The client's certificate, where it showed one that a trusted authority has signed.
    pub client: Option<Client>,
}

/// Who the client is, by its certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// The mail addresses that stand in it.
    pub addresses: Vec<String>,
}

impl Handshake {
    /// Whether a login can be bound to the connection.
    pub fn can_bind(&self) -> bool {
        self.exporter.is_some() || self.end_point.is_some()
    }
}
