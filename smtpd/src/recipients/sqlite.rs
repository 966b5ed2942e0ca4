//! Mailboxes in an SQLite database, which is only read: the query gets the address and gives a row for one that exists.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use crate::mailbox::Mailbox;
use crate::session::RecipientAnswer;

/// How long a writer is waited for.
const BUSY: Duration = Duration::from_secs(5);

/// One database.
#[derive(Clone, Debug)]
pub struct Sqlite {
    path: PathBuf,
    query: String,
    /// Opened at the first look-up, and again after it failed.
    connection: Arc<Mutex<Option<Connection>>>,
}

impl Sqlite {
    /// The database at `path`, and a query with one parameter, `?1`: the address in lower case.
    pub fn new(path: PathBuf, query: &str) -> Self {
        Sqlite { path, query: query.to_owned(), connection: Arc::default() }
    }

    pub(super) async fn look_up(&self, mailbox: &Mailbox) -> RecipientAnswer {
        let address = format!("{}@{}", mailbox.local(), mailbox.domain()).to_ascii_lowercase();
        let this = self.clone();
        match tokio::task::spawn_blocking(move || this.has(&address)).await {
            Ok(Ok(true)) => RecipientAnswer::Known,
            Ok(Ok(false)) => RecipientAnswer::Unknown,
            Ok(Err(error)) => {
                tracing::error!(database = %self.path.display(), %error, "cannot look for a recipient");
                RecipientAnswer::Unavailable
            }
            Err(error) => {
                tracing::error!(database = %self.path.display(), %error, "cannot look for a recipient");
                RecipientAnswer::Unavailable
            }
        }
    }

    fn has(&self, address: &str) -> rusqlite::Result<bool> {
        // A panic elsewhere leaves at worst no connection.
        let mut place = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = match place.take() {
            Some(connection) => connection,
            None => {
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let connection = Connection::open_with_flags(&self.path, flags)?;
                connection.busy_timeout(BUSY)?;
                connection
            }
        };
        let found = connection.prepare_cached(&self.query)?.query_row([address], |_| Ok(())).optional()?;
        *place = Some(connection);
        Ok(found.is_some())
    }
}
