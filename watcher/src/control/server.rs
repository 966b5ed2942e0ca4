//! The servers: the control socket, and the port for metrics and health. They run on a thread of their own and hold
//! nothing of the engine but the way to ask it.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path as Segment, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use axum::{Router, serve};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Notify;

use crate::control::api::{
    AllowRequest, Allows, AskedList, BanRequest, BanView, Bans, EvidenceView, ExplainRequest, Explained,
    JailList, Message, Quotas, Status, SubjectsRequest, UnbanRequest, Why,
};
use crate::control::command::Busy;
use crate::control::{Command, Commands, peer};
use crate::metrics::Metrics;
use crate::store::{Reader, StoredBan};
use crate::subject::Subject;

/// A request body may be so large: 100,000 networks, one a line of JSON.
const BODY_BYTES_MAX: usize = 8 << 20;

/// `why` shows no more bans than this.
const BANS_SHOWN_MAX: u32 = 100;

/// The database is given so long to catch up before an answer says what is in it.
const FLUSH_WAIT: Duration = Duration::from_secs(2);

/// The listeners, bound before anything else starts, so that a port in use is known at once.
#[derive(Debug)]
pub struct Server {
    control: std::os::unix::net::UnixListener,
    metrics: std::net::TcpListener,
    socket: PathBuf,
}

/// Why a listener cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Another watcher answers there.
    #[error("another watcher already answers on {}; stop it, or set another `socket`", .0.display())]
    Running(PathBuf),
    /// The socket cannot be made.
    #[error("cannot listen on the control socket {}", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The port cannot be had.
    #[error("cannot listen on {address} for metrics; is it in use? set another `listen`")]
    Port {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

#[derive(Clone)]
struct Shared {
    commands: Commands,
    metrics: Arc<Metrics>,
    database: Arc<PathBuf>,
}

impl Server {
    /// Binds both listeners. A socket file that nobody answers on is left over from a watcher that died, and replaced.
    ///
    /// # Errors
    /// One of them cannot be had.
    pub fn bind(socket: &Path, listen: SocketAddr) -> Result<Server, ServerError> {
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
        Ok(Server { control, metrics, socket: socket.to_owned() })
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
        stop: Arc<Notify>,
    ) -> io::Result<std::thread::JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = Shared { commands, metrics, database: Arc::new(database) };
        std::thread::Builder::new().name("control".into()).spawn(move || {
            if let Err(error) = runtime.block_on(self.serve(shared, &stop)) {
                tracing::error!("the control socket is closed: {error}");
            }
        })
    }

    async fn serve(self, shared: Shared, stop: &Notify) -> io::Result<()> {
        let control = UnixListener::from_std(self.control)?;
        let metrics = TcpListener::from_std(self.metrics)?;
        let control_app = control_routes(shared.clone()).into_make_service_with_connect_info::<Peer>();
        let metrics_app = metrics_routes(shared);
        tokio::select! {
            ended = async { serve(control, control_app).await } => ended?,
            ended = async { serve(metrics, metrics_app).await } => ended?,
            () = stop.notified() => {}
        }
        // A socket that nobody answers on would make the next banctl wait for nothing.
        std::fs::remove_file(&self.socket)
    }
}

/// Who is at the other end of the control socket.
#[derive(Clone, Copy)]
struct Peer(Option<tokio::net::unix::UCred>);

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Peer(stream.io().peer_cred().ok())
    }
}

fn control_routes(shared: Shared) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/bans", get(list).post(ban))
        .route("/v1/bans/{*subject}", get(why))
        .route("/v1/unban", post(unban))
        .route("/v1/allow", get(allowed).post(allow))
        .route("/v1/disallow", post(disallow))
        .route("/v1/asked", get(asked))
        .route("/v1/confirm", post(confirm))
        .route("/v1/quota", get(quota))
        .route("/v1/explain", post(explain))
        .route("/v1/jails", get(jails))
        .route("/v1/reload", post(reload))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn(admit))
        .with_state(shared)
}

fn metrics_routes(shared: Shared) -> Router {
    Router::new().route("/metrics", get(expose)).route("/healthz", get(health)).with_state(shared)
}

async fn admit(ConnectInfo(Peer(peer)): ConnectInfo<Peer>, request: Request, next: Next) -> Response {
    match peer {
        Some(peer) if peer::may_use(peer) => next.run(request).await,
        Some(_) | None => {
            let message = "only root and the group postern may ask the watcher".to_owned();
            (StatusCode::FORBIDDEN, Json(Message { message })).into_response()
        }
    }
}

/// An answer that is none.
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(Message { message: self.1 })).into_response()
    }
}

impl From<Busy> for Refused {
    fn from(busy: Busy) -> Self {
        Refused(StatusCode::SERVICE_UNAVAILABLE, busy.to_string())
    }
}

async fn status(State(shared): State<Shared>) -> Result<Json<Status>, Refused> {
    Ok(Json(shared.commands.ask(Command::Status).await?))
}

async fn list(State(shared): State<Shared>) -> Result<Json<Bans>, Refused> {
    Ok(Json(shared.commands.ask(Command::List).await?))
}

async fn jails(State(shared): State<Shared>) -> Result<Json<JailList>, Refused> {
    Ok(Json(shared.commands.ask(Command::Jails).await?))
}

