//! What carries a session: a socket of our own, or the standard input and output that another program gave us.

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream as StdTcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::fs::{FileType, fstat};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, Stdin, Stdout};
use tokio::net::TcpStream;

/// Bytes of one client, in both directions.
#[derive(Debug)]
pub(crate) enum Stream {
    /// A connection.
    Tcp(TcpStream),
    /// Two pipes, as sslserver and recordio give them, or whatever else reads and writes.
    Pipes(Stdin, Stdout),
}

impl Stream {
    /// Standard input and output. A connection is taken as one, so that it is waited for and closed as any other.
    pub(crate) fn standard() -> io::Result<Self> {
        if connection_on_stdin()?.is_none() {
            return Ok(Stream::Pipes(tokio::io::stdin(), tokio::io::stdout()));
        }
        let stream = StdTcpStream::from(duplicate(io::stdin())?);
        stream.set_nonblocking(true)?;
        Ok(Stream::Tcp(TcpStream::from_std(stream)?))
    }
}

/// Both ends of the connection that standard input is: here, there. `None` where it is none, or where output goes
/// somewhere else.
pub(crate) fn connection_on_stdin() -> io::Result<Option<(SocketAddr, SocketAddr)>> {
    let (input, output) = (fstat(io::stdin())?, fstat(io::stdout())?);
    let is_socket = FileType::from_raw_mode(input.st_mode) == FileType::Socket;
    if !is_socket || (input.st_dev, input.st_ino) != (output.st_dev, output.st_ino) {
        return Ok(None);
    }
    let socket = socket2::Socket::from(duplicate(io::stdin())?);
    // A socket of another family has no such address, and is read like a pipe.
    let ends = (socket.local_addr()?.as_socket(), socket.peer_addr()?.as_socket());
    Ok(match ends {
        (Some(local), Some(remote)) => Some((local, remote)),
        _ => None,
    })
}

/// Whether standard error is the client's connection too, as under inetd: what is written there, the client gets.
pub(crate) fn stderr_is_the_client() -> bool {
    let (Ok(input), Ok(error)) = (fstat(io::stdin()), fstat(io::stderr())) else {
        return false;
    };
    FileType::from_raw_mode(input.st_mode) == FileType::Socket
        && (input.st_dev, input.st_ino) == (error.st_dev, error.st_ino)
}

/// Lets go of standard input and output, so that the client sees the end while this process has work left.
pub(crate) fn leave_standard() -> io::Result<()> {
    let nothing = File::options().read(true).write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    rustix::stdio::dup2_stdout(&nothing)?;
    Ok(())
}

/// Lets go of standard error.
pub(crate) fn leave_stderr() -> io::Result<()> {
    let nothing = File::options().write(true).open("/dev/null")?;
    Ok(rustix::stdio::dup2_stderr(&nothing)?)
}

fn duplicate(descriptor: impl AsFd) -> io::Result<OwnedFd> {
    descriptor.as_fd().try_clone_to_owned()
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Pipes(input, _) => Pin::new(input).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Pipes(_, output) => Pin::new(output).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Stream::Pipes(_, output) => Pin::new(output).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Pipes(_, output) => Pin::new(output).poll_flush(context),
        }
    }
}
