//! A connection's bytes, encrypted or not.

mod stream;

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use crate::session::{Gone, Handshake};
use crate::tls::Offer;

pub(crate) use stream::{Stream, connection_on_stdin, leave_standard, leave_stderr, stderr_is_the_client};

/// How long a client is listened to after the last reply, so that the reply is not lost: a socket that is closed with
/// unread bytes in it sends a reset, which makes the client's kernel throw the reply away.
const LINGER: Duration = Duration::from_secs(2);

/// How much of it.
const LINGER_BYTES_MAX: usize = 256 * 1024;

/// One connection.
#[derive(Debug)]
pub(crate) enum Wire {
    /// In the clear.
    Plain(Stream),
    /// Encrypted.
    Tls(Box<TlsStream<Stream>>),
    /// Given up.
    Dead,
}

impl Wire {
    /// Reads what there is into `buffer`.
    pub(crate) async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Gone> {
        let (read, broken) = match self {
            Wire::Plain(stream) => (stream.read(buffer).await, Gone::Closed),
            Wire::Tls(stream) => (stream.read(buffer).await, Gone::TlsBroken),
            Wire::Dead => return Err(Gone::Closed),
        };
        match read {
            Ok(0) => Err(Gone::Closed),
            Ok(length) => Ok(length),
            // rustls says so where what came is no TLS.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(broken),
            Err(_) => Err(Gone::Closed),
        }
    }

    /// Writes all of `bytes`, to a client that reads.
    pub(crate) async fn write(&mut self, bytes: &[u8], patience: Duration) -> io::Result<()> {
        let write = async {
            match self {
                Wire::Plain(stream) => {
                    stream.write_all(bytes).await?;
                    stream.flush().await
                }
                Wire::Tls(stream) => {
                    stream.write_all(bytes).await?;
                    stream.flush().await
                }
                Wire::Dead => Err(io::ErrorKind::NotConnected.into()),
            }
        };
        timeout(patience, write).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Makes the handshake; a connection whose handshake fails is dead.
    pub(crate) async fn encrypt(&mut self, offer: &Offer, patience: Duration) -> io::Result<Handshake> {
        let Wire::Plain(stream) = std::mem::replace(self, Wire::Dead) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let accepted = timeout(patience, offer.acceptor().accept(stream)).await;
        let stream = accepted.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        let handshake = offer.handshake(stream.get_ref().1);
        *self = Wire::Tls(Box::new(stream));
        Ok(handshake)
    }

    /// Closes, and listens for a moment until the client does.
    pub(crate) async fn close(mut self) {
        let mut buffer = [0; 4096];
        // The connection is over whatever becomes of this.
        let _ = timeout(LINGER, async {
            match &mut self {
                Wire::Plain(stream) => stream.shutdown().await?,
                Wire::Tls(stream) => stream.shutdown().await?,
                Wire::Dead => {}
            }
            let mut heard = 0;
            while heard < LINGER_BYTES_MAX {
                match self.read(&mut buffer).await {
                    Ok(length) => heard += length,
                    Err(_) => break,
                }
            }
            io::Result::Ok(())
        })
        .await;
    }
}
