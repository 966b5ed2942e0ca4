//! The listeners, and the life of the whole server: start, serve, stop.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use logline::Record;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};

use crate::clock::now;
use crate::config::Listen;
use crate::connection::{Connection, Current, Place, Shared};
use crate::gate::Admission;
use crate::proxy::{self, Addresses};
use crate::session::{Grant, Peer, Policy, Rejection, Service, Session, refusal};
use crate::stop::Stop;
use crate::tcprules::Door;
use crate::wire::{Stream, Wire};

/// How long sessions and deliveries may go on after the server was told to stop.
pub const DRAIN: Duration = Duration::from_secs(10);

/// Connections the kernel holds before they are accepted.
const BACKLOG: i32 = 1024;

/// How long a balancer may take for its header.
const PROXY_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections whose PROXY header is awaited. They hold no place yet, so they need a limit of their own.
const PROXY_PENDING_MAX: usize = 1000;

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}", remedy(cause))]
pub struct BindError {
    /// Which address.
    pub address: SocketAddr,
    /// Why not.
    pub cause: io::Error,
}

fn remedy(cause: &io::Error) -> String {
    match cause.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens there; `ss -ltnp` shows which: stop it, or choose another address".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 are for root: start as root, give the right CAP_NET_BIND_SERVICE, or choose another port"
                .to_owned()
        }
        io::ErrorKind::AddrNotAvailable => "this host does not have that address".to_owned(),
        _ => cause.to_string(),
    }
}

/// Opens a listening socket. IPv6 sockets take IPv6 only, so that `0.0.0.0:25` and `[::]:25` can stand side by side.
///
/// # Errors
/// [`BindError`].
pub fn bind(address: SocketAddr) -> Result<std::net::TcpListener, BindError> {
    let open = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(std::net::TcpListener::from(socket))
    };
    open().map_err(|cause| BindError { address, cause })
}

/// A socket and what it is for.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    /// The address that all its connections have here; none where it listens on several.
    own: Option<SocketAddr>,
    service: Service,
    proxies: Vec<IpNet>,
}

impl Listener {
    /// Takes a socket into the runtime, which must run.
    ///
    /// # Errors
    /// Where the runtime does not take it.
    pub fn new(socket: std::net::TcpListener, listen: &Listen) -> io::Result<Self> {
        // Replies are written whole; waiting for more to send would only delay them. Connections inherit it.
        if let Err(error) = SockRef::from(&socket).set_tcp_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let own = socket.local_addr().ok().filter(|own| !own.ip().is_unspecified());
        let socket = TcpListener::from_std(socket)?;
        tracing::info!(address = %socket.local_addr()?, service = ?listen.service, "listening");
        Ok(Listener { socket, own, service: listen.service, proxies: listen.proxy.clone() })
    }

    /// Accepts connections until the server stops. Each holds a clone of `alive` for as long as it lives.
    pub async fn run(self, current: Arc<Current>, stop: Stop, alive: mpsc::Sender<()>) {
        let pending = Arc::new(Semaphore::new(PROXY_PENDING_MAX));
        let mut stopped = stop.clone();
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = stopped.requested() => return,
            };
            let (stream, remote) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, say: trying at once again would only burn the processor.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let arrival =
                Arrival { stream, service: self.service, shared: current.get(), stop: stop.clone() };
            let (remote, alive) = (canonical(remote), alive.clone());
            if !self.proxies.iter().any(|network| network.contains(&remote.ip())) {
                arrival.admit(self.own, remote, alive);
                continue;
            }
            let Ok(permit) = Arc::clone(&pending).try_acquire_owned() else {
                tracing::warn!(%remote, "too many connections wait for a PROXY header");
                continue;
            };
            tokio::spawn(async move {
                arrival.admit_proxied(remote, alive).await;
                drop(permit);
            });
        }
    }
}

/// A connection that is no session yet.
struct Arrival {
    stream: TcpStream,
    service: Service,
    shared: Arc<Shared>,
    stop: Stop,
}

impl Arrival {
    async fn admit_proxied(mut self, balancer: SocketAddr, alive: mpsc::Sender<()>) {
        match tokio::time::timeout(PROXY_TIMEOUT, header(&mut self.stream)).await {
            Ok(Some(Some(Addresses { remote, local }))) => self.admit(Some(local), remote, alive),
            Ok(Some(None)) => self.admit(None, balancer, alive),
            Ok(None) => {
                tracing::warn!(%balancer, "no PROXY header from a peer that is configured to send one");
            }
            Err(_) => tracing::warn!(%balancer, "a PROXY header did not come in time"),
        }
    }

