//! Netlink: messages written into one buffer, and the socket that carries them. Knows nothing of firewalls.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{self, AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

/// `NLM_F_DUMP`: give all that there are.
pub(super) const DUMP: u16 = 0x300;
/// `NLM_F_EXCL`: refuse what exists.
pub(super) const EXCLUSIVE: u16 = 0x200;
/// `NLM_F_CREATE`: make what does not exist.
pub(super) const CREATE: u16 = 0x400;

/// `NLM_F_REQUEST`: every message to the kernel.
const REQUEST: u16 = 0x1;
/// `NLM_F_ACK`: answer also when all is well.
const ACK: u16 = 0x4;
/// `NLM_F_DUMP_INTR` in an answer: the list changed while it was read.
const DUMP_INTERRUPTED: u16 = 0x10;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLA_F_NESTED: u16 = 0x8000;
const NLA_TYPE_MASK: u16 = 0x3fff;
const HEADER: usize = 16;
const ATTRIBUTE_HEADER: usize = 4;

/// The kernel sends no datagram above 32 KiB to one who reads with less.
const INBOX_BYTES: usize = 64 * 1024;
/// Room for the answers, and for a monitor's events, of the largest batch that is sent.
const SOCKET_BUFFER_BYTES: usize = 8 * 1024 * 1024;

/// Messages, one behind the other, as one datagram carries them. The buffer is kept from use to use.
#[derive(Default)]
pub(super) struct Messages {
    bytes: Vec<u8>,
    /// Number of the first message, of the last one, and of the one that is acknowledged.
    first: u32,
    sequence: u32,
    acknowledged: u32,
    /// Where the flags of the last message stand, and what they are.
    last_flags: (usize, u16),
}

impl Messages {
    /// Forgets the messages, keeps the buffer. Sequence numbers go on, so that a late answer is nobody's.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.first = self.sequence.wrapping_add(1);
    }

    /// True for no message.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How long the datagram is by now.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends a message: its type, its flags, and the `body` that is written by the methods below.
    pub(super) fn message(&mut self, kind: u16, flags: u16, body: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.sequence = self.sequence.wrapping_add(1);
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.last_flags = (self.bytes.len(), REQUEST | flags);
        self.bytes.extend_from_slice(&(REQUEST | flags).to_ne_bytes());
        self.bytes.extend_from_slice(&self.sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        body(self);
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        self.patch(start, &length.to_ne_bytes());
    }

    /// Asks for an acknowledgement of the message that was written last.
    ///
    /// One for a whole transaction is enough, and is all that surely fits the socket's buffer.
    pub(super) fn acknowledge(&mut self) {
        let (at, flags) = self.last_flags;
        self.patch(at, &(flags | ACK).to_ne_bytes());
        self.acknowledged = self.sequence;
    }

    /// Bytes as they are: a fixed structure, whose length is a multiple of four.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// An attribute of plain bytes.
    pub(super) fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.attribute(kind, |m| m.bytes.extend_from_slice(value));
    }

    /// An attribute that holds a number in network order.
    pub(super) fn u32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// An attribute that holds a number in network order.
    pub(super) fn u64(&mut self, kind: u16, value: u64) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// An attribute that holds text, written from its pieces, so that no name need be put together first.
    pub(super) fn text(&mut self, kind: u16, text: std::fmt::Arguments<'_>) {
        self.attribute(kind, |m| {
            match text.as_str() {
                Some(whole) => m.bytes.extend_from_slice(whole.as_bytes()),
                // A `Vec` takes all that is written to it, and our arguments' `Display` does not fail.
                None => _ = io::Write::write_fmt(&mut m.bytes, text),
            }
            m.bytes.push(0);
        });
    }

    /// An attribute that holds attributes.
    pub(super) fn nested(&mut self, kind: u16, body: impl FnOnce(&mut Self)) {
        self.attribute(kind | NLA_F_NESTED, body);
    }

    fn attribute(&mut self, kind: u16, body: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 2]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        body(self);
        // A length that does not fit (nothing written here comes near) is one that the kernel refuses.
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        self.patch(start, &length.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn patch(&mut self, start: usize, value: &[u8]) {
        if let Some(slot) = self.bytes.get_mut(start..start + value.len()) {
            slot.copy_from_slice(value);
        }
    }

    fn awaits(&self, sequence: u32) -> bool {
        sequence.wrapping_sub(self.first) <= self.sequence.wrapping_sub(self.first)
    }
}

/// One message that came from the kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer<'a> {
    /// Its type.
    pub(super) kind: u16,
    /// The port of the socket whose request it answers or, in an event, whose doing it tells of.
    pub(super) port: u32,
    /// What follows the netlink header.
    pub(super) payload: &'a [u8],
    flags: u16,
    sequence: u32,
}

impl<'a> Answer<'a> {
    /// The attributes that stand after a fixed structure of `skip` bytes.
    pub(super) fn attributes(&self, skip: usize) -> Attributes<'a> {
        Attributes(self.payload.get(skip..).unwrap_or_default())
    }

    /// What an acknowledgement says: nothing for another kind of message.
    fn verdict(&self) -> Option<Result<(), Errno>> {
        if self.kind != NLMSG_ERROR {
            return None;
        }
        let code = i32::from_ne_bytes(*self.payload.first_chunk()?);
        Some(if code == 0 { Ok(()) } else { Err(Errno::from_raw_os_error(code.wrapping_neg())) })
    }
}

