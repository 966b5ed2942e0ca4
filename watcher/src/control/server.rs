//! The servers: the control socket, and the port for metrics and health. They run on a thread of their own and hold
//! nothing of the engine but the way to ask it.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::config::Token;
use crate::control::connection::{self, CONNECTIONS_MAX};
use crate::control::{Commands, Live, peer, routes};
use crate::metrics::Metrics;

/// Where no connection can be taken, as when there are no file descriptors, it is tried again after so long.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// The listeners, bound before anything else starts, so that a port in use is known at once.
#[derive(Debug)]
pub struct Server {
    control: std::os::unix::net::UnixListener,
    metrics: std::net::TcpListener,
    socket: PathBuf,
    /// Who knows it may lift a ban from the page.
    token: Option<Token>,
}

/// Why a listener cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Another watcher answers there.
    #[error("another watcher already answers on {}; stop it, or set another `socket`", .0.display())]
    Running(PathBuf),
    /// The socket cannot be made.
    #[error(
        "cannot listen on the control socket {}; may this user write its directory? set another `socket`", path.display()
    )]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The port cannot be had.
    #[error("cannot listen on {address} for metrics; {}", remedy(source))]
    Port {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

fn remedy(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::AddrInUse => "`ss -ltnp` shows who listens there: stop him, or set another `listen`",
        io::ErrorKind::AddrNotAvailable => "this host does not have that address: set another `listen`",
        io::ErrorKind::PermissionDenied => "ports below 1024 are for root: set another `listen`",
        _ => "set another `listen`",
    }
}

/// What every answer is made from.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) commands: Commands,
    pub(super) metrics: Arc<Metrics>,
    pub(super) database: Arc<PathBuf>,
    pub(super) live: Live,
}

impl Server {
    /// Binds both listeners. A socket file that nobody answers on is left over from a watcher that died, and replaced.
    ///
    /// # Errors
    /// One of them cannot be had.
    pub fn bind(socket: &Path, listen: SocketAddr, token: Option<Token>) -> Result<Server, ServerError> {
        let failed = |source| ServerError::Socket { path: socket.to_owned(), source };
        if std::os::unix::net::UnixStream::connect(socket).is_ok() {
            return Err(ServerError::Running(socket.to_owned()));
        }
        if let Some(directory) = socket.parent() {
            std::fs::create_dir_all(directory).map_err(failed)?;
        }
        match std::fs::remove_file(socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        let control = std::os::unix::net::UnixListener::bind(socket).map_err(failed)?;
        // Peers are asked who they are as well; the mode keeps others from even knocking.
        std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o660)).map_err(failed)?;
        if let Some(group) = peer::group() {
            // Without the right to give the socket to the group, root alone can use it: no reason not to start.
            let _ = std::os::unix::fs::chown(socket, None, Some(group));
        }
        let metrics = std::net::TcpListener::bind(listen)
            .map_err(|source| ServerError::Port { address: listen, source })?;
        control.set_nonblocking(true).map_err(failed)?;
        metrics.set_nonblocking(true).map_err(|source| ServerError::Port { address: listen, source })?;
        Ok(Server { control, metrics, socket: socket.to_owned(), token })
    }

    /// Serves on a thread of its own until `stop` is notified.
    ///
    /// # Errors
    /// The thread or its runtime cannot be had.
    pub fn start(
        self,
        commands: Commands,
        metrics: Arc<Metrics>,
        database: PathBuf,
        live: Live,
        stop: Arc<Notify>,
    ) -> io::Result<std::thread::JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = Shared { commands, metrics, database: Arc::new(database), live };
        std::thread::Builder::new().name("control".into()).spawn(move || {
            if let Err(error) = runtime.block_on(self.serve(shared, &stop)) {
                tracing::error!("the control socket is closed: {error}");
            }
        })
    }

    async fn serve(self, shared: Shared, stop: &Notify) -> io::Result<()> {
        let control = UnixListener::from_std(self.control)?;
        let port = TcpListener::from_std(self.metrics)?;
        let (ours, everybodys) = (routes::control(shared.clone()), routes::public(shared, self.token));
        tokio::select! {
            () = take_local(&control, &ours) => {}
            () = take_remote(&port, &everybodys) => {}
            () = stop.notified() => {}
        }
        // A socket that nobody answers on would make the next banctl wait for nothing.
        std::fs::remove_file(&self.socket)
    }
}

/// Takes connections of the control socket, for ever.
async fn take_local(listener: &UnixListener, app: &Router) {
    let (room, forbidden) = (Arc::new(Semaphore::new(CONNECTIONS_MAX)), routes::forbidden());
    loop {
        let place = place(&room).await;
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let (app, forbidden) = (app.clone(), forbidden.clone());
        tokio::spawn(async move {
            let app = if may_use(&stream).await { app } else { forbidden };
            connection::serve(stream, app).await;
            drop(place);
        });
    }
}

/// Takes connections of the port, for ever.
async fn take_remote(listener: &TcpListener, app: &Router) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = place(&room).await;
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let app = app.clone();
        tokio::spawn(async move {
            connection::serve(stream, app).await;
            drop(place);
        });
    }
}

/// Waits for room for one more connection.
async fn place(room: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(room).acquire_owned().await.ok()
}

/// Whether the process at the other end may use the socket. The tables of users may lie across a network, so they are
/// asked where nobody else waits.
async fn may_use(stream: &UnixStream) -> bool {
    let Ok(peer) = stream.peer_cred() else { return false };
    tokio::task::spawn_blocking(move || peer::may_use(peer)).await.unwrap_or(false)
}
