//! The other end of the control socket: what `banctl` asks with.

use std::path::{Path, PathBuf};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::control::api::Message;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no watcher answers on {}; is postern-watcher running? (--socket names another)", path.display())]
    NotRunning {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The connection broke.
    #[error("the watcher went away")]
    Broken(#[source] hyper::Error),
    /// The answer is no JSON of ours.
    #[error("the watcher's answer cannot be read; is it another version?")]
    Answer(#[source] serde_json::Error),
    /// The watcher says no.
    #[error("{message}")]
    Refused {
        /// HTTP's word for it.
        status: StatusCode,
        /// Its own.
        message: String,
    },
}

/// One question, one answer.
///
/// # Errors
/// There is none.
pub async fn ask<A: DeserializeOwned>(
    socket: &Path,
    method: Method,
    path: &str,
    body: Option<&impl Serialize>,
) -> Result<A, ClientError> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|source| ClientError::NotRunning { path: socket.to_owned(), source })?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(ClientError::Broken)?;
    tokio::spawn(connection);
    let body = match body {
        Some(body) => serde_json::to_vec(body).map_err(ClientError::Answer)?,
        None => Vec::new(),
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "postern")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .expect("the method and the path are our own, and an address needs no escaping");
    let response = sender.send_request(request).await.map_err(ClientError::Broken)?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(ClientError::Broken)?.to_bytes();
    if status.is_success() {
        return serde_json::from_slice(&body).map_err(ClientError::Answer);
    }
    let message = serde_json::from_slice(&body).map_or_else(|_| status.to_string(), |m: Message| m.message);
    Err(ClientError::Refused { status, message })
}
