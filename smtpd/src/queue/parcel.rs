//! A message on its way out of a session: into the queue's own files, or into another's program.

use std::io;

use crate::queue::{QmailQueue, Spool};

/// A message that is coming in. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub enum Parcel {
    /// It becomes a file of our own queue.
    Spool(Box<Spool>),
    /// qmail-queue, or what stands in its place, gets it.
    Program(Box<QmailQueue>),
}

impl Parcel {
    /// The queue's number for it.
    pub fn qp(&self) -> u32 {
        match self {
            Parcel::Spool(spool) => spool.id().0,
            Parcel::Program(program) => program.pid(),
        }
    }

    /// Takes the next bytes into memory.
    pub fn append(&mut self, bytes: &[u8]) {
        match self {
            Parcel::Spool(spool) => spool.append(bytes),
            Parcel::Program(program) => program.append(bytes),
        }
    }

    /// Whether it is time to write.
    pub fn is_full(&self) -> bool {
        match self {
            Parcel::Spool(spool) => spool.is_full(),
            Parcel::Program(program) => program.is_full(),
        }
    }

    /// Writes what is in memory, and gives the parcel back.
    ///
    /// # Errors
    /// Where it is not taken; the parcel is gone then.
    pub async fn flush(self) -> io::Result<Self> {
        match self {
            Parcel::Spool(mut spool) => {
                let flushed = tokio::task::spawn_blocking(move || spool.flush().map(|()| spool)).await;
                flushed.map_err(io::Error::other)?.map(Parcel::Spool)
            }
            Parcel::Program(mut program) => program.flush().await.map(|()| Parcel::Program(program)),
        }
    }
}
