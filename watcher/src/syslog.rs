//! Takes syslog messages: on a Unix socket of its own, datagram or stream, or on an address that was named.
//!
//! Who may send may make up any line. The socket is for root and the group `postern`; an address is as trustworthy as
//! whoever can reach it. There is no cursor: what is sent while nobody listens is the sender's to keep.

mod framing;
mod message;
mod stream;
mod udp;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use logline::Timestamp;

use crate::feed::{Sent, one_line};
use crate::tail::{LINE_BYTES_MAX, Loss, Progress, Stats};

pub use framing::{Framing, NoFrame};
use stream::{Door, Streams};
use udp::Udp;

/// So many datagrams are read before it is another source's turn.
const TURN: usize = 1024;

/// An address that could not be had is asked for again so often.
const AGAIN: Duration = Duration::from_secs(10);

/// Where messages are sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A Unix datagram socket.
    Socket(PathBuf),
    /// `unix-stream://PATH`: a Unix stream socket.
    Stream(PathBuf),
    /// `udp://ADDRESS:PORT`
    Udp(SocketAddr),
    /// `tcp://ADDRESS:PORT`
    Tcp(SocketAddr),
}

/// Listens at one address.
#[derive(Debug)]
pub struct Listener {
    address: Address,
    state: State,
    stats: Stats,
    escaped: u64,
    /// Where messages are read into: a byte more than a line may have tells one that is too long.
    buffer: Box<[u8]>,
}

#[derive(Debug)]
enum State {
    /// The address cannot be had; when it is tried again.
    Closed(String, Instant),
    Unix(UnixDatagram),
    Udp(Udp),
    Streams(Streams),
}

impl Listener {
    /// Listens, or says in [`Listener::trouble`] why it cannot and tries again later.
    pub fn open(address: Address, now: Instant) -> Listener {
        let mut listener = Listener {
            address,
            state: State::Closed(String::new(), now),
            stats: Stats::default(),
            escaped: 0,
            buffer: vec![0; LINE_BYTES_MAX + 1].into_boxed_slice(),
        };
        listener.listen(now);
        listener
    }

    /// Become readable when there is something to read.
    pub fn fds(&self) -> Vec<BorrowedFd<'_>> {
        match &self.state {
            State::Closed(..) => Vec::new(),
            State::Unix(socket) => vec![socket.as_fd()],
            State::Udp(socket) => vec![socket.as_fd()],
            State::Streams(streams) => streams.fds(),
        }
    }

    /// When it is to be read even if nothing came.
    pub fn due(&self) -> Option<Instant> {
        match &self.state {
            State::Closed(_, again) => Some(*again),
            State::Unix(_) | State::Udp(_) => None,
            State::Streams(streams) => streams.due(),
        }
    }

    /// Reads what there is, up to a limit.
    pub fn read(
        &mut self,
        now: Instant,
        arrival: Timestamp,
        zone: &TimeZone,
        sink: &mut dyn FnMut(Sent<'_>),
    ) -> Progress {
        let Listener { state, stats, escaped, buffer, .. } = self;
        let (mut lost, mut dropped) = (Vec::new(), 0);
        let mut each = |message: &[u8], cut: bool| {
            stats.lines += 1;
            stats.cut_lines += u64::from(cut);
            let (line, was_escaped) = one_line(message);
            *escaped += u64::from(was_escaped);
            sink(Sent { envelope: message::open(&line, zone, arrival), line: &line });
        };
        let progress = match state {
            State::Closed(_, again) => {
                if *again <= now {
                    self.listen(now);
                }
                Progress::Idle
            }
            State::Unix(socket) => datagrams(buffer, &mut |buffer| socket.recv(buffer), &mut each),
            State::Udp(socket) => {
                let progress = datagrams(buffer, &mut |buffer| socket.receive(buffer), &mut each);
                dropped = socket.take_dropped();
                progress
            }
            State::Streams(streams) => streams.read(now, buffer, &mut each, &mut |loss| lost.push(loss)),
        };
        for loss in lost {
            self.stats.count(loss);
        }
        if dropped > 0 {
            *self.stats.lost.entry(Loss::Dropped).or_default() += dropped;
        }
        progress
    }

    /// What is wrong.
    pub fn trouble(&self) -> Option<&str> {
        match &self.state {
            State::Closed(trouble, _) => Some(trouble),
            State::Unix(_) | State::Udp(_) | State::Streams(_) => None,
        }
    }

    /// How it stands.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Messages of more than one line.
    pub fn escaped(&self) -> u64 {
        self.escaped
    }

    fn listen(&mut self, now: Instant) {
        let opened = match &self.address {
            Address::Socket(path) => socket(path).map(State::Unix),
            Address::Stream(path) => stream_socket(path).map(State::Streams),
            Address::Udp(address) => Udp::bind(*address).map(State::Udp),
            Address::Tcp(address) => {
                TcpListener::bind(address).and_then(|l| Streams::new(Door::Tcp(l))).map(State::Streams)
            }
        };
        self.state = opened.unwrap_or_else(|error| {
            let trouble = format!("cannot listen: {error}");
            if self.trouble().is_none_or(str::is_empty) {
                tracing::error!("{}: {trouble}", self.address);
            }
            State::Closed(trouble, now + AGAIN)
        });
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let (Address::Socket(path), State::Unix(_)) | (Address::Stream(path), State::Streams(_)) =
            (&self.address, &self.state)
        {
            // Who sends to a socket that is not there learns it at once. One that stays is removed at the next start.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Socket(path) => write!(f, "{}", path.display()),
            Address::Stream(path) => write!(f, "unix-stream://{}", path.display()),
            Address::Udp(address) => write!(f, "udp://{address}"),
            Address::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

/// Makes the datagram socket.
fn socket(path: &Path) -> io::Result<UnixDatagram> {
    make_room(path, || UnixDatagram::unbound()?.connect(path))?;
    let socket = UnixDatagram::bind(path)?;
    admit_the_group(path)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Makes the stream socket.
fn stream_socket(path: &Path) -> io::Result<Streams> {
    make_room(path, || UnixStream::connect(path).map(drop))?;
    let listener = UnixListener::bind(path)?;
    admit_the_group(path)?;
    Streams::new(Door::Unix(listener))
}

/// Removes a socket that nobody listens at any more; makes the directory where there is none.
fn make_room(path: &Path, knock: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        if knock().is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another program listens there"));
        }
        std::fs::remove_file(path)?;
    }
    path.parent().map_or(Ok(()), std::fs::create_dir_all)
}

fn admit_the_group(path: &Path) -> io::Result<()> {
    if let Some(group) = crate::control::group() {
        // Without the right to give the socket to the group, root alone can send: no reason not to listen.
        let _ = std::os::unix::fs::chown(path, None, Some(group));
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))
}

fn datagrams(
    buffer: &mut [u8],
    receive: &mut dyn FnMut(&mut [u8]) -> io::Result<usize>,
    each: &mut dyn FnMut(&[u8], bool),
) -> Progress {
    for _ in 0..TURN {
        match receive(buffer) {
            Ok(count) => {
                each(buffer.get(..count.min(LINE_BYTES_MAX)).unwrap_or_default(), count > LINE_BYTES_MAX);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Progress::Idle,
            // Of UDP: an error of an earlier datagram, told now.
            Err(_) => {}
        }
    }
    Progress::More
}