async fn allowed(State(shared): State<Shared>) -> Result<Json<Allows>, Refused> {
    Ok(Json(shared.commands.ask(Command::Allowed).await?))
}

async fn allow(State(shared): State<Shared>, body: Bytes) -> Result<Json<Allows>, Refused> {
    let request: AllowRequest = parse(&body)?;
    let allows = shared.commands.ask(|back| Command::Allow(request, back)).await?;
    flush(&shared).await;
    Ok(Json(allows))
}

async fn disallow(State(shared): State<Shared>, body: Bytes) -> Result<Json<Allows>, Refused> {
    let request: SubjectsRequest = parse(&body)?;
    let allows = shared.commands.ask(|back| Command::Disallow(request, back)).await?;
    flush(&shared).await;
    Ok(Json(allows))
}

async fn asked(State(shared): State<Shared>) -> Result<Json<AskedList>, Refused> {
    Ok(Json(shared.commands.ask(Command::Asked).await?))
}

async fn confirm(State(shared): State<Shared>, body: Bytes) -> Result<Json<Bans>, Refused> {
    let request: SubjectsRequest = parse(&body)?;
    let bans = shared.commands.ask(|back| Command::Confirm(request, back)).await?;
    flush(&shared).await;
    Ok(Json(bans))
}

async fn quota(State(shared): State<Shared>) -> Result<Json<Quotas>, Refused> {
    Ok(Json(shared.commands.ask(Command::Quota).await?))
}

async fn explain(State(shared): State<Shared>, body: Bytes) -> Result<Json<Explained>, Refused> {
    let request: ExplainRequest = parse(&body)?;
    match shared.commands.ask(|back| Command::Explain(request, back)).await? {
        Ok(explained) => Ok(Json(explained)),
        Err(Message { message }) => Err(Refused(StatusCode::BAD_REQUEST, message)),
    }
}

async fn reload(State(shared): State<Shared>) -> Result<Json<Message>, Refused> {
    match shared.commands.ask(Command::Reload).await? {
        Ok(message) => Ok(Json(message)),
        Err(Message { message }) => Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, message)),
    }
}

async fn ban(State(shared): State<Shared>, body: Bytes) -> Result<Json<Bans>, Refused> {
    let request: BanRequest = parse(&body)?;
    let bans = shared.commands.ask(|back| Command::Ban(request, back)).await?;
    flush(&shared).await;
    Ok(Json(bans))
}

async fn unban(State(shared): State<Shared>, body: Bytes) -> Result<Json<Bans>, Refused> {
    let request: UnbanRequest = parse(&body)?;
    let bans = shared.commands.ask(|back| Command::Unban(request, back)).await?;
    flush(&shared).await;
    Ok(Json(bans))
}

/// The engine says who is banned, the database why: a database that is lost takes only the evidence with it.
async fn why(State(shared): State<Shared>, Segment(subject): Segment<String>) -> Result<Json<Why>, Refused> {
    let subject: Subject = subject.parse().map_err(|error| Refused(StatusCode::BAD_REQUEST, error))?;
    let mut why = shared.commands.ask(|back| Command::Why(subject, back)).await?;
    flush(&shared).await;
    let subjects: Vec<Subject> = why.bans.iter().map(|ban| ban.subject.clone()).collect();
    let database = Arc::clone(&shared.database);
    let read = move || Reader::open(&database)?.bans(&subjects, BANS_SHOWN_MAX);
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(found)) => why.bans.iter_mut().for_each(|ban| ban.evidence = evidence(&found, ban)),
        Ok(Err(error)) => tracing::warn!("the evidence of a ban cannot be read: {error}"),
        Err(error) => tracing::warn!("the evidence of a ban was not read: {error}"),
    }
    Ok(Json(why))
}

fn evidence(found: &[StoredBan], ban: &BanView) -> Vec<EvidenceView> {
    let stored = found.iter().find(|stored| stored.subject == ban.subject && *stored.lease.jail == *ban.jail);
    stored.map(|stored| stored.evidence.iter().map(EvidenceView::of).collect()).unwrap_or_default()
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| Refused(StatusCode::BAD_REQUEST, error.to_string()))
}

/// Waits until what happened is written, so that what is answered now is still true after a crash.
async fn flush(shared: &Shared) {
    let (done, written) = sync_channel(1);
    if shared.commands.send(Command::Flush(done)).is_ok() {
        // A disk that is slower than that delays the answer no longer; the ban itself is in force.
        let _ = tokio::task::spawn_blocking(move || written.recv_timeout(FLUSH_WAIT)).await;
    }
}

async fn expose(State(shared): State<Shared>) -> Response {
    // An engine that is busy for so long leaves the values as they were when somebody looked last.
    let _ = tokio::time::timeout(FLUSH_WAIT, shared.commands.ask(Command::Publish)).await;
    let body = shared.metrics.expose();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], body).into_response()
}

async fn health(State(shared): State<Shared>) -> Response {
    match tokio::time::timeout(FLUSH_WAIT, shared.commands.ask(Command::Status)).await {
        Ok(Ok(status)) if status.ready => (StatusCode::OK, "ok\n").into_response(),
        Ok(Ok(_)) => (StatusCode::SERVICE_UNAVAILABLE, "bans are not yet in force\n").into_response(),
        Ok(Err(_)) | Err(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "the engine does not answer\n").into_response()
        }
    }
}
