//! A connection's bytes, encrypted or not.

mod guarded;
mod stream;

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use crate::connection::READ_BYTES;
use crate::session::{Gone, Handshake};
use crate::tls::Offer;

use guarded::Guarded;

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
    Tls(Box<TlsStream<Guarded>>),
    /// The last word is said, and goes with the end of the connection.
    Said(Stream),
    /// Given up.
    Dead,
}

impl Wire {
    /// Reads what there is. The room for it is the stack's while it is being read, and then no larger than what came:
    /// of ten thousand clients that wait, none holds a buffer.
    pub(crate) async fn read(&mut self) -> Result<Vec<u8>, Gone> {
        poll_fn(|context| {
            let mut room = [const { MaybeUninit::uninit() }; READ_BYTES];
            let mut room = ReadBuf::uninit(&mut room);
            let read = ready!(self.poll_read(context, &mut room));
            Poll::Ready(read.map(|()| room.filled().to_vec()))
        })
        .await
    }

    fn poll_read(&mut self, context: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<Result<(), Gone>> {
        let (read, broken) = match self {
            Wire::Plain(stream) => (ready!(Pin::new(stream).poll_read(context, room)), Gone::Closed),
            Wire::Tls(stream) => {
                let read = ready!(Pin::new(&mut *stream).poll_read(context, room));
                stream.get_mut().0.renew();
                (read, Gone::TlsBroken)
            }
            Wire::Said(_) | Wire::Dead => return Poll::Ready(Err(Gone::Closed)),
        };
        Poll::Ready(match read {
            Ok(()) if room.filled().is_empty() => Err(Gone::Closed),
            Ok(()) => Ok(()),
            // rustls says so where what came is no TLS.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(broken),
            Err(_) => Err(Gone::Closed),
        })
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
                Wire::Said(_) | Wire::Dead => Err(io::ErrorKind::NotConnected.into()),
            }
        };
        timeout(patience, write).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Says the last word to a client that said so first and waits for nothing more. It goes out with the end of the
    /// connection, in one packet. How much of it was said: less than all where the connection must linger.
    pub(crate) fn farewell(&mut self, bytes: &[u8]) -> usize {
        let Wire::Plain(Stream::Tcp(stream)) = self else {
            return 0;
        };
        let look = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        if rustix::net::recv(&*stream, &mut [0; 1], look) != Err(Errno::AGAIN) {
            return 0;
        }
        let hold = SendFlags::MORE | SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let said = rustix::net::send(&*stream, bytes, hold).unwrap_or(0);
        if said == bytes.len()
            && let Wire::Plain(stream) = std::mem::replace(self, Wire::Dead)
        {
            *self = Wire::Said(stream);
        }
        said
    }

    /// Makes the handshake; a connection whose handshake fails is dead.
    pub(crate) async fn encrypt(&mut self, offer: &Offer, patience: Duration) -> io::Result<Handshake> {
        let Wire::Plain(stream) = std::mem::replace(self, Wire::Dead) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let accepted = timeout(patience, offer.acceptor().accept(Guarded::new(stream))).await;
        let mut stream = accepted.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        stream.get_mut().0.renew();
        let handshake = offer.handshake(stream.get_ref().1);
        *self = Wire::Tls(Box::new(stream));
        Ok(handshake)
    }

    /// Closes, and listens for a moment until the client does.
    pub(crate) async fn close(self) {
        let mut wire = match self {
            // Dropping it closes it.
            Wire::Said(stream) => return drop(stream),
            wire => wire,
        };
        // The connection is over whatever becomes of this.
        let _ = timeout(LINGER, async {
            match &mut wire {
                Wire::Plain(stream) => stream.shutdown().await?,
                Wire::Tls(stream) => stream.shutdown().await?,
                Wire::Said(_) | Wire::Dead => {}
            }
            let mut heard = 0;
            while heard < LINGER_BYTES_MAX {
                match wire.read().await {
                    Ok(bytes) => heard += bytes.len(),
                    Err(_) => break,
                }
            }
            io::Result::Ok(())
        })
        .await;
    }
}
