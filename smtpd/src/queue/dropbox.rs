//! The queue as a program sees it that lives for one session: it puts messages in, and another delivers them.
//!
//! All share one series of numbers; a message gets its place in `msg/` only if nobody has that, and then an order says
//! that it is there. So any number of such programs and one server can share a queue.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::durable;
use crate::queue::numbers::Numbers;
use crate::queue::store::prepare;
use crate::queue::{MessageId, Order, Spool};
use crate::session::Envelope;

/// A queue that others hold.
#[derive(Clone, Debug)]
pub struct Dropbox {
    directory: PathBuf,
    messages_max: usize,
    numbers: Arc<Numbers>,
}

impl Dropbox {
    /// The queue in `directory`, which is made where it is not there.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn open(directory: &Path, messages_max: usize) -> io::Result<Self> {
        prepare(directory)?;
        Ok(Dropbox {
            numbers: Arc::new(Numbers::open(directory)?),
            directory: directory.to_owned(),
            messages_max,
        })
    }

    /// A place for a message; `None` when the queue is full or takes nothing.
    pub(super) fn spool(&self, envelope: Envelope) -> Option<Spool> {
        let full = fs::read_dir(self.directory.join("msg")).map(|files| files.count() >= self.messages_max);
        match full {
            Ok(false) => {}
            Ok(true) => return None,
            Err(error) => {
                tracing::error!(%error, queue = %self.directory.display(), "cannot read the queue");
                return None;
            }
        }
        let spool = self.number().and_then(|id| {
            // No name that a server removes when it starts: this process lives on then.
            Spool::new(id, envelope, self.directory.join("tmp").join(format!("{id}.session")))
        });
        spool.inspect_err(|error| tracing::error!(%error, "cannot number a message")).ok()
    }

    fn number(&self) -> io::Result<MessageId> {
        loop {
            let id = self.numbers.next()?;
            if !self.directory.join("msg").join(id.to_string()).exists() {
                return Ok(id);
            }
        }
    }

    /// Makes a message safe, and leaves word of it.
    pub(super) fn commit(&self, mut spool: Spool) -> io::Result<()> {
        let path = self.directory.join("msg").join(spool.id.to_string());
        spool.finish(&path)?;
        durable::sync_parent(&path).or_else(|error| fs::remove_file(&path).and(Err(error)))?;
        // Without the word it is delivered after the server's next start: late, and not lost.
        if let Err(error) = Order::Take(spool.id).leave(&self.directory) {
            tracing::warn!(%error, "cannot leave word of a message; it is delivered after the server's next start");
        }
        Ok(())
    }
}
