//! The other end of the control socket: what `banctl` asks with.

use std::path::{Path, PathBuf};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
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
    /// Somebody listens, and not to us.
    #[error("you may not ask the watcher on {}: be root, or in the group postern", path.display())]
    NotAllowed {
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
    let body = match body {
        Some(body) => serde_json::to_vec(body).map_err(ClientError::Answer)?,
        None => Vec::new(),
    };
    let answer = send(socket, method, path, body).await?;
    let body = answer.collect().await.map_err(ClientError::Broken)?.to_bytes();
    serde_json::from_slice(&body).map_err(ClientError::Answer)
}

/// One question, whose answer is given on piece by piece as it comes, until `take` has had enough, which is what is
/// returned.
///
/// # Errors
/// There is no answer, or it breaks off.
pub async fn copy(
    socket: &Path,
    path: &str,
    take: &mut dyn FnMut(&[u8]) -> std::io::Result<()>,
) -> Result<std::io::Result<()>, ClientError> {
    let mut answer = send(socket, Method::GET, path, Vec::new()).await?;
    while let Some(frame) = answer.frame().await {
        if let Ok(piece) = frame.map_err(ClientError::Broken)?.into_data()
            && let Err(error) = take(&piece)
        {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

/// Sends one question; the answer, where it is none that refuses.
async fn send(socket: &Path, method: Method, path: &str, body: Vec<u8>) -> Result<Incoming, ClientError> {
    let at = || socket.to_owned();
    let stream = UnixStream::connect(socket).await.map_err(|source| match source.kind() {
        std::io::ErrorKind::PermissionDenied => ClientError::NotAllowed { path: at(), source },
        _ => ClientError::NotRunning { path: at(), source },
    })?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(ClientError::Broken)?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "postern")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .expect("the method and the path are our own, and what was typed is escaped in it");
    let response = sender.send_request(request).await.map_err(ClientError::Broken)?;
    let status = response.status();
    if status.is_success() {
        return Ok(response.into_body());
    }
    let body = response.into_body().collect().await.map_err(ClientError::Broken)?.to_bytes();
    let message = serde_json::from_slice(&body).map_or_else(|_| status.to_string(), |m: Message| m.message);
    Err(ClientError::Refused { status, message })
}