    /// Makes it a session, or turns it away.
    fn admit(self, local: Option<SocketAddr>, remote: SocketAddr, alive: mpsc::Sender<()>) {
        let local = local.or_else(|| self.stream.local_addr().ok()).map_or(unknown(), canonical);
        let mut facts: Vec<Record<'static>> = Vec::new();
        let Some((mut policy, grant)) = self.door(remote.ip()) else {
            let mut gate = self.shared.gate();
            gate.deny(local, remote, &mut facts);
            facts.iter().for_each(|fact| self.shared.telemetry.note(fact));
            return;
        };
        let admission = {
            let mut gate = self.shared.gate();
            let (admission, why) = if self.shared.pace.is_too_fast(now(), remote.ip()) {
                (Admission::Denied(gate.deny(local, remote, &mut facts)), Rejection::TooFast)
            } else {
                (gate.enter(local, remote, &mut facts), Rejection::TooManyConnections)
            };
            if let Admission::Denied(session) = admission {
                // Before `end`, so that the session is still bound to its address.
                let peer = self.peer(session, local, remote, grant.clone());
                let denied = refusal(&self.shared.policy, peer, why);
                facts.insert(facts.len().saturating_sub(1), denied.fact);
                self.turn_away(&denied.reply);
            }
            if gate.is_crowded() {
                policy = self.hurried(&policy);
            }
            for fact in &facts {
                self.shared.telemetry.note(fact);
            }
            admission
        };
        let Admission::Admitted(number) = admission else {
            return;
        };
        let place = Place::new(Arc::clone(&self.shared), number);
        let session = Session::new(policy, self.peer(number, local, remote, grant), now());
        let connection = Connection::new(Wire::Plain(Stream::Tcp(self.stream)), session, self.shared);
        // Boxed where it is made, because it is large, and the runtime would move it several times.
        tokio::spawn(Box::pin(async move {
            let (end, wire) = connection.run(self.stop).await;
            // The session is over for the journal now; the socket lingers without holding a place.
            place.leave(end);
            wire.close().await;
            drop(alive);
        }));
    }

    /// The same rules with less patience.
    fn hurried(&self, policy: &Arc<Policy>) -> Arc<Policy> {
        match Arc::ptr_eq(policy, &self.shared.policy) {
            true => Arc::clone(&self.shared.hurried),
            // A rule for this client's address has changed something.
            false => Arc::new(policy.hurried()),
        }
    }

    /// What is special about a client; `None` where it is not let in.
    fn door(&self, client: IpAddr) -> Option<(Arc<Policy>, Grant)> {
        let (policy, mut grant) = match self.shared.rules.as_ref().map(|rules| rules.door(client)) {
            None => (Arc::clone(&self.shared.policy), Grant::default()),
            Some(Door::Closed) => return None,
            Some(Door::Open(policy, grant)) => (policy, grant),
        };
        grant.word = self.shared.words.as_ref().and_then(|words| words.about(client, now()));
        grant.is_naughty = self.shared.karma.as_ref().is_some_and(|karma| karma.is_put_off(now(), client));
        grant.is_busy = self.shared.load.as_ref().is_some_and(|load| load.is_high(now()));
        Some((policy, grant))
    }

    fn peer(&self, session: logline::SessionId, local: SocketAddr, remote: SocketAddr, grant: Grant) -> Peer {
        Peer {
            session,
            service: self.service,
            tls_available: self.shared.tls.is_some(),
            local,
            remote,
            grant,
        }
    }

    /// Says no without a task: under a flood, memory is what there is least of. Inside TLS nothing can be said.
    fn turn_away(&self, reply: &[u8]) {
        match self.service {
            // A client that does not get the reply gets a closed connection, which says as much.
            Service::Smtp | Service::Submission => drop(self.stream.try_write(reply)),
            Service::Smtps => {}
        }
    }
}

/// Reads the header and not a byte more.
async fn header(stream: &mut TcpStream) -> Option<Option<Addresses>> {
    let mut bytes = Vec::new();
    loop {
        match proxy::Header::parse(&bytes) {
            proxy::Header::Complete { addresses, .. } => return Some(addresses),
            proxy::Header::Invalid => return None,
            proxy::Header::Incomplete { at_least } => {
                let start = bytes.len();
                bytes.resize(start + at_least, 0);
                stream.read_exact(bytes.get_mut(start..)?).await.ok()?;
            }
        }
    }
}

/// An IPv4 client is one on an IPv6 socket too.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// A socket without an address of its own, which the kernel never gives.
fn unknown() -> SocketAddr {
    SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0)
}
