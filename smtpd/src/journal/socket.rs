//! The shortest way to a watcher: each fact is one datagram to a Unix socket.
//!
//! A session never waits for it. Lines go into a bounded queue, from which one thread sends them and waits for the
//! reader in their stead: while nobody listens, or who listens does not keep up, they are kept as long as there is room.
//! What finds no room is counted.

use std::collections::VecDeque;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use prometheus::{IntCounter, IntGauge};
use rustix::io::Errno;

/// So much is kept: some twenty thousand lines, which a watcher that starts anew has read in a moment.
const KEPT_BYTES_MAX: usize = 4 << 20;

/// A line's own cost in the queue.
const LINE_COST_BYTES: usize = 64;

/// Nobody listens: it is tried again so often.
const AGAIN: Duration = Duration::from_millis(250);

/// A reader who does not keep up is waited for so long before it is asked whether to stop.
const SEND_MAX: Duration = Duration::from_millis(500);

/// When the server stops, a reader that listens has so long to take what is kept.
const DRAIN_MAX: Duration = Duration::from_secs(1);

/// What is counted of it.
#[derive(Clone, Debug)]
pub(super) struct Counters {
    /// Facts that were not sent.
    pub(super) lost: IntCounter,
    /// Whether somebody listens.
    pub(super) connected: IntGauge,
}

/// The way to the socket.
#[derive(Debug)]
pub(super) struct LogSocket {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// No more lines come, and those that are there are to be gone by then.
    end: Option<Instant>,
}

impl LogSocket {
    /// Sends to `path`, where somebody may listen now, or later.
    ///
    /// # Errors
    /// Where there is no thread to be had.
    pub(super) fn open(path: &Path, counters: Counters) -> io::Result<Self> {
        let shared = Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new(), counters });
        let sender = Sender { path: path.to_owned(), shared: Arc::clone(&shared), reported: false };
        let thread = std::thread::Builder::new().name("log-socket".into()).spawn(move || sender.run())?;
        Ok(LogSocket { shared, thread: Mutex::new(Some(thread)) })
    }

    /// Hands a line over; never waits for whoever reads it.
    pub(super) fn push(&self, line: Vec<u8>) {
        let mut queue = self.shared.lock();
        let cost = line.len() + LINE_COST_BYTES;
        if queue.bytes + cost > KEPT_BYTES_MAX || queue.end.is_some() {
            self.shared.counters.lost.inc();
            return;
        }
        queue.bytes += cost;
        queue.lines.push_back(line);
        self.shared.changed.notify_one();
    }

    /// Sends what is left to whoever listens, and ends.
    pub(super) fn close(&self) {
        self.shared.lock().end.get_or_insert_with(|| Instant::now() + DRAIN_MAX);
        self.shared.changed.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A thread that panicked has said so itself.
        let _ = thread.map(JoinHandle::join);
    }
}