/// The messages of a datagram that was received, in order; ends where one is cut short.
fn answers(mut datagram: &[u8]) -> impl Iterator<Item = Answer<'_>> {
    std::iter::from_fn(move || {
        let word = |at: usize| datagram.get(at..).and_then(|rest| rest.first_chunk::<4>());
        let half = |at: usize| datagram.get(at..).and_then(|rest| rest.first_chunk::<2>());
        let length = usize::try_from(u32::from_ne_bytes(*word(0)?)).ok()?;
        let answer = Answer {
            kind: u16::from_ne_bytes(*half(4)?),
            flags: u16::from_ne_bytes(*half(6)?),
            sequence: u32::from_ne_bytes(*word(8)?),
            port: u32::from_ne_bytes(*word(12)?),
            payload: datagram.get(HEADER..length)?,
        };
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(answer)
    })
}

/// Attributes, in order; ends where one is cut short.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attributes<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let &[l0, l1, k0, k1] = self.0.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = self.0.get(ATTRIBUTE_HEADER..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([k0, k1]) & NLA_TYPE_MASK, value))
    }
}

impl<'a> Attributes<'a> {
    /// The value of the first attribute of that type.
    pub(super) fn find(mut self, kind: u16) -> Option<&'a [u8]> {
        self.find_map(|(found, value)| (found == kind).then_some(value))
    }

    /// The attributes inside the first attribute of that type.
    pub(super) fn inside(self, kind: u16) -> Option<Attributes<'a>> {
        self.find(kind).map(Attributes)
    }

    /// The text of the first attribute of that type.
    pub(super) fn text(self, kind: u16) -> Option<&'a str> {
        let bytes = self.find(kind)?;
        std::str::from_utf8(bytes.strip_suffix(b"\0").unwrap_or(bytes)).ok()
    }

    /// The number, in network order, of the first attribute of that type.
    pub(super) fn u64(self, kind: u16) -> Option<u64> {
        self.find(kind)?.try_into().ok().map(u64::from_be_bytes)
    }
}

/// A netlink socket. The kernel answers within the call that sends, so nothing here ever waits.
pub(super) struct Socket {
    fd: OwnedFd,
    port: u32,
    inbox: Box<[u8]>,
}

impl Socket {
    /// Opens a socket of `protocol` that hears the multicast `groups` (a mask).
    pub(super) fn open(protocol: Protocol, groups: u32) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(protocol))?;
        enlarge(&fd);
        net::bind(&fd, &SocketAddrNetlink::new(0, groups))?;
        let port = SocketAddrNetlink::try_from(net::getsockname(&fd)?)?.pid();
        Ok(Socket { fd, port, inbox: vec![0; INBOX_BYTES].into_boxed_slice() })
    }

    /// The number by which the kernel names this socket.
    pub(super) fn port(&self) -> u32 {
        self.port
    }

    /// Hears the multicast `groups` from now on, and no others. What came before can still be read.
    pub(super) fn hear(&self, groups: u32) -> io::Result<()> {
        Ok(net::bind(&self.fd, &SocketAddrNetlink::new(self.port, groups))?)
    }

    /// Sends `messages` and gives what the kernel says of them: the first error, if there is one.
    ///
    /// [`Errno::NOBUFS`] means that an answer was lost: what was asked for may have been done.
    pub(super) fn transact(&mut self, messages: &Messages) -> Result<(), Errno> {
        self.ask(messages, |_| ())
    }

    /// Sends `messages` and hands what the kernel tells to `read`, to the end of the list or the acknowledgement.
    /// [`Errno::AGAIN`] is a list that changed while it was read.
    pub(super) fn ask(&mut self, messages: &Messages, mut read: impl FnMut(Answer<'_>)) -> Result<(), Errno> {
        net::send(&self.fd, &messages.bytes, SendFlags::empty())?;
        let mut failure = None;
        loop {
            let datagram = match self.receive() {
                Ok(Some(datagram)) => datagram,
                Ok(None) => return Err(failure.unwrap_or(Errno::NOBUFS)),
                // The answers that are left are read, or the next question would take them for its own.
                Err(Errno::NOBUFS) => {
                    failure = Some(Errno::NOBUFS);
                    continue;
                }
                Err(errno) => return Err(errno),
            };
            for answer in answers(datagram).filter(|answer| messages.awaits(answer.sequence)) {
                if answer.flags & DUMP_INTERRUPTED != 0 {
                    failure = failure.or(Some(Errno::AGAIN));
                }
                match answer.verdict() {
                    Some(verdict) => failure = failure.or(verdict.err()),
                    None if answer.kind == NLMSG_DONE => return failure.map_or(Ok(()), Err),
                    None => read(answer),
                }
                if answer.kind == NLMSG_ERROR && answer.sequence == messages.acknowledged {
                    return failure.map_or(Ok(()), Err);
                }
            }
        }
    }

    /// Hands every message that has come to `read`, without waiting.
    pub(super) fn drain(&mut self, mut read: impl FnMut(Answer<'_>)) -> Result<(), Errno> {
        while let Some(datagram) = self.receive()? {
            answers(datagram).for_each(&mut read);
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<Option<&[u8]>, Errno> {
        match net::recv(&self.fd, &mut *self.inbox, RecvFlags::empty()) {
            Ok((length, _)) => Ok(self.inbox.get(..length)),
            Err(Errno::AGAIN) => Ok(None),
            Err(errno) => Err(errno),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Asks for large buffers past the system's limit, which a container's root may not: then as far as the limit goes.
/// A refusal is no error, since batches are cut to fit the default.
fn enlarge(fd: &OwnedFd) {
    if sockopt::set_socket_send_buffer_size_force(fd, SOCKET_BUFFER_BYTES).is_err() {
        _ = sockopt::set_socket_send_buffer_size(fd, SOCKET_BUFFER_BYTES);
    }
    if sockopt::set_socket_recv_buffer_size_force(fd, SOCKET_BUFFER_BYTES).is_err() {
        _ = sockopt::set_socket_recv_buffer_size(fd, SOCKET_BUFFER_BYTES);
    }
}
