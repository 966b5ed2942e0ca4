//! Mailboxes in an SQLite database, which is only read: the query gets the address and gives a row for one that exists.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use crate::mailbox::Mailbox;
use crate::session::RecipientAnswer;

/// How long a writer is waited for.
const BUSY: Duration = Duration::from_secs(5);

/// How long a query may take: whoever writes one that reads a whole table is not to stop all mail.
const PATIENCE: Duration = Duration::from_secs(10);

/// Steps of the database's machine between two looks at the clock: some hundred microseconds.
const STEPS: i32 = 10_000;

/// One database.
#[derive(Clone, Debug)]
pub struct Sqlite {
    path: PathBuf,
    query: String,
    patience: Duration,
    /// Opened at the first look-up, and again after it failed.
    connection: Arc<Mutex<Option<Connection>>>,
}

impl Sqlite {
    /// The database at `path`, and a query with one parameter, `?1`: the address in lower case.
    pub fn new(path: PathBuf, query: &str) -> Self {
        Sqlite { path, query: query.to_owned(), patience: PATIENCE, connection: Arc::default() }
    }

    /// The same, whose queries may take so long.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Sqlite { patience, ..self }
    }

    pub(super) async fn look_up(&self, mailbox: &Mailbox) -> RecipientAnswer {
        let address = format!("{}@{}", mailbox.local(), mailbox.domain()).to_ascii_lowercase();
        let this = self.clone();
        // Who waits for another's query does not begin anew to wait.
        let until = Instant::now() + self.patience;
        match tokio::task::spawn_blocking(move || this.has(&address, until)).await {
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

    fn has(&self, address: &str, until: Instant) -> rusqlite::Result<bool> {
        // A panic elsewhere leaves at worst no connection.
        let mut place = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let mut connection = match place.take() {
            Some(connection) => connection,
            None => {
                let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let connection = Connection::open_with_flags(&self.path, flags)?;
                connection.busy_timeout(BUSY)?;
                connection
            }
        };
        connection.progress_handler(STEPS, Some(move || Instant::now() > until))?;
        let found = connection.prepare_cached(&self.query)?.query_row([address], |_| Ok(())).optional()?;
        *place = Some(connection);
        Ok(found.is_some())
    }
}