impl Drop for LogSocket {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A panic elsewhere leaves the queue whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The line that is next; waits for it. None at the end.
    fn next(&self) -> Option<Vec<u8>> {
        let mut queue = self.lock();
        loop {
            if let Some(line) = queue.lines.pop_front() {
                queue.bytes = queue.bytes.saturating_sub(line.len() + LINE_COST_BYTES);
                return Some(line);
            }
            if queue.end.is_some() {
                return None;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits before the next try; false where there is to be none.
    fn pause(&self) -> bool {
        let queue = self.lock();
        let (queue, _) = self
            .changed
            .wait_timeout_while(queue, AGAIN, |queue| queue.end.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        queue.end.is_none()
    }

    fn is_over(&self) -> bool {
        self.lock().end.is_some_and(|end| end <= Instant::now())
    }

    /// This line and all that are left are not sent.
    fn give_up(&self) {
        let left = self.lock().lines.len() as u64;
        self.counters.lost.inc_by(left + 1);
    }
}

/// The thread's own part.
struct Sender {
    path: PathBuf,
    shared: Arc<Shared>,
    /// The trouble was reported; it is again after it is over.
    reported: bool,
}

impl Sender {
    fn run(mut self) {
        let mut socket = None;
        while let Some(line) = self.shared.next() {
            if !self.send(&mut socket, &line) {
                self.shared.give_up();
                break;
            }
        }
        self.shared.counters.connected.set(0);
    }

    /// Sends one line, however long that takes; false where it was told to stop before.
    fn send(&mut self, socket: &mut Option<UnixDatagram>, line: &[u8]) -> bool {
        loop {
            let sent = match socket {
                Some(socket) => socket.send(line).map(|_| ()),
                None => connect(&self.path).map(|new| *socket = Some(new)).and_then(|()| {
                    self.connected();
                    socket.as_ref().map_or(Ok(0), |socket| socket.send(line)).map(|_| ())
                }),
            };
            let Err(error) = sent else { return true };
            if error.kind() == io::ErrorKind::Interrupted {
                continue;
            }
            if error.kind() == io::ErrorKind::WouldBlock {
                // The reader is there, and busy.
                if self.shared.is_over() {
                    return false;
                }
                continue;
            }
            if error.raw_os_error() == Some(Errno::MSGSIZE.raw_os_error()) {
                self.shared.counters.lost.inc();
                return true;
            }
            *socket = None;
            self.disconnected(&error);
            if !self.shared.pause() {
                return false;
            }
        }
    }

    fn connected(&mut self) {
        self.shared.counters.connected.set(1);
        if std::mem::replace(&mut self.reported, false) {
            tracing::info!("the log goes to {} again", self.path.display());
        }
    }

    fn disconnected(&mut self, error: &io::Error) {
        self.shared.counters.connected.set(0);
        if !std::mem::replace(&mut self.reported, true) {
            tracing::warn!(%error, "nobody takes the log at {}; it is kept and tried again", self.path.display());
        }
    }
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_write_timeout(Some(SEND_MAX))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters() -> Counters {
        let lost = IntCounter::new("lost", "help").unwrap();
        Counters { lost, connected: IntGauge::new("connected", "help").unwrap() }
    }

    fn line(n: u64) -> Vec<u8> {
        format!("line {n:01000}").into_bytes()
    }

    /// Takes datagrams until none comes any more.
    fn receive(socket: &UnixDatagram, count: u64, from: u64) {
        let mut buffer = [0; 2000];
        for n in from..from + count {
            let length = socket.recv(&mut buffer).unwrap();
            assert_eq!(buffer[..length], line(n));
        }
    }

    #[test]
    fn lines_are_kept_until_somebody_listens_and_no_longer_than_there_is_room() {
        let directory = tempfile::tempdir().unwrap();
        let (path, counters) = (directory.path().join("log.sock"), counters());
        let socket = LogSocket::open(&path, counters.clone()).unwrap();
        for n in 0..10_000 {
            socket.push(line(n));
        }
        let lost = counters.lost.get();
        assert!((1..9_999).contains(&lost), "{lost}");
        let reader = UnixDatagram::bind(&path).unwrap();
        receive(&reader, 10_000 - lost, 0);
        assert_eq!(counters.connected.get(), 1);
        assert_eq!(counters.lost.get(), lost);
    }

    #[test]
    fn a_reader_who_goes_and_comes_again_gets_what_comes_then() {
        let directory = tempfile::tempdir().unwrap();
        let (path, counters) = (directory.path().join("log.sock"), counters());
        let reader = UnixDatagram::bind(&path).unwrap();
        let socket = LogSocket::open(&path, counters.clone()).unwrap();
        socket.push(line(0));
        receive(&reader, 1, 0);
        drop(reader);
        std::fs::remove_file(&path).unwrap();
        (1..100).for_each(|n| socket.push(line(n)));
        let reader = UnixDatagram::bind(&path).unwrap();
        receive(&reader, 99, 1);
        (100..200).for_each(|n| socket.push(line(n)));
        let reading = std::thread::spawn(move || receive(&reader, 100, 100));
        socket.close();
        reading.join().unwrap();
        assert_eq!(counters.lost.get(), 0);
    }

    #[test]
    fn an_end_waits_for_nobody_who_is_not_there() {
        let directory = tempfile::tempdir().unwrap();
        let counters = counters();
        let socket = LogSocket::open(&directory.path().join("nobody.sock"), counters.clone()).unwrap();
        (0..10).for_each(|n| socket.push(line(n)));
        socket.close();
        assert_eq!(counters.lost.get(), 10);
        socket.push(line(10));
        assert_eq!(counters.lost.get(), 11);
    }
}
