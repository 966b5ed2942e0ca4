//! JSON is posted to a web server, signed so that it can tell us from others.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hmac::{Hmac, Mac as _};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sha2::Sha256;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Where to, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    is_tls: bool,
    host: String,
    port: u16,
    path: String,
}

/// Why it was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum WebhookError {
    #[error("{0}")]
    Target(String),
    #[error("cannot connect to {0}")]
    Connect(String, #[source] io::Error),
    #[error("no certificate authority can be read from {}", .0.display())]
    Authorities(PathBuf),
    #[error("cannot be asked")]
    Tls(#[from] rustls::Error),
    #[error("the connection broke")]
    Http(#[from] hyper::Error),
    #[error("the server answered {0}")]
    Status(StatusCode),
}

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let wrong = || "an address as https://example.org/path, without a user".to_owned();
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err(wrong()),
        };
        let authority =
            uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(wrong)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Target { is_tls, host, port, path })
    }
}

/// Posts `body`, which was made at `now` (seconds since 1970).
pub(super) async fn post(
    url: &str,
    secret: Option<&[u8]>,
    authorities: &Path,
    id: &str,
    body: Vec<u8>,
    now: i64,
) -> Result<(), WebhookError> {
    let target: Target = url.parse().map_err(WebhookError::Target)?;
    let mut request = Request::post(&target.path)
        .header("host", format!("{}:{}", name(&target.host), target.port))
        .header("content-type", "application/json")
        .header("user-agent", concat!("postern-watcher/", env!("CARGO_PKG_VERSION")))
        .header("x-postern-delivery", id)
        .header("x-postern-timestamp", now);
    if let Some(secret) = secret {
        request = request.header("x-postern-signature", format!("sha256={}", signature(secret, now, &body)));
    }
    let request = request.body(Full::new(Bytes::from(body)));
    let request = request.map_err(|error| WebhookError::Target(error.to_string()))?;
    let connected = TcpStream::connect((target.host.as_str(), target.port)).await;
    let stream = connected.map_err(|source| WebhookError::Connect(target.host.clone(), source))?;
    if !target.is_tls {
        return send(stream, request).await;
    }
    let server = ServerName::try_from(target.host.clone());
    let server = server.map_err(|error| WebhookError::Target(error.to_string()))?;
    let connector = TlsConnector::from(Arc::new(trusting(authorities)?));
    let stream = connector.connect(server, stream).await;
    send(stream.map_err(|source| WebhookError::Connect(target.host, source))?, request).await
}

async fn send<S>(stream: S, request: Request<Full<Bytes>>) -> Result<(), WebhookError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driving = tokio::spawn(connection);
    let answer = sender.send_request(request).await;
    // What else the server has to say is not waited for.
    driving.abort();
    match answer?.status() {
        status if status.is_success() => Ok(()),
        status => Err(WebhookError::Status(status)),
    }
}

/// HMAC-SHA256 over the time, a dot and the body, in hexadecimal: the time keeps what was heard once from being said
/// again.
fn signature(secret: &[u8], now: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(format!("{now}.").as_bytes());
    mac.update(body);
    mac.finalize().into_bytes().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn trusting(authorities: &Path) -> Result<ClientConfig, WebhookError> {
    let unreadable = || WebhookError::Authorities(authorities.to_owned());
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(authorities).map_err(|_| unreadable())?;
    roots.add_parsable_certificates(certificates.filter_map(Result::ok));
    if roots.is_empty() {
        return Err(unreadable());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// A host as `Host` has it.
fn name(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_target(url: &str, expected: Option<(bool, &str, u16, &str)>) {
        let expected = expected.map(|(is_tls, host, port, path)| Target {
            is_tls,
            host: host.into(),
            port,
            path: path.into(),
        });
        assert_eq!(url.parse::<Target>().ok(), expected, "{url}");
    }

    #[test]
    fn an_address_names_a_server_and_a_path() {
        check_target("https://example.org/a?b=c", Some((true, "example.org", 443, "/a?b=c")));
        check_target("http://[::1]:8080", Some((false, "::1", 8080, "/")));
        for wrong in
            ["", "example.org/a", "ftp://example.org/", "https://user:word@example.org/", "http://a b/"]
        {
            check_target(wrong, None);
        }
    }

    #[test]
    fn a_signature_is_that_of_rfc_4231_over_time_and_body() {
        // RFC 4231 §4.3, its data "what do ya want for nothing?" behind "1.".
        let expected = signature(b"Jefe", 1, b"what do ya want for nothing?");
        let mut mac = Hmac::<Sha256>::new_from_slice(b"Jefe").unwrap();
        mac.update(b"1.what do ya want for nothing?");
        let whole: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(expected, whole);
        assert_ne!(expected, signature(b"Jefe", 2, b"what do ya want for nothing?"));
    }
}
