//! Connections that syslog comes over.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::syslog::framing::Framing;
use crate::tail::{Loss, Progress};

/// So many senders at once; who comes then is turned away.
const CONNECTIONS_MAX: usize = 64;

/// A sender that says nothing for so long is gone; one that lives connects again.
const IDLE_MAX: Duration = Duration::from_secs(3600);

/// So often one sender is read from before it is another's turn.
const BLOCKS_MAX: usize = 4;

/// Where connections come in.
#[derive(Debug)]
pub(super) enum Door {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A listener and who came to it.
#[derive(Debug)]
pub(super) struct Streams {
    door: Door,
    connections: Vec<Connection>,
}

#[derive(Debug)]
struct Connection {
    stream: OwnedFd,
    framing: Framing,
    heard: Instant,
}

impl Streams {
    pub(super) fn new(door: Door) -> io::Result<Streams> {
        match &door {
            Door::Tcp(listener) => listener.set_nonblocking(true)?,
            Door::Unix(listener) => listener.set_nonblocking(true)?,
        }
        Ok(Streams { door, connections: Vec::new() })
    }

    pub(super) fn fds(&self) -> Vec<BorrowedFd<'_>> {
        let streams = self.connections.iter().map(|connection| connection.stream.as_fd());
        std::iter::once(self.door.as_fd()).chain(streams).collect()
    }

    /// When the first sender will have been silent for too long.
    pub(super) fn due(&self) -> Option<Instant> {
        self.connections.iter().map(|connection| connection.heard + IDLE_MAX).min()
    }

    pub(super) fn read(
        &mut self,
        now: Instant,
        block: &mut [u8],
        each: &mut dyn FnMut(&[u8], bool),
        lose: &mut dyn FnMut(Loss),
    ) -> Progress {
        self.accept(now, lose);
        let mut progress = Progress::Idle;
        self.connections.retain_mut(|connection| {
            let read = connection.read(now, block, each);
            match read {
                Ok(Progress::Idle) => now.saturating_duration_since(connection.heard) < IDLE_MAX,
                Ok(Progress::More) => {
                    progress = Progress::More;
                    true
                }
                Err(loss) => {
                    loss.into_iter().for_each(&mut *lose);
                    false
                }
            }
        });
        progress
    }

    fn accept(&mut self, now: Instant, lose: &mut dyn FnMut(Loss)) {
        while let Ok(stream) = self.door.accept() {
            let unblocked = rustix::io::ioctl_fionbio(&stream, true);
            if self.connections.len() >= CONNECTIONS_MAX || unblocked.is_err() {
                lose(Loss::Refused);
                continue;
            }
            self.connections.push(Connection { stream, framing: Framing::default(), heard: now });
        }
    }
}

impl Door {
    fn accept(&self) -> io::Result<OwnedFd> {
        match self {
            Door::Tcp(listener) => listener.accept().map(|(stream, _)| stream.into()),
            Door::Unix(listener) => listener.accept().map(|(stream, _)| stream.into()),
        }
    }
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Door::Tcp(listener) => listener.as_fd(),
            Door::Unix(listener) => listener.as_fd(),
        }
    }
}

impl Connection {
    /// At its end, what was lost with it.
    fn read(
        &mut self,
        now: Instant,
        block: &mut [u8],
        each: &mut dyn FnMut(&[u8], bool),
    ) -> Result<Progress, Option<Loss>> {
        for _ in 0..BLOCKS_MAX {
            match rustix::io::read(&self.stream, &mut *block) {
                Ok(0) => return Err(self.framing.is_inside().then_some(Loss::Unfinished)),
                Ok(count) => {
                    self.heard = now;
                    let fed = self.framing.feed(block.get(..count).unwrap_or_default(), each);
                    fed.map_err(|_| Some(Loss::Refused))?;
                }
                Err(Errno::AGAIN) => return Ok(Progress::Idle),
                Err(Errno::INTR) => {}
                Err(_) => return Err(self.framing.is_inside().then_some(Loss::Unfinished)),
            }
        }
        Ok(Progress::More)
    }
}
