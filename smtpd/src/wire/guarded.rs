//! A connection under TLS, of which only so much is read as may become something: a client that sends pieces of a
//! handshake message of 64 KiB, or of any, and never the last, would have TLS keep them all.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::wire::Stream;

/// Bytes that may come without a byte for the session: two whole records (RFC 8446 §5.2), or a handshake with a client's
/// certificate and those of its authorities.
const UNREADABLE_BYTES_MAX: usize = 36 * 1024;

/// A stream that ends in an error where too much came that was nothing.
#[derive(Debug)]
pub(crate) struct Guarded {
    stream: Stream,
    left_bytes: usize,
}

impl Guarded {
    pub(super) fn new(stream: Stream) -> Self {
        Guarded { stream, left_bytes: UNREADABLE_BYTES_MAX }
    }

    /// What came was something.
    pub(super) fn renew(&mut self) {
        self.left_bytes = UNREADABLE_BYTES_MAX;
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let guarded = self.get_mut();
        let before = buffer.filled().len();
        ready!(Pin::new(&mut guarded.stream).poll_read(context, buffer))?;
        let read = buffer.filled().len() - before;
        let Some(left) = guarded.left_bytes.checked_sub(read) else {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        };
        guarded.left_bytes = left;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
