//! The queue's files. Everything here blocks.

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use crate::durable::{self, Rounds};
use crate::header::Header;
use crate::queue::numbers::Numbers;
use crate::queue::{Message, MessageId, Spool, State};
use crate::session::Envelope;

/// Longest envelope: a hundred recipients of 900 bytes, and room.
const ENVELOPE_BYTES_MAX: u64 = 1_000_000;

/// Bytes of a message in which its identifier is looked for.
const HEADER_BYTES_MAX: u64 = 64 * 1024;

/// A file that nobody has written to for so long is nobody's any more: no session lives a day.
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 3600);

/// The files of one queue, held by one server at a time.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    numbers: Numbers,
    /// Messages that come at once share the sync of their names.
    rounds: Rounds,
    /// Locked while this store lives.
    _lock: File,
}

/// Why a queue cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another server holds it.
    #[error("the queue {} is in use by a running postern-smtpd", directory.display())]
    InUse {
        /// Which queue.
        directory: PathBuf,
    },
    /// It could not be made or read.
    #[error("cannot open the queue {}", directory.display())]
    Io {
        /// Which queue.
        directory: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
}

impl Store {
    /// Takes hold of the queue in `directory`, which is made where it is not there. What a crash left half written is
    /// removed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let failed = |cause| StoreError::Io { directory: directory.to_owned(), cause };
        let lock = prepare(directory).map_err(failed)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(StoreError::InUse { directory: directory.to_owned() });
            }
            Err(error) => return Err(failed(error.into())),
        }
        let store = Store {
            numbers: Numbers::open(directory).map_err(failed)?,
            directory: directory.to_owned(),
            rounds: Rounds::new(&directory.join("msg")),
            _lock: lock,
        };
        store.clean().map_err(failed)?;
        Ok(store)
    }

    /// A place for a message that is coming in.
    ///
    /// # Errors
    /// Where no number is to be had.
    pub fn spool(&self, envelope: Envelope) -> io::Result<Spool> {
        let mut id = self.numbers.next()?;
        // The file of the numbers may have been lost.
        while self.path("msg", id).exists() {
            id = self.numbers.next()?;
        }
        Spool::new(id, envelope, self.path("tmp", id))
    }

    /// Makes a message safe: when this returns, it survives a crash.
    ///
    /// # Errors
    /// Where the disk does not take it; then nothing of it is left.
    pub fn commit(&self, mut spool: Spool) -> io::Result<Message> {
        let path = self.path("msg", spool.id);
        spool.finish(&path)?;
        if let Err(error) = self.rounds.sync() {
            // The client is told to come again, so the message must not be delivered as well.
            fs::remove_file(&path)?;
            return Err(error);
        }
        let message_id = spool.header.message_id().map(<[u8]>::to_vec);
        let envelope = spool.envelope.clone();
        let state = State::new(&envelope);
        Ok(Message { id: spool.id, size_bytes: spool.size_bytes, message_id, state, envelope })
    }

    /// All messages, for a server that starts. One that cannot be read is told and left alone.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub fn scan(&self) -> io::Result<Vec<Message>> {
        scan(&self.directory)
    }

    /// Notes how far a message got.
    ///
    /// # Errors
    /// Where the disk does not take it.
    pub fn save(&self, id: MessageId, state: &State) -> io::Result<()> {
        durable::replace(&self.path("state", id), &serde_json::to_vec(state)?, 0o600)
    }

    /// Removes a message. Its name goes first: a state without a message is removed at the next start.
    ///
    /// # Errors
    /// Where a file cannot be removed.
    pub fn remove(&self, id: MessageId) -> io::Result<()> {
        for path in [self.path("msg", id), self.path("state", id)] {
            match fs::remove_file(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The text of a message, to be read from its first byte.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn text(&self, id: MessageId) -> io::Result<File> {
        text(&self.directory, id)
    }

    /// Where the queue is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn path(&self, place: &str, id: MessageId) -> PathBuf {
        self.directory.join(place).join(id.to_string())
    }

    fn clean(&self) -> io::Result<()> {
        for id in numbers(&self.directory.join("tmp"))? {
            fs::remove_file(self.path("tmp", id))?;
        }
        remove_abandoned(&self.directory.join("tmp"))?;
        for id in numbers(&self.directory.join("state"))? {
            if !self.path("msg", id).exists() {
                fs::remove_file(self.path("state", id))?;
            }
        }
        Ok(())
    }
}

/// Reads all messages of a queue that may be in use.
///
/// # Errors
/// Where the directory cannot be read.
pub fn scan(directory: &Path) -> io::Result<Vec<Message>> {
    let mut messages = Vec::new();
    for id in numbers(&directory.join("msg"))? {
        match read(directory, id) {
            Ok(message) => messages.push(message),
            // Delivered between listing and reading.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::error!(message = %id, %error, "cannot read a message of the queue; it stays there");
            }
        }
    }
    messages.sort_by_key(|message| message.id);
    Ok(messages)
}

