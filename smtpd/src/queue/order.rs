//! What the administrator's command asks of a running server: a file whose name says it, taken within a second.
//!
//! A file needs no socket, no port and no protocol, and who may write it is decided by the directory's owner.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use logline::Timestamp;

use crate::queue::store::{self, Store};
use crate::queue::{Message, MessageId, StoreError};

/// How long a command waits for the server.
const WAIT: Duration = Duration::from_secs(5);

/// One order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Try this message now.
    Retry(MessageId),
    /// Remove it without telling anybody.
    Remove(MessageId),
    /// It was put into the queue by a session of another process.
    Take(MessageId),
}

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// There is no such message.
    #[error("there is no message {0} in the queue")]
    NoSuchMessage(MessageId),
    /// The queue cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file could not be read or written.
    #[error("cannot change the queue")]
    Io(#[from] io::Error),
    /// The server did not take the order.
    #[error("the running server did not answer within {} s", WAIT.as_secs())]
    NoAnswer,
}

impl Order {
    /// The message that is meant.
    pub fn message(self) -> MessageId {
        match self {
            Order::Retry(id) | Order::Remove(id) | Order::Take(id) => id,
        }
    }

    fn name(self) -> String {
        match self {
            Order::Retry(id) => format!("retry-{id}"),
            Order::Remove(id) => format!("remove-{id}"),
            Order::Take(id) => format!("take-{id}"),
        }
    }

    fn parse(name: &str) -> Option<Self> {
        let (verb, id) = name.split_once('-')?;
        let id = MessageId(id.parse().ok()?);
        match verb {
            "retry" => Some(Order::Retry(id)),
            "remove" => Some(Order::Remove(id)),
            "take" => Some(Order::Take(id)),
            _ => None,
        }
    }

    /// Has the running server carry it out; where none runs, does it itself.
    ///
    /// # Errors
    /// [`OrderError`].
    pub fn give(self, directory: &Path, now: Timestamp) -> Result<(), OrderError> {
        let id = self.message();
        let message = store::read(directory, id).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => OrderError::NoSuchMessage(id),
            _ => OrderError::Io(error),
        })?;
        match Store::open(directory) {
            Ok(store) => Ok(self.carry_out(&store, message, now)?),
            Err(StoreError::InUse { .. }) => self.post(directory),
            Err(error) => Err(error.into()),
        }
    }

    fn carry_out(self, store: &Store, message: Message, now: Timestamp) -> io::Result<()> {
        match self {
            Order::Retry(id) => {
                let mut state = message.state;
                state.next = now;
                store.save(id, &state)
            }
            Order::Remove(id) => store.remove(id),
            // Whoever opens the queue next finds it.
            Order::Take(_) => Ok(()),
        }
    }

    /// Leaves the order for whoever holds the queue, now or later.
    pub(super) fn leave(self, directory: &Path) -> io::Result<PathBuf> {
        let path = directory.join("orders").join(self.name());
        fs::write(&path, b"")?;
        Ok(path)
    }

    fn post(self, directory: &Path) -> Result<(), OrderError> {
        const STEP: Duration = Duration::from_millis(20);
        let path = self.leave(directory)?;
        let mut waited = Duration::ZERO;
        while path.exists() {
            if waited >= WAIT {
                fs::remove_file(&path)?;
                return Err(OrderError::NoAnswer);
            }
            std::thread::sleep(STEP);
            waited += STEP;
        }
        Ok(())
    }
}

/// Whether orders wait in a queue. What cannot be read has none that could be carried out.
pub fn orders_wait(directory: &Path) -> bool {
    orders_for(directory).is_ok_and(|orders| !orders.is_empty())
}

/// The orders that wait in a queue, with their files. A file is to be removed once its order is carried out.
pub(super) fn orders_for(directory: &Path) -> io::Result<Vec<(Order, PathBuf)>> {
    let mut orders = Vec::new();
    for entry in fs::read_dir(directory.join("orders"))? {
        let entry = entry?;
        orders.extend(entry.file_name().to_str().and_then(Order::parse).map(|order| (order, entry.path())));
    }
    Ok(orders)
}
