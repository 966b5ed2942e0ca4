//! `postern-smtpd run`: everything is opened, then everything runs, then everything is closed.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::activation::Opened;
use crate::alive;
use crate::blocklist::Bureau;
use crate::command::{Answer, Failure, fingerprint_key, karma, telemetry};
use crate::config::Config;
use crate::connection::Shared;
use crate::gate::Gate;
use crate::inquiry::Inquirer;
use crate::load::Load;
use crate::names::Names;
use crate::pace::Pace;
use crate::password::Authority;
use crate::queue::{Courier, Delivering, QueueHandle, Router, Store};
use crate::recipients::Recipients;
use crate::server::{self, Listener};
use crate::stop;
use crate::tcprules::TcpRules;
use crate::tls::Keeper;
use crate::users::UserFile;
use crate::words::Words;
use crate::{telemetry::Telemetry, web};

/// Threads for what blocks: file writes and password checks. More would only wait for the same disk.
const BLOCKING_THREADS_MAX: usize = 64;

/// Sockets, opened before anything else: a port that is taken is the likeliest mistake.
struct Sockets {
    listen: Vec<std::net::TcpListener>,
    metrics: Option<std::net::TcpListener>,
}

/// Runs the server until it is told to stop.
///
/// # Errors
/// Where it cannot start; once it runs it stops only when it is told to.
pub fn run(config: &Config) -> Result<Answer, Failure> {
    let mut opened = Opened::take();
    let sockets = Sockets {
        listen: config.listen.iter().map(|listen| opened.listen(listen.address)).collect::<Result<_, _>>()?,
        metrics: config.metrics.map(server::bind).transpose()?,
    };
    opened.warn_of_rest();
    std::fs::create_dir_all(&config.state).map_err(|cause| Failure::File {
        path: config.state.clone(),
        what: "it is the state directory; make it and give it to this user",
        cause,
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()
        .map_err(Failure::Start)?;
    let telemetry = Arc::new(telemetry(config)?);
    let (shared, courier) = runtime.block_on(async { open(config, &telemetry) })?;
    runtime.block_on(serve(config, sockets, shared, courier, Arc::clone(&telemetry)))?;
    stop_runtime(runtime);
    telemetry.close();
    Ok(Answer::Yes)
}

/// Opens all that sessions and deliveries need.
fn open(config: &Config, telemetry: &Arc<Telemetry>) -> Result<(Arc<Shared>, Courier), Failure> {
    let policy = Arc::new(config.policy.clone());
    let users = Arc::new(UserFile::new(&config.users, &config.state));
    users.users().map_err(|cause| Failure::File {
        path: config.users.clone(),
        what: "it holds the users; let this user read it",
        cause,
    })?;
    let recipients = Arc::new(Recipients::of(config, Arc::clone(&users)));
    let tls = config.tls.as_ref().map(|tls| Keeper::open(tls, &policy.hostname)).transpose()?;
    let store = Store::open(&config.state.join("queue"))?;
    let names = Names::new(&config.name_servers).map_err(Failure::Resolver)?;
    let router = Router::new(names.clone(), &config.remote, &policy.hostname);
    let with = Delivering {
        policy: Arc::clone(&policy),
        recipients: Arc::clone(&recipients),
        telemetry: Arc::clone(telemetry),
        dkim: config.dkim.clone(),
        messages_max: config.queue_messages_max,
    };
    let (courier, queue) =
        Courier::new(store, router, with).map_err(|error| Failure::Start(io::Error::other(error)))?;
    // The courier delivers what our own queue still has, and what the server itself writes.
    let queue = config.queue.clone().map_or(queue, QueueHandle::Program);
    let key = fingerprint_key(config)?;
    let authority = Authority::new(&config.passwords, Arc::clone(&users), &policy.default_domain, key);
    let gate = Mutex::new(Gate::new(&policy.hostname, config.connections));
    let blocklists =
        Arc::new(Bureau::open(&policy.blocklists, names.clone(), config.state.join("dnsbl.jsonl")));
    let shared = Shared {
        policy: Arc::clone(&policy),
        telemetry: Arc::clone(telemetry),
        gate,
        recipients,
        rules: config.rules.as_ref().map(|path| TcpRules::new(path, Arc::clone(&policy))),
        karma: karma(config)?,
        pace: Pace::new(config.rates),
        load: config.load_max.map(Load::new),
        words: config.words.as_ref().map(|path| Words::new(path)),
        authority,
        queue,
        blocklists,
        inquirer: Inquirer::new(names, &policy),
        tls,
    };
    Ok((Arc::new(shared), courier))
}

async fn serve(
    config: &Config,
    sockets: Sockets,
    shared: Arc<Shared>,
    courier: Courier,
    telemetry: Arc<Telemetry>,
) -> Result<(), Failure> {
    let mut signals = Signals::new().map_err(Failure::Start)?;
    let (stopper, stop) = stop::channel();
    telemetry.note(&shared.gate().status());
    let (alive, mut all_gone) = mpsc::channel::<()>(1);
    for (socket, listen) in sockets.listen.into_iter().zip(&config.listen) {
        let listener = Listener::new(socket, listen).map_err(Failure::Start)?;
        tokio::spawn(listener.run(Arc::clone(&shared), stop.clone(), alive.clone()));
    }
    tokio::spawn({
        let (bureau, telemetry) = (Arc::clone(&shared.blocklists), Arc::clone(&telemetry));
        let (stop, alive) = (stop.clone(), alive.clone());
        async move {
            bureau.run(telemetry, stop).await;
            drop(alive);
        }
    });
    if let Some(socket) = sockets.metrics {
        let pages = web::run(socket, telemetry, stop.clone());
        tokio::spawn(async move {
            if let Err(error) = pages.await {
                tracing::error!(%error, "metrics are not served any more");
            }
        });
    }
    let courier = tokio::spawn({
        let (alive, stop) = (alive.clone(), stop.clone());
        async move {
            courier.run(stop).await;
            drop(alive);
        }
    });
    drop(alive);
    tokio::spawn(alive::tell(Arc::clone(&shared), stop.clone()));
    notify(&[sd_notify::NotifyState::Ready]);
    tracing::info!("ready");
    signals.until_stop(&shared).await;
    tracing::info!("stopping");
    notify(&[sd_notify::NotifyState::Stopping]);
    stopper.stop();
    // `recv` gives `None` once every session, listener and the courier have dropped their end.
    if tokio::time::timeout(server::DRAIN, all_gone.recv()).await.is_err() {
        tracing::warn!("some sessions or deliveries did not end in time");
    }
    courier.abort();
    Ok(())
}

/// What is still blocked on a disk may finish for a moment; sessions that are left are cut.
fn stop_runtime(runtime: Runtime) {
    runtime.shutdown_timeout(Duration::from_millis(500));
}

/// The signals a server knows.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Serves SIGHUP until a signal to stop comes.
    async fn until_stop(&mut self, shared: &Shared) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => reopen(shared),
            }
        }
    }
}

/// Opens the log and the certificate again. The settings themselves are read at the start only.
fn reopen(shared: &Shared) {
    match shared.telemetry.reopen() {
        Ok(()) => tracing::info!("log opened again"),
        Err(error) => tracing::error!(%error, "cannot open the log again; the old file is written on"),
    }
    match shared.tls.as_ref().map(Keeper::reload) {
        None => {}
        Some(Ok(())) => tracing::info!("certificate read again"),
        Some(Err(error)) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "cannot read the certificate again; the old one stays in use");
        }
    }
}

fn notify(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "cannot tell the service manager");
    }
}