/// Reads one message, without its text.
///
/// # Errors
/// Where it is not there or cannot be read.
pub fn read(directory: &Path, id: MessageId) -> io::Result<Message> {
    let path = directory.join("msg").join(id.to_string());
    let mut file = BufReader::new(File::open(&path)?);
    let (envelope, envelope_bytes) = envelope(&mut file)?;
    let size_bytes = file.get_ref().metadata()?.len().saturating_sub(envelope_bytes);
    let mut start = Vec::new();
    file.take(HEADER_BYTES_MAX).read_to_end(&mut start)?;
    let message_id = Header::of(&start).message_id().map(<[u8]>::to_vec);
    let state = match fs::read(directory.join("state").join(id.to_string())) {
        Ok(bytes) => serde_json::from_slice(&bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => State::new(&envelope),
        Err(error) => return Err(error),
    };
    if state.recipients.len() != envelope.recipients.len() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "envelope and state disagree about the recipients",
        ));
    }
    Ok(Message { id, envelope, size_bytes, message_id, state })
}

/// The text of a message of a queue that may be in use.
///
/// # Errors
/// Where it is not there or cannot be read.
pub fn text(directory: &Path, id: MessageId) -> io::Result<File> {
    let mut file = BufReader::new(File::open(directory.join("msg").join(id.to_string()))?);
    let (_, envelope_bytes) = envelope(&mut file)?;
    let mut file = file.into_inner();
    file.seek(io::SeekFrom::Start(envelope_bytes))?;
    Ok(file)
}

fn envelope(file: &mut BufReader<File>) -> io::Result<(Envelope, u64)> {
    let mut line = Vec::new();
    let bytes = file.by_ref().take(ENVELOPE_BYTES_MAX).read_until(b'\n', &mut line)?;
    Ok((serde_json::from_slice(&line)?, bytes as u64))
}

pub(super) fn prepare(directory: &Path) -> io::Result<File> {
    for place in ["tmp", "msg", "state", "orders"] {
        // Mail is nobody else's business.
        DirBuilder::new().recursive(true).mode(0o700).create(directory.join(place))?;
    }
    File::options().create(true).truncate(false).write(true).open(directory.join("lock"))
}

/// Removes what sessions of other processes left half written; one that is younger may still be written to.
fn remove_abandoned(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let Ok(modified) = entry.metadata().and_then(|file| file.modified()) else {
            // Gone between listing and looking.
            continue;
        };
        if modified.elapsed().is_ok_and(|age| age > ABANDONED_AFTER) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The files of a directory whose names are numbers; others are somebody else's.
fn numbers(directory: &Path) -> io::Result<Vec<MessageId>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.parse().ok()).map(MessageId));
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use logline::Timestamp;

    use super::*;
    use crate::queue::Fate;

    fn envelope() -> Envelope {
        Envelope {
            sender: Some("\"a b\"@example.net".parse().unwrap()),
            recipients: vec!["alice@example.org".parse().unwrap(), "bob@example.org".parse().unwrap()],
            received: Timestamp::from_seconds(1_795_262_400),
            client: Some([192, 0, 2, 7].into()),
            session: None,
            user: None,
            wishes: crate::dsn::Wishes::default(),
            smtputf8: false,
        }
    }

    fn accept(store: &Store, text: &[u8]) -> Message {
        let mut spool = store.spool(envelope()).unwrap();
        for chunk in text.chunks(1000) {
            spool.append(chunk);
            if spool.is_full() {
                spool.flush().unwrap();
            }
        }
        store.commit(spool).unwrap()
    }

    fn content(store: &Store, id: MessageId) -> Vec<u8> {
        let mut bytes = Vec::new();
        store.text(id).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_was_accepted_is_there_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let mut text = b"Message-ID: <1@example.net>\n\n".to_vec();
        text.extend([b'x'; 200_000]);
        let mut messages = vec![accept(&store, &text), accept(&store, b"")];
        drop(store.spool(envelope()).unwrap());
        messages[0].state.recipients[1] = Fate::Failed { report: "no".into() };
        messages[0].state.attempts = 3;
        store.save(messages[0].id, &messages[0].state).unwrap();
        let mut lost = store.spool(envelope()).unwrap();
        lost.append(b"half a mess");
        lost.flush().unwrap();
        std::mem::forget(lost);
        drop(store);

        let store = Store::open(directory.path()).unwrap();
        assert_eq!(store.scan().unwrap(), messages);
        assert_eq!(content(&store, messages[0].id), text);
        assert_eq!(messages[0].message_id.as_deref(), Some(&b"1@example.net"[..]));
        assert_eq!(fs::read_dir(directory.path().join("tmp")).unwrap().count(), 0);
        assert!(accept(&store, b"").id > messages[1].id);

        store.remove(messages[0].id).unwrap();
        assert_eq!(store.scan().unwrap().len(), 2);
        assert_eq!(fs::read_dir(directory.path().join("state")).unwrap().count(), 0);
    }

    #[test]
    fn a_queue_has_one_server() {
        let directory = tempfile::tempdir().unwrap();
        let _store = Store::open(directory.path()).unwrap();
        assert!(matches!(Store::open(directory.path()), Err(StoreError::InUse { .. })));
    }
}
