//! A UDP socket that knows how much the kernel threw away.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};

/// So much may wait in the kernel: what is sent in a second while the watcher does something else. The sender of a
/// datagram is never made to wait; what does not fit is lost.
const BUFFER_BYTES: usize = 8 << 20;

/// One socket.
#[derive(Debug)]
pub(super) struct Udp {
    socket: UdpSocket,
    /// Room for what the kernel says beside a datagram.
    beside: Vec<u8>,
    /// Dropped since the socket was made, as the kernel counts: it begins anew after 2^32.
    dropped: u32,
    told: u32,
}

impl Udp {
    pub(super) fn bind(address: SocketAddr) -> io::Result<Udp> {
        let socket = UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        // Beyond the system's limit with the right that bans need anyhow; without it as far as the limit goes.
        setsockopt(&socket, sockopt::RcvBufForce, &BUFFER_BYTES)
            .or_else(|_| setsockopt(&socket, sockopt::RcvBuf, &BUFFER_BYTES))?;
        setsockopt(&socket, sockopt::RxqOvfl, &1)?;
        Ok(Udp { socket, beside: nix::cmsg_space!(u32), dropped: 0, told: 0 })
    }

    /// Takes one datagram; what does not fit into `buffer` is cut.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (fd, mut parts) = (self.socket.as_raw_fd(), [IoSliceMut::new(buffer)]);
        let message = recvmsg::<SockaddrStorage>(fd, &mut parts, Some(&mut self.beside), MsgFlags::empty())?;
        for said in message.cmsgs()? {
            if let ControlMessageOwned::RxqOvfl(dropped) = said {
                self.dropped = dropped;
            }
        }
        Ok(message.bytes)
    }

    /// How many were dropped since this was asked last, as far as the kernel has told: it tells with the next datagram.
    pub(super) fn take_dropped(&mut self) -> u64 {
        let since = self.dropped.wrapping_sub(self.told);
        self.told = self.dropped;
        since.into()
    }
}

impl AsFd for Udp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
